// SPDX-License-Identifier: GPL-2.0
/*
 * A client built like Wine's ntdll on x86-64. (compat-layer.c is the one to read first.)
 * It uses the feature as Wine does, and checks every call:
 *
 *  - Each thread arms itself. Only the whole image of libc.so.6 is exempt. If the C library is
 *    linked statically, the image of the program is exempt, and the Windows code lies outside
 *    it. The selector byte is in the thread's block, which GS points to.
 *  - Windows code calls the dispatcher (windows.S). It sets the byte to ALLOW, makes its own
 *    system call, runs the service on another stack, and sets BLOCK last.
 *  - Windows code also makes system calls directly. The SIGSYS handler does not serve them. It
 *    lets the thread continue in the dispatcher, and returns through the C library.
 *  - SIGUSR1 arrives all the time. Its handler sets ALLOW, and restores the byte.
 *  - When a native library is loaded into the process, the next SIGSYS of each thread disarms
 *    the thread and makes the call again, natively.
 *
 * The exit status is 0 if every call went where it should, 1 if one did not, and 2 if this
 * kernel lacks the feature.
 */
#define _GNU_SOURCE
#include <asm/prctl.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "dispatch.h"
#include "libc-image.h"
#include "windows.h"

#if !defined(__x86_64__) || defined(__ILP32__)
#error "This sample is written for 64-bit x86."
#endif

#define THREADS		4
#define ROUNDS		3000
#define PERIOD_NS	500000	/* period of SIGUSR1, for each thread */
#define STACK_SIZE	65536

struct thread {
	struct teb teb;
	pthread_t id;
	long tid;
	long calls, served, dispatched, expected, interrupted, wrong;
};

typedef long (*way)(struct call *);

/* The functions of windows.S, and the addresses at which they are called. */
enum { BY_STUB, BY_SYSCALL, BY_INT80, WAYS };
static const char *const by[WAYS] = { by_stub, by_syscall, by_int80 };
static way ways[WAYS];

static struct region libc;

/* A native Linux library, which makes system calls, is now in the process. */
static volatile bool native_library;

/* False on a kernel that runs no 32-bit programs. */
static bool has_int80;

static pthread_barrier_t barrier;

static void die(const char *what)
{
	fprintf(stderr, "wine-like: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* The thread's block. The dispatcher finds it in the same way. */
static struct thread *current(void)
{
	struct teb *teb;

	__asm__ volatile("mov %%gs:0, %0" : "=r"(teb));
	return (struct thread *)((char *)teb - offsetof(struct thread, teb));
}

/* A system call from outside the C library. */
static long raw_gettid(void)
{
	long ret;

	__asm__ volatile("syscall" : "=a"(ret) : "a"(SYS_gettid) : "rcx", "r11", "memory");
	return ret;
}

/* The result of a Windows call. It depends on the number and on every argument. */
static long result_of(long number, const long *args)
{
	return number + 3 * args[0] + 5 * args[1] + 7 * args[2] + 11 * args[3];
}

long serve(long tid, long number, const long *args)
{
	struct thread *self = current();

	self->served++;
	if (tid != self->tid || self->teb.selector != ALLOW)
		self->wrong++;
	return result_of(number, args);
}

static void on_sigsys(int signal, siginfo_t *info, void *context)
{
	greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;
	struct thread *self = current();

	(void)signal;
	(void)info;
	self->dispatched++;
	if (native_library) {
		/* Both instructions have two bytes. */
		if (set_dispatch(PR_SYS_DISPATCH_OFF, 0, 0, NULL))
			self->wrong++;
		regs[REG_RIP] -= 2;
		return;
	}
	regs[REG_RCX] = regs[REG_RIP];
	regs[REG_RIP] = (greg_t)dispatcher_signal;
}

static void on_sigusr1(int signal)
{
	struct thread *self = current();
	unsigned char before = self->teb.selector;

	(void)signal;
	self->teb.selector = ALLOW;
	self->interrupted++;
	if (raw_gettid() != self->tid)
		self->wrong++;
	self->teb.selector = before;
}

/* Windows code makes the call, and returns the number of registers that were not preserved. */
static void call(struct thread *self, int by_way, struct call *call, long expected)
{
	self->calls++;
	if (ways[by_way](call) || call->result != expected)
		self->wrong++;
}

/* Calls in all ways, with numbers that Linux has too: 60 is its exit, and so is 1 by int $0x80. */
static void windows_program(struct thread *self)
{
	static const long numbers[] = { 60, 1, 0x1a3, 231, 0x40000001 };

	self->teb.selector = BLOCK;
	/* Go on until SIGUSR1 has come, whatever the speed of the machine. */
	for (long i = 0; i < ROUNDS || !self->interrupted; i++) {
		int by_way = i % (has_int80 ? WAYS : BY_INT80);
		struct call c = { numbers[i % 5], { i, -i, (long)self, i << 33 }, 0 };

		call(self, by_way, &c, result_of(c.number, c.args));
		if (by_way != BY_STUB)
			self->expected++;
	}
	self->teb.selector = ALLOW;
}

/* The next call of each thread is dispatched once more, and is then run. */
static void native_call(struct thread *self, long pid)
{
	struct call c = { SYS_getpid, { 0 }, 0 };
	long before = self->dispatched;

	self->teb.selector = BLOCK;
	call(self, BY_SYSCALL, &c, pid);
	call(self, BY_SYSCALL, &c, pid);
	self->teb.selector = ALLOW;
	if (self->dispatched != before + 1)
		self->wrong++;
}

/* getpid() has the number 20 there. Without int $0x80, the kernel sends SIGSEGV. */
static bool try_int80(void)
{
	pid_t pid = fork();
	int status;

	if (pid < 0)
		die("fork");
	if (pid == 0) {
		long ret;

		__asm__ volatile("int $0x80" : "=a"(ret) : "a"(20L) : "memory");
		_exit(ret != getpid());
	}
	return waitpid(pid, &status, 0) == pid && status == 0;
}

static timer_t start_timer(struct thread *self)
{
	struct itimerspec period = { { 0, PERIOD_NS }, { 0, PERIOD_NS } };
	struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR1 };
	timer_t timer;

	event._sigev_un._tid = (pid_t)self->tid;
	if (timer_create(CLOCK_MONOTONIC, &event, &timer) || timer_settime(timer, 0, &period, NULL))
		die("a timer");
	return timer;
}

static void *run_thread(void *argument)
{
	struct thread *self = argument;
	stack_t stack = { .ss_size = STACK_SIZE };
	long pid = getpid();
	char *unix_stack;
	timer_t timer;

	self->teb.self = &self->teb;
	self->teb.dispatcher = dispatcher;
	self->tid = syscall(SYS_gettid);
	stack.ss_sp = malloc(STACK_SIZE);
	unix_stack = aligned_alloc(16, STACK_SIZE);
	if (!stack.ss_sp || !unix_stack || sigaltstack(&stack, NULL))
		die("a stack");
	self->teb.unix_stack = unix_stack + STACK_SIZE;
	if (syscall(SYS_arch_prctl, ARCH_SET_GS, &self->teb))
		die("the GS base");
	if (set_dispatch(PR_SYS_DISPATCH_ON, libc.start, libc.size, &self->teb.selector))
		die("arming a thread");

	timer = start_timer(self);
	windows_program(self);
	if (self->served != self->calls || self->dispatched != self->expected)
		self->wrong++;

	pthread_barrier_wait(&barrier);
	native_library = true;
	native_call(self, pid);
	timer_delete(timer);

	stack.ss_flags = SS_DISABLE;
	sigaltstack(&stack, NULL);
	free(stack.ss_sp);
	free(unix_stack);
	return NULL;
}

/*
 * A copy of the Windows code outside the exempt image: in a statically linked program, the whole program
 * is exempt.
 */
static void map_windows_code(void)
{
	size_t size = (size_t)(windows_code_end - windows_code);
	char *copy = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (copy == MAP_FAILED)
		die("mapping the Windows code");
	memcpy(copy, windows_code, size);
	if (mprotect(copy, size, PROT_READ | PROT_EXEC))
		die("making the Windows code executable");
	for (int i = 0; i < WAYS; i++)
		ways[i] = (way)(copy + (by[i] - windows_code));
}

int main(void)
{
	static struct thread threads[THREADS];
	struct sigaction sigsys = { .sa_sigaction = on_sigsys, .sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK };
	struct sigaction sigusr1 = { .sa_handler = on_sigusr1, .sa_flags = SA_RESTART | SA_ONSTACK };
	long wrong = 0;

	if (!find_libc(&libc)) {
		fprintf(stderr, "wine-like: there is no libc.so.6 in this process to exempt; link with -static\n");
		return 1;
	}
	if (set_dispatch(PR_SYS_DISPATCH_OFF, 0, 0, NULL)) {
		fprintf(stderr, "wine-like: this kernel has no Syscall User Dispatch (prctl: %s)\n", strerror(errno));
		return 2;
	}
	if (sigaction(SIGSYS, &sigsys, NULL) || sigaction(SIGUSR1, &sigusr1, NULL))
		die("sigaction");
	map_windows_code();
	has_int80 = try_int80();
	if (!has_int80)
		printf("(This kernel has no int $0x80: left out.)\n");
	pthread_barrier_init(&barrier, NULL, THREADS);
	for (int i = 0; i < THREADS; i++)
		if ((errno = pthread_create(&threads[i].id, NULL, run_thread, &threads[i])))
			die("pthread_create");
	for (int i = 0; i < THREADS; i++) {
		struct thread *t = &threads[i];

		pthread_join(t->id, NULL);
		printf("thread %d: %ld calls, %ld came as SIGSYS, %ld served; SIGUSR1 came %ld times; %ld wrong\n",
		       i + 1, t->calls, t->dispatched, t->served, t->interrupted, t->wrong);
		wrong += t->wrong;
	}
	printf("%s\n", wrong ? "WRONG: a call did not go where it should." : "Every call went where it should.");
	return wrong ? 1 : 0;
}
