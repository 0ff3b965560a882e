/* SPDX-License-Identifier: GPL-2.0 */
#ifndef PROOF_FORECAST_H
#define PROOF_FORECAST_H

#include "model.h"
#include "operations.h"

/**
 * struct tracee - a child of an actor, stopped except during one call at a time
 * @pid:	zero if there is none
 * @config:	as the model has it
 * @handler:	where its dispatched calls go on, or 0
 * @cells:	the bytes at the time of its creation
 */
struct tracee {
	pid_t pid;
	struct ptrace_sud_config config;
	uint64_t handler;
	struct cell cells[N_CELLS];
};

/**
 * struct actor - a thread that the model tracks
 * @config:	as it should be
 * @handler:	where its dispatched calls go on, or 0
 * @blocked:	is SIGSYS blocked?
 * @altstack:	does it have an alternate signal stack?
 * @outer:	the thread of the same process that waits for it, or NULL
 * @tracee:	its child that is traced
 */
struct actor {
	struct ptrace_sud_config config;
	uint64_t handler;
	bool blocked;
	bool altstack;
	struct actor *outer;
	struct tracee tracee;
};

enum native { NATIVE_EXEMPT, NATIVE_MIXED, NATIVE_CAUGHT };

enum ending { ENDS_RETURN, ENDS_JUMP, ENDS_SIGNAL, ENDS_EXIT };
enum writer { BY_SELF, BY_SIBLING, BY_VFORK_CHILD };

#define MAX_DISPATCHES 3

/* The origin of a SIGSYS. */
struct source {
	const struct way *way;		/* NULL: the plain template */
	uint64_t nr;
	enum entry_id entry;		/* of the handler; ENTRY_NONE: SIGSYS */
};

/*
 * struct call - a call, and the model's forecast
 * @way:	how it is made; NULL if by native code
 * @number:	which; NULL if it is the prctl() for @want
 * @attaches:	it is the prctl() for @attach instead
 * @attach:	the handler that this prctl() or the handler attaches
 * @byte:	the selector's value, or -1 if it does not change
 * @by:		who writes it
 * @action:	of the handler
 * @rearm:	the configuration it sets
 * @result:	the result it gives
 *
 * @cell:	the byte that is written, or NULL
 * @unblock:	first set to ALLOW by the handler, or NULL
 * @rule:	decides the fate of the call
 * @n:		dispatches
 * @source:	theirs
 * @end:	how it ends
 * @end_rule:	why
 * @sig:	the signal that ends the process
 * @ret:	the result
 * @ran:	was the call made?
 * @rearm_ret:	the result of the handler's own prctl()
 * @config:	the configuration afterwards
 * @handler:	and where its dispatched calls go on then
 * @after:	and the state of SIGSYS
 */
struct call {
	const struct way *way;
	const struct number *number;
	struct ptrace_sud_config want;
	bool attaches;
	struct model_handler attach;
	int byte;
	enum writer by;
	enum handler_action action;
	struct ptrace_sud_config rearm;
	uint64_t result;
	unsigned int salt;

	struct cell *cell;
	volatile uint8_t *unblock;
	const char *rule;
	unsigned int n;
	struct source source[MAX_DISPATCHES];
	enum ending end;
	const char *end_rule;
	int sig;
	uint64_t ret;
	bool ran;
	struct model_answer rearm_ret;
	struct ptrace_sud_config config;
	uint64_t handler;
	struct model_sigsys after;
};

extern struct model_kernel kernel;
/* Handlers return by a system call that can be dispatched. */
extern bool has_sigreturn;
/* Only one actor acts at a time. */
extern struct actor *me;
/* This belongs to the process; @blocked belongs to the thread. */
extern struct model_sigsys action;
extern pid_t parent;

struct model_sigsys sigsys_now(void);
enum native native_state(const struct ptrace_sud_config *c);
bool native_safe(const struct ptrace_sud_config *c);
uint64_t call_nr(const struct call *c);
int byte_for(const struct ptrace_sud_config *config,
	     const struct cell *written, uint8_t byte);
void foresee_run(struct call *c);
bool foresee_direct(struct call *c, const struct way *way, uint64_t nr);
bool acts_natively(enum handler_action action);
void foresee(struct call *c);

#endif /* PROOF_FORECAST_H */
