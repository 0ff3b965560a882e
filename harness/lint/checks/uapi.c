/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The numbers with which programs for Linux 5.11 and later were compiled. This
 * file fails to compile if an edit of the headers changes one.
 * harness/lint/checks/uapi compiles it as C and as C++.
 */

#include <stddef.h>

#include <asm/siginfo.h>
#include <linux/prctl.h>
#include <linux/ptrace.h>

/* The compiler prints the name of the type, in every language standard. */
#define IS(name, value) \
	typedef char name##_is_not_##value[(name) == (value) ? 1 : -1]

#define CONFIG_SIZE sizeof(struct ptrace_sud_config)
#define OFFSET(field) offsetof(struct ptrace_sud_config, field)
#define SIZE(field) sizeof(((struct ptrace_sud_config *)0)->field)
#define FIELD(name, offset) \
	typedef char name##_is_not_8_bytes_at_##offset[ \
		OFFSET(name) == (offset) && SIZE(name) == 8 ? 1 : -1]

IS(PR_SET_SYSCALL_USER_DISPATCH, 59);
IS(PR_SYS_DISPATCH_OFF, 0);
IS(PR_SYS_DISPATCH_ON, 1);
IS(PR_SYS_DISPATCH_EXCLUSIVE_ON, 1);
IS(PR_SYS_DISPATCH_INCLUSIVE_ON, 2);
IS(SYSCALL_DISPATCH_FILTER_ALLOW, 0);
IS(SYSCALL_DISPATCH_FILTER_BLOCK, 1);

IS(SYS_SECCOMP, 1);
IS(SYS_USER_DISPATCH, 2);

IS(PTRACE_SET_SYSCALL_USER_DISPATCH_CONFIG, 0x4210);
IS(PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG, 0x4211);

/* Only in this series, and outside the ranges that upstream assigns. */
IS(PR_SET_SYSCALL_USER_DISPATCH_HANDLER, 0x53554448);
IS(PTRACE_GET_SYSCALL_USER_DISPATCH_HANDLER, 0x53554447);
IS(PTRACE_SET_SYSCALL_USER_DISPATCH_HANDLER, 0x53554453);

IS(CONFIG_SIZE, 32);
FIELD(mode, 0);
FIELD(selector, 8);
FIELD(offset, 16);
FIELD(len, 24);
