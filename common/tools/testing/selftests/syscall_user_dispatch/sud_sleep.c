// SPDX-License-Identifier: GPL-2.0
/*
 * A seccomp filter that arrives while a thread sleeps in the read of its
 * selector has to filter the call that the thread is about to make.
 *
 * The selector is on a page that userfaultfd watches. The thread that calls
 * getsid() sleeps in the read of it. A second thread then installs a filter
 * for both threads, and only after that lets the read finish.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/filter.h>
#include <linux/prctl.h>
#include <linux/seccomp.h>
#include <linux/userfaultfd.h>

#include "../kselftest_harness.h"

/* What the filter makes getsid() return. No getsid() fails so by itself. */
#define FILTER_ERRNO	ENOTSOCK

struct sleeper {
	int uffd;
	unsigned long page;
	size_t size;
	const char *error;
};

static int install_filter_for_all_threads(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_getsid, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | FILTER_ERRNO),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = {
		.len = ARRAY_SIZE(code),
		.filter = code,
	};

	return syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER,
		       SECCOMP_FILTER_FLAG_TSYNC, &prog);
}

/* Runs while the other thread sleeps. */
static void *filter_then_wake(void *arg)
{
	struct sleeper *s = arg;
	/* A page of zeros: the selector reads ALLOW. */
	struct uffdio_zeropage zero = {
		.range = { .start = s->page, .len = s->size },
	};
	struct uffd_msg msg;

	if (read(s->uffd, &msg, sizeof(msg)) != sizeof(msg) ||
	    msg.event != UFFD_EVENT_PAGEFAULT)
		s->error = "no page fault was reported";
	else if (install_filter_for_all_threads())
		s->error = "the filter could not be installed";
	if (ioctl(s->uffd, UFFDIO_ZEROPAGE, &zero))
		s->error = "the page fault could not be resolved";
	return NULL;
}

TEST(filter_installed_during_selector_read)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	struct sleeper s = { .size = sysconf(_SC_PAGESIZE) };
	pthread_t thread;
	void *page;
	long ret;
	int err;

	s.uffd = syscall(__NR_userfaultfd, O_CLOEXEC);
	if (s.uffd < 0 && (errno == ENOSYS || errno == EPERM))
		SKIP(return, "userfaultfd is not available: %s", strerror(errno));
	ASSERT_LE(0, s.uffd);
	page = mmap(NULL, s.size, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, page);
	s.page = (unsigned long)page;
	reg.range.start = s.page;
	reg.range.len = s.size;
	ASSERT_EQ(0, ioctl(s.uffd, UFFDIO_API, &api));
	ASSERT_EQ(0, ioctl(s.uffd, UFFDIO_REGISTER, &reg));
	ASSERT_EQ(0, prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	ASSERT_EQ(0, pthread_create(&thread, NULL, filter_then_wake, &s));

	ASSERT_EQ(0, prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON,
			   0, 0, page));
	ret = syscall(__NR_getsid, 0);
	err = errno;
	ASSERT_EQ(0, prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_OFF,
			   0, 0, 0));

	ASSERT_EQ(0, pthread_join(thread, NULL));
	ASSERT_EQ(NULL, s.error) {
		TH_LOG("%s", s.error);
	}
	EXPECT_EQ(-1, ret) {
		TH_LOG("The call was not filtered");
	}
	EXPECT_EQ(FILTER_ERRNO, err);
}

TEST_HARNESS_MAIN
