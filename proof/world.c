// SPDX-License-Identifier: GPL-2.0
/*
 * The world in which the fuzzer makes its calls: the bytes that can serve as a
 * selector, the ways into the kernel, and system calls with known effects. All
 * of it is at fixed addresses below SUD_NATIVE, so that addresses mean the
 * same in every run.
 */
#include "world.h"

#include <fcntl.h>

/* ---- The bytes ---- */

#define CELLS	0x50000UL

#define CELL(addr_, name_) { .addr = (addr_), .name = (name_) }

struct cell cells[N_CELLS] = {
	[CELL_NULL] = CELL(0, "NULL"),
	[CELL_PLAIN] = CELL(CELLS, "plain"),
	[CELL_LAST] = CELL(CELLS + PAGE - 1, "last"),
	[CELL_SHARED] = CELL(CELLS + 2 * PAGE + 8, "shared"),
	[CELL_READONLY] = CELL(CELLS + 4 * PAGE + 8, "read-only"),
	[CELL_MOVING] = CELL(CELLS + 6 * PAGE + 16, "moving"),
	[CELL_NONE] = CELL(CELLS + 8 * PAGE, "PROT_NONE"),
	[CELL_GONE] = CELL(CELLS + 10 * PAGE, "unmapped"),
	[CELL_PAST_END] = CELL(CELLS + 12 * PAGE, "past-end"),
	[CELL_LOW] = CELL(1, "low"),
	[CELL_WIDE] = CELL(1ULL << 32 | CELLS, "wide"),
	[CELL_4G] = CELL(0xffffffff, "4G"),
	[CELL_HALF] = CELL(1ULL << 63, "half"),
	[CELL_TEXT] = CELL(0xffffffff81000000, "text"),
	[CELL_TOP] = CELL(-1ULL, "top"),
};

/*
 * cell_at - the byte at an address that a configuration has
 */
struct cell *cell_at(uint64_t addr)
{
	unsigned int i;

	for (i = 0; i < N_CELLS; i++) {
		if (cells[i].addr == addr)
			return &cells[i];
	}
	/* No configuration can have this address. */
	return &cells[CELL_GONE];
}

void *cell_page(enum cell_id id)
{
	return (void *)((uintptr_t)cells[id].addr & -PAGE);
}

bool map_page(enum cell_id id, int prot, int flags, int fd,
	      off_t offset)
{
	void *page = cell_page(id);

	if (fd < 0)
		flags |= MAP_ANONYMOUS;
	return mmap(page, PAGE, prot, flags | MAP_FIXED, fd, offset) == page;
}

/* A file of one page that is full of BLOCK. */
int block_fd;

static bool block_open(void)
{
	uint8_t page[PAGE];

	memset(page, SUD_BLOCK, sizeof(page));
	block_fd = memfd_create("block", MFD_CLOEXEC);
	return block_fd >= 0 &&
	       write(block_fd, page, sizeof(page)) == sizeof(page);
}

/**
 * cells_moving - (re)make the page of CELL_MOVING: there, and zero
 */
bool cells_moving(void)
{
	cells[CELL_MOVING].write = (uint8_t *)(uintptr_t)
				   cells[CELL_MOVING].addr;
	cells[CELL_MOVING].readable = true;
	cells[CELL_MOVING].value = 0;
	return map_page(CELL_MOVING, PROT_READ | PROT_WRITE, MAP_PRIVATE, -1,
			0);
}

/**
 * cells_unshare - (re)make the page of the file, for this process alone
 *
 * Return: true if that worked.
 */
bool cells_unshare(void)
{
	const int rw = PROT_READ | PROT_WRITE;
	int fd = memfd_create("cells", MFD_CLOEXEC);
	bool ok;

	ok = fd >= 0 && !ftruncate(fd, PAGE) &&
	     map_page(CELL_SHARED, rw, MAP_SHARED, fd, 0) &&
	     map_page(CELL_READONLY, PROT_READ, MAP_SHARED, fd, 0) &&
	     map_page(CELL_PAST_END, rw, MAP_SHARED, fd, PAGE);
	close(fd);
	return ok;
}

/**
 * cells_map - map those that must be present, all zero
 *
 * Return: true if that worked.
 */
bool cells_map(void)
{
	const int rw = PROT_READ | PROT_WRITE;
	enum cell_id id;

	/* In the form in which system calls get them. */
	for (id = 0; id < N_CELLS; id++)
		cells[id].addr = (sud_uword)cells[id].addr;
	if (!block_open() || !cells_unshare() ||
	    !map_page(CELL_PLAIN, rw, MAP_PRIVATE, -1, 0) ||
	    !map_page(CELL_NONE, PROT_NONE, MAP_PRIVATE, -1, 0))
		return false;
	for (id = CELL_PLAIN; id <= CELL_READONLY; id++) {
		cells[id].write = (uint8_t *)(uintptr_t)cells[id].addr;
		cells[id].readable = true;
	}
	cells[CELL_READONLY].write = cells[CELL_SHARED].write;
	return cells_moving();
}

/**
 * cells_restore - restore the value of every byte
 *
 * A child that shared the memory may have left something else.
 */
void cells_restore(void)
{
	enum cell_id id;

	for (id = 0; id < N_CELLS; id++) {
		if (cells[id].write)
			*cells[id].write = cells[id].value;
	}
}

/* ---- The ways into the kernel ---- */

/* The 32-bit code segment of a 64-bit kernel. */
#define USER32_CS		0x23

/* A page for each template beyond the first. */
#define WAY_PAGE(way)	(SUD_FOREIGN + PAGE * (way))
#define WAY_CODE(way)	(WAY_PAGE(way) + (SUD_REGS_CODE - SUD_FOREIGN))

struct way ways[N_WAYS];

#if SUD_WORD_BITS == 64
SUD_REGS_SYMBOLS(int80);
SUD_REGS_TEMPLATE(int80, "	int	$0x80\n");
#else
SUD_REGS_SYMBOLS(vdso_call);
SUD_REGS_TEMPLATE(vdso_call, "	call	*" SUD_REGS_TARGET "\n");
#endif

static bool way_add(enum way_id id, const char *name,
		    const char *start, const char *ip, const char *end)
{
	struct way *way = &ways[id];

	way->name = name;
	way->code = WAY_CODE(id);
	way->ip = way->code + (ip - start);
	way->flags = FLAGS;
	way->ia32 = true;
	way->there = true;
	return sud_foreign_map_at(WAY_PAGE(id)) &&
	       sud_foreign_add(way->code, start, end);
}

#if SUD_WORD_BITS == 64
static inline bool ways_add_others(void)
{
	if (!sud_has_int80())
		return true;
	if (!way_add(WAY_INT80, "int80", int80_template, int80_ip,
		     int80_end) ||
	    !way_add(WAY_FAR, "far", sud_regs_jump_template, sud_regs_jump_ip,
		     sud_regs_jump_end) ||
	    !sud_foreign_add(SUD_REGS_FAR_CODE, sud_regs_far_template,
			     sud_regs_far_end))
		return false;
	asm("mov %%cs, %0" : "=r" (sud_regs->back.segment));
	sud_regs->back.offset = ways[WAY_FAR].ip;
	sud_regs->target.segment = USER32_CS;
	sud_regs->target.offset = SUD_REGS_FAR_CODE;
	ways[WAY_FAR].ip = SUD_REGS_FAR_IP;
	return true;
}
#else
static inline bool ways_add_others(void)
{
	struct sud_landing landing;
	struct way *way = &ways[WAY_VDSO];

	if (!sud_landing(&landing))
		return true;
	if (!way_add(WAY_VDSO, "vdso", vdso_call_template, vdso_call_ip,
		     vdso_call_end))
		return false;
	sud_regs->target.offset = landing.entry;
	way->ip = landing.ip;
	way->pushed = 16;
	/* The vDSO does not save them, and 64-bit kernels change some. */
	if (!strcmp(landing.by, "sysenter"))
		way->flags &= ~ARITHMETIC_FLAGS;
	return true;
}
#endif

/**
 * ways_map - copy the templates to their addresses
 *
 * Return: true if that worked.
 */
bool ways_map(void)
{
	struct way *own = &ways[WAY_OWN];

	if (!sud_foreign_map() || !sud_regs_map())
		return false;
	/* The selftests check the vector registers, because that takes time. */
	sud_regs->xmask = 0;
	own->name = SUD_WORD_BITS == 64 ? "syscall" : "int80";
	own->code = SUD_REGS_CODE;
	own->ip = sud_regs_call_ip();
	own->flags = FLAGS;
	own->ia32 = SUD_WORD_BITS == 32;
	own->there = true;
	return ways_add_others();
}

uint32_t way_arch(const struct way *way)
{
	return way->ia32 ? AUDIT_ARCH_I386 : AUDIT_ARCH_X86_64;
}

/* ---- The calls ---- */

#define NUMBER(nr_, call_) { .nr = (nr_), .call = (call_) }

#define NEGATIVE_NUMBERS						\
	NUMBER(-1, CALL_OTHER), NUMBER(-2, CALL_OTHER),			\
	NUMBER(-4, CALL_OTHER), NUMBER(-512, CALL_OTHER),		\
	NUMBER(-513, CALL_OTHER), NUMBER(-514, CALL_OTHER),		\
	NUMBER(-516, CALL_OTHER), NUMBER(INT32_MIN, CALL_OTHER)

#define BIT30 0x40000000

struct number numbers_64[] = {
	NUMBER(3, CALL_CLOSE), NUMBER(110, CALL_GETPPID),
	NUMBER(309, CALL_GETCPU), NUMBER(231, CALL_EXIT),
	NUMBER(BIT30 | 3, CALL_CLOSE), NUMBER(BIT30 | 110, CALL_GETPPID),
	NUMBER(BIT30 | 309, CALL_GETCPU), NUMBER(BIT30 | 231, CALL_EXIT),
	NUMBER(9999, CALL_OTHER), NUMBER(BIT30 | 9999, CALL_OTHER),
	NUMBER(0x7fffffff, CALL_OTHER), NEGATIVE_NUMBERS,
	/* negative as an int, and yet positive in 64 bits */
	NUMBER(0x80000000, CALL_OTHER), NUMBER(0xffffffff, CALL_OTHER),
	NUMBER(0xfffffe00, CALL_OTHER), NUMBER(0xfffffdfe, CALL_OTHER),
	/* a high half that the int does not show: close() on some kernels */
	NUMBER(0x1234567800000003, CALL_OTHER),
	NUMBER(0x100000003, CALL_OTHER),
	NUMBER(0x8000000000000003, CALL_OTHER),
	NUMBER(0xffffffff00000003, CALL_OTHER),
	NUMBER(INT64_MIN, CALL_OTHER),
};

struct number numbers_32[] = {
	NUMBER(6, CALL_CLOSE), NUMBER(64, CALL_GETPPID),
	NUMBER(318, CALL_GETCPU), NUMBER(252, CALL_EXIT),
	NUMBER(9999, CALL_OTHER), NUMBER(0x4000000f, CALL_OTHER),
	NUMBER(0x7fffffff, CALL_OTHER), NEGATIVE_NUMBERS,
};

const unsigned int n_numbers_64 = sizeof(numbers_64) / sizeof(*numbers_64);
static const unsigned int n_numbers_32 =
	sizeof(numbers_32) / sizeof(*numbers_32);

struct number *way_number(const struct way *way, unsigned int i)
{
	return way->ia32 ? &numbers_32[i % n_numbers_32] :
			   &numbers_64[i % n_numbers_64];
}

unsigned int way_nr_prctl(const struct way *way)
{
	return way->ia32 ? 172 : SYS_prctl;
}

/* The memory that getcpu() writes. */
volatile uint32_t *cpu_written(void)
{
	return (uint32_t *)sud_regs->xframe;
}

uint64_t mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
	x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
	return x ^ (x >> 31);
}

/*
 * way_args - arguments for the next call
 * @args:	five of them
 */
void way_args(const struct way *way, const uint64_t *args)
{
	static const unsigned int in_64[] = { SUD_DI, SUD_SI, SUD_DX,
#if SUD_WORD_BITS == 64
		SUD_R10, SUD_R8,
#endif
	};
	static const unsigned int in_32[] = { SUD_BX, SUD_CX, SUD_DX, SUD_SI,
					      SUD_DI };
	unsigned int i;

	for (i = 0; i < 5; i++)
		sud_regs->in[way->ia32 ? in_32[i] : in_64[i]] =
			(sud_uword)args[i];
}

/*
 * way_load - load the registers for a call
 * @nr:		its number
 * @call:	which decides about the arguments
 * @salt:	gives everything else
 */
void way_load(const struct way *way, uint64_t nr,
	      enum call_id call, unsigned int salt)
{
	uint64_t args[5];
	unsigned int i;

	for (i = 0; i < SUD_NR_REGS; i++)
		sud_regs->in[i] = (sud_uword)mix(salt * 64ULL + i);
	sud_regs->flags_in = 0x202 | (mix(salt * 64ULL + i) & ARITHMETIC_FLAGS);
	for (i = 0; i < 5; i++)
		args[i] = mix(salt * 64ULL + 32 + i);
	switch (call) {
	case CALL_GETCPU:
		args[0] = (uintptr_t)cpu_written();
		args[1] = 0;
		args[2] = 0;
		break;
	case CALL_EXIT:
		args[0] = EXIT_CODE;
		break;
	default:
		args[0] = -1;
		break;
	}
	way_args(way, args);
	/* A 32-bit call ignores the upper half of the register. */
	sud_regs->in[SUD_AX] = (sud_uword)nr;
	if (way->ia32)
		sud_regs->in[SUD_AX] = (uint32_t)nr |
			((sud_uword)mix(salt) & ~(sud_uword)UINT32_MAX);
	*cpu_written() = NOT_WRITTEN;
}

void way_go(const struct way *way)
{
	((void (*)(void))way->code)();
}

/*
 * way_expected - a register after a call, or in the frame of a dispatched one
 * @reg:	which
 * @ax:		the number or the result
 * @flags:	the flags as they then are
 */
uint64_t way_expected(const struct way *way, unsigned int reg,
		      uint64_t ax, uint64_t flags)
{
	if (reg == SUD_AX)
		return (sud_uword)ax;
#if SUD_WORD_BITS == 64
	/* The processor itself writes these. */
	if (!way->ia32 && reg == SUD_CX)
		return way->ip;
	if (!way->ia32 && reg == SUD_R11)
		return flags;
#endif
	return sud_regs->in[reg];
}

/**
 * numbers_learn - learn the result of each call by each way
 *
 * The caller is not armed.
 *
 * Return: NULL, or the name of the way with impossible results.
 */
const char *numbers_learn(void)
{
	struct number *number;
	struct way *way;
	uint64_t ret;
	unsigned int i;

	for (way = ways; way < ways + N_WAYS; way++) {
		for (i = 0; way->there && i < n_numbers_64; i++) {
			number = way_number(way, i);
			/* Does the kernel have x32? The last number tells. */
			if (number->call == CALL_EXIT && number->nr & BIT30 &&
			    number[-1].ran[way - ways] == -(sud_uword)ENOSYS)
				number->call = CALL_OTHER;
			if (number->call == CALL_EXIT)
				continue;
			way_load(way, number->nr, number->call, i);
			way_go(way);
			ret = sud_regs->out[SUD_AX];
			number->ran[way - ways] = ret;
			switch (number->call) {
			case CALL_GETPPID:
				if (ret == getppid())
					continue;
				break;
			case CALL_GETCPU:
				if (!ret && *cpu_written() != NOT_WRITTEN)
					continue;
				break;
			case CALL_CLOSE:
				if (ret == -(sud_uword)EBADF)
					continue;
				break;
			default:
				if (ret == -(sud_uword)EBADF)
					continue;
				break;
			}
			if (ret == -(sud_uword)ENOSYS &&
			    (number->call == CALL_OTHER || number->nr & BIT30))
				continue;
			return way->name;
		}
	}
	return NULL;
}
