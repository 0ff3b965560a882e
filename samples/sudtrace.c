// SPDX-License-Identifier: GPL-2.0
/*
 * sudtrace [-c] [-s] [-o FILE] PROGRAM [ARGUMENT]...: shows or counts the system calls of a dynamically linked
 * 64-bit program, of its threads and of its children, by Syscall User Dispatch alone. README.md says more.
 *
 * This one file is the program and the library that it preloads. The calls that ld.so makes before it runs the
 * library are not seen. A call that a signal interrupted and the kernel restarts counts once.
 */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SUD_INTERPOSE
#include "sud.h"

#define CALLS	512	/* calls of other numbers, and 32-bit calls, count as this one */
#define SHOWN	32	/* as many bytes of a buffer, and strings of an array, are shown */

#define CALL(name) [SYS_##name] = #name,
#define FLAG(kind, name)
static const char *const names[CALLS + 1] = {
#include "sudtrace-tables.h"
	[CALLS] = "(others)",
};
static const char *const kinds[CALLS] = {
#include "sudtrace-kinds.h"
};
#undef CALL
#undef FLAG
#define CALL(name)
#define FLAG(kind, name) { #kind, #name, name },
static const struct flag {
	const char kind[6], *name;
	unsigned long bits;
} flags[] = {
#include "sudtrace-tables.h"
};

/* Shared by all processes. */
static struct counts {
	long calls[CALLS + 1], errors[CALLS + 1], lost, direct;
	char last[512];
} *counts;

/* The file for the lines, or with -c the memory. The next descriptor is the end of a pipe that tells when all have ended. */
static int out = -1;

/* What every program gets in its environment, and where sudtrace itself is. */
static char setting[4200], *self;

const char interpreter[] __attribute__((section(".interp"))) = "/lib64/ld-linux-x86-64.so.2";

/* Lines of several threads. There is no memory of a thread, and its stack may be small. */
struct line {
	int tid;
	char *to, *end, text[12288];
};

static struct line *claim(int tid)
{
	static struct line lines[16];
	unsigned int i;
	int owner;

	for (i = 0;; i++) {
		struct line *line = &lines[i % 16];

		owner = line->tid;
		/* A thread of the parent, before a fork, does not give it back. */
		if (owner && (i < 1000 || sud_syscall(SYS_tgkill, sud_syscall(SYS_getpid, 0, 0, 0, 0, 0, 0), owner,
						      0, 0, 0, 0) != -ESRCH))
			continue;
		if (__atomic_compare_exchange_n(&line->tid, &owner, tid, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
			line->to = line->text;
			line->end = line->text + sizeof(line->text) - 64;
			return line;
		}
	}
}

static void number(struct line *line, unsigned long value, unsigned int base)
{
	char digits[24];
	int i = 0;

	do
		digits[i++] = "0123456789abcdef"[value % base];
	while (value /= base);
	while (i && line->to < line->end)
		*line->to++ = digits[--i];
}

static void decimal(struct line *line, long value)
{
	if (value < 0)
		*line->to++ = '-';
	number(line, value < 0 ? -value : value, 10);
}

static void text(struct line *line, const char *from)
{
	while (*from && line->to < line->end)
		*line->to++ = *from++;
}

/* @size bytes at @address of the program, or a string if @size is -1. At most @most are shown. */
static __attribute__((noinline)) void string(struct line *line, unsigned long address, long size, long most)
{
	char page[512], *start = line->to;
	long n, i, done = 0;

	if (!address) {
		text(line, "NULL");
		return;
	}
	text(line, "\"");
	while (done != size && done < most) {
		n = sizeof(page) - address % sizeof(page);	/* not into a page that may be missing */
		if (size >= 0 && n > size - done)
			n = size - done;
		if (sud_copy(page, address, n, 0)) {
			line->to = start;
			text(line, "0x");
			number(line, address, 16);
			return;
		}
		for (i = 0; i < n && done < most; i++, done++) {
			unsigned char c = page[i];
			static const char escapes[] = "\aa\bb\tt\nn\vv\ff\rr\"\"\\\\";
			const char *escape;

			if (size < 0 && !c) {
				text(line, "\"");
				return;
			}
			for (escape = escapes; *escape && *escape != (char)c; escape += 2)
				;
			if (line->to >= line->end)
				return;
			if (*escape || c < ' ' || c > '~')
				*line->to++ = '\\';
			if (*escape)
				*line->to++ = escape[1];
			else if (c < ' ' || c > '~')
				number(line, c, 8);
			else
				*line->to++ = c;
		}
		address += n;
	}
	text(line, done == size ? "\"" : "\"...");
}

static void strings(struct line *line, unsigned long array)
{
	unsigned long address;
	int i;

	text(line, "[");
	for (i = 0; !sud_copy(&address, array + 8 * i, 8, 0) && address; i++) {
		text(line, i ? ", " : "");
		if (i == SHOWN) {
			text(line, "...");
			break;
		}
		string(line, address, -1, SHOWN);
	}
	text(line, "]");
}

/* The flags in @value of which the names begin with @kind. @zero stands for none. */
static void bits(struct line *line, const char *kind, unsigned long value, const char *zero)
{
	const char *before = "";
	unsigned int bit, i;

	if (!strcmp(kind, "O")) {
		text(line, value & O_WRONLY ? "O_WRONLY" : value & O_RDWR ? "O_RDWR" : "O_RDONLY");
		value &= ~O_ACCMODE;
		before = "|";
	} else if (!value) {
		text(line, zero);
		return;
	}
	/* O_SYNC before its part O_DSYNC, and then bit by bit. */
	for (bit = 0; bit < 33; bit++)
		for (i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
			unsigned long flag = flags[i].bits;

			if (strcmp(flags[i].kind, kind) || !flag || (value & flag) != flag ||
			    (bit ? flag != 1UL << (bit - 1) : !(flag & (flag - 1))))
				continue;
			text(line, before);
			text(line, flags[i].name);
			value &= ~flag;
			before = "|";
		}
	if (value && !strcmp(kind, "CLONE") && value <= 64 && sigabbrev_np(value)) {
		text(line, before);
		text(line, "SIG");
		text(line, sigabbrev_np(value));
	} else if (value) {
		text(line, before);
		text(line, "0x");
		number(line, value, 16);
	}
}

static void argument(struct line *line, char kind, const struct sud_call *call, int i, long result)
{
	long value = call->args[i];

	switch (kind) {
	case 'D':
		if ((int)value == AT_FDCWD) {
			text(line, "AT_FDCWD");
			break;
		}
		/* fallthrough */
	case 'd':
		decimal(line, value == (unsigned int)value ? (int)value : value);
		break;
	case 'u':
		number(line, value, 10);
		break;
	case 'o':
	case 'c':
		text(line, "0");
		number(line, (unsigned int)value, 8);
		break;
	case 's':
		string(line, value, -1, 4096);
		break;
	case 'w':
		string(line, value, call->args[i + 1], SHOWN);
		break;
	case 'r':
		if (result >= 0) {
			string(line, value, result, SHOWN);
			break;
		}
		/* fallthrough */
	default:
		text(line, value ? "0x" : kind == 'x' ? "NULL" : "0");
		if (value)
			number(line, value, 16);
		break;
	case 'v':
		strings(line, value);
		break;
	case 'S':
		text(line, value && sigabbrev_np(value) ? "SIG" : "");
		if (value && sigabbrev_np(value))
			text(line, sigabbrev_np(value));
		else
			decimal(line, value);
		break;
	case 'O':
		bits(line, "O", (unsigned int)value, "O_RDONLY");
		break;
	case 'P':
		bits(line, "PROT", value, "PROT_NONE");
		break;
	case 'M':
		bits(line, "MAP", value, "0");
		break;
	case 'A':
		bits(line, "AT", (unsigned int)value, "0");
		break;
	case 'C':
		bits(line, "CLONE", value, "0");
		break;
	}
}

static int slot(const struct sud_call *call)
{
	unsigned long nr = call->number;

	return call->arch == SUD_ARCH_64 && nr < CALLS && names[nr] ? (int)nr : CALLS;
}

static struct line *begin(const struct sud_call *call)
{
	struct line *line = claim(call->tid);

	text(line, "[pid ");
	number(line, call->tid, 10);
	text(line, "] ");
	return line;
}

static void end(struct line *line)
{
	*line->to++ = '\n';
	sud_syscall(SYS_write, out, (long)line->text, line->to - line->text, 0, 0, 0);
	__atomic_store_n(&line->tid, 0, __ATOMIC_RELEASE);
}

static void show(const struct sud_call *call, const long *result)
{
	int i, nr = slot(call);
	/* Of a 32-bit call, the arguments are in other registers. */
	const char *kind = nr < CALLS && kinds[nr] ? kinds[nr] : call->arch == SUD_ARCH_64 ? "xxxxxx" : "";
	struct line *line = begin(call);

	if (nr < CALLS) {
		text(line, names[nr]);
	} else {
		text(line, call->arch == SUD_ARCH_64 ? "syscall_0x" : "int80_0x");
		number(line, call->number, 16);
	}
	text(line, "(");
	for (i = 0; kind[i]; i++) {
		if (kind[i] == 'c' && !(call->args[i - 1] & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY))))
			break;
		text(line, i ? ", " : "");
		argument(line, kind[i], call, i, result ? *result : -1);
	}
	text(line, ") = ");
	if (!result) {
		text(line, "?");
	} else if (*result < 0 && *result > -4096) {
		text(line, "-1 ");
		text(line, strerrorname_np(-*result) ?: "errno");
		text(line, " (");
		text(line, strerrordesc_np(-*result) ?: "?");
		text(line, ")");
	} else if (nr == SYS_mmap || nr == SYS_mremap || nr == SYS_brk || *result < 0) {
		text(line, "0x");
		number(line, *result, 16);
	} else {
		decimal(line, *result);
	}
	end(line);
}

/*
 * What keeps ld.so from preloading the library into a program, or NULL. A script has what its interpreter has.
 * This runs in a hook too.
 */
static const char wrong_class[] = "it is no 64-bit x86 program", wrong_loader[] = "its loader is not that of this C library";

/* Not inlined, as every call would need a stack with room for it. */
static __attribute__((noinline)) const char *obstacle(int dir, const char *path)
{
	union {
		unsigned char bytes[2048];
		char text[2048];
		Elf64_Ehdr elf;
	} head;
	char interp[64] = "";
	const Elf64_Phdr *segment;
	struct stat st;
	int i, fd = sud_syscall(SYS_openat, dir, (long)path, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0, 0, 0);
	long n, uid = sud_syscall(SYS_getuid, 0, 0, 0, 0, 0, 0);
	const char *why = NULL;
	char capability[32];

	if (fd < 0)
		return NULL;
	n = sud_syscall(SYS_read, fd, (long)&head, sizeof(head) - 1, 0, 0, 0);
	if (n > 2 && head.text[0] == '#' && head.text[1] == '!') {
		sud_syscall(SYS_close, fd, 0, 0, 0, 0, 0);
		head.text[n] = 0;
		path = head.text + 2 + strspn(head.text + 2, " \t");
		head.text[path - head.text + strcspn(path, " \t\n")] = 0;
		return dir == -1 ? NULL : obstacle(-1, path);	/* -1: no further than to the interpreter */
	}
	if (n < (long)sizeof(head.elf) || memcmp(head.elf.e_ident, ELFMAG, SELFMAG)) {
		why = NULL;
	} else if (head.elf.e_ident[EI_CLASS] != ELFCLASS64 || head.elf.e_machine != EM_X86_64) {
		why = wrong_class;
	} else {
		why = "it is linked statically, so nothing can be preloaded";
		segment = (void *)(head.bytes + head.elf.e_phoff);
		for (i = 0; i < head.elf.e_phnum && (unsigned char *)(segment + i + 1) <= head.bytes + n; i++)
			if (segment[i].p_type == PT_INTERP) {
				why = NULL;
				sud_syscall(SYS_pread64, fd, (long)interp, sizeof(interp) - 1, segment[i].p_offset, 0, 0);
				if (!strstr(interp, "ld-linux-x86-64.so.2"))
					why = wrong_loader;
			}
	}
	if (sud_syscall(SYS_fstat, fd, (long)&st, 0, 0, 0, 0) < 0)
		st.st_mode = 0;
	if (((st.st_mode & S_ISUID) && st.st_uid != uid) ||
	    ((st.st_mode & S_ISGID) && st.st_gid != sud_syscall(SYS_getgid, 0, 0, 0, 0, 0, 0)))
		why = "it is set-user-ID or set-group-ID, and ld.so preloads nothing into it";
	else if (uid && sud_syscall(SYS_fgetxattr, fd, (long)"security.capability", (long)capability, sizeof(capability), 0, 0) > 0)
		why = "it has capabilities, and ld.so preloads nothing into it";
	sud_syscall(SYS_close, fd, 0, 0, 0, 0, 0);
	return why;
}

/* Environments of calls of exec. One of a vfork is freed by the parent. */
static struct environment {
	int tid;
	char *block;
	size_t size;
} environments[64];

static void forget(int tid)
{
	unsigned int i;

	for (i = 0; i < 64; i++)
		if (environments[i].tid == tid) {
			sud_syscall(SYS_munmap, (long)environments[i].block, environments[i].size, 0, 0, 0, 0);
			__atomic_store_n(&environments[i].tid, 0, __ATOMIC_RELEASE);
		}
}

/* Copy a string of the program, at most @size - 1 bytes of it, and not from a page after its end. */
static void copy_string(char *to, unsigned long from, size_t size)
{
	size_t n;

	memset(to, 0, size);
	while (--size) {
		n = 64 - from % 64 < size ? 64 - from % 64 : size;
		if (sud_copy(to, from, n, 0) || memchr(to, 0, n))
			break;
		to += n;
		from += n;
		size -= n - 1;
	}
}

/* Put our variables into the environment of a new program, which may have been given another. Or remove them. */
static __attribute__((noinline)) void environment(struct sud_call *call, long *argument, int add)
{
	struct environment *mine = NULL;
	unsigned long string, *to;
	char *value, *preload, begin[12];
	size_t count = 0, size;
	int i, none, found = 0, loaded = 0;
	long block;

	while (*argument && !sud_copy(&string, *argument + 8 * count, 8, 0) && string)
		count++;
	for (i = 0; i < 64 && !mine; i++) {
		none = 0;
		if (__atomic_compare_exchange_n(&environments[i].tid, &none, call->tid, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
			mine = &environments[i];
	}
	size = 8 * (count + 3) + 2 * sizeof(setting);
	block = sud_syscall(SYS_mmap, 0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (!mine || (block < 0 && block > -4096)) {
		if (mine)
			mine->tid = 0;
		return;
	}
	*mine = (struct environment){ call->tid, (char *)block, size };
	to = (unsigned long *)block;
	preload = (char *)(to + count + 3);
	for (i = 0; (size_t)i < count; i++) {
		if (sud_copy(&string, *argument + 8 * i, 8, 0))
			break;
		copy_string(begin, string, sizeof(begin));
		if (!strncmp(begin, "SUDTRACE=", 9)) {
			found = 1;
			if (!add)
				continue;
			string = (unsigned long)setting;
		} else if (!strcmp(begin, "LD_PRELOAD=")) {
			loaded = 1;
			value = stpcpy(stpcpy(preload, begin), self);
			*value++ = ':';
			copy_string(value, string + 11, sizeof(setting));
			if (!add && strstr(value, self))
				continue;
			if (add && !strstr(value, self))
				string = (unsigned long)preload;
		}
		*to++ = string;
	}
	if (add && !found)
		*to++ = (unsigned long)setting;
	if (add && !loaded) {
		stpcpy(stpcpy(preload, "LD_PRELOAD="), self);
		*to = (unsigned long)preload;
	}
	*argument = block;
}

/* Say which program's calls will not be seen, and why. */
static void lose(const struct sud_call *call, long path, const char *why)
{
	struct line *line = begin(call);

	if (counts)
		line->to = line->text;
	string(line, path, -1, counts ? 300 : 4096);
	text(line, " is not traced: ");
	text(line, why);
	if (counts) {
		*line->to = 0;
		__atomic_add_fetch(&counts->lost, 1, __ATOMIC_RELAXED);
		memcpy(counts->last, line->text, sizeof(counts->last) - 1);
		__atomic_store_n(&line->tid, 0, __ATOMIC_RELEASE);
	} else {
		end(line);
	}
}

static int enter(struct sud_call *call, long *result)
{
	int nr = slot(call), at = nr == SYS_execveat;
	const char *why;
	char byte;

	if (counts)
		__atomic_add_fetch(&counts->calls[nr], 1, __ATOMIC_RELAXED);
	else if (nr == SYS_exit || nr == SYS_exit_group || nr == SYS_rt_sigreturn || nr == SYS_execve || at)
		show(call, NULL);
	switch (nr) {
	case SYS_execve:
	case SYS_execveat:
		call->user[0] = call->args[2 + at];
		if (sud_copy(&byte, call->args[at], 1, 0))
			break;
		why = obstacle(at ? (int)call->args[0] : AT_FDCWD, (char *)call->args[at]);
		environment(call, &call->args[2 + at], why != wrong_class && why != wrong_loader);
		if (why)
			lose(call, call->args[at], why);
		break;
	/* The program did not open our files, and must neither close nor replace them. */
	case SYS_close:
	case SYS_dup2:
	case SYS_dup3:
		*result = -EBADF;
		return (unsigned int)call->args[nr != SYS_close] - out < 2 ? SUD_SKIP : SUD_RUN;
	case SYS_close_range:
		if ((unsigned int)call->args[0] > (unsigned int)out + 1 || (unsigned int)call->args[1] < (unsigned int)out)
			break;
		*result = 0;
		if ((unsigned int)call->args[0] < (unsigned int)out)
			*result = sud_syscall(nr, call->args[0], out - 1, call->args[2], 0, 0, 0);
		if (!*result && (unsigned int)call->args[1] > (unsigned int)out + 1)
			*result = sud_syscall(nr, out + 2, call->args[1], call->args[2], 0, 0, 0);
		return SUD_SKIP;
	}
	return SUD_RUN;
}

static void leave(struct sud_call *call, long result)
{
	int nr = slot(call);

	if (nr == SYS_execve || nr == SYS_execveat) {
		forget(call->tid);
		call->args[2 + (nr == SYS_execveat)] = call->user[0];
	}
	if (result > 0 && (nr == SYS_vfork || nr == SYS_clone || nr == SYS_clone3))
		forget(result);
	if (!counts)
		show(call, &result);
	else if (result < 0 && result > -4096)
		__atomic_add_fetch(&counts->errors[nr], 1, __ATOMIC_RELAXED);
}

static const struct sud_hooks hooks = { enter, leave };

/* SUDTRACE=COUNT:DIRECT:DESCRIPTOR:SELF */
__attribute__((constructor)) static void load(int argc, char **argv, char **envp)
{
	long address;

	(void)argc;
	(void)argv;
	for (; *envp; envp++)
		if (!strncmp(*envp, "SUDTRACE=", 9) && strlen(*envp) < sizeof(setting) && strchr(*envp + 13, ':')) {
			strcpy(setting, *envp);
			out = atoi(setting + 13);
			self = strchr(setting + 13, ':') + 1;
			if (setting[9] == '1') {
				address = sud_syscall(SYS_mmap, 0, sizeof(*counts), PROT_READ | PROT_WRITE, MAP_SHARED, out, 0);
				if (address < 0)
					return;
				counts = (struct counts *)address;
			}
			sud_arm(&hooks, setting[11] == '1');
			if (counts)
				counts->direct = sud_direct_handler != 0;
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
	char *dirs = strdup(getenv("PATH") ?: "/usr/bin:/bin"), *dir, why[256];
	const char *obstacle_found;
	struct stat st = { 0 };

	if (strchr(name, '/'))
		snprintf(path, sizeof(path), "%s", name);
	else
		for (dir = strtok(dirs, ":"); dir; dir = strtok(NULL, ":")) {
			snprintf(path, sizeof(path), "%s/%s", dir, name);
			if (!access(path, X_OK) && !stat(path, &st) && S_ISREG(st.st_mode))
				break;
		}
	if (access(path, X_OK) || stat(path, &st))
		die(127, name, strerror(errno));
	if (!S_ISREG(st.st_mode))
		die(126, path, "it is no regular file. Name a program.");
	obstacle_found = obstacle(AT_FDCWD, path);
	if (obstacle_found) {
		snprintf(why, sizeof(why), "%s. Use strace.", obstacle_found);
		die(126, path, why);
	}
	return path;
}

static void need_dispatch(void)
{
	/* All addresses are exempt, so nothing is dispatched. */
	if (!prctl(SUD_PRCTL, 1L, 0L, -1L, 0L)) {
		prctl(SUD_PRCTL, 0L, 0L, 0L, 0L);
		return;
	}
	if (errno == EPERM)
		die(125, "Syscall User Dispatch is forbidden", "Set the sysctl kernel.syscall_user_dispatch to 1, or leave the sandbox.");
	die(125, "this kernel has no Syscall User Dispatch, or a sandbox denies it",
	    "Use Linux 5.11 or later, or 5.10 with this series; or strace.");
}

static int compare(const void *a, const void *b)
{
	long more = counts->calls[*(const int *)b] - counts->calls[*(const int *)a];

	return more ? more > 0 ? 1 : -1 : *(const int *)a - *(const int *)b;
}

static void print_counts(int fd)
{
	long calls = 0, errors = 0;
	int order[CALLS + 1], i;

	for (i = 0; i <= CALLS; i++)
		order[i] = i;
	qsort(order, CALLS + 1, sizeof(order[0]), compare);
	dprintf(fd, "    calls    errors syscall, by %s\n", counts->direct ? "direct dispatch" : "SIGSYS");
	for (i = 0; i <= CALLS && counts->calls[order[i]]; i++) {
		dprintf(fd, "%9ld %9ld %s\n", counts->calls[order[i]], counts->errors[order[i]], names[order[i]]);
		calls += counts->calls[order[i]];
		errors += counts->errors[order[i]];
	}
	dprintf(fd, "%9ld %9ld total\n", calls, errors);
	if (counts->lost)
		dprintf(fd, "sudtrace: programs not traced: %ld. The last: %s\n", counts->lost, counts->last);
}

__attribute__((used)) static void start(long *stack)
{
	int argc = (int)stack[0], count = 0, direct = 1, option, fd = 2, status, ends[2], from;
	char **argv = (char **)(stack + 1), path_of_self[4096], preload[8192], *file = NULL, *path;
	const char *before = getenv("LD_PRELOAD");
	ssize_t n;
	pid_t pid;

	while ((option = getopt(argc, argv, "+cso:")) != -1) {
		if (option == 'c')
			count = 1;
		else if (option == 's')
			direct = 0;
		else if (option == 'o')
			file = optarg;
		else
			exit(2);
	}
	if (optind >= argc)
		die(2, "usage", "sudtrace [-c] [-s] [-o FILE] PROGRAM [ARGUMENT]...");
	need_dispatch();
	path = find(argv[optind]);
	n = readlink("/proc/self/exe", path_of_self, sizeof(path_of_self) - 1);
	if (n < 0)
		die(125, "/proc/self/exe", strerror(errno));
	path_of_self[n] = 0;
	if (strpbrk(path_of_self, " :"))
		die(125, path_of_self, "LD_PRELOAD takes no path with a space or a colon. Move sudtrace.");
	if (file && (fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0666)) < 0)
		die(125, file, strerror(errno));
	out = count ? memfd_create("sudtrace", MFD_CLOEXEC) : fd;
	if (count && (ftruncate(out, sizeof(*counts)) ||
		      (counts = mmap(NULL, sizeof(*counts), PROT_READ | PROT_WRITE, MAP_SHARED, out, 0)) == MAP_FAILED))
		die(125, "memory for the counts", strerror(errno));
	if (pipe2(ends, O_CLOEXEC))
		die(125, "a pipe", strerror(errno));
	pid = fork();
	if (!pid) {
		/* Two free descriptors, one after the other, far from those that programs name. */
		for (from = 900;; from = option) {
			out = fcntl(out, F_DUPFD, from);
			option = out < 0 ? out : fcntl(ends[1], F_DUPFD, out + 1);
			if (option < 0)
				die(125, "no descriptors from 900 on", "Raise the limit: ulimit -n 1024.");
			if (option == out + 1)
				break;
		}
		snprintf(setting, sizeof(setting), "%d:%d:%d:%s", count, direct, out, path_of_self);
		setenv("SUDTRACE", setting, 1);
		snprintf(preload, sizeof(preload), "%s%s%s", path_of_self, before ? ":" : "", before ?: "");
		setenv("LD_PRELOAD", preload, 1);
		execv(path, argv + optind);
		die(126, path, strerror(errno));
	}
	signal(SIGINT, SIG_IGN);
	signal(SIGQUIT, SIG_IGN);
	close(ends[1]);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	/* The pipe ends when the last process has ended. */
	while ((n = read(ends[0], preload, 1)) > 0 || (n < 0 && errno == EINTR))
		;
	if (count)
		print_counts(fd);
	exit(WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
}

__asm__(".globl sudtrace_entry\nsudtrace_entry:\n	mov %rsp, %rdi\n	and $-16, %rsp\n	call start\n	hlt");
