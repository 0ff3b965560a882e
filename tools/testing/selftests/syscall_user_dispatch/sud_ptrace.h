/* SPDX-License-Identifier: GPL-2.0 */
/* Tracing in the Syscall User Dispatch selftests: shared by tracers. */
#ifndef SUD_PTRACE_H
#define SUD_PTRACE_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <sys/ptrace.h>
#include <linux/ptrace.h>
#include <sys/user.h>

/* If the headers lack the requests, the tests compile, and skip at run time. */
#ifndef PTRACE_SET_SYSCALL_USER_DISPATCH_CONFIG
#define PTRACE_SET_SYSCALL_USER_DISPATCH_CONFIG	0x4210
#define PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG	0x4211
struct ptrace_sud_config {
	__u64 mode;
	__u64 selector;
	__u64 offset;
	__u64 len;
};
#endif

#include "sud.h"

/* A stop of the tracee, as sud_wait_stop() returns it. */
#define SUD_STOP_EVENT(event)	(SIGTRAP | (event) << 8)
#define SUD_STOP_GROUP(sig)	((sig) | PTRACE_EVENT_STOP << 8)
/* With PTRACE_O_TRACESYSGOOD. */
#define SUD_STOP_SYSCALL	(SIGTRAP | 0x80)

/*
 * sud_ptrace - the raw ptrace(), but for the PEEK requests
 * @request:	and so on: the arguments as the kernel sees them
 *
 * Return: its result, or the negative error number.
 */
static inline long sud_ptrace(long request, pid_t pid, unsigned long addr,
			      unsigned long data)
{
	long ret;

	errno = 0;
	ret = syscall(SYS_ptrace, (sud_uword)request, (sud_uword)pid,
		      (sud_uword)addr, (sud_uword)data);
	return ret == -1 ? -errno : ret;
}

/**
 * sud_config_top - the greatest number that a field of a configuration holds
 */
static inline uint64_t sud_config_top(void)
{
	return sud_kernel_is_64bit() ? UINT64_MAX : UINT32_MAX;
}

/*
 * sud_config - a configuration, in the order of prctl()'s arguments
 */
static inline struct ptrace_sud_config
sud_config(uint64_t mode, uint64_t offset, uint64_t len, uint64_t selector)
{
	struct ptrace_sud_config c = {
		.mode = mode,
		.selector = selector,
		.offset = offset,
		.len = len,
	};

	return c;
}

/*
 * sud_config_native - all native code of the tracee is exempt, of any ABI
 */
static inline struct ptrace_sud_config sud_config_native(uint64_t selector)
{
	return sud_config(SUD_EXCL, SUD_NATIVE, sud_config_top() - SUD_NATIVE,
			  selector);
}

/*
 * sud_config_foreign - the same by PR_SYS_DISPATCH_INCLUSIVE_ON
 */
static inline struct ptrace_sud_config sud_config_foreign(uint64_t selector)
{
	return sud_config(SUD_INCL, SUD_FOREIGN, 4096, selector);
}

/**
 * sud_config_off - the configuration of a tracee that is off
 */
static inline struct ptrace_sud_config sud_config_off(void)
{
	return sud_config(SUD_OFF, 0, 0, 0);
}

/*
 * sud_get - get the configuration of a tracee
 *
 * Return: 0, or the negative error number. Without the request: -EIO.
 */
static inline long sud_get(pid_t pid, struct ptrace_sud_config *config)
{
	memset(config, 0xff, sizeof(*config));
	return sud_ptrace(PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG, pid,
			  sizeof(*config), (unsigned long)config);
}

/*
 * sud_set - set the configuration of a tracee
 *
 * Return: 0, or the negative error number. Without the request: -EIO.
 */
static inline long sud_set(pid_t pid, struct ptrace_sud_config config)
{
	return sud_ptrace(PTRACE_SET_SYSCALL_USER_DISPATCH_CONFIG, pid,
			  sizeof(config), (unsigned long)&config);
}

/* A tracee's configuration is as given, in every field. */
#define SUD_EXPECT_CONFIG(pid_, ...) do {				\
	struct ptrace_sud_config want__ = __VA_ARGS__, got__;		\
									\
	EXPECT_EQ(0, sud_get(pid_, &got__));				\
	EXPECT_EQ(0, memcmp(&want__, &got__, sizeof(want__))) {		\
		TH_LOG("got mode %llx offset %llx len %llx selector %llx", \
		       got__.mode, got__.offset, got__.len,		\
		       got__.selector);					\
		TH_LOG("not mode %llx offset %llx len %llx selector %llx", \
		       want__.mode, want__.offset, want__.len,		\
		       want__.selector);				\
	}								\
} while (0)

/*
 * sud_ptrace_siginfo - the signal of a signal-delivery stop
 *
 * Return: 0, or the negative error number.
 */
static inline long sud_ptrace_siginfo(pid_t pid, siginfo_t *info)
{
	return sud_ptrace(PTRACE_GETSIGINFO, pid, 0, (unsigned long)info);
}

/*
 * sud_wait_stop - wait until a tracee stops
 *
 * Return: the signal, with the event above it: one of SUD_STOP_*, or a plain
 * signal number; -1 if the tracee does not live.
 */
static inline int sud_wait_stop(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, __WALL) != pid) {
		if (errno != EINTR)
			return -1;
	}
	return WIFSTOPPED(status) ? status >> 8 : -1;
}

/*
 * sud_resume - let a tracee go on to its next stop
 * @request:	PTRACE_CONT or one of its kind
 * @sig:	the signal that it gets, or 0
 *
 * Return: as sud_wait_stop().
 */
static inline int sud_resume(long request, pid_t pid, int sig)
{
	if (sud_ptrace(request, pid, 0, sig))
		return -1;
	return sud_wait_stop(pid);
}

/*
 * sud_run_to_end - let a stopped tracee run until it ends
 *
 * It is given the SIGSYS that it stops for, and no other signal.
 *
 * Return: its wait status, or -1.
 */
static inline int sud_run_to_end(pid_t pid)
{
	int status, sig = 0, stops;

	for (stops = 0; stops < 100; stops++) {
		if (sud_ptrace(PTRACE_CONT, pid, 0, sig) ||
		    waitpid(pid, &status, __WALL) != pid)
			return -1;
		if (!WIFSTOPPED(status))
			return status;
		sig = WSTOPSIG(status) == SIGSYS ? SIGSYS : 0;
	}
	return -1;
}

/*
 * sud_put_down - kill a child, and reap it
 */
static inline void sud_put_down(pid_t pid)
{
	if (pid <= 0 || kill(pid, SIGKILL))
		return;
	while (waitpid(pid, NULL, __WALL) == pid)
		;
}

/**
 * sud_fork_tracee - start a child that is traced, and wait for it to stop
 * @fn:		run by the child; must not return
 * @options:	PTRACE_O_*; PTRACE_O_EXITKILL and PTRACE_O_TRACESYSGOOD are
 *		always on
 *
 * The child stops by SIGSTOP, just before it calls @fn.
 *
 * Return: its number, or -1.
 */
static inline pid_t sud_fork_tracee(void (*fn)(void), unsigned long options)
{
	pid_t pid = fork();

	if (pid < 0)
		return -1;
	if (pid == 0) {
		if (sud_die_with_parent() ||
		    ptrace(PTRACE_TRACEME, 0, NULL, NULL))
			_exit(EXIT_FAILURE);
		raise(SIGSTOP);
		fn();
		_exit(EXIT_FAILURE);
	}
	if (sud_wait_stop(pid) != SIGSTOP ||
	    sud_ptrace(PTRACE_SETOPTIONS, pid, 0, options | PTRACE_O_EXITKILL |
		       PTRACE_O_TRACESYSGOOD))
		return -1;
	return pid;
}

#endif /* SUD_PTRACE_H */
