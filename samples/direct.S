/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The handler of dispatched calls. It begins as the syscall instruction has left
 * the thread: rax is the number, rcx the address to go back to, r11 the flags;
 * the stack is the foreign program's, and what lies below it may be in use. So
 * it changes to a stack of its own first.
 *
 * A function in C may change nine general registers and all vector registers. So
 * the handler saves them: the former by push, the latter by XSAVE. To save them
 * by FXSAVE would lose the upper halves of the ymm registers, since the C library
 * uses AVX where the processor has it.
 */
#include "direct.h"

/* What XSAVE is to save: x87, SSE, AVX and AVX-512. It leaves out what is not there. */
#define SAVED	0xe7

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
	sub	direct_area(%rip), %rsp
	and	$-64, %rsp
	mov	%rax, %rdi
	cmpq	$DIRECT_AREA_FXSAVE, direct_area(%rip)
	je	1f
	/* The header of the area must be zero, edx and eax hold the mask. */
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
