/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Both sides of the border, as Wine has them on x86-64. Windows code calls a
 * stub, which jumps to the dispatcher. Or it makes the system call directly, with
 * the number in rax and the arguments in r10, rdx, r8 and r9. The call may change
 * rax, rcx and r11, and the vector registers up to xmm5.
 */
#include <asm/unistd_64.h>

#include "windows.h"

	.text

/* ---- The dispatcher: Unix code outside the C library ---- */

/* Entry from a stub: the return address is on the stack. */
	.globl	dispatcher
dispatcher:
	pop	%rcx

	.globl	dispatcher_signal
dispatcher_signal:
	movb	$0, %gs:TEB_SELECTOR

	mov	%rcx, %gs:TEB_SAVED
	mov	%rsp, %gs:TEB_SAVED + 8
	mov	%rbx, %gs:TEB_SAVED + 16
	mov	%rbp, %gs:TEB_SAVED + 24
	mov	%rsi, %gs:TEB_SAVED + 32
	mov	%rdi, %gs:TEB_SAVED + 40
	mov	%r12, %gs:TEB_SAVED + 48
	/* The arguments, in order. */
	mov	%r10, %gs:TEB_SAVED + 56
	mov	%rdx, %gs:TEB_SAVED + 64
	mov	%r8, %gs:TEB_SAVED + 72
	mov	%r9, %gs:TEB_SAVED + 80
	.irp	n, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	movups	%xmm\n, %gs:TEB_SAVED_XMM + 16 * (\n - 6)
	.endr

	mov	%gs:0, %rbx
	mov	TEB_UNIX_STACK(%rbx), %rsp
	mov	%rax, %r12
	/*
	 * The dispatcher makes its own system call here, as Wine does to set the FS base. It runs only because
	 * the byte allows it, unless the program is linked statically.
	 */
	mov	$__NR_gettid, %eax
	syscall
	mov	%rax, %rdi
	mov	%r12, %rsi
	lea	TEB_SAVED + 56(%rbx), %rdx
	call	serve

	.irp	n, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	movups	%gs:TEB_SAVED_XMM + 16 * (\n - 6), %xmm\n
	.endr
	mov	%gs:TEB_SAVED + 48, %r12
	mov	%gs:TEB_SAVED + 40, %rdi
	mov	%gs:TEB_SAVED + 32, %rsi
	mov	%gs:TEB_SAVED + 24, %rbp
	mov	%gs:TEB_SAVED + 16, %rbx
	mov	%gs:TEB_SAVED + 64, %rdx
	mov	%gs:TEB_SAVED + 72, %r8
	mov	%gs:TEB_SAVED + 80, %r9
	mov	%gs:TEB_SAVED + 56, %r10
	mov	%gs:TEB_SAVED + 8, %rsp
	mov	%gs:TEB_SAVED, %rcx
	movb	$1, %gs:TEB_SELECTOR
	jmp	*%rcx

/* ---- Windows code: only data here; wine-like.c maps a copy ---- */

	.section .rodata
	.balign	16
	.globl	windows_code, windows_code_end
windows_code:

	.macro	make_call way
	.ifc	\way, stub
	call	*%gs:TEB_DISPATCHER
	.endif
	.ifc	\way, syscall
	syscall
	.endif
	.ifc	\way, int80
	int	$0x80
	.endif
	.endm

	/* Count the registers that changed, in eax. */
	.macro	must_be register, value
	cmp	\value, \register
	setne	%r11b
	movzbl	%r11b, %r11d
	add	%r11d, %eax
	.endm

	/* long by_WAY(struct call *call): called from C, so it preserves the registers of that convention too. */
	.macro	windows_function way
	.globl	by_\way
by_\way:
	push	%rbx
	push	%rbp
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	push	%rdi

	mov	%rsp, %rbx
	mov	$0x1111, %ebp
	mov	$0x2222, %esi
	mov	$0x3333, %r12d
	mov	$0x4444, %r13d
	mov	$0x5555, %r14d
	mov	$0x6666, %r15d
	movq	%rdi, %xmm6
	movq	%rbx, %xmm15
	mov	(%rdi), %rax
	mov	CALL_ARGS(%rdi), %r10
	mov	CALL_ARGS + 8(%rdi), %rdx
	mov	CALL_ARGS + 16(%rdi), %r8
	mov	CALL_ARGS + 24(%rdi), %r9
	/* Linux's exit() would take this as a nonzero status. */
	mov	$0x7777, %edi
	make_call \way

	mov	(%rsp), %rcx
	mov	%rax, CALL_RESULT(%rcx)
	xor	%eax, %eax
	must_be	%rdi, $0x7777
	must_be	%rbx, %rsp
	must_be	%rbp, $0x1111
	must_be	%rsi, $0x2222
	must_be	%r12, $0x3333
	must_be	%r13, $0x4444
	must_be	%r14, $0x5555
	must_be	%r15, $0x6666
	must_be	%r10, CALL_ARGS(%rcx)
	must_be	%rdx, CALL_ARGS + 8(%rcx)
	must_be	%r8, CALL_ARGS + 16(%rcx)
	must_be	%r9, CALL_ARGS + 24(%rcx)
	movq	%xmm6, %rdi
	must_be	%rdi, %rcx
	movq	%xmm15, %rdi
	must_be	%rdi, %rsp

	pop	%rdi
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbp
	pop	%rbx
	ret
	.endm

	windows_function stub
	windows_function syscall
	windows_function int80

windows_code_end:

	.section .note.GNU-stack, "", @progbits
