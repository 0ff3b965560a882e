// SPDX-License-Identifier: GPL-2.0
/*
 * A SIGSYS that is already pending when a call is dispatched: rule D9, and its
 * combinations with D5, D6, D12 and O5.
 *
 * There are two methods. On a selector that userfaultfd watches, the thread
 * sleeps in the read until the other signal is pending, without a race. In a
 * flood, hundreds of thousands of calls race with the signals of siblings and
 * of a timer.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>

#include "sud_seccomp.h"
#include "sud_uffd.h"

#include "sud_harness.h"

#ifndef SI_SIGIO
#define SI_SIGIO	-5
#endif

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id	_sigev_un._tid
#endif

/* There is no such call: it would fail with ENOSYS if it ran. */
#define NR		SUD_NR(20001)
/* The return value that the handler sets. */
#define RESULT		4711

#define VALUE		0x5d5d

/* The data of the filter's SIGSYS. */
#define FILTER_DATA	1234

#define NSEC_PER_SEC	1000000000LL
#define MSEC		1000000LL
#define USEC		1000LL

/* Nothing here takes this long, unless something hangs. */
#define PATIENCE	(10 * NSEC_PER_SEC * sud_slow())

static pid_t pid;
static pid_t tid;

static long long now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec;
}

static struct timespec timespec(long long ns)
{
	struct timespec ts = {
		.tv_sec = ns / NSEC_PER_SEC,
		.tv_nsec = ns % NSEC_PER_SEC,
	};

	return ts;
}

static void mask_sigsys(int how)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGSYS);
	pthread_sigmask(how, &set, NULL);
}

/* Is SIGSYS pending, for the thread itself or for its process? */
static bool is_pending(bool process)
{
	const char *field = process ? "ShdPnd:\t%llx" : "SigPnd:\t%llx";
	unsigned long long mask = 0;
	char name[64], line[256];
	FILE *status;

	snprintf(name, sizeof(name), "/proc/self/task/%d/status", tid);
	status = fopen(name, "re");
	if (!status)
		return false;
	while (fgets(line, sizeof(line), status)) {
		if (sscanf(line, field, &mask) == 1)
			break;
	}
	fclose(status);
	return mask & (1ULL << (SIGSYS - 1));
}

static bool wait_pending(bool process)
{
	long long end = now() + PATIENCE;

	while (!is_pending(process)) {
		if (now() > end)
			return false;
		sched_yield();
	}
	return true;
}

/* ---- The ways to send a SIGSYS ---- */

static bool send_tgkill(void)
{
	return syscall(SYS_tgkill, pid, tid, SIGSYS) == 0;
}

static bool send_kill(void)
{
	return kill(pid, SIGSYS) == 0;
}

static bool tgsigqueue(int sig, int value)
{
	siginfo_t info;

	memset(&info, 0, sizeof(info));
	info.si_signo = sig;
	info.si_code = SI_QUEUE;
	info.si_pid = pid;
	info.si_uid = getuid();
	info.si_value.sival_int = value;
	return syscall(SYS_rt_tgsigqueueinfo, pid, tid, sig, &info) == 0;
}

static bool send_tgsigqueue(void)
{
	return tgsigqueue(SIGSYS, VALUE);
}

static bool send_sigqueue(void)
{
	union sigval value = { .sival_int = VALUE };

	return sigqueue(pid, SIGSYS, value) == 0;
}

/* With no room for its siginfo, the signal is a pending bit only. */
static bool send_bare(void)
{
	struct rlimit old, none;
	bool ok;

	if (getrlimit(RLIMIT_SIGPENDING, &old))
		return false;
	none = old;
	none.rlim_cur = 0;
	if (setrlimit(RLIMIT_SIGPENDING, &none))
		return false;
	ok = send_tgkill();
	return setrlimit(RLIMIT_SIGPENDING, &old) == 0 && ok;
}

/* Signal-driven input. */
static bool send_sigio(void)
{
	struct f_owner_ex owner = { .type = F_OWNER_TID, .pid = tid };
	bool ok;
	int fd[2];

	if (pipe(fd))
		return false;
	ok = fcntl(fd[0], F_SETSIG, SIGSYS) == 0 &&
	     fcntl(fd[0], F_SETOWN_EX, &owner) == 0 &&
	     fcntl(fd[0], F_SETFL, O_ASYNC) == 0 &&
	     write(fd[1], "", 1) == 1;
	/* Closing must not send a signal. */
	ok = fcntl(fd[0], F_SETFL, 0) == 0 && ok;
	close(fd[0]);
	close(fd[1]);
	return ok;
}

static bool make_timer(int notify, timer_t *timer)
{
	struct sigevent event;

	memset(&event, 0, sizeof(event));
	event.sigev_notify = notify;
	event.sigev_signo = SIGSYS;
	event.sigev_value.sival_int = VALUE;
	if (notify == SIGEV_THREAD_ID)
		event.sigev_notify_thread_id = tid;
	return timer_create(CLOCK_MONOTONIC, &event, timer) == 0;
}

static bool set_timer(timer_t timer, long long interval)
{
	struct itimerspec spec = {
		.it_interval = timespec(interval),
		.it_value = timespec(interval),
	};

	return timer_settime(timer, 0, &spec, NULL) == 0;
}

static bool once(timer_t timer)
{
	struct itimerspec spec = { .it_value = timespec(MSEC) };

	return timer_settime(timer, 0, &spec, NULL) == 0;
}

static timer_t thread_timer, process_timer;

static bool send_thread_timer(void)
{
	return once(thread_timer);
}

static bool send_process_timer(void)
{
	return once(process_timer);
}

/* For the calling thread. A child must call it again. */
static bool prepare(void)
{
	pid = getpid();
	tid = syscall(SYS_gettid);
	return make_timer(SIGEV_THREAD_ID, &thread_timer) &&
	       make_timer(SIGEV_SIGNAL, &process_timer);
}

/*
 * The siginfo of the signal when it arrives alone. A raw system call reads it,
 * because the C library edits the siginfo.
 */
static bool send_alone(bool (*send)(void), bool process, siginfo_t *info)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGSYS);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	if (!send() || !wait_pending(process) || is_pending(!process))
		return false;
	if (syscall(SYS_rt_sigtimedwait, &set, info, NULL, _NSIG / 8) !=
	    SIGSYS)
		return false;
	if (is_pending(process))
		return false;
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	return true;
}

FIXTURE(pending)
{
	struct sud_uffd u;
	siginfo_t alone;
};

/*
 * @send:	sends one SIGSYS
 * @process:	it is sent to the process, not to the thread
 * @code:	its si_code
 */
FIXTURE_VARIANT(pending)
{
	bool (*send)(void);
	bool process;
	int code;
};

FIXTURE_VARIANT_ADD(pending, tgkill)
{
	.send = send_tgkill,
	.code = SI_TKILL,
};

FIXTURE_VARIANT_ADD(pending, tgsigqueue)
{
	.send = send_tgsigqueue,
	.code = SI_QUEUE,
};

FIXTURE_VARIANT_ADD(pending, bare)
{
	.send = send_bare,
	.code = SI_USER,
};

FIXTURE_VARIANT_ADD(pending, sigio)
{
	.send = send_sigio,
	.code = SI_SIGIO,
};

FIXTURE_VARIANT_ADD(pending, thread_timer)
{
	.send = send_thread_timer,
	.code = SI_TIMER,
};

FIXTURE_VARIANT_ADD(pending, kill)
{
	.send = send_kill,
	.process = true,
	.code = SI_USER,
};

FIXTURE_VARIANT_ADD(pending, sigqueue)
{
	.send = send_sigqueue,
	.process = true,
	.code = SI_QUEUE,
};

FIXTURE_VARIANT_ADD(pending, process_timer)
{
	.send = send_process_timer,
	.process = true,
	.code = SI_TIMER,
};

FIXTURE_SETUP(pending)
{
	siginfo_t *alone = &self->alone;
	int err;

	SUD_REQUIRE_SETUP();
	ASSERT_TRUE(sud_setup());
	ASSERT_TRUE(prepare());
	memset(self, 0, sizeof(*self));
	err = sud_uffd_open(&self->u);
	if (err)
		SUD_SKIP_SETUP("userfaultfd: %s", strerror(-err));

	ASSERT_TRUE(send_alone(variant->send, variant->process, alone));
	EXPECT_EQ(SIGSYS, alone->si_signo);
	ASSERT_EQ(variant->code, alone->si_code);
	switch (alone->si_code) {
	case SI_TKILL:
	case SI_USER:
		EXPECT_EQ(variant->send == send_bare ? 0 : pid, alone->si_pid);
		break;
	case SI_QUEUE:
	case SI_TIMER:
		EXPECT_EQ(VALUE, alone->si_value.sival_int);
		break;
	}
}

FIXTURE_TEARDOWN(pending)
{
}

/* The work of the helper thread while the thread sleeps in the read. */
struct meanwhile {
	bool (*send)(void);
	bool process;
	/* the selector is at ALLOW after that */
	bool allow;
	const char *trouble;
};

static void send_meanwhile(void *arg)
{
	struct meanwhile *m = arg;

	if (!m->send())
		m->trouble = "the signal was not sent";
	else if (!wait_pending(m->process))
		m->trouble = "the signal is not pending";
}

/*
 * Make one foreign call on a selector whose read sleeps until the signal has
 * been sent. It is dispatched unless @m allows it.
 *
 * Return: NULL, or the error in the test itself.
 */
static const char *call(struct sud_uffd *u, struct meanwhile *m, sud_word *ret)
{
	const char *trouble;
	sigset_t all, old;
	int err;

	u->meanwhile = send_meanwhile;
	u->arg = m;
	u->byte = m->allow ? SUD_ALLOW : SUD_BLOCK;
	m->trouble = NULL;

	/* The helper thread blocks all signals. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = sud_uffd_start(u);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (err)
		return strerror(-err);

	if (sud_arm_native(u->page))
		return "cannot arm";
	*ret = sud_foreign_call(NR, 1, 2, 3, 4, 5, 6);
	if (sud_off())
		return "cannot disarm";
	trouble = sud_uffd_join(u);
	return trouble ? trouble : m->trouble;
}

/* The handler serves the call, and ignores other signals. */
static void hook_serve(siginfo_t *info, ucontext_t *uc)
{
	if (info->si_code == SYS_USER_DISPATCH || info->si_code == SYS_SECCOMP)
		SUD_REG_RET(uc) = RESULT;
}

/* Is this the dispatch of call()? Return: NULL, or the wrong part. */
static const char *not_the_dispatch(const siginfo_t *info)
{
	if (info->si_signo != SIGSYS)
		return "signo";
	if (info->si_errno)
		return "errno";
	if (info->si_code != SYS_USER_DISPATCH)
		return "code";
	if (info->si_call_addr != (void *)sud_foreign_ip())
		return "call_addr";
	if (info->si_syscall != NR)
		return "syscall";
	if (info->si_arch != SUD_AUDIT_ARCH)
		return "arch";
	return NULL;
}

static bool same_siginfo(const siginfo_t *a, const siginfo_t *b)
{
	return !memcmp(a, b, sizeof(*a));
}

#define EXPECT_DISPATCH(info) do {					\
	const char *_wrong = not_the_dispatch(info);			\
									\
	EXPECT_TRUE(!_wrong) {						\
		TH_LOG("siginfo of the dispatch: %s", _wrong);		\
	}								\
} while (0)

#define EXPECT_OTHER(info, expected) do {				\
	EXPECT_TRUE(same_siginfo(info, expected)) {			\
		TH_LOG("siginfo of the other signal: si_code %d for %d", \
		       (info)->si_code, (expected)->si_code);		\
	}								\
} while (0)

#define ROUNDS 10

/* SIGSYS is masked in its handler, so the second one follows the first. */
TEST_F(pending, D9_both_arrive_dispatch_first)
{
	struct meanwhile m = {
		.send = variant->send,
		.process = variant->process,
	};
	const char *trouble;
	sud_word ret;
	int i;

	for (i = 0; i < ROUNDS; i++) {
		sud_reset();
		sud_hook = hook_serve;
		trouble = call(&self->u, &m, &ret);
		ASSERT_TRUE(!trouble) {
			TH_LOG("%s", trouble);
		}
		EXPECT_EQ(RESULT, ret);
		/*
		 * Each signal arrives once, in this order, with its own
		 * siginfo.
		 */
		ASSERT_EQ(2, sud_count);
		EXPECT_DISPATCH(&sud_log[0].info);
		EXPECT_EQ(sud_foreign_ip(), SUD_REG_IP(&sud_log[0].uc));
		EXPECT_EQ(NR, SUD_REG_RET(&sud_log[0].uc));
		EXPECT_OTHER(&sud_log[1].info, &self->alone);
		/*
		 * For the second signal, the call has ended: the handler has
		 * returned.
		 */
		EXPECT_EQ(sud_foreign_ip(), SUD_REG_IP(&sud_log[1].uc));
		EXPECT_EQ(RESULT, SUD_REG_RET(&sud_log[1].uc));

		/* No signal is left over. */
		EXPECT_FALSE(is_pending(false));
		EXPECT_FALSE(is_pending(true));
		sud_reset();
		ASSERT_EQ(0, sud_arm_native(&sud_selector));
		sud_selector = SUD_BLOCK;
		EXPECT_EQ(1, sud_probe());
		ASSERT_EQ(0, sud_off());
	}
}

/* The kernel also forces the SIGSYS of a filter, so it goes first, too. */
TEST_F(pending, D9_O3_both_arrive_filter_first)
{
	struct meanwhile m = {
		.send = variant->send,
		.process = variant->process,
		.allow = true,
	};
	const char *trouble;
	sud_word ret;

	SUD_REQUIRE_FILTERS();
	ASSERT_EQ(0, sud_seccomp_nr(NR, SECCOMP_RET_TRAP | FILTER_DATA, 0));
	sud_hook = hook_serve;
	trouble = call(&self->u, &m, &ret);
	ASSERT_TRUE(!trouble) {
		TH_LOG("%s", trouble);
	}
	ASSERT_EQ(2, sud_count);
	EXPECT_EQ(SYS_SECCOMP, sud_log[0].info.si_code);
	EXPECT_EQ(FILTER_DATA, sud_log[0].info.si_errno);
	EXPECT_EQ(NR, sud_log[0].info.si_syscall);
	EXPECT_EQ((void *)sud_foreign_ip(), sud_log[0].info.si_call_addr);
	EXPECT_EQ(SUD_AUDIT_ARCH, sud_log[0].info.si_arch);
	EXPECT_OTHER(&sud_log[1].info, &self->alone);
	EXPECT_EQ(RESULT, ret);
}

/*
 * With SA_NODEFER, both frames are set up before any handler runs. The signal
 * that was taken last runs first: it interrupts the other handler at its very
 * first instruction.
 */
TEST_F(pending, D9_nodefer_dispatch_is_taken_first)
{
	struct meanwhile m = {
		.send = variant->send,
		.process = variant->process,
	};
	const char *trouble;
	sud_word ret;
	int i;

	ASSERT_EQ(0, sud_handle(SA_NODEFER));
	for (i = 0; i < ROUNDS; i++) {
		sud_reset();
		sud_hook = hook_serve;
		trouble = call(&self->u, &m, &ret);
		ASSERT_TRUE(!trouble) {
			TH_LOG("%s", trouble);
		}
		EXPECT_EQ(RESULT, ret);
		ASSERT_EQ(2, sud_count);
		EXPECT_OTHER(&sud_log[0].info, &self->alone);
		EXPECT_EQ((unsigned long)sud_handler,
			  SUD_REG_IP(&sud_log[0].uc));
		EXPECT_DISPATCH(&sud_log[1].info);
		EXPECT_EQ(sud_foreign_ip(), SUD_REG_IP(&sud_log[1].uc));
		EXPECT_EQ(NR, SUD_REG_RET(&sud_log[1].uc));
	}
}

/* ---- Blocked: the process dies, with any signal pending ---- */

struct child {
	bool (*send)(void);
	bool process;
};

static int child_blocked(void *arg)
{
	struct child *c = arg;

	if (!prepare())
		return 1;
	mask_sigsys(SIG_BLOCK);
	if (!c->send() || !wait_pending(c->process))
		return 2;
	if (sud_arm_native(&sud_selector))
		return 3;
	sud_selector = SUD_BLOCK;
	sud_foreign_call(NR, 0, 0, 0, 0, 0, 0);
	return 4;
}

TEST_F(pending, D5_D9_blocked_dies)
{
	struct child c = {
		.send = variant->send,
		.process = variant->process,
	};
	int status = sud_run_child(child_blocked, &c);

	EXPECT_TRUE(sud_killed(status, SIGSYS)) {
		TH_LOG("status %#x", status);
	}
}

static struct child *hook_child;

static void hook_send_and_call(siginfo_t *info, ucontext_t *uc)
{
	if (sud_count > 1)
		_exit(5);
	if (!hook_child->send() || !wait_pending(hook_child->process))
		_exit(6);
	sud_foreign_call(NR, 0, 0, 0, 0, 0, 0);
	_exit(7);
}

static int child_in_handler(void *arg)
{
	if (!prepare())
		return 1;
	hook_child = arg;
	sud_hook = hook_send_and_call;
	if (sud_arm_native(&sud_selector))
		return 3;
	sud_selector = SUD_BLOCK;
	sud_foreign_call(NR, 0, 0, 0, 0, 0, 0);
	return 4;
}

TEST_F(pending, D6_D9_masked_in_handler_dies)
{
	struct child c = {
		.send = variant->send,
		.process = variant->process,
	};
	int status = sud_run_child(child_in_handler, &c);

	EXPECT_TRUE(sud_killed(status, SIGSYS)) {
		TH_LOG("status %#x", status);
	}
}

/* ---- A tracer ---- */

/* The signals that the tracer passes on. */
#define PASS_DISPATCH	1
#define PASS_OTHER	2

/* The tracee. Its exit status is 0 if it got the signals passed on. */
static int tracee(struct child *c, int pass)
{
	struct meanwhile m = { .send = c->send, .process = c->process };
	struct sud_uffd u = {};
	unsigned int n = 0;
	siginfo_t alone;
	sud_word ret;

	if (!prepare() || sud_uffd_open(&u) ||
	    !send_alone(c->send, c->process, &alone))
		return 1;
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) || raise(SIGSTOP))
		return 2;
	sud_hook = hook_serve;
	if (call(&u, &m, &ret))
		return 3;
	if (ret != (pass & PASS_DISPATCH ? RESULT : NR))
		return 4;
	if ((pass & PASS_DISPATCH) && not_the_dispatch(&sud_log[n++].info))
		return 5;
	if ((pass & PASS_OTHER) && !same_siginfo(&sud_log[n++].info, &alone))
		return 6;
	return sud_count == n ? 0 : 7;
}

TEST_F(pending, D9_O5_tracer_sees_both)
{
	struct child c = {
		.send = variant->send,
		.process = variant->process,
	};
	int pass, status, sigsys, sig;
	siginfo_t info;
	pid_t child;

	for (pass = 0; pass <= (PASS_DISPATCH | PASS_OTHER); pass++) {
		child = fork();
		ASSERT_LE(0, child);
		if (child == 0)
			_exit(tracee(&c, pass));
		ASSERT_EQ(child, waitpid(child, &status, 0));
		ASSERT_TRUE(WIFSTOPPED(status)) {
			TH_LOG("status %#x", status);
		}
		ASSERT_EQ(0, ptrace(PTRACE_SETOPTIONS, child, NULL,
				    (long)PTRACE_O_EXITKILL));
		sigsys = 0;
		sig = 0;
		for (;;) {
			ASSERT_EQ(0, ptrace(PTRACE_CONT, child, NULL,
					    (long)sig));
			ASSERT_EQ(child, waitpid(child, &status, 0));
			if (!WIFSTOPPED(status))
				break;
			sig = WSTOPSIG(status);
			if (sig != SIGSYS)
				continue;
			ASSERT_EQ(0, ptrace(PTRACE_GETSIGINFO, child, NULL,
					    &info));
			switch (sigsys++) {
			case 0:
				EXPECT_DISPATCH(&info);
				if (!(pass & PASS_DISPATCH))
					sig = 0;
				break;
			case 1:
				EXPECT_EQ(variant->code, info.si_code);
				if (!(pass & PASS_OTHER))
					sig = 0;
				break;
			}
		}
		EXPECT_EQ(2, sigsys);
		EXPECT_TRUE(sud_exited(status, 0)) {
			TH_LOG("let pass %d: status %#x", pass, status);
		}
	}
}

/* ---- Several signals at the same time ---- */

FIXTURE(several)
{
	struct sud_uffd u;
};

FIXTURE_SETUP(several)
{
	int err;

	SUD_REQUIRE_SETUP();
	ASSERT_TRUE(sud_setup());
	ASSERT_TRUE(prepare());
	err = sud_uffd_open(&self->u);
	if (err)
		SUD_SKIP_SETUP("userfaultfd: %s", strerror(-err));
}

FIXTURE_TEARDOWN(several)
{
}

/* A timer's signal is queued even if another one is pending. */
static bool send_several(void)
{
	long long end = now() + PATIENCE;
	struct itimerspec left;

	if (!send_tgkill() || !send_thread_timer())
		return false;
	do {
		if (now() > end || timer_gettime(thread_timer, &left))
			return false;
	} while (left.it_value.tv_sec || left.it_value.tv_nsec);
	return send_kill() && wait_pending(true);
}

TEST_F(several, D9_all_arrive_in_order)
{
	struct meanwhile m = { .send = send_several };
	const char *trouble;
	sud_word ret;
	int i;

	for (i = 0; i < ROUNDS; i++) {
		sud_reset();
		sud_hook = hook_serve;
		trouble = call(&self->u, &m, &ret);
		ASSERT_TRUE(!trouble) {
			TH_LOG("%s", trouble);
		}
		EXPECT_EQ(RESULT, ret);
		ASSERT_EQ(4, sud_count);
		EXPECT_DISPATCH(&sud_log[0].info);
		EXPECT_EQ(SI_TKILL, sud_log[1].info.si_code);
		EXPECT_EQ(SI_TIMER, sud_log[2].info.si_code);
		EXPECT_EQ(SI_USER, sud_log[3].info.si_code);
	}
}

static volatile int async_count[_NSIG];
static volatile int async_wrong;

/* The values of queued signals count from 0. */
static void async_handler(int sig, siginfo_t *info, void *context)
{
	if (info->si_code == SI_QUEUE &&
	    info->si_value.sival_int != async_count[sig])
		async_wrong++;
	async_count[sig]++;
}

static bool handle_async(int sig)
{
	struct sigaction act = {
		.sa_sigaction = async_handler,
		.sa_flags = SA_SIGINFO | SA_RESTART,
	};

	async_count[sig] = 0;
	async_wrong = 0;
	return sigaction(sig, &act, NULL) == 0;
}

#define QUEUED 5

static bool send_others_too(void)
{
	int i;

	if (syscall(SYS_tgkill, pid, tid, SIGUSR1) || kill(pid, SIGUSR2))
		return false;
	for (i = 0; i < QUEUED; i++) {
		if (i == QUEUED / 2 && !send_tgkill())
			return false;
		if (!tgsigqueue(SIGRTMIN, i))
			return false;
	}
	return true;
}

TEST_F(several, D9_D12_other_signals_arrive_too)
{
	struct meanwhile m = { .send = send_others_too };
	const char *trouble;
	sud_word ret;
	int i;

	for (i = 0; i < ROUNDS; i++) {
		ASSERT_TRUE(handle_async(SIGUSR1));
		ASSERT_TRUE(handle_async(SIGUSR2));
		ASSERT_TRUE(handle_async(SIGRTMIN));
		sud_reset();
		sud_hook = hook_serve;
		trouble = call(&self->u, &m, &ret);
		ASSERT_TRUE(!trouble) {
			TH_LOG("%s", trouble);
		}
		EXPECT_EQ(RESULT, ret);
		ASSERT_EQ(2, sud_count);
		EXPECT_DISPATCH(&sud_log[0].info);
		EXPECT_EQ(sud_foreign_ip(), SUD_REG_IP(&sud_log[0].uc));
		EXPECT_EQ(NR, SUD_REG_RET(&sud_log[0].uc));
		EXPECT_EQ(SI_TKILL, sud_log[1].info.si_code);
		EXPECT_EQ(1, async_count[SIGUSR1]);
		EXPECT_EQ(1, async_count[SIGUSR2]);
		EXPECT_EQ(QUEUED, async_count[SIGRTMIN]);
		EXPECT_EQ(0, async_wrong);
	}
}

/* ---- A periodic timer ---- */

#define EXPIRATIONS 50

/*
 * The kernel rearms a periodic timer when its signal is taken, and reports the
 * missed expirations as overrun. The first and the last signal are thus tied
 * to the clock: none may be lost, and none may be added.
 */
static struct {
	long long interval;
	/* the time before and after the timer's start */
	long long before;
	long long after;
	/* a time at which the next signal had not been taken */
	long long last;
	long long expired;
	volatile int signals;
	int dispatched;
	int too_many;
	int too_few;
} timer;

static void hook_timer(siginfo_t *info, ucontext_t *uc)
{
	long long t = now();

	hook_serve(info, uc);
	if (info->si_code == SYS_USER_DISPATCH)
		timer.dispatched++;
	/* This signal may have been pending when the timer was stopped. */
	if (info->si_code != SI_TIMER || timer.signals == EXPIRATIONS)
		return;
	timer.expired += 1 + info->si_overrun;
	if (timer.expired > (t - timer.before) / timer.interval)
		timer.too_many++;
	if (timer.expired < (timer.last - timer.after) / timer.interval)
		timer.too_few++;
	timer.last = t;
	if (++timer.signals == EXPIRATIONS)
		set_timer(thread_timer, 0);
}

static bool start_timer(void)
{
	struct timespec pause = timespec(20 * timer.interval);

	timer.before = now();
	if (!set_timer(thread_timer, timer.interval))
		return false;
	timer.after = now();
	if (!wait_pending(false))
		return false;
	nanosleep(&pause, NULL);
	timer.last = now();
	return true;
}

static void timer_goes_on(struct __test_metadata *_metadata,
			  struct sud_uffd *u, long long interval)
{
	struct meanwhile m = { .send = start_timer };
	struct timespec resolution;
	const char *trouble;
	long long end;
	sud_word ret;

	sud_hook = hook_timer;
	memset(&timer, 0, sizeof(timer));
	/* No timer is faster than this. It may be the tick. */
	ASSERT_EQ(0, clock_getres(CLOCK_MONOTONIC, &resolution));
	timer.interval = resolution.tv_sec * NSEC_PER_SEC + resolution.tv_nsec;
	if (timer.interval < interval)
		timer.interval = interval;
	trouble = call(u, &m, &ret);
	ASSERT_TRUE(!trouble) {
		TH_LOG("%s", trouble);
	}
	end = now() + PATIENCE;
	while (timer.signals < EXPIRATIONS && now() < end)
		sched_yield();
	ASSERT_TRUE(set_timer(thread_timer, 0));

	EXPECT_EQ(RESULT, ret);
	EXPECT_EQ(1, timer.dispatched);
	EXPECT_DISPATCH(&sud_log[0].info);
	EXPECT_EQ(SI_TIMER, sud_log[1].info.si_code);
	EXPECT_EQ(VALUE, sud_log[1].info.si_value.sival_int);
	EXPECT_LE(18, sud_log[1].info.si_overrun);
	EXPECT_EQ(EXPIRATIONS, timer.signals);
	EXPECT_EQ(0, timer.too_many);
	EXPECT_EQ(0, timer.too_few);
}

TEST_F(several, D9_timer_keeps_its_pace)
{
	timer_goes_on(_metadata, &self->u, 5 * MSEC);
}

TEST_F(several, D9_fast_timer_keeps_its_pace)
{
	timer_goes_on(_metadata, &self->u, 100 * USEC);
}

/* ---- The flood ---- */

/*
 * All three ABIs enter the same code of the kernel. One of them runs the full
 * number. The others only prove that their frames are correct.
 */
#if defined(__x86_64__) && !defined(__ILP32__)
#define FLOOD_CALLS	300000
#else
#define FLOOD_CALLS	30000
#endif
#define TIMER_CALLS	(FLOOD_CALLS / 10)

/* Each call has its own number, which does not exist either. */
#define FLOOD_NR(serial)	SUD_NR(20001 + (serial))
#define FLOOD_RESULT(serial)	(0x10000000 + (serial))

/*
 * The thread must make progress. If it takes this many other signals during
 * one call, the senders wait for the next call.
 */
#define FLOOD_BACKLOG	8

/* The flood ends after this many seconds. The harness reports it later. */
#define FLOOD_TIME	200
#define FLOOD_TIMEOUT	240

struct sender {
	pthread_t thread;
	bool (*send)(int serial);
	unsigned int sent;
	unsigned int refused;
};

static struct {
	/* written by the thread that makes calls, and by its handler */
	volatile unsigned int serial;
	volatile unsigned int seen;
	volatile unsigned int backlog;
	unsigned int calls;
	unsigned int lost;
	unsigned int repeated;
	unsigned int wrong;
	volatile unsigned int others;
	/* written by any thread */
	volatile bool stop;
	long long end;
	/* of the timer */
	long long interval;
} flood;

/* Is there time to go on? Cheap enough to ask at each 256th turn. */
static bool flood_goes_on(unsigned int turn)
{
	if (turn % 256 == 0 && now() > flood.end)
		flood.stop = true;
	return !flood.stop;
}

static void hook_flood(siginfo_t *info, ucontext_t *uc)
{
	int serial = flood.serial;

	switch (info->si_code) {
	case SYS_USER_DISPATCH:
		flood.seen++;
		if (info->si_syscall != FLOOD_NR(serial) ||
		    info->si_call_addr != (void *)sud_foreign_ip() ||
		    info->si_arch != SUD_AUDIT_ARCH ||
		    SUD_REG_IP(uc) != sud_foreign_ip() ||
		    SUD_REG_RET(uc) != FLOOD_NR(serial))
			flood.wrong++;
		SUD_REG_RET(uc) = FLOOD_RESULT(serial);
		break;
	case SI_TKILL:
		if (info->si_pid != pid)
			flood.wrong++;
		flood.others++;
		flood.backlog++;
		break;
	case SI_TIMER:
		if (info->si_value.sival_int != VALUE)
			flood.wrong++;
		flood.others++;
		/*
		 * If a signal takes as long as the interval, the machine would
		 * do nothing else. Such a machine gets a slower timer.
		 */
		if (++flood.backlog == FLOOD_BACKLOG) {
			flood.interval *= 2;
			set_timer(thread_timer, flood.interval);
		}
		break;
	default:
		flood.wrong++;
		break;
	}
}

/*
 * The thread that makes the calls has a processor to itself, if there are two.
 * Senders on the same processor would not race with it.
 */
static void pin(bool sender)
{
	cpu_set_t set;
	int cpu;

	if (sched_getaffinity(0, sizeof(set), &set) || CPU_COUNT(&set) < 2)
		return;
	for (cpu = 0; !CPU_ISSET(cpu, &set); cpu++)
		;
	CPU_CLR(cpu, &set);
	if (!sender) {
		CPU_ZERO(&set);
		CPU_SET(cpu, &set);
	}
	sched_setaffinity(0, sizeof(set), &set);
}

static void *sender_thread(void *arg)
{
	struct sender *s = arg;
	unsigned int turn;

	pin(true);
	for (turn = 0; flood_goes_on(turn); turn++) {
		if (flood.backlog >= FLOOD_BACKLOG)
			sched_yield();
		else if (s->send(s->sent))
			s->sent++;
		else
			s->refused++;
	}
	return NULL;
}

static bool flood_tgkill(int serial)
{
	return send_tgkill();
}

/* Realtime signals pile up: this signal's handler makes room. */
static bool flood_queue(int serial)
{
	return serial - async_count[SIGRTMIN] < FLOOD_BACKLOG &&
	       tgsigqueue(SIGRTMIN, serial);
}

static void flood_calls(unsigned int number)
{
	unsigned int i;
	sud_word ret;

	sud_selector = SUD_BLOCK;
	for (i = 0; i < number && flood_goes_on(i); i++) {
		flood.serial = i;
		flood.seen = 0;
		flood.backlog = 0;
		ret = sud_foreign_call(FLOOD_NR(i), 1, 2, 3, 4, 5, 6);
		if (!flood.seen)
			flood.lost++;
		else if (flood.seen > 1)
			flood.repeated++;
		else if (ret != FLOOD_RESULT(i))
			flood.wrong++;
	}
	sud_selector = SUD_ALLOW;
	flood.calls = i;
}

static void flood_begin(struct __test_metadata *_metadata)
{
	memset(&flood, 0, sizeof(flood));
	flood.end = now() + FLOOD_TIME * NSEC_PER_SEC;
	sud_hook = hook_flood;
	ASSERT_EQ(0, sud_arm_native(&sud_selector));
}

static void flood_end(struct __test_metadata *_metadata, const char *of,
		      unsigned int number)
{
	ASSERT_EQ(0, sud_off());
	printf("#  D9 flood of %s: %u calls, %u lost, %u other SIGSYS\n", of,
	       flood.calls, flood.lost, flood.others);
	fflush(stdout);
	/* A slow machine makes fewer calls in the time. */
	EXPECT_LE(number / 4, flood.calls);
	EXPECT_EQ(0, flood.lost);
	EXPECT_EQ(0, flood.repeated);
	EXPECT_EQ(0, flood.wrong);
	/* Other signals did arrive. */
	EXPECT_LT(0, flood.others);
}

static void flood_with(struct __test_metadata *_metadata, const char *of,
		       unsigned int number, struct sender sender[2])
{
	sigset_t all, old;
	int i;

	number /= sud_slow();
	flood_begin(_metadata);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, pthread_create(&sender[i].thread, NULL,
					    sender_thread, &sender[i]));
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pin(false);
	flood_calls(number);
	flood.stop = true;
	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, pthread_join(sender[i].thread, NULL));
	flood_end(_metadata, of, number);
}

FIXTURE(flood)
{
	int unused;
};

FIXTURE_SETUP(flood)
{
	SUD_REQUIRE_SETUP();
	ASSERT_TRUE(sud_setup());
	ASSERT_TRUE(prepare());
}

FIXTURE_TEARDOWN(flood)
{
}

TEST_F_TIMEOUT(flood, D9_no_dispatch_lost_to_tgkill, FLOOD_TIMEOUT)
{
	struct sender sender[2] = {
		{ .send = flood_tgkill }, { .send = flood_tgkill },
	};

	flood_with(_metadata, "tgkill", FLOOD_CALLS, sender);
	/*
	 * A signal that meets a pending one is merged: at most those sent
	 * arrive.
	 */
	EXPECT_LE(flood.others, sender[0].sent + sender[1].sent);
	EXPECT_EQ(0, sender[0].refused + sender[1].refused);
}

TEST_F_TIMEOUT(flood, D9_D12_no_dispatch_lost_to_queued_signals, FLOOD_TIMEOUT)
{
	struct sender sender[2] = {
		{ .send = flood_tgkill }, { .send = flood_queue },
	};

	ASSERT_TRUE(handle_async(SIGRTMIN));
	flood_with(_metadata, "tgkill and queued signals", TIMER_CALLS,
		   sender);
	EXPECT_LE(flood.others, sender[0].sent);
	EXPECT_EQ(sender[1].sent, async_count[SIGRTMIN]);
	EXPECT_EQ(0, async_wrong);
	EXPECT_LT(0, async_count[SIGRTMIN]);
}

TEST_F_TIMEOUT(flood, D9_no_dispatch_lost_to_a_timer, FLOOD_TIMEOUT)
{
	unsigned int before;
	long long end;

	flood_begin(_metadata);
	flood.interval = 100 * USEC;
	ASSERT_TRUE(set_timer(thread_timer, flood.interval));
	flood_calls(TIMER_CALLS / sud_slow());

	/* The timer still runs. */
	before = flood.others;
	flood.backlog = 0;
	end = now() + PATIENCE;
	while (flood.others < before + 10 && now() < end)
		sched_yield();
	EXPECT_LE(before + 10, flood.others);
	ASSERT_TRUE(set_timer(thread_timer, 0));
	flood_end(_metadata, "a timer", TIMER_CALLS / sud_slow());
}

TEST_HARNESS_MAIN
