// SPDX-License-Identifier: GPL-2.0
/*
 * A variant of compat-layer.c for kernels with direct dispatch
 * (CONFIG_SYSCALL_USER_DISPATCH_DIRECT): the calls of the foreign program
 * continue at direct_handler of direct.S, without a signal.
 *
 * The exit status is 0 if every call went where it should, 1 if one did not, and 2 if this
 * kernel lacks the feature.
 */
#define _GNU_SOURCE
#include <cpuid.h>
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "direct.h"
#include "dispatch.h"
#include "figures.h"
#include "foreign.h"

#if !defined(__x86_64__) || defined(__ILP32__)
#error "This sample is written for 64-bit x86."
#endif

#define VERSION_RESULT	0x2a00

/* The selector and the stack of the only thread that runs foreign code. */
volatile unsigned char direct_selector = ALLOW;
void *direct_stack;

/* The size of the area for the vector registers. */
unsigned long direct_area = DIRECT_AREA_FXSAVE;

static unsigned long image;
static sigjmp_buf leave;
static long served, status;
static unsigned int signals;

/* The vector registers that the foreign program checks, and the size of all 16 of them. */
static const struct vectors {
	size_t size;
	const char *name, *program;
} ymm = { 32, "ymm", foreign_ymm }, zmm = { 64, "zmm", foreign_zmm }, *vectors;

static void die(const char *what)
{
	fprintf(stderr, "direct-layer: %s: %s\n", what, strerror(errno));
	exit(1);
}

/*
 * direct_handler calls this on a stack of the layer, with the selector at ALLOW. So it may use
 * Linux and the C library freely. The return value goes to the foreign program's rax.
 */
long direct_serve(long number, const struct direct_registers *regs)
{
	served++;
	switch (number) {
	case FOREIGN_NULL:
		/* Any function may do this, and the C library's string functions do. */
		if (vectors)
			asm volatile("vzeroall");
		return 0;
	case FOREIGN_WRITE:
		return write((int)regs->rdi, (const void *)regs->rsi, (size_t)regs->rdx);
	case FOREIGN_GET_PID:
		return getpid();
	case FOREIGN_TIME:
		return time(NULL);
	case FOREIGN_VERSION:
		return VERSION_RESULT;
	case FOREIGN_EXIT:
		/* The foreign program ends. Its stack and registers are no longer needed. */
		status = regs->rdi;
		siglongjmp(leave, 1);
	default:
		return FOREIGN_NO_SUCH_CALL;
	}
}

static void on_sigsys(int signal)
{
	(void)signal;
	signals++;
}

static void *mapped(const char *place)
{
	return (void *)(image + (unsigned long)(place - foreign_image));
}

static void map_foreign_image(void)
{
	size_t size = (size_t)(foreign_image_end - foreign_image);
	void *copy = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (copy == MAP_FAILED)
		die("mapping the foreign image");
	memcpy(copy, foreign_image, size);
	if (mprotect(copy, size, PROT_READ | PROT_EXEC))
		die("making the foreign image executable");
	image = (unsigned long)copy;
}

static void find_vectors(void)
{
	unsigned int eax, ebx, ecx, edx;

	/* Does the processor have XSAVE, does Linux use it, and how large is its area? */
	if (__get_cpuid(1, &eax, &ebx, &ecx, &edx) && (ecx & bit_OSXSAVE) &&
	    __get_cpuid_count(13, 0, &eax, &ebx, &ecx, &edx))
		direct_area = ebx;
	if (__builtin_cpu_supports("avx512f"))
		vectors = &zmm;
	else if (__builtin_cpu_supports("avx"))
		vectors = &ymm;
}

/* The foreign program loads its vector registers, makes a call, and stores them. */
static bool keeps_vectors(void)
{
	unsigned char in[16 * 64], out[sizeof(in)] = { 0 };
	void (*program)(const void *, void *);
	size_t i;

	if (!vectors)
		return true;
	for (i = 0; i < sizeof(in); i++)
		in[i] = (unsigned char)(i * 7 + 1);
	program = mapped(vectors->program);
	direct_selector = BLOCK;
	program(in, out);
	direct_selector = ALLOW;
	return memcmp(in, out, 16 * vectors->size) == 0;
}

static void attach(void)
{
	struct utsname uts;

	/* No region is exempt: without signals, no return from a handler has to be exempt. */
	if (set_dispatch(PR_SYS_DISPATCH_ON, 0, 0, &direct_selector) == 0 &&
	    prctl(PR_SET_SYSCALL_USER_DISPATCH_HANDLER, direct_handler, 0L, 0L, 0L) == 0)
		return;
	uname(&uts);
	fprintf(stderr, "direct-layer: this kernel, Linux %s, has no direct dispatch (prctl: %s).\n"
			"`make run CONFIG=direct` builds and boots one that has.\n", uts.release, strerror(errno));
	exit(2);
}

static long repeat_foreign(long number, long rounds, unsigned char while_it_runs)
{
	long (*repeat)(long, long) = (long (*)(long, long))mapped(foreign_repeat);
	long result;

	direct_selector = while_it_runs;
	result = repeat(number, rounds);
	direct_selector = ALLOW;
	return result;
}

int main(void)
{
	const char text[] = "  \"I am foreign code, and nobody sent me a signal.\"\n";
	struct foreign_block block = { .text = text, .length = sizeof(text) - 1, .status = 42 };
	void (*program)(struct foreign_block *);
	char *stack = aligned_alloc(16, DIRECT_STACK_SIZE);
	long pid = getpid(), now, last;
	bool right, kept;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (!stack || signal(SIGSYS, on_sigsys) == SIG_ERR)
		die("a stack and a signal handler");
	direct_stack = stack + DIRECT_STACK_SIZE;
	map_foreign_image();
	find_vectors();
	program = mapped(foreign_main);
	attach();

	now = time(NULL);
	if (sigsetjmp(leave, 1) == 0) {
		direct_selector = BLOCK;
		program(&block);
	}
	/* direct_serve() has come here by siglongjmp(). */
	right = block.results[0] == block.length && block.results[1] == pid && block.results[2] >= now &&
		block.results[3] == VERSION_RESULT && block.results[4] == FOREIGN_NO_SUCH_CALL &&
		status == block.status && served == 6;

	last = repeat_foreign(FOREIGN_GET_PID, 1, BLOCK);
	set_dispatch(PR_SYS_DISPATCH_OFF, 0, 0, NULL);
	figures_begin("One system call from foreign code and back");
	figure("plain (getpid, the thread is not armed)", repeat_foreign, SYS_getpid, BLOCK);
	attach();
	figure("allowed (getpid, the selector says ALLOW)", repeat_foreign, SYS_getpid, ALLOW);
	figure("dispatched (null: the layer's handler, no signal)", repeat_foreign, FOREIGN_NULL, BLOCK);
	right &= last == pid && served == 6 + 1 + FIGURE_CALLS && !signals;

	kept = keeps_vectors();
	right &= kept && served == 6 + 1 + FIGURE_CALLS + (vectors ? 1 : 0);

	set_dispatch(PR_SYS_DISPATCH_OFF, 0, 0, NULL);
	figures_end();
	printf("\n%ld calls were served, %u signals came.\n", served, signals);
	printf("%s%s\n", vectors ? vectors->name : "No ymm",
	       vectors ? kept ? " registers were kept." : " registers were LOST." : " registers here.");
	puts(right ? "Every call went where it should." : "WRONG: a call did not go where it should.");
	return right ? 0 : 1;
}
