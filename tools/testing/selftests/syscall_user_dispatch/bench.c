// SPDX-License-Identifier: GPL-2.0
/*
 * The cost of a system call with Syscall User Dispatch and with its
 * alternatives.
 *
 * This is not a test: it decides nothing. It prints tab-separated lines: the
 * ABI, the way into the kernel, the measure, the unit, the number of batches
 * timed and of calls in a batch, and the first quartile, the median and the
 * third quartile of the cost of a call. Lines that begin with # name measures
 * that failed.
 *
 * The calls are getppid(), which does next to nothing itself. The return value
 * of each call is checked: an intercepted call returns a value that the kernel
 * never returns. A wrong value ends the program with a failure.
 *
 * The unit is the nanosecond, or with -t a tick of the processor's time stamp
 * counter. Under QEMU's "-icount shift=0" a tick is one instruction of the
 * guest.
 *
 * The speed of a machine varies. All is therefore measured in turns of a few
 * batches, and on one processor, except for the threads.
 */
#include "sud_direct.h"
#include "sud_seccomp.h"

#include <cpuid.h>
#include <err.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <sys/auxv.h>
#include <sys/ioctl.h>
#include <time.h>

/* The return value of an intercepted call. No process has this number. */
#define INTERCEPTED	0x5355440

#define MAX_THREADS	64

/* The batches that are timed in each turn, and those before them. */
#define BATCHES		10
#define WARM_UP		2

#define NR_GETPPID	SUD_NR(SYS_getppid)
#define NR_GETPPID_IA32	64

/* ---- The clock ---- */

static bool use_tsc;

static uint64_t now(void)
{
	struct timespec ts;
	uint32_t low, high;

	if (use_tsc) {
		asm volatile("rdtsc" : "=a" (low), "=d" (high));
		return low | (uint64_t)high << 32;
	}
	clock_gettime(CLOCK_MONOTONIC_RAW, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

/* ---- Ways into the kernel ---- */

static __always_inline long by_int80(void)
{
	long ret;

	asm volatile("int $0x80"
		     : "=a" (ret) : "0" ((long)NR_GETPPID_IA32) : "memory");
	return ret;
}

#ifdef __x86_64__
static __always_inline long by_syscall(void)
{
	long ret;

	asm volatile("syscall" : "=a" (ret) : "0" ((long)NR_GETPPID)
		     : "rcx", "r11", "memory");
	return ret;
}

#define FIRST_WAY	"syscall"
#define BY_FIRST_WAY	by_syscall
#else
/* sysenter, syscall or int 0x80: the processor decides. */
static __always_inline long by_vdso(void)
{
	long ret;

	asm volatile("call *%[vsyscall]"
		     : "=a" (ret)
		     : "0" ((long)NR_GETPPID_IA32),
		       [vsyscall] "r" (getauxval(AT_SYSINFO))
		     : "memory");
	return ret;
}

#define FIRST_WAY	"vdso"
#define BY_FIRST_WAY	by_vdso
#endif

static const char *const ways[] = { FIRST_WAY, "int80" };
static unsigned int way;	/* as in ways[] */

#define N_WAYS (sizeof(ways) / sizeof(*ways))

/* ---- The measures ---- */

struct measure {
	const char *name;
	unsigned int calls;	/* in a batch */
	bool any_way;		/* otherwise by the first one only */

	/* Return: 0, or the negative error number. */
	long (*set_up)(void);
	/* Return: the number of calls with a wrong return value. */
	unsigned int (*batch)(unsigned int calls);
	/* Runs the batches. */
	void (*run)(const struct measure *m);
};

/* The results of a child. */
static struct shared {
	unsigned int n;		/* batches that were timed */
	unsigned int wrong;	/* calls */
	volatile int done;
	volatile uint8_t selector;
	double cost[BATCHES * MAX_THREADS];	/* of one call, by batch */
} *shared;

static long parent;

/*
 * Make calls, and count those that do not return this value. If calls are
 * intercepted, the selector is set for each of them. The loop has nothing else
 * in it, and the way is chosen outside of it, because everything in it is
 * measured.
 */
static __always_inline unsigned int
calls_by(long (*call)(void), unsigned int calls, long want, bool block)
{
	unsigned int wrong = 0;

	for (; calls; calls--) {
		if (block)
			shared->selector = SUD_BLOCK;
		if (call() != want)
			wrong++;
	}
	return wrong;
}

static __always_inline unsigned int
make_calls(unsigned int calls, long want, bool block)
{
	return way ? calls_by(by_int80, calls, want, block) :
		     calls_by(BY_FIRST_WAY, calls, want, block);
}

static void time_batches(const struct measure *m, double *cost,
			 unsigned int *wrong)
{
	uint64_t start;
	unsigned int i;

	for (i = 0; i < WARM_UP; i++)
		*wrong += m->batch(m->calls);
	for (i = 0; i < BATCHES; i++) {
		start = now();
		*wrong += m->batch(m->calls);
		cost[i] = (double)(now() - start) / m->calls;
	}
}

static void run_here(const struct measure *m)
{
	time_batches(m, shared->cost, &shared->wrong);
	shared->n = BATCHES;
}

static long nothing(void)
{
	return 0;
}

static unsigned int calls_run(unsigned int calls)
{
	return make_calls(calls, parent, false);
}

static unsigned int calls_intercepted(unsigned int calls)
{
	return make_calls(calls, INTERCEPTED, false);
}

/* ---- Syscall User Dispatch ---- */

static long exempt(void)
{
	return sud_arm(SUD_EXCL, 0, -1, NULL);
}

static long allow(void)
{
	shared->selector = SUD_ALLOW;
	return sud_arm(SUD_EXCL, 0, 0, &shared->selector);
}

/* Handles SIGSYS of both kinds. The return from the handler must run. */
static void emulate(int sig, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;

	shared->selector = SUD_ALLOW;
	SUD_REG_RET(uc) = INTERCEPTED;
}

static long handle(void)
{
	struct sigaction sa = {
		.sa_sigaction = emulate,
		.sa_flags = SA_SIGINFO,
	};

	return sigaction(SIGSYS, &sa, NULL) ? -errno : 0;
}

static long sigsys(void)
{
	return handle() ?: allow();
}

static unsigned int calls_blocked(unsigned int calls)
{
	return make_calls(calls, INTERCEPTED, true);
}

/* ---- Without a signal ---- */

#if SUD_WORD_BITS == 64

extern const char direct_empty[], direct_saves[]
	__attribute__((visibility("hidden")));

/* The memory and the components for XSAVE: x87, SSE, AVX and AVX-512. */
uint64_t save_area __attribute__((visibility("hidden")));
#define SAVED	"0xe7"

long serve_direct(long nr) __attribute__((used));
long serve_direct(long nr)
{
	shared->selector = SUD_ALLOW;
	return INTERCEPTED;
}

asm(".pushsection .text\n"
	/* The smallest possible handler. */
	"direct_empty:\n"
	"	mov	$0x5355440, %eax\n"
	"	jmp	*%rcx\n"
	/*
	 * All registers that a function in C may change are restored, except
	 * rax. XSAVE needs a header of zeros, and the mask in edx and eax.
	 */
	"direct_saves:\n"
	"	lea	-128(%rsp), %rsp\n"
	"	push	%rbp\n"
	"	push	%rcx\n"
	"	push	%rdx\n"
	"	push	%rsi\n"
	"	push	%rdi\n"
	"	push	%r8\n"
	"	push	%r9\n"
	"	push	%r10\n"
	"	push	%r11\n"
	"	mov	%rsp, %rbp\n"
	"	sub	save_area(%rip), %rsp\n"
	"	and	$-64, %rsp\n"
	"	xor	%edx, %edx\n"
	"	mov	%rdx, 512(%rsp)\n"
	"	mov	%rdx, 520(%rsp)\n"
	"	mov	%rdx, 528(%rsp)\n"
	"	mov	%rax, %rdi\n"
	"	mov	$" SAVED ", %eax\n"
	"	xsave64	(%rsp)\n"
	"	cld\n"
	"	call	serve_direct\n"
	"	mov	%rax, %rcx\n"
	"	mov	$" SAVED ", %eax\n"
	"	xor	%edx, %edx\n"
	"	xrstor64 (%rsp)\n"
	"	mov	%rcx, %rax\n"
	"	mov	%rbp, %rsp\n"
	"	pop	%r11\n"
	"	pop	%r10\n"
	"	pop	%r9\n"
	"	pop	%r8\n"
	"	pop	%rdi\n"
	"	pop	%rsi\n"
	"	pop	%rdx\n"
	"	pop	%rcx\n"
	"	pop	%rbp\n"
	"	push	%r11\n"
	"	popfq\n"
	"	lea	128(%rsp), %rsp\n"
	"	jmp	*%rcx\n"
	".popsection\n"
);

static long attach(const char *handler)
{
	return allow() ?: sud_set_handler((uintptr_t)handler, 0, 0, 0);
}

static long direct(void)
{
	return attach(direct_empty);
}

static long direct_save(void)
{
	unsigned int a, b, c, d;

	if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE) ||
	    !__get_cpuid_count(0xd, 0, &a, &b, &c, &d))
		return -EOPNOTSUPP;
	save_area = b;
	return attach(direct_saves);
}

/* The empty handler leaves the selector at BLOCK. */
static unsigned int calls_direct(unsigned int calls)
{
	unsigned int wrong = make_calls(calls, INTERCEPTED, true);

	shared->selector = SUD_ALLOW;
	return wrong;
}

#endif

static unsigned int flips(unsigned int calls)
{
	while (calls--)
		shared->selector ^= SUD_ALLOW ^ SUD_BLOCK;
	return 0;
}

/* ---- The alternatives ---- */

/* As Wine once did it: a filter tells native code by its address. */
static long filter_by_address(void)
{
	struct sock_filter code[] = {
		SUD_BPF_LOAD_UPPER(instruction_pointer),
		BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, 0, 2, 0),
		SUD_BPF_LOAD(instruction_pointer),
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, SUD_NATIVE, 0, 1),
		SUD_BPF_RETURN(SECCOMP_RET_ALLOW),
		SUD_BPF_RETURN(SECCOMP_RET_TRAP),
	};

	return sud_seccomp(code, sizeof(code) / sizeof(*code), 0);
}

static long trap(void)
{
	return handle() ?: sud_seccomp_nr(NR_GETPPID, SECCOMP_RET_TRAP, 0);
}

static int listener;
static pthread_barrier_t ready;

static void *serve_notifications(void *arg)
{
	struct seccomp_notif request;
	struct seccomp_notif_resp response;

	pthread_barrier_wait(&ready);
	for (;;) {
		memset(&request, 0, sizeof(request));
		if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &request))
			return NULL;
		memset(&response, 0, sizeof(response));
		response.id = request.id;
		response.val = INTERCEPTED;
		if (ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &response))
			return NULL;
	}
}

static long notify(void)
{
	pthread_t thread;

	if (pthread_barrier_init(&ready, NULL, 2) ||
	    pthread_create(&thread, NULL, serve_notifications, NULL))
		return -EAGAIN;
	listener = sud_seccomp_nr(NR_GETPPID, SECCOMP_RET_USER_NOTIF,
				  SECCOMP_FILTER_FLAG_NEW_LISTENER);
	if (listener < 0)
		return listener;
	pthread_barrier_wait(&ready);
	return 0;
}

/* No call of the tracee is run, so it tells by memory that it is done. */
static void run_emulated(const struct measure *m)
{
	struct user_regs_struct regs;
	int status;
	pid_t pid;

	pid = fork();
	if (pid < 0)
		err(EXIT_FAILURE, "fork");
	if (pid == 0) {
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL))
			_exit(EXIT_FAILURE);
		raise(SIGSTOP);
		run_here(m);
		shared->done = 1;
		for (;;)
			calls_intercepted(1);
	}
	if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
		errx(EXIT_FAILURE, "the tracee did not start");
	while (!shared->done) {
		if (ptrace(PTRACE_SYSEMU, pid, NULL, NULL) ||
		    waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status) ||
		    ptrace(PTRACE_GETREGS, pid, NULL, &regs))
			errx(EXIT_FAILURE, "the tracee was lost");
		SUD_USER_RET(&regs) = INTERCEPTED;
		if (ptrace(PTRACE_SETREGS, pid, NULL, &regs))
			err(EXIT_FAILURE, "PTRACE_SETREGS");
	}
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
}

/* Of two calls, one turns dispatch on, and the other turns it off. */
static unsigned int prctls(unsigned int calls)
{
	unsigned int wrong = 0, i;

	for (i = 0; i < calls; i += 2) {
		wrong += sud_arm(SUD_EXCL, 0, -1, NULL) != 0;
		wrong += sud_off() != 0;
	}
	return wrong;
}

/* ---- Processes ---- */

static unsigned int forks(unsigned int calls)
{
	unsigned int wrong = 0;
	int status;
	pid_t pid;

	while (calls--) {
		pid = fork();
		if (pid == 0)
			_exit(0);
		wrong += waitpid(pid, &status, 0) != pid || status;
	}
	return wrong;
}

static char *self[] = { "/proc/self/exe", "-x", NULL };

/* Execute this program again, which ends at once. */
static unsigned int execs(unsigned int calls)
{
	unsigned int wrong = 0;
	int status;
	pid_t pid;

	while (calls--) {
		pid = fork();
		if (pid == 0) {
			execv(self[0], self);
			_exit(EXIT_FAILURE);
		}
		wrong += waitpid(pid, &status, 0) != pid || status;
	}
	return wrong;
}

/* ---- Many armed threads that make calls at the same time ---- */

static unsigned int threads;
static bool share_selector;

struct thread {
	pthread_t thread;
	const struct measure *measure;
	volatile uint8_t selector;
	unsigned int wrong;
	double *cost;
};

static void *armed_thread(void *arg)
{
	struct thread *t = arg;

	t->selector = SUD_ALLOW;
	t->wrong = sud_arm(SUD_EXCL, 0, 0, share_selector ? &shared->selector :
			   &t->selector) != 0;
	pthread_barrier_wait(&ready);
	time_batches(t->measure, t->cost, &t->wrong);
	pthread_barrier_wait(&ready);
	sud_off();
	return NULL;
}

static void run_threads(const struct measure *m)
{
	static struct thread all[MAX_THREADS];
	unsigned int i;

	if (pthread_barrier_init(&ready, NULL, threads))
		errx(EXIT_FAILURE, "pthread_barrier_init failed");
	for (i = 0; i < threads; i++) {
		all[i].measure = m;
		all[i].cost = shared->cost + i * BATCHES;
		if (pthread_create(&all[i].thread, NULL, armed_thread, &all[i]))
			errx(EXIT_FAILURE, "pthread_create failed");
	}
	for (i = 0; i < threads; i++) {
		pthread_join(all[i].thread, NULL);
		shared->wrong += all[i].wrong;
	}
	shared->n = threads * BATCHES;
}

static const struct measure measures[] = {
	{ "unarmed", 1000, true, nothing, calls_run, run_here },
	{ "exempt", 1000, true, exempt, calls_run, run_here },
	{ "allow", 1000, true, allow, calls_run, run_here },
	{ "sigsys", 100, true, sigsys, calls_blocked, run_here },
#if SUD_WORD_BITS == 64
	{ "direct", 100, false, direct, calls_direct, run_here },
	{ "direct-save", 100, false, direct_save, calls_direct, run_here },
#endif
	{ "flip", 1000, false, nothing, flips, run_here },
	{ "prctl", 1000, false, sud_off, prctls, run_here },
	{ "seccomp-allow", 1000, false, filter_by_address, calls_run,
	  run_here },
	{ "seccomp-trap", 100, false, trap, calls_blocked, run_here },
	{ "seccomp-notify", 100, false, notify, calls_intercepted, run_here },
	{ "ptrace-sysemu", 100, false, nothing, calls_intercepted,
	  run_emulated },
	{ "fork", 5, false, nothing, forks, run_here },
	{ "fork-armed", 5, false, exempt, forks, run_here },
	{ "exec", 1, false, nothing, execs, run_here },
	{ "exec-armed", 1, false, exempt, execs, run_here },
};

#define N_MEASURES (sizeof(measures) / sizeof(*measures))

static const struct measure of_threads = {
	"threads", 100, false, sud_off, calls_run, run_threads
};

/* ---- The table ---- */

struct row {
	char name[24];
	unsigned int way;
	const struct measure *measure;
	unsigned int threads;
	bool share_selector;

	int error;		/* the reason why it cannot be measured */
	unsigned int n;
	double *cost;
};

static struct row rows[64];
static unsigned int n_rows;

static void add_row(const char *name, unsigned int by, const struct measure *m,
		    unsigned int n, bool share)
{
	struct row *row = &rows[n_rows++];

	snprintf(row->name, sizeof(row->name), "%s", name);
	row->way = by;
	row->measure = m;
	row->threads = n;
	row->share_selector = share;
}

static bool named(const char *name, char **names)
{
	if (!*names)
		return true;
	for (; *names; names++) {
		if (!strcmp(name, *names))
			return true;
	}
	return false;
}

static void add_rows(char **names)
{
	const struct measure *m;
	unsigned int by, n;
	char name[24];

	for (by = 0; by < N_WAYS; by++) {
		for (m = measures; m < measures + N_MEASURES; m++) {
			if (named(m->name, names) && (m->any_way || !by))
				add_row(m->name, by, m, 0, false);
		}
	}
	if (!named("threads", names))
		return;
	for (n = 1; n <= MAX_THREADS; n *= 2) {
		snprintf(name, sizeof(name), "own-selector-%u", n);
		add_row(name, 0, &of_threads, n, false);
		snprintf(name, sizeof(name), "one-selector-%u", n);
		add_row(name, 0, &of_threads, n, true);
	}
}

/* Runs in a child, so that filters and dispatch end with it. */
static int measure_child(void *arg)
{
	const struct row *row = arg;
	cpu_set_t set;
	long ret;

	way = row->way;
	threads = row->threads;
	share_selector = row->share_selector;
	parent = getppid();
	if (!threads) {
		CPU_ZERO(&set);
		CPU_SET(sched_getcpu(), &set);
		sched_setaffinity(0, sizeof(set), &set);
	}
	ret = row->measure->set_up();
	if (ret)
		return -ret;
	row->measure->run(row->measure);
	return 0;
}

static void measure(struct row *row)
{
	int status;

	memset(shared, 0, sizeof(*shared));
	status = sud_run_child(measure_child, row);
	if (WIFEXITED(status) && WEXITSTATUS(status) && !shared->n) {
		row->error = WEXITSTATUS(status);
		return;
	}
	if (!sud_exited(status, 0) || shared->wrong)
		errx(EXIT_FAILURE, "%s by %s: wait status %#x, %u wrong calls",
		     row->name, ways[row->way], status, shared->wrong);
	row->cost = realloc(row->cost, (row->n + shared->n) * sizeof(double));
	if (!row->cost)
		err(EXIT_FAILURE, "realloc");
	memcpy(row->cost + row->n, shared->cost, shared->n * sizeof(double));
	row->n += shared->n;
}

static int ascending(const void *a, const void *b)
{
	double d = *(const double *)a - *(const double *)b;

	return (d > 0) - (d < 0);
}

static void print(const struct row *row)
{
	unsigned int n = row->n;

	if (row->error) {
		printf("# %s\t%s\t%s: %s\n", SUD_SUFFIX + 1, ways[row->way],
		       row->name, strerror(row->error));
		return;
	}
	qsort(row->cost, n, sizeof(double), ascending);
	printf("%s\t%s\t%s\t%s\t%u\t%u\t%.2f\t%.2f\t%.2f\n",
	       SUD_SUFFIX + 1, ways[row->way], row->name,
	       use_tsc ? "ticks" : "ns", n, row->measure->calls,
	       row->cost[n / 4], row->cost[n / 2], row->cost[n * 3 / 4]);
}

int main(int argc, char **argv)
{
	unsigned int turns = 5, i;
	int opt;

	while ((opt = getopt(argc, argv, "n:tx")) != -1) {
		switch (opt) {
		case 'n':
			turns = atoi(optarg);
			break;
		case 't':
			use_tsc = true;
			break;
		case 'x':
			return 0;
		default:
			turns = 0;
		}
	}
	if (!turns || turns > 10000) {
		fprintf(stderr, "usage: %s [-t] [-n TURNS] [MEASURE...]\n"
			"  -t  in ticks of the time stamp counter\n"
			"  -n  time %u batches that many times (5)\n",
			argv[0], BATCHES);
		return EXIT_FAILURE;
	}
	shared = sud_share(sizeof(*shared));
	if (!shared)
		err(EXIT_FAILURE, "mmap");

	add_rows(argv + optind);
	if (!n_rows)
		errx(EXIT_FAILURE,
		     "unknown measure; without a name, all are measured");
	while (turns--) {
		for (i = 0; i < n_rows; i++)
			measure(&rows[i]);
	}
	for (i = 0; i < n_rows; i++)
		print(&rows[i]);
	return EXIT_SUCCESS;
}
