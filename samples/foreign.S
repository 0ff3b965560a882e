/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A program for another system. A compatibility layer would load it from a
 * foreign executable. Here it is only data: the layer maps a copy of it and
 * jumps there. It makes its system calls directly, by numbers of its own system
 * (see foreign.h), and does not know Linux.
 *
 * The number goes in rax, the arguments in rdi, rsi, rdx. The result is in rax.
 * All other registers except rcx and r11 are preserved.
 */
#include "foreign.h"

	.macro foreign_call number
	mov	$\number, %eax
	syscall
	.endm

	.section .rodata
	.balign	16
	.globl	foreign_image, foreign_main, foreign_repeat, foreign_repeat_ip, foreign_image_end
	.globl	foreign_ymm, foreign_zmm
foreign_image:

/* foreign_main(struct foreign_block *block): returns only by the exit call. */
foreign_main:
	mov	%rdi, %rbx

	mov	$1, %edi
	mov	FOREIGN_TEXT(%rbx), %rsi
	mov	FOREIGN_LENGTH(%rbx), %rdx
	foreign_call FOREIGN_WRITE
	mov	%rax, 0(%rbx)

	foreign_call FOREIGN_GET_PID
	mov	%rax, 8(%rbx)

	foreign_call FOREIGN_TIME
	mov	%rax, 16(%rbx)

	foreign_call FOREIGN_VERSION
	mov	%rax, 24(%rbx)

	foreign_call FOREIGN_UNKNOWN
	mov	%rax, 32(%rbx)

	mov	FOREIGN_STATUS(%rbx), %rdi
	foreign_call FOREIGN_EXIT
	ud2

/* foreign_repeat(number, rounds): makes one call many times and returns the last result. */
foreign_repeat:
	mov	%rdi, %rax
	syscall
foreign_repeat_ip:
	dec	%rsi
	jnz	foreign_repeat
	ret

/* foreign_ymm(in, out), foreign_zmm(in, out): load 16 registers, make a call, store them. */
	.macro vectors name, register, size
\name:
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	vmovups	\size * \n(%rdi), %\register\n
	.endr
	foreign_call FOREIGN_NULL
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	vmovups	%\register\n, \size * \n(%rsi)
	.endr
	vzeroupper
	ret
	.endm

	vectors	foreign_ymm, ymm, 32
	vectors	foreign_zmm, zmm, 64

foreign_image_end:

	.section .note.GNU-stack, "", @progbits
