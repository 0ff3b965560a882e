// SPDX-License-Identifier: GPL-2.0
/*
 * Selectors that end the process: rules F1 to F4.
 */
#define _GNU_SOURCE
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <sched.h>
#include <sys/ptrace.h>
#include <sys/user.h>

#include "sud_asleep.h"
#include "sud_core.h"
#include "sud_killed.h"
#include "sud_uffd.h"

#include "sud_harness.h"

/* The results of the process under test, in shared memory. */
struct shared {
	volatile int started;
	/* the call returned: it ran, or was dispatched */
	volatile int returned;
	/* a handler of SIGSYS or SIGSEGV ran */
	volatile int handled;
	/* of a child, if the test needs it */
	volatile pid_t pid;
};

static struct shared *shared;
static size_t page;

enum selector {
	SEL_BYTE_2, SEL_BYTE_3, SEL_BYTE_7F, SEL_BYTE_80, SEL_BYTE_F2,
	SEL_BYTE_FF,
	SEL_UNMAPPED, SEL_PROT_NONE, SEL_PAST_EOF, SEL_PKEY,
};

/* The state of both signals in the process under test. */
enum state { STATE_DEFAULT, STATE_HANDLED, STATE_BLOCKED, STATE_IGNORED };

static void *map(int prot)
{
	return mmap(NULL, page, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

/* A protection key, or -1 if there are none. */
static int pkey(void)
{
	return syscall(SYS_pkey_alloc, 0UL, 1UL /* PKEY_DISABLE_ACCESS */);
}

/* A selector of that kind, or NULL if it is not available. */
static volatile uint8_t *make_selector(enum selector kind)
{
	static const uint8_t bytes[] = { 2, 3, 0x7f, 0x80, 0xf2, 0xff };
	uint8_t *p;
	int fd, key;

	switch (kind) {
	case SEL_UNMAPPED:
		p = map(PROT_READ);
		if (p == MAP_FAILED || munmap(p, page))
			return NULL;
		return p;
	case SEL_PROT_NONE:
		p = map(PROT_NONE);
		return p == MAP_FAILED ? NULL : p;
	case SEL_PAST_EOF:
		fd = syscall(SYS_memfd_create, "selector", 0);
		if (fd < 0 || ftruncate(fd, page))
			return NULL;
		p = mmap(NULL, 2 * page, PROT_READ, MAP_SHARED, fd, 0);
		return p == MAP_FAILED ? NULL : p + page;
	case SEL_PKEY:
		p = map(PROT_READ | PROT_WRITE);
		key = pkey();
		if (p == MAP_FAILED || key < 0)
			return NULL;
		*p = SUD_ALLOW;
		if (syscall(SYS_pkey_mprotect, p, page, PROT_READ | PROT_WRITE,
			    key))
			return NULL;
		return p;
	default:
		p = map(PROT_READ | PROT_WRITE);
		if (p == MAP_FAILED)
			return NULL;
		*p = bytes[kind];
		return p;
	}
}

static int expected_signal(enum selector kind)
{
	return kind < SEL_UNMAPPED ? SIGSYS : SIGSEGV;
}

static void handler(int sig, siginfo_t *info, void *context)
{
	shared->handled = 1;
}

static bool set_state(enum state state)
{
	static const int signals[] = { SIGSYS, SIGSEGV };
	struct sigaction act = { };
	sigset_t set;
	int i;

	act.sa_flags = SA_SIGINFO | SA_NODEFER;
	act.sa_sigaction = handler;
	if (state == STATE_DEFAULT || state == STATE_IGNORED) {
		act.sa_flags = 0;
		act.sa_handler = state == STATE_DEFAULT ? SIG_DFL : SIG_IGN;
	}
	sigemptyset(&set);
	for (i = 0; i < 2; i++) {
		sigaddset(&set, signals[i]);
		if (sigaction(signals[i], &act, NULL))
			return false;
	}
	return state != STATE_BLOCKED ||
	       !pthread_sigmask(SIG_BLOCK, &set, NULL);
}

struct doom {
	enum selector kind;
	enum state state;
};

/* The number of the call that meets the bad selector. */
#define FATAL_NR SUD_NR(12345)

static int doomed(void *arg)
{
	struct doom *doom = arg;
	volatile uint8_t *selector = make_selector(doom->kind);

	if (!selector || !set_state(doom->state))
		return 2;
	if (sud_arm_native(selector))
		return 3;
	/* Exempt calls do not read it. */
	if (getpid() <= 0)
		return 4;
	shared->started = 1;
	sud_foreign_call(FATAL_NR, 1, 2, 3, 4, 5, 6);
	shared->returned = 1;
	return 5;
}

static bool setup(void)
{
	page = sysconf(_SC_PAGESIZE);
	shared = mmap(NULL, page, PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return shared != MAP_FAILED && sud_setup();
}

/* ---- F1, F2: the signal ---- */

FIXTURE(bad)
{
	struct doom doom;
	int sig;
};

FIXTURE_VARIANT(bad)
{
	enum selector kind;
};

FIXTURE_VARIANT_ADD(bad, F1_byte_2) { .kind = SEL_BYTE_2 };
FIXTURE_VARIANT_ADD(bad, F1_byte_3) { .kind = SEL_BYTE_3 };
FIXTURE_VARIANT_ADD(bad, F1_byte_0x7f) { .kind = SEL_BYTE_7F };
FIXTURE_VARIANT_ADD(bad, F1_byte_0x80) { .kind = SEL_BYTE_80 };
/* The low byte of -EFAULT. */
FIXTURE_VARIANT_ADD(bad, F1_byte_0xf2) { .kind = SEL_BYTE_F2 };
FIXTURE_VARIANT_ADD(bad, F1_byte_0xff) { .kind = SEL_BYTE_FF };
FIXTURE_VARIANT_ADD(bad, F2_unmapped) { .kind = SEL_UNMAPPED };
FIXTURE_VARIANT_ADD(bad, F2_prot_none) { .kind = SEL_PROT_NONE };
FIXTURE_VARIANT_ADD(bad, F2_past_end_of_file) { .kind = SEL_PAST_EOF };
FIXTURE_VARIANT_ADD(bad, F2_protection_key) { .kind = SEL_PKEY };

FIXTURE_SETUP(bad)
{
	SUD_REQUIRE_SETUP();
	ASSERT_TRUE(setup());
	if (variant->kind == SEL_PKEY && pkey() < 0)
		SUD_SKIP_SETUP("no protection keys on this processor");
	ASSERT_EQ(0, sud_core_limit(false));
	self->doom.kind = variant->kind;
	self->sig = expected_signal(variant->kind);
}

FIXTURE_TEARDOWN(bad)
{
}

static void check_doom(struct __test_metadata *_metadata, int status, int sig)
{
	EXPECT_TRUE(sud_killed(status, sig)) {
		TH_LOG("status %#x instead of signal %d", status, sig);
	}
	EXPECT_EQ(1, shared->started);
	EXPECT_EQ(0, shared->returned);
	EXPECT_EQ(0, shared->handled);
}

TEST_F(bad, F1_F2_ends_process)
{
	int status = sud_run_child(doomed, &self->doom);

	check_doom(_metadata, status, self->sig);
	EXPECT_FALSE(WCOREDUMP(status));
}

/* ---- F3: uncatchable in every state of the signals ---- */

TEST_F(bad, F3_with_handler)
{
	self->doom.state = STATE_HANDLED;
	check_doom(_metadata, sud_run_child(doomed, &self->doom), self->sig);
}

TEST_F(bad, F3_blocked)
{
	self->doom.state = STATE_BLOCKED;
	check_doom(_metadata, sud_run_child(doomed, &self->doom), self->sig);
}

TEST_F(bad, F3_ignored)
{
	self->doom.state = STATE_IGNORED;
	check_doom(_metadata, sud_run_child(doomed, &self->doom), self->sig);
}

static void *sleeping_thread(void *arg)
{
	for (;;)
		pause();
	return NULL;
}

static void *spinning_thread(void *arg)
{
	for (;;)
		__asm__ volatile("" ::: "memory");
	return NULL;
}

static void *doomed_thread(void *arg)
{
	_exit(doomed(arg));
	return NULL;
}

/* The leader and another thread sleep. A third thread makes the call. */
static int doomed_nonleader(void *arg)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, sleeping_thread, NULL) ||
	    pthread_create(&thread, NULL, spinning_thread, NULL) ||
	    pthread_create(&thread, NULL, doomed_thread, arg))
		return 90;
	sleeping_thread(NULL);
	return 91;
}

TEST_F(bad, F3_from_other_thread)
{
	enum state state;

	for (state = STATE_DEFAULT; state <= STATE_IGNORED; state++) {
		memset(shared, 0, sizeof(*shared));
		self->doom.state = state;
		check_doom(_metadata, sud_run_child(doomed_nonleader,
						    &self->doom), self->sig);
	}
}

static void *doomed_nonleader_thread(void *arg)
{
	_exit(doomed_nonleader(arg));
	return NULL;
}

/* The leader has already exited. */
static int doomed_after_leader(void *arg)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, doomed_nonleader_thread, arg))
		return 90;
	syscall(SYS_exit, 92);
	return 91;
}

TEST_F(bad, F3_from_other_thread_after_leader)
{
	self->doom.state = STATE_HANDLED;
	check_doom(_metadata, sud_run_child(doomed_after_leader, &self->doom),
		   self->sig);
}

/*
 * Without a core dump, the dump does not end the other threads. An alarm ends
 * those that are left.
 */
static int doomed_undumpable(void *arg)
{
	if (prctl(PR_SET_DUMPABLE, 0UL, 0UL, 0UL, 0UL))
		return 89;
	alarm(10 * sud_slow());
	return doomed_nonleader(arg);
}

TEST_F(bad, F1_F2_F3_from_other_thread_without_core)
{
	check_doom(_metadata, sud_run_child(doomed_undumpable, &self->doom),
		   self->sig);
}

static int (*init_fn)(void *arg);

/* The exit status is the signal. */
static int make_init(void *arg)
{
	int status;

	if (unshare(CLONE_NEWPID))
		return 77;
	status = sud_run_child(init_fn, arg);
	return status != -1 && WIFSIGNALED(status) ? WTERMSIG(status) : 78;
}

TEST_F(bad, F3_init_of_pid_namespace)
{
	static int (*const fns[])(void *arg) = { doomed, doomed_nonleader };
	enum state state;
	int status, i;

	for (i = 0; i < 2; i++) {
		init_fn = fns[i];
		for (state = STATE_DEFAULT; state <= STATE_IGNORED; state++) {
			memset(shared, 0, sizeof(*shared));
			self->doom.state = state;
			status = sud_run_child(make_init, &self->doom);
			if (sud_exited(status, 77))
				SKIP(return, "no new pid namespace");
			EXPECT_TRUE(sud_exited(status, self->sig)) {
				TH_LOG("status %#x", status);
			}
			EXPECT_EQ(1, shared->started);
			EXPECT_EQ(0, shared->returned);
			EXPECT_EQ(0, shared->handled);
		}
	}
}

static int doomed_traced(void *arg)
{
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL))
		return 90;
	raise(SIGSTOP);
	return doomed(arg);
}

/*
 * A tracer cannot save the tracee by suppressing signals. It sees the exit
 * event with the status. (The rule does not say whether it sees the signal
 * before that.)
 */
TEST_F(bad, F3_F4_traced)
{
	long flags = PTRACE_O_TRACEEXIT | PTRACE_O_EXITKILL;
	int status, event, exits = 0, stops = 0;
	unsigned long message = 0;
	pid_t pid;

	self->doom.state = STATE_HANDLED;
	pid = fork();
	ASSERT_LE(0, pid);
	if (pid == 0)
		_exit(doomed_traced(&self->doom));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_TRUE(WIFSTOPPED(status));
	ASSERT_EQ(0, ptrace(PTRACE_SETOPTIONS, pid, NULL, flags));
	do {
		ASSERT_GT(10, stops++);
		ASSERT_EQ(0, ptrace(PTRACE_CONT, pid, NULL, NULL));
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		if (!WIFSTOPPED(status))
			break;
		event = status >> 16;
		if (event == PTRACE_EVENT_EXIT) {
			exits++;
			ASSERT_EQ(0, ptrace(PTRACE_GETEVENTMSG, pid, NULL,
					    &message));
		}
	} while (1);
	check_doom(_metadata, status, self->sig);
	EXPECT_EQ(1, exits);
	EXPECT_EQ(self->sig, message & 0x7f);
}

/* ---- F4: the core ---- */

struct core {
	bool found;
	short cursig;
	struct user_regs_struct regs;
	siginfo_t info;
	unsigned int threads;
};

/*
 * In each ABI, the process status is three ints, the current signal as a
 * short, other fields, the registers, and an int that is padded to a
 * register's size. (In x32 the C library's structure differs from the
 * kernel's.)
 */
static bool read_prstatus(int fd, off_t at, size_t size, struct core *core)
{
	off_t regs = at + size - sizeof(sud_word) - sizeof(core->regs);

	return pread(fd, &core->cursig, sizeof(core->cursig),
		     at + 3 * sizeof(int)) == sizeof(core->cursig) &&
	       pread(fd, &core->regs, sizeof(core->regs), regs) ==
	       sizeof(core->regs);
}

/* Read the notes of a core file. The first thread is the one that dumped. */
static void read_core(const char *name, struct core *core)
{
	int fd = open(name, O_RDONLY | O_CLOEXEC);
	ElfW(Ehdr) ehdr;
	ElfW(Phdr) phdr;
	ElfW(Nhdr) nhdr;
	off_t at, desc, end;
	int i;

	if (fd < 0)
		return;
	if (pread(fd, &ehdr, sizeof(ehdr), 0) != sizeof(ehdr))
		goto out;
	for (i = 0; i < ehdr.e_phnum; i++) {
		if (pread(fd, &phdr, sizeof(phdr), ehdr.e_phoff +
			  i * sizeof(phdr)) != sizeof(phdr))
			goto out;
		if (phdr.p_type != PT_NOTE)
			continue;
		end = phdr.p_offset + phdr.p_filesz;
		for (at = phdr.p_offset; at < end;
		     at += ((nhdr.n_namesz + 3) & ~3) +
			   ((nhdr.n_descsz + 3) & ~3)) {
			if (pread(fd, &nhdr, sizeof(nhdr), at) != sizeof(nhdr))
				goto out;
			at += sizeof(nhdr);
			desc = at + ((nhdr.n_namesz + 3) & ~3);
			if (nhdr.n_type == NT_PRSTATUS && !core->threads++)
				core->found = read_prstatus(fd, desc,
							    nhdr.n_descsz,
							    core);
			if (nhdr.n_type == NT_SIGINFO &&
			    pread(fd, &core->info, sizeof(core->info),
				  desc) < 0)
				goto out;
		}
	}
out:
	close(fd);
}

FIXTURE(core)
{
	struct sud_core core;
	struct doom doom;
	int sig;
};

FIXTURE_VARIANT(core)
{
	enum selector kind;
};

FIXTURE_VARIANT_ADD(core, byte) { .kind = SEL_BYTE_2 };
FIXTURE_VARIANT_ADD(core, unmapped) { .kind = SEL_UNMAPPED };

FIXTURE_SETUP(core)
{
	SUD_REQUIRE_SETUP();
	ASSERT_TRUE(setup());
	ASSERT_EQ(0, sud_core_limit(true));
	self->doom.kind = variant->kind;
	self->doom.state = STATE_HANDLED;
	self->sig = expected_signal(variant->kind);
}

FIXTURE_TEARDOWN(core)
{
}

static void dump(struct __test_metadata *_metadata, struct sud_core *c,
		 int (*fn)(void *arg), void *arg, int *status,
		 struct core *core)
{
	const char *name;
	int err;

	memset(core, 0, sizeof(*core));
	err = sud_core_begin(c);
	if (err)
		SKIP(_exit(255), "core_pattern cannot be set: %s",
		     strerror(-err));
	*status = sud_run_child(fn, arg);
	name = sud_core_find(c);
	if (name)
		read_core(name, core);
	sud_core_end(c);
	ASSERT_NE(NULL, name) {
		TH_LOG("no core, status %#x", *status);
	}
	ASSERT_TRUE(core->found);
}

static void check_core(struct __test_metadata *_metadata, struct core *core,
		       int status, int sig)
{
	struct user_regs_struct *regs = &core->regs;
	unsigned int i;

	check_doom(_metadata, status, sig);
	EXPECT_TRUE(WCOREDUMP(status));
	/* The registers are those at the instruction, before the entry. */
	EXPECT_EQ(sud_foreign_ip(), SUD_USER_IP(regs));
	EXPECT_EQ(FATAL_NR, SUD_USER_RET(regs));
	EXPECT_EQ(FATAL_NR, SUD_USER_NR(regs));
	for (i = 1; i <= 6; i++)
		EXPECT_EQ(i, sud_user_arg(regs, i));
	EXPECT_EQ(sig, core->cursig);
	EXPECT_EQ(sig, core->info.si_signo);
	EXPECT_EQ(SI_KERNEL, core->info.si_code);
	EXPECT_EQ(0, core->info.si_errno);
}

TEST_F(core, F4_registers_and_siginfo)
{
	struct core core;
	int status;

	dump(_metadata, &self->core, doomed, &self->doom, &status, &core);
	check_core(_metadata, &core, status, self->sig);
	EXPECT_EQ(1, core.threads);
}

TEST_F(core, F4_from_other_thread)
{
	struct core core;
	int status;

	dump(_metadata, &self->core, doomed_nonleader, &self->doom, &status,
	     &core);
	check_core(_metadata, &core, status, self->sig);
	EXPECT_EQ(4, core.threads);
}

/* ---- F4: several threads meet the bad selector at the same time ---- */

/* In addition to the first thread, which is not armed. */
#define THREADS	8

#define ROUNDS	40

enum crowd {
	/* one of the running threads writes a bad byte, or unmaps it */
	CROWD_BYTE, CROWD_UNMAPPED,
	/*
	 * all threads sleep in the read of the selector, which gets a bad byte
	 */
	CROWD_ASLEEP,
};

/* The state of the process under test. */
static struct {
	enum crowd kind;
	pthread_barrier_t armed;
	struct sud_uffd u;
	volatile uint8_t *selector;
	volatile pid_t tid[THREADS];
	/* the number of threads that are to make the selector bad */
	int culprits;
} crowd;

static void make_bad(void)
{
	if (crowd.kind == CROWD_BYTE)
		*crowd.selector = 9;
	else
		munmap((void *)crowd.selector, page);
}

static void *crowd_thread(void *arg)
{
	volatile pid_t *tid = arg;

	*tid = syscall(SYS_gettid);
	if (sud_arm_native(crowd.selector))
		_exit(80);
	pthread_barrier_wait(&crowd.armed);
	for (;;) {
		/*
		 * The next call of this thread races with those of the other
		 * threads.
		 */
		if (__atomic_exchange_n(&crowd.culprits, 0, __ATOMIC_SEQ_CST))
			make_bad();
		sud_foreign_call(SUD_NR_CLOSE, -1, 0, 0, 0, 0, 0);
	}
	return NULL;
}

static void wait_for_crowd(void *arg)
{
	unsigned int i;

	for (i = 0; i < THREADS; i++) {
		if (!sud_wait_asleep(crowd.tid[i], SUD_NR_CLOSE))
			_exit(81);
	}
}

/* Dump no memory, so that there is time for many rounds. */
static bool dump_notes_only(void)
{
	int fd = open("/proc/self/coredump_filter", O_WRONLY | O_CLOEXEC);
	bool ok = fd >= 0 && write(fd, "0", 1) == 1;

	close(fd);
	return ok;
}

static int doomed_crowd(void *arg)
{
	pthread_t thread;
	unsigned int i;

	crowd.kind = *(enum crowd *)arg;
	crowd.u.meanwhile = wait_for_crowd;
	crowd.u.byte = 9;
	if (crowd.kind == CROWD_ASLEEP && sud_uffd_open(&crowd.u))
		return 77;
	crowd.selector = crowd.u.page ?: map(PROT_READ | PROT_WRITE);
	if (crowd.selector == MAP_FAILED || !dump_notes_only() ||
	    !set_state(STATE_DEFAULT) ||
	    pthread_barrier_init(&crowd.armed, NULL, THREADS + 1))
		return 82;
	for (i = 0; i < THREADS; i++) {
		if (pthread_create(&thread, NULL, crowd_thread,
				   (void *)&crowd.tid[i]))
			return 83;
	}
	pthread_barrier_wait(&crowd.armed);
	shared->started = 1;
	if (crowd.kind != CROWD_ASLEEP)
		crowd.culprits = 1;
	else if (sud_uffd_thread(&crowd.u))
		return 84;
	sleeping_thread(NULL);
	return 85;
}

FIXTURE(crowd)
{
	struct sud_core core;
	enum crowd kind;
	int sig;
};

FIXTURE_VARIANT(crowd)
{
	enum crowd kind;
};

FIXTURE_VARIANT_ADD(crowd, byte) { .kind = CROWD_BYTE };
FIXTURE_VARIANT_ADD(crowd, unmapped) { .kind = CROWD_UNMAPPED };
FIXTURE_VARIANT_ADD(crowd, byte_after_sleep) { .kind = CROWD_ASLEEP };

FIXTURE_SETUP(crowd)
{
	struct sud_uffd u = {};
	int err;

	SUD_REQUIRE_SETUP();
	ASSERT_TRUE(setup());
	ASSERT_EQ(0, sud_core_limit(true));
	self->kind = variant->kind;
	self->sig = variant->kind == CROWD_UNMAPPED ? SIGSEGV : SIGSYS;
	if (variant->kind == CROWD_ASLEEP) {
		err = sud_uffd_open(&u);
		if (err)
			SUD_SKIP_SETUP("userfaultfd: %s", strerror(-err));
		sud_uffd_close(&u);
	}
}

FIXTURE_TEARDOWN(crowd)
{
}

TEST_F_TIMEOUT(crowd, F4_every_thread_is_in_the_core, 60)
{
	unsigned int i, least = -1, lacking = 0;
	struct core core;
	int status;

	for (i = 0; i < ROUNDS; i++) {
		memset(shared, 0, sizeof(*shared));
		dump(_metadata, &self->core, doomed_crowd, &self->kind,
		     &status, &core);
		check_doom(_metadata, status, self->sig);
		EXPECT_TRUE(WCOREDUMP(status));
		EXPECT_EQ(self->sig, core.cursig);
		if (core.threads != THREADS + 1)
			lacking++;
		if (core.threads < least)
			least = core.threads;
	}
	EXPECT_EQ(0, lacking) {
		TH_LOG("%u of %u cores lack threads; the worst has %u of %u",
		       lacking, ROUNDS, least, THREADS + 1);
	}
}

static int no_core_limit(void *arg)
{
	if (sud_core_limit(false))
		return 89;
	return doomed(arg);
}

TEST_F(core, F4_no_core_where_limits_forbid)
{
	const char *name;
	int status, err;

	err = sud_core_begin(&self->core);
	if (err)
		SKIP(return, "core_pattern cannot be set: %s", strerror(-err));
	status = sud_run_child(no_core_limit, &self->doom);
	name = sud_core_find(&self->core);
	sud_core_end(&self->core);
	check_doom(_metadata, status, self->sig);
	EXPECT_FALSE(WCOREDUMP(status));
	EXPECT_EQ(NULL, name);
}

/* ---- F4: the process counts as killed by a signal ---- */

/*
 * Each result is compared with that of a process killed by an ordinary signal.
 */
FIXTURE(killed)
{
	struct sud_core core;
	struct doom doom;
	int sig;
};

FIXTURE_VARIANT(killed)
{
	enum selector kind;
	bool core;
};

FIXTURE_VARIANT_ADD(killed, byte) { .kind = SEL_BYTE_2 };
FIXTURE_VARIANT_ADD(killed, byte_core) { .kind = SEL_BYTE_2, .core = true };
FIXTURE_VARIANT_ADD(killed, unmapped) { .kind = SEL_UNMAPPED };
FIXTURE_VARIANT_ADD(killed, unmapped_core)
{
	.kind = SEL_UNMAPPED,
	.core = true,
};

FIXTURE_SETUP(killed)
{
	int err;

	SUD_REQUIRE_SETUP();
	ASSERT_TRUE(setup());
	ASSERT_EQ(0, sud_core_limit(variant->core));
	self->doom.kind = variant->kind;
	self->doom.state = STATE_HANDLED;
	self->sig = expected_signal(variant->kind);
	err = sud_core_begin(&self->core);
	if (err)
		SUD_SKIP_SETUP("core_pattern cannot be set: %s",
			       strerror(-err));
}

FIXTURE_TEARDOWN(killed)
{
	sud_core_end(&self->core);
}

static int doomed_told(void *arg)
{
	shared->pid = getpid();
	return doomed(arg);
}

static int killed_told(void *arg)
{
	shared->pid = getpid();
	if (!set_state(STATE_DEFAULT))
		return 2;
	raise(*(int *)arg);
	return 3;
}

/* The bits that tell how the process ended. It need not have dumped core. */
#define ACCT_BITS	(ACORE | AXSIG)

static void account(struct __test_metadata *_metadata, int (*fn)(void *arg),
		    void *arg, int sig, struct acct_v3 *record)
{
	struct sud_acct acct;
	int status, err;

	err = sud_acct_begin(&acct);
	if (err)
		SKIP(_exit(255), "no process accounting: %s", strerror(-err));
	status = sud_run_child(fn, arg);
	err = sud_acct_end(&acct, shared->pid, record);
	if (err == -ENOTSUP)
		SKIP(_exit(255), "no process accounting with process IDs");
	EXPECT_TRUE(sud_killed(status, sig)) {
		TH_LOG("status %#x", status);
	}
	ASSERT_EQ(0, err);
}

TEST_F(killed, F4_accounting_records_the_signal)
{
	struct acct_v3 ordinary, record;

	account(_metadata, killed_told, &self->sig, self->sig, &ordinary);
	account(_metadata, doomed_told, &self->doom, self->sig, &record);
	EXPECT_EQ(ACCT_BITS, ordinary.ac_flag & ACCT_BITS);
	EXPECT_EQ(ACCT_BITS, record.ac_flag & ACCT_BITS);
	EXPECT_EQ(ordinary.ac_exitcode, record.ac_exitcode);
}

static void listen_to(struct __test_metadata *_metadata, int fd,
		      int (*fn)(void *arg), void *arg, int sig,
		      unsigned int *dumps, struct proc_event *end)
{
	int status = sud_run_child(fn, arg);

	EXPECT_TRUE(sud_killed(status, sig)) {
		TH_LOG("status %#x", status);
	}
	ASSERT_EQ(0, sud_events_end_of(fd, shared->pid, dumps, end));
}

TEST_F(killed, F4_connector_reports_the_core)
{
	unsigned int ordinary_dumps, dumps;
	struct proc_event ordinary, end;
	int fd;

	fd = sud_events_open();
	if (fd < 0)
		SKIP(return, "no process events: %s", strerror(-fd));
	listen_to(_metadata, fd, killed_told, &self->sig, self->sig,
		  &ordinary_dumps, &ordinary);
	listen_to(_metadata, fd, doomed_told, &self->doom, self->sig,
		  &dumps, &end);
	/* The event reports the attempt to dump: limits do not matter. */
	EXPECT_EQ(1, ordinary_dumps);
	EXPECT_EQ(1, dumps);
	EXPECT_EQ(ordinary.event_data.exit.exit_code,
		  end.event_data.exit.exit_code);
	EXPECT_EQ(ordinary.event_data.exit.exit_signal,
		  end.event_data.exit.exit_signal);
}

TEST_F(killed, F4_tracepoint_reports_the_signal)
{
	int fd, status;

	fd = sud_deliveries(self->sig);
	if (fd == -ENOENT || fd == -EACCES)
		SKIP(return, "no tracepoint for signals: %s", strerror(-fd));
	ASSERT_LE(0, fd);
	status = sud_run_child(killed_told, &self->sig);
	EXPECT_TRUE(sud_killed(status, self->sig));
	EXPECT_EQ(1, sud_perf_count(fd));
	status = sud_run_child(doomed_told, &self->doom);
	EXPECT_TRUE(sud_killed(status, self->sig));
	EXPECT_EQ(2, sud_perf_count(fd));
}

/* ---- F4: the dump and other processes that share the memory ---- */

static int ask[2], answer[2];

/* Answers once, if nothing ends it before. */
static int sharing(void *arg)
{
	char byte;

	close(ask[1]);
	close(answer[0]);
	return read(ask[0], &byte, 1) != 1 || write(answer[1], &byte, 1) != 1;
}

/* Another process shares the memory and outlives its parent. */
static bool start_sharing(void)
{
	static char stack[65536] __attribute__((aligned(16)));

	return clone(sharing, stack + sizeof(stack), CLONE_VM, NULL) > 0;
}

static int doomed_sharing(void *arg)
{
	return start_sharing() ? doomed(arg) : 90;
}

static int killed_sharing(void *arg)
{
	return start_sharing() ? killed_told(arg) : 90;
}

/*
 * Does the process that shares the memory run on after a dump?
 *
 * A kernel that ends it kills it before the dump is complete, so it cannot
 * answer.
 */
static bool sharer_answers(struct __test_metadata *_metadata,
			   struct sud_core *c, int (*fn)(void *arg), void *arg,
			   int *status, struct core *core)
{
	ssize_t bytes;
	char byte = 0;

	if (pipe(ask) || pipe(answer))
		return false;
	dump(_metadata, c, fn, arg, status, core);
	/* End of file: no process holds the other end of the pipe. */
	close(answer[1]);
	bytes = write(ask[1], &byte, 1);
	EXPECT_EQ(1, bytes);
	bytes = read(answer[0], &byte, 1);
	EXPECT_LE(0, bytes);
	close(answer[0]);
	close(ask[0]);
	close(ask[1]);
	return bytes == 1;
}

TEST_F(core, F4_processes_that_share_memory)
{
	bool ordinary;
	struct core core;
	int status;

	ordinary = sharer_answers(_metadata, &self->core, killed_sharing,
				  &self->sig, &status, &core);
	EXPECT_TRUE(sud_killed(status, self->sig));
	EXPECT_TRUE(WCOREDUMP(status));
	EXPECT_EQ(ordinary,
		  sharer_answers(_metadata, &self->core, doomed_sharing,
				 &self->doom, &status, &core)) {
		TH_LOG("a dump for another signal %s that process",
		       ordinary ? "spares" : "ends");
	}
	check_core(_metadata, &core, status, self->sig);
}

TEST_HARNESS_MAIN
