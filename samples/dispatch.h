/* SPDX-License-Identifier: GPL-2.0 */
/* The feature's numbers, for systems whose headers are older than it. */
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
#define PR_SET_SYSCALL_USER_DISPATCH_HANDLER	0x53554448	/* of no other kernel */
#endif
#ifndef SYS_USER_DISPATCH
#define SYS_USER_DISPATCH		2
#endif

/* What the selector byte says. */
#define ALLOW	SYSCALL_DISPATCH_FILTER_ALLOW
#define BLOCK	SYSCALL_DISPATCH_FILTER_BLOCK

#endif
