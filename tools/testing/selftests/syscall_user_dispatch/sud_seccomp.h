/* SPDX-License-Identifier: GPL-2.0 */
/* Seccomp filters. */
#ifndef SUD_SECCOMP_H
#define SUD_SECCOMP_H

#include <linux/filter.h>
#include <linux/seccomp.h>

#include "sud.h"

#ifndef SYS_SECCOMP
#define SYS_SECCOMP	1
#endif

/* Load a field. Of a 64-bit field, load the lower half. */
#define SUD_BPF_LOAD(field)						\
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS,				\
		 offsetof(struct seccomp_data, field))
#define SUD_BPF_LOAD_UPPER(field)					\
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS,				\
		 offsetof(struct seccomp_data, field) + 4)
/* Continue if it is equal. Otherwise skip that many statements. */
#define SUD_BPF_UNLESS(value, skip)					\
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, skip)
#define SUD_BPF_RETURN(action)						\
	BPF_STMT(BPF_RET | BPF_K, action)

static inline bool sud_has_filters(void)
{
	uint32_t action = SECCOMP_RET_TRAP;

	return !syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action);
}

#define SUD_REQUIRE_FILTERS() do {					\
	if (!sud_has_filters())						\
		SKIP(return, "no seccomp filters in this kernel");	\
} while (0)

/*
 * sud_seccomp - install a filter for the calling thread
 *
 * Return: 0 (a listener's file descriptor, if one was asked for), or the
 * negative error number.
 */
static inline int sud_seccomp(struct sock_filter *code, unsigned int n,
			      unsigned int flags)
{
	struct sock_fprog prog = { .len = n, .filter = code };
	int ret;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1UL, 0UL, 0UL, 0UL))
		return -errno;
	ret = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &prog);
	return ret < 0 ? -errno : ret;
}

/*
 * sud_seccomp_nr - install a filter that takes an action on one number
 *
 * Return: as sud_seccomp().
 */
static inline int sud_seccomp_nr(long nr, uint32_t action, unsigned int flags)
{
	struct sock_filter code[] = {
		SUD_BPF_LOAD(nr),
		SUD_BPF_UNLESS(nr, 1),
		SUD_BPF_RETURN(action),
		SUD_BPF_RETURN(SECCOMP_RET_ALLOW),
	};

	return sud_seccomp(code, sizeof(code) / sizeof(code[0]), flags);
}

/*
 * sud_seccomp_veto - install a filter that takes an action on this prctl
 *
 * Return: as sud_seccomp().
 */
static inline int sud_seccomp_veto(uint32_t action)
{
	struct sock_filter code[] = {
		SUD_BPF_LOAD(nr),
		SUD_BPF_UNLESS(SYS_prctl, 3),
		SUD_BPF_LOAD(args[0]),
		SUD_BPF_UNLESS(PR_SET_SYSCALL_USER_DISPATCH, 1),
		SUD_BPF_RETURN(action),
		SUD_BPF_RETURN(SECCOMP_RET_ALLOW),
	};

	return sud_seccomp(code, sizeof(code) / sizeof(code[0]), 0);
}

#endif /* SUD_SECCOMP_H */
