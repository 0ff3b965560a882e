// SPDX-License-Identifier: GPL-2.0
/*
 * Syscall User Dispatch: the selector (rules S1 to S4).
 */
#include "sud_disk.h"

#include <linux/fs.h>
#include <linux/hw_breakpoint.h>
#include <linux/perf_event.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>
#include <time.h>

#include "../kselftest_harness.h"

/* What surrounds a selector: neither ALLOW nor BLOCK, so fatal if read. */
#define GARBAGE 0xa5

/* Rounds of a test that repeats itself. */
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

/* With all native code exempt, a selector may be tried both ways. */
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
 * S1: no selector. Where native code is not exempt, the return from the handler
 * or the next call of the program is dispatched, too; there the child dies, and
 * what it saw is found in shared memory.
 */
FIXTURE(no_selector) {
	sud_uword offset, length;
};

FIXTURE_VARIANT(no_selector) {
	sud_uword op;
	/* Added to both: 1 for the foreign instruction pointer. */
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
	/* What the child saw. */
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

TEST_F(selector, S1_nothing_allows)
{
	int i;

	SUD_REQUIRE();
	/* The byte that others use does not matter, nor does address 0. */
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
	/* This would succeed; it must not run, nor run later. */
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
TEST_F(selector, S2_every_call_looks)
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

/* One byte, at any alignment, whatever its neighbours hold. */
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
		/* Nor does the kernel write. */
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

	/* Does the watchpoint see the kernel? Have it read the byte. */
	before = watched(fd);
	i = memfd_create("sud", 0);
	ASSERT_LE(0, i);
	ASSERT_EQ(1, write(i, (void *)&sud_selector, 1));
	close(i);
	if (watched(fd) == before)
		SKIP(return, "the watchpoint does not see the kernel");

	/* Arming does not read it; exempt calls, such as these, do not. */
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

	/* Off, nothing reads it. */
	ASSERT_EQ(0, sud_off());
	before = watched(fd);
	EXPECT_EQ(0, sud_probe());
	EXPECT_EQ(before, watched(fd));
}

/* S3: pages that are not there yet. */
static bool is_present(const volatile void *addr)
{
	return sud_page_entry(addr) & SUD_PAGE_PRESENT;
}

/* userfaultfd: a thread answers each fault with a page of its making. */
struct uffd {
	int fd;
	uint8_t *page;
	/* What to answer, where in the page. */
	volatile uint8_t *selector;
	volatile uint8_t answer;
	volatile bool zeropage;
	/* Sends a signal to the one who waits, once. */
	volatile pid_t signal_tid;
	/* Says on a pipe that there was a fault, and answers none. */
	int silent;

	volatile unsigned int faults;
	volatile unsigned long address;
	pthread_t thread;
};

static void *uffd_serve(void *arg)
{
	struct uffd *u = arg;
	size_t size = page_size();
	uint8_t *source = map_pages(1, PROT_READ | PROT_WRITE);
	struct uffd_msg msg;

	while (read(u->fd, &msg, sizeof(msg)) == sizeof(msg)) {
		struct uffdio_zeropage zeropage = {
			.range = { .start = (unsigned long)u->page, .len = size },
		};
		struct uffdio_copy copy = {
			.dst = (unsigned long)u->page,
			.src = (unsigned long)source,
			.len = size,
		};

		if (msg.event != UFFD_EVENT_PAGEFAULT)
			continue;
		u->address = msg.arg.pagefault.address;
		u->faults++;
		if (u->silent >= 0) {
			if (write(u->silent, "", 1) != 1)
				abort();
			continue;
		}

		/* Let it sleep for a while. */
		if (u->signal_tid)
			syscall(SYS_tgkill, getpid(), u->signal_tid, SIGUSR1);
		u->signal_tid = 0;
		usleep(2000);

		memset(source, GARBAGE, size);
		source[u->selector - u->page] = u->answer;
		/* A signal makes the kernel fault anew: EEXIST then. */
		if ((u->zeropage ? ioctl(u->fd, UFFDIO_ZEROPAGE, &zeropage)
				 : ioctl(u->fd, UFFDIO_COPY, &copy)) &&
		    (errno != EEXIST ||
		     ioctl(u->fd, UFFDIO_WAKE, &zeropage.range)))
			abort();
	}
	return NULL;
}

/* Return: NULL, or what there is to complain about. */
static const char *uffd_start(struct uffd *u)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };

	u->silent = -1;
	u->fd = syscall(SYS_userfaultfd, O_CLOEXEC);
	if (u->fd < 0)
		return "userfaultfd";
	if (ioctl(u->fd, UFFDIO_API, &api))
		return "UFFDIO_API";
	u->page = map_pages(1, PROT_READ | PROT_WRITE);
	if (!u->page)
		return "mmap";
	u->selector = u->page + page_size() - 1;
	reg.range.start = (unsigned long)u->page;
	reg.range.len = page_size();
	if (ioctl(u->fd, UFFDIO_REGISTER, &reg))
		return "UFFDIO_REGISTER";
	if (pthread_create(&u->thread, NULL, uffd_serve, u))
		return "pthread_create";
	return NULL;
}

/* Take the page away, so that the next access faults. */
static int uffd_drop(struct uffd *u)
{
	return madvise(u->page, page_size(), MADV_DONTNEED);
}

static volatile int usr1_count;

static void count_usr1(int sig)
{
	usr1_count++;
}

/* Is there a userfaultfd, and one that takes the kernel's faults? */
#define REQUIRE_UFFD() do {						\
	int fd__;							\
									\
	SUD_REQUIRE();							\
	fd__ = syscall(SYS_userfaultfd, O_CLOEXEC);			\
	if (fd__ < 0 && (errno == ENOSYS || errno == EPERM))		\
		SKIP(return, "no userfaultfd: %s", strerror(errno));	\
	close(fd__);							\
} while (0)

#define UFFD_START(u) do {						\
	const char *trouble__ = uffd_start(u);				\
									\
	ASSERT_EQ(NULL, trouble__) {					\
		TH_LOG("%s: %s", trouble__, strerror(errno));		\
	}								\
} while (0)

TEST_F(selector, S3_userfaultfd)
{
	struct uffd uffd = {}, *u = &uffd;
	int i;

	REQUIRE_UFFD();
	UFFD_START(u);
	ASSERT_EQ(0, sud_arm_native(u->selector));
	/* Arming, and exempt calls, do not fault. */
	EXPECT_EQ(0, u->faults);

	for (i = 0; i < 40; i++) {
		u->answer = i & 1 ? SUD_BLOCK : SUD_ALLOW;
		u->address = 0;
		u->faults = 0;
		ASSERT_EQ(0, uffd_drop(u));
		ASSERT_FALSE(is_present(u->page));

		ASSERT_EQ(u->answer == SUD_BLOCK, sud_probe());
		/* One read, one fault. */
		ASSERT_EQ(1, u->faults);
		ASSERT_EQ(u->page, (uint8_t *)(u->address & -page_size()));

		/* The page is there now. */
		ASSERT_EQ(u->answer == SUD_BLOCK, sud_probe());
		ASSERT_EQ(1, u->faults);
	}
}

TEST_F(selector, S3_userfaultfd_zeropage_allows)
{
	struct uffd uffd = {}, *u = &uffd;

	REQUIRE_UFFD();
	UFFD_START(u);
	u->zeropage = true;
	ASSERT_EQ(0, sud_arm_native(u->selector));
	EXPECT_EQ(0, sud_probe());
	EXPECT_EQ(1, u->faults);
	check_both_ways(_metadata, u->selector);
}

/*
 * A signal that comes while the read sleeps is taken after it. Each time in a
 * child with a userfaultfd of its own: the signal makes the kernel fault anew,
 * and what is left over from that would disturb the next round.
 */
static int signal_child(void *arg)
{
	uint8_t *answer = arg;
	struct uffd u = {};

	usr1_count = 0;
	if (uffd_start(&u) || signal(SIGUSR1, count_usr1) == SIG_ERR ||
	    sud_arm_native(u.selector))
		return 1;
	u.answer = *answer;
	u.signal_tid = syscall(SYS_gettid);
	if (sud_probe() != (*answer == SUD_BLOCK))
		return 2;
	if (usr1_count != 1)
		return 3;
	return u.faults ? 0 : 4;
}

TEST_F(selector, S3_signal_while_asleep)
{
	uint8_t answer;
	int i, status;

	REQUIRE_UFFD();
	for (i = 0; i < 10; i++) {
		answer = i & 1 ? SUD_BLOCK : SUD_ALLOW;
		status = sud_run_child(signal_child, &answer);
		EXPECT_TRUE(sud_exited(status, 0)) {
			TH_LOG("wait status %#x", status);
		}
	}
}

static int sleep_forever(void *arg)
{
	int *report_to = arg;
	struct uffd u = {};

	if (uffd_start(&u) || sud_arm_native(u.selector))
		return 1;
	u.silent = *report_to;
	sud_probe();
	return 2;
}

TEST_F(selector, S3_sleep_is_killable)
{
	int fds[2], status;
	pid_t pid;
	char c;

	REQUIRE_UFFD();
	ASSERT_EQ(0, pipe(fds));
	pid = fork();
	ASSERT_LE(0, pid);
	if (pid == 0)
		_exit(sleep_forever(&fds[1]));
	close(fds[1]);
	/* Says that it sleeps; nothing if it has ended. */
	EXPECT_EQ(1, read(fds[0], &c, 1));
	usleep(20000);
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

/* Never touched: the read itself brings the page in. */
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

/* Fork makes the page copy-on-write: each side reads its own. */
static int cow_child(void *arg)
{
	uint8_t *p = arg;
	int before, after;

	if (sud_arm_native(p))
		return 1;
	/* Still the parent's page. */
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

		/* Not mapped in before the first call that reads it. */
		EXPECT_FALSE(is_present(p));
		EXPECT_EQ(value, sud_probe());
		EXPECT_TRUE(is_present(p));

		/* And again when it was dropped. */
		ASSERT_EQ(0, madvise(p, page_size(), MADV_DONTNEED));
		EXPECT_FALSE(is_present(p));
		EXPECT_EQ(value, sud_probe());

		/* A write to the file shows; a private copy hides it. */
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

/* While it is short, only exempt calls are made: a read would kill (F2). */
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

/* Root may do all this; whoever else runs the test cannot. */
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

/* Apart, so that the swap space is taken down whatever happens here. */
static int swap_child(void *arg)
{
	uint8_t *p = map_pages(1, PROT_READ | PROT_WRITE);
	cpu_set_t set;
	int i, tries;

	/*
	 * A page that was just read in stays on a list of the CPU that did it,
	 * from where MADV_PAGEOUT gets it on that CPU only.
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
 * One thread sets the byte and probes, then the other probes: never both at
 * once, for sud_probe() looks at a counter that is common to all.
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

TEST_F(selector, S4_two_threads_share)
{
	SUD_REQUIRE();
	check_sharing(_metadata, &sud_selector, true);
}

TEST_F(selector, S4_unarmed_thread_is_not_dispatched)
{
	SUD_REQUIRE();
	check_sharing(_metadata, &sud_selector, false);
}

/* Two threads, two bytes: neither sees the other's. */
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

TEST_F(selector, S4_threads_with_their_own)
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

/* Flipped all the time: each call is one or the other, never a third. */
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
	time_t end = time(NULL) + 20;
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
		/* Not to outlive a test that fails. */
		prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
		flipper(p);
	}
	check_flipped(_metadata);
	ASSERT_EQ(0, kill(pid, SIGKILL));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
}

/* In step, so that each value is known: by another process, by a file. */
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
