// SPDX-License-Identifier: GPL-2.0
/*
 * Syscall User Dispatch: the selector (rules S1 to S4).
 */
#define _GNU_SOURCE
#include "sud_asleep.h"
#include "sud_disk.h"
#include "sud_uffd.h"

#include <linux/fs.h>
#include <linux/hw_breakpoint.h>
#include <linux/perf_event.h>
#include <pthread.h>
#include <sched.h>
#include <time.h>

#include "sud_harness.h"

/* The bytes beside a selector: neither ALLOW nor BLOCK, so fatal if read. */
#define GARBAGE 0xa5

/* The number of rounds in tests that repeat a step. */
#define ROUNDS 300

static size_t page_size(void)
{
	return sysconf(_SC_PAGESIZE);
}

/* An anonymous private mapping, or NULL. */
static uint8_t *map_pages(int pages, int prot)
{
	void *p = mmap(NULL, pages * page_size(), prot,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

/* All native code is exempt, so a selector can be tested at both values. */
static void check_both_ways(struct __test_metadata *_metadata,
			    volatile uint8_t *selector)
{
	*selector = SUD_BLOCK;
	EXPECT_EQ(1, sud_probe());
	*selector = SUD_ALLOW;
	EXPECT_EQ(0, sud_probe());
	*selector = SUD_BLOCK;
	EXPECT_EQ(1, sud_probe());
	*selector = SUD_ALLOW;
}

FIXTURE(selector) {};

FIXTURE_SETUP(selector)
{
	ASSERT_TRUE(sud_setup());
}

FIXTURE_TEARDOWN(selector)
{
}

/*
 * S1: no selector. If native code is not exempt, the return from the handler
 * or the program's next call is dispatched, too. The child dies there, and its
 * results are in shared memory.
 */
FIXTURE(no_selector) {
	sud_uword offset, length;
};

FIXTURE_VARIANT(no_selector) {
	sud_uword op;
	/* 1 if the foreign instruction pointer is added to the value */
	int offset_at_ip, length_at_ip;
	sud_uword offset, length;
	bool foreign_runs, native_runs;
};

FIXTURE_SETUP(no_selector)
{
	unsigned long a = sud_foreign_ip();

	ASSERT_TRUE(sud_setup());
	self->offset = variant->offset + variant->offset_at_ip * a;
	self->length = variant->length + variant->length_at_ip * a;
}

FIXTURE_TEARDOWN(no_selector)
{
}

FIXTURE_VARIANT_ADD(no_selector, EXCL_nothing)
{ SUD_EXCL, 0, 0, 0, 0, false, false };
FIXTURE_VARIANT_ADD(no_selector, EXCL_below)
{ SUD_EXCL, 0, 1, 0, 0, false, false };
FIXTURE_VARIANT_ADD(no_selector, EXCL_native)
{ SUD_EXCL, 0, 0, SUD_NATIVE_OFFSET, SUD_NATIVE_LENGTH, false, true };
FIXTURE_VARIANT_ADD(no_selector, EXCL_foreign)
{ SUD_EXCL, 1, 0, 0, 1, true, false };
FIXTURE_VARIANT_ADD(no_selector, EXCL_everything)
{ SUD_EXCL, 0, 0, 0, SUD_UWORD_MAX, true, true };
FIXTURE_VARIANT_ADD(no_selector, INCL_foreign)
{ SUD_INCL, 1, 0, 0, 1, false, true };
FIXTURE_VARIANT_ADD(no_selector, INCL_native)
{ SUD_INCL, 0, 0, SUD_NATIVE_OFFSET, SUD_NATIVE_LENGTH, true, false };
FIXTURE_VARIANT_ADD(no_selector, INCL_everything)
{ SUD_INCL, 0, 0, 0, SUD_UWORD_MAX, false, false };
FIXTURE_VARIANT_ADD(no_selector, INCL_low)
{ SUD_INCL, 0, 0, 0, 1, true, true };

struct no_selector_report {
	sud_uword op, offset, length;
	/* The results of the child. */
	volatile int dispatched;
	volatile int nr;
	void *volatile call_addr;
	volatile long foreign, foreign_done;
};

static struct no_selector_report *report;

static void report_dispatch(siginfo_t *info, ucontext_t *uc)
{
	if (!report->dispatched++) {
		report->nr = info->si_syscall;
		report->call_addr = info->si_call_addr;
	}
	sud_hook_last(info, uc);
}

static int no_selector_child(void *arg)
{
	sud_hook = report_dispatch;
	if (sud_arm(report->op, report->offset, report->length, NULL))
		return 1;
	report->foreign = sud_foreign_call(SUD_NR_CLOSE, -1, 0, 0, 0, 0, 0);
	report->foreign_done = 1;
	return 0;
}

TEST_F(no_selector, S1_all_but_exempt_is_dispatched)
{
	int status;

	SUD_REQUIRE();
	if (variant->op == SUD_INCL)
		SUD_REQUIRE_INCLUSIVE();

	report = sud_share(sizeof(*report));
	ASSERT_NE(NULL, report);
	report->op = variant->op;
	report->offset = self->offset;
	report->length = self->length;
	status = sud_run_child(no_selector_child, NULL);

	if (variant->native_runs) {
		EXPECT_TRUE(sud_exited(status, 0)) {
			TH_LOG("wait status %#x", status);
		}
		EXPECT_EQ(1, report->foreign_done);
	} else {
		/* By its exit, or by the return from the handler. */
		EXPECT_TRUE(sud_killed(status, SIGSYS)) {
			TH_LOG("wait status %#x", status);
		}
		EXPECT_EQ(variant->foreign_runs || !SUD_SIGRETURN_DISPATCHED,
			  report->foreign_done);
		EXPECT_EQ(1, report->dispatched);
	}

	if (variant->foreign_runs) {
		EXPECT_EQ(-EBADF, report->foreign);
		EXPECT_NE((void *)sud_foreign_ip(), report->call_addr);
	} else {
		EXPECT_EQ(SUD_NR_CLOSE, report->nr);
		EXPECT_EQ((void *)sud_foreign_ip(), report->call_addr);
	}
}

TEST_F(selector, S1_no_byte_allows_without_a_selector)
{
	int i;

	SUD_REQUIRE();
	/* Neither the byte of the other tests nor address 0 matters. */
	sud_selector = SUD_ALLOW;
	ASSERT_EQ(0, sud_arm_native(NULL));
	for (i = 0; i < 10; i++)
		EXPECT_EQ(1, sud_probe());
	EXPECT_EQ(0, sud_off());
	EXPECT_EQ(0, sud_probe());
}

TEST_F(selector, S2_allow_runs)
{
	SUD_REQUIRE();
	ASSERT_EQ(0, sud_arm_native(&sud_selector));
	sud_selector = SUD_ALLOW;
	EXPECT_EQ(-EBADF, sud_foreign_call(SUD_NR_CLOSE, -1, 0, 0, 0, 0, 0));
	EXPECT_EQ(getpid(), sud_foreign_call(SYS_getpid, 0, 0, 0, 0, 0, 0));
	EXPECT_EQ(0, sud_count);
}

TEST_F(selector, S2_block_dispatches)
{
	int fds[2];

	SUD_REQUIRE();
	ASSERT_EQ(0, pipe(fds));
	ASSERT_EQ(0, sud_arm_native(&sud_selector));
	sud_selector = SUD_BLOCK;
	/* This call would succeed. It must not run, now or later. */
	EXPECT_EQ(SUD_NR_CLOSE,
		  sud_foreign_call(SUD_NR_CLOSE, fds[0], 0, 0, 0, 0, 0));
	EXPECT_EQ(1, sud_count);
	EXPECT_EQ(0, fcntl(fds[0], F_GETFD));
	sud_selector = SUD_ALLOW;
	EXPECT_EQ(0, fcntl(fds[0], F_GETFD));
	EXPECT_EQ(0, sud_foreign_call(SUD_NR_CLOSE, fds[0], 0, 0, 0, 0, 0));
	EXPECT_EQ(-1, fcntl(fds[0], F_GETFD));
	EXPECT_EQ(1, sud_count);
}

/* The kernel reads the byte anew for each call. */
TEST_F(selector, S2_each_call_reads_the_selector)
{
	int i;

	SUD_REQUIRE();
	ASSERT_EQ(0, sud_arm_native(&sud_selector));
	for (i = 0; i < ROUNDS; i++) {
		sud_selector = SUD_BLOCK;
		ASSERT_EQ(1, sud_probe());
		sud_selector = SUD_ALLOW;
		ASSERT_EQ(0, sud_probe());
	}
}

/* One byte, at any alignment, with any bytes beside it. */
TEST_F(selector, S2_one_byte_among_garbage)
{
	static uint8_t bytes[64];
	unsigned int i;

	SUD_REQUIRE();
	for (i = 16; i < 32; i++) {
		memset(bytes, GARBAGE, sizeof(bytes));
		bytes[i] = SUD_ALLOW;
		ASSERT_EQ(0, sud_arm_native(&bytes[i]));
		check_both_ways(_metadata, &bytes[i]);
		ASSERT_EQ(0, sud_off());
		/* The kernel does not write, either. */
		EXPECT_EQ(GARBAGE, bytes[i - 1]);
		EXPECT_EQ(SUD_ALLOW, bytes[i]);
		EXPECT_EQ(GARBAGE, bytes[i + 1]);
	}
}

TEST_F(selector, S2_last_byte_of_last_page)
{
	uint8_t *p = map_pages(2, PROT_READ | PROT_WRITE);
	uint8_t *last;

	SUD_REQUIRE();
	ASSERT_NE(NULL, p);
	memset(p, GARBAGE, page_size());
	ASSERT_EQ(0, munmap(p + page_size(), page_size()));
	last = p + page_size() - 1;
	*last = SUD_ALLOW;
	ASSERT_EQ(0, sud_arm_native(last));
	check_both_ways(_metadata, last);
}

TEST_F(selector, S2_last_byte_before_prot_none)
{
	uint8_t *p = map_pages(2, PROT_READ | PROT_WRITE);
	uint8_t *last;

	SUD_REQUIRE();
	ASSERT_NE(NULL, p);
	memset(p, GARBAGE, page_size());
	ASSERT_EQ(0, mprotect(p + page_size(), page_size(), PROT_NONE));
	last = p + page_size() - 1;
	*last = SUD_ALLOW;
	ASSERT_EQ(0, sud_arm_native(last));
	check_both_ways(_metadata, last);
}

TEST_F(selector, S2_first_byte_after_hole)
{
	uint8_t *p = map_pages(2, PROT_READ | PROT_WRITE);

	SUD_REQUIRE();
	ASSERT_NE(NULL, p);
	ASSERT_EQ(0, munmap(p, page_size()));
	p += page_size();
	memset(p, GARBAGE, page_size());
	*p = SUD_ALLOW;
	ASSERT_EQ(0, sud_arm_native(p));
	check_both_ways(_metadata, p);
}

/*
 * A hardware watchpoint counts how often the kernel touches the byte.
 *
 * Return: the event's file descriptor, or -1.
 */
static int watch_kernel_access(const volatile uint8_t *byte)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_BREAKPOINT,
		.size = sizeof(attr),
		.bp_type = HW_BREAKPOINT_RW,
		.bp_addr = (unsigned long)byte,
		.bp_len = HW_BREAKPOINT_LEN_1,
		.sample_period = 1,
		.exclude_user = 1,
	};

	return syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0);
}

static uint64_t watched(int fd)
{
	uint64_t count;

	return read(fd, &count, sizeof(count)) == sizeof(count) ? count : -1;
}

TEST_F(selector, S2_read_once_per_call)
{
	uint64_t before;
	int fd, i;

	SUD_REQUIRE();
	fd = watch_kernel_access(&sud_selector);
	if (fd < 0)
		SKIP(return, "no hardware watchpoint: %s", strerror(errno));

	/* Does the watchpoint see the kernel? Make the kernel read the byte. */
	before = watched(fd);
	i = memfd_create("sud", 0);
	ASSERT_LE(0, i);
	ASSERT_EQ(1, write(i, (void *)&sud_selector, 1));
	close(i);
	if (watched(fd) == before)
		SKIP(return, "the watchpoint does not see the kernel");

	/*
	 * Arming does not read it, and exempt calls such as these do not,
	 * either.
	 */
	before = watched(fd);
	ASSERT_EQ(0, sud_arm_native(&sud_selector));
	EXPECT_EQ(before, watched(fd));
	getppid();
	EXPECT_EQ(before, watched(fd));

	for (i = 0; i < 10; i++) {
		before = watched(fd);
		EXPECT_EQ(0, sud_probe());
		EXPECT_EQ(before + 1, watched(fd));
	}
	sud_selector = SUD_BLOCK;
	for (i = 0; i < 10; i++) {
		before = watched(fd);
		EXPECT_EQ(1, sud_probe());
		EXPECT_EQ(before + 1, watched(fd));
	}
	sud_selector = SUD_ALLOW;

	/* When dispatch is off, nothing reads it. */
	ASSERT_EQ(0, sud_off());
	before = watched(fd);
	EXPECT_EQ(0, sud_probe());
	EXPECT_EQ(before, watched(fd));
}

/* S3: pages that are not present yet. */
static bool is_present(const volatile void *addr)
{
	return sud_page_entry(addr) & SUD_PAGE_PRESENT;
}

/* Pages that a userfaultfd watches: the read sleeps until they are filled. */
#define OPEN_UFFD(u) do {						\
	int err__;							\
									\
	SUD_REQUIRE();							\
	err__ = sud_uffd_open(u);					\
	if (err__ == -ENOSYS || err__ == -EPERM)			\
		SKIP(return, "no userfaultfd: %s", strerror(-err__));	\
	ASSERT_EQ(0, err__);						\
} while (0)

/* Make one call whose read of the selector faults. Return: as sud_probe(). */
static int probe_missing(struct __test_metadata *_metadata, struct sud_uffd *u)
{
	const char *trouble;
	int ret;

	ASSERT_EQ(0, sud_uffd_start(u));
	ASSERT_FALSE(is_present(u->page));
	ret = sud_probe();
	trouble = sud_uffd_join(u);
	ASSERT_EQ(NULL, trouble) {
		TH_LOG("%s", trouble);
	}
	return ret;
}

TEST_F(selector, S3_userfaultfd)
{
	struct sud_uffd u = {};
	volatile uint8_t *last;
	int i;

	OPEN_UFFD(&u);
	last = u.page + u.size - 1;
	ASSERT_EQ(0, sud_arm_native(last));
	/* Arming and exempt calls cause no fault. */
	EXPECT_FALSE(is_present(last));

	for (i = 0; i < 40; i++) {
		u.byte = i & 1 ? SUD_BLOCK : SUD_ALLOW;
		ASSERT_EQ(u.byte == SUD_BLOCK, probe_missing(_metadata, &u));
		/* The page is present now: nothing would fill it again. */
		ASSERT_EQ(u.byte == SUD_BLOCK, sud_probe());
	}
}

TEST_F(selector, S3_userfaultfd_zeropage_allows)
{
	struct sud_uffd u = { .zeropage = true };

	OPEN_UFFD(&u);
	ASSERT_EQ(0, sud_arm_native(u.page));
	EXPECT_EQ(0, probe_missing(_metadata, &u));
	check_both_ways(_metadata, u.page);
}

static volatile int usr1_count;

static void count_usr1(int sig)
{
	usr1_count++;
}

static void meanwhile_usr1(void *arg)
{
	pid_t *tid = arg;

	if (!sud_wait_asleep(*tid, SUD_NR_CLOSE) ||
	    syscall(SYS_tgkill, getpid(), *tid, SIGUSR1))
		abort();
}

/* A signal that arrives while the read sleeps is taken after the read. */
TEST_F(selector, S3_signal_while_asleep)
{
	pid_t tid = syscall(SYS_gettid);
	int i;

	ASSERT_NE(SIG_ERR, signal(SIGUSR1, count_usr1));
	for (i = 0; i < 10; i++) {
		struct sud_uffd u = {
			.meanwhile = meanwhile_usr1,
			.arg = &tid,
			.byte = i & 1 ? SUD_BLOCK : SUD_ALLOW,
		};

		/*
		 * A new userfaultfd: the read may fault again after the
		 * signal.
		 */
		OPEN_UFFD(&u);
		ASSERT_EQ(0, sud_arm_native(u.page));
		usr1_count = 0;
		EXPECT_EQ(u.byte == SUD_BLOCK, probe_missing(_metadata, &u));
		EXPECT_EQ(1, usr1_count);
		ASSERT_EQ(0, sud_off());
		sud_uffd_close(&u);
	}
}

static void meanwhile_nothing(void *arg)
{
	int *report_to = arg;

	if (write(*report_to, "", 1) != 1)
		abort();
	for (;;)
		pause();
}

static int sleep_forever(void *arg)
{
	struct sud_uffd u = { .meanwhile = meanwhile_nothing, .arg = arg };

	if (sud_uffd_open(&u) || sud_uffd_start(&u) || sud_arm_native(u.page))
		return 1;
	sud_probe();
	return 2;
}

TEST_F(selector, S3_sleep_is_killable)
{
	struct sud_uffd u = {};
	int fds[2], status;
	pid_t pid;
	char c;

	OPEN_UFFD(&u);
	ASSERT_EQ(0, pipe(fds));
	pid = fork();
	ASSERT_LE(0, pid);
	if (pid == 0)
		_exit(sleep_forever(&fds[1]));
	close(fds[1]);
	/* The child reports the fault. There is no report if it has ended. */
	EXPECT_EQ(1, read(fds[0], &c, 1));
	/* The child sleeps in the call itself: nothing else in it sleeps. */
	EXPECT_TRUE(sud_wait_asleep(pid, SUD_NR_CLOSE));
	EXPECT_EQ(0, kill(pid, SIGKILL));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_TRUE(sud_killed(status, SIGKILL)) {
		TH_LOG("wait status %#x", status);
	}
}

TEST_F(selector, S3_dontneed_allows)
{
	uint8_t *p = map_pages(1, PROT_READ | PROT_WRITE);
	int i;

	SUD_REQUIRE();
	ASSERT_NE(NULL, p);
	ASSERT_EQ(0, sud_arm_native(p));
	for (i = 0; i < 10; i++) {
		*p = SUD_BLOCK;
		EXPECT_EQ(1, sud_probe());
		ASSERT_EQ(0, madvise(p, page_size(), MADV_DONTNEED));
		EXPECT_FALSE(is_present(p));
		EXPECT_EQ(0, sud_probe());
		EXPECT_TRUE(is_present(p));
	}
}

/* Never touched before: the kernel's read makes the page present. */
TEST_F(selector, S3_untouched_page_allows)
{
	uint8_t *p = map_pages(1, PROT_READ);

	SUD_REQUIRE();
	ASSERT_NE(NULL, p);
	ASSERT_EQ(0, sud_arm_native(p));
	EXPECT_FALSE(is_present(p));
	EXPECT_EQ(0, sud_probe());
	EXPECT_TRUE(is_present(p));
}

TEST_F(selector, S3_read_only_page)
{
	uint8_t *p = map_pages(1, PROT_READ | PROT_WRITE);

	SUD_REQUIRE();
	ASSERT_NE(NULL, p);
	ASSERT_EQ(0, sud_arm_native(p));
	*p = SUD_BLOCK;
	ASSERT_EQ(0, mprotect(p, page_size(), PROT_READ));
	EXPECT_EQ(1, sud_probe());
	ASSERT_EQ(0, mprotect(p, page_size(), PROT_READ | PROT_WRITE));
	*p = SUD_ALLOW;
	ASSERT_EQ(0, mprotect(p, page_size(), PROT_READ));
	EXPECT_EQ(0, sud_probe());
}

/* After a fork the page is copy-on-write: each side reads its own copy. */
static int cow_child(void *arg)
{
	uint8_t *p = arg;
	int before, after;

	if (sud_arm_native(p))
		return 1;
	/* This is still the parent's page. */
	before = sud_probe();
	*p = SUD_ALLOW;
	after = sud_probe();
	return before != 1 ? 2 : after != 0 ? 3 : 0;
}

TEST_F(selector, S3_copy_on_write)
{
	uint8_t *p = map_pages(1, PROT_READ | PROT_WRITE);
	int status;

	SUD_REQUIRE();
	ASSERT_NE(NULL, p);
	ASSERT_EQ(0, sud_arm_native(p));
	*p = SUD_BLOCK;
	status = sud_run_child(cow_child, p);
	EXPECT_TRUE(sud_exited(status, 0)) {
		TH_LOG("wait status %#x", status);
	}
	EXPECT_EQ(1, sud_probe());
	*p = SUD_ALLOW;
	EXPECT_EQ(0, sud_probe());
}

/* A page of a file that holds @value, mapped but not yet present. */
static uint8_t *map_file(int fd, int flags, uint8_t value)
{
	void *p;

	if (ftruncate(fd, page_size()) || pwrite(fd, &value, 1, 0) != 1)
		return NULL;
	p = mmap(NULL, page_size(), PROT_READ | PROT_WRITE, flags, fd, 0);
	return p == MAP_FAILED ? NULL : p;
}

static int temporary_file(void)
{
	char name[] = "/tmp/sud.XXXXXX";
	int fd = mkstemp(name);

	if (fd >= 0)
		unlink(name);
	return fd;
}

static void check_file(struct __test_metadata *_metadata, int fd, int flags)
{
	uint8_t value;
	uint8_t *p;

	ASSERT_LE(0, fd);
	for (value = SUD_ALLOW; value <= SUD_BLOCK; value++) {
		p = map_file(fd, flags, value);
		ASSERT_NE(NULL, p);
		ASSERT_EQ(0, sud_arm_native(p));

		/* It is not mapped in before the first call that reads it. */
		EXPECT_FALSE(is_present(p));
		EXPECT_EQ(value, sud_probe());
		EXPECT_TRUE(is_present(p));

		/* The same again after the page was dropped. */
		ASSERT_EQ(0, madvise(p, page_size(), MADV_DONTNEED));
		EXPECT_FALSE(is_present(p));
		EXPECT_EQ(value, sud_probe());

		/* A write to the file is visible. A private copy hides it. */
		value ^= 1;
		ASSERT_EQ(1, pwrite(fd, &value, 1, 0));
		EXPECT_EQ(value, sud_probe());
		value ^= 1;
		check_both_ways(_metadata, p);
		ASSERT_EQ(0, sud_off());
		ASSERT_EQ(0, munmap(p, page_size()));
	}
}

TEST_F(selector, S3_file_shared)
{
	SUD_REQUIRE();
	check_file(_metadata, temporary_file(), MAP_SHARED);
}

TEST_F(selector, S3_file_private)
{
	SUD_REQUIRE();
	check_file(_metadata, temporary_file(), MAP_PRIVATE);
}

TEST_F(selector, S3_memfd_shared)
{
	SUD_REQUIRE();
	check_file(_metadata, memfd_create("sud", 0), MAP_SHARED);
}

/*
 * While the file is short, only exempt calls are made: a read would kill (F2).
 */
TEST_F(selector, S3_truncated_and_extended)
{
	uint8_t value = SUD_BLOCK;
	uint8_t *p;
	int fd;

	SUD_REQUIRE();
	fd = memfd_create("sud", 0);
	ASSERT_LE(0, fd);
	p = map_file(fd, MAP_SHARED, SUD_BLOCK);
	ASSERT_NE(NULL, p);
	ASSERT_EQ(0, sud_arm_native(p));
	EXPECT_EQ(1, sud_probe());

	ASSERT_EQ(0, ftruncate(fd, 0));
	ASSERT_EQ(0, ftruncate(fd, page_size()));
	EXPECT_FALSE(is_present(p));
	EXPECT_EQ(0, sud_probe());

	ASSERT_EQ(0, ftruncate(fd, 0));
	ASSERT_EQ(1, pwrite(fd, &value, 1, 0));
	EXPECT_EQ(1, sud_probe());
}

#define DISK_PAGES 64

/* Root may do all this. Without root the test skips. */
#define REQUIRE_DISK(disk) do {						\
	const char *trouble;						\
									\
	if (geteuid())							\
		SKIP(return, "needs root, for a loop device");		\
	trouble = sud_disk_create(disk, DISK_PAGES, false);		\
	if (trouble)							\
		SKIP(return, "no loop device: %s: %s", trouble,		\
		     strerror(errno));					\
} while (0)

/* Neither mapped nor in the page cache: the read waits for the disk. */
TEST_F(selector, S3_read_from_disk)
{
	struct sud_disk disk;
	unsigned char core;
	int i, tries;
	uint8_t *p;

	SUD_REQUIRE();
	REQUIRE_DISK(&disk);
	p = mmap(NULL, page_size(), PROT_READ | PROT_WRITE, MAP_SHARED,
		 disk.fd, 0);
	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, sud_arm_native(p));

	for (i = 0; i < 10; i++) {
		*p = i & 1 ? SUD_BLOCK : SUD_ALLOW;
		for (tries = 0; tries < 100; tries++) {
			ASSERT_EQ(0, msync(p, page_size(), MS_SYNC));
			ASSERT_EQ(0, fsync(disk.fd));
			ASSERT_EQ(0, madvise(p, page_size(), MADV_DONTNEED));
			ASSERT_EQ(0, posix_fadvise(disk.fd, 0, 0,
						   POSIX_FADV_DONTNEED));
			ASSERT_EQ(0, mincore(p, page_size(), &core));
			if (!(core & 1))
				break;
			usleep(1000);
		}
		ASSERT_EQ(0, core & 1) {
			TH_LOG("the page does not leave the page cache");
		}
		EXPECT_FALSE(is_present(p));
		EXPECT_EQ(i & 1, sud_probe());
		EXPECT_TRUE(is_present(p));
	}
}

/* In a child, so that the swap space is removed in any case. */
static int swap_child(void *arg)
{
	uint8_t *p = map_pages(1, PROT_READ | PROT_WRITE);
	cpu_set_t set;
	int i, tries;

	/*
	 * A page that was just read in stays on a list of its CPU.
	 * MADV_PAGEOUT finds it there only on that CPU.
	 */
	CPU_ZERO(&set);
	CPU_SET(sched_getcpu(), &set);
	if (!p || sched_setaffinity(0, sizeof(set), &set) || sud_arm_native(p))
		return 1;
	for (i = 0; i < 10; i++) {
		*p = i & 1 ? SUD_BLOCK : SUD_ALLOW;
		for (tries = 0; tries < 100; tries++) {
			if (madvise(p, page_size(), MADV_PAGEOUT))
				return 2;
			if (sud_page_entry(p) & SUD_PAGE_SWAPPED)
				break;
			usleep(1000);
		}
		if (!(sud_page_entry(p) & SUD_PAGE_SWAPPED))
			return 3;
		if (sud_probe() != (i & 1))
			return 4;
		if (!is_present(p))
			return 5;
	}
	return 0;
}

TEST_F(selector, S3_swapped_out)
{
	const char *trouble;
	struct sud_disk disk;
	int status;

	SUD_REQUIRE();
	REQUIRE_DISK(&disk);
	trouble = sud_disk_swapon(&disk);
	if (trouble)
		SKIP(return, "no swap space: %s: %s", trouble, strerror(errno));
	status = sud_run_child(swap_child, NULL);
	EXPECT_EQ(0, swapoff(disk.name));
	EXPECT_TRUE(sud_exited(status, 0)) {
		TH_LOG("wait status %#x (3: page not swapped out; 4: byte not honoured)",
		       status);
	}
}

/*
 * S4: sharing.
 *
 * One thread sets the byte and probes, and then the other one probes. They
 * never probe at the same time, because sud_probe() uses one common counter.
 */
struct sharing {
	volatile uint8_t *selector;
	bool arm;
	pthread_barrier_t barrier;
	volatile int wrong_block, wrong_allow;
	volatile int trouble;
};

static void *sharing_thread(void *arg)
{
	struct sharing *s = arg;
	int i;

	if (s->arm && sud_arm_native(s->selector))
		s->trouble = 1;
	for (i = 0; i < ROUNDS; i++) {
		/* At BLOCK. */
		pthread_barrier_wait(&s->barrier);
		if (sud_probe() != s->arm)
			s->wrong_block++;
		pthread_barrier_wait(&s->barrier);
		/* At ALLOW. */
		pthread_barrier_wait(&s->barrier);
		if (sud_probe() != 0)
			s->wrong_allow++;
		pthread_barrier_wait(&s->barrier);
	}
	return NULL;
}

static void check_sharing(struct __test_metadata *_metadata,
			  volatile uint8_t *selector, bool arm_other)
{
	struct sharing s = { .selector = selector, .arm = arm_other };
	pthread_t thread;
	int i;

	ASSERT_EQ(0, pthread_barrier_init(&s.barrier, NULL, 2));
	ASSERT_EQ(0, pthread_create(&thread, NULL, sharing_thread, &s));
	ASSERT_EQ(0, sud_arm_native(selector));
	for (i = 0; i < ROUNDS; i++) {
		*selector = SUD_BLOCK;
		EXPECT_EQ(1, sud_probe());
		pthread_barrier_wait(&s.barrier);
		pthread_barrier_wait(&s.barrier);
		*selector = SUD_ALLOW;
		EXPECT_EQ(0, sud_probe());
		pthread_barrier_wait(&s.barrier);
		pthread_barrier_wait(&s.barrier);
	}
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_EQ(0, s.trouble);
	EXPECT_EQ(0, s.wrong_block);
	EXPECT_EQ(0, s.wrong_allow);
}

TEST_F(selector, S4_two_threads_share_one_byte)
{
	SUD_REQUIRE();
	check_sharing(_metadata, &sud_selector, true);
}

TEST_F(selector, S4_unarmed_thread_is_not_dispatched)
{
	SUD_REQUIRE();
	check_sharing(_metadata, &sud_selector, false);
}

/* Two threads with two bytes: neither is affected by the other's. */
struct own_byte {
	uint8_t value;
	volatile uint8_t selector;
	volatile int ret;
};

static void *own_byte_thread(void *arg)
{
	struct own_byte *own = arg;

	own->ret = sud_arm_native(&own->selector);
	if (own->ret)
		return NULL;
	own->selector = own->value;
	own->ret = sud_probe();
	return NULL;
}

TEST_F(selector, S4_threads_with_two_bytes_are_independent)
{
	struct own_byte allow = { .value = SUD_ALLOW };
	struct own_byte block = { .value = SUD_BLOCK };
	pthread_t thread;

	SUD_REQUIRE();
	ASSERT_EQ(0, sud_arm_native(&sud_selector));
	sud_selector = SUD_BLOCK;
	ASSERT_EQ(0, pthread_create(&thread, NULL, own_byte_thread, &allow));
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_EQ(0, allow.ret);
	EXPECT_EQ(1, sud_probe());

	sud_selector = SUD_ALLOW;
	ASSERT_EQ(0, pthread_create(&thread, NULL, own_byte_thread, &block));
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_EQ(1, block.ret);
	EXPECT_EQ(0, sud_probe());
}

/*
 * The byte changes all the time: each call is dispatched or runs, and nothing
 * else.
 */
static volatile bool flipper_stop;

static void *flipper(void *arg)
{
	volatile uint8_t *selector = arg;

	while (!flipper_stop) {
		*selector = SUD_BLOCK;
		sched_yield();
		*selector = SUD_ALLOW;
		sched_yield();
	}
	return NULL;
}

static void check_flipped(struct __test_metadata *_metadata)
{
	unsigned int seen[2] = {}, calls = 0;
	time_t end = time(NULL) + 20 * sud_slow();
	int ret;

	while (calls < 10 * ROUNDS || !seen[0] || !seen[1]) {
		if (time(NULL) > end)
			break;
		ret = sud_probe();
		calls++;
		ASSERT_TRUE(ret == 0 || ret == 1);
		seen[ret]++;
	}
	EXPECT_EQ(seen[1], sud_count);
	EXPECT_LT(0, seen[0]);
	EXPECT_LT(0, seen[1]);
}

TEST_F(selector, S4_another_thread_flips)
{
	pthread_t thread;

	SUD_REQUIRE();
	ASSERT_EQ(0, sud_arm_native(&sud_selector));
	flipper_stop = false;
	ASSERT_EQ(0, pthread_create(&thread, NULL, flipper,
				    (void *)&sud_selector));
	check_flipped(_metadata);
	flipper_stop = true;
	ASSERT_EQ(0, pthread_join(thread, NULL));
}

TEST_F(selector, S4_another_process_flips)
{
	uint8_t *p;
	pid_t pid;
	int status;

	SUD_REQUIRE();
	p = mmap(NULL, page_size(), PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, sud_arm_native(p));
	flipper_stop = false;
	pid = fork();
	ASSERT_LE(0, pid);
	if (pid == 0) {
		/* It must not outlive a test that fails. */
		sud_die_with_parent();
		flipper(p);
	}
	check_flipped(_metadata);
	ASSERT_EQ(0, kill(pid, SIGKILL));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
}

/* In step, so that each value is known. Another process sets it by a file. */
static int step_child(int from, int to, volatile uint8_t *selector)
{
	char value;

	while (read(from, &value, 1) == 1) {
		*selector = value;
		if (write(to, &value, 1) != 1)
			return 1;
	}
	return 0;
}

TEST_F(selector, S4_another_process_in_step)
{
	int there[2], back[2], fd, i, status;
	uint8_t *p, *theirs;
	char value;
	pid_t pid;

	SUD_REQUIRE();
	fd = memfd_create("sud", 0);
	ASSERT_LE(0, fd);
	p = map_file(fd, MAP_SHARED, SUD_ALLOW);
	ASSERT_NE(NULL, p);
	ASSERT_EQ(0, pipe(there));
	ASSERT_EQ(0, pipe(back));
	ASSERT_EQ(0, sud_arm_native(p));
	pid = fork();
	ASSERT_LE(0, pid);
	if (pid == 0) {
		/* A mapping of its own. */
		close(there[1]);
		theirs = mmap(NULL, page_size(), PROT_READ | PROT_WRITE,
			      MAP_SHARED, fd, 0);
		_exit(theirs == MAP_FAILED ? 2 :
		      step_child(there[0], back[1], theirs));
	}
	for (i = 0; i < ROUNDS; i++) {
		value = i & 1 ? SUD_BLOCK : SUD_ALLOW;
		ASSERT_EQ(1, write(there[1], &value, 1));
		ASSERT_EQ(1, read(back[0], &value, 1));
		ASSERT_EQ(i & 1, sud_probe());
	}
	close(there[1]);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_TRUE(sud_exited(status, 0));
}

TEST_HARNESS_MAIN
