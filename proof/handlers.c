// SPDX-License-Identifier: GPL-2.0
/*
 * Handlers: the addresses at which dispatched calls of the fuzzer go on, and
 * the code there, if any. The code records that it was reached, preserves all
 * registers, and leaves the rest to a function in C.
 */
#include "handlers.h"

#if SUD_WORD_BITS == 64
#define HANDLER_REACHED	SUD_REGS_AT(0x1b0)

__asm__(".pushsection .text\n"
	".globl	handler_one, handler_other\n"
	"handler_one:\n"
	"	movb	$1, " HANDLER_REACHED "\n"
	"	jmp	handler_common\n"
	"handler_other:\n"
	"	movb	$2, " HANDLER_REACHED "\n"
	"handler_common:\n"
	"	lea	-128(%rsp), %rsp\n"
	"	pushfq\n"
	"	push	%r15\n"
	"	push	%r14\n"
	"	push	%r13\n"
	"	push	%r12\n"
	"	push	%r11\n"
	"	push	%r10\n"
	"	push	%r9\n"
	"	push	%r8\n"
	"	push	%rbp\n"
	"	push	%rdi\n"
	"	push	%rsi\n"
	"	push	%rdx\n"
	"	push	%rcx\n"
	"	push	%rbx\n"
	"	push	%rax\n"
	"	mov	%rsp, %rdi\n"
	"	mov	%rsp, %rbp\n"
	"	and	$-16, %rsp\n"
	"	cld\n"
	"	call	handler_in_c\n"
	"	mov	%rbp, %rsp\n"
	"	pop	%rax\n"
	"	pop	%rbx\n"
	"	pop	%rcx\n"
	"	pop	%rdx\n"
	"	pop	%rsi\n"
	"	pop	%rdi\n"
	"	pop	%rbp\n"
	"	pop	%r8\n"
	"	pop	%r9\n"
	"	pop	%r10\n"
	"	pop	%r11\n"
	"	pop	%r12\n"
	"	pop	%r13\n"
	"	pop	%r14\n"
	"	pop	%r15\n"
	"	popfq\n"
	"	lea	128(%rsp), %rsp\n"
	"	jmp	*%rcx\n"
	".popsection\n");
#endif

/*
 * entry_addr - the address of a handler
 */
uint64_t entry_addr(unsigned int id)
{
	switch (id % N_ENTRIES) {
	case ENTRY_ONE:
		return (uintptr_t)handler_one;
	case ENTRY_OTHER:
		return (uintptr_t)handler_other;
	case ENTRY_GONE:
		return 0x70000;
	case ENTRY_DATA:
		return ENTRY_DATA_AT;
	case ENTRY_WIDE:
		return 1ULL << 32 | ENTRY_DATA_AT;
	case ENTRY_HALF:
		return 1ULL << 63;
	case ENTRY_TEXT:
		return 0xffffffff81000000;
	case ENTRY_TOP:
		return -1ULL;
	}
	return 0;
}

/*
 * entry_at - the code at an address that is attached, or ENTRY_NONE
 */
enum entry_id entry_at(uint64_t addr)
{
	if (addr == (uintptr_t)handler_one)
		return ENTRY_ONE;
	return addr == (uintptr_t)handler_other ? ENTRY_OTHER : ENTRY_NONE;
}
