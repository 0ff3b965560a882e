/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A random mix of system calls of all kinds, and the events that an observer
 * of system calls must see: for rules O1 and O2.
 */
#ifndef SUD_SCRIPT_H
#define SUD_SCRIPT_H

#include "sud.h"

/* The kinds of step. */
enum {
	/* a foreign call while the selector allows */
	SUD_STEP_ALLOWED,
	/* a native call while the selector blocks */
	SUD_STEP_EXEMPT,
	/* a foreign call while the selector blocks */
	SUD_STEP_DISPATCHED,
	/* the same, and its handler makes a native call */
	SUD_STEP_CALL_IN_HANDLER,
	/* the same, and its handler makes the call run */
	SUD_STEP_RERUN,
	SUD_STEP_KINDS
};

/*
 * The numbers of the calls are the test's own: no kernel implements them. They
 * are below 2048, the end of the bit masks of audit rules. Each kind of step
 * has its own numbers. On x86-64, every other step has the x32 bit.
 */
#define SUD_SCRIPT_FIRST	1000
#define SUD_SCRIPT_NUMBERS	80
#define SUD_SCRIPT_IN_HANDLER	500
#define SUD_SCRIPT_BEGIN	1998
#define SUD_SCRIPT_END		1999
#define SUD_SCRIPT_LAST		1999
#define SUD_SCRIPT_X32_BIT	SUD_NR(0)

#define SUD_SCRIPT_STEPS	300

enum { SUD_SEEN_OTHER, SUD_SEEN_ENTRY, SUD_SEEN_EXIT, SUD_SEEN_SIGSYS };

static const char *const sud_seen_names[] __attribute__((unused)) = {
	"something else", "entry", "exit", "SIGSYS"
};

/**
 * struct sud_seen - one event that an observer sees
 * @what:	SUD_SEEN_*
 * @nr:		the number of the call
 * @ret:	of an exit: the result of the call
 */
struct sud_seen {
	int what;
	long nr;
	long long ret;
};

/*
 * struct sud_script - the events that an observer must see, in order
 */
struct sud_script {
	unsigned int n;
	struct sud_seen seen[5 * SUD_SCRIPT_STEPS + 4];
};

static inline int sud_script_kind(long nr)
{
	return ((nr & ~SUD_SCRIPT_X32_BIT) - SUD_SCRIPT_FIRST) % SUD_STEP_KINDS;
}

/*
 * The number of the step's call. The script begins with one step of each kind.
 */
static inline long sud_script_step(unsigned int *seed, unsigned int i)
{
	unsigned int kind;

	*seed = *seed * 1103515245 + 12345;
	kind = (i < SUD_STEP_KINDS ? i : *seed >> 16) % SUD_STEP_KINDS;
	return (SUD_SCRIPT_FIRST + i % SUD_SCRIPT_NUMBERS * SUD_STEP_KINDS +
		kind) | (i & 1 ? SUD_SCRIPT_X32_BIT : 0);
}

static inline void sud_script_add(struct sud_script *s, int what, long nr,
				  long long ret)
{
	s->seen[s->n++] = (struct sud_seen){ what, nr, ret };
}

/* Add a call that runs. */
static inline void sud_script_add_run(struct sud_script *s, long nr,
				      long long ret)
{
	sud_script_add(s, SUD_SEEN_ENTRY, nr, 0);
	sud_script_add(s, SUD_SEEN_EXIT, nr, ret);
}

/**
 * sud_script_expect - the expected events of sud_script_run()
 * @s:		filled in
 * @seed:	the same as for sud_script_run()
 */
static inline void sud_script_expect(struct sud_script *s, unsigned int seed)
{
	unsigned int i;
	long nr;

	s->n = 0;
	sud_script_add_run(s, SUD_SCRIPT_BEGIN, -ENOSYS);
	for (i = 0; i < SUD_SCRIPT_STEPS; i++) {
		nr = sud_script_step(&seed, i);
		switch (sud_script_kind(nr)) {
		case SUD_STEP_ALLOWED:
		case SUD_STEP_EXEMPT:
			sud_script_add_run(s, nr, -ENOSYS);
			continue;
		}
		sud_script_add(s, SUD_SEEN_SIGSYS, nr, 0);
		if (sud_script_kind(nr) == SUD_STEP_CALL_IN_HANDLER)
			sud_script_add_run(s, nr + SUD_SCRIPT_IN_HANDLER,
					   -ENOSYS);
		sud_script_add_run(s, SYS_rt_sigreturn, nr);
		if (sud_script_kind(nr) == SUD_STEP_RERUN)
			sud_script_add_run(s, nr, -ENOSYS);
	}
	sud_script_add_run(s, SUD_SCRIPT_END, -ENOSYS);
}

/* Threads may run scripts at the same time, each with its own selector. */
static __thread volatile uint8_t *sud_script_selector __attribute__((unused));
static __thread unsigned int sud_script_wrong __attribute__((unused));

static inline void sud_script_native(long nr, long arg)
{
	if (syscall(nr, arg) != -1 || errno != ENOSYS)
		sud_script_wrong++;
}

static inline void sud_script_hook(siginfo_t *info, ucontext_t *uc)
{
	switch (sud_script_kind(info->si_syscall)) {
	case SUD_STEP_CALL_IN_HANDLER:
		sud_script_native(info->si_syscall + SUD_SCRIPT_IN_HANDLER, 0);
		break;
	case SUD_STEP_RERUN:
		*sud_script_selector = SUD_ALLOW;
		SUD_REG_IP(uc) -= SUD_INSN_LEN;
		break;
	}
}

/**
 * sud_script_run - make the calls
 * @seed:	says which
 * @selector:	the calling thread's, armed by sud_arm_native()
 * @id:		first argument of the call SUD_SCRIPT_BEGIN
 *
 * Needs sud_setup(). Uses sud_hook.
 *
 * Return: the number of calls with a wrong return value.
 */
static inline unsigned int sud_script_run(unsigned int seed,
					  volatile uint8_t *selector, long id)
{
	long nr, want;
	unsigned int i;

	sud_hook = sud_script_hook;
	sud_script_selector = selector;
	sud_script_wrong = 0;
	sud_script_native(SUD_SCRIPT_BEGIN, id);
	for (i = 0; i < SUD_SCRIPT_STEPS; i++) {
		nr = sud_script_step(&seed, i);
		want = nr;
		switch (sud_script_kind(nr)) {
		case SUD_STEP_EXEMPT:
			*selector = SUD_BLOCK;
			sud_script_native(nr, 0);
			*selector = SUD_ALLOW;
			continue;
		case SUD_STEP_ALLOWED:
		case SUD_STEP_RERUN:
			want = -ENOSYS;
		}
		if (sud_script_kind(nr) != SUD_STEP_ALLOWED)
			*selector = SUD_BLOCK;
		if (sud_foreign_call(nr, 0, 0, 0, 0, 0, 0) != want)
			sud_script_wrong++;
		*selector = SUD_ALLOW;
	}
	sud_script_native(SUD_SCRIPT_END, id);
	return sud_script_wrong;
}

#endif /* SUD_SCRIPT_H */
