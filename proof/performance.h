/* SPDX-License-Identifier: GPL-2.0 */
#ifndef PROOF_PERFORMANCE_H
#define PROOF_PERFORMANCE_H

#include <semaphore.h>
#include <setjmp.h>

#include "difference.h"
#include "forecast.h"

#define MAX_RECORDS	4

struct record {
	/*
	 * ENTRY_NONE: by SIGSYS. Otherwise only the last of these fields is
	 * set.
	 */
	enum entry_id entry;
	siginfo_t info;
	/* without its tail */
	ucontext_t uc;
	/* its address on the stack */
	uintptr_t frame;
	struct handler_frame direct;
};

enum sibling_task { SIBLING_WRITE, SIBLING_FLIP, SIBLING_SIGNAL };

struct sibling {
	pid_t pid;
	sem_t go;
	sem_t done;
	enum sibling_task task;
	volatile uint8_t *write;
	uint8_t byte;
	int sig;
	pid_t tid;
	/* the number of signals sent */
	volatile unsigned int sent;
	volatile bool ready;
	volatile bool written;
	volatile bool stop;
};

extern struct record records[MAX_RECORDS];
extern volatile unsigned int n_records;
/* The call in progress. */
extern struct call *volatile plan;
extern sigjmp_buf escape;

/*
 * The number of signals that are no dispatches, and the dispatches before
 * them.
 */
extern volatile unsigned int n_others, others_after;
extern volatile int other_code;
/* The instruction before which the last of these arrived. */
extern volatile uint64_t other_ip;

/* No native call is sure to run; the process survives this many dispatches. */
extern volatile unsigned int locked_in;
/* The last call left its handler by siglongjmp(). */
extern bool jumped;
/* The child that wrote the byte of BY_VFORK_CHILD. */
extern pid_t vforked;
extern struct sibling sibling;
extern const char *const reg_names[];

void set_action(int sig, enum model_disposition disposition, int flags);
void set_sigsys(struct model_sigsys s);
struct model_sigsys sigsys_of(int disposition, int flags, bool blocked);
bool map_altstack(void);
void start_sibling(enum sibling_task task);
void stop_sibling(void);
void call_by_vfork_child(struct call *c);
void make_call(struct call *c);
void perform(struct call *c);
bool compare_siginfo(const siginfo_t *info, uint64_t nr, uint64_t ip,
		     uint32_t arch);
bool compare_record(struct record *r, const struct source *source);
bool compare_registers(const struct way *way, const char *rule, uint64_t ret);
bool compare(struct call *c);

#endif /* PROOF_PERFORMANCE_H */
