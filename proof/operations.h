/* SPDX-License-Identifier: GPL-2.0 */
#ifndef PROOF_OPERATIONS_H
#define PROOF_OPERATIONS_H

#include <stdio.h>

#include "handlers.h"
#include "model.h"
#include "world.h"

enum op_kind {
	/* prctl(): operation, offset, length, selector, way (0 native) */
	OP_ARM,
	/*
	 * a foreign call: way, number, byte, the handler's action, extra, salt
	 */
	OP_CALL,
	/* the state of the page of CELL_MOVING */
	OP_MEMORY,
	/* SIGSYS: disposition, flags of the handler, blocked */
	OP_SIGNAL,
	/* the operations up to OP_END are done in a child or in a thread */
	OP_FORK,
	OP_THREAD,
	OP_END,
	/* byte */
	OP_VFORK,
	/* how */
	OP_EXEC,
	/* calls while a sibling changes the byte: way, number, -, -, handler */
	OP_RACE,
	/*
	 * a call during a flood of signals: way, number, which, flags, handler
	 */
	OP_FLOOD,
	/* a signal while the byte is read: way, number, which, flags, handler */
	OP_PENDING,
	/* a value for the sysctl */
	OP_SYSCTL,
	/* prctl(): handler, three more arguments, way (0 native) */
	OP_ATTACH,
	/* a tracer's: mode, offset, length, selector, 1 + handler (0: it stays) */
	OP_TRACE_SET,
	OP_TRACE_GET,
	/* a wrong request; is it about the handler, too? */
	OP_TRACE_BAD,
	/* the tracee's call: way, number, byte, how it is resumed, salt */
	OP_TRACE_CALL,
	OP_TRACE_EXEC,
	OP_TRACE_FORK,
	N_KINDS
};

#define OP_PARAMS 6

struct op {
	uint8_t kind;
	uint16_t p[OP_PARAMS];
};

/* The action of the handler of OP_CALL after the byte allows again. */
enum handler_action {
	HANDLER_RETURN,
	/* gives the call another result */
	HANDLER_RESULT,
	/* makes the call again */
	HANDLER_RERUN,
	/* leaves by siglongjmp() */
	HANDLER_JUMP,
	/* makes another foreign call under BLOCK */
	HANDLER_NEST,
	/* sets another configuration, given by the extra, or none */
	HANDLER_REARM,
	HANDLER_OFF,
	/* attaches or detaches a handler, given by the extra */
	HANDLER_ATTACH,
	N_ACTIONS
};

/* The extra of OP_CALL: a sibling writes the byte. */
#define EXTRA_SIBLING	1

/* The changes of the page by OP_MEMORY. */
enum memory_state {
	MEMORY_ZERO,
	/* after BLOCK was written to it */
	MEMORY_DROPPED,
	MEMORY_READONLY_ALLOW,
	MEMORY_READONLY_BLOCK,
	MEMORY_NONE,
	MEMORY_UNMAPPED,
	N_MEMORY
};

/* The flags of OP_SIGNAL and similar operations. */
#define FLAG_NODEFER	1
#define FLAG_RESETHAND	2
#define FLAG_RESTART	4
#define FLAG_ONSTACK	8

/* The ways to resume a tracee. */
enum resume {
	RESUME_CONT,
	RESUME_SYSCALL,
	RESUME_SYSEMU,
	/* like the first, but the SIGSYS is not delivered */
	RESUME_SUPPRESS,
	/* single steps over a call that goes on at the handler */
	RESUME_STEP,
	RESUME_SYSEMU_STEP,
	N_RESUME
};

/*
 * struct random - the source of random numbers
 * @nodefer:	the handler was last set with SA_NODEFER
 * @direct:	handlers can be attached; if not, no operation concerns them
 */
struct random {
	uint64_t state;
	bool nodefer;
	bool direct;
};

/*
 * struct sequence - operations, to be done from a known state
 */
struct sequence {
	struct op *op;
	unsigned int n;
	unsigned int room;
};

extern const char *const op_names[N_KINDS];

int op_byte(unsigned int p);
struct ptrace_sud_config op_config(const uint16_t *p);
struct model_handler op_handler(const uint16_t *p);
void random_config(struct random *r, uint16_t *p);
void random_handler(struct random *r, uint16_t *p);
void sequence_make(struct sequence *s, uint64_t seed, unsigned int length,
		   bool alone, bool direct);
void sequence_print(FILE *file, const struct sequence *s);
const char *sequence_parse(struct sequence *s, const char *text);

#endif /* PROOF_OPERATIONS_H */
