// SPDX-License-Identifier: GPL-2.0
/*
 * Syscall User Dispatch under load: everything at the same time, for a while.
 * Every call is accounted for.
 *
 * Workers are processes of several threads that arm themselves in all ways,
 * make calls that are dispatched, allowed and exempt, have children of all
 * kinds, and execute themselves. Meanwhile they are flooded with signals,
 * killed and started anew, traced, and short of memory, so that their selectors
 * are swapped out.
 *
 * A thread counts a foreign call before it makes the call. Afterwards the
 * handler counts it as dispatched, or the thread counts it as run. A call with
 * neither was lost, and a second SIGSYS for one call is an error. The counters
 * are in memory that all processes share. If a thread is killed, at most its
 * call in progress has no result.
 *
 * It prints one total a line, and the result.
 */
#include "sud_disk.h"
#include "sud_ptrace.h"

#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <time.h>

#define WORKERS		4
#define THREADS		3
#define TRACERS		2

/* The size of the swap space, in pages. */
#define SWAP_PAGES	8192

/* The seconds within which processes must end after the request. */
#define PATIENCE	300

/* The number of complaints that are printed. */
#define COMPLAINTS	20

/*
 * The descriptor of the shared memory, for workers that execute this program
 * again. It is at one address, because tracers get its selector's address.
 */
#define SHARED_FD	100
#define SHARED_AT	0x10000000UL

/* ---- The counters ---- */

enum count {
	EXEMPT,		/* native calls of a thread that blocks foreign ones */
	SWAPPED,	/* dispatches whose selector was swapped out */
	REARMED,
	FORKED, VFORKED, CLONED, THREADED, EXECED_CHILD, EXECED,
	FLOODED,	/* SIGSYS of siblings that arrived */
	WITHOUT_INFO,	/* SIGSYS without their siginfo */
	SIGUSR1S,
	KILLED,
	TRACED, GOT, SET, STOPS,
	FAILED,		/* attempts for which there was no memory */
	WRONG,
	COUNTS
};

static const char *const count_names[COUNTS] = {
	[EXEMPT] = "exempt",
	[SWAPPED] = "swapped",
	[REARMED] = "rearmed",
	[FORKED] = "fork",
	[VFORKED] = "vfork",
	[CLONED] = "clone",
	[THREADED] = "thread",
	[EXECED_CHILD] = "exec-child",
	[EXECED] = "exec-self",
	[FLOODED] = "flooded",
	[WITHOUT_INFO] = "sigsys-without-siginfo",
	[SIGUSR1S] = "sigusr1",
	[KILLED] = "killed",
	[TRACED] = "traced",
	[GOT] = "ptrace-get",
	[SET] = "ptrace-set",
	[STOPS] = "syscall-stops",
	[FAILED] = "failed",
	[WRONG] = "wrong",
};

/*
 * The foreign calls of a thread, in the program or in its handler of SIGUSR1.
 * Between two of them, made is the sum of the others minus doubled. Only the
 * thread writes it, and settle() after the thread's end.
 */
struct calls {
	volatile unsigned int made;
	volatile unsigned int dispatched;
	volatile unsigned int ran;
	volatile unsigned int bare;	/* dispatched, without the siginfo */
	volatile unsigned int lost;
	volatile unsigned int doubled;
	volatile unsigned int interrupted;	/* by its end */

	/* The call in progress. */
	volatile long nr;
	volatile bool rerun;
	/* SIGSYS that were no dispatches. */
	volatile unsigned int others;
};

enum { IN_PROGRAM, IN_HANDLER, LEVELS };

/* The configurations of a thread. */
enum { OFF, OWN_SELECTOR, SHARED_SELECTOR, ARMINGS };

struct actor {
	unsigned int count[COUNTS];

	/* The thread of a worker while it may be traced and flooded. */
	volatile pid_t tid;
	/* Signals that the flooder sent. */
	volatile unsigned int taken;
	/* Its next dispatch finds the selector swapped out. */
	volatile bool swapping;
	/* They differ while the thread arms itself. */
	volatile unsigned int armed, arming;
	volatile uint8_t *volatile selector;

	volatile unsigned int level;
	struct calls calls[LEVELS];
};

struct worker {
	volatile pid_t pid;
	/* Its threads are valid: it is not about to execute itself. */
	volatile bool ready;
	bool killed;
	/* SIGSYS are sent, too. If not, every SIGSYS is a dispatch. */
	bool flooded;
	/* The number of starts, and the actions since the last one. */
	unsigned int life;
	unsigned int turns;
	struct actor thread[THREADS];
	struct actor flooder;
};

static struct shared {
	/* On its own page: the selector that all threads may share. */
	volatile uint8_t selector __attribute__((aligned(4096)));

	volatile bool stop __attribute__((aligned(4096)));
	unsigned int complaints;
	unsigned int seed;
	bool faults;
	bool inclusive;
	/* Ensures that every kind has its turn. */
	unsigned int children;
	struct actor main;
	struct actor tracer[TRACERS];
	struct worker worker[WORKERS];
} *shared;

static __thread struct actor *self;

static void count(enum count what)
{
	__atomic_fetch_add(&self->count[what], 1, __ATOMIC_RELAXED);
}

static void __attribute__((format(printf, 1, 2)))
complain(const char *format, ...)
{
	char line[200];
	va_list args;
	int n, m;

	count(WRONG);
	if (__atomic_fetch_add(&shared->complaints, 1, __ATOMIC_RELAXED) >=
	    COMPLAINTS)
		return;
	n = snprintf(line, sizeof(line), "# wrong: ");
	va_start(args, format);
	m = vsnprintf(line + n, sizeof(line) - n - 1, format, args);
	va_end(args);
	n = n + m < sizeof(line) - 1 ? n + m : sizeof(line) - 2;
	line[n] = '\n';
	if (write(STDERR_FILENO, line, n + 1) < 0)
		return;
}

static __thread uint32_t random_state;

static uint32_t any(uint32_t below)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 17;
	random_state ^= random_state << 5;
	return random_state % below;
}

static void become(struct actor *actor, unsigned int life)
{
	self = actor;
	random_state = shared->seed + 1000003 * life +
		       ((uintptr_t)actor - (uintptr_t)shared);
	if (!random_state)
		random_state = 1;
	any(2);
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

/* ---- Foreign calls ---- */

/*
 * No kernel implements these numbers, so the calls fail with ENOSYS if they
 * run. The number gives the expected fate of the call.
 */
enum kind { DISPATCHED, ALLOWED, EITHER, RERUN, NATIVE, KINDS };

#define FIRST_NR	20000
#define NRS_OF_A_KIND	1000

static long nr_of(enum kind kind, unsigned int i)
{
	return SUD_NR(FIRST_NR + kind * NRS_OF_A_KIND + i % NRS_OF_A_KIND);
}

static enum kind kind_of(long nr)
{
	nr = (nr & ~SUD_NR(0)) - FIRST_NR;
	return nr >= 0 && nr < KINDS * NRS_OF_A_KIND ? nr / NRS_OF_A_KIND :
						       KINDS;
}

/* The result that the handler gives a call. */
static long answer(long nr)
{
	return nr ^ 0x10000;
}

static pid_t pid;
static struct worker *worker;

static void on_sigsys(int sig, siginfo_t *info, void *context)
{
	struct calls *c = &self->calls[self->level];
	ucontext_t *uc = context;

	if (info->si_code == SYS_USER_DISPATCH) {
		if (info->si_syscall != (int)c->nr ||
		    info->si_call_addr != (void *)sud_foreign_ip() ||
		    info->si_arch != SUD_AUDIT_ARCH || info->si_errno)
			complain("siginfo of call %d, not %ld",
				 info->si_syscall, c->nr);
		if (SUD_REG_IP(uc) != sud_foreign_ip() ||
		    SUD_REG_RET(uc) != c->nr)
			complain("registers of call %ld", c->nr);
		if (c->rerun) {
			*self->selector = SUD_ALLOW;
			SUD_REG_IP(uc) -= SUD_INSN_LEN;
		} else {
			SUD_REG_RET(uc) = answer(c->nr);
		}
		c->dispatched++;
		return;
	}

	c->others++;
	self->taken++;
	if (info->si_code == SI_TKILL && info->si_pid == pid)
		count(FLOODED);
	else if (info->si_code == SI_USER && !info->si_pid)
		count(WITHOUT_INFO);
	else
		complain("a SIGSYS with si_code %d", info->si_code);
}

/* Calls that began and have no result yet. */
static int balance(const struct calls *c)
{
	return c->made - c->dispatched - c->ran - c->bare - c->lost -
	       c->interrupted + c->doubled;
}

/*
 * Make one call whose fate the thread knows. EITHER fate is correct while
 * other threads change the selector.
 */
static void foreign(enum kind kind)
{
	struct calls *c = &self->calls[self->level];
	unsigned int seen = c->dispatched, others = c->others;
	sud_word ret;
	bool ran;
	long nr;

	if (balance(c))
		complain("the balance is %d", balance(c));
	nr = nr_of(kind, c->made);
	c->nr = nr;
	c->rerun = kind == RERUN;
	c->made++;
	ret = sud_foreign_call(nr, 1, 2, 3, 4, 5, 6);

	seen = c->dispatched - seen;
	others = c->others - others;
	ran = ret == -ENOSYS;
	if (seen > 1) {
		c->doubled += seen - 1;
		complain("call %ld dispatched %u times", nr, seen);
	} else if (!seen && ran) {
		c->ran++;
	} else if (!seen && shared->faults && others && ret == nr) {
		c->bare++;
	} else if (!seen) {
		c->lost++;
		complain("call %ld returned %lld and no SIGSYS", nr,
			 (long long)ret);
	} else if (ret != (kind == RERUN ? -ENOSYS : answer(nr))) {
		complain("call %ld returned %lld", nr, (long long)ret);
	}

	if (kind == ALLOWED ? seen || !ran : kind != EITHER && !seen && ran)
		complain("call %ld %s", nr, ran ? "was run" : "was not run");
	if (!worker->flooded && seen + others > 1)
		complain("call %ld got %u SIGSYS too many", nr,
			 seen + others - 1);
}

static void call_native(void)
{
	long nr = nr_of(NATIVE, self->count[EXEMPT]);

	if (syscall(nr, 1, 2, 3, 4, 5, 6) != -1 || errno != ENOSYS)
		complain("native call %ld", nr);
	count(EXEMPT);
}

/* Make one call of a kind that this configuration allows. */
static void call(void)
{
	static const enum kind kinds[] = {
		DISPATCHED, DISPATCHED, RERUN, ALLOWED, NATIVE
	};
	enum kind kind;

	switch (self->armed) {
	case OFF:
		*self->selector = SUD_BLOCK;
		foreign(ALLOWED);
		break;
	case SHARED_SELECTOR:
		shared->selector = any(2) ? SUD_BLOCK : SUD_ALLOW;
		foreign(EITHER);
		break;
	default:
		kind = kinds[any(sizeof(kinds) / sizeof(*kinds))];
		*self->selector = kind == ALLOWED ? SUD_ALLOW : SUD_BLOCK;
		if (kind == NATIVE)
			call_native();
		else
			foreign(kind);
	}
}

static void on_sigusr1(int sig, siginfo_t *info, void *context)
{
	uint8_t byte = *self->selector;
	int error = errno;

	count(SIGUSR1S);
	self->taken++;
	/*
	 * While the thread arms itself, either configuration may be in force.
	 */
	if (self->armed == self->arming) {
		self->level = IN_HANDLER;
		call();
		self->level = IN_PROGRAM;
	}
	*self->selector = byte;
	errno = error;
}

/* ---- Other actions of a thread ---- */

/* The same region in the other mode. */
static struct ptrace_sud_config config(unsigned int arming, bool inclusive,
				       volatile uint8_t *own)
{
	volatile uint8_t *selector = arming == OWN_SELECTOR ? own :
						&shared->selector;

	if (arming == OFF)
		return sud_config_off();
	if (inclusive)
		return sud_config_foreign((uintptr_t)selector);
	return sud_config(SUD_EXCL, SUD_NATIVE_OFFSET, SUD_NATIVE_LENGTH,
			  (uintptr_t)selector);
}

static void arm(void)
{
	unsigned int arming = any(3) ? OWN_SELECTOR : any(ARMINGS);
	bool inclusive = shared->inclusive && any(2);
	struct ptrace_sud_config c = config(arming, inclusive, self->selector);
	long ret;

	/* A failing call must change nothing. */
	if (any(2) && sud_arm(SUD_EXCL, 1, 0, self->selector) != -EINVAL)
		complain("an empty region was taken");

	self->arming = arming;
	ret = sud_prctl(c.mode, c.offset, c.len, c.selector);
	if (ret)
		complain("prctl() returned %ld", ret);
	self->armed = arming;
	count(REARMED);
}

/* A dispatch whose selector must be read from the swap space. */
static void swapped(void)
{
	unsigned int tries;

	if (self->armed != OWN_SELECTOR)
		return;
	*self->selector = SUD_BLOCK;
	for (tries = 0; tries < 5; tries++) {
		if (madvise((void *)self->selector, sysconf(_SC_PAGESIZE),
			    MADV_PAGEOUT))
			return;
		if (sud_page_entry(self->selector) & SUD_PAGE_SWAPPED) {
			count(SWAPPED);
			self->swapping = true;
			break;
		}
	}
	foreign(DISPATCHED);
	self->swapping = false;
}

/* In children: dispatch must be off, although the parent's selector blocks. */
static int child(void *arg)
{
	return sud_foreign_call(nr_of(ALLOWED, 0), 1, 2, 3, 4, 5, 6) ==
	       -ENOSYS ? 0 : 1;
}

static void *child_thread(void *arg)
{
	return child(NULL) ? arg : NULL;
}

/* With too little memory, an allocation may fail. */
static void no_memory(const char *what)
{
	if (errno == ENOMEM || errno == EAGAIN)
		count(FAILED);
	else
		complain("%s: %s", what, strerror(errno));
}

static void await(pid_t child, enum count what)
{
	int status;

	if (child < 0) {
		no_memory(count_names[what]);
		return;
	}
	while (waitpid(child, &status, __WALL) != child) {
		if (errno != EINTR) {
			complain("waitpid: %s", strerror(errno));
			return;
		}
	}
	if (sud_exited(status, 0))
		count(what);
	else
		complain("%s: the child's status is %#x", count_names[what],
			 status);
}

static const char self_exe[] = "/proc/self/exe";

static void mask_signals(int how)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGSYS);
	sigaddset(&set, SIGUSR1);
	pthread_sigmask(how, &set, NULL);
}

/*
 * Pending signals would find no handler in the new program. Kills the other
 * threads.
 */
static void execute_self(void)
{
	char name[16];

	snprintf(name, sizeof(name), "-w%d", (int)(worker - shared->worker));
	mask_signals(SIG_BLOCK);
	worker->ready = false;
	execl(self_exe, "soak", name, NULL);
	worker->ready = true;
	mask_signals(SIG_UNBLOCK);
	complain("exec: %s", strerror(errno));
}

/* Or execute this program again. */
static void have_child(void)
{
	char stack[16384] __attribute__((aligned(16)));
	pthread_t thread;
	void *trouble;
	pid_t pid;

	*self->selector = SUD_BLOCK;
	switch (__atomic_fetch_add(&shared->children, 1, __ATOMIC_RELAXED) %
		6) {
	case 0:
		pid = fork();
		if (pid == 0)
			_exit(child(NULL));
		await(pid, FORKED);
		break;
	case 1:
		pid = vfork();
		if (pid == 0)
			_exit(child(NULL));
		await(pid, VFORKED);
		break;
	case 2:
		pid = clone(child, stack + sizeof(stack), CLONE_VM |
			    CLONE_VFORK | SIGCHLD, NULL);
		await(pid, CLONED);
		break;
	case 3:
		errno = pthread_create(&thread, NULL, child_thread, self);
		if (errno) {
			no_memory("pthread_create");
			break;
		}
		pthread_join(thread, &trouble);
		if (trouble)
			complain("a thread was not off");
		count(THREADED);
		break;
	case 4:
		pid = vfork();
		if (pid == 0) {
			execl(self_exe, "soak", "-x", NULL);
			_exit(2);
		}
		await(pid, EXECED_CHILD);
		break;
	case 5:
		execute_self();
		break;
	}
}

/* ---- Workers ---- */

static void settle_calls(struct calls *c, bool killed)
{
	int left = balance(c);

	if (killed && left == 1) {
		c->interrupted++;
	} else if (left) {
		/* Done in one store, because settle() may be killed, too. */
		if (left > 0)
			c->lost += left;
		else
			c->doubled -= left;
		complain("the balance of a dead thread is %d", left);
	}
}

/* Account for the threads of an ended worker. Were they killed? */
static void settle(struct worker *w, bool killed)
{
	unsigned int i, level;

	for (i = 0; i < THREADS; i++) {
		w->thread[i].tid = 0;
		w->thread[i].swapping = false;
		w->thread[i].level = IN_PROGRAM;
		w->thread[i].armed = OFF;
		w->thread[i].arming = OFF;
		for (level = 0; level < LEVELS; level++)
			settle_calls(&w->thread[i].calls[level], killed);
	}
}

static void *run_thread(void *arg)
{
	void *page = mmap(NULL, sysconf(_SC_PAGESIZE), PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct actor *me = arg;
	unsigned int what, i;

	become(me, worker->life);
	if (page == MAP_FAILED) {
		no_memory("mmap");
		return NULL;
	}
	me->selector = page;
	mask_signals(SIG_UNBLOCK);
	me->tid = syscall(SYS_gettid);

	while (!shared->stop) {
		__atomic_fetch_add(&worker->turns, 1, __ATOMIC_RELAXED);
		what = any(500);
		if (what < 100)
			arm();
		else if (what < 130)
			swapped();
		else if (what < 160)
			have_child();
		else
			for (i = any(20); i; i--)
				call();
	}

	mask_signals(SIG_BLOCK);
	me->tid = 0;
	if (sud_off())
		complain("cannot be turned off");
	return NULL;
}

/* Prefer a thread that is about to sleep during a dispatch. */
static struct actor *choose_target(void)
{
	unsigned int i;

	for (i = 0; i < THREADS; i++) {
		if (worker->thread[i].swapping)
			return &worker->thread[i];
	}
	return &worker->thread[any(THREADS)];
}

/*
 * A thread that does not run takes only one of many signals. Only a thread
 * that runs or sleeps there can be at a call. So send until it has taken some,
 * up to a limit. Then pause, because no fork() would end otherwise.
 */
static void *run_flooder(void *arg)
{
	const struct actor *target;
	unsigned int i, some;
	pid_t tid;
	int sig;

	become(arg, worker->life);
	while (!shared->stop) {
		target = choose_target();
		tid = target->tid;
		some = target->taken + any(50);
		for (i = 5000; i && tid && target->taken < some; i--) {
			sig = worker->flooded && any(8) ? SIGSYS : SIGUSR1;
			syscall(SYS_tgkill, pid, tid, sig);
		}
		usleep(any(1000));
	}
	return NULL;
}

static bool make_it_fail(void)
{
	int fd = open("/proc/self/make-it-fail", O_WRONLY | O_CLOEXEC);
	bool ok = fd >= 0 && write(fd, "1", 1) == 1;

	if (fd >= 0)
		close(fd);
	return ok;
}

static void run_worker(struct worker *w)
{
	struct sigaction act = { .sa_flags = SA_SIGINFO | SA_RESTART };
	pthread_t thread[THREADS + 1];
	unsigned int i;

	worker = w;
	pid = getpid();
	w->life++;
	become(&w->thread[0], w->life);
	mask_signals(SIG_BLOCK);
	settle(w, true);
	if (shared->faults && !make_it_fail())
		complain("/proc/self/make-it-fail: %s", strerror(errno));

	/* Each handler blocks the other signal. */
	act.sa_sigaction = on_sigsys;
	sigaddset(&act.sa_mask, SIGUSR1);
	sigaction(SIGSYS, &act, NULL);
	sigemptyset(&act.sa_mask);
	act.sa_sigaction = on_sigusr1;
	sigaction(SIGUSR1, &act, NULL);
	if (child(NULL))
		complain("a worker was not off");

	/* Before any thread can execute the program again. */
	w->ready = true;
	for (i = 1; i <= THREADS; i++) {
		errno = i == THREADS ?
			pthread_create(&thread[i], NULL, run_flooder,
				       &w->flooder) :
			pthread_create(&thread[i], NULL, run_thread,
				       &w->thread[i]);
		if (errno) {
			no_memory("pthread_create");
			thread[i] = 0;
		}
	}
	run_thread(&w->thread[0]);
	for (i = 1; i <= THREADS; i++) {
		if (thread[i])
			pthread_join(thread[i], NULL);
	}
	_exit(EXIT_SUCCESS);
}

/* ---- Tracers ---- */

/* Wait for the one tracee: a stop, an event, an end or a change of its tid. */
static pid_t wait_tracee(int *stop)
{
	int status;
	pid_t tid;

	do {
		tid = waitpid(-1, &status, __WALL);
	} while (tid < 0 && errno == EINTR);
	if (tid < 0 || !WIFSTOPPED(status))
		return -1;
	*stop = status >> 8;
	return tid;
}

/* The signal to pass on; only a stop for a signal has one. */
static int signal_of(int stop)
{
	return stop == SIGTRAP || stop == SIGSTOP || stop > 0x7f ? 0 : stop;
}

/* Did it succeed? A tracee that was killed is no error. */
static bool done(const char *what, long ret)
{
	if (ret && ret != -ESRCH)
		complain("ptrace: %s: %s", what, strerror(-ret));
	return !ret;
}

/* Check and change the configuration of the stopped tracee. */
static void look_at(pid_t tid, struct worker *w, const struct actor *thread)
{
	struct ptrace_sud_config got, want, again, off = sud_config_off();
	volatile uint8_t *own = thread->selector;
	unsigned int i, arming;
	bool inclusive;

	if (!w->ready || thread->tid != tid || !done("get", sud_get(tid, &got)))
		return;
	count(GOT);
	for (i = 0; i < 4; i++) {
		arming = i & 1 ? thread->armed : thread->arming;
		inclusive = i & 2;
		want = config(arming, inclusive, own);
		if (!memcmp(&got, &want, sizeof(got)))
			break;
	}
	if (i == 4) {
		complain("armed %u, arming %u, but mode %lld selector %#llx",
			 thread->armed, thread->arming, got.mode,
			 got.selector);
		return;
	}

	/* Off and on again, with the same region in the other mode. */
	if (!shared->inclusive)
		want = got;
	else
		want = config(arming, !inclusive, own);
	if (!done("off", sud_set(tid, off)) ||
	    !done("get", sud_get(tid, &again)))
		return;
	if (memcmp(&off, &again, sizeof(off)))
		complain("off, but mode %lld", again.mode);
	if (!done("set", sud_set(tid, want)) ||
	    !done("get", sud_get(tid, &again)))
		return;
	if (memcmp(&want, &again, sizeof(want)))
		complain("set to mode %lld, but mode %lld", want.mode,
			 again.mode);
	count(SET);
}

/* Its calls show pairs of entry and exit. A dispatched call shows none. */
static void look_at_call(pid_t tid, bool *entered)
{
	struct ptrace_syscall_info info;
	long n;

	n = sud_ptrace(PTRACE_GET_SYSCALL_INFO, tid, sizeof(info),
		       (unsigned long)&info);
	if (n <= 0)
		return;
	count(STOPS);
	*entered = !*entered;
	if (info.op != (*entered ? PTRACE_SYSCALL_INFO_ENTRY :
				   PTRACE_SYSCALL_INFO_EXIT))
		complain("a system-call stop of kind %d", info.op);
	else if (*entered && kind_of(info.entry.nr) == DISPATCHED)
		complain("a tracer saw the dispatched call %lld",
			 (long long)info.entry.nr);
}

/* Without TRACEEXEC, exec sends a SIGTRAP that may outlive the tracing. */
#define TRACE_OPTIONS	(PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEEXEC)

static void trace(struct worker *w, const struct actor *thread)
{
	bool seize = any(2), entered = false;
	unsigned int stops = any(40);
	int asked = seize ? SUD_STOP_GROUP(SIGTRAP) : SIGSTOP;
	pid_t tid = thread->tid;
	int stop = 0;

	if (!tid || !w->ready)
		return;
	if (sud_ptrace(seize ? PTRACE_SEIZE : PTRACE_ATTACH, tid, 0,
		       seize ? TRACE_OPTIONS : 0))
		return;
	if (seize)
		sud_ptrace(PTRACE_INTERRUPT, tid, 0, 0);
	for (;;) {
		tid = wait_tracee(&stop);
		if (tid < 0)
			return;
		if (stop == asked)
			break;
		sud_ptrace(PTRACE_CONT, tid, 0, signal_of(stop));
	}
	count(TRACED);
	sud_ptrace(PTRACE_SETOPTIONS, tid, 0, TRACE_OPTIONS);
	look_at(tid, w, thread);
	while (stops-- && !shared->stop) {
		sud_ptrace(PTRACE_SYSCALL, tid, 0, signal_of(stop));
		tid = wait_tracee(&stop);
		if (tid < 0)
			return;
		if (stop == SUD_STOP_SYSCALL)
			look_at_call(tid, &entered);
	}
	/* If it died meanwhile, it must be reaped. */
	if (sud_ptrace(PTRACE_DETACH, tid, 0, signal_of(stop))) {
		while (wait_tracee(&stop) >= 0)
			sud_ptrace(PTRACE_DETACH, tid, 0, signal_of(stop));
	}
}

static void run_tracer(struct actor *me)
{
	struct worker *w;

	become(me, 0);
	while (!shared->stop) {
		w = &shared->worker[any(WORKERS)];
		trace(w, &w->thread[any(THREADS)]);
		usleep(any(20000));
	}
	_exit(EXIT_SUCCESS);
}

/* ---- The shortage of memory ---- */

/* In bytes; 0 if it is unknown. */
static unsigned long long meminfo_of(const char *name)
{
	unsigned long long value = 0;
	size_t len = strlen(name);
	char line[128];
	FILE *f;

	f = fopen("/proc/meminfo", "re");
	if (!f)
		return 0;
	while (fgets(line, sizeof(line), f)) {
		if (!strncmp(line, name, len) && line[len] == ':')
			value = strtoull(line + len + 1, NULL, 10) * 1024;
	}
	fclose(f);
	return value;
}

/* Use all available memory, and half of the swap space. */
static void run_hog(void)
{
	size_t page = sysconf(_SC_PAGESIZE);
	size_t pages = (meminfo_of("MemAvailable") + meminfo_of("SwapFree") / 2) /
		       page;
	volatile uint8_t *memory;
	unsigned int i;
	size_t n;

	memory = mmap(NULL, pages * page, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (memory == MAP_FAILED) {
		complain("no memory for the hog: %s", strerror(errno));
		_exit(EXIT_FAILURE);
	}
	for (n = 0; n < pages && !shared->stop; n++) {
		memory[n * page] = 1;
		if (n % 64 == 0)
			usleep(1000);
	}
	while (!shared->stop) {
		for (i = 0; i < 16; i++)
			memory[any(pages) * page]++;
		usleep(5000);
	}
	_exit(EXIT_SUCCESS);
}

/* ---- The main process ---- */

static pid_t tracers[TRACERS], hog;

static void start_worker(struct worker *w)
{
	pid_t child;

	w->ready = false;
	w->killed = false;
	w->turns = 0;
	child = fork();
	if (child == 0)
		run_worker(w);
	w->pid = child < 0 ? 0 : child;
	if (child < 0)
		no_memory("fork");
}

/* Return: true for our own process, false for the child of a dead worker. */
static bool bury(pid_t child, int status)
{
	unsigned int i;

	for (i = 0; i < WORKERS; i++) {
		struct worker *w = &shared->worker[i];

		if (w->pid != child)
			continue;
		w->pid = 0;
		settle(w, status);
		if (w->killed ? !sud_killed(status, SIGKILL) && status :
				!shared->stop || status)
			complain("worker %u ended with status %#x", i, status);
		return true;
	}
	for (i = 0; i < TRACERS; i++) {
		if (tracers[i] != child)
			continue;
		tracers[i] = 0;
		if (!shared->stop || status)
			complain("a tracer ended with status %#x", status);
		return true;
	}
	if (child == hog) {
		hog = 0;
		if (!shared->stop || status)
			complain("the hog ended with status %#x", status);
		return true;
	}
	if (status)
		complain("an orphan ended with status %#x", status);
	return false;
}

static void reap(void)
{
	unsigned int i;
	int status;
	pid_t child;

	for (;;) {
		child = waitpid(-1, &status, WNOHANG | __WALL);
		if (child <= 0)
			break;
		bury(child, status);
	}
	for (i = 0; i < WORKERS; i++) {
		if (!shared->worker[i].pid && !shared->stop)
			start_worker(&shared->worker[i]);
	}
}

static void run(double seconds, bool hungry)
{
	double end = now() + seconds;
	unsigned int i;
	struct worker *w;
	pid_t child;
	int status;

	fflush(stdout);
	for (i = 0; i < WORKERS; i++) {
		shared->worker[i].flooded = i % 2;
		start_worker(&shared->worker[i]);
	}
	for (i = 0; i < TRACERS; i++) {
		tracers[i] = fork();
		if (tracers[i] == 0)
			run_tracer(&shared->tracer[i]);
	}
	if (hungry) {
		hog = fork();
		if (hog == 0)
			run_hog();
	}

	while (now() < end) {
		usleep(20000 + any(100000));
		reap();
		/*
		 * Only workers that have run for a while, so that they make
		 * progress.
		 */
		w = &shared->worker[any(WORKERS)];
		if (w->pid && w->turns > any(500)) {
			w->killed = true;
			kill(w->pid, SIGKILL);
			count(KILLED);
		}
	}

	shared->stop = true;
	end = now() + PATIENCE;
	for (;;) {
		child = waitpid(-1, &status, WNOHANG | __WALL);
		if (child > 0) {
			bury(child, status);
			continue;
		}
		if (child < 0)
			break;
		if (now() > end) {
			complain("not all end");
			for (i = 0; i < WORKERS; i++) {
				if (shared->worker[i].pid)
					kill(shared->worker[i].pid, SIGKILL);
			}
			break;
		}
		usleep(10000);
	}
}

static void add(unsigned int *total, const struct actor *actor)
{
	unsigned int i;

	for (i = 0; i < COUNTS; i++)
		total[i] += actor->count[i];
}

static void print(const char *name, unsigned int value)
{
	printf("%s\t%u\n", name, value);
}

/* Return: true if everything required happened, and nothing wrong did. */
static bool report(bool swap)
{
	unsigned int total[COUNTS] = { 0 }, i, j, level;
	struct calls sum = { 0 };
	const struct calls *c;
	bool ok;

	add(total, &shared->main);
	for (i = 0; i < TRACERS; i++)
		add(total, &shared->tracer[i]);
	for (i = 0; i < WORKERS; i++) {
		add(total, &shared->worker[i].flooder);
		for (j = 0; j < THREADS; j++) {
			add(total, &shared->worker[i].thread[j]);
			for (level = 0; level < LEVELS; level++) {
				c = &shared->worker[i].thread[j].calls[level];
				sum.made += c->made;
				sum.dispatched += c->dispatched;
				sum.ran += c->ran;
				sum.bare += c->bare;
				sum.lost += c->lost;
				sum.doubled += c->doubled;
				sum.interrupted += c->interrupted;
			}
		}
	}
	print("threads", WORKERS * THREADS);
	print("made", sum.made);
	print("dispatched", sum.dispatched);
	print("ran", sum.ran);
	print("without-siginfo", sum.bare);
	print("interrupted", sum.interrupted);
	print("lost", sum.lost);
	print("doubled", sum.doubled);
	for (i = 0; i < COUNTS; i++)
		print(count_names[i], total[i]);

	ok = !sum.lost && !sum.doubled && !total[WRONG] &&
	     sum.made == sum.dispatched + sum.ran + sum.bare + sum.interrupted;
	/* If something did not happen, the soak proves nothing about it. */
	for (i = 0; i < COUNTS; i++) {
		if (total[i] || i == WRONG || i == FAILED ||
		    (i == SWAPPED && !swap) ||
		    (i == WITHOUT_INFO && !shared->faults))
			continue;
		printf("# none: %s\n", count_names[i]);
		ok = false;
	}
	if (!sum.dispatched || !sum.ran || (shared->faults && !sum.bare)) {
		printf("# none: dispatched, ran or without-siginfo\n");
		ok = false;
	}
	if (!shared->faults && total[WITHOUT_INFO]) {
		printf("# a SIGSYS without siginfo\n");
		ok = false;
	}
	return ok;
}

static bool map_shared(bool create)
{
	int fd = SHARED_FD;

	if (create) {
		int memory = memfd_create("sud-soak", 0);

		if (memory < 0 || ftruncate(memory, sizeof(*shared)) ||
		    dup2(memory, fd) != fd)
			return false;
		close(memory);
	}
	shared = mmap((void *)SHARED_AT, sizeof(*shared),
		      PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_FIXED_NOREPLACE, fd, 0);
	return shared == (void *)SHARED_AT;
}

static int explain(const char *name)
{
	fprintf(stderr, "usage: %s [-t SECONDS] [-s SEED] [-m] [-f]\n"
		"  -t  how long (60)\n"
		"  -s  random seed (the time)\n"
		"  -m  take all memory, so that the kernel has to swap\n"
		"  -f  allocations fail: /sys/kernel/debug/failslab is set up,\n"
		"      task-filter on, and SIGSYS may come without siginfo\n",
		name);
	return 2;
}

int main(int argc, char **argv)
{
	bool hungry = false, faults = false, ok;
	unsigned int seed = time(NULL), seconds = 60;
	struct sud_disk disk;
	const char *trouble;
	int opt, w = -1;

	while ((opt = getopt(argc, argv, "t:s:mfw:x")) != -1) {
		switch (opt) {
		case 't':
			seconds = atoi(optarg);
			break;
		case 's':
			seed = strtoul(optarg, NULL, 0);
			break;
		case 'm':
			hungry = true;
			break;
		case 'f':
			faults = true;
			break;
		case 'w':
			w = atoi(optarg);
			break;
		case 'x':
			return sud_foreign_map() ? child(NULL) : 3;
		default:
			return explain(argv[0]);
		}
	}
	if (optind != argc || !seconds || seconds > 1000000 || w >= WORKERS)
		return explain(argv[0]);
	if (!sud_foreign_map() || !map_shared(w < 0)) {
		perror("soak: mmap");
		return 2;
	}
	if (w >= 0) {
		become(&shared->worker[w].thread[0], 0);
		count(EXECED);
		run_worker(&shared->worker[w]);
	}

	if (!sud_available()) {
		fprintf(stderr, "soak: no syscall user dispatch here\n");
		return 4;
	}
	shared->seed = seed;
	shared->faults = faults;
	shared->inclusive = sud_has_inclusive();
	become(&shared->main, 0);
	if (faults && access("/proc/self/make-it-fail", W_OK)) {
		perror("soak: /proc/self/make-it-fail (CONFIG_FAULT_INJECTION)");
		return 2;
	}
	printf("# soak%s -t %u -s %u%s%s\n", SUD_SUFFIX, seconds, seed,
	       hungry ? " -m" : "", faults ? " -f" : "");
	trouble = sud_disk_create(&disk, SWAP_PAGES, true) ?:
		  sud_disk_swapon(&disk);
	if (trouble)
		printf("# no swap space: %s: %s\n", trouble, strerror(errno));
	/* The children of killed workers become ours. */
	prctl(PR_SET_CHILD_SUBREAPER, 1UL, 0UL, 0UL, 0UL);

	run(seconds, hungry);
	if (!trouble && swapoff(disk.name))
		complain("swapoff: %s", strerror(errno));
	ok = report(!trouble);
	printf("result\t%s\n", ok ? "ok" : "failed");
	return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
