// SPDX-License-Identifier: GPL-2.0
/*
 * sudtrace [-c] [-o FILE] PROGRAM [ARGUMENT]...: shows or counts the system calls of a dynamically linked
 * 64-bit program, of its threads and of its children, by Syscall User Dispatch alone.
 *
 * This one file is the program and the library that it preloads. The calls that ld.so makes before it
 * runs the library are not seen. A call that a signal interrupted and the kernel restarts counts once.
 */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sud.h"

#define CALLS	512

static const char *const names[CALLS] = {
#include "sudtrace-names.h"
};
static struct counts { long calls[CALLS], errors[CALLS]; } *counts;
static int out = -1;
const char interpreter[] __attribute__((section(".interp"))) = "/lib64/ld-linux-x86-64.so.2";

static char *number(char *to, unsigned long value, unsigned int base)
{
	char digits[24];
	int i = 0;

	do
		digits[i++] = "0123456789abcdef"[value % base];
	while (value /= base);
	while (i)
		*to++ = digits[--i];
	return to;
}

static char *text(char *to, const char *from)
{
	while (*from)
		*to++ = *from++;
	return to;
}

static void show(const struct sud_call *call, const long *result)
{
	unsigned long nr = call->number;
	char line[320], *p = text(number(text(line, "[pid "), call->tid, 10), "] ");
	int i;

	p = nr < CALLS && names[nr] ? text(p, names[nr]) : number(text(p, "syscall_"), nr, 10);
	for (i = 0; i < 6; i++)
		p = number(text(p, i ? ", 0x" : "(0x"), call->args[i], 16);
	p = text(p, ") = ");
	if (!result)
		p = text(p, "?");
	else if (*result < 0)
		p = number(text(p, "-"), -*result, 10);
	else
		p = number(text(p, *result > 65535 ? "0x" : ""), *result, *result > 65535 ? 16 : 10);
	*p++ = '\n';
	sud_syscall(SYS_write, out, (long)line, p - line, 0, 0, 0);
}

static int enter(struct sud_call *call, long *result)
{
	unsigned long nr = call->number;

	if (counts && nr < CALLS)
		__atomic_add_fetch(&counts->calls[nr], 1, __ATOMIC_RELAXED);
	if (!counts && (nr == SYS_exit || nr == SYS_exit_group || nr == SYS_rt_sigreturn || nr == SYS_execve))
		show(call, NULL);
	/* The program did not open our file, and must not close it. */
	if (nr == SYS_close && (int)call->args[0] == out) {
		*result = -EBADF;
		return SUD_SKIP;
	}
	if (nr == SYS_close_range && (unsigned int)call->args[0] <= (unsigned int)out &&
	    (unsigned int)call->args[1] >= (unsigned int)out) {
		*result = 0;
		if ((unsigned int)call->args[0] < (unsigned int)out)
			*result = sud_syscall(nr, call->args[0], out - 1, call->args[2], 0, 0, 0);
		if (!*result && (unsigned int)call->args[1] > (unsigned int)out)
			*result = sud_syscall(nr, out + 1, call->args[1], call->args[2], 0, 0, 0);
		return SUD_SKIP;
	}
	return SUD_RUN;
}

static void leave(struct sud_call *call, long result)
{
	if (!counts)
		show(call, &result);
	else if (result < 0 && result > -4096 && (unsigned long)call->number < CALLS)
		__atomic_add_fetch(&counts->errors[call->number], 1, __ATOMIC_RELAXED);
}

static const struct sud_hooks hooks = { enter, leave };

__attribute__((constructor)) static void load(int argc, char **argv, char **envp)
{
	long address;

	(void)argc;
	(void)argv;
	for (; *envp; envp++)
		if (!strncmp(*envp, "SUDTRACE=", 9)) {
			out = atoi(*envp + 10);
			if ((*envp)[9] == 'c') {
				address = sud_syscall(SYS_mmap, 0, sizeof(*counts), PROT_READ | PROT_WRITE, MAP_SHARED, out, 0);
				if (address < 0)
					return;
				counts = (struct counts *)address;
			}
			sud_arm(&hooks);
			return;
		}
}

static void die(int status, const char *what, const char *why)
{
	fprintf(stderr, "sudtrace: %s: %s\n", what, why);
	exit(status);
}

/* Find PROGRAM as the shell does, and refuse one that ld.so would not preload the library into. */
static char *find(const char *name)
{
	static char path[4096];
	char *dirs = strdup(getenv("PATH") ?: "/usr/bin:/bin"), *dir;
	unsigned char head[4096];
	const Elf64_Ehdr *elf = (void *)head;
	const Elf64_Phdr *segment;
	struct stat st;
	int fd, i;
	ssize_t n;

	if (strchr(name, '/'))
		snprintf(path, sizeof(path), "%s", name);
	else
		for (dir = strtok(dirs, ":"); dir; dir = strtok(NULL, ":")) {
			snprintf(path, sizeof(path), "%s/%s", dir, name);
			if (!access(path, X_OK))
				break;
		}
	if (access(path, X_OK) || stat(path, &st))
		die(127, name, strerror(errno));
	if (st.st_mode & (S_ISUID | S_ISGID))
		die(126, path, "it is set-user-ID or set-group-ID, and ld.so preloads nothing into it. Use strace, as root.");
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, head, sizeof(head));
	if (n < (ssize_t)sizeof(*elf) || memcmp(head, ELFMAG, SELFMAG))
		return path;		/* a script, or one that cannot be read */
	if (elf->e_ident[EI_CLASS] != ELFCLASS64 || elf->e_machine != EM_X86_64)
		die(126, path, "it is no 64-bit x86 program. Use strace.");
	segment = (void *)(head + elf->e_phoff);
	for (i = 0; i < elf->e_phnum && (unsigned char *)(segment + i + 1) <= head + n; i++)
		if (segment[i].p_type == PT_INTERP)
			return path;
	die(126, path, "it is linked statically, so nothing can be preloaded. Use strace.");
	return NULL;
}

__attribute__((used)) static void start(long *stack)
{
	int argc = (int)stack[0], count = 0, option, fd = 2, status, i;
	char **argv = (char **)(stack + 1), self[4096], value[8192], *file = NULL, *path;
	const char *before = getenv("LD_PRELOAD");
	ssize_t n;
	pid_t pid;

	while ((option = getopt(argc, argv, "+co:")) != -1) {
		if (option == 'c')
			count = 1;
		else if (option == 'o')
			file = optarg;
		else
			exit(2);
	}
	if (optind >= argc)
		die(2, "usage", "sudtrace [-c] [-o FILE] PROGRAM [ARGUMENT]...");
	if (prctl(PR_SET_SYSCALL_USER_DISPATCH, 0L, 0L, 0L, 0L))
		die(125, "this kernel has no Syscall User Dispatch, or a sandbox denies it", strerror(errno));
	path = find(argv[optind]);
	n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (n < 0)
		die(125, "/proc/self/exe", strerror(errno));
	self[n] = 0;
	if (strpbrk(self, " :"))
		die(125, self, "LD_PRELOAD takes no path with a space or a colon. Move sudtrace.");
	if (file && (fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0666)) < 0)
		die(125, file, strerror(errno));
	out = count ? memfd_create("sudtrace", 0) : fd;
	if (count && (ftruncate(out, sizeof(*counts)) ||
		      (counts = mmap(NULL, sizeof(*counts), PROT_READ | PROT_WRITE, MAP_SHARED, out, 0)) == MAP_FAILED))
		die(125, "memory for the counts", strerror(errno));
	i = fcntl(out, F_DUPFD, 900);
	out = i < 0 ? fcntl(out, F_DUPFD, 3) : i;
	snprintf(value, sizeof(value), "%c%d", count ? 'c' : 's', out);
	setenv("SUDTRACE", value, 1);
	snprintf(value, sizeof(value), "%s%s%s", self, before ? ":" : "", before ?: "");
	setenv("LD_PRELOAD", value, 1);
	pid = fork();
	if (!pid) {
		execv(path, argv + optind);
		die(126, path, strerror(errno));
	}
	signal(SIGINT, SIG_IGN);
	signal(SIGQUIT, SIG_IGN);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (count) {
		dprintf(fd, "    calls    errors syscall\n");
		for (i = 0; i < CALLS; i++)
			if (counts->calls[i])
				dprintf(fd, "%9ld %9ld %s\n", counts->calls[i], counts->errors[i], names[i] ?: "?");
	}
	exit(WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
}

__asm__(".globl sudtrace_entry\nsudtrace_entry:\n	mov %rsp, %rdi\n	and $-16, %rsp\n	call start\n	hlt");
