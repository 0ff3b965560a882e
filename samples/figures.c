// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include <cpuid.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <x86intrin.h>

#include "figures.h"

static enum { NANOSECONDS, INSTRUCTIONS, NOTHING } unit;

/* The clock did not advance during most rounds. */
static bool coarse;

static bool is_emulated(void)
{
	unsigned int eax, name[3];

	__cpuid(1, eax, name[0], name[2], name[1]);
	if (!(name[2] & 1U << 31))
		return false;
	__cpuid(0x40000000, eax, name[0], name[1], name[2]);
	return memcmp(name, "TCGTCGTCGTCG", sizeof(name)) == 0;
}

/* The ticks of a loop of 2 * @rounds instructions, and of a few around it. Interrupts can only add ticks. */
static uint64_t ticks_of_loop(long rounds)
{
	uint64_t least = UINT64_MAX;

	for (int i = 0; i < 20; i++) {
		uint64_t ticks = __rdtsc();
		long left = rounds;

		__asm__ volatile("1: dec %0; jnz 1b" : "+r"(left));
		ticks = __rdtsc() - ticks;
		if (ticks < least)
			least = ticks;
	}
	return least;
}

/* The time stamp counter counts instructions exactly. */
static bool ticks_are_instructions(void)
{
	uint64_t one = ticks_of_loop(1000);

	return ticks_of_loop(2000) - one == 2 * 1000 && ticks_of_loop(8000) - one == 2 * 7000;
}

static double now(void)
{
	struct timespec ts;

	if (unit == INSTRUCTIONS)
		return (double)__rdtsc();
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return 1e9 * (double)ts.tv_sec + (double)ts.tv_nsec;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

void figures_begin(const char *what)
{
	static const char *const names[] = { ", in nanoseconds", ", in instructions", "" };
	char head[80];

	unit = !is_emulated() ? NANOSECONDS : ticks_are_instructions() ? INSTRUCTIONS : NOTHING;
	snprintf(head, sizeof(head), "%s%s:", what, names[unit]);
	printf("\n%-64s %9s %9s\n", head, "least", "median");
}

/*
 * Rounds of a few calls each: this spreads the cost of the clock over several calls and isolates interrupted
 * rounds. If the clock is so coarse that most rounds begin and end within one of its steps, only the mean of
 * all rounds is meaningful.
 */
void figure(const char *what, figure_calls make, long number, unsigned char state)
{
	static double round[FIGURE_ROUNDS];
	double sum = 0;

	for (int i = 0; i < FIGURE_ROUNDS; i++) {
		double start = now();

		make(number, FIGURE_BATCH, state);
		round[i] = (now() - start) / FIGURE_BATCH;
		sum += round[i];
	}
	qsort(round, FIGURE_ROUNDS, sizeof(round[0]), compare);
	if (unit == NOTHING) {
		printf("  %-62s %9s %9s\n", what, "-", "-");
	} else if (round[FIGURE_ROUNDS / 2] == 0) {
		coarse = true;
		printf("  %-62s %9s %9.0f\n", what, "-", sum / FIGURE_ROUNDS);
	} else {
		printf("  %-62s %9.0f %9.0f\n", what, round[0], round[FIGURE_ROUNDS / 2]);
	}
}

void figures_end(void)
{
	if (coarse)
		printf("  The clock is too coarse for a median: where there is no least, it is the mean.\n");
	if (unit == INSTRUCTIONS)
		printf("  QEMU counted them in the program and in the kernel. They are not times: for nanoseconds run\n"
		       "  the program under KVM (make run ACCEL=kvm) or on a real machine.\n");
	if (unit == NOTHING)
		printf("  No figures: this is an emulator that does not count instructions, and its times mislead.\n"
		       "  With -icount shift=0 QEMU counts them, as `make run` has it for its sample.\n");
}
