// SPDX-License-Identifier: GPL-2.0
/*
 * The smallest layer that sud.h makes, for 64-bit, i386 and x32, dynamic or static. Foreign code is a few
 * instructions here. Guard sections are entered in the program, in each other, and in a signal handler that
 * interrupts foreign code. A second thread and a child of fork() are armed too.
 *
 * The exit status is 0 if every call went where it should, 1 if one did not, and 2 if the kernel lacks the feature.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sud.h"

#define FOREIGN_DOUBLE	0x1234
#define FOREIGN_SIGNAL	0x1235

static int wrong, signals;

/*
 * long foreign(long number, long argument) makes a call by its own instruction. main() copies it out of the program's
 * image, which is exempt if the program is static.
 */
#ifdef __x86_64__
static const unsigned char code[] = "\x89\xf8\x89\xf7\x0f\x05\xc3";	/* mov, mov, syscall, ret */
#else					/* push %ebx, mov, mov, int $0x80, pop %ebx, ret */
static const unsigned char code[] = "\x53\x8b\x44\x24\x08\x8b\x5c\x24\x0c\xcd\x80\x5b\xc3";
#endif
static long (*foreign)(long number, long argument);

static long serve(struct sud_call *call)
{
	errno = E2BIG;			/* the guard restores errno */
	switch (call->number) {
	case FOREIGN_DOUBLE:
		return 2 * call->args[0];
	case FOREIGN_SIGNAL:		/* pending, and delivered when the foreign code runs again */
		return kill(getpid(), SIGUSR1);
	case SYS_getpid:		/* another system's number 39, or 20 */
		return 0x2a00;
	}
	return -7001;
}

static void look(const char *what, long result, long wanted)
{
	SUD_GUARD;			/* so this may print, wherever it is called */

	if (result != wanted)
		wrong = 1;
	printf("%-60s %s\n", what, result == wanted ? "ok" : "WRONG");
}

static void on_signal(int sig)
{
	SUD_GUARD;

	(void)sig;
	signals++;
	look("in a signal handler, a call is run", foreign(SYS_getpid, 0), getpid());
}

static void program(const char *where)
{
	char what[80];

	snprintf(what, sizeof(what), "%s: a call is served", where);
	errno = 0;
	sud_foreign();
	look(what, foreign(FOREIGN_DOUBLE, 21), 42);
	look("so is one that has the number of Linux's getpid", foreign(SYS_getpid, 0), 0x2a00);
	look("and an unknown one", foreign(0x1fff, 0), -7001);
	{
		SUD_GUARD;

		look("in a guard section, a call is run", foreign(SYS_getpid, 0), getpid());
		{
			SUD_GUARD;

			look("and in one within it", foreign(SYS_getpid, 0), getpid());
		}
		look("and after that", foreign(SYS_getpid, 0), getpid());
	}
	look("after the guard section, it is served again", foreign(SYS_getpid, 0), 0x2a00);
	look("a signal interrupts foreign code", foreign(FOREIGN_SIGNAL, 0), 0);
	look("and then a call is served as before", foreign(SYS_getpid, 0), 0x2a00);
	look("errno is untouched", errno, 0);
	sud_selector = 0;
}

static void *thread(void *arg)
{
	look("a new thread is not armed", foreign(SYS_getpid, 0), getpid());
	if (sud_thread())
		wrong = 1;
	program("in a second thread");
	return arg;
}

int main(void)
{
	struct sigaction action = { .sa_handler = on_signal };
	pthread_t second;
	int status = 1;

	void *copy = mmap(NULL, sizeof(code), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (copy == MAP_FAILED || !memcpy(copy, code, sizeof(code)) || mprotect(copy, sizeof(code), PROT_READ | PROT_EXEC)) {
		perror("guard: memory for the foreign code");
		return 1;
	}
	foreign = (long (*)(long, long))copy;
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (sigaction(SIGUSR1, &action, NULL) || sud_layer(serve)) {
		perror("guard");
		return 1;
	}
	if (sud_thread()) {
		perror("guard: this kernel has no Syscall User Dispatch, or it is forbidden (sysctl kernel.syscall_user_dispatch)");
		return 2;
	}
	program("in the first thread");
	if (pthread_create(&second, NULL, thread, NULL) || pthread_join(second, NULL))
		wrong = 1;
	if (!fork()) {
		program("in a child");
		_exit(wrong);
	}
	wait(&status);
	look("the child ended well", status, 0);
	look("both signals came", signals, 2);
	printf("%zu-bit, by %s\n", 8 * sizeof(long), sud_is_direct ? "direct dispatch" : "SIGSYS");
	puts(wrong ? "WRONG: a call did not go where it should." : "Every call went where it should.");
	return wrong;
}
