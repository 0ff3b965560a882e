// SPDX-License-Identifier: GPL-2.0
/*
 * Syscall User Dispatch: ptrace.c executes this program to get a tracee of
 * another ABI.
 *
 * The arguments are the number of an open file, which holds a struct
 * sud_tracee, and the address to map it at. The program ends only if it does
 * not work; the exit status tells why.
 */
#include "sud.h"
#include "sud_tracee.h"

static struct sud_tracee *map(int fd, unsigned long long addr)
{
	size_t page = sysconf(_SC_PAGESIZE);
	void *p;

	if (addr != (uintptr_t)addr)
		return NULL;
	p = mmap((void *)(uintptr_t)addr, page, PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_FIXED_NOREPLACE, fd, 0);
	return p == (void *)(uintptr_t)addr ? p : NULL;
}

int main(int argc, char **argv)
{
	struct sud_tracee *t;

	if (argc != 3)
		return EXIT_FAILURE;
	t = map(atoi(argv[1]), strtoull(argv[2], NULL, 16));
	if (!t || !sud_setup())
		return EXIT_FAILURE;
	for (;;) {
		raise(SIGSTOP);
		if (t->arm)
			t->result = sud_prctl(t->args[0], t->args[1],
					      t->args[2], t->args[3]);
		else
			t->result = sud_probe();
	}
}
