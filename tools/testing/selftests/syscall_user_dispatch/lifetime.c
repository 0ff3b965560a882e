// SPDX-License-Identifier: GPL-2.0
/*
 * Syscall User Dispatch: lifetime of the state (rules L1 to L4).
 */
#include "sud.h"
#include "sud_beside.h"

#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/io_uring.h>
#include <linux/sched.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>

#include "sud_harness.h"

#ifndef SYS_clone3
#define SYS_clone3 435
#endif
#ifndef CLONE_CLEAR_SIGHAND
#define CLONE_CLEAR_SIGHAND 0x100000000ULL
#endif
#ifndef SYS_io_uring_setup
#define SYS_io_uring_setup	425
#define SYS_io_uring_enter	426
#define SYS_io_uring_register	427
#endif

#define NOBODY 65534

/* The argument vector of a program that is given its name alone. */
#define ARGV(name) ((char *[]){ (char *)(name), NULL })

/* Exit statuses of children: the state in which they found themselves. */
#define IS_OFF		40
#define IS_ARMED	41
#define IS_STRANGE	42

/* Whole units of 16 bytes, which is the ABI's alignment of a stack. */
static long double stack[4096];
#define STACK_TOP ((char *)stack + sizeof(stack))

/* The state of a child, with the selector as the parent left it. */
static int verdict(void)
{
	int ret = sud_probe();

	return ret == 0 ? IS_OFF : ret == 1 ? IS_ARMED : IS_STRANGE;
}

static int verdict_fn(void *arg)
{
	return verdict();
}

static int wait_for(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, __WALL) < 0) {
		if (errno != EINTR)
			return -1;
	}
	return status;
}

/*
 * Each test arms itself, leaves the selector at BLOCK, and creates a process
 * or a thread. The new one must be off. Teardown checks that the creator is
 * unchanged, at both values of the selector.
 */
FIXTURE(creator) {
	bool armed;
};

FIXTURE_SETUP(creator)
{
	ASSERT_TRUE(sud_setup());
	if (!sud_available())
		return;
	self->armed = sud_arm_native(&sud_selector) == 0;
	ASSERT_TRUE(self->armed);
	sud_selector = SUD_BLOCK;
	ASSERT_EQ(1, sud_probe());
}

FIXTURE_TEARDOWN(creator)
{
	if (!self->armed)
		return;
	sud_hook = NULL;
	sud_selector = SUD_BLOCK;
	EXPECT_EQ(1, sud_probe());
	sud_selector = SUD_ALLOW;
	EXPECT_EQ(0, sud_probe());
}

/* Like SUD_REQUIRE(), which would disarm. */
#define REQUIRE_ARMED() do {						\
	if (!self->armed)						\
		SKIP(return, "no syscall user dispatch in this kernel"); \
} while (0)

#define EXPECT_OFF(status_) do {					\
	int status__ = (status_);					\
									\
	EXPECT_TRUE(sud_exited(status__, IS_OFF)) {			\
		TH_LOG("wait status %#x: %s", status__,			\
		       sud_exited(status__, IS_ARMED) ? "armed" :	\
		       sud_exited(status__, IS_STRANGE) ?		\
		       "neither off nor armed" : "child failed");	\
	}								\
} while (0)

/* L1: the ways to make a process. */
TEST_F(creator, L1_fork_child_is_off)
{
	REQUIRE_ARMED();
	EXPECT_OFF(sud_run_child(verdict_fn, NULL));
}

TEST_F(creator, L1_vfork_child_is_off)
{
	pid_t pid;

	REQUIRE_ARMED();
	pid = vfork();
	if (pid == 0)
		_exit(verdict());
	ASSERT_LT(0, pid);
	EXPECT_OFF(wait_for(pid));
}

static int fork_again(void *arg)
{
	int status = sud_run_child(verdict_fn, NULL);

	return sud_exited(status, IS_OFF) ? verdict() : 1;
}

TEST_F(creator, L1_grandchild_is_off)
{
	REQUIRE_ARMED();
	EXPECT_OFF(sud_run_child(fork_again, NULL));
}

/* A child has its own state. */
static int arm_differently(void *arg)
{
	static volatile uint8_t selector;

	if (sud_arm_native(&selector))
		return 1;
	selector = SUD_ALLOW;
	if (sud_probe() != 0)
		return 2;
	selector = SUD_BLOCK;
	if (sud_probe() != 1)
		return 3;
	if (sud_off())
		return 4;
	return verdict();
}

TEST_F(creator, L1_child_arms_itself)
{
	REQUIRE_ARMED();
	EXPECT_OFF(sud_run_child(arm_differently, NULL));
}

static int child_off(void *arg)
{
	return sud_off() ? 1 : verdict();
}

TEST_F(creator, L1_child_switches_off)
{
	REQUIRE_ARMED();
	EXPECT_OFF(sud_run_child(child_off, NULL));
}

/* clone() with flags; a thread reports through memory, a process by exit. */
FIXTURE(clone) {
	bool armed;
};

FIXTURE_VARIANT(clone) {
	unsigned long flags;
};

FIXTURE_SETUP(clone)
{
	ASSERT_TRUE(sud_setup());
	if (!sud_available())
		return;
	self->armed = sud_arm_native(&sud_selector) == 0;
	ASSERT_TRUE(self->armed);
	sud_selector = SUD_BLOCK;
}

FIXTURE_TEARDOWN(clone)
{
	if (!self->armed)
		return;
	sud_hook = NULL;
	sud_selector = SUD_BLOCK;
	EXPECT_EQ(1, sud_probe());
	sud_selector = SUD_ALLOW;
	EXPECT_EQ(0, sud_probe());
}

FIXTURE_VARIANT_ADD(clone, none) { 0 };
FIXTURE_VARIANT_ADD(clone, vm) { CLONE_VM };
FIXTURE_VARIANT_ADD(clone, vfork) { CLONE_VFORK };
FIXTURE_VARIANT_ADD(clone, vm_vfork) { CLONE_VM | CLONE_VFORK };
FIXTURE_VARIANT_ADD(clone, fs_files) { CLONE_FS | CLONE_FILES };
FIXTURE_VARIANT_ADD(clone, vm_sighand) { CLONE_VM | CLONE_SIGHAND };
FIXTURE_VARIANT_ADD(clone, all_shared) {
	CLONE_VM | CLONE_SIGHAND | CLONE_FS | CLONE_FILES | CLONE_SYSVSEM |
	CLONE_IO
};
FIXTURE_VARIANT_ADD(clone, parent) { CLONE_PARENT };
FIXTURE_VARIANT_ADD(clone, untraced) { CLONE_UNTRACED };
FIXTURE_VARIANT_ADD(clone, io) { CLONE_IO };
FIXTURE_VARIANT_ADD(clone, pid_namespace) { CLONE_NEWPID };
FIXTURE_VARIANT_ADD(clone, thread) {
	CLONE_VM | CLONE_SIGHAND | CLONE_THREAD
};
FIXTURE_VARIANT_ADD(clone, thread_all_shared) {
	CLONE_VM | CLONE_SIGHAND | CLONE_THREAD | CLONE_FS | CLONE_FILES |
	CLONE_SYSVSEM
};

static volatile int thread_verdict;

static int clone_fn(void *arg)
{
	thread_verdict = verdict();
	return thread_verdict;
}

/* A sibling of the parent: a child creates it, and the test waits for it. */
static int clone_sibling(void *arg)
{
	unsigned long flags = *(unsigned long *)arg;

	/* The state of the process that clones does not matter here. */
	if (sud_arm_native(&sud_selector))
		return 1;
	sud_selector = SUD_BLOCK;
	if (clone(clone_fn, STACK_TOP, flags | SIGCHLD, NULL) < 0)
		return 2;
	return sud_probe() == 1 ? 0 : 3;
}

/* Wait until the number of a thread that is no child is free again. */
static bool thread_gone(pid_t tid)
{
	unsigned int i;

	for (i = 0; i < 10000 * sud_slow(); i++) {
		if (syscall(SYS_tgkill, getpid(), tid, 0))
			return errno == ESRCH;
		usleep(1000);
	}
	return false;
}

TEST_F(clone, L1_clone)
{
	unsigned long flags = variant->flags;
	int status;
	pid_t pid;

	REQUIRE_ARMED();
	if (flags & CLONE_NEWPID && geteuid())
		SKIP(return, "needs root, for a namespace");

	if (flags & CLONE_THREAD) {
		pid = clone(clone_fn, STACK_TOP, flags, NULL);
		ASSERT_LT(0, pid);
		ASSERT_TRUE(thread_gone(pid));
		EXPECT_EQ(IS_OFF, thread_verdict);
	} else if (flags & CLONE_PARENT) {
		status = sud_run_child(clone_sibling, &flags);
		EXPECT_TRUE(sud_exited(status, 0));
		EXPECT_OFF(wait_for(-1));
	} else {
		pid = clone(clone_fn, STACK_TOP, flags | SIGCHLD, NULL);
		ASSERT_LT(0, pid);
		EXPECT_OFF(wait_for(pid));
		if (flags & CLONE_VM)
			EXPECT_EQ(IS_OFF, thread_verdict);
	}
}

/* clone3() without a stack, like a fork: the child needs no assembly. */
static pid_t clone3_fork(uint64_t flags)
{
	/* The first version of the structure. */
	uint64_t args[8] = { [0] = flags, [4] = SIGCHLD };

	return syscall(SYS_clone3, args, sizeof(args));
}

TEST_F(creator, L1_clone3)
{
	pid_t pid;

	REQUIRE_ARMED();
	pid = clone3_fork(0);
	if (pid == 0)
		_exit(verdict());
	ASSERT_LT(0, pid);
	EXPECT_OFF(wait_for(pid));
}

TEST_F(creator, L1_clone3_clear_sighand)
{
	pid_t pid;

	REQUIRE_ARMED();
	pid = clone3_fork(CLONE_CLEAR_SIGHAND);
	if (pid == 0)
		_exit(verdict());
	ASSERT_LT(0, pid);
	EXPECT_OFF(wait_for(pid));
}

static void *thread_fn(void *arg)
{
	thread_verdict = verdict();
	return NULL;
}

TEST_F(creator, L1_pthread_create)
{
	pthread_t thread;

	REQUIRE_ARMED();
	ASSERT_EQ(0, pthread_create(&thread, NULL, thread_fn, NULL));
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_EQ(IS_OFF, thread_verdict);
}

/* A thread arms itself, and then switches off. No other thread changes. */
static volatile uint8_t thread_selector;

static void *arming_thread(void *arg)
{
	pthread_barrier_t *barrier = arg;

	thread_selector = SUD_BLOCK;
	thread_verdict = sud_arm_native(&thread_selector) ? 0 : verdict();
	pthread_barrier_wait(barrier);
	/* The creator runs its checks. */
	pthread_barrier_wait(barrier);
	if (sud_off())
		thread_verdict = 0;
	return NULL;
}

TEST_F(creator, L1_thread_state_is_its_own)
{
	pthread_barrier_t barrier;
	pthread_t thread;

	REQUIRE_ARMED();
	ASSERT_EQ(0, sud_off());
	ASSERT_EQ(0, pthread_barrier_init(&barrier, NULL, 2));
	ASSERT_EQ(0, pthread_create(&thread, NULL, arming_thread, &barrier));
	pthread_barrier_wait(&barrier);
	EXPECT_EQ(IS_ARMED, thread_verdict);
	/* Off while the thread is armed. */
	EXPECT_EQ(0, sud_probe());
	/* Armed while the thread switches off: see teardown. */
	ASSERT_EQ(0, sud_arm_native(&sud_selector));
	pthread_barrier_wait(&barrier);
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_EQ(IS_ARMED, thread_verdict);
}

/* The program to execute is in the directory of this program. */
static char probe_path[PATH_MAX];

static bool find_probe(void)
{
	return sud_beside(probe_path, "probe", SUD_SUFFIX);
}

#define REQUIRE_PROBE() do {						\
	REQUIRE_ARMED();						\
	ASSERT_TRUE(find_probe()) {					\
		TH_LOG("no probe" SUD_SUFFIX " beside this program");	\
	}								\
} while (0)

#define EXPECT_EXEC_OFF(status_, more) do {				\
	int status__ = (status_);					\
									\
	EXPECT_TRUE(sud_exited(status__, SUD_PROBE_RAN + (more))) {	\
		TH_LOG("wait status %#x", status__);			\
	}								\
} while (0)

TEST_F(creator, L1_posix_spawn)
{
	pid_t pid;

	REQUIRE_PROBE();
	ASSERT_EQ(0, posix_spawn(&pid, probe_path, NULL, NULL,
				 ARGV(probe_path), environ));
	EXPECT_EXEC_OFF(wait_for(pid), 0);
}

/*
 * The test makes the call by foreign code. The call is dispatched, and the
 * handler runs it again with the selector at ALLOW. The child returns from it
 * in the same way as the parent.
 */
TEST_F(creator, L1_fork_by_foreign_code)
{
	long pid;

	REQUIRE_ARMED();
	sud_count = 0;
	sud_hook = sud_hook_rerun;
	pid = sud_foreign_call(SYS_fork, 0, 0, 0, 0, 0, 0);
	if (pid == 0) {
		sud_hook = NULL;
		sud_selector = SUD_BLOCK;
		_exit(verdict());
	}
	EXPECT_EQ(1, sud_count);
	ASSERT_LT(0, pid);
	EXPECT_OFF(wait_for(pid));
}

TEST_F(creator, L1_clone_by_foreign_code)
{
	long pid;

	REQUIRE_ARMED();
	sud_count = 0;
	sud_hook = sud_hook_rerun;
	pid = sud_foreign_call(SYS_clone, SIGCHLD, 0, 0, 0, 0, 0);
	if (pid == 0) {
		sud_hook = NULL;
		sud_selector = SUD_BLOCK;
		_exit(verdict());
	}
	EXPECT_EQ(1, sud_count);
	ASSERT_LT(0, pid);
	EXPECT_OFF(wait_for(pid));
}

/* On its own stack, the child "returns" to the address on top of the stack. */
static void __attribute__((noreturn)) foreign_child(void)
{
	sud_hook = NULL;
	sud_selector = SUD_BLOCK;
	thread_verdict = verdict();
	sud_foreign_call(SYS_exit, thread_verdict, 0, 0, 0, 0, 0);
	__builtin_trap();
}

static long foreign_clone(unsigned long flags)
{
	/*
	 * As if foreign_child() had been called: see the ABI for the
	 * alignment.
	 */
	sud_uword *top = (sud_uword *)STACK_TOP - 2;

	*top = (uintptr_t)foreign_child;
	sud_count = 0;
	thread_verdict = 0;
	sud_hook = sud_hook_rerun;
	return sud_foreign_call(SYS_clone, flags, SUD_PTR(top), 0, 0, 0, 0);
}

TEST_F(creator, L1_vm_vfork_by_foreign_code)
{
	long pid;

	REQUIRE_ARMED();
	pid = foreign_clone(CLONE_VM | CLONE_VFORK | SIGCHLD);
	/* The child's call was not dispatched. */
	EXPECT_EQ(1, sud_count);
	ASSERT_LT(0, pid);
	EXPECT_OFF(wait_for(pid));
}

TEST_F(creator, L1_thread_by_foreign_code)
{
	long tid;

	REQUIRE_ARMED();
	tid = foreign_clone(CLONE_VM | CLONE_SIGHAND | CLONE_THREAD);
	ASSERT_LT(0, tid);
	ASSERT_TRUE(thread_gone(tid));
	EXPECT_EQ(1, sud_count);
	EXPECT_EQ(IS_OFF, thread_verdict);
}

/*
 * I/O workers make no system calls. The test shows that an armed thread can
 * create them, that they work, and that the thread is armed as before.
 */
struct ring {
	int fd;
	struct io_uring_params p;
	char *sq, *cq;
	struct io_uring_sqe *sqes;
};

/* Return: 0, or the negative error number. */
static int ring_create(struct ring *r, unsigned int flags)
{
	memset(r, 0, sizeof(*r));
	r->p.flags = flags;
	r->p.sq_thread_idle = 1000;
	r->fd = syscall(SYS_io_uring_setup, 4, &r->p);
	if (r->fd < 0)
		return -errno;
	r->sq = mmap(NULL, r->p.sq_off.array + r->p.sq_entries * 4,
		     PROT_READ | PROT_WRITE, MAP_SHARED, r->fd,
		     IORING_OFF_SQ_RING);
	r->cq = mmap(NULL, r->p.cq_off.cqes + r->p.cq_entries *
		     sizeof(struct io_uring_cqe), PROT_READ | PROT_WRITE,
		     MAP_SHARED, r->fd, IORING_OFF_CQ_RING);
	r->sqes = mmap(NULL, r->p.sq_entries * sizeof(struct io_uring_sqe),
		       PROT_READ | PROT_WRITE, MAP_SHARED, r->fd,
		       IORING_OFF_SQES);
	if (r->sq == MAP_FAILED || r->cq == MAP_FAILED || r->sqes == MAP_FAILED)
		return -ENOMEM;
	return 0;
}

static void ring_submit(struct ring *r, const struct io_uring_sqe *sqe)
{
	uint32_t *tail = (uint32_t *)(r->sq + r->p.sq_off.tail);
	uint32_t mask = *(uint32_t *)(r->sq + r->p.sq_off.ring_mask);
	uint32_t *array = (uint32_t *)(r->sq + r->p.sq_off.array);
	uint32_t index = *tail & mask;

	r->sqes[index] = *sqe;
	array[index] = index;
	__atomic_store_n(tail, *tail + 1, __ATOMIC_SEQ_CST);
}

/* Wait for one completion. Return: false if there is none in time. */
static bool ring_complete(struct ring *r, int *res)
{
	uint32_t *head = (uint32_t *)(r->cq + r->p.cq_off.head);
	uint32_t *tail = (uint32_t *)(r->cq + r->p.cq_off.tail);
	uint32_t mask = *(uint32_t *)(r->cq + r->p.cq_off.ring_mask);
	struct io_uring_cqe *cqes = (void *)(r->cq + r->p.cq_off.cqes);
	unsigned int i;

	for (i = 0; i < 10000 * sud_slow(); i++) {
		if (__atomic_load_n(tail, __ATOMIC_SEQ_CST) != *head) {
			*res = cqes[*head & mask].res;
			__atomic_store_n(head, *head + 1, __ATOMIC_SEQ_CST);
			return true;
		}
		usleep(1000);
	}
	return false;
}

#define REQUIRE_RING(r, flags) do {					\
	int ret__ = ring_create(r, flags);				\
									\
	if (ret__ == -ENOSYS || ret__ == -EPERM)			\
		SKIP(return, "no io_uring: %s", strerror(-ret__));	\
	ASSERT_EQ(0, ret__);						\
} while (0)

TEST_F(creator, L1_io_worker)
{
	struct io_uring_sqe sqe = {};
	struct iovec iov;
	struct ring r;
	char c = 0;
	int fds[2];
	int res;

	REQUIRE_ARMED();
	REQUIRE_RING(&r, 0);
	ASSERT_EQ(0, pipe(fds));
	iov.iov_base = &c;
	iov.iov_len = 1;
	sqe.opcode = IORING_OP_READV;
	/* Give it to a worker at once. */
	sqe.flags = IOSQE_ASYNC;
	sqe.fd = fds[0];
	sqe.addr = (unsigned long)&iov;
	sqe.len = 1;
	ring_submit(&r, &sqe);

	/* Foreign code submits it, and the handler runs the call again. */
	sud_count = 0;
	sud_hook = sud_hook_rerun;
	EXPECT_EQ(1, sud_foreign_call(SYS_io_uring_enter, r.fd, 1, 0, 0, 0, 0));
	EXPECT_EQ(1, sud_count);
	sud_hook = NULL;
	sud_selector = SUD_BLOCK;
	EXPECT_EQ(1, sud_probe());
	ASSERT_EQ(1, write(fds[1], "x", 1));
	ASSERT_TRUE(ring_complete(&r, &res));
	EXPECT_EQ(1, res);
	EXPECT_EQ('x', c);
}

TEST_F(creator, L1_io_polling_thread)
{
	struct io_uring_sqe sqe = { .opcode = IORING_OP_NOP };
	struct ring r;
	int i, res;

	REQUIRE_ARMED();
	REQUIRE_RING(&r, IORING_SETUP_SQPOLL);
	for (i = 0; i < 10; i++) {
		ring_submit(&r, &sqe);
		/* Wakes the thread if it sleeps. */
		EXPECT_LE(0, syscall(SYS_io_uring_enter, r.fd, 1, 0,
				     IORING_ENTER_SQ_WAKEUP, NULL, 0));
		ASSERT_TRUE(ring_complete(&r, &res));
		EXPECT_EQ(0, res);
		EXPECT_EQ(1, sud_probe());
	}
}

/*
 * L2: exec. Each variant arms the calling thread in another way. With no
 * selector, a call is dispatched if the new program keeps any state. With a
 * selector address that the new program lacks, that program is killed.
 */
FIXTURE(exec) {
	volatile uint8_t *selector;
};

FIXTURE_VARIANT(exec) {
	bool has_selector;
};

FIXTURE_VARIANT_ADD(exec, no_selector) { false };
FIXTURE_VARIANT_ADD(exec, selector) { true };

FIXTURE_SETUP(exec)
{
	ASSERT_TRUE(sud_setup());
	if (variant->has_selector) {
		self->selector = mmap((void *)0x80000, sysconf(_SC_PAGESIZE),
				      PROT_READ | PROT_WRITE, MAP_PRIVATE |
				      MAP_ANONYMOUS | MAP_FIXED_NOREPLACE,
				      -1, 0);
		ASSERT_EQ((void *)0x80000, self->selector);
		*self->selector = SUD_BLOCK;
	}
}

FIXTURE_TEARDOWN(exec)
{
}

#define REQUIRE_EXEC() do {						\
	SUD_REQUIRE();							\
	ASSERT_TRUE(find_probe()) {					\
		TH_LOG("no probe" SUD_SUFFIX " beside this program");	\
	}								\
} while (0)

/* Arm as the variant says, directly before the exec. */
struct exec_args {
	const volatile uint8_t *selector;
	const char *path;
};

static int arm_for_exec(const struct exec_args *args)
{
	if (sud_arm_native(args->selector))
		return 1;
	return sud_probe() == 1 ? 0 : 2;
}

static int exec_child(void *arg)
{
	struct exec_args *args = arg;

	if (arm_for_exec(args))
		return 1;
	execve(args->path, ARGV(args->path), environ);
	return 2;
}

TEST_F(exec, L2_execve)
{
	struct exec_args args = { self->selector, probe_path };

	REQUIRE_EXEC();
	EXPECT_EXEC_OFF(sud_run_child(exec_child, &args), 0);
}

/* The new program can arm itself, so the probe does not always answer "off". */
TEST_F(exec, L2_new_program_can_be_armed)
{
	REQUIRE_EXEC();
	EXPECT_EQ(0, sud_arm_native(self->selector));
	EXPECT_EQ(1, sud_probe());
	EXPECT_EQ(0, sud_off());
	EXPECT_EQ(0, sud_probe());
}

static int execveat_child(void *arg)
{
	struct exec_args *args = arg;
	int fd = open(args->path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || arm_for_exec(args))
		return 1;
	syscall(SYS_execveat, fd, "", ARGV(args->path), environ, AT_EMPTY_PATH);
	return 2;
}

TEST_F(exec, L2_execveat)
{
	struct exec_args args = { self->selector, probe_path };

	REQUIRE_EXEC();
	EXPECT_EXEC_OFF(sud_run_child(execveat_child, &args), 0);
}

/* Foreign code makes the call, and the handler runs it again. */
static int foreign_exec_child(void *arg)
{
	struct exec_args *args = arg;

	sud_selector = SUD_BLOCK;
	if (sud_arm_native(&sud_selector))
		return 1;
	sud_hook = sud_hook_rerun;
	sud_foreign_call(SYS_execve, SUD_PTR(args->path),
			 SUD_PTR(ARGV(args->path)), SUD_PTR(environ), 0, 0, 0);
	return 2;
}

TEST_F(creator, L2_execve_by_foreign_code)
{
	struct exec_args args = { NULL, probe_path };

	REQUIRE_PROBE();
	EXPECT_EXEC_OFF(sud_run_child(foreign_exec_child, &args), 0);
}

/* The thread takes the place of the leader, which is armed, too. */
static void *exec_thread(void *arg)
{
	_exit(exec_child(arg));
}

static int thread_exec_child(void *arg)
{
	struct exec_args *args = arg;
	pthread_t thread;

	if (arm_for_exec(args))
		return 1;
	if (pthread_create(&thread, NULL, exec_thread, arg))
		return 1;
	pthread_join(thread, NULL);
	return 2;
}

TEST_F(exec, L2_non_leader_thread)
{
	struct exec_args args = { self->selector, probe_path };

	REQUIRE_EXEC();
	EXPECT_EXEC_OFF(sud_run_child(thread_exec_child, &args), 0);
}

/* Only the leader is armed, and it has exited when the thread executes. */
static void *plain_exec_thread(void *arg)
{
	struct exec_args *args = arg;

	execve(args->path, ARGV(args->path), environ);
	_exit(2);
}

static int leader_armed_child(void *arg)
{
	pthread_t thread;

	if (arm_for_exec(arg))
		return 1;
	if (pthread_create(&thread, NULL, plain_exec_thread, arg))
		return 1;
	pthread_join(thread, NULL);
	return 2;
}

TEST_F(exec, L2_thread_of_armed_leader)
{
	struct exec_args args = { self->selector, probe_path };

	REQUIRE_EXEC();
	EXPECT_EXEC_OFF(sud_run_child(leader_armed_child, &args), 0);
}

/* Files that tests execute, in their own directory. */
struct scratch {
	char dir[32];
	char file[64];
};

static bool scratch_make(struct scratch *s)
{
	strcpy(s->dir, "/tmp/sud.XXXXXX");
	if (!mkdtemp(s->dir) || chmod(s->dir, 0755))
		return false;
	snprintf(s->file, sizeof(s->file), "%s/file", s->dir);
	return true;
}

static void scratch_remove(struct scratch *s)
{
	unlink(s->file);
	rmdir(s->dir);
}

static bool scratch_write(struct scratch *s, const void *data, size_t size,
			  mode_t mode)
{
	int fd = open(s->file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	bool ok = fd >= 0 && write(fd, data, size) == (ssize_t)size &&
		  fchmod(fd, mode) == 0;

	if (fd >= 0)
		close(fd);
	return ok;
}

static bool scratch_copy_probe(struct scratch *s, mode_t mode)
{
	int fd = open(probe_path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	bool ok;
	void *p;

	if (fd < 0 || fstat(fd, &st))
		return false;
	p = mmap(NULL, st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	ok = p != MAP_FAILED && scratch_write(s, p, st.st_size, mode);
	close(fd);
	return ok;
}

static int setuid_exec_child(void *arg)
{
	if (setgroups(0, NULL) || setresgid(NOBODY, NOBODY, NOBODY) ||
	    setresuid(NOBODY, NOBODY, NOBODY))
		return 1;
	return exec_child(arg);
}

TEST_F(exec, L2_setuid_exec)
{
	struct scratch s;
	struct exec_args args = { self->selector, s.file };
	struct statvfs fs;
	int status;

	REQUIRE_EXEC();
	if (geteuid())
		SKIP(return, "needs root, for a set-user-ID program");
	if (statvfs("/tmp", &fs) || fs.f_flag & (ST_NOSUID | ST_NOEXEC))
		SKIP(return, "/tmp is mounted nosuid or noexec");

	ASSERT_TRUE(scratch_make(&s));
	EXPECT_TRUE(scratch_copy_probe(&s, 04755));
	status = sud_run_child(setuid_exec_child, &args);
	scratch_remove(&s);
	EXPECT_EXEC_OFF(status, SUD_PROBE_SETUID);
}

TEST_F(exec, L2_script)
{
	char line[PATH_MAX + 8];
	struct scratch s;
	struct exec_args args = { self->selector, s.file };
	int status;

	REQUIRE_EXEC();
	snprintf(line, sizeof(line), "#!%s\n", probe_path);
	/* The kernel reads no more than this of a first line. */
	ASSERT_GT(250, strlen(line));
	ASSERT_TRUE(scratch_make(&s));
	EXPECT_TRUE(scratch_write(&s, line, strlen(line), 0755));
	status = sud_run_child(exec_child, &args);
	scratch_remove(&s);
	EXPECT_EXEC_OFF(status, 0);
}

/* After a failed exec: armed as before, with the same selector and range. */
#define EXPECT_STILL_ARMED() do {					\
	sud_selector = SUD_BLOCK;					\
	EXPECT_EQ(1, sud_probe());					\
	sud_selector = SUD_ALLOW;					\
	EXPECT_EQ(0, sud_probe());					\
} while (0)

#define EXPECT_EXEC_FAILS(error, call) do {				\
	errno = 0;							\
	EXPECT_EQ(-1, call);						\
	EXPECT_EQ(error, errno);					\
	EXPECT_STILL_ARMED();						\
} while (0)

TEST_F(creator, L2_failed_ENOENT)
{
	REQUIRE_ARMED();
	EXPECT_EXEC_FAILS(ENOENT, execve("/nonexistent", ARGV("x"), environ));
	EXPECT_EXEC_FAILS(ENOENT, execve("", ARGV("x"), environ));
}

TEST_F(creator, L2_failed_EACCES)
{
	struct scratch s;

	REQUIRE_ARMED();
	ASSERT_TRUE(scratch_make(&s));
	EXPECT_TRUE(scratch_write(&s, "#!/bin/sh\n", 10, 0644));
	EXPECT_EXEC_FAILS(EACCES, execve(s.file, ARGV("x"), environ));
	EXPECT_EXEC_FAILS(EACCES, execve(s.dir, ARGV("x"), environ));
	scratch_remove(&s);
}

TEST_F(creator, L2_failed_ENOEXEC)
{
	struct scratch s;

	REQUIRE_ARMED();
	ASSERT_TRUE(scratch_make(&s));
	EXPECT_TRUE(scratch_write(&s, "\001\002garbage\377", 10, 0755));
	EXPECT_EXEC_FAILS(ENOEXEC, execve(s.file, ARGV("x"), environ));
	scratch_remove(&s);
}

/* An ELF file that ends after its header. */
TEST_F(creator, L2_failed_cut_short)
{
	struct scratch s;

	REQUIRE_PROBE();
	ASSERT_TRUE(scratch_make(&s));
	EXPECT_TRUE(scratch_copy_probe(&s, 0755));
	ASSERT_EQ(0, truncate(s.file, 70));
	errno = 0;
	EXPECT_EQ(-1, execve(s.file, ARGV("x"), environ));
	EXPECT_TRUE(errno == ENOEXEC || errno == EIO);
	EXPECT_STILL_ARMED();
	scratch_remove(&s);
}

TEST_F(creator, L2_failed_no_interpreter)
{
	struct scratch s;

	REQUIRE_ARMED();
	ASSERT_TRUE(scratch_make(&s));
	EXPECT_TRUE(scratch_write(&s, "#!/nonexistent\n", 15, 0755));
	EXPECT_EXEC_FAILS(ENOENT, execve(s.file, ARGV("x"), environ));
	scratch_remove(&s);
}

TEST_F(creator, L2_failed_E2BIG)
{
	/* More than one argument may be long: 32 pages. */
	size_t size = 33 * sysconf(_SC_PAGESIZE);
	char *big = malloc(size);
	char *argv[] = { probe_path, big, NULL };

	REQUIRE_PROBE();
	ASSERT_NE(NULL, big);
	memset(big, 'x', size - 1);
	big[size - 1] = '\0';
	EXPECT_EXEC_FAILS(E2BIG, execve(probe_path, argv, environ));
}

TEST_F(creator, L2_failed_EFAULT)
{
	REQUIRE_PROBE();
	EXPECT_EXEC_FAILS(EFAULT, syscall(SYS_execve, 1L, NULL, NULL));
	EXPECT_EXEC_FAILS(EFAULT, syscall(SYS_execve, probe_path, 1L, NULL));
}

TEST_F(creator, L2_failed_execveat)
{
	REQUIRE_ARMED();
	EXPECT_EXEC_FAILS(EBADF, syscall(SYS_execveat, 9999, "", ARGV("x"),
					 environ, AT_EMPTY_PATH));
	EXPECT_EXEC_FAILS(EINVAL, syscall(SYS_execveat, AT_FDCWD, "x", ARGV("x"),
					  environ, 0x40000000));
}

/* From a thread: neither the thread nor the leader changes. */
static void *failing_thread(void *arg)
{
	if (sud_arm_native(&sud_selector))
		return NULL;
	if (execve("/nonexistent", ARGV("x"), environ) == -1)
		thread_verdict = verdict();
	return NULL;
}

TEST_F(creator, L2_failed_in_thread)
{
	pthread_t thread;

	REQUIRE_ARMED();
	thread_verdict = 0;
	ASSERT_EQ(0, pthread_create(&thread, NULL, failing_thread, NULL));
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_EQ(IS_ARMED, thread_verdict);
}

/*
 * L3: off means zero. An ordinary program can only see that no part of the
 * earlier configuration has an effect.
 */
static uint8_t *own_page(void)
{
	void *p = mmap(NULL, sysconf(_SC_PAGESIZE), PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

/*
 * Armed with no selector: every call is dispatched, at any old selector byte.
 */
static int armed_with_nothing(void *arg)
{
	uint8_t *old = arg;
	long ret;

	*old = SUD_ALLOW;
	sud_hook = sud_hook_last;
	if (sud_arm(SUD_EXCL, 0, 0, NULL))
		return 1;
	ret = syscall(SYS_close, -1);
	return ret == -1 ? 2 : 3;
}

TEST_F(creator, L3_off_forgets_range_and_selector)
{
	uint8_t *old = own_page();
	int status;

	REQUIRE_ARMED();
	ASSERT_NE(NULL, old);
	*old = SUD_BLOCK;
	ASSERT_EQ(0, sud_arm_native(old));
	EXPECT_EQ(1, sud_probe());
	ASSERT_EQ(0, sud_off());
	EXPECT_EQ(0, sud_probe());

	status = sud_run_child(armed_with_nothing, old);
	EXPECT_TRUE(sud_killed(status, SIGSYS)) {
		TH_LOG("wait status %#x", status);
	}

	/*
	 * In the same thread: neither the old byte nor the old range has an
	 * effect.
	 */
	*old = SUD_ALLOW;
	ASSERT_EQ(0, sud_arm(SUD_EXCL, SUD_NATIVE_OFFSET, SUD_NATIVE_LENGTH,
			     NULL));
	EXPECT_EQ(1, sud_probe());
	ASSERT_EQ(0, sud_off());
	*old = SUD_BLOCK;
	ASSERT_EQ(0, sud_arm(SUD_EXCL, 0, SUD_UWORD_MAX, NULL));
	EXPECT_EQ(0, sud_probe());
	ASSERT_EQ(0, sud_off());

	/* Nothing reads the old byte, so it can be unmapped. */
	ASSERT_EQ(0, munmap(old, sysconf(_SC_PAGESIZE)));
	EXPECT_EQ(0, sud_probe());
	ASSERT_EQ(0, sud_arm_native(&sud_selector));
}

static int fork_forgets(void *arg)
{
	uint8_t *old = arg;

	/*
	 * The parent's selector is unmapped: a read of it would end the
	 * process.
	 */
	if (munmap(old, sysconf(_SC_PAGESIZE)))
		return 1;
	if (sud_probe() != 0)
		return IS_STRANGE;
	sud_selector = SUD_ALLOW;
	if (sud_arm_native(NULL) || sud_probe() != 1 || sud_off())
		return 2;
	return verdict();
}

TEST_F(creator, L3_fork_forgets_selector)
{
	uint8_t *old = own_page();

	REQUIRE_ARMED();
	ASSERT_NE(NULL, old);
	*old = SUD_BLOCK;
	ASSERT_EQ(0, sud_arm_native(old));
	EXPECT_OFF(sud_run_child(fork_forgets, old));
	EXPECT_EQ(1, sud_probe());
	ASSERT_EQ(0, sud_arm_native(&sud_selector));
}

/* L4: until it executes or exits, a vfork child shares the parent's memory. */
TEST_F(creator, L4_vfork_child_flips_byte)
{
	pid_t pid;

	REQUIRE_ARMED();
	sud_selector = SUD_ALLOW;
	EXPECT_EQ(0, sud_probe());
	pid = vfork();
	if (pid == 0) {
		sud_selector = SUD_BLOCK;
		_exit(verdict());
	}
	/* Check before this process writes to the byte. */
	EXPECT_EQ(1, sud_probe());
	ASSERT_LT(0, pid);
	EXPECT_OFF(wait_for(pid));

	pid = vfork();
	if (pid == 0) {
		sud_selector = SUD_ALLOW;
		_exit(verdict());
	}
	EXPECT_EQ(0, sud_probe());
	ASSERT_LT(0, pid);
	EXPECT_OFF(wait_for(pid));
}

/* In contrast, a fork child flips its own copy. */
static int flip_copy(void *arg)
{
	sud_selector = SUD_ALLOW;
	return verdict();
}

TEST_F(creator, L4_fork_child_flips_its_copy_only)
{
	REQUIRE_ARMED();
	EXPECT_OFF(sud_run_child(flip_copy, NULL));
	EXPECT_EQ(1, sud_probe());
}

TEST_HARNESS_MAIN
