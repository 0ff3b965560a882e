// SPDX-License-Identifier: GPL-2.0
/*
 * Syscall User Dispatch: a tracer gets and sets the configuration (rules P1 to
 * P6). It also checks tracees that were just created or executed a program
 * (rules L1 to L3).
 */
#include "sud_direct.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>

#include "sud_beside.h"
#include "sud_seccomp.h"
#include "sud_tracee.h"

#include "sud_harness.h"

#define GET	PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG
#define SET	PTRACE_SET_SYSCALL_USER_DISPATCH_CONFIG

#define SIZE	sizeof(struct ptrace_sud_config)
#define TOP	sud_config_top()

/* The kernel's half of the address space, on any kernel. */
#define BAD_SELECTOR	0xffff800000000000ULL

/*
 * A tracee stops, runs the function in its slot, stores the result, and stops
 * again: see obey(). The second slot is for its child or thread.
 */
struct slot {
	long (*volatile fn)(void);
	volatile long result;
};

static struct shared {
	struct slot slot[2];
	volatile uint8_t selector;
	volatile uint8_t other_selector;
	volatile int go;
	/* for the tracee's own prctl() */
	volatile sud_uword args[4];
} *shared;

/* The result of run() if the tracee did not do its work. */
#define TROUBLE	-1000

static void obey(struct slot *slot)
{
	while (!shared->go)
		sched_yield();
	for (;;) {
		slot->result = slot->fn();
		raise(SIGSTOP);
	}
}

static void obey_first(void)
{
	obey(&shared->slot[0]);
}

/* The stopped tracee does its work, and stops again. */
static long run_slot(pid_t pid, struct slot *slot, long (*fn)(void))
{
	int stop, sig = 0, stops = 0;

	slot->fn = fn;
	slot->result = TROUBLE;
	do {
		stop = sud_resume(PTRACE_CONT, pid, sig);
		sig = stop == SIGSYS ? SIGSYS : 0;
	} while (stop >= 0 && stop != SIGSTOP && stops++ < 100);
	return stop == SIGSTOP ? slot->result : TROUBLE;
}

static long run(pid_t pid, long (*fn)(void))
{
	return run_slot(pid, &shared->slot[0], fn);
}

/* ---- work for tracees ---- */

static long do_probe(void)
{
	return sud_probe();
}

static long do_prctl(void)
{
	return sud_prctl(shared->args[0], shared->args[1], shared->args[2],
			 shared->args[3]);
}

static long do_exit(void)
{
	_exit(7);
}

static char probe_path[PATH_MAX];

static long do_exec(void)
{
	char *argv[] = { probe_path, NULL };

	execv(probe_path, argv);
	return -errno;
}

static long do_failing_exec(void)
{
	char *argv[] = { "/", NULL };

	execv("/", argv);
	return -errno;
}

/* ---- configurations ---- */

static uint64_t selector(void)
{
	return (uintptr_t)&shared->selector;
}

/* Two configurations that dispatch only foreign calls. */
static struct ptrace_sud_config excl(void)
{
	return sud_config_native(selector());
}

static struct ptrace_sud_config incl(void)
{
	return sud_config_foreign(selector());
}

/* The configuration is reported, and it is in force. */
#define EXPECT_ARMED(pid_, ...) do {					\
	pid_t pid__ = (pid_);						\
									\
	SUD_EXPECT_CONFIG(pid__, __VA_ARGS__);				\
	shared->selector = SUD_BLOCK;					\
	EXPECT_EQ(1, run(pid__, do_probe));				\
	shared->selector = SUD_ALLOW;					\
	EXPECT_EQ(0, run(pid__, do_probe));				\
	SUD_EXPECT_CONFIG(pid__, __VA_ARGS__);				\
} while (0)

#define EXPECT_OFF(pid_) do {						\
	pid_t pid__ = (pid_);						\
									\
	SUD_EXPECT_CONFIG(pid__, sud_config_off());			\
	shared->selector = SUD_BLOCK;					\
	EXPECT_EQ(0, run(pid__, do_probe));				\
	SUD_EXPECT_CONFIG(pid__, sud_config_off());			\
} while (0)

/* ---- shared by the tests ---- */

static pid_t fork_untraced(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		if (sud_die_with_parent())
			_exit(EXIT_FAILURE);
		obey_first();
	}
	return pid;
}

static pid_t fork_stopped(unsigned long options)
{
	shared->go = 1;
	return sud_fork_tracee(obey_first, options);
}

static long seize(pid_t pid)
{
	return sud_ptrace(PTRACE_SEIZE, pid, 0,
			  PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD);
}

/* A page that child and parent share, and the two requests, or skip. */
static void set_up(struct __test_metadata *_metadata)
{
	struct ptrace_sud_config c;
	pid_t pid;
	long ret;

	SUD_REQUIRE_SETUP();
	ASSERT_TRUE(sud_setup());
	shared = sud_share(sizeof(*shared));
	ASSERT_NE(NULL, shared);
	pid = fork_stopped(0);
	ASSERT_LT(0, pid);
	ret = sud_get(pid, &c);
	sud_put_down(pid);
	shared->go = 0;
	if (ret == -EIO)
		SUD_SKIP_SETUP("no PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG in this kernel");
}

/* One tracee, never armed, that is stopped before it does anything. */
FIXTURE(tracee)
{
	pid_t pid;
	bool inclusive;
};

FIXTURE_SETUP(tracee)
{
	set_up(_metadata);
	self->inclusive = sud_has_inclusive();
	self->pid = fork_stopped(0);
	ASSERT_LT(0, self->pid);
}

FIXTURE_TEARDOWN(tracee)
{
	sud_put_down(self->pid);
}

#define REQUIRE_INCLUSIVE() do {					\
	if (!self->inclusive)						\
		SKIP(return, "no PR_SYS_DISPATCH_INCLUSIVE_ON in this kernel"); \
} while (0)

/* As above, but not yet traced. It waits for shared->go. */
FIXTURE(untraced)
{
	pid_t pid;
};

FIXTURE_SETUP(untraced)
{
	set_up(_metadata);
	self->pid = fork_untraced();
	ASSERT_LT(0, self->pid);
}

FIXTURE_TEARDOWN(untraced)
{
	sud_put_down(self->pid);
}

/*
 * The test creates its own tracee. There is no other one: two tracees would
 * store their results in the same place.
 */
FIXTURE(own)
{
	int unused;
};

FIXTURE_SETUP(own)
{
	set_up(_metadata);
}

FIXTURE_TEARDOWN(own)
{
}

/* ---- P1: numbers and layout ---- */

TEST(P1_numbers_and_layout)
{
	EXPECT_EQ(0x4210, PTRACE_SET_SYSCALL_USER_DISPATCH_CONFIG);
	EXPECT_EQ(0x4211, PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG);
	EXPECT_EQ(32, sizeof(struct ptrace_sud_config));
	EXPECT_EQ(0, offsetof(struct ptrace_sud_config, mode));
	EXPECT_EQ(8, offsetof(struct ptrace_sud_config, selector));
	EXPECT_EQ(16, offsetof(struct ptrace_sud_config, offset));
	EXPECT_EQ(24, offsetof(struct ptrace_sud_config, len));
}

/* The kernel's view of the fields, regardless of its header. */
TEST_F(tracee, P1_fields_in_order)
{
	uint64_t raw[4] = {
		SUD_EXCL, selector(), SUD_NATIVE, TOP - SUD_NATIVE
	};
	uint64_t got[4] = { };

	ASSERT_EQ(0, sud_ptrace(0x4210, self->pid, 32, (unsigned long)raw));
	ASSERT_EQ(0, sud_ptrace(0x4211, self->pid, 32, (unsigned long)got));
	EXPECT_EQ(0, memcmp(raw, got, sizeof(raw)));
	EXPECT_ARMED(self->pid, excl());
}

/* ---- P2: size, pointer, tracee ---- */

static const unsigned long wrong_sizes[] = {
	0, 1, 8, 16, 24, 31, 33, 40, 64, 4096, -1UL, -32UL, 0x80000020UL,
#ifdef __LP64__
	0x100000020UL, 0x8000000000000020UL,
#endif
};

TEST_F(tracee, P2_wrong_size_is_EINVAL)
{
	struct ptrace_sud_config data[128], before[128];
	unsigned int i;

	memset(data, 0, sizeof(data));
	ASSERT_EQ(0, sud_set(self->pid, excl()));
	for (i = 0; i < ARRAY_SIZE(wrong_sizes); i++) {
		/* This configuration is OFF. */
		EXPECT_EQ(-EINVAL, sud_ptrace(SET, self->pid, wrong_sizes[i],
					      (unsigned long)data)) {
			TH_LOG("size %#lx", wrong_sizes[i]);
		}
	}
	EXPECT_ARMED(self->pid, excl());
	memset(data, 0xa5, sizeof(data));
	memset(before, 0xa5, sizeof(before));
	for (i = 0; i < ARRAY_SIZE(wrong_sizes); i++) {
		EXPECT_EQ(-EINVAL, sud_ptrace(GET, self->pid, wrong_sizes[i],
					      (unsigned long)data)) {
			TH_LOG("size %#lx", wrong_sizes[i]);
		}
	}
	EXPECT_EQ(0, memcmp(before, data, sizeof(data)));
}

TEST_F(tracee, P2_wrong_size_with_bad_pointer_is_EINVAL)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(wrong_sizes); i++) {
		EXPECT_EQ(-EINVAL, sud_ptrace(SET, self->pid, wrong_sizes[i],
					      0));
		EXPECT_EQ(-EINVAL, sud_ptrace(GET, self->pid, wrong_sizes[i],
					      0));
		EXPECT_EQ(-EINVAL, sud_ptrace(SET, self->pid, wrong_sizes[i],
					      -4096UL));
		EXPECT_EQ(-EINVAL, sud_ptrace(GET, self->pid, wrong_sizes[i],
					      -4096UL));
	}
	EXPECT_OFF(self->pid);
}

/* Two pages: the first can be written, the second has no rights. */
static char *map_edge(struct __test_metadata *_metadata, size_t page)
{
	char *p = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_TRUE(p != MAP_FAILED);
	ASSERT_EQ(0, mprotect(p + page, page, PROT_NONE));
	return p;
}

TEST_F(tracee, P2_bad_pointer_is_EFAULT)
{
	size_t page = sysconf(_SC_PAGESIZE);
	char *edge = map_edge(_metadata, page);
	unsigned long bad[] = {
		0, 1, -1UL, -SIZE, -4096UL, (unsigned long)edge + page,
		(unsigned long)edge + page + 64,
	};
	unsigned int i;

	ASSERT_EQ(0, sud_set(self->pid, excl()));
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_EQ(-EFAULT, sud_ptrace(SET, self->pid, SIZE, bad[i])) {
			TH_LOG("pointer %#lx", bad[i]);
		}
		EXPECT_EQ(-EFAULT, sud_ptrace(GET, self->pid, SIZE, bad[i])) {
			TH_LOG("pointer %#lx", bad[i]);
		}
	}
	/*
	 * From here on the first page is all zeros, which is the OFF
	 * configuration.
	 */
	for (i = 1; i < SIZE; i++) {
		EXPECT_EQ(-EFAULT, sud_ptrace(SET, self->pid, SIZE,
					      (unsigned long)edge + page - i)) {
			TH_LOG("%u bytes before a hole", i);
		}
	}
	for (i = 1; i < SIZE; i++) {
		EXPECT_EQ(-EFAULT, sud_ptrace(GET, self->pid, SIZE,
					      (unsigned long)edge + page - i)) {
			TH_LOG("%u bytes before a hole", i);
		}
	}
	EXPECT_ARMED(self->pid, excl());
}

TEST_F(tracee, P2_pointer_to_read_only_memory)
{
	size_t page = sysconf(_SC_PAGESIZE);
	struct ptrace_sud_config *c = (void *)map_edge(_metadata, page), before;

	*c = excl();
	before = *c;
	ASSERT_EQ(0, mprotect(c, page, PROT_READ));
	ASSERT_EQ(0, sud_ptrace(SET, self->pid, SIZE, (unsigned long)c));
	EXPECT_EQ(-EFAULT, sud_ptrace(GET, self->pid, SIZE, (unsigned long)c));
	EXPECT_EQ(0, memcmp(&before, c, sizeof(before)));
	EXPECT_ARMED(self->pid, excl());
}

TEST_F(tracee, P2_pointer_needs_no_alignment)
{
	struct ptrace_sud_config c = excl();
	char data[SIZE + 16], *p;
	unsigned int i;

	for (i = 0; i < 8; i++) {
		memset(data, 0xa5, sizeof(data));
		p = data + i;
		memcpy(p, &c, SIZE);
		ASSERT_EQ(0, sud_set(self->pid, sud_config_off()));
		EXPECT_EQ(0, sud_ptrace(SET, self->pid, SIZE,
					(unsigned long)p));
		SUD_EXPECT_CONFIG(self->pid, c);
		memset(data, 0xa5, sizeof(data));
		EXPECT_EQ(0, sud_ptrace(GET, self->pid, SIZE,
					(unsigned long)p));
		EXPECT_EQ(0, memcmp(p, &c, SIZE));
		/* No byte beside it is written. */
		EXPECT_EQ((char)0xa5, p[SIZE]);
		EXPECT_TRUE(i == 0 || p[-1] == (char)0xa5);
	}
	EXPECT_ARMED(self->pid, excl());
}

TEST_F(tracee, P2_pointer_at_the_end_of_a_page)
{
	size_t page = sysconf(_SC_PAGESIZE);
	char *edge = map_edge(_metadata, page);
	struct ptrace_sud_config *c;

	c = (void *)(edge + page - SIZE);
	*c = excl();
	ASSERT_EQ(0, sud_ptrace(SET, self->pid, SIZE, (unsigned long)c));
	EXPECT_EQ(0, sud_get(self->pid, c));
	EXPECT_ARMED(self->pid, excl());
}

/* ESRCH is checked before everything else. */
#define EXPECT_ESRCH(pid_) do {						\
	struct ptrace_sud_config off__ = sud_config_off();		\
	pid_t pid__ = (pid_);						\
									\
	EXPECT_EQ(-ESRCH, sud_get(pid__, &off__));			\
	off__ = sud_config_off();					\
	EXPECT_EQ(-ESRCH, sud_set(pid__, off__));			\
	EXPECT_EQ(-ESRCH, sud_ptrace(GET, pid__, SIZE, 0));		\
	EXPECT_EQ(-ESRCH, sud_ptrace(SET, pid__, SIZE, 0));		\
	EXPECT_EQ(-ESRCH, sud_ptrace(GET, pid__, 0, 0));		\
	EXPECT_EQ(-ESRCH, sud_ptrace(SET, pid__, 0, 0));		\
} while (0)

TEST_F(untraced, P2_untraced_child_is_ESRCH)
{
	EXPECT_ESRCH(self->pid);
}

static pthread_barrier_t barrier;

static void *other_thread(void *tid)
{
	*(volatile pid_t *)tid = syscall(SYS_gettid);
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	return NULL;
}

TEST_F(untraced, P2_itself_own_thread_and_parent_are_ESRCH)
{
	volatile pid_t tid;
	pthread_t thread;

	ASSERT_EQ(0, pthread_barrier_init(&barrier, NULL, 2));
	ASSERT_EQ(0, pthread_create(&thread, NULL, other_thread,
				    (void *)&tid));
	pthread_barrier_wait(&barrier);
	EXPECT_ESRCH(getpid());
	EXPECT_ESRCH(tid);
	EXPECT_ESRCH(getppid());
	pthread_barrier_wait(&barrier);
	pthread_join(thread, NULL);
}

TEST_F(untraced, P2_no_such_process_is_ESRCH)
{
	EXPECT_ESRCH(0);
	EXPECT_ESRCH(-1);
	EXPECT_ESRCH(-self->pid);
	EXPECT_ESRCH(0x7fffffff);
}

TEST_F(untraced, P2_running_tracee_is_ESRCH)
{
	ASSERT_EQ(0, seize(self->pid));
	EXPECT_ESRCH(self->pid);
	/* Apart from that, the tracee could be used. */
	ASSERT_EQ(0, sud_ptrace(PTRACE_INTERRUPT, self->pid, 0, 0));
	ASSERT_EQ(SUD_STOP_GROUP(SIGTRAP), sud_wait_stop(self->pid));
	SUD_EXPECT_CONFIG(self->pid, sud_config_off());
	ASSERT_EQ(0, sud_ptrace(PTRACE_CONT, self->pid, 0, 0));
	EXPECT_ESRCH(self->pid);
}

TEST_F(untraced, P2_listening_tracee_is_ESRCH)
{
	ASSERT_EQ(0, seize(self->pid));
	ASSERT_EQ(0, kill(self->pid, SIGSTOP));
	ASSERT_EQ(SIGSTOP, sud_wait_stop(self->pid));
	ASSERT_EQ(SUD_STOP_GROUP(SIGSTOP),
		  sud_resume(PTRACE_CONT, self->pid, SIGSTOP));
	SUD_EXPECT_CONFIG(self->pid, sud_config_off());
	ASSERT_EQ(0, sud_ptrace(PTRACE_LISTEN, self->pid, 0, 0));
	EXPECT_ESRCH(self->pid);
}

TEST_F(tracee, P2_detached_tracee_is_ESRCH)
{
	SUD_EXPECT_CONFIG(self->pid, sud_config_off());
	ASSERT_EQ(0, sud_ptrace(PTRACE_DETACH, self->pid, 0, SIGSTOP));
	EXPECT_ESRCH(self->pid);
}

TEST_F(tracee, P2_dead_tracee_is_ESRCH)
{
	siginfo_t info;

	ASSERT_EQ(0, sud_set(self->pid, excl()));
	ASSERT_EQ(0, kill(self->pid, SIGKILL));
	ASSERT_EQ(0, waitid(P_PID, self->pid, &info, WEXITED | WNOWAIT));
	EXPECT_ESRCH(self->pid);
	ASSERT_EQ(self->pid, waitpid(self->pid, NULL, 0));
	EXPECT_ESRCH(self->pid);
}

static int try_both(void *pid)
{
	struct ptrace_sud_config c = excl(), got;

	return sud_set(*(pid_t *)pid, c) == -ESRCH &&
	       sud_get(*(pid_t *)pid, &got) == -ESRCH ? 0 : 1;
}

static void *try_both_thread(void *pid)
{
	return try_both(pid) ? pid : NULL;
}

TEST_F(tracee, P2_tracee_of_another_is_ESRCH)
{
	pthread_t thread;
	void *wrong;

	EXPECT_TRUE(sud_exited(sud_run_child(try_both, &self->pid), 0));
	/* A tracer is a thread: even another thread of the test gets ESRCH. */
	ASSERT_EQ(0, pthread_create(&thread, NULL, try_both_thread,
				    &self->pid));
	ASSERT_EQ(0, pthread_join(thread, &wrong));
	EXPECT_TRUE(!wrong);
	EXPECT_OFF(self->pid);
}

/* ---- P2: configurations that are refused, and change nothing ---- */

static void expect_refused(struct __test_metadata *_metadata, pid_t pid,
			   bool inclusive, struct ptrace_sud_config bad,
			   long err)
{
	struct ptrace_sud_config before[] = {
		sud_config_off(), excl(), incl()
	};
	unsigned int i;

	for (i = 0; i < (inclusive ? 3 : 2); i++) {
		ASSERT_EQ(0, sud_set(pid, before[i]));
		EXPECT_EQ(err, sud_set(pid, bad)) {
			TH_LOG("mode %llx offset %llx len %llx selector %llx",
			       bad.mode, bad.offset, bad.len, bad.selector);
		}
		/* Rule P4 covers the report of an INCLUSIVE configuration. */
		if (before[i].mode != SUD_INCL)
			SUD_EXPECT_CONFIG(pid, before[i]);
	}
}

#define EXPECT_REFUSED(err, ...)					\
	expect_refused(_metadata, self->pid, self->inclusive,		\
		       sud_config(__VA_ARGS__), err)

/* The last configuration before a refusal is still in force. */
#define EXPECT_STILL_ARMED() do {					\
	shared->selector = SUD_BLOCK;					\
	EXPECT_EQ(1, run(self->pid, do_probe));				\
	shared->selector = SUD_ALLOW;					\
	EXPECT_EQ(0, run(self->pid, do_probe));				\
} while (0)

TEST_F(tracee, P2_A1_A8_unknown_mode_is_EINVAL)
{
	static const uint64_t modes[] = {
		3, 4, 0x100, 0x7fffffff, 0x80000000, 0xffffffff, 1ULL << 32,
		1ULL << 32 | SUD_EXCL, 1ULL << 63 | SUD_EXCL, UINT64_MAX,
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(modes); i++) {
		EXPECT_REFUSED(-EINVAL, modes[i], 0, 0, 0);
		EXPECT_REFUSED(-EINVAL, modes[i], SUD_FOREIGN, 4096,
			       (uintptr_t)&shared->other_selector);
	}
	EXPECT_STILL_ARMED();
}

TEST_F(tracee, P2_A2_A8_off_with_arguments_is_EINVAL)
{
	EXPECT_REFUSED(-EINVAL, SUD_OFF, 1, 0, 0);
	EXPECT_REFUSED(-EINVAL, SUD_OFF, 0, 1, 0);
	EXPECT_REFUSED(-EINVAL, SUD_OFF, 0, 0, 1);
	EXPECT_REFUSED(-EINVAL, SUD_OFF, SUD_NATIVE, TOP - SUD_NATIVE,
		       selector());
	EXPECT_REFUSED(-EINVAL, SUD_OFF, 1ULL << 32, 0, 0);
	EXPECT_REFUSED(-EINVAL, SUD_OFF, 0, 1ULL << 32, 0);
	EXPECT_STILL_ARMED();
}

TEST_F(tracee, P2_A3_A8_bad_exclusive_range_is_EINVAL)
{
	EXPECT_REFUSED(-EINVAL, SUD_EXCL, 1, 0, 0);
	EXPECT_REFUSED(-EINVAL, SUD_EXCL, SUD_NATIVE, 0, selector());
	EXPECT_REFUSED(-EINVAL, SUD_EXCL, TOP, 1, 0);
	EXPECT_REFUSED(-EINVAL, SUD_EXCL, TOP - 1, 3, 0);
	EXPECT_REFUSED(-EINVAL, SUD_EXCL, 1, TOP, 0);
	EXPECT_REFUSED(-EINVAL, SUD_EXCL, SUD_NATIVE, TOP - SUD_NATIVE + 1,
		       selector());
	EXPECT_REFUSED(-EINVAL, SUD_EXCL, SUD_NATIVE, TOP, selector());
	EXPECT_STILL_ARMED();
}

TEST_F(tracee, P2_A5_A8_bad_inclusive_range_is_EINVAL)
{
	REQUIRE_INCLUSIVE();
	EXPECT_REFUSED(-EINVAL, SUD_INCL, 0, 0, 0);
	EXPECT_REFUSED(-EINVAL, SUD_INCL, SUD_FOREIGN, 0, selector());
	EXPECT_REFUSED(-EINVAL, SUD_INCL, TOP, 1, 0);
	EXPECT_REFUSED(-EINVAL, SUD_INCL, TOP - 1, 3, 0);
	EXPECT_REFUSED(-EINVAL, SUD_INCL, SUD_FOREIGN, TOP, selector());
	EXPECT_STILL_ARMED();
}

TEST_F(tracee, P2_A6_A8_bad_selector_is_EFAULT)
{
	EXPECT_REFUSED(-EFAULT, SUD_EXCL, 0, 0, BAD_SELECTOR);
	EXPECT_REFUSED(-EFAULT, SUD_EXCL, SUD_NATIVE, TOP - SUD_NATIVE,
		       BAD_SELECTOR);
	if (self->inclusive)
		EXPECT_REFUSED(-EFAULT, SUD_INCL, SUD_FOREIGN, 4096,
			       BAD_SELECTOR);
	EXPECT_STILL_ARMED();
}

TEST_F(tracee, P2_A7_order_of_checks)
{
	EXPECT_REFUSED(-EINVAL, 3, 0, 0, BAD_SELECTOR);
	EXPECT_REFUSED(-EINVAL, SUD_OFF, 0, 0, BAD_SELECTOR);
	EXPECT_REFUSED(-EINVAL, SUD_EXCL, 1, 0, BAD_SELECTOR);
	EXPECT_REFUSED(-EINVAL, SUD_INCL, 0, 0, BAD_SELECTOR);
	EXPECT_STILL_ARMED();
}

/* ---- P3: the stops of the tracee ---- */

/* From stop to stop, until the tracee enters or leaves the foreign call @nr. */
static bool to_foreign_call(pid_t pid, long (*fn)(void), sud_word nr, int op)
{
	struct ptrace_syscall_info info;
	bool inside = false;
	int stops;

	shared->slot[0].fn = fn;
	shared->slot[0].result = TROUBLE;
	for (stops = 0; stops < 100; stops++) {
		if (sud_resume(PTRACE_SYSCALL, pid, 0) != SUD_STOP_SYSCALL ||
		    sud_ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof(info),
			       (unsigned long)&info) <= 0)
			return false;
		if (info.op == PTRACE_SYSCALL_INFO_ENTRY)
			inside = info.entry.nr == nr &&
				 info.instruction_pointer == sud_foreign_ip();
		if (inside && info.op == op)
			return true;
	}
	return false;
}

/* Run the work begun by one of the functions above to its end. */
static long run_on(pid_t pid)
{
	long (*fn)(void) = shared->slot[0].fn;

	return run(pid, fn);
}

TEST_F(tracee, P3_signal_delivery_stop)
{
	ASSERT_EQ(0, sud_set(self->pid, excl()));
	EXPECT_ARMED(self->pid, excl());
	ASSERT_EQ(0, sud_set(self->pid, sud_config_off()));
	EXPECT_OFF(self->pid);
	ASSERT_EQ(0, sud_set(self->pid, excl()));
	EXPECT_ARMED(self->pid, excl());
}

/* The region in force is the one that was set. */
#define EXPECT_REGION(dispatched, mode, offset, len) do {		\
	ASSERT_EQ(0, sud_set(self->pid, sud_config(mode, offset, len,	\
						   selector())));	\
	EXPECT_EQ(dispatched, run(self->pid, do_probe));		\
} while (0)

TEST_F(tracee, P3_R3_region_is_in_force)
{
	unsigned long ip = sud_foreign_ip();

	shared->selector = SUD_BLOCK;
	EXPECT_REGION(0, SUD_EXCL, SUD_FOREIGN, TOP - SUD_FOREIGN);
	EXPECT_REGION(0, SUD_EXCL, ip, TOP - ip);
	EXPECT_REGION(1, SUD_EXCL, ip + 1, TOP - ip - 1);
}

TEST_F(tracee, P3_R3_inclusive_region_is_in_force)
{
	unsigned long ip = sud_foreign_ip();

	REQUIRE_INCLUSIVE();
	shared->selector = SUD_BLOCK;
	EXPECT_REGION(1, SUD_INCL, SUD_FOREIGN, 4096);
	EXPECT_REGION(1, SUD_INCL, ip, 1);
	EXPECT_REGION(0, SUD_INCL, ip + 1, 64);
	EXPECT_REGION(0, SUD_INCL, SUD_FOREIGN, ip - SUD_FOREIGN);
}

/*
 * If the tracee stops in a call, that call goes on unchanged. A configuration
 * set there is in force from the next call.
 */
static void check_set_inside(struct __test_metadata *_metadata, pid_t pid,
			     int op)
{
	/* A call that was not dispatched, */
	shared->selector = SUD_BLOCK;
	ASSERT_TRUE(to_foreign_call(pid, do_probe, SUD_NR_CLOSE, op));
	ASSERT_EQ(0, sud_set(pid, excl()));
	SUD_EXPECT_CONFIG(pid, excl());
	EXPECT_EQ(0, run_on(pid));
	EXPECT_ARMED(pid, excl());

	/* and a call that was allowed. */
	ASSERT_TRUE(to_foreign_call(pid, do_probe, SUD_NR_CLOSE, op));
	ASSERT_EQ(0, sud_set(pid, sud_config_off()));
	shared->selector = SUD_BLOCK;
	EXPECT_EQ(0, run_on(pid));
	EXPECT_OFF(pid);
}

TEST_F(tracee, P3_syscall_entry_stop)
{
	check_set_inside(_metadata, self->pid, PTRACE_SYSCALL_INFO_ENTRY);
}

TEST_F(tracee, P3_syscall_exit_stop)
{
	check_set_inside(_metadata, self->pid, PTRACE_SYSCALL_INFO_EXIT);
}

/* Step by step, to the first instruction of the foreign call. */
TEST_F(tracee, P3_single_step_stop)
{
	struct user_regs_struct regs = { };
	int steps;

	shared->selector = SUD_BLOCK;
	shared->slot[0].fn = do_probe;
	for (steps = 0; SUD_USER_IP(&regs) != SUD_FOREIGN; steps++) {
		ASSERT_GT(5000, steps);
		ASSERT_EQ(SIGTRAP, sud_resume(PTRACE_SINGLESTEP, self->pid, 0));
		ASSERT_EQ(0, sud_ptrace(PTRACE_GETREGS, self->pid, 0,
					(unsigned long)&regs));
	}
	ASSERT_EQ(0, sud_set(self->pid, excl()));
	SUD_EXPECT_CONFIG(self->pid, excl());
	EXPECT_EQ(1, run_on(self->pid));
	EXPECT_ARMED(self->pid, excl());
}

/* At the stop of a dispatch: that call is dispatched, and the next is not. */
TEST_F(tracee, P3_off_in_sigsys_stop)
{
	siginfo_t info;

	ASSERT_EQ(0, sud_set(self->pid, excl()));
	shared->selector = SUD_BLOCK;
	shared->slot[0].fn = do_probe;
	ASSERT_EQ(SIGSYS, sud_resume(PTRACE_CONT, self->pid, 0));
	ASSERT_EQ(0, sud_ptrace_siginfo(self->pid, &info));
	EXPECT_EQ(SYS_USER_DISPATCH, info.si_code);
	EXPECT_EQ(SUD_NR_CLOSE, info.si_syscall);
	ASSERT_EQ(0, sud_set(self->pid, sud_config_off()));
	SUD_EXPECT_CONFIG(self->pid, sud_config_off());
	ASSERT_EQ(SIGSTOP, sud_resume(PTRACE_CONT, self->pid, SIGSYS));
	EXPECT_EQ(1, shared->slot[0].result);
	EXPECT_OFF(self->pid);
}

TEST_F(tracee, P3_other_selector_in_sigsys_stop)
{
	uint64_t other = (uintptr_t)&shared->other_selector;

	ASSERT_EQ(0, sud_set(self->pid, excl()));
	shared->selector = SUD_BLOCK;
	shared->other_selector = SUD_ALLOW;
	shared->slot[0].fn = do_probe;
	ASSERT_EQ(SIGSYS, sud_resume(PTRACE_CONT, self->pid, 0));
	ASSERT_EQ(0, sud_set(self->pid, sud_config_native(other)));
	SUD_EXPECT_CONFIG(self->pid, sud_config_native(other));
	ASSERT_EQ(SIGSTOP, sud_resume(PTRACE_CONT, self->pid, SIGSYS));
	EXPECT_EQ(1, shared->slot[0].result);
	EXPECT_EQ(0, run(self->pid, do_probe));
	shared->other_selector = SUD_BLOCK;
	shared->selector = SUD_ALLOW;
	EXPECT_EQ(1, run(self->pid, do_probe));
}

static int pipe_fd[2];

static long do_foreign_read(void)
{
	static char c;

	return sud_foreign_call(SUD_NR(SYS_read), pipe_fd[0],
				(unsigned long)&c, 1, 0, 0, 0);
}

/* A call that a signal interrupts is restarted: that is the next call. */
TEST_F(own, P3_D8_restarted_call)
{
	siginfo_t info;
	pid_t pid;

	ASSERT_EQ(0, pipe(pipe_fd));
	pid = fork_stopped(0);
	ASSERT_LT(0, pid);
	shared->selector = SUD_BLOCK;
	ASSERT_TRUE(to_foreign_call(pid, do_foreign_read, SUD_NR(SYS_read),
				    PTRACE_SYSCALL_INFO_ENTRY));
	ASSERT_EQ(0, kill(pid, SIGWINCH));
	ASSERT_EQ(SIGWINCH, sud_resume(PTRACE_CONT, pid, 0));
	ASSERT_EQ(0, sud_set(pid, excl()));
	ASSERT_EQ(SIGSYS, sud_resume(PTRACE_CONT, pid, 0));
	ASSERT_EQ(0, sud_ptrace_siginfo(pid, &info));
	EXPECT_EQ(SYS_USER_DISPATCH, info.si_code);
	EXPECT_EQ(SUD_NR(SYS_read), info.si_syscall);
	ASSERT_EQ(SIGSTOP, sud_resume(PTRACE_CONT, pid, SIGSYS));
	EXPECT_EQ(SUD_NR(SYS_read), shared->slot[0].result);
	sud_put_down(pid);
}

TEST_F(untraced, P3_attach_stop)
{
	ASSERT_EQ(0, sud_ptrace(PTRACE_ATTACH, self->pid, 0, 0));
	ASSERT_EQ(SIGSTOP, sud_wait_stop(self->pid));
	SUD_EXPECT_CONFIG(self->pid, sud_config_off());
	ASSERT_EQ(0, sud_set(self->pid, excl()));
	shared->go = 1;
	EXPECT_ARMED(self->pid, excl());
	ASSERT_EQ(0, sud_set(self->pid, sud_config_off()));
	EXPECT_OFF(self->pid);
}

TEST_F(untraced, P3_interrupt_stop)
{
	ASSERT_EQ(0, seize(self->pid));
	ASSERT_EQ(0, sud_ptrace(PTRACE_INTERRUPT, self->pid, 0, 0));
	ASSERT_EQ(SUD_STOP_GROUP(SIGTRAP), sud_wait_stop(self->pid));
	SUD_EXPECT_CONFIG(self->pid, sud_config_off());
	ASSERT_EQ(0, sud_set(self->pid, excl()));
	shared->go = 1;
	EXPECT_ARMED(self->pid, excl());
	ASSERT_EQ(0, sud_set(self->pid, sud_config_off()));
	EXPECT_OFF(self->pid);
}

TEST_F(untraced, P3_group_stop)
{
	ASSERT_EQ(0, seize(self->pid));
	ASSERT_EQ(0, kill(self->pid, SIGSTOP));
	ASSERT_EQ(SIGSTOP, sud_wait_stop(self->pid));
	ASSERT_EQ(SUD_STOP_GROUP(SIGSTOP),
		  sud_resume(PTRACE_CONT, self->pid, SIGSTOP));
	SUD_EXPECT_CONFIG(self->pid, sud_config_off());
	ASSERT_EQ(0, sud_set(self->pid, excl()));
	SUD_EXPECT_CONFIG(self->pid, excl());
	ASSERT_EQ(0, sud_ptrace(PTRACE_LISTEN, self->pid, 0, 0));
	ASSERT_EQ(0, kill(self->pid, SIGCONT));
	ASSERT_EQ(SUD_STOP_GROUP(SIGTRAP), sud_wait_stop(self->pid));
	SUD_EXPECT_CONFIG(self->pid, excl());
	shared->go = 1;
	EXPECT_ARMED(self->pid, excl());
}

static long do_trace_filter(void)
{
	return sud_seccomp_nr(SUD_NR_CLOSE, SECCOMP_RET_TRACE, 0);
}

TEST_F(own, P3_seccomp_stop)
{
	pid_t pid;

	SUD_REQUIRE_FILTERS();
	pid = fork_stopped(PTRACE_O_TRACESECCOMP);
	ASSERT_LT(0, pid);
	ASSERT_EQ(0, run(pid, do_trace_filter));
	shared->selector = SUD_BLOCK;
	shared->slot[0].fn = do_probe;
	ASSERT_EQ(SUD_STOP_EVENT(PTRACE_EVENT_SECCOMP),
		  sud_resume(PTRACE_CONT, pid, 0));
	SUD_EXPECT_CONFIG(pid, sud_config_off());
	ASSERT_EQ(0, sud_set(pid, excl()));
	SUD_EXPECT_CONFIG(pid, excl());
	EXPECT_EQ(0, run_on(pid));
	EXPECT_EQ(1, run(pid, do_probe));
	sud_put_down(pid);
}

TEST_F(own, P3_exit_stop)
{
	pid_t pid = fork_stopped(PTRACE_O_TRACEEXIT);

	ASSERT_LT(0, pid);
	ASSERT_EQ(0, sud_set(pid, excl()));
	shared->selector = SUD_BLOCK;
	shared->slot[0].fn = do_exit;
	ASSERT_EQ(SUD_STOP_EVENT(PTRACE_EVENT_EXIT),
		  sud_resume(PTRACE_CONT, pid, 0));
	SUD_EXPECT_CONFIG(pid, excl());
	ASSERT_EQ(0, sud_set(pid, sud_config_off()));
	SUD_EXPECT_CONFIG(pid, sud_config_off());
	ASSERT_EQ(0, sud_set(pid, excl()));
	SUD_EXPECT_CONFIG(pid, excl());
	EXPECT_TRUE(sud_exited(sud_run_to_end(pid), 7));
}

static long exit_by_probe(void)
{
	_exit(40 + sud_probe());
}

TEST_F(tracee, P3_stays_after_detach)
{
	int status;

	ASSERT_EQ(0, sud_set(self->pid, excl()));
	shared->selector = SUD_BLOCK;
	shared->slot[0].fn = exit_by_probe;
	ASSERT_EQ(0, sud_ptrace(PTRACE_DETACH, self->pid, 0, 0));
	ASSERT_EQ(self->pid, waitpid(self->pid, &status, 0));
	EXPECT_TRUE(sud_exited(status, 41));
}

/* The byte is in the tracee: the tracer has none at that address. */
static volatile uint8_t *own_selector;

static long do_map_selector(void)
{
	void *p = mmap((void *)own_selector, 4096, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE,
		       -1, 0);

	return p == (void *)own_selector ? 0 : -errno;
}

static long do_block_and_probe(void)
{
	*own_selector = SUD_BLOCK;
	return sud_probe();
}

static long do_allow_and_probe(void)
{
	*own_selector = SUD_ALLOW;
	return sud_probe();
}

TEST_F(own, P3_selector_is_in_the_tracee)
{
	pid_t pid;
	void *p;

	p = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_TRUE(p != MAP_FAILED);
	own_selector = p;
	ASSERT_EQ(0, munmap(p, 4096));
	pid = fork_stopped(0);
	ASSERT_LT(0, pid);
	/* The tracee need not have one there yet, either. */
	ASSERT_EQ(0, sud_set(pid, sud_config_native((uintptr_t)own_selector)));
	ASSERT_EQ(0, run(pid, do_map_selector));
	EXPECT_EQ(1, run(pid, do_block_and_probe));
	EXPECT_EQ(0, run(pid, do_allow_and_probe));
	SUD_EXPECT_CONFIG(pid, sud_config_native((uintptr_t)own_selector));
	sud_put_down(pid);
}

/* ---- P4: round trips ---- */

TEST_F(tracee, P4_never_armed_is_zero)
{
	EXPECT_OFF(self->pid);
	ASSERT_EQ(0, sud_set(self->pid, sud_config_off()));
	EXPECT_OFF(self->pid);
}

/* SET, GET, SET and GET, from each state to each other one. */
static void round_trip(struct __test_metadata *_metadata, pid_t pid,
		       const struct ptrace_sud_config *state, unsigned int n)
{
	struct ptrace_sud_config got;
	unsigned int i, j;

	for (i = 0; i < n; i++) {
		for (j = 0; j < n; j++) {
			ASSERT_EQ(0, sud_set(pid, state[i]));
			ASSERT_EQ(0, sud_set(pid, state[j]));
			SUD_EXPECT_CONFIG(pid, state[j]);
			ASSERT_EQ(0, sud_get(pid, &got));
			EXPECT_EQ(0, sud_set(pid, got));
			SUD_EXPECT_CONFIG(pid, state[j]);
		}
	}
}

TEST_F(tracee, P4_round_trip)
{
	struct ptrace_sud_config state[] = {
		sud_config_off(),
		excl(),
		sud_config(SUD_EXCL, 0, 0, 0),
		sud_config(SUD_EXCL, 0, 0, selector()),
		sud_config(SUD_EXCL, 0, 1, 1),
		sud_config(SUD_EXCL, 0, TOP, selector()),
		sud_config(SUD_EXCL, 1, TOP - 1, 0),
		sud_config(SUD_EXCL, TOP - 1, 1, selector()),
	};

	round_trip(_metadata, self->pid, state, ARRAY_SIZE(state));
	ASSERT_EQ(0, sud_set(self->pid, excl()));
	EXPECT_ARMED(self->pid, excl());
}

TEST_F(tracee, P4_round_trip_inclusive)
{
	struct ptrace_sud_config state[] = {
		sud_config_off(),
		excl(),
		incl(),
		sud_config_foreign(0),
		sud_config(SUD_INCL, 0, 1, 0),
		sud_config(SUD_INCL, 0, TOP, selector()),
		sud_config(SUD_INCL, 1, TOP - 1, 0),
		sud_config(SUD_INCL, TOP - 1, 1, selector()),
		sud_config(SUD_EXCL, 0, 0, 0),
	};

	REQUIRE_INCLUSIVE();
	round_trip(_metadata, self->pid, state, ARRAY_SIZE(state));
	ASSERT_EQ(0, sud_set(self->pid, incl()));
	EXPECT_ARMED(self->pid, incl());
}

static void set_args(const struct ptrace_sud_config *c)
{
	shared->args[0] = c->mode;
	shared->args[1] = c->offset;
	shared->args[2] = c->len;
	shared->args[3] = c->selector;
}

/* In a 32-bit program, prctl() has 32-bit arguments (rule A11). */
static struct ptrace_sud_config own_excl(void)
{
	return sud_config(SUD_EXCL, SUD_NATIVE_OFFSET, SUD_NATIVE_LENGTH,
		      selector());
}

static void check_own(struct __test_metadata *_metadata, pid_t pid,
		      struct ptrace_sud_config c)
{
	struct ptrace_sud_config got;

	set_args(&c);
	ASSERT_EQ(0, run(pid, do_prctl));
	EXPECT_ARMED(pid, c);
	ASSERT_EQ(0, sud_get(pid, &got));

	/* A tracer can switch it off, and set it again. */
	ASSERT_EQ(0, sud_set(pid, sud_config_off()));
	EXPECT_OFF(pid);
	ASSERT_EQ(0, sud_set(pid, got));
	EXPECT_ARMED(pid, c);

	/* A failing call changes nothing. */
	shared->args[0] = 3;
	ASSERT_EQ(-EINVAL, run(pid, do_prctl));
	EXPECT_ARMED(pid, c);
}

TEST_F(tracee, P4_get_reports_prctl_of_the_tracee)
{
	check_own(_metadata, self->pid, own_excl());
}

TEST_F(tracee, P4_get_reports_prctl_of_the_tracee_inclusive)
{
	REQUIRE_INCLUSIVE();
	check_own(_metadata, self->pid, incl());
}

/* ---- L3: off means zero ---- */

static void check_off_is_zero(struct __test_metadata *_metadata, pid_t pid,
			      struct ptrace_sud_config c)
{
	struct ptrace_sud_config zero = sud_config_off();

	/* Armed and switched off by both ways, in all four pairs. */
	set_args(&c);
	ASSERT_EQ(0, run(pid, do_prctl));
	set_args(&zero);
	ASSERT_EQ(0, run(pid, do_prctl));
	EXPECT_OFF(pid);

	ASSERT_EQ(0, sud_set(pid, c));
	ASSERT_EQ(0, run(pid, do_prctl));
	EXPECT_OFF(pid);

	ASSERT_EQ(0, sud_set(pid, c));
	ASSERT_EQ(0, sud_set(pid, zero));
	EXPECT_OFF(pid);

	set_args(&c);
	ASSERT_EQ(0, run(pid, do_prctl));
	ASSERT_EQ(0, sud_set(pid, zero));
	EXPECT_OFF(pid);
}

TEST_F(tracee, L3_off_is_zero)
{
	check_off_is_zero(_metadata, self->pid, own_excl());
}

TEST_F(tracee, L3_off_is_zero_inclusive)
{
	REQUIRE_INCLUSIVE();
	check_off_is_zero(_metadata, self->pid, incl());
}

/* ---- L1, L3: created while the parent was armed ---- */

static void obey_second(void)
{
	obey(&shared->slot[1]);
}

static long do_fork(void)
{
	pid_t pid = fork();

	if (pid == 0)
		obey_second();
	return pid > 0 ? 0 : -errno;
}

static long do_vfork(void)
{
	pid_t pid = vfork();

	if (pid == 0)
		obey_second();
	return pid > 0 ? 0 : -errno;
}

static void *obey_thread(void *arg)
{
	obey_second();
	return NULL;
}

static long do_thread(void)
{
	pthread_t thread;

	return -pthread_create(&thread, NULL, obey_thread, NULL);
}

FIXTURE(newborn)
{
	pid_t parent;
	pid_t child;
	/* the configuration of the parent when the child is created */
	struct ptrace_sud_config armed;
};

FIXTURE_VARIANT(newborn)
{
	long (*fn)(void);
	unsigned long option;
	int event;
	bool inclusive;
};

FIXTURE_VARIANT_ADD(newborn, fork) {
	do_fork, PTRACE_O_TRACEFORK, PTRACE_EVENT_FORK, false
};
FIXTURE_VARIANT_ADD(newborn, fork_inclusive) {
	do_fork, PTRACE_O_TRACEFORK, PTRACE_EVENT_FORK, true
};
FIXTURE_VARIANT_ADD(newborn, vfork) {
	do_vfork, PTRACE_O_TRACEVFORK, PTRACE_EVENT_VFORK, false
};
FIXTURE_VARIANT_ADD(newborn, vfork_inclusive) {
	do_vfork, PTRACE_O_TRACEVFORK, PTRACE_EVENT_VFORK, true
};
FIXTURE_VARIANT_ADD(newborn, thread) {
	do_thread, PTRACE_O_TRACECLONE, PTRACE_EVENT_CLONE, false
};
FIXTURE_VARIANT_ADD(newborn, thread_inclusive) {
	do_thread, PTRACE_O_TRACECLONE, PTRACE_EVENT_CLONE, true
};

/* The parent runs until it has created its child. Both are stopped then. */
static pid_t birth(pid_t parent, int event)
{
	unsigned long child;

	if (sud_resume(PTRACE_CONT, parent, 0) != SUD_STOP_EVENT(event) ||
	    sud_ptrace(PTRACE_GETEVENTMSG, parent, 0, (unsigned long)&child) ||
	    sud_wait_stop(child) != SIGSTOP)
		return -1;
	return child;
}

FIXTURE_SETUP(newborn)
{
	set_up(_metadata);
	if (variant->inclusive && !sud_has_inclusive())
		SUD_SKIP_SETUP("no PR_SYS_DISPATCH_INCLUSIVE_ON in this kernel");
	self->armed = variant->inclusive ? incl() : excl();
	self->parent = fork_stopped(variant->option);
	ASSERT_LT(0, self->parent);
	ASSERT_EQ(0, sud_set(self->parent, self->armed));
	shared->selector = SUD_ALLOW;
	shared->slot[0].fn = variant->fn;
	self->child = birth(self->parent, variant->event);
	ASSERT_LT(0, self->child);
}

FIXTURE_TEARDOWN(newborn)
{
	sud_put_down(self->child);
	sud_put_down(self->parent);
}

/* The child makes its own probe. */
static long run_child(pid_t pid)
{
	return run_slot(pid, &shared->slot[1], do_probe);
}

/* After a vfork() the parent waits for the end of the child. */
static long finish_birth(pid_t parent, pid_t child, int event)
{
	if (event == PTRACE_EVENT_VFORK)
		sud_put_down(child);
	return run_on(parent);
}

TEST_F(newborn, L1_L3_P4_child_is_zero)
{
	SUD_EXPECT_CONFIG(self->parent, self->armed);
	SUD_EXPECT_CONFIG(self->child, sud_config_off());
	shared->selector = SUD_BLOCK;
	EXPECT_EQ(0, run_child(self->child));
	SUD_EXPECT_CONFIG(self->child, sud_config_off());
	/* After SET of the reported configuration it is unchanged. */
	ASSERT_EQ(0, sud_set(self->child, sud_config_off()));
	SUD_EXPECT_CONFIG(self->child, sud_config_off());
	EXPECT_EQ(0, run_child(self->child));
	EXPECT_EQ(0, finish_birth(self->parent, self->child, variant->event));
	EXPECT_ARMED(self->parent, self->armed);
}

TEST_F(newborn, L1_P3_child_alone_is_set)
{
	struct ptrace_sud_config c = excl();

	ASSERT_EQ(0, sud_set(self->parent, sud_config_off()));
	ASSERT_EQ(0, sud_set(self->child, c));
	SUD_EXPECT_CONFIG(self->parent, sud_config_off());
	SUD_EXPECT_CONFIG(self->child, c);
	shared->selector = SUD_BLOCK;
	EXPECT_EQ(1, run_child(self->child));
	shared->selector = SUD_ALLOW;
	EXPECT_EQ(0, run_child(self->child));
	shared->selector = SUD_BLOCK;
	EXPECT_EQ(0, finish_birth(self->parent, self->child, variant->event));
	EXPECT_OFF(self->parent);
}

/* ---- L2, L3: exec ---- */

static void *exec_thread(void *arg)
{
	do_exec();
	_exit(EXIT_FAILURE);
}

static long do_exec_from_thread(void)
{
	pthread_t thread;

	pthread_create(&thread, NULL, exec_thread, NULL);
	pause();
	return TROUBLE;
}

/*
 * Stopped after an exec. The executing thread was armed, and so was its
 * leader.
 */
FIXTURE(exec)
{
	pid_t pid;
};

FIXTURE_VARIANT(exec)
{
	bool thread;
	bool inclusive;
};

FIXTURE_VARIANT_ADD(exec, leader) { false, false };
FIXTURE_VARIANT_ADD(exec, leader_inclusive) { false, true };
FIXTURE_VARIANT_ADD(exec, thread) { true, false };
FIXTURE_VARIANT_ADD(exec, thread_inclusive) { true, true };

FIXTURE_SETUP(exec)
{
	struct ptrace_sud_config armed;
	pid_t tid;

	set_up(_metadata);
	if (variant->inclusive && !sud_has_inclusive())
		SUD_SKIP_SETUP("no PR_SYS_DISPATCH_INCLUSIVE_ON in this kernel");
	armed = variant->inclusive ? incl() : excl();
	ASSERT_TRUE(sud_beside(probe_path, "probe", SUD_SUFFIX)) {
		TH_LOG("no probe%s beside this program", SUD_SUFFIX);
	}
	self->pid = fork_stopped(PTRACE_O_TRACEEXEC | PTRACE_O_TRACECLONE);
	ASSERT_LT(0, self->pid);
	ASSERT_EQ(0, sud_set(self->pid, armed));
	shared->selector = SUD_ALLOW;
	if (variant->thread) {
		shared->slot[0].fn = do_exec_from_thread;
		tid = birth(self->pid, PTRACE_EVENT_CLONE);
		ASSERT_LT(0, tid);
		ASSERT_EQ(0, sud_set(tid, armed));
		/* The thread is last: its exec ends the leader. */
		ASSERT_EQ(0, sud_ptrace(PTRACE_CONT, self->pid, 0, 0));
		ASSERT_EQ(0, sud_ptrace(PTRACE_CONT, tid, 0, 0));
	} else {
		shared->slot[0].fn = do_exec;
		ASSERT_EQ(0, sud_ptrace(PTRACE_CONT, self->pid, 0, 0));
	}
	ASSERT_EQ(SUD_STOP_EVENT(PTRACE_EVENT_EXEC), sud_wait_stop(self->pid));
}

FIXTURE_TEARDOWN(exec)
{
	sud_put_down(self->pid);
}

TEST_F(exec, L2_L3_P4_zero)
{
	SUD_EXPECT_CONFIG(self->pid, sud_config_off());
	ASSERT_EQ(0, sud_set(self->pid, sud_config_off()));
	SUD_EXPECT_CONFIG(self->pid, sud_config_off());
	EXPECT_TRUE(sud_exited(sud_run_to_end(self->pid), SUD_PROBE_RAN));
}

/* No selector, so every foreign call of the new program is dispatched. */
TEST_F(exec, P3_set_in_exec_stop)
{
	ASSERT_EQ(0, sud_set(self->pid, sud_config_native(0)));
	SUD_EXPECT_CONFIG(self->pid, sud_config_native(0));
	EXPECT_TRUE(sud_exited(sud_run_to_end(self->pid), SUD_PROBE_RAN + 1));
}

TEST_F(tracee, L2_failed_exec_changes_nothing)
{
	ASSERT_EQ(0, sud_set(self->pid, excl()));
	shared->selector = SUD_ALLOW;
	EXPECT_EQ(-EACCES, run(self->pid, do_failing_exec));
	EXPECT_ARMED(self->pid, excl());
}

/* ---- P5: a 32-bit kernel cuts no field ---- */

TEST_F(tracee, P5_fields_that_do_not_fit)
{
	const uint64_t high[] = { 1ULL << 32, 1ULL << 63, ~0ULL << 32 };
	unsigned int i;

	if (sud_kernel_is_64bit())
		SKIP(return, "a 64-bit kernel");
	for (i = 0; i < ARRAY_SIZE(high); i++) {
		EXPECT_REFUSED(-EINVAL, high[i], 0, 0, 0);
		EXPECT_REFUSED(-EINVAL, high[i] | SUD_EXCL, SUD_FOREIGN, 4096,
			       0);
		EXPECT_REFUSED(-EINVAL, SUD_EXCL, high[i], 1, 0);
		EXPECT_REFUSED(-EINVAL, SUD_EXCL, high[i] | SUD_FOREIGN, 4096,
			       0);
		EXPECT_REFUSED(-EINVAL, SUD_EXCL, 0, high[i], 0);
		EXPECT_REFUSED(-EINVAL, SUD_EXCL, SUD_FOREIGN, high[i] | 4096,
			       0);
		EXPECT_REFUSED(-EFAULT, SUD_EXCL, SUD_FOREIGN, 4096,
			       high[i] | selector());
		EXPECT_REFUSED(-EFAULT, SUD_EXCL, 0, 0, high[i]);
		EXPECT_REFUSED(-EINVAL, SUD_INCL, high[i] | SUD_FOREIGN, 4096,
			       0);
		EXPECT_REFUSED(-EINVAL, SUD_INCL, SUD_FOREIGN, high[i] | 4096,
			       0);
		EXPECT_REFUSED(-EFAULT, SUD_INCL, SUD_FOREIGN, 4096,
			       high[i] | selector());
		EXPECT_REFUSED(-EINVAL, SUD_OFF, high[i], 0, 0);
		EXPECT_REFUSED(-EINVAL, SUD_OFF, 0, high[i], 0);
		EXPECT_REFUSED(-EINVAL, SUD_EXCL, high[i], 4096, high[i]);
	}
	EXPECT_STILL_ARMED();
}

/* ---- P6: tracer and tracee of different kinds ---- */

FIXTURE(abi)
{
	pid_t pid;
	struct sud_tracee *t;
	uint64_t selector;
	bool inclusive;
};

FIXTURE_VARIANT(abi)
{
	const char *suffix;
	/*
	 * the address at which the tracee maps the page that it shares with us
	 */
	unsigned long long addr;
};

FIXTURE_VARIANT_ADD(abi, of_64) { "_64", 0x200000000000ULL };
/* The same without the bits that a 32-bit tracer might lose. */
FIXTURE_VARIANT_ADD(abi, of_64_low) { "_64", 0x30000000ULL };
FIXTURE_VARIANT_ADD(abi, of_32) { "_32", 0x30000000ULL };
FIXTURE_VARIANT_ADD(abi, of_x32) { "_x32", 0x30000000ULL };

static char tracee_path[PATH_MAX];
static char tracee_fd[16];
static char tracee_addr[32];

static void exec_tracee(void)
{
	char *argv[] = { tracee_path, tracee_fd, tracee_addr, NULL };

	execv(tracee_path, argv);
	shared->slot[0].result = errno;
	_exit(EXIT_FAILURE);
}

FIXTURE_SETUP(abi)
{
	int fd, stop;

	set_up(_metadata);
	self->inclusive = sud_has_inclusive();
	if (!sud_beside(tracee_path, SUD_TRACEE_NAME, variant->suffix))
		SUD_SKIP_SETUP("no %s%s beside this program", SUD_TRACEE_NAME,
			       variant->suffix);
	fd = syscall(SYS_memfd_create, "tracee", 0);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ftruncate(fd, sysconf(_SC_PAGESIZE)));
	self->t = mmap(NULL, sizeof(*self->t), PROT_READ | PROT_WRITE,
		       MAP_SHARED, fd, 0);
	ASSERT_TRUE(self->t != MAP_FAILED);
	self->selector = variant->addr + offsetof(struct sud_tracee, selector);
	snprintf(tracee_fd, sizeof(tracee_fd), "%d", fd);
	snprintf(tracee_addr, sizeof(tracee_addr), "%llx", variant->addr);
	self->pid = sud_fork_tracee(exec_tracee, PTRACE_O_TRACEEXEC);
	ASSERT_LT(0, self->pid);
	stop = sud_resume(PTRACE_CONT, self->pid, 0);
	if (stop < 0 && shared->slot[0].result == ENOEXEC)
		SUD_SKIP_SETUP("this kernel does not run %s%s",
			       SUD_TRACEE_NAME, variant->suffix);
	ASSERT_EQ(SUD_STOP_EVENT(PTRACE_EVENT_EXEC), stop) {
		TH_LOG("exec: %s", strerror(shared->slot[0].result));
	}
	ASSERT_EQ(SIGSTOP, sud_resume(PTRACE_CONT, self->pid, 0));
	/* The address is valid only in the tracee. */
	ASSERT_NE((uintptr_t)self->t, variant->addr);
}

FIXTURE_TEARDOWN(abi)
{
	sud_put_down(self->pid);
}

/* Like run(), for a program that reports its result in another way. */
static long abi_run(struct sud_tracee *t, pid_t pid)
{
	int stop, sig = 0, stops = 0;

	t->result = TROUBLE;
	do {
		stop = sud_resume(PTRACE_CONT, pid, sig);
		sig = stop == SIGSYS ? SIGSYS : 0;
	} while (stop == SIGSYS && stops++ < 100);
	return stop == SIGSTOP ? t->result : TROUBLE;
}

static long abi_probe(struct sud_tracee *t, pid_t pid, uint8_t selector)
{
	t->arm = 0;
	t->selector = selector;
	return abi_run(t, pid);
}

static long abi_prctl(struct sud_tracee *t, pid_t pid,
		      struct ptrace_sud_config c)
{
	t->arm = 1;
	t->args[0] = c.mode;
	t->args[1] = c.offset;
	t->args[2] = c.len;
	t->args[3] = c.selector;
	t->selector = SUD_ALLOW;
	return abi_run(t, pid);
}

#define EXPECT_ABI_ARMED(...) do {					\
	SUD_EXPECT_CONFIG(self->pid, __VA_ARGS__);			\
	EXPECT_EQ(1, abi_probe(self->t, self->pid, SUD_BLOCK));		\
	EXPECT_EQ(0, abi_probe(self->t, self->pid, SUD_ALLOW));		\
} while (0)

#define EXPECT_ABI_OFF() do {						\
	SUD_EXPECT_CONFIG(self->pid, sud_config_off());			\
	EXPECT_EQ(0, abi_probe(self->t, self->pid, SUD_BLOCK));		\
} while (0)

TEST_F(abi, P6_set_and_get)
{
	EXPECT_ABI_OFF();
	ASSERT_EQ(0, sud_set(self->pid, sud_config_native(self->selector)));
	EXPECT_ABI_ARMED(sud_config_native(self->selector));
	ASSERT_EQ(0, sud_set(self->pid, sud_config_off()));
	EXPECT_ABI_OFF();
}

TEST_F(abi, P6_P4_set_and_get_inclusive)
{
	REQUIRE_INCLUSIVE();
	ASSERT_EQ(0, sud_set(self->pid, sud_config_foreign(self->selector)));
	EXPECT_ABI_ARMED(sud_config_foreign(self->selector));
	ASSERT_EQ(0, sud_set(self->pid, sud_config_off()));
	EXPECT_ABI_OFF();
}

/* Bits above the 32nd count for every kind of tracer. */
TEST_F(abi, P6_region_is_not_cut)
{
	uint64_t high = 1ULL << 32;
	struct ptrace_sud_config c =
		sud_config(SUD_EXCL, high | SUD_FOREIGN, 4096, self->selector);

	if (!sud_kernel_is_64bit())
		SKIP(return, "a 32-bit kernel");
	ASSERT_EQ(0, sud_set(self->pid, c));
	SUD_EXPECT_CONFIG(self->pid, c);
	/* This range would be empty. */
	c = sud_config(SUD_EXCL, SUD_FOREIGN, -high, self->selector);
	ASSERT_EQ(0, sud_set(self->pid, c));
	SUD_EXPECT_CONFIG(self->pid, c);
	EXPECT_EQ(0, abi_probe(self->t, self->pid, SUD_BLOCK));
}

TEST_F(abi, P6_P2_A8_refused_configurations)
{
	struct ptrace_sud_config bad[] = {
		sud_config(1ULL << 32, 0, 0, 0),
		sud_config(1ULL << 32 | SUD_EXCL, 0, 0, 0),
		sud_config(SUD_EXCL, 1, 0, 0),
		sud_config(SUD_EXCL, SUD_NATIVE, TOP, 0),
	};
	unsigned int i;

	ASSERT_EQ(0, sud_set(self->pid, sud_config_native(self->selector)));
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		EXPECT_EQ(-EINVAL, sud_set(self->pid, bad[i]));
	EXPECT_EQ(-EFAULT, sud_set(self->pid, sud_config_native(BAD_SELECTOR)));
	EXPECT_ABI_ARMED(sud_config_native(self->selector));
}

/*
 * If the tracee armed itself by 32-bit arguments, they are reported with zero
 * extension.
 */
TEST_F(abi, P6_A11_get_reports_prctl_of_the_tracee)
{
	uint64_t end = strcmp(variant->suffix, "_32") ? TOP : UINT32_MAX;
	struct ptrace_sud_config c = sud_config(SUD_EXCL, SUD_NATIVE,
					    end - SUD_NATIVE, self->selector);
	struct ptrace_sud_config got;

	ASSERT_EQ(0, abi_prctl(self->t, self->pid, c));
	EXPECT_ABI_ARMED(c);
	ASSERT_EQ(0, sud_get(self->pid, &got));
	ASSERT_EQ(0, abi_prctl(self->t, self->pid, sud_config_off()));
	EXPECT_ABI_OFF();
	ASSERT_EQ(0, sud_set(self->pid, got));
	EXPECT_ABI_ARMED(c);
}

/* This needs direct dispatch. Without it the requests are unknown. */
TEST_F(abi, X8_P6_set_and_get_handler)
{
	bool direct = sud_set_handler(0, 0, 0, 0) == 0;
	uint64_t want = 0x123456789000, got = 0;

	ASSERT_EQ(0, sud_set(self->pid, sud_config_native(self->selector)));
	EXPECT_EQ(direct ? 0 : -EIO, sud_set_traced(self->pid, want));
	EXPECT_EQ(direct ? 0 : -EIO, sud_get_traced(self->pid, &got));
	EXPECT_EQ(direct ? want : UINT64_MAX, got);
	EXPECT_EQ(direct ? 0 : -EIO, sud_set_traced(self->pid, 0));
	EXPECT_ABI_ARMED(sud_config_native(self->selector));
}

TEST_HARNESS_MAIN
