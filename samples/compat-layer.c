// SPDX-License-Identifier: GPL-2.0
/*
 * A small compatibility layer. It runs a program of another system (foreign.S), and Syscall
 * User Dispatch hands the program's system calls back to it.
 *
 *  - The foreign image is mapped at any address. Its system calls have their own meaning, and
 *    some of its numbers are also numbers of Linux.
 *  - The C library is the exempt region: all of its calls are run. That matters most for
 *    rt_sigreturn, by which the handler below returns to foreign code.
 *  - For all other code, including the layer's own, the selector decides. It is a byte of each
 *    thread: ALLOW while the layer runs, BLOCK while foreign code runs. It is flipped at
 *    every boundary: enter_foreign() and serve().
 *
 * The exit status is 0 if every call went where it should, 1 if one did not, and 2 if this
 * kernel lacks the feature.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "dispatch.h"
#include "figures.h"
#include "foreign.h"
#include "libc-image.h"

#if !defined(__x86_64__) || defined(__ILP32__)
#error "This sample is written for 64-bit x86."
#endif

#define ARCH_X86_64			0xc000003e

#define VERSION_RESULT	0x2a00
#define MAX_RECORDS	16

/* One system call, for the table at the end. */
struct record {
	unsigned long ip;		/* 0: somewhere in the C library */
	long number;
	const char *name;
	const char *state;		/* of the selector */
	const char *fate;
	long result;
	bool right;
};

struct thread {
	const char *name;
	long status;			/* exit status for the foreign program */
	bool keep;			/* keep records; not while measuring */
	long dispatched;		/* number of calls that came back to the layer */
	int count;
	struct record records[MAX_RECORDS];
	sigjmp_buf exit;		/* destination of the foreign exit */
	bool right;
	pthread_t id;
};

static struct region image, libc;
static const char *libc_name;	/* "libc.so.6", or "this program" if linked statically */

/*
 * The kernel reads it for each call of this thread from outside the C library. It is volatile
 * because the compiler sees no reader, and must not move or merge the stores.
 */
static __thread volatile unsigned char selector = ALLOW;
static __thread struct thread *self;

static void die(const char *what)
{
	fprintf(stderr, "compat-layer: %s: %s\n", what, strerror(errno));
	exit(1);
}

static bool inside(const struct region *region, unsigned long address)
{
	return address - region->start < region->size;
}

static struct record *record(unsigned long ip, long number, const char *name)
{
	static struct record surplus;
	struct record *r = &surplus;

	if (self->keep) {
		if (self->count == MAX_RECORDS) {
			self->right = false;
			return r;
		}
		r = &self->records[self->count++];
	}
	r->ip = ip;
	r->number = number;
	r->name = name;
	return r;
}

/*
 * The services of the foreign system. They are the layer's own code and run with the selector
 * at ALLOW. So they may use Linux and the C library freely.
 */

static long serve_null(const greg_t *regs)
{
	(void)regs;
	return 0;
}

static long serve_write(const greg_t *regs)
{
	return write((int)regs[REG_RDI], (const void *)regs[REG_RSI], (size_t)regs[REG_RDX]);
}

static long serve_get_pid(const greg_t *regs)
{
	(void)regs;
	return getpid();
}

static long serve_time(const greg_t *regs)
{
	(void)regs;
	return time(NULL);
}

static long serve_version(const greg_t *regs)
{
	(void)regs;
	return VERSION_RESULT;
}

static const struct service {
	long number;
	const char *name;
	long (*serve)(const greg_t *regs);
} services[] = {
	{ FOREIGN_NULL,		"null",		serve_null },
	{ FOREIGN_WRITE,	"write",	serve_write },
	{ FOREIGN_GET_PID,	"get-pid",	serve_get_pid },
	{ FOREIGN_TIME,		"time",		serve_time },
	{ FOREIGN_VERSION,	"version",	serve_version },
	{ FOREIGN_EXIT,		"exit",		NULL },
};

static const struct service *find_service(long number)
{
	for (size_t i = 0; i < sizeof(services) / sizeof(services[0]); i++)
		if (services[i].number == number)
			return &services[i];
	return NULL;
}

/* SIGSYS: a call from foreign code, which the kernel did not run. The saved registers are those of the program. */
static void serve(int signal, siginfo_t *info, void *context)
{
	ucontext_t *ucontext = context;
	greg_t *regs = ucontext->uc_mcontext.gregs;
	const struct service *service;
	struct record *r;
	int saved_errno;

	selector = ALLOW;
	saved_errno = errno;

	/* seccomp raises SIGSYS too. A signal that is not a dispatch ends the process, as without a handler. */
	if (!self || info->si_code != SYS_USER_DISPATCH) {
		fprintf(stderr, "compat-layer: a SIGSYS that is not a dispatched call\n");
		abort();
	}

	service = find_service(regs[REG_RAX]);
	self->dispatched++;
	r = record((unsigned long)regs[REG_RIP], (long)regs[REG_RAX], service ? service->name : "(unknown)");
	r->state = "BLOCK";
	r->fate = service ? "dispatched, served by the layer" : "dispatched, refused by the layer";
	r->right = signal == SIGSYS && info->si_arch == ARCH_X86_64 && info->si_syscall == (int)regs[REG_RAX] &&
		   (unsigned long)info->si_call_addr == (unsigned long)regs[REG_RIP] &&
		   inside(&image, (unsigned long)regs[REG_RIP] - 1);
	if (!r->right)
		self->right = false;

	if (service && !service->serve) {
		/* The foreign program ends. Its stack and registers are no longer needed. */
		r->result = regs[REG_RDI];
		r->fate = "dispatched, the layer left the program";
		siglongjmp(self->exit, 1);
	}

	r->result = service ? service->serve(regs) : FOREIGN_NO_SUCH_CALL;
	regs[REG_RAX] = r->result;

	/*
	 * Only the return follows, by the C library's rt_sigreturn. If that was not exempt, it would
	 * be dispatched with SIGSYS masked, and the process would die.
	 */
	errno = saved_errno;
	selector = BLOCK;
}

/* The address of a place of foreign.S in the mapped image. */
static unsigned long mapped(const char *place)
{
	return image.start + (unsigned long)(place - foreign_image);
}

/* The boundary: make no system call between a flip of the selector and the jump. */

static void enter_foreign(struct foreign_block *block)
{
	void (*program)(struct foreign_block *) = (void (*)(struct foreign_block *))mapped(foreign_main);

	if (sigsetjmp(self->exit, 1) == 0) {
		selector = BLOCK;
		program(block);
	}
	/* serve() has set ALLOW and come here by siglongjmp(). */
}

static long repeat_foreign(long number, long rounds, unsigned char while_it_runs)
{
	long (*repeat)(long, long) = (long (*)(long, long))mapped(foreign_repeat);
	long result;

	selector = while_it_runs;
	result = repeat(number, rounds);
	selector = ALLOW;
	return result;
}

static int arm(const struct region *exempt)
{
	return set_dispatch(PR_SYS_DISPATCH_ON, exempt->start, exempt->size, &selector);
}

static int disarm(void)
{
	return set_dispatch(PR_SYS_DISPATCH_OFF, 0, 0, NULL);
}

/* A native call must run: its result is right, and no call came back to the layer. */
static void native(unsigned long ip, const char *state, const char *fate, long result, long expected, long before)
{
	struct record *r = record(ip, SYS_getpid, "getpid");

	r->state = state;
	r->fate = fate;
	r->result = result;
	r->right = result == expected && self->dispatched == before;
	if (!r->right)
		self->right = false;
}

static void *foreign_thread(void *argument)
{
	char text[80];
	struct foreign_block block = { .text = text };
	unsigned long ip = mapped(foreign_repeat_ip);
	long pid = getpid(), now, before, result;
	/* Foreign stacks may be small or unusual, so the handler has its own. */
	stack_t stack = { .ss_size = 65536 };

	self = argument;
	self->keep = true;
	self->right = true;
	stack.ss_sp = malloc(stack.ss_size);
	if (!stack.ss_sp || sigaltstack(&stack, NULL))
		die("sigaltstack");

	result = repeat_foreign(SYS_getpid, 1, BLOCK);
	native(ip, "-", "ran, this thread is not armed yet", result, pid, 0);

	if (arm(&libc))
		die("arming a thread");

	selector = BLOCK;
	result = syscall(SYS_getpid);
	selector = ALLOW;
	native(0, "BLOCK", "ran, the C library is exempt", result, pid, 0);

	result = repeat_foreign(SYS_getpid, 1, ALLOW);
	native(ip, "ALLOW", "ran, the layer allowed it", result, pid, 0);

	block.length = snprintf(text, sizeof(text), "  \"I am foreign code in %s.\"\n", self->name);
	block.status = self->status;
	before = self->dispatched;
	now = time(NULL);
	enter_foreign(&block);

	/* Check the results in the program, and that each of its calls came back, in order. */
	if (block.results[0] != block.length || block.results[1] != pid || block.results[2] < now ||
	    block.results[3] != VERSION_RESULT || block.results[4] != FOREIGN_NO_SUCH_CALL ||
	    self->records[self->count - 1].result != self->status || self->dispatched != before + 6)
		self->right = false;

	if (disarm())
		die("disarming a thread");
	stack.ss_flags = SS_DISABLE;
	sigaltstack(&stack, NULL);
	free(stack.ss_sp);
	return NULL;
}

static void map_foreign_image(void)
{
	void *copy;

	image.size = (unsigned long)(foreign_image_end - foreign_image);
	copy = mmap(NULL, image.size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (copy == MAP_FAILED)
		die("mapping the foreign image");
	memcpy(copy, foreign_image, image.size);
	if (mprotect(copy, image.size, PROT_READ | PROT_EXEC))
		die("making the foreign image executable");
	image.start = (unsigned long)copy;
}

static void check_feature(void)
{
	struct utsname uts;

	/* OFF shows whether the kernel has the feature, ON whether it is permitted. */
	if (disarm() == 0 && arm(&libc) == 0 && disarm() == 0)
		return;
	uname(&uts);
	if (errno == EPERM)
		fprintf(stderr, "compat-layer: Syscall User Dispatch is turned off here; as root:\n"
				"  echo 1 > /proc/sys/kernel/syscall_user_dispatch\n");
	else
		fprintf(stderr, "compat-layer: this kernel, Linux %s, has no Syscall User Dispatch (prctl: %s).\n"
				"It takes Linux 5.11 or later, or 5.10 with this series (patches/5.10), and\n"
				"CONFIG_SYSCALL_USER_DISPATCH=y; `make run` builds and boots one.\n",
			uts.release, strerror(errno));
	exit(2);
}

static void print_records(const struct thread *thread)
{
	for (int i = 0; i < thread->count; i++) {
		const struct record *r = &thread->records[i];
		char from[32], call[32], result[32];

		if (r->ip)
			snprintf(from, sizeof(from), "foreign + 0x%02lx", r->ip - image.start);
		else
			snprintf(from, sizeof(from), "%s", libc_name);
		snprintf(call, sizeof(call), r->number < 0x1000 ? "%ld %s" : "0x%lx %s", r->number, r->name);
		snprintf(result, sizeof(result), r->number == FOREIGN_VERSION && r->result == VERSION_RESULT ?
			 "0x%lx" : "%ld", r->result);
		printf("  %-10s %-16s %-16s %-8s %-39s %11s%s\n", thread->name, from, call, r->state, r->fate,
		       result, r->right ? "" : "  WRONG");
	}
}

static bool measure(void)
{
	struct thread figures = { .name = "figures", .right = true };

	self = &figures;
	figures_begin("One system call from foreign code and back");
	figure("plain (getpid, the thread is not armed)", repeat_foreign, SYS_getpid, BLOCK);
	/* The cost of an exempt call, with the same loop: here the foreign code is the exempt region. */
	if (arm(&image))
		die("arming for the figures");
	figure("exempt (getpid, the selector is not read)", repeat_foreign, SYS_getpid, BLOCK);
	if (arm(&libc))
		die("arming for the figures");
	figure("allowed (getpid, the selector says ALLOW)", repeat_foreign, SYS_getpid, ALLOW);
	if (figures.dispatched)
		return false;
	figure("dispatched (null: SIGSYS, the layer's handler, rt_sigreturn)", repeat_foreign, FOREIGN_NULL, BLOCK);
	if (disarm())
		die("disarming after the figures");
	self = NULL;
	figures_end();
	return figures.right && figures.dispatched == FIGURE_CALLS;
}

int main(void)
{
	static struct thread threads[] = {
		{ .name = "thread 1", .status = 17 },
		{ .name = "thread 2", .status = 42 },
	};
	const int count = sizeof(threads) / sizeof(threads[0]);
	struct sigaction action = { .sa_sigaction = serve, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART };
	bool right = true;
	pid_t pid = getpid(), parent = getppid();
	long native_calls = 0;
	char fate[64];

	setvbuf(stdout, NULL, _IOLBF, 0);
	libc_name = find_libc(&libc);
	if (!libc_name) {
		fprintf(stderr, "compat-layer: there is no libc.so.6 in this process to exempt; link with -static\n");
		return 1;
	}
	check_feature();
	map_foreign_image();
	if (sigaction(SIGSYS, &action, NULL))
		die("sigaction");

	printf("A compatibility layer, process %d. Exempt: %s, 0x%lx-0x%lx.\n"
	       "Foreign image: 0x%lx-0x%lx. Each thread has a selector byte of its own.\n\n",
	       pid, libc_name, libc.start, libc.start + libc.size, image.start, image.start + image.size);

	for (int i = 0; i < count; i++)
		if ((errno = pthread_create(&threads[i].id, NULL, foreign_thread, &threads[i])))
			die("pthread_create");
	/* Meanwhile this thread, which is not armed, makes its own calls. */
	for (int i = 0; i < count; i++)
		do {
			right &= getppid() == parent;
			native_calls++;
		} while (pthread_tryjoin_np(threads[i].id, NULL) == EBUSY);

	printf("\n  %-10s %-16s %-16s %-8s %-39s %11s\n", "who", "from", "call", "selector", "what became of it", "result");
	for (int i = 0; i < count; i++) {
		print_records(&threads[i]);
		right &= threads[i].right;
	}
	snprintf(fate, sizeof(fate), "ran %ld times meanwhile, never armed", native_calls);
	printf("  %-10s %-16s %-16s %-8s %-39s %11d\n", "main", libc_name, "110 getppid", "-", fate, parent);

	right &= measure();
	printf("\n%s\n", right ? "Every call went where it should." : "WRONG: a call did not go where it should.");
	return right ? 0 : 1;
}
