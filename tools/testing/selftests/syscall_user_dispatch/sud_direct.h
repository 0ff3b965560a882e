/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Syscall User Dispatch without a signal: what its tests share.
 */
#ifndef SUD_DIRECT_H
#define SUD_DIRECT_H

#include "sud_ptrace.h"

/* Headers without it: the tests compile, and skip at run time. */
#ifndef PR_SET_SYSCALL_USER_DISPATCH_HANDLER
#define PR_SET_SYSCALL_USER_DISPATCH_HANDLER	0x53554448
struct ptrace_sud_config_direct {
	struct ptrace_sud_config config;
	__u64 handler;
};
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
 * sud_get_direct - get the configuration of a tracee, with the handler
 *
 * Return: 0, or the negative error number.
 */
static inline long sud_get_direct(pid_t pid, struct ptrace_sud_config_direct *c)
{
	memset(c, 0xff, sizeof(*c));
	return sud_ptrace(PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG, pid,
			  sizeof(*c), (unsigned long)c);
}

/*
 * sud_set_direct - set the configuration of a tracee, with the handler
 *
 * Return: 0, or the negative error number.
 */
static inline long sud_set_direct(pid_t pid, struct ptrace_sud_config config,
				  uint64_t handler)
{
	struct ptrace_sud_config_direct c = { config, handler };

	return sud_ptrace(PTRACE_SET_SYSCALL_USER_DISPATCH_CONFIG, pid,
			  sizeof(c), (unsigned long)&c);
}

#endif /* SUD_DIRECT_H */
