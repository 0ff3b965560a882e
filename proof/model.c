// SPDX-License-Identifier: GPL-2.0
/*
 * A model of Syscall User Dispatch: the contract with user space on a thread's
 * configuration, on a system call and on the signal that it raises.
 *
 * It is made from the contract alone, rule by rule, and does not depend on any
 * kernel's implementation. It makes no system call and reads no memory. Every
 * answer names its rule.
 */
#include "model.h"

#include <errno.h>
#include <signal.h>

/*
 * Is this clearly an address of user space? The model does not know the edge.
 */
static bool model_user_address(const struct model_kernel *k, uint64_t addr)
{
	return addr < (k->top > UINT32_MAX ? 1ULL << 47 : 0xc0000000);
}

/*
 * model_set - set a configuration, by prctl() or by a tracer
 * @c:		the present one; replaced on success @want: the new one
 */
struct model_answer
model_set(const struct model_kernel *k, struct ptrace_sud_config *c,
	  struct ptrace_sud_config want)
{
	uint64_t end = (want.offset + want.len) & k->top;
	struct model_answer ok = { 0, "A9" };

	switch (want.mode) {
	case SUD_OFF:
		if (want.offset || want.len || want.selector)
			return (struct model_answer) { -EINVAL, "A2" };
		*c = want;
		ok.rule = "A2";
		return ok;
	case SUD_EXCL:
		if (want.offset && end <= want.offset)
			return (struct model_answer) { -EINVAL, "A3" };
		if (!want.offset)
			ok.rule = "A4";
		break;
	case SUD_INCL:
		if (!k->inclusive)
			return (struct model_answer) { -EINVAL, "A1" };
		if (!want.len || end <= want.offset)
			return (struct model_answer) { -EINVAL, "A5" };
		break;
	default:
		return (struct model_answer) { -EINVAL, "A1" };
	}
	if (k->forbidden)
		return (struct model_answer) { -EPERM, "K3" };
	if (!model_user_address(k, want.selector))
		return (struct model_answer) { -EFAULT, "A6" };
	*c = want;
	return ok;
}

/*
 * model_set_traced - the same by a tracer, whose numbers may be too wide
 */
struct model_answer
model_set_traced(const struct model_kernel *k, struct ptrace_sud_config *c,
		 struct ptrace_sud_config want)
{
	struct model_answer answer;

	if (want.mode > k->top || want.offset > k->top || want.len > k->top)
		return (struct model_answer) { -EINVAL, "P5" };
	answer = model_set(k, c, want);
	if (answer.ret == -EFAULT && want.selector > k->top)
		answer.rule = "P5";
	return answer;
}

/* ---- A handler, for dispatch without a signal ---- */

/*
 * model_attach - attach a handler, by prctl() or by a tracer
 * @c:		the thread's configuration. If the thread replaces it, that detaches.
 * @handler:	the present one; replaced on success @want: the new one
 */
struct model_answer
model_attach(const struct model_kernel *k, const struct ptrace_sud_config *c,
	     uint64_t *handler, struct model_handler want)
{
	int ret = 0;

	if (want.rest[0] || want.rest[1] || want.rest[2])
		ret = -EINVAL;
	else if (want.addr && c->mode == SUD_OFF)
		ret = -EINVAL;
	else if (want.addr && k->forbidden)
		ret = -EPERM;
	else if (!model_user_address(k, want.addr))
		ret = -EFAULT;
	else
		*handler = want.addr;
	return (struct model_answer) { ret, "X1" };
}

/*
 * model_keep_handler - update the handler after a tracer set @c
 */
void model_keep_handler(const struct ptrace_sud_config *c,
			uint64_t *handler)
{
	if (c->mode == SUD_OFF)
		*handler = 0;
}

/*
 * model_direct - does a call that is dispatched go on at the handler?
 * @handler:	the thread's, or 0
 * @ia32:	did it come by anything but the syscall instruction?
 */
bool model_direct(uint64_t handler, bool ia32)
{
	return handler && !ia32;
}

/* ---- A system call ---- */

/*
 * model_call - a system call of a thread
 * @c:		the thread's configuration
 * @ip:		the address after the instruction
 * @byte:	the value at the selector's address, or MODEL_UNREADABLE
 */
struct model_call
model_call(const struct model_kernel *k, const struct ptrace_sud_config *c,
	   uint64_t ip, int byte)
{
	switch (c->mode) {
	case SUD_OFF:
		return (struct model_call) { MODEL_RUNS, 0, "A2" };
	case SUD_EXCL:
		/* So far from its start, as the addresses count. */
		if (((ip - c->offset) & k->top) < c->len)
			return (struct model_call) { MODEL_RUNS, 0, "R1" };
		break;
	case SUD_INCL:
		if (ip < c->offset || ip - c->offset >= c->len)
			return (struct model_call) { MODEL_RUNS, 0, "R2" };
		break;
	}
	if (!c->selector)
		return (struct model_call) { MODEL_DISPATCHED, 0, "S1" };
	if (byte == MODEL_UNREADABLE)
		return (struct model_call) { MODEL_DIES, SIGSEGV, "F2" };
	if (byte == SUD_ALLOW)
		return (struct model_call) { MODEL_RUNS, 0, "S2" };
	if (byte == SUD_BLOCK)
		return (struct model_call) { MODEL_DISPATCHED, 0, "S2" };
	return (struct model_call) { MODEL_DIES, SIGSYS, "F1" };
}

/* ---- The signal ---- */

/**
 * model_raise - a dispatch
 * @s:		as it is in the handler afterwards; its return restores @blocked
 *
 * Return: true if the handler is called, false if the process dies of SIGSYS.
 */
bool model_raise(struct model_sigsys *s)
{
	if (s->blocked || s->disposition != MODEL_HANDLER)
		return false;
	if (s->resethand)
		s->disposition = MODEL_DEFAULT;
	if (!s->nodefer)
		s->blocked = true;
	return true;
}

/* Numbers that a kernel could confuse with the result of a call to restart. */
static bool model_looks_restarted(uint64_t nr)
{
	switch ((int32_t)nr) {
	case -512: case -513: case -514: case -516: case -1:
		return true;
	}
	return false;
}

/*
 * model_signal_rule - the rule for a dispatch of this number
 * @rule:	the rule for any other number
 */
const char *model_signal_rule(uint64_t nr, const char *rule)
{
	return model_looks_restarted(nr) ? "D7" : rule;
}
