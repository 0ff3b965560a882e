/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The handler of dispatched calls. It begins in the state after the syscall
 * instruction: rax is the number, rcx the return address, r11 the flags. The
 * stack is that of the foreign program, and the memory below the stack pointer
 * may be in use. So the handler first switches to its own stack.
 *
 * A function in C may change nine general registers and all vector registers.
 * The handler saves the former by push and the latter by XSAVE. FXSAVE would lose
 * the upper halves of the ymm registers, and the C library uses AVX where the
 * processor has it.
 */
#include "direct.h"

/* XSAVE saves x87, SSE, AVX and AVX-512, as far as the processor has them. */
#define SAVED	0xe7

	.text
	.globl	direct_handler
direct_handler:
	/* r11 is free, as the flags have not changed yet. popf needs them later. */
	mov	%rsp, %r11
	mov	direct_stack(%rip), %rsp
	push	%r11
	pushfq
	push	%rcx
	push	%r10
	push	%r9
	push	%r8
	push	%rdx
	push	%rsi
	push	%rdi
	mov	%rsp, %rsi

	/* From here on the layer's own system calls are run. */
	movb	$0, direct_selector(%rip)
	cld
	push	%rbx
	mov	%rsp, %rbx
	sub	direct_area(%rip), %rsp
	and	$-64, %rsp
	mov	%rax, %rdi
	cmpq	$DIRECT_AREA_FXSAVE, direct_area(%rip)
	je	1f
	/* The header of the area must be zero. edx and eax hold the mask. */
	xor	%edx, %edx
	mov	%rdx, 512(%rsp)
	mov	%rdx, 520(%rsp)
	mov	%rdx, 528(%rsp)
	mov	$SAVED, %eax
	xsave64	(%rsp)
	jmp	2f
1:	fxsave64 (%rsp)
2:	call	direct_serve
	cmpq	$DIRECT_AREA_FXSAVE, direct_area(%rip)
	je	1f
	mov	%rax, %rcx
	mov	$SAVED, %eax
	xor	%edx, %edx
	xrstor64 (%rsp)
	mov	%rcx, %rax
	jmp	2f
1:	fxrstor64 (%rsp)
2:
	mov	%rbx, %rsp
	pop	%rbx
	/* From here on system calls are dispatched again. */
	movb	$1, direct_selector(%rip)

	pop	%rdi
	pop	%rsi
	pop	%rdx
	pop	%r8
	pop	%r9
	pop	%r10
	pop	%rcx
	popfq
	pop	%rsp
	jmp	*%rcx

	.section .note.GNU-stack, "", @progbits
