/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The handler of dispatched calls. It begins as the syscall instruction has left
 * the thread: rax is the number, rcx the address to go back to, r11 the flags;
 * the stack is the foreign program's, and what lies below it may be in use. So
 * it changes to a stack of its own first. What a function in C may change is
 * saved: registers, and the state of the floating-point unit.
 */
#include "direct.h"

	.text
	.globl	direct_handler
direct_handler:
	/* r11 is free: the flags have not changed yet. But popf wants them. */
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

	/* From here on system calls of the layer's own run. */
	movb	$0, direct_selector(%rip)
	cld
	push	%rbx
	mov	%rsp, %rbx
	sub	$512, %rsp
	and	$-16, %rsp
	fxsave64 (%rsp)
	mov	%rax, %rdi
	call	direct_serve
	fxrstor64 (%rsp)
	mov	%rbx, %rsp
	pop	%rbx
	/* To here. */
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
