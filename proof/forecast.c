// SPDX-License-Identifier: GPL-2.0
/*
 * The model's forecast of a call in the world of the fuzzer: all effects of
 * the call, and of the handler's action. No system call is made here.
 */
#include "forecast.h"

struct model_kernel kernel;
bool has_sigreturn;

/* ---- The actors ---- */

struct actor *me;
struct model_sigsys action;
pid_t parent;

struct model_sigsys sigsys_now(void)
{
	struct model_sigsys s = action;

	s.blocked = me->blocked;
	return s;
}

/* The effect of a configuration on the program's own calls. */
enum native native_state(const struct ptrace_sud_config *c)
{
	/* The end of the 64-bit addresses, and of the 32-bit ones. */
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
bool native_safe(const struct ptrace_sud_config *c)
{
	const struct cell *cell = cell_at(c->selector);

	return native_state(c) == NATIVE_EXEMPT ||
	       (cell->readable && cell->value == SUD_ALLOW);
}

/* ---- The forecast of one call ---- */

uint64_t call_nr(const struct call *c)
{
	return c->number ? c->number->nr : way_nr_prctl(c->way);
}

/* The value of a selector, while another byte may have a temporary value. */
int byte_for(const struct ptrace_sud_config *config,
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

void foresee_run(struct call *c)
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

/*
 * A dispatched call goes on at the handler. Return: false if the process ends.
 */
bool foresee_direct(struct call *c, const struct way *way, uint64_t nr)
{
	enum entry_id entry = entry_at(c->handler);

	if (entry == ENTRY_NONE) {
		foresee_death(c, SIGSEGV, "X9");
		return false;
	}
	c->source[c->n++] = (struct source) { way, nr, entry };
	return true;
}

/* A call of the plain template in the handler. Return: false if it ends. */
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

/* May the handler do its action? If not, it only returns. */
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

bool acts_natively(enum handler_action action)
{
	return action == HANDLER_REARM || action == HANDLER_OFF ||
	       action == HANDLER_ATTACH;
}

/* Fill in the model's forecast. */
void foresee(struct call *c)
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
		/* A native call: all of them run now. */
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
