// SPDX-License-Identifier: GPL-2.0
/*
 * Syscall User Dispatch: the sysctl kernel.syscall_user_dispatch (rules K2 and
 * K3).
 *
 * It belongs to the whole machine. Each test begins with it at 1. At the end
 * this program restores the value that it found, even if tests crash.
 */
#include "sud_ptrace.h"

#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "sud_knob.h"

#include "sud_harness.h"

#define NOBODY	65534

/* The kernel's half of the address space, on any kernel. */
#define BAD_SELECTOR	(-4096UL)

/* The value when this program began, or the error that hides it. */
static int found = -ENOENT;
static pid_t main_pid;

static void put_back(void)
{
	if (getpid() == main_pid && found >= 0)
		sud_knob_write(found ? "1" : "0");
}

static void put_back_and_die(int sig)
{
	put_back();
	_exit(EXIT_FAILURE);
}

/* Runs before the tests, which are children, and after all of them. */
static void __attribute__((constructor)) begin(void)
{
	found = sud_knob_read();
	main_pid = getpid();
	if (found >= 0) {
		signal(SIGTERM, put_back_and_die);
		signal(SIGINT, put_back_and_die);
	}
}

static void __attribute__((destructor)) end(void)
{
	put_back();
}

#define SKIP_WITHOUT_KNOB(skip) do {					\
	if (found == -ENOENT)						\
		SKIP(skip, "no sysctl kernel.syscall_user_dispatch");	\
} while (0)

TEST(K2_default_is_1)
{
	SKIP_WITHOUT_KNOB(return);
	EXPECT_EQ(1, found) {
		TH_LOG("or a program has changed it since the boot");
	}
}

TEST(K2_mode_is_0644)
{
	struct stat st;

	SKIP_WITHOUT_KNOB(return);
	ASSERT_EQ(0, stat(SUD_KNOB, &st));
	EXPECT_EQ(S_IFREG | 0644, st.st_mode);
	EXPECT_EQ(0, st.st_uid);
	EXPECT_EQ(0, st.st_gid);
}

/* As root, and with the sysctl at 1. */
FIXTURE(knob)
{
	bool inclusive;
};

FIXTURE_SETUP(knob)
{
	SUD_REQUIRE_SETUP();
	SKIP_WITHOUT_KNOB(_exit(255));
	if (geteuid())
		SUD_SKIP_SETUP("needs root, to write a sysctl");
	ASSERT_EQ(1, sud_knob_write("1"));
	ASSERT_TRUE(sud_setup());
	self->inclusive = sud_has_inclusive();
}

FIXTURE_TEARDOWN(knob)
{
	sud_knob_write(found == 0 ? "0" : "1");
}

/* ---- K2: the file ---- */

TEST_F(knob, K2_reads_back)
{
	static const struct {
		const char *text;
		int value;
	} good[] = {
		{ "0", 0 }, { "1", 1 }, { "0\n", 0 }, { "0", 0 }, { "1\n", 1 },
		{ "1", 1 },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(good); i++) {
		EXPECT_EQ(strlen(good[i].text), sud_knob_write(good[i].text));
		EXPECT_EQ(good[i].value, sud_knob_read());
	}
}

TEST_F(knob, K2_bad_value_is_EINVAL)
{
	static const char * const bad[] = {
		"2", "-1", "3\n", "10", "256", "257", "65537", "2147483648",
		"4294967296", "4294967297", "-4294967295",
		"18446744073709551616", "18446744073709551617", "text", "on",
		"true", "1x", "0x", "x1", "0.5", "-", "+1", "\n", " ",
	};
	unsigned int i;
	int value;

	for (value = 0; value <= 1; value++) {
		ASSERT_EQ(1, sud_knob_write(value ? "1" : "0"));
		for (i = 0; i < ARRAY_SIZE(bad); i++) {
			EXPECT_EQ(-EINVAL, sud_knob_write(bad[i])) {
				TH_LOG("\"%s\"", bad[i]);
			}
			EXPECT_EQ(value, sud_knob_read()) {
				TH_LOG("\"%s\"", bad[i]);
				sud_knob_write(value ? "1" : "0");
			}
		}
	}
}

/* An empty write is no error in any sysctl, and changes nothing. */
TEST_F(knob, K2_empty_write_changes_nothing)
{
	EXPECT_GE(0, sud_knob_write(""));
	EXPECT_EQ(1, sud_knob_read());
	ASSERT_EQ(1, sud_knob_write("0"));
	EXPECT_GE(0, sud_knob_write(""));
	EXPECT_EQ(0, sud_knob_read());
}

static int become_nobody(void)
{
	return setgroups(0, NULL) || setresgid(NOBODY, NOBODY, NOBODY) ||
	       setresuid(NOBODY, NOBODY, NOBODY);
}

static int read_but_not_write(void *value)
{
	int expected = *(int *)value;

	if (sud_knob_read() != expected)
		return 2;
	if (sud_knob_write(expected ? "0" : "1") != -EACCES)
		return 3;
	return sud_knob_read() == expected ? 0 : 4;
}

static int nobody_reads(void *value)
{
	return become_nobody() ? 1 : read_but_not_write(value);
}

TEST_F(knob, K2_others_read_but_do_not_write)
{
	int value = 1;

	EXPECT_TRUE(sud_exited(sud_run_child(nobody_reads, &value), 0));
	EXPECT_EQ(1, sud_knob_read());
	ASSERT_EQ(1, sud_knob_write("0"));
	value = 0;
	EXPECT_TRUE(sud_exited(sud_run_child(nobody_reads, &value), 0));
	EXPECT_EQ(0, sud_knob_read());
}

#define NO_NAMESPACE	100

/* In its own namespaces, with its own /proc. */
static int inside_namespaces(void *arg)
{
	if (getpid() != 1)
		return 2;
	if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("proc", "/proc", "proc", 0, NULL))
		return 3;
	if (sud_knob_read() != 0)
		return 4;
	if (sud_knob_write("1") != 1)
		return 5;
	return sud_arm_native(&sud_selector) ? 6 : 0;
}

static int namespaces(void *arg)
{
	int status;

	if (unshare(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS))
		return errno == EINVAL ? NO_NAMESPACE : 1;
	status = sud_run_child(inside_namespaces, NULL);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 7;
}

TEST_F(knob, K2_same_in_other_namespaces)
{
	int status;

	ASSERT_EQ(1, sud_knob_write("0"));
	status = sud_run_child(namespaces, NULL);
	if (sud_exited(status, NO_NAMESPACE))
		SKIP(return, "no pid, ipc or uts namespaces in this kernel");
	EXPECT_TRUE(sud_exited(status, 0)) {
		TH_LOG("wait status %#x", status);
	}
	EXPECT_EQ(1, sud_knob_read());
}

static long refused_by_switch(void)
{
	return sud_arm_native(&sud_selector) == -EPERM &&
	       sud_arm(SUD_EXCL, 0, 0, NULL) == -EPERM &&
	       sud_off() == 0 ? 0 : 5;
}

/* Root of a user namespace has no privilege in the one that owns the sysctl. */
static int user_namespace(void *arg)
{
	int value = 0, ret;

	if (unshare(CLONE_NEWUSER))
		return errno == EINVAL ? NO_NAMESPACE : 1;
	/* The parent writes the map. */
	raise(SIGSTOP);
	if (setresuid(0, 0, 0))
		return 6;
	ret = read_but_not_write(&value);
	return ret ? ret : refused_by_switch();
}

TEST_F(knob, K2_K3_root_of_a_user_namespace)
{
	static const char map[] = "0 65534 1";
	char path[64];
	int status, fd;
	pid_t pid;

	ASSERT_EQ(1, sud_knob_write("0"));
	pid = fork();
	ASSERT_LE(0, pid);
	if (pid == 0)
		_exit(user_namespace(NULL));
	ASSERT_EQ(pid, waitpid(pid, &status, WUNTRACED));
	if (sud_exited(status, NO_NAMESPACE))
		SKIP(return, "no user namespaces in this kernel");
	ASSERT_TRUE(WIFSTOPPED(status)) {
		TH_LOG("wait status %#x", status);
	}
	snprintf(path, sizeof(path), "/proc/%d/uid_map", pid);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	ASSERT_LE(0, fd);
	ASSERT_EQ(strlen(map), write(fd, map, strlen(map)));
	close(fd);
	ASSERT_EQ(0, kill(pid, SIGCONT));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_TRUE(sud_exited(status, 0)) {
		TH_LOG("wait status %#x", status);
	}
	EXPECT_EQ(0, sud_knob_read());
}

/* ---- K3: at 0, by prctl ---- */

static int child_refused(void *arg)
{
	return refused_by_switch();
}

static int nobody_refused(void *arg)
{
	return become_nobody() ? 1 : refused_by_switch();
}

TEST_F(knob, K3_arming_is_EPERM)
{
	ASSERT_EQ(1, sud_knob_write("0"));
	EXPECT_EQ(-EPERM, sud_arm_native(&sud_selector));
	EXPECT_EQ(-EPERM, sud_arm_native(NULL));
	EXPECT_EQ(-EPERM, sud_arm(SUD_EXCL, 0, 0, &sud_selector));
	EXPECT_EQ(-EPERM, sud_arm(SUD_EXCL, 0, -1UL, NULL));
	if (self->inclusive)
		EXPECT_EQ(-EPERM, sud_arm(SUD_INCL, SUD_FOREIGN, 4096,
					  &sud_selector));
	sud_selector = SUD_BLOCK;
	EXPECT_EQ(0, sud_probe());
}

TEST_F(knob, K3_privilege_does_not_matter)
{
	EXPECT_EQ(0, geteuid());
	ASSERT_EQ(1, sud_knob_write("0"));
	EXPECT_TRUE(sud_exited(sud_run_child(child_refused, NULL), 0));
	EXPECT_TRUE(sud_exited(sud_run_child(nobody_refused, NULL), 0));
}

TEST_F(knob, K3_A7_order_of_checks)
{
	void *bad = (void *)BAD_SELECTOR;
	bool selector_is_bad;

	/* A 32-bit program on a 64-bit kernel cannot pass a bad address. */
	selector_is_bad = sud_arm_native(bad) == -EFAULT;
	EXPECT_EQ(sizeof(bad) == 8 || !sud_kernel_is_64bit(), selector_is_bad);
	ASSERT_EQ(0, sud_off());

	ASSERT_EQ(1, sud_knob_write("0"));
	EXPECT_EQ(-EINVAL, sud_arm(3, 0, 0, NULL));
	EXPECT_EQ(-EINVAL, sud_arm(-1, 0, 0, bad));
	EXPECT_EQ(-EINVAL, sud_arm(SUD_OFF, 1, 0, NULL));
	EXPECT_EQ(-EINVAL, sud_arm(SUD_OFF, 0, 0, &sud_selector));
	EXPECT_EQ(-EINVAL, sud_arm(SUD_EXCL, 1, 0, &sud_selector));
	EXPECT_EQ(-EINVAL, sud_arm(SUD_EXCL, 1, 0, bad));
	EXPECT_EQ(-EINVAL, sud_arm(SUD_INCL, 0, 0, bad));
	EXPECT_EQ(-EPERM, sud_arm_native(bad));
}

TEST_F(knob, K3_off_always_works)
{
	ASSERT_EQ(1, sud_knob_write("0"));
	/* never armed */
	EXPECT_EQ(0, sud_off());
	EXPECT_EQ(0, sud_off());

	ASSERT_EQ(1, sud_knob_write("1"));
	ASSERT_EQ(0, sud_arm_native(&sud_selector));
	sud_selector = SUD_BLOCK;
	ASSERT_EQ(1, sud_probe());
	ASSERT_EQ(1, sud_knob_write("0"));
	EXPECT_EQ(0, sud_off());
	EXPECT_EQ(0, sud_probe());
	/* The thread cannot arm itself again. */
	EXPECT_EQ(-EPERM, sud_arm_native(&sud_selector));
	EXPECT_EQ(0, sud_probe());
}

TEST_F(knob, K3_armed_keeps_going)
{
	ASSERT_EQ(0, sud_arm_native(&sud_selector));
	ASSERT_EQ(1, sud_knob_write("0"));
	sud_selector = SUD_BLOCK;
	EXPECT_EQ(1, sud_probe());
	sud_selector = SUD_ALLOW;
	EXPECT_EQ(0, sud_probe());
	ASSERT_EQ(1, sud_knob_write("1"));
	sud_selector = SUD_BLOCK;
	EXPECT_EQ(1, sud_probe());
}

TEST_F(knob, K3_armed_keeps_going_inclusive)
{
	if (!self->inclusive)
		SKIP(return, "no PR_SYS_DISPATCH_INCLUSIVE_ON in this kernel");
	ASSERT_EQ(0, sud_arm(SUD_INCL, SUD_FOREIGN, 4096, &sud_selector));
	ASSERT_EQ(1, sud_knob_write("0"));
	sud_selector = SUD_BLOCK;
	EXPECT_EQ(1, sud_probe());
	sud_selector = SUD_ALLOW;
	EXPECT_EQ(0, sud_probe());
}

TEST_F(knob, K3_A8_failing_rearm_changes_nothing)
{
	static volatile uint8_t other;

	ASSERT_EQ(0, sud_arm_native(&sud_selector));
	ASSERT_EQ(1, sud_knob_write("0"));
	sud_selector = SUD_BLOCK;
	other = SUD_ALLOW;
	EXPECT_EQ(-EPERM, sud_arm_native(&other));
	EXPECT_EQ(1, sud_probe());
	EXPECT_EQ(-EPERM, sud_arm(SUD_EXCL, 0, -1UL, NULL));
	EXPECT_EQ(1, sud_probe());
	/* Even the configuration in force cannot be set again. */
	EXPECT_EQ(-EPERM, sud_arm_native(&sud_selector));
	EXPECT_EQ(1, sud_probe());
	sud_selector = SUD_ALLOW;
	other = SUD_BLOCK;
	EXPECT_EQ(0, sud_probe());
}

TEST_F(knob, K3_back_to_1_arms_again)
{
	ASSERT_EQ(1, sud_knob_write("0"));
	ASSERT_EQ(-EPERM, sud_arm_native(&sud_selector));
	ASSERT_EQ(1, sud_knob_write("1"));
	EXPECT_EQ(0, sud_arm_native(&sud_selector));
	sud_selector = SUD_BLOCK;
	EXPECT_EQ(1, sud_probe());
}

/* A child of an armed parent is off (rule L1), and stays off. */
TEST_F(knob, K3_child_of_an_armed_parent)
{
	ASSERT_EQ(0, sud_arm_native(&sud_selector));
	ASSERT_EQ(1, sud_knob_write("0"));
	EXPECT_TRUE(sud_exited(sud_run_child(child_refused, NULL), 0));
	sud_selector = SUD_BLOCK;
	EXPECT_EQ(1, sud_probe());
}

static pthread_barrier_t barrier;
static long thread_result[3];

static void *armed_before(void *arg)
{
	thread_result[0] = sud_arm_native(&sud_selector);
	pthread_barrier_wait(&barrier);
	/* Meanwhile the other thread writes the sysctl. */
	pthread_barrier_wait(&barrier);
	thread_result[1] = sud_probe();
	thread_result[2] = sud_arm_native(&sud_selector);
	return NULL;
}

TEST_F(knob, K3_armed_thread_keeps_going)
{
	pthread_t thread;

	ASSERT_EQ(0, pthread_barrier_init(&barrier, NULL, 2));
	ASSERT_EQ(0, pthread_create(&thread, NULL, armed_before, NULL));
	pthread_barrier_wait(&barrier);
	ASSERT_EQ(1, sud_knob_write("0"));
	sud_selector = SUD_BLOCK;
	/* This thread was not armed, and cannot arm itself. */
	EXPECT_EQ(-EPERM, sud_arm_native(&sud_selector));
	EXPECT_EQ(0, sud_probe());
	pthread_barrier_wait(&barrier);
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_EQ(0, thread_result[0]);
	EXPECT_EQ(1, thread_result[1]);
	EXPECT_EQ(-EPERM, thread_result[2]);
}

/* ---- K3: at 0, by ptrace ---- */

static void exit_by_probe(void)
{
	_exit(40 + sud_probe());
}

/* A stopped tracee, created with sud_selector at BLOCK. */
FIXTURE(tracee)
{
	pid_t pid;
	bool inclusive;
	struct ptrace_sud_config native;
};

FIXTURE_SETUP(tracee)
{
	struct ptrace_sud_config c;

	SUD_REQUIRE_SETUP();
	SKIP_WITHOUT_KNOB(_exit(255));
	if (geteuid())
		SUD_SKIP_SETUP("needs root, to write a sysctl");
	ASSERT_EQ(1, sud_knob_write("1"));
	ASSERT_TRUE(sud_setup());
	self->inclusive = sud_has_inclusive();
	self->native = sud_config_native((uintptr_t)&sud_selector);
	sud_selector = SUD_BLOCK;
	self->pid = sud_fork_tracee(exit_by_probe, 0);
	ASSERT_LT(0, self->pid);
	ASSERT_EQ(0, sud_get(self->pid, &c));
}

FIXTURE_TEARDOWN(tracee)
{
	sud_put_down(self->pid);
	sud_knob_write(found == 0 ? "0" : "1");
}

TEST_F(tracee, K3_arming_by_ptrace_is_EPERM)
{
	ASSERT_EQ(1, sud_knob_write("0"));
	EXPECT_EQ(-EPERM, sud_set(self->pid, self->native));
	EXPECT_EQ(-EPERM, sud_set(self->pid, sud_config(SUD_EXCL, 0, 0, 0)));
	if (self->inclusive)
		EXPECT_EQ(-EPERM, sud_set(self->pid, sud_config_foreign(0)));
	SUD_EXPECT_CONFIG(self->pid, sud_config_off());
	EXPECT_TRUE(sud_exited(sud_run_to_end(self->pid), 40));
}

TEST_F(tracee, K3_A7_order_of_checks_by_ptrace)
{
	const uint64_t bad = 0xffff800000000000ULL;

	EXPECT_EQ(-EFAULT, sud_set(self->pid, sud_config(SUD_EXCL, 0, 0, bad)));
	ASSERT_EQ(1, sud_knob_write("0"));
	EXPECT_EQ(-EINVAL, sud_set(self->pid, sud_config(3, 0, 0, 0)));
	EXPECT_EQ(-EINVAL, sud_set(self->pid, sud_config(3, 0, 0, bad)));
	EXPECT_EQ(-EINVAL, sud_set(self->pid, sud_config(SUD_OFF, 1, 0, 0)));
	EXPECT_EQ(-EINVAL, sud_set(self->pid, sud_config(SUD_EXCL, 1, 0, 0)));
	EXPECT_EQ(-EINVAL, sud_set(self->pid, sud_config(SUD_EXCL, 1, 0, bad)));
	EXPECT_EQ(-EINVAL, sud_set(self->pid, sud_config(SUD_INCL, 0, 0, bad)));
	EXPECT_EQ(-EPERM, sud_set(self->pid, sud_config(SUD_EXCL, 0, 0, bad)));
	SUD_EXPECT_CONFIG(self->pid, sud_config_off());
}

TEST_F(tracee, K3_off_by_ptrace_always_works)
{
	ASSERT_EQ(0, sud_set(self->pid, self->native));
	ASSERT_EQ(1, sud_knob_write("0"));
	SUD_EXPECT_CONFIG(self->pid, self->native);
	EXPECT_EQ(0, sud_set(self->pid, sud_config_off()));
	SUD_EXPECT_CONFIG(self->pid, sud_config_off());
	EXPECT_EQ(0, sud_set(self->pid, sud_config_off()));
	EXPECT_EQ(-EPERM, sud_set(self->pid, self->native));
	SUD_EXPECT_CONFIG(self->pid, sud_config_off());
	EXPECT_TRUE(sud_exited(sud_run_to_end(self->pid), 40));
}

TEST_F(tracee, K3_A8_armed_tracee_keeps_going)
{
	struct ptrace_sud_config all = sud_config(SUD_EXCL, 0,
						  sud_config_top(), 0);

	ASSERT_EQ(0, sud_set(self->pid, self->native));
	ASSERT_EQ(1, sud_knob_write("0"));
	/* None of these is in force afterwards. */
	EXPECT_EQ(-EPERM, sud_set(self->pid, all));
	EXPECT_EQ(-EPERM, sud_set(self->pid, self->native));
	SUD_EXPECT_CONFIG(self->pid, self->native);
	EXPECT_TRUE(sud_exited(sud_run_to_end(self->pid), 41));
}

TEST_F(tracee, K3_back_to_1_arms_again_by_ptrace)
{
	ASSERT_EQ(1, sud_knob_write("0"));
	ASSERT_EQ(-EPERM, sud_set(self->pid, self->native));
	ASSERT_EQ(1, sud_knob_write("1"));
	EXPECT_EQ(0, sud_set(self->pid, self->native));
	SUD_EXPECT_CONFIG(self->pid, self->native);
	EXPECT_TRUE(sud_exited(sud_run_to_end(self->pid), 41));
}

TEST_HARNESS_MAIN
