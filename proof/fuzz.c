// SPDX-License-Identifier: GPL-2.0
/*
 * Syscall User Dispatch: random operations, each compared with the forecast of
 * a model of the contract (model.c).
 *
 * The operations (operations.c) form sequences. Each sequence begins from a
 * known state and can be repeated by itself. A worker process runs them. An
 * operation runs in a child if it ends its process, or if no system call of
 * the process is sure to run afterwards. If a result differs, the sequence is
 * shortened while the difference remains, and is printed.
 *
 * Between operations every system call of the program itself runs: either all
 * native code is exempt, or the selector is at ALLOW.
 */
#include <err.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/futex.h>
#include <linux/sched.h>
#include <sys/resource.h>
#include <time.h>

#include "performance.h"
#include "sud_asleep.h"
#include "sud_beside.h"
#include "sud_uffd.h"

/* A sequence that takes longer than this hangs. */
#define PATIENCE	60
#define MAX_LENGTH	100000
#define MAX_DEPTH	4

static bool has_ptrace, has_uffd;
static int sysctl_fd = -1;
static char probe_path[PATH_MAX];

/* ---- Children ---- */

/* Each sequence begins with dispatch off: a foreign call runs, at any byte. */
static void begin_off(void)
{
	struct call c = { .way = &ways[WAY_OWN], .byte = -1, .rule = "L1" };
	enum cell_id id;

	c.number = way_number(c.way, 1);
	c.end_rule = c.rule;
	foresee_run(&c);
	for (id = 0; id < N_CELLS; id++) {
		if (cells[id].write)
			*cells[id].write = SUD_BLOCK;
	}
	perform(&c);
	cells_restore();
	compare(&c);
}

/* Called by the calling thread, which is the only one here. */
static void become_child(void)
{
	struct actor *child = calloc(1, sizeof(*child));

	if (!child)
		trouble("calloc");
	child->blocked = me->blocked;
	child->altstack = me->altstack;
	me = child;
	parent = getppid();
	if (!cells_unshare())
		trouble("memfd");
	begin_off();
}

static pid_t start_child(void)
{
	pid_t pid = fork();

	if (pid < 0)
		trouble("fork");
	if (pid == 0)
		become_child();
	return pid;
}

/* The wait status. If a child finds a difference, its parent ends, too. */
static int end_of_child(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, __WALL) != pid) {
		if (errno != EINTR)
			trouble("waitpid");
	}
	if (shared->failed)
		end_here();
	cells_restore();
	return status;
}

/* Attach a handler that the calling thread can attach for certain. */
static bool attach(uint64_t addr)
{
	struct model_answer answer;
	struct model_handler want = { .addr = addr };

	answer = model_attach(&kernel, &me->config, &me->handler, want);
	return same(answer.rule, "prctl()", "what attaching returns",
		    answer.ret, sud_set_handler(addr, 0, 0, 0));
}

/* Arm the child as its parent was. Return: false if this is forbidden now. */
static bool arm_again(struct ptrace_sud_config config, uint64_t handler)
{
	struct model_answer answer;

	if (config.mode == SUD_OFF)
		return true;
	answer = model_set(&kernel, &me->config, config);
	same(answer.rule, "prctl() in a child", "what it returns", answer.ret,
	     sud_prctl(config.mode, config.offset, config.len,
		       config.selector));
	if (!answer.ret && handler)
		attach(handler);
	return !answer.ret;
}

/* The status of a child that could not be armed. */
#define EXIT_FORBIDDEN	51

/*
 * In a child in which every native call is dispatched: the fate of a foreign
 * call. Parent and child must agree on it.
 */
static int foresee_locked_in(const struct ptrace_sud_config *config,
			     uint64_t handler, struct call *c)
{
	struct model_sigsys s = sigsys_now();
	struct model_call o;

	memset(c, 0, sizeof(*c));
	c->way = &ways[WAY_OWN];
	c->number = &numbers_64[1];
	if (c->way->ia32)
		c->number = &numbers_32[1];
	c->byte = -1;
	c->config = *config;
	c->handler = handler;
	o = model_call(&kernel, config, c->way->ip,
		       byte_for(config, NULL, 0));
	c->rule = o.rule;
	c->end_rule = o.rule;
	locked_in = 0;
	if (o.fate == MODEL_DIES)
		return o.sig;
	if (o.fate == MODEL_RUNS) {
		foresee_run(c);
		return SIGILL;
	}
	c->ret = call_nr(c);
	c->end_rule = "X3";
	if (model_direct(handler, c->way->ia32))
		return foresee_direct(c, c->way, c->ret) ? SIGILL : c->sig;
	c->source[c->n++] = (struct source) { c->way, call_nr(c), ENTRY_NONE };
	c->end_rule = "D5";
	if (!model_raise(&s))
		return SIGSYS;
	c->end_rule = "V1";
	if (!has_sigreturn)
		return SIGILL;
	/* The return from the handler is another call, by native code. */
	locked_in = 1;
	if (native_state(config) == NATIVE_MIXED)
		return SIGILL;
	locked_in = 2;
	c->end_rule = "D6";
	return model_raise(&s) ? SIGILL : SIGSYS;
}

static void __attribute__((noreturn)) be_locked_in(void)
{
	struct call c;

	foresee_locked_in(&me->config, me->handler, &c);
	perform(&c);
	compare(&c);
	end_here();
}

/* Made by a second thread, if the salt says so. */
struct last_call {
	struct call *c;
	struct ptrace_sud_config config;
	uint64_t handler;
};

static void *make_last_call(void *arg)
{
	struct last_call *last = arg;
	struct call *c = last->c;

	if (!arm_again(last->config, last->handler))
		_exit(EXIT_FORBIDDEN);
	foresee(c);
	perform(c);
	/* It must not return, or no native call runs any more. */
	if (c->end == ENDS_SIGNAL || c->end == ENDS_EXIT) {
		differs(c->end_rule, "the call", "comes back", 0, 1);
		end_here();
	}
	compare(c);
	me->config = c->config;
	me->handler = c->handler;
	me->blocked = c->after.blocked;
	be_locked_in();
}

/* A call after which its process is dead or cannot go on. */
static void call_in_child(struct call *c)
{
	bool armed = me->config.mode != SUD_OFF;
	struct last_call last = { c, me->config, me->handler };
	const char *rule = c->end_rule;
	int want, status;
	struct call probe;
	pthread_t thread;
	pid_t pid;

	if (armed && kernel.forbidden) {
		want = EXIT_FORBIDDEN << 8;
		rule = "K3";
	} else if (c->end == ENDS_SIGNAL) {
		want = c->sig;
	} else if (c->end == ENDS_EXIT) {
		want = EXIT_CODE << 8;
	} else {
		want = foresee_locked_in(&c->config, c->handler, &probe);
		rule = probe.end_rule;
		locked_in = 0;
	}
	shared->rule = rule;
	pid = start_child();
	if (pid == 0) {
		if (c->salt % 8)
			make_last_call(&last);
		/* It has no alternate stack of its own. */
		me->altstack = false;
		if (pthread_create(&thread, NULL, make_last_call, &last))
			trouble("pthread_create");
		pthread_join(thread, NULL);
		end_here();
	}
	status = end_of_child(pid);
	same(rule, "the child", "wait status", want, status & ~0x80);
}

static void commit(struct call *c)
{
	me->config = c->config;
	me->handler = c->handler;
	me->blocked = c->after.blocked;
	action = c->after;
}

static void run_call(struct call *c)
{
	foresee(c);
	if (c->end == ENDS_SIGNAL || c->end == ENDS_EXIT ||
	    !native_safe(&c->config)) {
		call_in_child(c);
		return;
	}
	perform(c);
	compare(c);
	commit(c);
}

/* ---- The operations, except those of the tracer ---- */

static const struct way *way_of(unsigned int p)
{
	const struct way *way = &ways[p % N_WAYS];

	return way->there ? way : &ways[WAY_OWN];
}

static struct ptrace_sud_config as_argument(struct ptrace_sud_config c)
{
	c.mode = (sud_uword)c.mode;
	c.offset = (sud_uword)c.offset;
	c.len = (sud_uword)c.len;
	c.selector = (sud_uword)c.selector;
	return c;
}

static void op_arm(const uint16_t *p)
{
	struct call c = {
		.way = p[4] ? way_of(p[4] - 1) : NULL,
		.want = as_argument(op_config(p)),
		.byte = -1,
		.salt = p[5],
	};

	run_call(&c);
}

static struct model_handler handler_as_argument(const uint16_t *p)
{
	struct model_handler h = op_handler(p);
	unsigned int i;

	h.addr = (sud_uword)h.addr;
	for (i = 0; i < 3; i++)
		h.rest[i] = (sud_uword)h.rest[i];
	return h;
}

static void op_attach(const uint16_t *p)
{
	struct call c = {
		.way = p[4] ? way_of(p[4] - 1) : NULL,
		.attaches = true,
		.attach = handler_as_argument(p),
		.byte = -1,
		.salt = p[5],
	};

	run_call(&c);
}

static void op_call(const uint16_t *p)
{
	const struct way *way = way_of(p[0]);
	struct random r = { .state = p[4] };
	struct call c = {
		.way = way,
		.number = way_number(way, p[1]),
		.byte = op_byte(p[2]),
		.by = p[4] & EXTRA_SIBLING ? BY_SIBLING : BY_SELF,
		.action = p[3] % N_ACTIONS,
		.result = (sud_uword)mix(p[4]),
		.salt = p[5],
	};
	uint16_t config[4], attach[4] = { };

	if (c.action == HANDLER_REARM) {
		random_config(&r, config);
		c.rearm = as_argument(op_config(config));
	}
	if (c.action == HANDLER_ATTACH) {
		random_handler(&r, attach);
		c.attach = handler_as_argument(attach);
	}
	run_call(&c);
}

/* Is all native code exempt, for all armed threads? */
static bool all_exempt(void)
{
	struct actor *actor;

	for (actor = me; actor; actor = actor->outer) {
		if (native_state(&actor->config) != NATIVE_EXEMPT)
			return false;
	}
	return true;
}

/* The operation had no effect. */
static bool idle;

static bool set_memory(enum memory_state state)
{
	struct cell *cell = &cells[CELL_MOVING];
	void *page = cell_page(CELL_MOVING);

	if (!cells_moving())
		return false;
	switch (state) {
	case MEMORY_ZERO:
		return true;
	case MEMORY_DROPPED:
		if (all_exempt())
			*cell->write = SUD_BLOCK;
		return !madvise(page, PAGE, MADV_DONTNEED);
	case MEMORY_READONLY_BLOCK:
		cell->write = NULL;
		cell->value = SUD_BLOCK;
		return map_page(CELL_MOVING, PROT_READ, MAP_PRIVATE, block_fd,
				0);
	case MEMORY_READONLY_ALLOW:
		cell->write = NULL;
		return !mprotect(page, PAGE, PROT_READ);
	case MEMORY_NONE:
		cell->write = NULL;
		cell->readable = false;
		return !mprotect(page, PAGE, PROT_NONE);
	default:
		cell->write = NULL;
		cell->readable = false;
		return !munmap(page, PAGE);
	}
}

/* The state of the page after that. */
static bool memory_safe(enum memory_state state)
{
	struct cell *cell = &cells[CELL_MOVING], now = *cell;
	struct actor *actor;
	bool safe = true;

	cell->readable = state < MEMORY_NONE;
	cell->value = state == MEMORY_READONLY_BLOCK ? SUD_BLOCK : SUD_ALLOW;
	for (actor = me; actor; actor = actor->outer)
		safe = safe && native_safe(&actor->config);
	*cell = now;
	return safe;
}

static void op_memory(const uint16_t *p)
{
	struct cell *cell = &cells[CELL_MOVING], now = *cell;
	enum memory_state state = p[0] % N_MEMORY;
	struct ptrace_sud_config config = me->config;
	uint64_t handler = me->handler;
	struct call probe;
	const char *rule;
	int want, status;
	pid_t pid;

	if (memory_safe(state)) {
		if (!set_memory(state))
			trouble("memory");
		return;
	}
	/* The page cannot change any more after this. */
	cell->write = NULL;
	cell->readable = state < MEMORY_NONE;
	cell->value = state == MEMORY_READONLY_BLOCK ? SUD_BLOCK : SUD_ALLOW;
	if (native_safe(&config)) {
		/* Everywhere, except in the thread that waits for this one. */
		*cell = now;
		idle = true;
		return;
	}
	want = foresee_locked_in(&config, handler, &probe);
	rule = probe.end_rule;
	locked_in = 0;
	*cell = now;
	if (kernel.forbidden) {
		want = EXIT_FORBIDDEN << 8;
		rule = "K3";
	}
	shared->rule = rule;
	pid = start_child();
	if (pid == 0) {
		if (!arm_again(config, handler))
			_exit(EXIT_FORBIDDEN);
		if (!set_memory(state))
			trouble("memory");
		be_locked_in();
	}
	status = end_of_child(pid);
	same(rule, "the child", "wait status", want, status & ~0x80);
}

static void op_signal(const uint16_t *p)
{
	set_sigsys(sigsys_of(p[0] % 3, p[1], p[2] & 1));
}

static void op_vfork(const uint16_t *p)
{
	struct call c = {
		.way = &ways[WAY_OWN],
		.byte = p[0] & 1 ? SUD_BLOCK : SUD_ALLOW,
		.by = BY_VFORK_CHILD,
	};

	c.number = way_number(c.way, 0);
	foresee(&c);
	if (c.cell)
		call_by_vfork_child(&c);
	vforked = 0;
	run_call(&c);
	if (vforked > 0)
		waitpid(vforked, NULL, 0);
}

/* A foreign call under BLOCK in the given process, with its forecast. */
static void probe_call(void)
{
	struct call c = {
		.way = &ways[WAY_OWN],
		.byte = SUD_BLOCK,
	};

	c.number = way_number(c.way, 0);
	foresee(&c);
	if (c.end == ENDS_RETURN) {
		perform(&c);
		compare(&c);
		commit(&c);
	}
}

static void *execute(void *arg)
{
	char *const argv[] = { probe_path, NULL };
	const struct ptrace_sud_config *config = arg;

	if (config && !arm_again(*config, 0))
		_exit(EXIT_FORBIDDEN);
	execve(probe_path, argv, environ);
	trouble("execve");
}

static void op_exec(const uint16_t *p)
{
	bool armed = p[0] & 1, fails = p[0] & 2, by_thread = p[0] & 4;
	struct ptrace_sud_config config = me->config;
	uint64_t handler = me->handler;
	char *const argv[] = { probe_path, NULL };
	int want = SUD_PROBE_RAN << 8, status;
	pthread_t thread;
	pid_t pid;

	/* Nothing is exempt, and the byte will be unmapped. */
	if (p[0] & 8)
		config = sud_config(SUD_EXCL, 0, 0, cells[CELL_PLAIN].addr);
	if (armed && kernel.forbidden && config.mode != SUD_OFF)
		want = EXIT_FORBIDDEN << 8;
	shared->rule = "L2";
	pid = start_child();
	if (pid == 0) {
		/* A signal that is ignored or blocked keeps that state. */
		set_sigsys(sigsys_of(MODEL_HANDLER, 0, false));
		if (!by_thread || fails) {
			if (armed && !arm_again(config, handler))
				_exit(EXIT_FORBIDDEN);
			if (fails) {
				execve("/nonexistent", argv, environ);
				same("L2", "execve()", "errno", ENOENT, errno);
				probe_call();
			}
		}
		if (!by_thread)
			execute(NULL);
		if (pthread_create(&thread, NULL, execute,
				   armed ? &config : NULL))
			trouble("pthread_create");
		pthread_join(thread, NULL);
		trouble("exec in a thread");
	}
	status = end_of_child(pid);
	same("L2", "the program executed", "wait status", want,
	     status);
}

/*
 * Arm with native code exempt and with dispatches that do not kill. The
 * handler is ENTRY_NONE, or one with code.
 *
 * Return: false if this is forbidden.
 */
static bool arm_calmly(unsigned int flags, volatile void *selector,
		       unsigned int handler)
{
	struct ptrace_sud_config want;
	struct model_answer answer;

	want = sud_config(SUD_EXCL, SUD_NATIVE_OFFSET, SUD_NATIVE_LENGTH,
			  (uintptr_t)selector);

	set_sigsys(sigsys_of(MODEL_HANDLER, flags & ~FLAG_RESETHAND, false));
	answer = model_set(&kernel, &me->config, want);
	if (!same(answer.rule, "prctl()", "what it returns", answer.ret,
		  sud_arm_native(selector)) || answer.ret)
		return false;
	me->handler = 0;
	if (kernel.direct)
		attach(entry_addr(handler % N_ENTRIES_OF_CODE));
	return true;
}

/* A way that calm configurations do not exempt. */
static const struct way *foreign_way(unsigned int p)
{
	const struct way *way = way_of(p);

	return way->ip < SUD_NATIVE ? way : &ways[WAY_OWN];
}

/* A number that does not end the process if it runs. */
static const struct number *harmless(const struct way *way, unsigned int i)
{
	const struct number *number = way_number(way, i);

	return number->call == CALL_EXIT ? way_number(way, 0) : number;
}

/* A call that may be dispatched or run. */
static bool perform_either(struct call *c, const char *rule, bool must)
{
	uint64_t ret;

	c->n = 1;
	c->source[0] = (struct source) { c->way, c->number->nr, ENTRY_NONE };
	if (model_direct(me->handler, c->way->ia32))
		c->source[0].entry = entry_at(me->handler);
	shared->rule = model_signal_rule(c->number->nr, rule);
	way_load(c->way, c->number->nr, c->number->call, c->salt++);
	make_call(c);
	if (jumped)
		return same(model_signal_rule(c->number->nr, rule), "the call",
			    "dispatches", 1, n_records);
	if (must && !same(rule, "the call", "dispatches", 1, n_records))
		return false;
	ret = c->number->ran[c->way - ways];
	if (c->number->call == CALL_GETPPID && (int64_t)ret >= 0)
		ret = parent;
	if (n_records) {
		if (!compare_record(&records[0], &c->source[0]))
			return false;
		ret = c->way->ia32 ? (uint32_t)c->number->nr :
				     (sud_uword)c->number->nr;
		rule = model_signal_rule(c->number->nr, rule);
	}
	return compare_registers(c->way, rule, ret);
}

static void op_race(const uint16_t *p)
{
	const struct way *way = foreign_way(p[0]);
	struct cell *cell = &cells[CELL_PLAIN];
	struct call c = {
		.way = way,
		.number = harmless(way, p[1]),
		.salt = p[5],
	};
	unsigned int i;

	if (!arm_calmly(p[3], cell->write, p[4]))
		return;
	sibling.write = cell->write;
	start_sibling(SIBLING_FLIP);
	for (i = 0; i < 16; i++) {
		if (!perform_either(&c, "S4", false))
			break;
	}
	stop_sibling();
	*cell->write = cell->value;
}

/* The rule by which another signal must not affect a dispatch. */
static const char *other_rule(int sig)
{
	return sig == SIGSYS ? "D9" : "D12";
}

static void op_flood(const uint16_t *p)
{
	const struct way *way = foreign_way(p[0]);
	struct cell *cell = &cells[CELL_PLAIN];
	int sig = p[2] & 1 ? SIGSYS : SIGUSR1;
	struct call c = {
		.way = way,
		.number = harmless(way, p[1]),
		.salt = p[5],
	};
	unsigned int i;

	/* Otherwise the frames would pile up. */
	if (!arm_calmly(p[3] & ~FLAG_NODEFER, cell->write, p[4]))
		return;
	n_others = 0;
	sibling.sig = sig;
	start_sibling(SIBLING_SIGNAL);
	*cell->write = SUD_BLOCK;
	for (i = 0; i < 8; i++) {
		if (!perform_either(&c, other_rule(sig), true))
			break;
	}
	*cell->write = SUD_ALLOW;
	while (!sibling.sent)
		sched_yield();
	stop_sibling();
	getppid();
	if (!n_others || n_others > sibling.sent)
		same(other_rule(sig), "signals from a sibling",
		     "delivered, of those sent", sibling.sent, n_others);
	else
		same(other_rule(sig), "a signal from a sibling", "si_code",
		     SI_TKILL, other_code);
}

static struct sud_uffd uffd;
static pid_t uffd_pid;

struct other_signal {
	int sig;
	pid_t pid, tid;
};

static void send_other(void *arg)
{
	struct other_signal *other = arg;

	syscall(SYS_tgkill, other->pid, other->tid, other->sig);
}

static void op_pending(const uint16_t *p)
{
	const struct way *way = foreign_way(p[0]);
	struct other_signal other = {
		.sig = p[2] & 1 ? SIGSYS : SIGUSR1,
		.pid = getpid(),
		.tid = syscall(SYS_gettid),
	};
	struct call c = {
		.way = way,
		.number = harmless(way, p[1]),
		.salt = p[5],
	};
	const char *rule = other_rule(other.sig), *failed;
	sigset_t all, old;
	struct ptrace_sud_config off = sud_config_off();
	uint64_t handler;

	if (!has_uffd)
		return;
	if (uffd_pid != other.pid) {
		uffd_pid = other.pid;
		errno = -sud_uffd_open(&uffd);
		if (errno)
			trouble("userfaultfd");
	}
	uffd.meanwhile = send_other;
	uffd.arg = &other;
	uffd.byte = SUD_BLOCK;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	errno = -sud_uffd_start(&uffd);
	if (errno)
		trouble("userfaultfd");
	pthread_sigmask(SIG_SETMASK, &old, NULL);

	n_others = 0;
	if (!arm_calmly(p[3], uffd.page, p[4])) {
		/* The thread waits until the page is read. */
		(void)*uffd.page;
		sud_uffd_join(&uffd);
		return;
	}
	perform_either(&c, rule, true);
	same("A2", "prctl()", "OFF returns", 0, sud_off());
	handler = me->handler;
	me->config = off;
	me->handler = 0;
	failed = sud_uffd_join(&uffd);
	if (failed)
		trouble(failed);
	if (!same(rule, "the other signal", "times", 1, n_others) ||
	    !same(rule, "the other signal", "si_code", SI_TKILL, other_code))
		return;
	if (model_direct(handler, way->ia32)) {
		same("X5", "the other signal", "comes at", handler, other_ip);
		same("X5", "the other signal", "dispatches before it", 0,
		     others_after);
	} else if (other.sig == SIGSYS && !action.nodefer) {
		same(rule, "the other signal", "dispatches before it", 1,
		     others_after);
	}
}

static void op_sysctl(const uint16_t *p)
{
	char byte = p[0] & 1 ? '1' : '0', seen = 0;

	if (sysctl_fd < 0)
		return;
	shared->rule = "K2";
	if (pwrite(sysctl_fd, &byte, 1, 0) != 1)
		differs("K2", "the sysctl", "error of write()", 0, errno);
	if (pread(sysctl_fd, &seen, 1, 0) != 1)
		differs("K2", "the sysctl", "error of read()", 0, errno);
	same("K2", "the sysctl", "what it holds", byte, seen);
	kernel.forbidden = byte == '0';
}

/* ---- The operations of the tracer ---- */

enum { TRACEE_CALL, TRACEE_EXEC, TRACEE_FORK };

/* The tracee stops by int3, which is no system call. */
static void __attribute__((noreturn)) be_traced(void)
{
	struct call c = { .n = 1 };
	char *const argv[] = { probe_path, NULL };

	for (;;) {
		asm volatile("int3" : : : "memory");
		switch (shared->trace.command) {
		case TRACEE_EXEC:
			execve(probe_path, argv, environ);
			_exit(EXIT_FAILURE);
		case TRACEE_FORK:
			if (fork() == 0)
				_exit(0);
			continue;
		}
		c.unblock = NULL;
		if (shared->trace.unblock)
			c.unblock = shared->trace.write;
		way_load(&ways[shared->trace.way], shared->trace.nr,
			 shared->trace.id, shared->trace.salt);
		n_records = 0;
		plan = &c;
		if (shared->trace.write)
			*shared->trace.write = shared->trace.byte;
		if (!sigsetjmp(escape, 0))
			way_go(&ways[shared->trace.way]);
		if (shared->trace.write)
			*shared->trace.write = SUD_ALLOW;
		plan = NULL;
		memcpy(shared->trace.out, sud_regs->out,
		       sizeof(shared->trace.out));
		shared->trace.dispatches = n_records;
		shared->trace.entry = records[0].entry;
	}
}

static void end_tracee(struct actor *actor)
{
	if (actor->tracee.pid)
		sud_put_down(actor->tracee.pid);
	actor->tracee.pid = 0;
}

static struct tracee *my_tracee(void)
{
	struct tracee *t = &me->tracee;
	pid_t pid;

	if (t->pid)
		return t;
	memset(t, 0, sizeof(*t));
	memcpy(t->cells, cells, sizeof(cells));
	pid = start_child();
	if (pid == 0) {
		set_sigsys(sigsys_of(MODEL_HANDLER, 0, false));
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL))
			trouble("PTRACE_TRACEME");
		be_traced();
	}
	if (sud_wait_stop(pid) != SIGTRAP ||
	    sud_ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_EXITKILL |
		       PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK))
		trouble("the tracee did not start");
	t->pid = pid;
	return t;
}

static struct cell *tracee_cell(struct tracee *t)
{
	return &t->cells[cell_at(t->config.selector) - cells];
}

static void op_trace_set(const uint16_t *p)
{
	struct tracee *t = my_tracee();
	struct ptrace_sud_config want = op_config(p);
	struct model_answer answer;
	struct model_handler attach = { };

	/*
	 * In the form of this ABI's tracer: a field is as wide as in any
	 * other.
	 */
	answer = model_set_traced(&kernel, &t->config, want);
	same(answer.rule, "PTRACE_SET", "what it returns", answer.ret,
	     sud_set(t->pid, want));
	model_keep_handler(&t->config, &t->handler);
	if (!p[4] || !kernel.direct)
		return;
	attach.addr = entry_addr(p[4] - 1);
	answer = model_attach(&kernel, &t->config, &t->handler, attach);
	same("X8", "PTRACE_SET of the handler", "what it returns", answer.ret,
	     sud_set_traced(t->pid, attach.addr));
}

static bool compare_config(const char *rule, pid_t pid,
			   struct ptrace_sud_config want, uint64_t handler)
{
	static const char where[] = "PTRACE_GET";
	struct ptrace_sud_config got;
	uint64_t attached;

	if (kernel.direct &&
	    (!same("X8", where, "what it returns for the handler", 0,
		   sud_get_traced(pid, &attached)) ||
	     !same("X8", where, "handler", handler, attached)))
		return false;
	return same("P1", where, "what it returns", 0, sud_get(pid, &got)) &&
	       same(rule, where, "mode", want.mode, got.mode) &&
	       same(rule, where, "offset", want.offset, got.offset) &&
	       same(rule, where, "len", want.len, got.len) &&
	       same(rule, where, "selector", want.selector, got.selector);
}

static void op_trace_get(const uint16_t *p)
{
	struct tracee *t = my_tracee();
	const char *rule = "P4";

	if (t->config.mode == SUD_OFF)
		rule = "L3";
	else if (t->config.mode == SUD_EXCL)
		rule = "P1";
	compare_config(rule, t->pid, t->config, t->handler);
}

static void op_trace_bad(const uint16_t *p)
{
	static const unsigned int sizes[2][4] = { { 0, 31, 33, 8 },
						  { 0, 7, 9, 32 } };
	static const long requests[2][2] = {
		{ PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG,
		  PTRACE_SET_SYSCALL_USER_DISPATCH_CONFIG },
		{ PTRACE_GET_SYSCALL_USER_DISPATCH_HANDLER,
		  PTRACE_SET_SYSCALL_USER_DISPATCH_HANDLER },
	};
	const unsigned long gone = cells[CELL_GONE].addr;
	bool direct = kernel.direct && p[1] & 1;
	long request = requests[direct][p[0] & 1];
	struct tracee *t = my_tracee();
	/* Zero means off, and no handler. */
	struct ptrace_sud_config config = sud_config_off();
	unsigned long data = (unsigned long)&config;
	size_t size = direct ? sizeof(uint64_t) : sizeof(config);
	long want = -EINVAL, got;

	switch (p[0] >> 1 & 3) {
	case 0:
		got = sud_ptrace(request, t->pid, sizes[direct][p[0] >> 3 & 3], data);
		break;
	case 1:
		/* The size is checked first. */
		got = sud_ptrace(request, t->pid, size - 1, gone);
		break;
	case 2:
		want = -EFAULT;
		data = gone;
		/* Half of the structure is mapped. */
		if (direct && p[0] & 1)
			data = cells[CELL_LAST].addr + 1 - size / 2;
		got = sud_ptrace(request, t->pid, size, data);
		break;
	default:
		want = -ESRCH;
		got = sud_ptrace(request, getpid(), size, data);
		break;
	}
	same(direct ? "X8" : "P2", "a bad request", "what it returns", want, got);
}

/* Change a tracee so that its native calls run. */
static void make_tracee_safe(struct tracee *t)
{
	struct ptrace_sud_config want = sud_config_native(0);

	if (native_state(&t->config) == NATIVE_EXEMPT)
		return;
	if (kernel.forbidden)
		want = sud_config_off();
	t->config = want;
	model_keep_handler(&t->config, &t->handler);
	same("A9", "PTRACE_SET", "what it returns", 0, sud_set(t->pid, want));
}

static bool tracee_at(const char *rule, const char *what, int want, int got)
{
	return same(rule, "the tracee's stop", what, want, got);
}

/* The registers as a tracer sees them. */
static bool compare_traced(struct tracee *t, const struct way *way,
			   const char *rule, uint64_t nr, uint64_t ax)
{
	static const char where[] = "the tracee's registers";
	struct user_regs_struct regs;

	if (sud_ptrace(PTRACE_GETREGS, t->pid, 0, (unsigned long)&regs))
		trouble("PTRACE_GETREGS");
	return same(rule, where, "ip", way->ip,
		    (sud_uword)SUD_USER_IP(&regs)) &&
	       same(rule, where, "sp", SUD_REGS_STACK - way->pushed,
		    (sud_uword)SUD_USER_SP(&regs)) &&
	       same(rule, where, "the number", (sud_uword)nr,
		    (sud_uword)SUD_USER_NR(&regs)) &&
	       same(rule, where, "ax", (sud_uword)ax,
		    (sud_uword)SUD_USER_RET(&regs));
}

static bool resume_to(struct tracee *t, const char *rule, const char *what,
		      long request, int sig, int want)
{
	return tracee_at(rule, what, want, sud_resume(request, t->pid, sig));
}

static bool trace_dispatched(struct tracee *t, const struct way *way,
			     uint64_t nr, bool deliver)
{
	siginfo_t info;

	if (sud_ptrace_siginfo(t->pid, &info))
		trouble("PTRACE_GETSIGINFO");
	compare_siginfo(&info, nr, way->ip, way_arch(way));
	if (way->ia32)
		nr = (uint32_t)nr;
	compare_traced(t, way, model_signal_rule(nr, "O2"), nr, nr);
	return resume_to(t, model_signal_rule(nr, deliver ? "D3" : "O5"),
			 "after the SIGSYS", PTRACE_CONT, deliver ? SIGSYS : 0,
			 SIGTRAP) &&
	       same(deliver ? "D1" : "O5", "the tracee", "dispatches", deliver,
		    shared->trace.dispatches);
}

/* Run the tracee over all stops on the way. Return: its expected result. */
static uint64_t trace_run(struct tracee *t, const struct way *way,
			  const struct number *number, enum resume resume)
{
	uint64_t nr = number->nr, ret = number->ran[way - ways];

	if (way->ia32)
		nr = (uint32_t)nr;
	if (number->call == CALL_GETPPID && (int64_t)ret >= 0)
		ret = getpid();
	if (resume == RESUME_SYSEMU)
		ret = -ENOSYS;
	if (resume == RESUME_SYSCALL || resume == RESUME_SYSEMU)
		compare_traced(t, way, "O2", nr, -ENOSYS);
	if (resume == RESUME_SYSCALL) {
		resume_to(t, "O2", "after the entry", PTRACE_SYSCALL, 0,
			  SUD_STOP_SYSCALL);
		compare_traced(t, way, "O2", nr, ret);
	}
	if (resume == RESUME_SYSCALL || resume == RESUME_SYSEMU)
		resume_to(t, "O2", "after the call", PTRACE_CONT, 0, SIGTRAP);
	same("O2", "the tracee", "dispatches", 0, shared->trace.dispatches);
	return ret;
}

/*
 * Run the tracee to the instruction that makes its call, and over it in a
 * single step, which ends at the handler.
 */
static void trace_step(struct tracee *t, const struct way *way, long request)
{
	unsigned long insn = way->ip - SUD_INSN_LEN;
	struct user_regs_struct regs;
	unsigned long text;

	/* The tracee's code is a copy of this program's. */
	memcpy(&text, (void *)insn, sizeof(text));
	if (sud_ptrace(PTRACE_POKETEXT, t->pid, insn, (text & ~0xffUL) | 0xcc))
		trouble("PTRACE_POKETEXT");
	resume_to(t, "X7", "before the call", PTRACE_CONT, 0, SIGTRAP);
	if (sud_ptrace(PTRACE_POKETEXT, t->pid, insn, text) ||
	    sud_ptrace(PTRACE_GETREGS, t->pid, 0, (unsigned long)&regs))
		trouble("PTRACE_GETREGS");
	same("X7", "before the call", "ip", insn + 1, SUD_USER_IP(&regs));
	SUD_USER_IP(&regs) = insn;
	if (sud_ptrace(PTRACE_SETREGS, t->pid, 0, (unsigned long)&regs) ||
	    sud_ptrace(request, t->pid, 0, 0))
		trouble("PTRACE_SINGLESTEP");
}

/* The tracee stops at the handler, before its first instruction. */
static void trace_stepped(struct tracee *t, const struct way *way, uint64_t nr)
{
	static const char where[] = "the tracee's registers";
	struct user_regs_struct regs;

	if (sud_ptrace(PTRACE_GETREGS, t->pid, 0, (unsigned long)&regs))
		trouble("PTRACE_GETREGS");
	same("X7", where, "ip", t->handler, (sud_uword)SUD_USER_IP(&regs));
	same("X6", where, "the number", SUD_UWORD_MAX,
	     (sud_uword)SUD_USER_NR(&regs));
	same("X3", where, "sp", SUD_REGS_STACK, (sud_uword)SUD_USER_SP(&regs));
	same("X3", where, "ax", nr, (sud_uword)SUD_USER_RET(&regs));
#if SUD_WORD_BITS == 64
	same("X3", where, "cx", way->ip, regs.rcx);
#endif
	resume_to(t, "X7", "after the step", PTRACE_CONT, 0, SIGTRAP);
}

/* A call went on at the handler. Return: false if the tracee cannot go on. */
static bool trace_direct(struct tracee *t, const struct way *way, uint64_t nr,
			 bool stepped, int stop)
{
	enum entry_id entry = entry_at(t->handler);
	siginfo_t info;

	if (entry != ENTRY_NONE) {
		if (!same("X6", "the tracee", "stop", SIGTRAP, stop))
			return false;
		if (stepped)
			trace_stepped(t, way, nr);
		return same("X3", "the tracee", "dispatches", 1,
			    shared->trace.dispatches) &&
		       same("X3", "the tracee", "goes on at handler", entry,
			    shared->trace.entry);
	}
	if (same("X9", "the tracee", "stop", SIGSEGV, stop)) {
		if (sud_ptrace_siginfo(t->pid, &info))
			trouble("PTRACE_GETSIGINFO");
		same("X9", "siginfo", "si_addr", (uintptr_t)t->handler,
		     (uintptr_t)info.si_addr);
	}
	return false;
}

/* The request that resumes a tracee for its call. */
static long resume_request(enum resume resume)
{
	switch (resume) {
	case RESUME_SYSCALL:
		return PTRACE_SYSCALL;
	case RESUME_SYSEMU:
		return PTRACE_SYSEMU;
	case RESUME_STEP:
		return PTRACE_SINGLESTEP;
	case RESUME_SYSEMU_STEP:
		return PTRACE_SYSEMU_SINGLESTEP;
	default:
		return PTRACE_CONT;
	}
}

static void op_trace_call(const uint16_t *p)
{
	const struct way *way = way_of(p[0]);
	const struct number *number = harmless(way, p[1]);
	enum resume resume = p[3] % N_RESUME;
	struct tracee *t = my_tracee();
	struct cell *cell = tracee_cell(t);
	int byte = op_byte(p[2]), stop, status;
	bool deliver = resume != RESUME_SUPPRESS, direct, steps;
	struct model_call o;
	uint64_t ret;
	unsigned int i;

	/* If the number of a traced call is an int, it is another number. */
	if (number->nr >> 32 && (int32_t)number->nr >= 0)
		number = way_number(way, 0);
	way_load(way, number->nr, number->call, p[4]);
	shared->trace.command = TRACEE_CALL;
	shared->trace.way = way - ways;
	shared->trace.nr = number->nr;
	shared->trace.id = number->call;
	shared->trace.salt = p[4];
	shared->trace.write = byte >= 0 ? cell->write : NULL;
	shared->trace.byte = byte;
	if (byte < 0 || !cell->write)
		byte = cell->value;
	if (!cell->readable)
		byte = MODEL_UNREADABLE;
	if (native_state(&t->config) != NATIVE_EXEMPT) {
		shared->trace.unblock = shared->trace.write;
		deliver = deliver && (shared->trace.write || !has_sigreturn);
	} else {
		shared->trace.unblock = false;
	}
	shared->trace.dispatches = -1;
	o = model_call(&kernel, &t->config, way->ip, byte);
	shared->rule = o.rule;
	direct = o.fate == MODEL_DISPATCHED &&
		 model_direct(t->handler, way->ia32);
	steps = resume == RESUME_STEP || resume == RESUME_SYSEMU_STEP;
	if (steps && (!direct || entry_at(t->handler) == ENTRY_NONE)) {
		resume = RESUME_CONT;
		steps = false;
	}

	if (steps)
		trace_step(t, way, resume_request(resume));
	else if (sud_ptrace(resume_request(resume), t->pid, 0, 0))
		trouble("PTRACE_CONT");
	if (waitpid(t->pid, &status, __WALL) != t->pid)
		trouble("waitpid");
	stop = WIFSTOPPED(status) ? status >> 8 : 0;
	if (shared->failed)
		end_here();
	switch (o.fate) {
	case MODEL_DIES:
		if (stop == SUD_STOP_SYSCALL) {
			/* An exit without an entry. */
			same("F5", "the tracee", "stop", 0, stop);
			if (sud_ptrace(PTRACE_CONT, t->pid, 0, 0) ||
			    waitpid(t->pid, &status, __WALL) != t->pid)
				trouble("PTRACE_CONT");
		}
		if (!same(o.rule, "the tracee", "wait status", o.sig,
			  status & ~0x80))
			break;
		t->pid = 0;
		cells_restore();
		return;
	case MODEL_DISPATCHED:
		ret = way->ia32 ? (uint32_t)number->nr : (sud_uword)number->nr;
		if (direct) {
			if (trace_direct(t, way, ret, steps, stop))
				goto compare;
			break;
		}
		if (!same(o.rule, "the tracee", "stop", SIGSYS, stop) ||
		    !trace_dispatched(t, way, number->nr, deliver))
			break;
		goto compare;
	case MODEL_RUNS:
		if (!same(o.rule, "the tracee", "stop",
			  resume == RESUME_SYSCALL ||
			  resume == RESUME_SYSEMU ? SUD_STOP_SYSCALL : SIGTRAP,
			  stop))
			break;
		ret = trace_run(t, way, number, resume);
compare:
		for (i = 0; i < SUD_NR_REGS; i++) {
#if SUD_WORD_BITS == 64
			if (i == SUD_R11 && !way->ia32)
				continue;
#endif
			same(model_signal_rule(number->nr, o.rule),
			     "the tracee after the call", reg_names[i],
			     way_expected(way, i, ret, 0),
			     shared->trace.out[i]);
		}
		return;
	}
	/* No code at the handler, or a known difference. */
	end_tracee(me);
}

static void op_trace_exec(const uint16_t *p)
{
	struct tracee *t = my_tracee();

	make_tracee_safe(t);
	shared->trace.command = TRACEE_EXEC;
	resume_to(t, "L2", "exec", PTRACE_CONT, 0, SIGTRAP);
	t->config = sud_config_off();
	t->handler = 0;
	compare_config("L3", t->pid, t->config, t->handler);
	same("L2", "the program executed", "wait status", SUD_PROBE_RAN << 8,
	     sud_run_to_end(t->pid));
	t->pid = 0;
}

static void op_trace_fork(const uint16_t *p)
{
	struct tracee *t = my_tracee();
	unsigned long child = 0;

	make_tracee_safe(t);
	shared->trace.command = TRACEE_FORK;
	resume_to(t, "L1", "fork", PTRACE_CONT, 0,
		  SUD_STOP_EVENT(PTRACE_EVENT_FORK));
	if (sud_ptrace(PTRACE_GETEVENTMSG, t->pid, 0, (unsigned long)&child))
		trouble("PTRACE_GETEVENTMSG");
	tracee_at("L1", "the child", SIGSTOP, sud_wait_stop(child));
	compare_config("L3", child, sud_config_off(), 0);
	sud_put_down(child);
	compare_config(t->config.mode == SUD_EXCL ? "P1" :
		       t->config.mode ? "P4" : "L3", t->pid, t->config,
		       t->handler);
	resume_to(t, "L1", "after fork", PTRACE_CONT, 0, SIGTRAP);
}

/* ---- Sequences ---- */

static void (*const op_do[N_KINDS])(const uint16_t *p) = {
	[OP_ARM] = op_arm,
	[OP_CALL] = op_call,
	[OP_MEMORY] = op_memory,
	[OP_SIGNAL] = op_signal,
	[OP_VFORK] = op_vfork,
	[OP_EXEC] = op_exec,
	[OP_RACE] = op_race,
	[OP_FLOOD] = op_flood,
	[OP_PENDING] = op_pending,
	[OP_SYSCTL] = op_sysctl,
	[OP_ATTACH] = op_attach,
	[OP_TRACE_SET] = op_trace_set,
	[OP_TRACE_GET] = op_trace_get,
	[OP_TRACE_BAD] = op_trace_bad,
	[OP_TRACE_CALL] = op_trace_call,
	[OP_TRACE_EXEC] = op_trace_exec,
	[OP_TRACE_FORK] = op_trace_fork,
};

static bool can_do(enum op_kind kind)
{
	if (kind >= OP_TRACE_SET)
		return has_ptrace;
	if (kind == OP_PENDING)
		return has_uffd;
	if (kind == OP_SYSCTL)
		return sysctl_fd >= 0;
	if (kind == OP_ATTACH)
		return kernel.direct;
	return true;
}

static void count(enum op_kind kind)
{
	shared->made[kind]++;
	shared->done++;
}

static void run_range(const struct sequence *s, unsigned int from,
		      unsigned int to, unsigned int depth);

/* The OP_END of a nested operation, or the end of the sequence. */
static unsigned int nested_end(const struct sequence *s, unsigned int at,
			       unsigned int to)
{
	unsigned int depth = 0;

	for (; at < to; at++) {
		if (s->op[at].kind == OP_FORK || s->op[at].kind == OP_THREAD)
			depth++;
		if (s->op[at].kind == OP_END && !depth--)
			break;
	}
	return at;
}

/*
 * struct nested - operations that another thread or process does
 * @s:		of which sequence
 * @from:	and so on: which
 * @actor:	the thread
 * @waiter:	the one that waits for it
 * @done:	it need not wait any more
 */
struct nested {
	const struct sequence *s;
	unsigned int from, to, depth;
	struct actor actor;
	pid_t waiter;
	uint32_t done;
};

static void *nested_thread(void *arg)
{
	struct nested *n = arg;

	/*
	 * The byte may be the selector of both: only that call may be made
	 * now.
	 */
	if (!sud_wait_asleep(n->waiter, SYS_futex))
		trouble("the thread that waits does not sleep");
	me = &n->actor;
	begin_off();
	run_range(n->s, n->from, n->to, n->depth);
	end_tracee(me);
	me = n->actor.outer;
	__atomic_store_n(&n->done, 1, __ATOMIC_SEQ_CST);
	syscall(SYS_futex, &n->done, FUTEX_WAKE, 1, NULL, NULL, 0);
	return NULL;
}

static void run_in_thread(struct nested *n)
{
	pthread_t thread;

	n->actor.outer = me;
	n->actor.blocked = me->blocked;
	n->waiter = syscall(SYS_gettid);
	errno = pthread_create(&thread, NULL, nested_thread, n);
	if (errno)
		trouble("pthread_create");
	while (!__atomic_load_n(&n->done, __ATOMIC_SEQ_CST))
		syscall(SYS_futex, &n->done, FUTEX_WAIT, 0, NULL, NULL, 0);
	pthread_join(thread, NULL);
}

static void run_in_child(struct nested *n, unsigned int how)
{
	struct clone_args args = { .exit_signal = SIGCHLD };
	int status;
	pid_t pid;

	switch (how % 3) {
	case 0:
		pid = fork();
		break;
	case 1:
		pid = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
		break;
	default:
		pid = syscall(SYS_clone3, &args, sizeof(args));
		if (pid < 0 && errno == ENOSYS)
			pid = fork();
	}
	if (pid < 0)
		trouble("fork");
	if (pid == 0) {
		become_child();
		run_range(n->s, n->from, n->to, n->depth);
		end_tracee(me);
		_exit(0);
	}
	status = end_of_child(pid);
	same("L1", "the child", "wait status", 0, status);
}

static void run_range(const struct sequence *s, unsigned int from,
		      unsigned int to, unsigned int depth)
{
	const struct op *op;
	struct nested n;

	for (; from < to; from++) {
		op = &s->op[from];
		shared->at = from;
		shared->rule = "-";
		if (!can_do(op->kind))
			continue;
		if (op->kind == OP_END)
			continue;
		if (op->kind != OP_FORK && op->kind != OP_THREAD) {
			idle = false;
			op_do[op->kind](op->p);
			if (!idle)
				count(op->kind);
			continue;
		}
		if (depth == MAX_DEPTH)
			continue;
		memset(&n, 0, sizeof(n));
		n.s = s;
		n.from = from + 1;
		n.to = nested_end(s, from + 1, to);
		n.depth = depth + 1;
		if (op->kind == OP_THREAD)
			run_in_thread(&n);
		else
			run_in_child(&n, op->p[0]);
		count(op->kind);
		from = n.to;
		if (from < to) {
			shared->at = from;
			count(OP_END);
		}
	}
}

/* Return to the known state. */
static void reset(void)
{
	const uint16_t on[] = { 1 };

	end_tracee(me);
	if (kernel.forbidden)
		op_sysctl(on);
	shared->rule = "A2";
	same("A2", "prctl()", "OFF returns", 0, sud_off());
	me->config = sud_config_off();
	me->handler = 0;
	set_sigsys(sigsys_of(MODEL_HANDLER, 0, false));
	if (!cells_moving())
		trouble("memory");
	cells_restore();
}

static void lock_byte(int type, off_t which)
{
	struct flock lock = {
		.l_type = type,
		.l_start = which,
		.l_len = 1,
	};

	if (fcntl(sysctl_fd, F_SETLKW, &lock))
		trouble("cannot lock the sysctl");
}

/*
 * Other processes must not see the sysctl off. All of them wait in one queue,
 * so that each process gets the lock in the end. After the lock is taken the
 * sysctl is on, even if its former holder was killed.
 */
static void lock_sysctl(bool alone)
{
	if (sysctl_fd < 0)
		return;
	lock_byte(F_WRLCK, 0);
	lock_byte(alone ? F_WRLCK : F_RDLCK, 1);
	lock_byte(F_UNLCK, 0);
	if (pwrite(sysctl_fd, "1", 1, 0) != 1)
		trouble("cannot write the sysctl");
}

static void unlock_sysctl(void)
{
	if (sysctl_fd >= 0)
		lock_byte(F_UNLCK, 1);
}

static void run_sequence(const struct sequence *s, bool alone)
{
	shared->rule = "lock";
	shared->at = 0;
	lock_sysctl(alone);
	reset();
	run_range(s, 0, s->n, 0);
	reset();
	unlock_sysctl();
}

/* Set up a process that runs sequences. */
static void set_up(void)
{
	static struct actor first;

	me = &first;
	me->altstack = true;
	parent = getppid();
	setpgid(0, 0);
	set_action(SIGUSR1, MODEL_HANDLER, FLAG_RESTART);
}

/* ---- The worker and its parent ---- */

static uint64_t seed = 1;
static uint64_t operations = 1000000;
static unsigned int length = 100;

/* One sequence of so many runs alone on the machine. */
#define ALONE	16

static void make(struct sequence *s, uint64_t number)
{
	sequence_make(s, mix(seed) ^ mix(~number), length,
		      sysctl_fd >= 0 && number % ALONE == 0, kernel.direct);
}

static bool is_alone(const struct sequence *s)
{
	unsigned int i;

	for (i = 0; i < s->n; i++) {
		if (s->op[i].kind == OP_SYSCTL)
			return true;
	}
	return false;
}

static void work(struct sequence *s, uint64_t number)
{
	set_up();
	for (; shared->done < operations; number++) {
		make(s, number);
		shared->sequence = number;
		run_sequence(s, is_alone(s));
	}
	_exit(0);
}

/* SIGCHLD, which is blocked in all processes. */
static sigset_t ends;

/* Kill a worker and all processes that it started. */
static void put_down(pid_t pid)
{
	kill(-pid, SIGKILL);
	kill(pid, SIGKILL);
	while (waitpid(-1, NULL, __WALL) > 0)
		;
}

/*
 * Wait for a worker. Return: false if a difference counts. In any case
 * shared->first has it.
 */
static bool look_after(pid_t pid, unsigned int patience)
{
	const struct timespec tick = { .tv_sec = 1 };
	struct difference *d = &shared->first;
	uint64_t done = shared->done;
	time_t since = time(NULL);
	int status;

	while (waitpid(pid, &status, WNOHANG) != pid) {
		sigtimedwait(&ends, NULL, &tick);
		if (done != shared->done) {
			done = shared->done;
			since = time(NULL);
		}
		if (time(NULL) - since < patience)
			continue;
		put_down(pid);
		if (!shared->failed) {
			snprintf(d->rule, sizeof(d->rule), "hang");
			snprintf(d->text, sizeof(d->text),
				 "nothing happens for %u s, rule %s", patience,
				 shared->rule);
			d->sequence = shared->sequence;
			shared->failed = true;
		}
		return false;
	}
	put_down(pid);
	if (WIFEXITED(status) && !WEXITSTATUS(status) && !shared->failed)
		return true;
	if (shared->failed)
		return false;
	d = place_of(shared->rule);
	if (d == &shared->first)
		shared->failed = true;
	else if (d->count++)
		return true;
	snprintf(d->rule, sizeof(d->rule), "%s", shared->rule);
	snprintf(d->text, sizeof(d->text),
		 "the process has ended, wait status %#x", status);
	d->sequence = shared->sequence;
	return !shared->failed;
}

/* A killed process may have left it off. */
static void sysctl_on(void)
{
	lock_sysctl(false);
	unlock_sysctl();
}

/* Run a sequence in a process of its own. Return: false on a difference. */
static bool replay(const struct sequence *s)
{
	bool ok;
	pid_t pid;

	shared->failed = false;
	fflush(stdout);
	pid = fork();
	if (pid < 0)
		err(EXIT_FAILURE, "fork");
	if (pid == 0) {
		set_up();
		run_sequence(s, is_alone(s));
		_exit(0);
	}
	ok = look_after(pid, 10);
	sysctl_on();
	return ok;
}

/* Does it still fail by the same rule? */
static bool fails(const struct sequence *s, const char *rule)
{
	return !replay(s) && !strcmp(shared->first.rule, rule);
}

static void without(struct sequence *to, const struct sequence *from,
		    unsigned int at, unsigned int n)
{
	memcpy(to->op, from->op, at * sizeof(*to->op));
	memcpy(to->op + at, from->op + at + n,
	       (from->n - at - n) * sizeof(*to->op));
	to->n = from->n - n;
}

/* Remove operations that the failure does not need. Then zero parameters. */
static void shorten(struct sequence *s, const char *rule)
{
	struct sequence less = { calloc(s->n, sizeof(struct op)), 0, s->n };
	unsigned int chunk, at, i, n;
	uint16_t was;

	if (!less.op)
		err(EXIT_FAILURE, "calloc");
	for (chunk = (s->n + 1) / 2; chunk; chunk /= 2) {
		for (at = 0; at < s->n;) {
			n = s->n - at < chunk ? s->n - at : chunk;
			without(&less, s, at, n);
			if (fails(&less, rule)) {
				memcpy(s->op, less.op,
				       less.n * sizeof(*s->op));
				s->n = less.n;
			} else {
				at += n;
			}
		}
	}
	for (at = 0; at < s->n; at++) {
		for (i = 0; i < OP_PARAMS; i++) {
			was = s->op[at].p[i];
			s->op[at].p[i] = 0;
			if (was && !fails(s, rule))
				s->op[at].p[i] = was;
		}
	}
	free(less.op);
}

static void print_op(const struct op *op)
{
	const struct sequence one = { (struct op *)op, 1, 1 };
	struct ptrace_sud_config c = as_argument(op_config(op->p));
	const struct way *way = way_of(op->p[0]);
	static const char *const actions[N_ACTIONS] = {
		"returns", "gives a result", "reruns", "jumps", "nests",
		"rearms", "disarms", "attaches",
	};
	static const char *const handlers[N_ENTRIES] = {
		"none", "one", "other", "unmapped", "not code", "wide", "half",
		"text", "top",
	};

	printf("#   ");
	sequence_print(stdout, &one);
	switch (op->kind) {
	case OP_ARM:
	case OP_TRACE_SET:
		printf(": mode %#" PRIx64 " offset %#" PRIx64 " length %#"
		       PRIx64 " selector %s", (uint64_t)c.mode,
		       (uint64_t)c.offset, (uint64_t)c.len,
		       cells[op->p[3] % N_CELLS].name);
		if (op->kind == OP_ARM && op->p[4])
			printf(", by %s", way_of(op->p[4] - 1)->name);
		if (op->kind == OP_TRACE_SET && op->p[4])
			printf(", handler %s",
			       handlers[(op->p[4] - 1) % N_ENTRIES]);
		break;
	case OP_ATTACH:
		printf(": handler %s", handlers[op->p[0] % N_ENTRIES]);
		if (op->p[4])
			printf(", by %s", way_of(op->p[4] - 1)->name);
		break;
	case OP_CALL:
	case OP_TRACE_CALL:
	case OP_RACE:
	case OP_FLOOD:
	case OP_PENDING:
		printf(": by %s at %#" PRIx64 ", number %#" PRIx64, way->name,
		       way->ip, way_number(way, op->p[1])->nr);
		if (op->kind == OP_CALL || op->kind == OP_TRACE_CALL)
			printf(", byte %d", op_byte(op->p[2]));
		if (op->kind == OP_CALL)
			printf(", the handler %s",
			       actions[op->p[3] % N_ACTIONS]);
		break;
	}
	printf("\n");
}

static void report(struct sequence *s, const char *program)
{
	struct difference found = shared->first, first;
	unsigned int at = shared->at, i, tries;

	make(s, found.sequence);
	printf("# difference by rule %s: %s\n", found.rule, found.text);
	printf("#   sequence %" PRIu64 " of seed %" PRIu64 ", operation %u\n",
	       found.sequence, seed, at);
	if (at < s->n)
		print_op(&s->op[at]);
	fflush(stdout);
	for (tries = 0; tries < 3; tries++) {
		if (fails(s, found.rule))
			break;
	}
	if (tries == 3) {
		printf("# The sequence by itself does not repeat it.\n");
	} else {
		shorten(s, found.rule);
		replay(s);
		first = shared->first;
		printf("# shortened to %u operations, which give: %s\n", s->n,
		       shared->failed ? first.text : "nothing any more");
		for (i = 0; i < s->n && i < 50; i++)
			print_op(&s->op[i]);
	}
	printf("# again: %s -r ", program);
	sequence_print(stdout, s);
	printf("\n");
	fflush(stdout);
}

/* ---- The features of this kernel ---- */

static void tracee_to_probe(void)
{
	pause();
}

static void probe_kernel(void)
{
	struct sud_uffd u = { };
	struct ptrace_sud_config config;
	pid_t pid;

	kernel.top = sud_config_top();
	kernel.inclusive = sud_has_inclusive();
	if (!kernel.inclusive)
		printf("# left out: PR_SYS_DISPATCH_INCLUSIVE_ON\n");
	kernel.direct = !sud_set_handler(0, 0, 0, 0);
	if (!kernel.direct)
		printf("# left out: PR_SET_SYSCALL_USER_DISPATCH_HANDLER\n");
	pid = sud_fork_tracee(tracee_to_probe, 0);
	has_ptrace = pid > 0 && sud_get(pid, &config) == 0;
	sud_put_down(pid);
	if (!has_ptrace)
		printf("# left out: the ptrace requests\n");
	has_uffd = !sud_uffd_open(&u);
	if (has_uffd) {
		munmap((void *)u.page, u.size);
		close(u.fd);
	} else {
		printf("# left out: signals while the selector is read\n");
	}
}

static void open_sysctl(void)
{
	sysctl_fd = open("/proc/sys/kernel/syscall_user_dispatch",
			 O_RDWR | O_CLOEXEC);
	if (sysctl_fd < 0)
		printf("# left out: the sysctl (%s)\n", strerror(errno));
}

/* The memory that all workers inherit. */
static void make_world(void)
{
	const char *way;

	if (!cells_map() || !ways_map() || !map_altstack())
		err(EXIT_FAILURE, "cannot map memory at its fixed address");
	way = numbers_learn();
	if (way)
		errx(EXIT_FAILURE, "system calls by %s make no sense", way);
	has_sigreturn = SUD_SIGRETURN_DISPATCHED || !getauxval(AT_SYSINFO_EHDR);
}

static int explain(const char *program)
{
	fprintf(stderr,
		"usage: %s [-s SEED] [-n OPERATIONS] [-l LENGTH] [-k DIFFERENCES]\n"
		"       %*s [-u RULES] [-v]\n"
		"       %s [-u RULES] -r SEQUENCE\n"
		"  -s  random seed (%" PRIu64 ")\n"
		"  -n  number of operations (%" PRIu64 ")\n"
		"  -l  approximate number of operations in a sequence (%u)\n"
		"  -k  stop after this number of differences (3)\n"
		"  -u  differences by these rules, as in D7,D9, do not count\n"
		"  -v  print how many operations of each kind were made\n"
		"  -r  repeat this sequence from a report\n",
		program, (int)strlen(program), "", program, seed, operations,
		length);
	return 2;
}

static uint64_t number_arg(const char *text)
{
	char *end;
	uint64_t n;

	errno = 0;
	n = strtoull(text, &end, 0);
	if (errno || end == text || *end)
		errx(2, "%s is not a number", text);
	return n;
}

static int run_text(struct sequence *s, const char *text)
{
	const char *bad;
	unsigned int i;

	s->room = strlen(text) + 1;
	s->op = calloc(s->room, sizeof(struct op));
	if (!s->op)
		err(EXIT_FAILURE, "calloc");
	bad = sequence_parse(s, text);
	if (bad)
		errx(2, "the sequence makes no sense from here on: %s", bad);
	for (i = 0; i < s->n; i++)
		print_op(&s->op[i]);
	if (replay(s)) {
		printf("%" PRIu64 " operations, 0 differences\n",
		       shared->done);
		return EXIT_SUCCESS;
	}
	printf("# operation %u: difference by rule %s: %s\n", shared->at,
	       shared->first.rule, shared->first.text);
	printf("%" PRIu64 " operations, 1 differences\n", shared->done);
	return EXIT_FAILURE;
}

static void print_excused(void)
{
	struct difference *d;

	for (d = shared->excused; d < shared->excused + MAX_EXCUSED; d++) {
		if (d->count)
			printf("# %" PRIu64 " differences by rule %s do not count, such as:\n"
			       "#   in sequence %" PRIu64 ", %s\n", d->count,
			       d->rule, d->sequence, d->text);
	}
}

int main(int argc, char **argv)
{
	const struct rlimit no_core = { 0 };
	struct sequence s = { NULL };
	unsigned int differences = 0, most = 3, kind;
	bool verbose = false, ok;
	const char *text = NULL;
	uint64_t next = 0;
	time_t start;
	pid_t pid;
	int opt;

	while ((opt = getopt(argc, argv, "s:n:l:k:u:vr:")) != -1) {
		switch (opt) {
		case 's':
			seed = number_arg(optarg);
			break;
		case 'n':
			operations = number_arg(optarg);
			break;
		case 'l':
			length = number_arg(optarg);
			break;
		case 'k':
			most = number_arg(optarg);
			break;
		case 'u':
			excuse = optarg;
			break;
		case 'v':
			verbose = true;
			break;
		case 'r':
			text = optarg;
			break;
		default:
			return explain(argv[0]);
		}
	}
	if (optind < argc || !length || length > MAX_LENGTH)
		return explain(argv[0]);
	if (!sud_available())
		errx(EXIT_FAILURE, "no syscall user dispatch in this kernel");
	if (!sud_beside(probe_path, "probe", SUD_SUFFIX))
		errx(EXIT_FAILURE,
		     "no probe%s beside this program; run make -C proof",
		     SUD_SUFFIX);
	shared = sud_share(sizeof(*shared));
	/* A sequence may be a few operations longer than requested. */
	s.room = length + 200;
	s.op = calloc(s.room, sizeof(struct op));
	if (!shared || !s.op)
		err(EXIT_FAILURE, "no memory");
	setrlimit(RLIMIT_CORE, &no_core);
	sigemptyset(&ends);
	sigaddset(&ends, SIGCHLD);
	sigprocmask(SIG_BLOCK, &ends, NULL);
	shared->rule = "-";
	open_sysctl();
	lock_sysctl(false);
	probe_kernel();
	make_world();
	unlock_sysctl();
	if (text)
		return run_text(&s, text);

	printf("# fuzz%s: seed %" PRIu64 ", %" PRIu64
	       " operations, in sequences of %u\n", SUD_SUFFIX, seed,
	       operations, length);
	start = time(NULL);
	while (shared->done < operations && differences < most) {
		fflush(stdout);
		shared->rule = "-";
		shared->sequence = next;
		pid = fork();
		if (pid < 0)
			err(EXIT_FAILURE, "fork");
		if (pid == 0)
			work(&s, next);
		ok = look_after(pid, PATIENCE);
		next = shared->sequence + 1;
		sysctl_on();
		if (ok)
			continue;
		differences++;
		report(&s, argv[0]);
		shared->failed = false;
	}
	if (verbose) {
		start = time(NULL) - start;
		printf("# %" PRIu64 " operations a second\n",
		       shared->done / (start ? start : 1));
		for (kind = 0; kind < N_KINDS; kind++)
			printf("# %10" PRIu64 " %s\n", shared->made[kind],
			       op_names[kind]);
	}
	print_excused();
	printf("%" PRIu64 " operations, %u differences\n", shared->done,
	       differences);
	return differences ? EXIT_FAILURE : EXIT_SUCCESS;
}
