/* SPDX-License-Identifier: GPL-2.0 */
/* The numbers of the feature, for systems with older headers, and its prctl. */
#ifndef DISPATCH_H
#define DISPATCH_H

#include <signal.h>
#include <sys/prctl.h>

#ifndef PR_SET_SYSCALL_USER_DISPATCH
#define PR_SET_SYSCALL_USER_DISPATCH	59
#define PR_SYS_DISPATCH_OFF		0
#define PR_SYS_DISPATCH_ON		1
#define SYSCALL_DISPATCH_FILTER_ALLOW	0
#define SYSCALL_DISPATCH_FILTER_BLOCK	1
#endif
#ifndef PR_SET_SYSCALL_USER_DISPATCH_HANDLER
#define PR_SET_SYSCALL_USER_DISPATCH_HANDLER	0x53554448	/* no other kernel has it */
#endif
#ifndef SYS_USER_DISPATCH
#define SYS_USER_DISPATCH		2
#endif

/* The values of the selector byte. */
#define ALLOW	SYSCALL_DISPATCH_FILTER_ALLOW
#define BLOCK	SYSCALL_DISPATCH_FILTER_BLOCK

/* prctl() is variadic and reads each argument as a long: a plain 0 would be an int. */
static inline int set_dispatch(unsigned long op, unsigned long start, unsigned long size,
			       volatile unsigned char *selector)
{
	return prctl(PR_SET_SYSCALL_USER_DISPATCH, op, start, size, selector);
}

#endif
