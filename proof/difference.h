/* SPDX-License-Identifier: GPL-2.0 */
#ifndef PROOF_DIFFERENCE_H
#define PROOF_DIFFERENCE_H

#include "operations.h"

#define MAX_EXCUSED	16

/**
 * struct difference - between the model's forecast and the kernel
 * @rule:	the rule of the forecast
 * @text:	the difference
 * @sequence:	and where
 * @count:	of those that do not count, how often
 */
struct difference {
	char rule[8];
	char text[200];
	uint64_t sequence;
	uint64_t count;
};

struct shared {
	uint64_t done;
	uint64_t made[N_KINDS];
	/* the worker's position, and the rule that decides there */
	volatile uint64_t sequence;
	volatile unsigned int at;
	const char *volatile rule;
	/* the worker's end */
	volatile bool failed;
	struct difference first;
	/* differences by rules that are excused */
	struct difference excused[MAX_EXCUSED];
	/* the request to the tracee, and its answer */
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
		/* the handler at which the first call went on */
		enum entry_id entry;
	} trace;
};

extern struct shared *shared;
/* The rules that this kernel need not keep, separated by commas. */
extern const char *excuse;

void end_here(void) __attribute__((noreturn));
void trouble(const char *what) __attribute__((noreturn));
bool differs(const char *rule, const char *where, const char *what,
	     uint64_t want, uint64_t got);
struct difference *place_of(const char *rule);
bool same(const char *rule, const char *where, const char *what, uint64_t want,
	  uint64_t got);

#endif /* PROOF_DIFFERENCE_H */
