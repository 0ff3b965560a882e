// SPDX-License-Identifier: GPL-2.0
/*
 * The calls of the fuzzer: the handler, the state of the signals, the sibling
 * thread that helps, and the comparison of a call with its forecast.
 */
#include "performance.h"

#include <pthread.h>
#include <sched.h>

/* ---- The handler ---- */

struct record records[MAX_RECORDS];
volatile unsigned int n_records;
struct call *volatile plan;
sigjmp_buf escape;
static volatile long rearm_result;

volatile unsigned int n_others, others_after;
volatile int other_code;
volatile uint64_t other_ip;

volatile unsigned int locked_in;

static void act(struct call *c, ucontext_t *uc)
{
	struct ptrace_sud_config *want = &c->rearm;
	struct model_handler *attach = &c->attach;

	switch (c->action) {
	case HANDLER_RESULT:
		SUD_REG_RET(uc) = c->result;
		break;
	case HANDLER_RERUN:
		if (c->cell)
			*c->cell->write = SUD_ALLOW;
		/*
		 * If the frame's address is wrong, the comparison reports it.
		 */
		SUD_REG_IP(uc) = c->way->ip - SUD_INSN_LEN;
		break;
	case HANDLER_JUMP:
		siglongjmp(escape, 1);
	case HANDLER_NEST:
		if (c->cell)
			*c->cell->write = SUD_BLOCK;
		sud_foreign_call(SUD_NR_CLOSE, -1, 0, 0, 0, 0, 0);
		if (c->cell)
			*c->cell->write = SUD_ALLOW;
		break;
	case HANDLER_REARM:
	case HANDLER_OFF:
		rearm_result = sud_prctl(want->mode, want->offset, want->len,
					 want->selector);
		break;
	case HANDLER_ATTACH:
		rearm_result = sud_set_handler(attach->addr, attach->rest[0],
					       attach->rest[1],
					       attach->rest[2]);
		break;
	default:
		break;
	}
}

#if SUD_WORD_BITS == 64
/* A dispatched call goes on at a handler, which calls this function. */
void handler_in_c(struct handler_frame *frame)
{
	struct call *c = plan;
	unsigned int n;

	if (!c) {
		differs(shared->rule, "a native call was dispatched", "number",
			0, frame->reg[SUD_AX]);
		end_here();
	}
	if (c->unblock)
		*c->unblock = SUD_ALLOW;
	n = n_records++;
	if (n < MAX_RECORDS) {
		records[n].entry = handler_reached;
		records[n].direct = *frame;
		records[n].frame = (uintptr_t)(frame + 1);
	}
	/* It repeats without end. */
	if (n > c->n)
		siglongjmp(escape, 1);
	if (n)
		return;
	switch (c->action) {
	case HANDLER_RESULT:
		frame->reg[SUD_AX] = c->result;
		break;
	case HANDLER_RERUN:
		if (c->cell)
			*c->cell->write = SUD_ALLOW;
		frame->reg[SUD_CX] -= SUD_INSN_LEN;
		break;
	default:
		act(c, NULL);
	}
}
#endif

static void handler(int sig, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;
	struct call *c = plan;
	struct record *r;
	unsigned int n;

	if (sig != SIGSYS || info->si_code != SYS_USER_DISPATCH) {
		other_code = info->si_code;
		others_after = n_records;
		other_ip = (sud_uword)SUD_REG_IP(uc);
		n_others++;
		return;
	}
	if (!c) {
		differs(shared->rule, "a native call was dispatched", "number",
			0, info->si_syscall);
		end_here();
	}
	if (c->unblock)
		*c->unblock = SUD_ALLOW;
	n = n_records++;
	if (n < MAX_RECORDS) {
		r = &records[n];
		r->entry = ENTRY_NONE;
		r->info = *info;
		memcpy(&r->uc, uc, offsetof(ucontext_t, uc_mcontext) +
		       sizeof(uc->uc_mcontext.gregs));
		r->frame = (uintptr_t)context;
	}
	if (locked_in && n_records >= locked_in)
		end_here();
	/* It repeats without end. */
	if (n > c->n)
		siglongjmp(escape, 1);
	if (!n)
		act(c, uc);
}

void set_action(int sig, enum model_disposition disposition, int flags)
{
	struct sigaction sa = {
		.sa_sigaction = handler,
		.sa_flags = SA_SIGINFO,
	};

	if (disposition != MODEL_HANDLER) {
		sa.sa_flags = 0;
		sa.sa_handler = disposition == MODEL_IGNORE ? SIG_IGN : SIG_DFL;
	}
	if (flags & FLAG_NODEFER)
		sa.sa_flags |= SA_NODEFER;
	if (flags & FLAG_RESETHAND)
		sa.sa_flags |= SA_RESETHAND;
	if (flags & FLAG_RESTART)
		sa.sa_flags |= SA_RESTART;
	if (flags & FLAG_ONSTACK)
		sa.sa_flags |= SA_ONSTACK;
	if (sigaction(sig, &sa, NULL))
		trouble("sigaction");
}

static void set_blocked(bool blocked)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGSYS);
	if (pthread_sigmask(blocked ? SIG_BLOCK : SIG_UNBLOCK, &set, NULL))
		trouble("pthread_sigmask");
}

void set_sigsys(struct model_sigsys s)
{
	int flags = (s.nodefer ? FLAG_NODEFER : 0) |
		    (s.resethand ? FLAG_RESETHAND : 0) |
		    (s.restart ? FLAG_RESTART : 0) |
		    (s.onstack ? FLAG_ONSTACK : 0);

	set_action(SIGSYS, s.disposition, flags);
	set_blocked(s.blocked);
	me->blocked = s.blocked;
	action = s;
}

struct model_sigsys sigsys_of(int disposition, int flags, bool blocked)
{
	struct model_sigsys s = {
		.disposition = disposition,
		.nodefer = flags & FLAG_NODEFER,
		.resethand = flags & FLAG_RESETHAND,
		.restart = flags & FLAG_RESTART,
		.onstack = flags & FLAG_ONSTACK,
		.blocked = blocked,
	};

	return s;
}

#define ALTSTACK	0x60000UL
#define ALTSTACK_SIZE	0x10000UL

bool map_altstack(void)
{
	stack_t stack = {
		.ss_sp = (void *)ALTSTACK,
		.ss_size = ALTSTACK_SIZE,
	};

	return mmap(stack.ss_sp, stack.ss_size, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
	       stack.ss_sp && !sigaltstack(&stack, NULL);
}

/* ---- A sibling thread that executes requests ---- */

/* The most signals of a flood, which has at least one. */
#define MAX_SIGNALS 64

struct sibling sibling;

static void sibling_signal(void)
{
	syscall(SYS_tgkill, sibling.pid, sibling.tid, sibling.sig);
	sibling.sent++;
}

static void *sibling_thread(void *arg)
{
	for (;;) {
		while (sem_wait(&sibling.go))
			;
		if (sibling.task == SIBLING_WRITE) {
			sem_post(&sibling.done);
			while (!sibling.ready)
				sched_yield();
			*sibling.write = sibling.byte;
			sibling.written = true;
			continue;
		}
		sem_post(&sibling.done);
		while (!sibling.stop) {
			if (sibling.task == SIBLING_FLIP)
				*sibling.write ^= SUD_ALLOW ^ SUD_BLOCK;
			else if (sibling.sent < MAX_SIGNALS)
				sibling_signal();
			sched_yield();
		}
		/* A pending dispatch may have merged with all other signals. */
		if (sibling.task == SIBLING_SIGNAL && sibling.sig == SIGSYS)
			sibling_signal();
		sem_post(&sibling.done);
	}
	return NULL;
}

static void wait_sibling(void)
{
	while (sem_wait(&sibling.done))
		;
}

void start_sibling(enum sibling_task task)
{
	pthread_t thread;
	sigset_t all, old;

	if (sibling.pid != getpid()) {
		sibling.pid = getpid();
		sem_init(&sibling.go, 0, 0);
		sem_init(&sibling.done, 0, 0);
		sigfillset(&all);
		pthread_sigmask(SIG_SETMASK, &all, &old);
		errno = pthread_create(&thread, NULL, sibling_thread, NULL);
		if (errno)
			trouble("pthread_create");
		pthread_sigmask(SIG_SETMASK, &old, NULL);
	}
	sibling.task = task;
	sibling.tid = syscall(SYS_gettid);
	sibling.sent = 0;
	sibling.ready = false;
	sibling.written = false;
	sibling.stop = false;
	sem_post(&sibling.go);
	wait_sibling();
	if (task != SIBLING_WRITE)
		return;
	/* From here to the call, this thread makes no other call. */
	sibling.ready = true;
	while (!sibling.written)
		;
}

void stop_sibling(void)
{
	sibling.stop = true;
	wait_sibling();
}

/* ---- One call and its comparison ---- */

bool jumped;
static long native_result;

static uint64_t vforked_result;
pid_t vforked;

/* The child is off, so the call runs. */
void call_by_vfork_child(struct call *c)
{
	pid_t pid, self = getpid();
	int status;

	pid = vfork();
	if (pid == 0) {
		*c->cell->write = SUD_BLOCK;
		way_load(c->way, c->way->ia32 ? 64 : 110, CALL_GETPPID, 0);
		way_go(c->way);
		vforked_result = sud_regs->out[SUD_AX];
		*c->cell->write = SUD_ALLOW;
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		trouble("vfork");
	same("L1", "the vfork child", "wait status", 0, status);
	same("L1", "the vfork child", "what getppid() returns", self,
	     vforked_result);
}

/* The parent's call meets the byte that the child leaves (rule L4). */
static void byte_by_vfork_child(const struct call *c)
{
	vforked = vfork();
	if (vforked == 0) {
		*c->cell->write = c->byte;
		_exit(0);
	}
}

static void write_byte(const struct call *c)
{
	if (!c->cell)
		return;
	switch (c->by) {
	case BY_SELF:
		*c->cell->write = c->byte;
		break;
	case BY_SIBLING:
		sibling.write = c->cell->write;
		sibling.byte = c->byte;
		start_sibling(SIBLING_WRITE);
		break;
	case BY_VFORK_CHILD:
		byte_by_vfork_child(c);
		break;
	}
}

/* Sets jumped. */
void make_call(struct call *c)
{
	n_records = 0;
	jumped = false;
	plan = c;
	write_byte(c);
	if (!sigsetjmp(escape, 0))
		way_go(c->way);
	else
		jumped = true;
	if (c->cell)
		*c->cell->write = c->cell->value;
	plan = NULL;
	if (jumped)
		set_blocked(me->blocked);
}

void perform(struct call *c)
{
	const struct ptrace_sud_config *want = &c->want;
	uint64_t args[5] = { PR_SET_SYSCALL_USER_DISPATCH, want->mode,
			     want->offset, want->len, want->selector };
	const struct model_handler *attach = &c->attach;

	shared->rule = c->rule;
	if (!c->way && c->attaches) {
		native_result = sud_set_handler(attach->addr, attach->rest[0],
						attach->rest[1],
						attach->rest[2]);
		return;
	}
	if (!c->way) {
		native_result = sud_prctl(want->mode, want->offset, want->len,
					  want->selector);
		return;
	}
	/* A wrong frame may end the process. */
	if (c->n)
		shared->rule = model_signal_rule(call_nr(c), c->rule);
	way_load(c->way, call_nr(c), c->number ? c->number->call : CALL_OTHER,
		 c->salt);
	if (!c->number && c->attaches) {
		args[0] = PR_SET_SYSCALL_USER_DISPATCH_HANDLER;
		args[1] = attach->addr;
		memcpy(&args[2], attach->rest, sizeof(attach->rest));
	}
	if (!c->number)
		way_args(c->way, args);
	make_call(c);
}

const char *const reg_names[] = {
	"ax", "bx", "cx", "dx", "si", "di", "bp",
#if SUD_WORD_BITS == 64
	"r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
#endif
};

/* The siginfo, and the part of the frame that is known for every call. */
bool compare_siginfo(const siginfo_t *info, uint64_t nr, uint64_t ip,
		     uint32_t arch)
{
	static const char where[] = "siginfo";
	const char *rule = model_signal_rule(nr, "D1");
	const char *rest = (const char *)(&info->si_arch + 1);

	/* The rest holds no content of kernel memory. */
	for (; rest < (const char *)(info + 1); rest++) {
		if (!same(rule, where, "what follows", 0, *rest))
			return false;
	}
	return same(rule, where, "si_signo", SIGSYS, info->si_signo) &&
	       same(rule, where, "si_errno", 0, info->si_errno) &&
	       same(rule, where, "si_code", SYS_USER_DISPATCH,
		    info->si_code) &&
	       same(rule, where, "si_call_addr", ip,
		    (uintptr_t)info->si_call_addr) &&
	       same(rule, where, "si_syscall", (int)nr, info->si_syscall) &&
	       same(rule, where, "si_arch", arch, info->si_arch);
}

#if SUD_WORD_BITS == 64
/* The registers that the code at the handler's address found. */
static bool compare_direct(struct record *r, const struct source *source)
{
	static const char where[] = "at the handler";
	const struct way *way = source->way;
	struct handler_frame *f = &r->direct;
	unsigned int i;

	if (!way)
		return same("X3", where, "cx", sud_foreign_ip(),
			    f->reg[SUD_CX]) &&
		       same("X3", where, "r11", f->flags, f->reg[SUD_R11]) &&
		       same("X3", where, "ax", (sud_uword)source->nr,
			    f->reg[SUD_AX]);

	if (!same("X3", where, "sp", sud_regs->sp_in, r->frame) ||
	    !same("X3", where, "flags", sud_regs->flags_in & way->flags,
		  f->flags & way->flags))
		return false;
	for (i = 0; i < SUD_NR_REGS; i++) {
		if (!same("X3", where, reg_names[i],
			  way_expected(way, i, source->nr, f->flags),
			  f->reg[i]))
			return false;
	}
	return true;
}
#else
static bool compare_direct(struct record *r, const struct source *source)
{
	return same("X4", "the call", "went on at a handler", 0, 1);
}
#endif

/* The registers that the handler found. */
bool compare_record(struct record *r, const struct source *source)
{
	static const char where[] = "the frame";
	const struct way *way = source->way;
	const char *rule = model_signal_rule(source->nr, "D2");
	ucontext_t *uc = &r->uc;
	uint64_t nr = source->nr, flags = SUD_REGS_FLAGS(uc);
	unsigned int i;

	if (!same(source->entry ? "X3" : way && way->ia32 ? "X4" : "X2",
		  "the call", "goes on at handler", source->entry, r->entry))
		return false;
	if (source->entry)
		return compare_direct(r, source);
	if (!way)
		return compare_siginfo(&r->info, nr, sud_foreign_ip(),
				       SUD_AUDIT_ARCH) &&
		       same(rule, where, "ip", sud_foreign_ip(),
			    (sud_uword)SUD_REG_IP(uc)) &&
		       same(rule, where, "ax", (sud_uword)nr,
			    (sud_uword)SUD_REG_RET(uc));

	if (!compare_siginfo(&r->info, nr, way->ip, way_arch(way)))
		return false;
	if (way->ia32)
		nr = (uint32_t)nr;
	if (!same(rule, where, "ip", way->ip, (sud_uword)SUD_REG_IP(uc)) ||
	    !same(rule, where, "sp", sud_regs->sp_in - way->pushed,
		  (sud_uword)SUD_REG_SP(uc)) ||
	    !same(rule, where, "flags", sud_regs->flags_in & way->flags,
		  flags & way->flags))
		return false;
	for (i = 0; i < SUD_NR_REGS; i++) {
		if (!same(rule, where, reg_names[i],
			  way_expected(way, i, nr, flags),
			  sud_regs_frame(uc, i)))
			return false;
	}
	return true;
}

/* The registers after the call. */
bool compare_registers(const struct way *way, const char *rule,
		       uint64_t ret)
{
	static const char where[] = "after the call";
	unsigned int i;

	if (!same(rule, where, "sp", sud_regs->sp_in, sud_regs->sp_out) ||
	    !same(rule, where, "flags", sud_regs->flags_in & way->flags,
		  sud_regs->flags_out & way->flags))
		return false;
	for (i = 0; i < SUD_NR_REGS; i++) {
		if (!same(rule, where, reg_names[i],
			  way_expected(way, i, ret, sud_regs->flags_out),
			  sud_regs->out[i]))
			return false;
	}
	return true;
}

/* Did this dispatch come by a signal, or from the handler of one that did? */
static bool by_signal(const struct call *c, unsigned int i)
{
	if (c->source[i].entry && !c->source[i].way)
		i = 0;
	return !c->source[i].entry;
}

bool compare(struct call *c)
{
	bool onstack = action.onstack && me->altstack;
	const char *rule = c->rule;
	uint64_t nr;
	unsigned int i;

	if (!c->way)
		return same(c->end_rule, "prctl()", "what it returns",
			    c->ret, native_result);
	nr = call_nr(c);
	if (c->n)
		rule = model_signal_rule(nr, rule);
	if (!same(rule, "the call", "dispatches", c->n, n_records))
		return false;
	for (i = 0; i < c->n; i++) {
		if (!compare_record(&records[i], &c->source[i]) ||
		    !same("D11", "the handler", "is on the other stack",
			  onstack && by_signal(c, i),
			  records[i].frame - ALTSTACK < ALTSTACK_SIZE))
			return false;
	}
	if (!same("D11", "the handler", "left by a jump", c->end == ENDS_JUMP,
		  jumped))
		return false;
	if (c->n && acts_natively(c->action) &&
	    !same(c->rearm_ret.rule, "prctl() in the handler",
		  "what it returns", c->rearm_ret.ret, rearm_result))
		return false;
	if (c->number && c->number->call == CALL_GETCPU &&
	    !same(c->rule, "the call", "was made",
		  c->ran && !c->number->ran[c->way - ways],
		  *cpu_written() != NOT_WRITTEN))
		return false;
	if (jumped)
		return true;
	rule = c->n ? model_signal_rule(nr, c->end_rule) : c->end_rule;
	return compare_registers(c->way, rule, c->ret);
}
