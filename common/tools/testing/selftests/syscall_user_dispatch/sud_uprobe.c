// SPDX-License-Identifier: GPL-2.0
/*
 * A probed function of an armed thread works as it does without the probe. On
 * x86-64 the kernel lets the program execute uretprobe() for the return of a
 * function, and uprobe() for a 10-byte nop. These calls are the kernel's own.
 * The program must not get them as SIGSYS.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/perf_event.h>
#include <linux/prctl.h>

#include "../kselftest_harness.h"

#define UPROBE_PMU	"/sys/bus/event_source/devices/uprobe/type"

/* The kernel's own error number for what it does not support. */
#ifndef ENOTSUPP
#define ENOTSUPP	524
#endif

/* The first call prepares the nop, the others use it. */
#define CALLS	3

static volatile char selector;
static volatile int dispatched;
static volatile int number;

static void handle_sigsys(int sig, siginfo_t *info, void *context)
{
	selector = SYSCALL_DISPATCH_FILTER_ALLOW;
	dispatched++;
	number = info->si_syscall;
}

/* A function with a nop that newer kernels turn into a call of uprobe(). */
int with_nop(int x);

/* A function whose return is probed. */
int plain(int x);

#ifdef __x86_64__
asm(".pushsection .text\n"
    ".balign 16\n"
    ".globl with_nop\n"
    ".type with_nop, @function\n"
    "with_nop:\n"
    ".byte 0x66, 0x2e, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0\n"
    ".globl plain\n"
    ".type plain, @function\n"
    "plain:\n"
    "lea 1(%rdi), %eax\n"
    "ret\n"
    ".size plain, . - plain\n"
    ".size with_nop, . - with_nop\n"
    ".popsection\n");
#else
int with_nop(int x)
{
	return x + 1;
}

int plain(int x)
{
	return x + 1;
}
#endif

/* Return: the offset of an address in the file of this program, or 0. */
static uint64_t file_offset(unsigned long address)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	unsigned long start, end, offset;
	uint64_t found = 0;
	char line[512];

	if (!maps)
		return 0;
	while (fgets(line, sizeof(line), maps)) {
		if (sscanf(line, "%lx-%lx %*s %lx", &start, &end, &offset) == 3 &&
		    start <= address && address < end)
			found = address - start + offset;
	}
	fclose(maps);
	return found;
}

FIXTURE(uprobe)
{
	int (*probed)(int x);
	int fd;
};

FIXTURE_VARIANT(uprobe)
{
	bool at_return;
};

FIXTURE_VARIANT_ADD(uprobe, entry)
{
	.at_return = false,
};

FIXTURE_VARIANT_ADD(uprobe, at_return)
{
	.at_return = true,
};

FIXTURE_SETUP(uprobe)
{
	struct perf_event_attr attr = {
		.size = sizeof(attr),
		.config = variant->at_return,
		.uprobe_path = (uintptr_t)"/proc/self/exe",
	};
	struct sigaction act = {
		.sa_sigaction = handle_sigsys,
		.sa_flags = SA_SIGINFO,
	};
	unsigned int type;
	FILE *file;

#ifndef __x86_64__
	SKIP(return, "Only x86-64 has system calls for probes");
#endif
	file = fopen(UPROBE_PMU, "r");
	if (!file)
		SKIP(return, "The kernel has no uprobe events");
	ASSERT_EQ(1, fscanf(file, "%u", &type));
	fclose(file);
	self->probed = variant->at_return ? plain : with_nop;
	attr.type = type;
	attr.probe_offset = file_offset((unsigned long)self->probed);
	self->fd = syscall(__NR_perf_event_open, &attr, 0, -1, -1, 0);
	if (self->fd < 0 && (errno == EACCES || errno == EPERM))
		SKIP(return, "No permission for a uprobe");
	if (self->fd < 0 && errno == ENOTSUPP)
		SKIP(return, "The kernel takes no uprobe on the 10-byte nop");
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, sigaction(SIGSYS, &act, NULL));
}

FIXTURE_TEARDOWN(uprobe)
{
	close(self->fd);
}

TEST_F(uprobe, calls_for_probes_are_not_dispatched)
{
	uint64_t hits;
	int i, ret;

	for (i = 0; i < CALLS; i++) {
		ASSERT_EQ(0, prctl(PR_SET_SYSCALL_USER_DISPATCH,
				   PR_SYS_DISPATCH_ON, 0, 0, &selector));
		selector = SYSCALL_DISPATCH_FILTER_BLOCK;
		ret = self->probed(i);
		selector = SYSCALL_DISPATCH_FILTER_ALLOW;
		ASSERT_EQ(0, dispatched) {
			TH_LOG("system call %d was dispatched", number);
		}
		ASSERT_EQ(i + 1, ret);
	}
	ASSERT_EQ(sizeof(hits), read(self->fd, &hits, sizeof(hits)));
	EXPECT_EQ(CALLS, hits);
}

#ifdef __x86_64__
/* Only the calls of the kernel are exempt, not their numbers. */
TEST_F(uprobe, same_numbers_are_dispatched)
{
	int nr;

	for (nr = 335; nr <= 336; nr++) {
		dispatched = 0;
		ASSERT_EQ(0, prctl(PR_SET_SYSCALL_USER_DISPATCH,
				   PR_SYS_DISPATCH_ON, 0, 0, &selector));
		selector = SYSCALL_DISPATCH_FILTER_BLOCK;
		EXPECT_EQ(nr, syscall(nr));
		selector = SYSCALL_DISPATCH_FILTER_ALLOW;
		EXPECT_EQ(1, dispatched);
		EXPECT_EQ(nr, number);
	}
}
#endif

TEST_HARNESS_MAIN
