/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A foreign system call with every register under the test's control. The
 * template is copied to SUD_REGS_CODE on the foreign page. Its data and its
 * stack are at fixed low addresses, so it needs no register to reach them.
 */
#ifndef SUD_REGS_H
#define SUD_REGS_H

#include <cpuid.h>

#include "sud.h"

#define SUD_REGS_CODE	(SUD_FOREIGN + 0x400)
#define SUD_REGS_DATA	0x30000
#define SUD_REGS_PAGES	16
#define SUD_REGS_STACK	0x3ff00

#define SUD_REGS_STR_(x)	#x
#define SUD_REGS_STR(x)		SUD_REGS_STR_(x)
/* Assembler operand: an offset into the data. */
#define SUD_REGS_AT(off)	SUD_REGS_STR(SUD_REGS_DATA) "+" #off

enum {
	SUD_AX, SUD_BX, SUD_CX, SUD_DX, SUD_SI, SUD_DI, SUD_BP,
#if SUD_WORD_BITS == 64
	SUD_R8, SUD_R9, SUD_R10, SUD_R11, SUD_R12, SUD_R13, SUD_R14, SUD_R15,
#endif
	SUD_NR_REGS
};

/* 32-bit code uses the lower half of each 64-bit field. */
struct sud_regs {
	/* 0x000: loaded before the call */
	uint64_t in[15];
	uint64_t flags_in;
	/* 0x080: found after the call */
	uint64_t out[15];
	uint64_t flags_out;
	/* 0x100 */
	uint64_t sp_saved;
	uint64_t sp_in;
	uint64_t sp_out;
	/* 0x118: which state components xrstor and xsave act on */
	uint32_t xmask;
	uint32_t mxcsr;
	/* 0x120: the red zone after the call */
	uint64_t red_out[16];
	/* 0x1a0, 0x1a8: for templates that jump, and for the way back */
	struct {
		uint32_t offset;
		uint16_t segment, unused;
	} target, back;
	uint8_t pad[0x1000 - 0x1b0];
	/* 0x1000, 0x2000: the extended state, before and after */
	uint8_t xin[0x1000];
	uint8_t xout[0x1000];
	/* 0x3000: the handler's copy of the state in its frame */
	uint8_t xframe[0x1000];
	/* 0x4000: the stack */
};

#define sud_regs ((struct sud_regs *)SUD_REGS_DATA)
#define SUD_REGS_TARGET		SUD_REGS_AT(0x1a0)
#define SUD_REGS_BACK		SUD_REGS_AT(0x1a8)

#define SUD_REGS_LOAD(reg, off)		\
	"	mov	" SUD_REGS_AT(off) ", %" #reg "\n"
#define SUD_REGS_STORE(reg, off)	\
	"	mov	%" #reg ", " SUD_REGS_AT(off) "\n"

/*
 * SUD_REGS_TEMPLATE - define a template
 * @name:	its symbols' prefix
 * @call:	the instruction or instructions that make the call
 *
 * Loads and stores are plain moves: they do not change the flags, and are
 * aligned, in case the alignment check is on. The red zone,
 * where there is one, takes a copy of the registers.
 */
#if SUD_WORD_BITS == 64

#define SUD_REGS_RED_SLOTS	16
#define SUD_REGS_VECTORS	16
#define SUD_REGS_RED(slot, off)		\
	"	mov	" #slot "(%rsp), %rax\n"	\
	"	mov	%rax, " SUD_REGS_AT(off) "\n"

#define SUD_REGS_TEMPLATE(name, call)					\
__asm__(".pushsection .text\n"						\
	#name "_template:\n"						\
	"	push	%rbx\n"						\
	"	push	%rbp\n"						\
	"	push	%r12\n"						\
	"	push	%r13\n"						\
	"	push	%r14\n"						\
	"	push	%r15\n"						\
	SUD_REGS_STORE(rsp, 0x100)					\
	"	mov	$" SUD_REGS_STR(SUD_REGS_STACK) ", %rsp\n"	\
	SUD_REGS_STORE(rsp, 0x108)					\
	"	mov	" SUD_REGS_AT(0x118) ", %eax\n"			\
	"	xor	%edx, %edx\n"					\
	"	xrstor64 " SUD_REGS_AT(0x1000) "\n"			\
	"	pushq	" SUD_REGS_AT(0x78) "\n"			\
	"	popfq\n"						\
	SUD_REGS_LOAD(rax, 0x00) SUD_REGS_LOAD(rbx, 0x08)		\
	SUD_REGS_LOAD(rcx, 0x10) SUD_REGS_LOAD(rdx, 0x18)		\
	SUD_REGS_LOAD(rsi, 0x20) SUD_REGS_LOAD(rdi, 0x28)		\
	SUD_REGS_LOAD(rbp, 0x30) SUD_REGS_LOAD(r8, 0x38)		\
	SUD_REGS_LOAD(r9, 0x40) SUD_REGS_LOAD(r10, 0x48)		\
	SUD_REGS_LOAD(r11, 0x50) SUD_REGS_LOAD(r12, 0x58)		\
	SUD_REGS_LOAD(r13, 0x60) SUD_REGS_LOAD(r14, 0x68)		\
	SUD_REGS_LOAD(r15, 0x70)					\
	"	mov	%rax, -8(%rsp)\n"				\
	"	mov	%rbx, -16(%rsp)\n"				\
	"	mov	%rcx, -24(%rsp)\n"				\
	"	mov	%rdx, -32(%rsp)\n"				\
	"	mov	%rsi, -40(%rsp)\n"				\
	"	mov	%rdi, -48(%rsp)\n"				\
	"	mov	%rbp, -56(%rsp)\n"				\
	"	mov	%r8, -64(%rsp)\n"				\
	"	mov	%r9, -72(%rsp)\n"				\
	"	mov	%r10, -80(%rsp)\n"				\
	"	mov	%r11, -88(%rsp)\n"				\
	"	mov	%r12, -96(%rsp)\n"				\
	"	mov	%r13, -104(%rsp)\n"				\
	"	mov	%r14, -112(%rsp)\n"				\
	"	mov	%r15, -120(%rsp)\n"				\
	"	mov	%rax, -128(%rsp)\n"				\
	call								\
	#name "_ip:\n"							\
	SUD_REGS_STORE(rax, 0x80) SUD_REGS_STORE(rbx, 0x88)		\
	SUD_REGS_STORE(rcx, 0x90) SUD_REGS_STORE(rdx, 0x98)		\
	SUD_REGS_STORE(rsi, 0xa0) SUD_REGS_STORE(rdi, 0xa8)		\
	SUD_REGS_STORE(rbp, 0xb0) SUD_REGS_STORE(r8, 0xb8)		\
	SUD_REGS_STORE(r9, 0xc0) SUD_REGS_STORE(r10, 0xc8)		\
	SUD_REGS_STORE(r11, 0xd0) SUD_REGS_STORE(r12, 0xd8)		\
	SUD_REGS_STORE(r13, 0xe0) SUD_REGS_STORE(r14, 0xe8)		\
	SUD_REGS_STORE(r15, 0xf0)					\
	SUD_REGS_STORE(rsp, 0x110)					\
	SUD_REGS_RED(-8, 0x120) SUD_REGS_RED(-16, 0x128)		\
	SUD_REGS_RED(-24, 0x130) SUD_REGS_RED(-32, 0x138)		\
	SUD_REGS_RED(-40, 0x140) SUD_REGS_RED(-48, 0x148)		\
	SUD_REGS_RED(-56, 0x150) SUD_REGS_RED(-64, 0x158)		\
	SUD_REGS_RED(-72, 0x160) SUD_REGS_RED(-80, 0x168)		\
	SUD_REGS_RED(-88, 0x170) SUD_REGS_RED(-96, 0x178)		\
	SUD_REGS_RED(-104, 0x180) SUD_REGS_RED(-112, 0x188)		\
	SUD_REGS_RED(-120, 0x190) SUD_REGS_RED(-128, 0x198)		\
	"	pushfq\n"						\
	"	popq	" SUD_REGS_AT(0xf8) "\n"			\
	"	pushq	$0x202\n"					\
	"	popfq\n"						\
	"	mov	" SUD_REGS_AT(0x118) ", %eax\n"			\
	"	xor	%edx, %edx\n"					\
	"	xsave64	" SUD_REGS_AT(0x2000) "\n"			\
	"	fninit\n"						\
	"	ldmxcsr	" SUD_REGS_AT(0x11c) "\n"			\
	SUD_REGS_LOAD(rsp, 0x100)					\
	"	pop	%r15\n"						\
	"	pop	%r14\n"						\
	"	pop	%r13\n"						\
	"	pop	%r12\n"						\
	"	pop	%rbp\n"						\
	"	pop	%rbx\n"						\
	"	ret\n"							\
	#name "_end:\n"							\
	".popsection\n")

#else /* 32 bits */

#define SUD_REGS_RED_SLOTS	0
#define SUD_REGS_VECTORS	8

#define SUD_REGS_TEMPLATE(name, call)					\
__asm__(".pushsection .text\n"						\
	#name "_template:\n"						\
	"	push	%ebx\n"						\
	"	push	%ebp\n"						\
	"	push	%esi\n"						\
	"	push	%edi\n"						\
	SUD_REGS_STORE(esp, 0x100)					\
	"	mov	$" SUD_REGS_STR(SUD_REGS_STACK) ", %esp\n"	\
	SUD_REGS_STORE(esp, 0x108)					\
	"	mov	" SUD_REGS_AT(0x118) ", %eax\n"			\
	"	xor	%edx, %edx\n"					\
	"	xrstor	" SUD_REGS_AT(0x1000) "\n"			\
	"	pushl	" SUD_REGS_AT(0x78) "\n"			\
	"	popfl\n"						\
	SUD_REGS_LOAD(eax, 0x00) SUD_REGS_LOAD(ebx, 0x08)		\
	SUD_REGS_LOAD(ecx, 0x10) SUD_REGS_LOAD(edx, 0x18)		\
	SUD_REGS_LOAD(esi, 0x20) SUD_REGS_LOAD(edi, 0x28)		\
	SUD_REGS_LOAD(ebp, 0x30)					\
	call								\
	#name "_ip:\n"							\
	SUD_REGS_STORE(eax, 0x80) SUD_REGS_STORE(ebx, 0x88)		\
	SUD_REGS_STORE(ecx, 0x90) SUD_REGS_STORE(edx, 0x98)		\
	SUD_REGS_STORE(esi, 0xa0) SUD_REGS_STORE(edi, 0xa8)		\
	SUD_REGS_STORE(ebp, 0xb0)					\
	SUD_REGS_STORE(esp, 0x110)					\
	"	pushfl\n"						\
	"	popl	" SUD_REGS_AT(0xf8) "\n"			\
	"	pushl	$0x202\n"					\
	"	popfl\n"						\
	"	mov	" SUD_REGS_AT(0x118) ", %eax\n"			\
	"	xor	%edx, %edx\n"					\
	"	xsave	" SUD_REGS_AT(0x2000) "\n"			\
	"	fninit\n"						\
	"	ldmxcsr	" SUD_REGS_AT(0x11c) "\n"			\
	SUD_REGS_LOAD(esp, 0x100)					\
	"	pop	%edi\n"						\
	"	pop	%esi\n"						\
	"	pop	%ebp\n"						\
	"	pop	%ebx\n"						\
	"	ret\n"							\
	#name "_end:\n"							\
	".popsection\n")

#endif

/* Declare the symbols. */
#define SUD_REGS_SYMBOLS(name)						\
extern const char __attribute__((visibility("hidden")))			\
	name##_template[], name##_ip[], name##_end[]

/*
 * A template that jumps to 32-bit code in another code segment, which jumps
 * back. (A far call would use the stack, and emulators get that wrong. 64-bit
 * programs have no usable data segment except that of the stack.)
 */
#define SUD_REGS_FAR_JUMP	"	ljmp	*" SUD_REGS_TARGET "\n"
#define SUD_REGS_FAR_CODE	(SUD_FOREIGN + 0xe00)
#define SUD_REGS_FAR_IP		(SUD_REGS_FAR_CODE + SUD_INSN_LEN)

SUD_REGS_SYMBOLS(sud_regs_jump);
SUD_REGS_TEMPLATE(sud_regs_jump, SUD_REGS_FAR_JUMP);

SUD_REGS_SYMBOLS(sud_regs_far);
__asm__(".pushsection .text\n"
	".code32\n"
	"sud_regs_far_template:\n"
	"	int	$0x80\n"
	"sud_regs_far_ip:\n"
	"	ljmp	*%ss:" SUD_REGS_BACK "\n"
	"sud_regs_far_end:\n"
#if SUD_WORD_BITS == 64
	".code64\n"
#endif
	".popsection\n");

SUD_REGS_SYMBOLS(sud_regs_insn);
#if SUD_WORD_BITS == 64
SUD_REGS_TEMPLATE(sud_regs_insn, "	syscall\n");
#else
SUD_REGS_TEMPLATE(sud_regs_insn, "	int	$0x80\n");
#endif

/*
 * The value of a register in the frame of a dispatched call, and the bits that
 * may differ from the loaded value. At a syscall instruction, the processor
 * itself puts the instruction pointer and the flags into two registers.
 */
#if SUD_WORD_BITS == 64
#define SUD_REGS_INDEX {						\
	REG_RAX, REG_RBX, REG_RCX, REG_RDX, REG_RSI, REG_RDI, REG_RBP,	\
	REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15, \
}
#else
#define SUD_REGS_INDEX {						\
	REG_EAX, REG_EBX, REG_ECX, REG_EDX, REG_ESI, REG_EDI, REG_EBP,	\
}
#endif

#define SUD_REGS_FLAGS(uc)	((sud_uword)(uc)->uc_mcontext.gregs[REG_EFL])

static inline uint64_t sud_regs_frame(ucontext_t *uc, unsigned int reg)
{
	static const int index[SUD_NR_REGS] = SUD_REGS_INDEX;

	return (sud_uword)uc->uc_mcontext.gregs[index[reg]];
}

static inline uint64_t sud_regs_expected(unsigned int reg, ucontext_t *uc)
{
#if SUD_WORD_BITS == 64
	if (reg == SUD_CX)
		return SUD_REG_IP(uc);
	if (reg == SUD_R11)
		return SUD_REGS_FLAGS(uc);
#endif
	return sud_regs->in[reg];
}

/* The image of the extended state that a frame has, in xsave's format. */
static inline uint8_t *sud_regs_fpstate(ucontext_t *uc)
{
	uint8_t *fp = (uint8_t *)uc->uc_mcontext.fpregs;

	/* In a 32-bit frame it follows the image of an older format. */
	return SUD_WORD_BITS == 64 ? fp : fp + 112;
}

/*
 * A handler that first switches off the alignment check, which is on if the
 * program has it on, and goes on with sud_handler().
 */
void sud_regs_ac_handler(int sig, siginfo_t *info, void *context)
	__attribute__((visibility("hidden")));

__asm__(".pushsection .text\n"
	"sud_regs_ac_handler:\n"
	"	pushf\n"
#if SUD_WORD_BITS == 64
	"	andq	$~0x40000, (%rsp)\n"
#else
	"	andl	$~0x40000, (%esp)\n"
#endif
	"	popf\n"
	"	jmp	sud_regs_ac_target\n"
	".popsection\n");

/*
 * A system call with a bad stack pointer. If the call returns, the code
 * restores the stack pointer.
 */
typedef sud_word sud_bad_sp_fn(sud_word nr, sud_word sp);
SUD_REGS_SYMBOLS(sud_bad_sp);

__asm__(".pushsection .text\n"
	"sud_bad_sp_template:\n"
#if SUD_WORD_BITS == 64
	"	mov	%rsp, %rdx\n"
	"	mov	%rdi, %rax\n"
	"	mov	%rsi, %rsp\n"
	"	syscall\n"
	"sud_bad_sp_ip:\n"
	"	mov	%rdx, %rsp\n"
#else
	"	mov	%esp, %edx\n"
	"	mov	4(%esp), %eax\n"
	"	mov	8(%esp), %esp\n"
	"	int	$0x80\n"
	"sud_bad_sp_ip:\n"
	"	mov	%edx, %esp\n"
#endif
	"	ret\n"
	"sud_bad_sp_end:\n"
	".popsection\n");

/* The state components that a program may fill with any bits. */
#define SUD_X87		0x1u
#define SUD_SSE		0x2u
#define SUD_AVX		0x4u
#define SUD_AVX512	0xe0u

/* Offset of the parts of the legacy area. */
#define SUD_X_FCW	0
#define SUD_X_FSW	2
#define SUD_X_FTW	4
#define SUD_X_MXCSR	24
#define SUD_X_ST	32
#define SUD_X_XMM	160
#define SUD_X_HEADER	512

/*
 * sud_regs_component - where xsave puts a component beyond the legacy area
 *
 * Of the vector registers 32-bit code can reach the first eight; the size is
 * that of their part.
 *
 * Return: true if this machine has it.
 */
static inline bool sud_regs_component(unsigned int nr, size_t *off,
				      size_t *size)
{
	unsigned int a, b, c, d;

	if (!(sud_regs->xmask & (1u << nr)) ||
	    !__get_cpuid_count(0xd, nr, &a, &b, &c, &d))
		return false;
	*off = b;
	*size = a;
	if (SUD_WORD_BITS == 32 && (nr == 2 || nr == 6))
		*size /= 2;
	/* all of registers 16 to 31 */
	if (SUD_WORD_BITS == 32 && nr == 7)
		return false;
	return true;
}

/**
 * sud_regs_map - put the template on the foreign page and map its data
 *
 * Return: false if the machine has no xsave, or no memory.
 */
static inline bool sud_regs_map(void)
{
	size_t page = sysconf(_SC_PAGESIZE);
	unsigned int a, b, c, d, nr;
	size_t off, size;
	uint32_t xcr0;

	if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE))
		return false;
	asm volatile("xgetbv" : "=a" (xcr0), "=d" (d) : "c" (0));

	if (!sud_foreign_add(SUD_REGS_CODE, sud_regs_insn_template,
			     sud_regs_insn_end))
		return false;

	if (mmap(sud_regs, SUD_REGS_PAGES * page, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) !=
	    (void *)sud_regs)
		return false;

	sud_regs->xmask = xcr0 & (SUD_X87 | SUD_SSE | SUD_AVX | SUD_AVX512);
	sud_regs->mxcsr = 0x1f80;
	for (nr = 0; nr < SUD_NR_REGS; nr++)
		sud_regs->in[nr] = (sud_uword)(0x8d2f51a70c4b63e9 * (2 * nr + 1));
	sud_regs->flags_in = 0x202;

	/* Exceptions are masked, so that no pattern raises one. */
	*(uint16_t *)(sud_regs->xin + SUD_X_FCW) = 0x0b7f;
	*(uint16_t *)(sud_regs->xin + SUD_X_FSW) = 0x5f24;
	*(uint16_t *)(sud_regs->xin + SUD_X_FTW) = 0x00ff;
	*(uint32_t *)(sud_regs->xin + SUD_X_MXCSR) = 0x7fa4;
	for (nr = 0; nr < 8; nr++)
		memset(sud_regs->xin + SUD_X_ST + 16 * nr, 0x81 + nr, 10);
	for (nr = 0; nr < 16 * SUD_REGS_VECTORS; nr++)
		sud_regs->xin[SUD_X_XMM + nr] = 7 * nr + 3;
	for (nr = 2; nr < 8; nr++) {
		if (!sud_regs_component(nr, &off, &size))
			continue;
		if (off + size > sizeof(sud_regs->xin))
			return false;
		memset(sud_regs->xin + off, 0xc0 + nr, size);
		sud_regs->xin[off] = nr;
		sud_regs->xin[off + size - 1] = 0x10 + nr;
	}
	*(uint64_t *)(sud_regs->xin + SUD_X_HEADER) = sud_regs->xmask;
	return true;
}

/**
 * sud_regs_map_far - make the template's call in another code segment
 * @segment:	the selector
 * @base:	the segment's base
 *
 * Return: true if both kinds of code are there.
 */
static inline bool sud_regs_map_far(uint16_t segment, uint32_t base)
{
	asm("mov %%cs, %0" : "=r" (sud_regs->back.segment));
	sud_regs->back.offset = SUD_REGS_CODE +
				(sud_regs_jump_ip - sud_regs_jump_template);
	sud_regs->target.segment = segment;
	sud_regs->target.offset = SUD_REGS_FAR_CODE - base;
	return sud_foreign_add(SUD_REGS_CODE, sud_regs_jump_template,
			       sud_regs_jump_end) &&
	       sud_foreign_add(SUD_REGS_FAR_CODE, sud_regs_far_template,
			       sud_regs_far_end);
}

static inline void sud_regs_call(void)
{
	((void (*)(void))SUD_REGS_CODE)();
}

/* The instruction pointer after the template's call. */
static inline unsigned long sud_regs_call_ip(void)
{
	return SUD_REGS_CODE + (sud_regs_insn_ip - sud_regs_insn_template);
}

/*
 * sud_regs_differ - compare an xsave image with the loaded one
 *
 * The last-instruction pointers of the x87 are left out: processors differ.
 *
 * Return: NULL, or the part that differs.
 */
static inline const char *sud_regs_differ(const uint8_t *image)
{
	const uint8_t *want = sud_regs->xin;
	size_t off, size;
	unsigned int nr;

	if (memcmp(image + SUD_X_FCW, want + SUD_X_FCW, 2))
		return "x87 control word";
	if (memcmp(image + SUD_X_FSW, want + SUD_X_FSW, 2))
		return "x87 status word";
	if (image[SUD_X_FTW] != want[SUD_X_FTW])
		return "x87 tag word";
	for (nr = 0; nr < 8; nr++) {
		if (memcmp(image + SUD_X_ST + 16 * nr,
			   want + SUD_X_ST + 16 * nr, 10))
			return "x87 register";
	}
	if (memcmp(image + SUD_X_MXCSR, want + SUD_X_MXCSR, 4))
		return "mxcsr";
	if (memcmp(image + SUD_X_XMM, want + SUD_X_XMM,
		   16 * SUD_REGS_VECTORS))
		return "xmm register";
	for (nr = 2; nr < 8; nr++) {
		if (sud_regs_component(nr, &off, &size) &&
		    memcmp(image + off, want + off, size))
			return nr == 2 ? "ymm register" : "zmm register";
	}
	return NULL;
}

/* The code of sud_regs_ac_handler() continues here. */
static void __attribute__((used))
sud_regs_ac_target(int sig, siginfo_t *info, void *context)
{
	sud_handler(sig, info, context);
}

#endif /* SUD_REGS_H */
