/* SPDX-License-Identifier: GPL-2.0 */
#ifndef PROOF_MODEL_H
#define PROOF_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "sud_ptrace.h"

/**
 * struct model_kernel - the differences between kernels
 * @top:	the greatest unsigned long
 * @inclusive:	it knows PR_SYS_DISPATCH_INCLUSIVE_ON
 * @direct:	it knows PR_SET_SYSCALL_USER_DISPATCH_HANDLER
 * @forbidden:	the administrator has switched arming off
 */
struct model_kernel {
	uint64_t top;
	bool inclusive;
	bool direct;
	bool forbidden;
};

/**
 * struct model_answer - the result of setting a configuration
 * @ret:	0, or the negative error number
 * @rule:	why
 */
struct model_answer {
	int ret;
	const char *rule;
};

/**
 * struct model_handler - the arguments that attach a handler
 * @addr:	its address, or 0 to detach it
 * @rest:	the arguments that must be 0
 */
struct model_handler {
	uint64_t addr;
	uint64_t rest[3];
};

enum model_fate { MODEL_RUNS, MODEL_DISPATCHED, MODEL_DIES };

/**
 * struct model_call - the fate of a system call
 * @fate:	is it run, reported by SIGSYS, or the end of the process?
 * @sig:	the signal that ends the process
 * @rule:	why
 */
struct model_call {
	enum model_fate fate;
	int sig;
	const char *rule;
};

/* The argument of model_call() for a byte that cannot be read. */
#define MODEL_UNREADABLE	(-1)

enum model_disposition { MODEL_HANDLER, MODEL_IGNORE, MODEL_DEFAULT };

/*
 * struct model_sigsys - the state of SIGSYS in a process and a thread
 */
struct model_sigsys {
	enum model_disposition disposition;
	bool nodefer;
	bool resethand;
	bool restart;
	bool onstack;
	bool blocked;
};

struct model_answer model_set(const struct model_kernel *k,
			      struct ptrace_sud_config *c,
			      struct ptrace_sud_config want);
struct model_answer model_set_traced(const struct model_kernel *k,
				     struct ptrace_sud_config *c,
				     struct ptrace_sud_config want);
struct model_answer model_attach(const struct model_kernel *k,
				 const struct ptrace_sud_config *c,
				 uint64_t *handler, struct model_handler want);
void model_keep_handler(const struct ptrace_sud_config *c, uint64_t *handler);
bool model_direct(uint64_t handler, bool ia32);
struct model_call model_call(const struct model_kernel *k,
			     const struct ptrace_sud_config *c, uint64_t ip,
			     int byte);
bool model_raise(struct model_sigsys *s);
const char *model_signal_rule(uint64_t nr, const char *rule);

#endif /* PROOF_MODEL_H */
