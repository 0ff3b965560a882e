/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The kernel's mappings in a program, read like the dynamic linker does, and
 * the instructions to call into them.
 */
#ifndef SUD_VDSO_H
#define SUD_VDSO_H

#include <elf.h>
#include <link.h>
#include <stdio.h>
#include <sys/auxv.h>

#include "sud.h"

/**
 * struct sud_vdso - the vDSO of this process
 * @base:	its address; a test that moves it updates this
 * @size:	its length in bytes
 * @symbols:	its dynamic symbols, relative to @base
 * @count:	their number
 * @names:	their names, relative to @base
 */
struct sud_vdso {
	unsigned long base;
	size_t size;
	unsigned long symbols;
	unsigned int count;
	unsigned long names;
};

/**
 * sud_mapping - find a mapping by its name
 * @name:	as in /proc/self/maps, with the brackets
 * @start:	is set to its start
 *
 * Return: its length, or 0 if there is none.
 */
static inline size_t sud_mapping(const char *name, unsigned long *start)
{
	unsigned long from, to;
	char line[512];
	size_t len = 0;
	FILE *maps = fopen("/proc/self/maps", "re");

	if (!maps)
		return 0;
	while (fgets(line, sizeof(line), maps)) {
		if (strstr(line, name) &&
		    sscanf(line, "%lx-%lx", &from, &to) == 2) {
			*start = from;
			len = to - from;
		}
	}
	fclose(maps);
	return len;
}

/*
 * sud_vdso_find - fill in the structure
 *
 * Return: true if there is a vDSO, with symbols.
 */
static inline bool sud_vdso_find(struct sud_vdso *vdso)
{
	const ElfW(Ehdr) *ehdr = (void *)getauxval(AT_SYSINFO_EHDR);
	unsigned long start, symbols = 0, names = 0;
	const ElfW(Phdr) *phdr;
	const ElfW(Dyn) *dyn;
	int i;

	vdso->base = (unsigned long)ehdr;
	vdso->size = sud_mapping("[vdso]", &start);
	if (!ehdr || !vdso->size || start != vdso->base)
		return false;
	phdr = (void *)(vdso->base + ehdr->e_phoff);
	for (i = 0; i < ehdr->e_phnum; i++) {
		if (phdr[i].p_type != PT_DYNAMIC)
			continue;
		dyn = (void *)(vdso->base + phdr[i].p_offset);
		for (; dyn->d_tag != DT_NULL; dyn++) {
			if (dyn->d_tag == DT_SYMTAB)
				symbols = dyn->d_un.d_ptr;
			if (dyn->d_tag == DT_STRTAB)
				names = dyn->d_un.d_ptr;
		}
	}
	/*
	 * One follows the other. Hash tables come in too many kinds to use
	 * them.
	 */
	if (!symbols || names <= symbols || names >= vdso->size)
		return false;
	vdso->symbols = symbols;
	vdso->count = (names - symbols) / sizeof(ElfW(Sym));
	vdso->names = names;
	return true;
}

/*
 * sud_vdso_name - the name of the symbol with a given index
 * @value: is set to its address
 */
static inline const char *sud_vdso_name(const struct sud_vdso *vdso,
					unsigned int index,
					unsigned long *value)
{
	const ElfW(Sym) *sym = (void *)(vdso->base + vdso->symbols);

	*value = vdso->base + sym[index].st_value;
	return (char *)vdso->base + vdso->names + sym[index].st_name;
}

/*
 * sud_vdso_sym - the address of a symbol, or 0
 */
static inline unsigned long sud_vdso_sym(const struct sud_vdso *vdso,
					 const char *name)
{
	unsigned long value;
	unsigned int i;

	for (i = 0; i < vdso->count; i++) {
		if (!strcmp(sud_vdso_name(vdso, i, &value), name))
			return value;
	}
	return 0;
}

/*
 * sud_in_vdso - is this an address in it?
 */
static inline bool sud_in_vdso(const struct sud_vdso *vdso, const void *addr)
{
	return (unsigned long)addr - vdso->base < vdso->size;
}

/* System-call instructions, as 16-bit little-endian values. */
#define SUD_INSN_SYSCALL	0x050f
#define SUD_INSN_INT80		0x80cd

/**
 * sud_after_insn - the address after the first system-call instruction
 * @func:	the function in which to look for it
 * @insn:	which instruction
 *
 * Return: that address, or 0 if the code looks unfamiliar.
 */
static inline unsigned long sud_after_insn(unsigned long func, uint16_t insn)
{
	const uint8_t *p = (void *)func;
	int i;

	for (i = 0; i < 32; i++) {
		if ((p[i] | p[i + 1] << 8) == insn)
			return func + i + 2;
	}
	return 0;
}

/**
 * struct sud_landing - __kernel_vsyscall(), and how it enters the kernel
 * @entry:	its address
 * @ip:		the landing pad: after the int $0x80
 * @by:		the instruction
 */
struct sud_landing {
	unsigned long entry;
	unsigned long ip;
	const char *by;
};

/*
 * sud_landing - find them in the code
 *
 * The code first saves three registers, which do not matter here. sysenter and
 * syscall return to the address after the int $0x80 that follows them.
 *
 * Return: false if there is no such function.
 */
static inline bool sud_landing(struct sud_landing *landing)
{
	const uint8_t *code = (void *)getauxval(AT_SYSINFO);
	unsigned int i;

	if (!code)
		return false;
	for (i = 2; i < 64; i++) {
		if (code[i] != 0xcd || code[i + 1] != 0x80)
			continue;
		landing->entry = (unsigned long)code;
		landing->ip = (unsigned long)code + i + 2;
		landing->by = "int $0x80";
		if (code[i - 2] == 0x0f && code[i - 1] == 0x34)
			landing->by = "sysenter";
		if (code[i - 2] == 0x0f && code[i - 1] == 0x05)
			landing->by = "syscall";
		return true;
	}
	return false;
}

#ifdef __x86_64__

/*
 * A function of the vDSO that falls back to a system call, and the number of
 * that call. The vDSO of x32 is the 64-bit one in another format, with the
 * same numbers.
 */
#define SUD_VDSO_CLOCK_GETTIME		"__vdso_clock_gettime"
#define SUD_VDSO_CLOCK_GETTIME_NR	(SYS_clock_gettime & ~0x40000000)

#define SUD_VSYSCALL_GETTIMEOFDAY	0xffffffffff600000ULL
#define SUD_VSYSCALL_TIME		0xffffffffff600400ULL
#define SUD_VSYSCALL_GETCPU		0xffffffffff600800ULL

/*
 * sud_vsyscall - call an address in the vsyscall page
 *
 * The address has more bits than a pointer of x32. The red zone is preserved.
 */
static inline sud_word sud_vsyscall(sud_uword where, void *a1, void *a2)
{
	sud_word ret;

	asm volatile("lea	-128(%%rsp), %%rsp\n\t"
		     "call	*%1\n\t"
		     "lea	128(%%rsp), %%rsp"
		     : "=a" (ret)
		     : "r" (where), "D" (a1), "S" (a2), "d" (0)
		     : "rcx", "r8", "r9", "r10", "r11", "memory");
	return ret;
}

#else

#define SUD_VDSO_CLOCK_GETTIME		"__vdso_clock_gettime64"
#define SUD_VDSO_CLOCK_GETTIME_NR	SYS_clock_gettime64

/*
 * sud_kernel_vsyscall - a system call without arguments by way of the vDSO
 * @func:	the address of __kernel_vsyscall
 */
static inline long sud_kernel_vsyscall(unsigned long func, long nr)
{
	long ret;

	asm volatile("call *%1" : "=a" (ret) : "r" (func), "0" (nr) : "memory");
	return ret;
}

#endif

/*
 * rt_sigreturn() as in any C library: the number into the register, and the
 * system call. On a foreign page, it is not exempt.
 */
extern const char sud_restorer[] __attribute__((visibility("hidden")));
extern const char sud_restorer_end[] __attribute__((visibility("hidden")));
asm(".pushsection .text\n"
	"sud_restorer:\n"
#ifndef __x86_64__
	"	mov	$173, %eax\n"
	"	int	$0x80\n"
#elif defined(__ILP32__)
	"	mov	$(0x40000000 + 513), %eax\n"
	"	syscall\n"
#else
	"	mov	$15, %eax\n"
	"	syscall\n"
#endif
	"sud_restorer_end:\n"
	".popsection\n"
);

#ifndef SA_RESTORER
#define SA_RESTORER 0x04000000
#endif

/* The kernel's struct sigaction. */
struct sud_ksigaction {
	void *handler;
	unsigned long flags;
	void *restorer;
	unsigned long mask[SUD_SIGSET_SIZE / sizeof(long)];
};

/*
 * sud_sigaction - the raw rt_sigaction()
 *
 * Return: 0, or -1 with errno set.
 */
static inline long sud_sigaction(int sig, const struct sud_ksigaction *new,
				 struct sud_ksigaction *old)
{
	return syscall(SYS_rt_sigaction, sig, new, old, SUD_SIGSET_SIZE);
}

#endif /* SUD_VDSO_H */
