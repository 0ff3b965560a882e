/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the processes of fuzz.c share: how far the work is, what the tracee is
 * told, and the differences between what should be and what is seen. The first
 * one of these ends the process that finds it.
 */
#ifndef SUD_DIFFER_H
#define SUD_DIFFER_H

#include <inttypes.h>

#include "sud_ops.h"

#define MAX_EXCUSED	16

/**
 * struct difference - between what the model says and what is seen
 * @rule:	by which the model says it
 * @text:	what differs
 * @sequence:	and where
 * @count:	of those that do not count, how often
 */
struct difference {
	char rule[8];
	char text[200];
	uint64_t sequence;
	uint64_t count;
};

static struct shared {
	uint64_t done;
	uint64_t made[N_KINDS];
	/* where the worker is, and what rule decides there */
	volatile uint64_t sequence;
	volatile unsigned int at;
	const char *volatile rule;
	/* the worker's end */
	volatile bool failed;
	struct difference first;
	/* differences that do not count */
	struct difference excused[MAX_EXCUSED];
	/* for the tracee, and what it answers */
	struct {
		volatile int command;
		unsigned int way;
		uint64_t nr;
		enum call_id id;
		unsigned int salt;
		volatile uint8_t *write;
		uint8_t byte;
		bool unblock;
		uint64_t out[SUD_NR_REGS];
		unsigned int dispatches;
		/* where the first of them went on */
		enum entry_id entry;
	} trace;
} *shared;

/* Rules that this kernel need not keep, with commas between. */
static const char *excuse = "";

/* Ends this process, whatever is armed: it is no system call. */
static void __attribute__((noreturn)) end_here(void)
{
	for (;;)
		asm volatile("ud2");
}

static bool listed(const char *rule)
{
	const char *at = excuse;
	size_t len;

	while (*at) {
		len = strcspn(at, ",");
		if (len == strlen(rule) && !strncmp(at, rule, len))
			return true;
		at += len + (at[len] == ',');
	}
	return false;
}

/* Where a difference by this rule is noted. */
static struct difference *place_of(const char *rule)
{
	struct difference *d = shared->excused;

	if (!listed(rule))
		return &shared->first;
	while (d->count && strcmp(d->rule, rule) &&
	       d < &shared->excused[MAX_EXCUSED - 1])
		d++;
	return d;
}

/*
 * Something is not what it should be. Does not return, unless the rule is one
 * of those of which that is known.
 */
static bool __attribute__((noinline))
differs(const char *rule, const char *where, const char *what, uint64_t want,
	uint64_t got)
{
	struct difference *d = place_of(rule);

	if (d != &shared->first) {
		if (d->count++)
			return false;
	} else if (shared->failed) {
		end_here();
	}
	snprintf(d->rule, sizeof(d->rule), "%s", rule);
	snprintf(d->text, sizeof(d->text),
		 "%s, %s: expected %#" PRIx64 ", seen %#" PRIx64, where, what,
		 want, got);
	d->sequence = shared->sequence;
	if (d != &shared->first)
		return false;
	shared->failed = true;
	end_here();
}

static inline bool same(const char *rule, const char *where, const char *what,
			uint64_t want, uint64_t got)
{
	return want == got || differs(rule, where, what, want, got);
}

/* Not about the kernel: the program cannot go on. */
static void __attribute__((noreturn)) trouble(const char *what)
{
	differs("-", what, "errno", 0, errno);
	end_here();
}

#endif /* SUD_DIFFER_H */
