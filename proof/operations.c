// SPDX-License-Identifier: GPL-2.0
/*
 * The operations of the fuzzer as data: the kinds, random sequences of them, and
 * sequences as text. A seed always gives the same sequences.
 */
#include "operations.h"

const char *const op_names[N_KINDS] = {
	[OP_ARM] = "arm",
	[OP_CALL] = "call",
	[OP_MEMORY] = "memory",
	[OP_SIGNAL] = "signal",
	[OP_FORK] = "fork",
	[OP_THREAD] = "thread",
	[OP_END] = "end",
	[OP_VFORK] = "vfork",
	[OP_EXEC] = "exec",
	[OP_RACE] = "race",
	[OP_FLOOD] = "flood",
	[OP_PENDING] = "pending",
	[OP_SYSCTL] = "sysctl",
	[OP_ATTACH] = "attach",
	[OP_TRACE_SET] = "tset",
	[OP_TRACE_GET] = "tget",
	[OP_TRACE_BAD] = "tbad",
	[OP_TRACE_CALL] = "tcall",
	[OP_TRACE_EXEC] = "texec",
	[OP_TRACE_FORK] = "tfork",
};

static const uint8_t bytes[] = { SUD_ALLOW, SUD_BLOCK, 2, 0x80, 0xff };

#define N_BYTES sizeof(bytes)
/* Greater parameters do not change the byte. */
#define BYTE_LEFT N_BYTES

static const uint64_t modes[] = {
	0, 1, 2, 3, -1, 0x100000000, 0x100000001, 0x100000002, 0x80000001,
	1ULL << 63,
};

#define N_MODES (sizeof(modes) / sizeof(*modes))

/* ---- Numbers near those that matter: a base, and a small difference ---- */

enum base {
	BASE_0,
	BASE_IP,		/* of each way, or of the first one */
	BASE_SIMPLE = BASE_IP + N_WAYS,	/* of the plain template */
	BASE_FOREIGN,
	BASE_NATIVE,
	BASE_2G,
	BASE_4G,
	BASE_HALF,
	BASE_TEXT,
	BASE_PAGE,
	BASE_4G_IP,		/* an ip with a bit too many */
	BASE_TO_TOP,		/* from an ip to the end of all addresses */
	BASE_TO_4G = BASE_TO_TOP + N_WAYS,
	BASE_NATIVE_TO_TOP,
	N_BASES
};

static uint64_t number_at(uint16_t p)
{
	unsigned int base = p >> 8;
	int64_t delta = (int8_t)p;

	if (base >= BASE_IP && base < BASE_SIMPLE)
		return ways[base - BASE_IP].ip + delta;
	if (base >= BASE_TO_TOP && base < BASE_TO_4G)
		return delta - ways[base - BASE_TO_TOP].ip;
	switch (base) {
	case BASE_SIMPLE:
		return sud_foreign_ip() + delta;
	case BASE_FOREIGN:
		return SUD_FOREIGN + delta;
	case BASE_NATIVE:
		return SUD_NATIVE + delta;
	case BASE_2G:
		return 0x80000000 + delta;
	case BASE_4G:
		return 0x100000000 + delta;
	case BASE_HALF:
		return (1ULL << 63) + delta;
	case BASE_TEXT:
		return 0xffffffff81000000 + delta;
	case BASE_PAGE:
		return PAGE + delta;
	case BASE_4G_IP:
		return 0x100000000 + ways[WAY_OWN].ip + delta;
	case BASE_TO_4G:
		return 0x100000000 - ways[WAY_OWN].ip + delta;
	case BASE_NATIVE_TO_TOP:
		return delta - (uint64_t)SUD_NATIVE;
	}
	return delta;
}

/*
 * op_byte - the selector's byte that a parameter gives, or -1: it is left
 */
int op_byte(unsigned int p)
{
	p %= N_BYTES + 1;
	return p == BYTE_LEFT ? -1 : bytes[p];
}

/*
 * op_config - the configuration that the first four parameters of some give
 */
struct ptrace_sud_config op_config(const uint16_t *p)
{
	return sud_config(modes[p[0] % N_MODES], number_at(p[1]),
			  number_at(p[2]), cells[p[3] % N_CELLS].addr);
}

/* The arguments that must be 0 with a handler. */
static const uint64_t rests[] = { 0, 1, 1ULL << 32, 1ULL << 63 };

#define N_RESTS (sizeof(rests) / sizeof(*rests))

/*
 * op_handler - the handler that the first four parameters of some give
 */
struct model_handler op_handler(const uint16_t *p)
{
	struct model_handler h = { .addr = entry_addr(p[0]) };
	unsigned int i;

	for (i = 0; i < 3; i++)
		h.rest[i] = rests[p[1 + i] % N_RESTS];
	return h;
}

/* ---- Random sequences ---- */

static uint32_t random_below(struct random *r, uint32_t limit)
{
	r->state += 0x9e3779b97f4a7c15;
	return ((mix(r->state) >> 32) * limit) >> 32;
}

static bool random_chance(struct random *r, unsigned int percent)
{
	return random_below(r, 100) < percent;
}

static uint16_t random_near(struct random *r, unsigned int base,
			    int distance)
{
	int delta = (int)random_below(r, 2 * distance + 1) - distance;

	return base << 8 | (uint8_t)delta;
}

static uint16_t random_cell_good(struct random *r)
{
	return CELL_PLAIN + random_below(r, CELL_MOVING);
}

static uint16_t random_cell(struct random *r)
{
	return random_below(r, N_CELLS);
}

/* A selector for use while all native code is exempt: none, or a bad one. */
static uint16_t random_cell_free(struct random *r)
{
	unsigned int dice = random_below(r, 10);

	if (dice < 4)
		return random_cell_good(r);
	return dice < 8 ? CELL_NULL : random_cell(r);
}

static uint16_t random_small_length(struct random *r)
{
	if (random_chance(r, 20))
		return random_near(r, BASE_PAGE, 3);
	return BASE_0 << 8 | random_below(r, 6);
}

/*
 * random_config - a configuration, in the form of op_config()
 *
 * Most are valid, and have an edge where one of the ways makes its call.
 */
void random_config(struct random *r, uint16_t *p)
{
	unsigned int way = random_below(r, N_WAYS + 1);
	unsigned int dice = random_below(r, 100);

	p[1] = random_near(r, BASE_IP + way, 3);
	if (dice < 30) {
		p[0] = SUD_EXCL;
		p[2] = random_small_length(r);
		p[3] = random_cell_good(r);
	} else if (dice < 50) {
		p[0] = SUD_INCL;
		p[2] = random_small_length(r);
		p[3] = random_cell_free(r);
	} else if (dice < 60) {
		p[0] = random_chance(r, 70) ? SUD_EXCL : SUD_INCL;
		p[2] = random_chance(r, 30) ? random_near(r, BASE_0, 1) : p[1];
		p[1] = BASE_0 << 8;
		p[3] = random_cell_good(r);
	} else if (dice < 74) {
		p[0] = SUD_EXCL;
		p[2] = random_near(r, BASE_TO_TOP + way % N_WAYS, 5);
		if (random_chance(r, 30)) {
			p[1] = random_near(r, BASE_NATIVE, 1);
			p[2] = random_near(r, BASE_NATIVE_TO_TOP, 2);
		}
		p[3] = random_cell_free(r);
	} else if (dice < 82) {
		p[0] = SUD_OFF;
		p[1] = random_chance(r, 85) ? 0 : random_below(r, 2);
		p[2] = random_chance(r, 85) ? 0 : random_below(r, 2);
		p[3] = random_chance(r, 85) ? 0 : random_cell(r);
	} else {
		p[0] = random_chance(r, 70) ? random_below(r, 3) :
					      random_below(r, N_MODES);
		p[1] = random_near(r, random_below(r, N_BASES), 3);
		p[2] = random_near(r, random_below(r, N_BASES), 3);
		p[3] = random_chance(r, 60) ? random_cell_good(r) :
					      random_cell(r);
	}
}

static uint16_t random_byte(struct random *r)
{
	unsigned int dice = random_below(r, 1000);

	if (dice < 450)
		return SUD_BLOCK;
	if (dice < 850)
		return SUD_ALLOW;
	if (dice < 990)
		return BYTE_LEFT;
	return random_below(r, N_BYTES);
}

static uint16_t random_action(struct random *r)
{
	unsigned int action;

	action = random_below(r, r->direct ? N_ACTIONS : HANDLER_ATTACH);

	if (random_chance(r, 50))
		return HANDLER_RETURN;
	/* Another dispatch would kill, which needs a child. */
	if (action == HANDLER_NEST && !r->nodefer && random_chance(r, 90))
		return HANDLER_RETURN;
	return action;
}

static uint16_t random_number(struct random *r, unsigned int way)
{
	unsigned int i = random_below(r, random_chance(r, 40) ? 3 :
					 n_numbers_64);

	/* The same with a call that ends the process if it runs. */
	if (way_number(&ways[way], i)->call == CALL_EXIT &&
	    random_chance(r, 80))
		i = 0;
	return i;
}

/* SA_RESETHAND makes the second dispatch fatal, so it is rare. */
static uint16_t random_flags(struct random *r)
{
	unsigned int flags = random_below(r, 16);

	return random_chance(r, 80) ? flags & ~FLAG_RESETHAND : flags;
}

static uint16_t *sequence_add(struct sequence *s, enum op_kind kind)
{
	static struct op none;
	struct op *op = s->n < s->room ? &s->op[s->n++] : &none;

	memset(op, 0, sizeof(*op));
	op->kind = kind;
	return op->p;
}

static void random_call(struct sequence *s, struct random *r)
{
	uint16_t *p = sequence_add(s, OP_CALL);

	p[0] = random_below(r, N_WAYS);
	p[1] = random_number(r, p[0]);
	p[2] = random_byte(r);
	p[3] = random_action(r);
	p[4] = random_below(r, 256) & ~EXTRA_SIBLING;
	if (!random_below(r, 300))
		p[4] |= EXTRA_SIBLING;
	p[5] = random_below(r, 0x10000);
}

static void random_calls(struct sequence *s, struct random *r,
			 unsigned int n)
{
	while (n--)
		random_call(s, r);
}

/* A handler, in the form of op_handler(). Most are valid. */
void random_handler(struct random *r, uint16_t *p)
{
	unsigned int i;

	p[0] = random_below(r, random_chance(r, 70) ? N_ENTRIES_OF_CODE :
						      N_ENTRIES);
	for (i = 1; i < 4; i++) {
		if (random_chance(r, 4))
			p[i] = random_below(r, N_RESTS);
	}
}

static void random_attach(struct sequence *s, struct random *r)
{
	uint16_t *p = sequence_add(s, OP_ATTACH);

	random_handler(r, p);
	if (random_chance(r, 20))
		p[4] = 1 + random_below(r, N_WAYS);
}

static void random_arm(struct sequence *s, struct random *r)
{
	uint16_t *p = sequence_add(s, OP_ARM);

	random_config(r, p);
	if (random_chance(r, 20))
		p[4] = 1 + random_below(r, N_WAYS);
	if (r->direct && random_chance(r, 50))
		random_attach(s, r);
	random_calls(s, r, 1 + random_below(r, 4));
}

/* A state in which dispatches kill is soon left. */
static void random_signal(struct sequence *s, struct random *r)
{
	uint16_t *p = sequence_add(s, OP_SIGNAL);
	bool deadly = random_chance(r, 15);

	p[1] = random_flags(r);
	r->nodefer = p[1] & FLAG_NODEFER;
	if (deadly) {
		p[0] = random_below(r, 3);
		p[2] = random_below(r, 2);
	}
	if (!deadly && !(p[1] & FLAG_RESETHAND))
		return;
	random_calls(s, r, deadly ? 1 + random_below(r, 2) :
				    2 + random_below(r, 3));
	p = sequence_add(s, OP_SIGNAL);
	p[1] = random_flags(r) & ~FLAG_RESETHAND;
	r->nodefer = p[1] & FLAG_NODEFER;
}

static void random_memory(struct sequence *s, struct random *r)
{
	sequence_add(s, OP_MEMORY)[0] = random_below(r, N_MEMORY);
	random_calls(s, r, 1 + random_below(r, 2));
	if (random_chance(r, 50))
		sequence_add(s, OP_MEMORY)[0] = MEMORY_ZERO;
}

static void random_among(struct sequence *s, struct random *r,
			 enum op_kind kind)
{
	uint16_t *p = sequence_add(s, kind);

	p[0] = random_below(r, N_WAYS);
	p[1] = random_below(r, n_numbers_64);
	p[2] = random_below(r, 2);
	p[3] = random_flags(r) & ~FLAG_RESETHAND;
	if (r->direct)
		p[4] = random_below(r, N_ENTRIES_OF_CODE);
}

/* A call of a tracee that goes on at a handler. */
static void random_traced_direct(struct sequence *s, struct random *r)
{
	uint16_t *p = sequence_add(s, OP_TRACE_SET);

	p[0] = SUD_EXCL;
	p[3] = random_cell_good(r);
	p[4] = 1 + ENTRY_ONE + random_below(r, N_ENTRIES_OF_CODE - ENTRY_ONE);
	p = sequence_add(s, OP_TRACE_CALL);
	p[0] = WAY_OWN;
	p[1] = random_below(r, n_numbers_64);
	p[2] = SUD_BLOCK;
	p[3] = random_below(r, N_RESUME);
	p[4] = random_below(r, 0x10000);
}

static void random_traced(struct sequence *s, struct random *r)
{
	unsigned int n = 4 + random_below(r, 12), dice;
	uint16_t *p;

	while (n--) {
		if (r->direct && random_chance(r, 20))
			random_traced_direct(s, r);
		dice = random_below(r, 100);
		if (dice < 35) {
			p = sequence_add(s, OP_TRACE_SET);
			random_config(r, p);
			if (random_chance(r, 30))
				p[3] = random_cell(r);
			if (r->direct && random_chance(r, 60))
				p[4] = 1 + random_below(r, N_ENTRIES);
		} else if (dice < 60) {
			sequence_add(s, OP_TRACE_GET);
		} else if (dice < 65) {
			p = sequence_add(s, OP_TRACE_BAD);
			p[0] = random_below(r, 16);
			if (r->direct)
				p[1] = random_below(r, 2);
		} else if (dice < 98) {
			p = sequence_add(s, OP_TRACE_CALL);
			p[0] = random_below(r, N_WAYS);
			p[1] = random_below(r, n_numbers_64);
			p[2] = random_byte(r);
			p[3] = random_below(r, r->direct ? N_RESUME :
							   RESUME_STEP);
			p[4] = random_below(r, 0x10000);
		} else {
			sequence_add(s, random_chance(r, 50) ? OP_TRACE_EXEC :
							       OP_TRACE_FORK);
		}
	}
}

static void random_nested(struct sequence *s, struct random *r)
{
	unsigned int n = 1 + random_below(r, 4);

	sequence_add(s, random_chance(r, 50) ? OP_FORK : OP_THREAD)[0] =
		random_below(r, 16);
	random_calls(s, r, 1);
	while (n--)
		random_arm(s, r);
	if (random_chance(r, 10))
		random_nested(s, r);
	if (random_chance(r, 5))
		random_traced(s, r);
	sequence_add(s, OP_END);
}

static void random_sysctl(struct sequence *s, struct random *r)
{
	uint16_t *p;

	sequence_add(s, OP_SYSCTL)[0] = 0;
	/* Two errors: which one is returned? */
	p = sequence_add(s, OP_ARM);
	random_config(r, p);
	p[3] = CELL_HALF + random_below(r, 3);
	if (r->direct)
		random_attach(s, r);
	random_arm(s, r);
	if (random_chance(r, 30))
		random_traced(s, r);
	if (random_chance(r, 30))
		random_nested(s, r);
	sequence_add(s, OP_SYSCTL)[0] = 1;
}

/*
 * sequence_make - a random sequence
 * @seed:	decides about everything
 * @length:	about how long
 * @alone:	nothing else runs, so that the sysctl may be touched
 * @direct:	handlers can be attached
 */
void sequence_make(struct sequence *s, uint64_t seed,
		   unsigned int length, bool alone, bool direct)
{
	struct random r = { .state = seed, .direct = direct };
	unsigned int dice;

	s->n = 0;
	if (length > s->room)
		length = s->room;
	while (s->n < length) {
		if (r.direct && random_chance(&r, 15))
			random_attach(s, &r);
		dice = random_below(&r, 10000);
		if (alone && dice < 2000)
			random_sysctl(s, &r);
		else if (dice < 5700)
			random_calls(s, &r, 1 + random_below(&r, 4));
		else if (dice < 8700)
			random_arm(s, &r);
		else if (dice < 9300)
			random_signal(s, &r);
		else if (dice < 9700)
			random_memory(s, &r);
		else if (dice < 9780)
			random_nested(s, &r);
		else if (dice < 9800)
			sequence_add(s, OP_VFORK)[0] = random_below(&r, 2);
		else if (dice < 9810)
			sequence_add(s, OP_EXEC)[0] = random_below(&r, 16);
		else if (dice < 9840)
			random_among(s, &r, OP_RACE);
		else if (dice < 9870)
			random_among(s, &r, OP_FLOOD);
		else if (dice < 9910)
			random_among(s, &r, OP_PENDING);
		else
			random_traced(s, &r);
	}
}

/* ---- As text: the kind and its parameters, with dots between ---- */

void sequence_print(FILE *file, const struct sequence *s)
{
	unsigned int i, j, n;

	for (i = 0; i < s->n; i++) {
		fprintf(file, "%s%s", i ? "," : "", op_names[s->op[i].kind]);
		for (n = OP_PARAMS; n && !s->op[i].p[n - 1]; n--)
			;
		for (j = 0; j < n; j++)
			fprintf(file, ".%x", s->op[i].p[j]);
	}
}

/*
 * sequence_parse - parse the text of a sequence
 *
 * Return: NULL, or the position of the error in the text.
 */
const char *sequence_parse(struct sequence *s, const char *text)
{
	unsigned int kind, i;
	uint16_t *p;
	size_t len;
	char *end;

	s->n = 0;
	while (*text) {
		len = strcspn(text, ".,");
		for (kind = 0; kind < N_KINDS; kind++) {
			if (len == strlen(op_names[kind]) &&
			    !strncmp(text, op_names[kind], len))
				break;
		}
		if (kind == N_KINDS || s->n == s->room)
			return text;
		p = sequence_add(s, kind);
		text += len;
		for (i = 0; *text == '.'; i++, text = end) {
			if (i == OP_PARAMS)
				return text;
			p[i] = strtoul(text + 1, &end, 16);
			if (end == text + 1)
				return text;
		}
		if (*text && *text++ != ',')
			return text - 1;
	}
	return NULL;
}
