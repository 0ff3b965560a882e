// SPDX-License-Identifier: GPL-2.0
/*
 * Use the feature with the names in the installed headers. The child has one of its
 * system calls dispatched. The parent reads and sets the child's configuration by ptrace.
 */
#define _GNU_SOURCE
#include <linux/prctl.h>
#include <linux/ptrace.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#define ANSWER	42

extern const int kernel_si_code;

static volatile char selector = SYSCALL_DISPATCH_FILTER_ALLOW;
static volatile int count, si_code, number;

/* Returning from the handler is a system call, too, so it sets ALLOW first. */
static void dispatched(int sig, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;

	(void)sig;
	selector = SYSCALL_DISPATCH_FILTER_ALLOW;
	count++;
	si_code = info->si_code;
	number = info->si_syscall;
	uc->uc_mcontext.gregs[REG_RAX] = ANSWER;
}

static void require(bool right, const char *what)
{
	if (right)
		return;
	perror(what);
	/* Not exit(): the child must not flush the parent's buffers. */
	_exit(1);
}

static void child(void)
{
	struct sigaction action = {
		.sa_sigaction = dispatched,
		.sa_flags = SA_SIGINFO,
	};
	long ret;

	require(sigaction(SIGSYS, &action, NULL) == 0, "sigaction");
	require(prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON,
		      0, 0, &selector) == 0, "PR_SET_SYSCALL_USER_DISPATCH");
	require(syscall(SYS_ptrace, PTRACE_TRACEME, 0, 0, 0) == 0,
		"PTRACE_TRACEME");
	raise(SIGSTOP);

	selector = SYSCALL_DISPATCH_FILTER_BLOCK;
	ret = syscall(SYS_getppid);
	selector = SYSCALL_DISPATCH_FILTER_ALLOW;
	require(ret == ANSWER, "the answer of the handler");
	require(count == 1, "one call is dispatched");
	require(number == SYS_getppid, "si_syscall");
	require(si_code == kernel_si_code, "si_code");

	require(prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_OFF,
		      0, 0, 0) == 0, "PR_SYS_DISPATCH_OFF");
	selector = SYSCALL_DISPATCH_FILTER_BLOCK;
	ret = syscall(SYS_getppid);
	require(ret == getppid() && count == 1, "no call is dispatched");
	printf("client: a call was dispatched\n");
	fflush(stdout);
	_exit(0);
}

int main(void)
{
	struct ptrace_sud_config config, again;
	pid_t pid;
	int status;

	pid = fork();
	require(pid >= 0, "fork");
	if (pid == 0)
		child();

	require(waitpid(pid, &status, 0) == pid, "waitpid");
	require(WIFSTOPPED(status), "the child stops");
	require(syscall(SYS_ptrace, PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG, pid,
			sizeof(config), &config) == 0,
		"PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG");
	require(config.mode == PR_SYS_DISPATCH_ON, "mode");
	/* After fork(), the variable has the same address in both. */
	require(config.selector == (uintptr_t)&selector, "selector");
	require(config.offset == 0 && config.len == 0, "offset, len");

	/* Set a region, read it back, and remove it. */
	config.offset = 0x1000;
	config.len = 0x2000;
	require(syscall(SYS_ptrace, PTRACE_SET_SYSCALL_USER_DISPATCH_CONFIG, pid,
			sizeof(config), &config) == 0,
		"PTRACE_SET_SYSCALL_USER_DISPATCH_CONFIG");
	require(syscall(SYS_ptrace, PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG, pid,
			sizeof(again), &again) == 0, "the second get");
	require(memcmp(&config, &again, sizeof(config)) == 0,
		"the configuration that was set");
	config.offset = 0;
	config.len = 0;
	require(syscall(SYS_ptrace, PTRACE_SET_SYSCALL_USER_DISPATCH_CONFIG, pid,
			sizeof(config), &config) == 0, "the second set");

	require(syscall(SYS_ptrace, PTRACE_DETACH, pid, 0, 0) == 0,
		"PTRACE_DETACH");
	/* In case the child is still stopped after the detach. */
	kill(pid, SIGCONT);
	require(waitpid(pid, &status, 0) == pid, "waitpid");
	require(WIFEXITED(status) && WEXITSTATUS(status) == 0,
		"the child exits with status 0");
	return 0;
}
