// SPDX-License-Identifier: GPL-2.0
/*
 * Memory that the processes of the fuzzer share: the progress, the requests to
 * the tracee, and the differences between forecast and kernel. The first
 * difference ends the process that finds it.
 */
#include "difference.h"

#include <inttypes.h>

struct shared *shared;
const char *excuse = "";

/* End this process under any configuration: this is no system call. */
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

/* The place in which a difference by this rule is recorded. */
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

/* Record a difference. Does not return, unless the rule is excused. */
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

/* An error of the environment, not of the kernel: the program cannot go on. */
void trouble(const char *what)
{
	differs("-", what, "errno", 0, errno);
	end_here();
}
