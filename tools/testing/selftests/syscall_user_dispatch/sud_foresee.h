/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the model (sud_model.h) says of a call in the world of fuzz.c: all that
 * follows from it, the handler's doing included. No system call is made here.
 */
#ifndef SUD_FORESEE_H
#define SUD_FORESEE_H

#include "sud_model.h"
#include "sud_ops.h"

static struct model_kernel kernel;
/* Handlers return by a system call that can be dispatched. */
static bool has_sigreturn;

/* ---- Who acts ---- */

/**
 * struct tracee - a child of an actor that is stopped but for a call at a time
 * @pid:	zero if there is none
 * @config:	as the model has it
 * @handler:	where its dispatched calls go on, or 0
 * @cells:	the bytes, as they were when it was born
 */
struct tracee {
	pid_t pid;
	struct ptrace_sud_config config;
	uint64_t handler;
	struct cell cells[N_CELLS];
};

/**
 * struct actor - a thread of which the model keeps track
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

/* One acts at a time. */
static struct actor *me;
/* Of the process; @blocked is the thread's. */
static struct model_sigsys action;
static pid_t parent;

static struct model_sigsys sigsys_now(void)
{
	struct model_sigsys s = action;

	s.blocked = me->blocked;
	return s;
}

enum native { NATIVE_EXEMPT, NATIVE_MIXED, NATIVE_CAUGHT };

/* What a configuration makes of the program's own calls. */
static enum native native_state(const struct ptrace_sud_config *c)
{
	/* The end of what 64-bit, and what 32-bit addresses reach. */
	const uint64_t top = sizeof(long) == 8 ? 1ULL << 47 : 0xffffe000;
	bool below = c->len <= SUD_NATIVE && c->offset <= SUD_NATIVE - c->len;
	bool all = c->offset <= SUD_NATIVE && c->len >= top - c->offset;

	if (c->mode == SUD_OFF)
		return NATIVE_EXEMPT;
	if (c->mode == SUD_EXCL && all)
		return NATIVE_EXEMPT;
	if (c->mode == SUD_INCL && (below || c->offset >= top))
		return NATIVE_EXEMPT;
	if (c->mode == SUD_EXCL && (!c->len || below || c->offset >= top))
		return NATIVE_CAUGHT;
	if (c->mode == SUD_INCL && all)
		return NATIVE_CAUGHT;
	return NATIVE_MIXED;
}

/* Do all native calls run between operations? */
static bool native_safe(const struct ptrace_sud_config *c)
{
	const struct cell *cell = cell_at(c->selector);

	return native_state(c) == NATIVE_EXEMPT ||
	       (cell->readable && cell->value == SUD_ALLOW);
}

/* ---- One call, foreseen ---- */

enum ending { ENDS_RETURN, ENDS_JUMP, ENDS_SIGNAL, ENDS_EXIT };
enum writer { BY_SELF, BY_SIBLING, BY_VFORK_CHILD };

#define MAX_DISPATCHES 3

/* What a SIGSYS came from. */
struct source {
	const struct way *way;		/* NULL: the plain template */
	uint64_t nr;
	enum entry_id entry;		/* of the handler; ENTRY_NONE: SIGSYS */
};

/*
 * struct call - a call, and what the model says of it
 * @way:	how it is made; NULL if by native code
 * @number:	which; NULL if it is the prctl() for @want
 * @attaches:	it is the prctl() for @attach instead
 * @attach:	what that one, or the handler, attaches
 * @byte:	what the selector holds then, or -1 if it is left as it is
 * @by:		who writes it
 * @action:	of the handler
 * @rearm:	the configuration it sets
 * @result:	the result it gives
 *
 * @cell:	the byte that is written, or NULL
 * @unblock:	what the handler first sets to ALLOW, or NULL
 * @rule:	decides what becomes of the call
 * @n:		dispatches
 * @source:	theirs
 * @end:	how it ends
 * @end_rule:	why
 * @sig:	what the process dies of
 * @ret:	the result
 * @ran:	was the call made?
 * @rearm_ret:	what the handler's own prctl() returns
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

static uint64_t call_nr(const struct call *c)
{
	return c->number ? c->number->nr : way_nr_prctl(c->way);
}

/* Of a selector, while another byte holds something for the time being. */
static int byte_for(const struct ptrace_sud_config *config,
		    const struct cell *written, uint8_t byte)
{
	const struct cell *cell = cell_at(config->selector);

	if (!cell->readable)
		return MODEL_UNREADABLE;
	if (written && cell->write == written->write)
		return byte;
	return cell->value;
}

static struct model_answer foresee_set(struct call *c,
				       struct ptrace_sud_config want)
{
	struct model_answer answer = model_set(&kernel, &c->config, want);

	if (!answer.ret)
		c->handler = 0;
	return answer;
}

static struct model_answer foresee_attach(struct call *c, bool ia32)
{
	struct model_handler want = c->attach;
	unsigned int i;

	if (ia32) {
		want.addr = (uint32_t)want.addr;
		for (i = 0; i < 3; i++)
			want.rest[i] = (uint32_t)want.rest[i];
	}
	return model_attach(&kernel, &c->config, &c->handler, want);
}

static void foresee_run(struct call *c)
{
	struct model_answer answer;
	struct ptrace_sud_config want = c->want;

	c->ran = true;
	c->end = ENDS_RETURN;
	c->end_rule = c->rule;
	if (!c->number && c->attaches) {
		answer = foresee_attach(c, c->way && c->way->ia32);
		c->ret = answer.ret;
		c->end_rule = answer.rule;
	} else if (!c->number) {
		if (c->way && c->way->ia32) {
			want.mode = (uint32_t)want.mode;
			want.offset = (uint32_t)want.offset;
			want.len = (uint32_t)want.len;
			want.selector = (uint32_t)want.selector;
		}
		answer = foresee_set(c, want);
		c->ret = answer.ret;
		c->end_rule = answer.rule;
	} else if (c->number->call == CALL_EXIT) {
		c->end = ENDS_EXIT;
	} else if (c->number->call == CALL_GETPPID &&
		   (int64_t)c->number->ran[c->way - ways] >= 0) {
		c->ret = parent;
	} else {
		c->ret = c->number->ran[c->way - ways];
	}
}

static void foresee_death(struct call *c, int sig, const char *rule)
{
	c->end = ENDS_SIGNAL;
	c->sig = sig;
	c->end_rule = rule;
}

/* A dispatched call goes on at the handler. False: that is the end. */
static bool foresee_direct(struct call *c, const struct way *way, uint64_t nr)
{
	enum entry_id entry = entry_at(c->handler);

	if (entry == ENTRY_NONE) {
		foresee_death(c, SIGSEGV, "X9");
		return false;
	}
	c->source[c->n++] = (struct source) { way, nr, entry };
	return true;
}

/* A call of the plain template in the handler. False: that is the end. */
static bool foresee_nested(struct call *c)
{
	struct model_sigsys *s = &c->after;
	struct model_call o;
	bool blocked = s->blocked;

	o = model_call(&kernel, &c->config, sud_foreign_ip(),
		       byte_for(&c->config, c->cell, SUD_BLOCK));
	if (o.fate == MODEL_RUNS)
		return true;
	if (model_direct(c->handler, SUD_WORD_BITS == 32))
		return foresee_direct(c, NULL, SUD_NR_CLOSE);
	if (!model_raise(s)) {
		foresee_death(c, SIGSYS, "D6");
		return false;
	}
	s->blocked = blocked;
	c->source[c->n++] = (struct source) { NULL, SUD_NR_CLOSE, ENTRY_NONE };
	return true;
}

/* May the handler do what it is to do? If not, it just returns. */
static bool foresee_rearm(struct call *c)
{
	struct ptrace_sud_config config = c->config;

	if (c->action == HANDLER_ATTACH) {
		c->rearm_ret = foresee_attach(c, false);
		return true;
	}
	c->rearm_ret = model_set(&kernel, &config, c->rearm);
	if (!native_safe(&config))
		return false;
	c->rearm_ret = foresee_set(c, c->rearm);
	return true;
}

static bool acts_natively(enum handler_action action)
{
	return action == HANDLER_REARM || action == HANDLER_OFF ||
	       action == HANDLER_ATTACH;
}

/* Fill in what the model says. */
static void foresee(struct call *c)
{
	uint8_t byte;
	struct model_call o;
	bool blocked, direct;

	c->config = me->config;
	c->handler = me->handler;
	c->after = sigsys_now();
	c->n = 0;
	c->ran = false;
	c->cell = NULL;
	c->unblock = NULL;
	if (!c->way) {
		/* By native code, all of which runs now. */
		c->rule = "A9";
		foresee_run(c);
		return;
	}
	if (c->byte >= 0) {
		c->cell = cell_at(c->config.selector);
		if (c->config.mode == SUD_OFF)
			c->cell = &cells[CELL_PLAIN];
		if (!c->cell->write)
			c->cell = NULL;
	}
	byte = c->byte;
	direct = model_direct(c->handler, c->way->ia32);
	if (acts_natively(c->action) || (has_sigreturn && !direct))
		c->unblock = cell_at(c->config.selector)->write;
	if (native_state(&c->config) == NATIVE_EXEMPT &&
	    (c->action == HANDLER_RETURN || c->action == HANDLER_RESULT))
		c->unblock = NULL;
	blocked = c->after.blocked;

	for (;;) {
		o = model_call(&kernel, &c->config, c->way->ip,
			       byte_for(&c->config, c->cell, byte));
		if (!c->n)
			c->rule = o.rule;
		if (o.fate == MODEL_DIES) {
			foresee_death(c, o.sig, o.rule);
			return;
		}
		if (o.fate == MODEL_RUNS) {
			foresee_run(c);
			return;
		}
		if (direct && !foresee_direct(c, c->way, call_nr(c)))
			return;
		if (!direct && !model_raise(&c->after)) {
			foresee_death(c, SIGSYS, c->n ? "D6" : "D5");
			return;
		}
		if (!direct)
			c->source[c->n++] = (struct source) { c->way, call_nr(c),
							      ENTRY_NONE };
		c->end = ENDS_RETURN;
		c->end_rule = direct ? "X3" : "D3";
		c->ret = c->way->ia32 ? (uint32_t)call_nr(c) :
					(sud_uword)call_nr(c);
		if (c->unblock)
			byte = SUD_ALLOW;
		if (c->n > 1)
			break;
		if (acts_natively(c->action) && !foresee_rearm(c))
			c->action = HANDLER_RETURN;
		if (c->action == HANDLER_RESULT)
			c->ret = c->result;
		if (c->action == HANDLER_JUMP)
			c->end = ENDS_JUMP;
		if (c->action == HANDLER_NEST && !foresee_nested(c))
			return;
		if (c->action != HANDLER_RERUN)
			break;
		if (c->cell)
			byte = SUD_ALLOW;
		c->after.blocked = blocked;
	}
	c->after.blocked = blocked;
}

#endif /* SUD_FORESEE_H */
