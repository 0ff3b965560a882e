/* SPDX-License-Identifier: GPL-2.0 */
/* Syscall User Dispatch without a signal: shared by its tests. */
#ifndef SUD_DIRECT_H
#define SUD_DIRECT_H

#include "sud_ptrace.h"

/* If the headers lack it, the tests compile, and skip at run time. */
#ifndef PR_SET_SYSCALL_USER_DISPATCH_HANDLER
#define PR_SET_SYSCALL_USER_DISPATCH_HANDLER	0x53554448
#endif
#ifndef PTRACE_SET_SYSCALL_USER_DISPATCH_HANDLER
#define PTRACE_GET_SYSCALL_USER_DISPATCH_HANDLER	0x53554447
#define PTRACE_SET_SYSCALL_USER_DISPATCH_HANDLER	0x53554453
#endif

/*
 * sud_set_handler - the raw prctl(PR_SET_SYSCALL_USER_DISPATCH_HANDLER, ...)
 * @handler:	and so on: the arguments as the kernel sees them
 *
 * Return: 0, or the negative error number.
 */
static inline long sud_set_handler(sud_uword handler, sud_uword flags,
				   sud_uword a4, sud_uword a5)
{
	long ret;

	errno = 0;
	ret = syscall(SYS_prctl,
		      (sud_uword)PR_SET_SYSCALL_USER_DISPATCH_HANDLER, handler,
		      flags, a4, a5);
	return ret == -1 ? -errno : ret;
}

/*
 * sud_get_traced - get the handler of a tracee
 *
 * Return: 0, or the negative error number. Without the request: -EIO.
 */
static inline long sud_get_traced(pid_t pid, uint64_t *handler)
{
	memset(handler, 0xff, sizeof(*handler));
	return sud_ptrace(PTRACE_GET_SYSCALL_USER_DISPATCH_HANDLER, pid,
			  sizeof(*handler), (unsigned long)handler);
}

/*
 * sud_set_traced - set the handler of a tracee
 *
 * Return: 0, or the negative error number. Without the request: -EIO.
 */
static inline long sud_set_traced(pid_t pid, uint64_t handler)
{
	return sud_ptrace(PTRACE_SET_SYSCALL_USER_DISPATCH_HANDLER, pid,
			  sizeof(handler), (unsigned long)&handler);
}

/* A tracee's handler is at this address. */
#define SUD_EXPECT_HANDLER(pid_, ...) do {				\
	uint64_t handler__;						\
									\
	EXPECT_EQ(0, sud_get_traced(pid_, &handler__));			\
	EXPECT_EQ(__VA_ARGS__, handler__);				\
} while (0)

#endif /* SUD_DIRECT_H */
