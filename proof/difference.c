// SPDX-License-Identifier: GPL-2.0
/*
 * What the processes of the fuzzer share: how far the work is, what the tracee
 * is told, and the differences between what the model says and what is seen. The
 * first difference ends the process that finds it.
 */
#include "difference.h"

#include <inttypes.h>

struct shared *shared;
const char *excuse = "";

/* Ends this process, whatever is armed: it is no system call. */
void end_here(void)
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
struct difference *place_of(const char *rule)
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
bool differs(const char *rule, const char *where, const char *what,
	     uint64_t want, uint64_t got)
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

bool same(const char *rule, const char *where, const char *what,
	  uint64_t want, uint64_t got)
{
	return want == got || differs(rule, where, what, want, got);
}

/* Not about the kernel: the program cannot go on. */
void trouble(const char *what)
{
	differs("-", what, "errno", 0, errno);
	end_here();
}
