/* SPDX-License-Identifier: GPL-2.0 */
#ifndef PROOF_WORLD_H
#define PROOF_WORLD_H

#include "sud_regs.h"
#include "sud_vdso.h"

#define PAGE	4096UL

enum cell_id {
	CELL_NULL,
	CELL_PLAIN,
	/* the last byte of the last mapped page */
	CELL_LAST,
	/* the same page of a file, once writable and once read-only */
	CELL_SHARED,
	CELL_READONLY,
	/* on a page whose state OP_MEMORY changes */
	CELL_MOVING,
	/* bytes that cannot be read: PROT_NONE, unmapped, past end of file */
	CELL_NONE,
	CELL_GONE,
	CELL_PAST_END,
	CELL_LOW,
	/* CELL_PLAIN, with a bit more than a 32-bit pointer holds */
	CELL_WIDE,
	CELL_4G,
	/* the kernel's */
	CELL_HALF,
	CELL_TEXT,
	CELL_TOP,
	N_CELLS
};

/**
 * struct cell - a byte that may serve as a selector
 * @addr:	its address, as an argument; more than a pointer of x32
 * @name:	its name in reports
 * @write:	where it can be written, or NULL
 * @readable:	can it be read at @addr?
 * @value:	its value between operations
 */
struct cell {
	uint64_t addr;
	const char *name;
	volatile uint8_t *write;
	bool readable;
	uint8_t value;
};

enum way_id {
	/* the instruction of the ABI: syscall, or int $0x80 for 32 bits */
	WAY_OWN,
#if SUD_WORD_BITS == 64
	WAY_INT80,
	/* int $0x80 in the 32-bit code segment */
	WAY_FAR,
#else
	WAY_VDSO,
#endif
	N_WAYS
};

/**
 * struct way - a template of sud_regs.h, and its call as the kernel sees it
 * @name:	its name in reports
 * @code:	its address
 * @ip:		the address after the instruction
 * @pushed:	the additional bytes on the stack at that point
 * @flags:	those that are kept, of FLAGS
 * @ia32:	is it a 32-bit call?
 * @there:	does this kernel have it?
 */
struct way {
	const char *name;
	unsigned long code;
	uint64_t ip;
	unsigned int pushed;
	unsigned int flags;
	bool ia32;
	bool there;
};

#define ARITHMETIC_FLAGS	0x8d5
#define FLAGS			(0x202 | ARITHMETIC_FLAGS)

enum call_id { CALL_CLOSE, CALL_GETPPID, CALL_GETCPU, CALL_OTHER, CALL_EXIT };

/**
 * struct number - a system call
 * @nr:		its number
 * @call:	its effect if it runs: CALL_OTHER only gives an error
 * @ran:	the result by each way if it ran
 */
struct number {
	uint64_t nr;
	enum call_id call;
	uint64_t ran[N_WAYS];
};

/* The status with which CALL_EXIT ends a process. */
#define EXIT_CODE	42

#define NOT_WRITTEN	0xdeadbeef

extern struct cell cells[N_CELLS];
extern struct way ways[N_WAYS];
/* For the syscall instruction, and for any other one. */
extern struct number numbers_64[], numbers_32[];
extern const unsigned int n_numbers_64;
/* A file of one page that is full of BLOCK. */
extern int block_fd;

struct cell *cell_at(uint64_t addr);
void *cell_page(enum cell_id id);
bool map_page(enum cell_id id, int prot, int flags, int fd, off_t offset);
bool cells_moving(void);
bool cells_unshare(void);
bool cells_map(void);
void cells_restore(void);
bool ways_map(void);
uint32_t way_arch(const struct way *way);
struct number *way_number(const struct way *way, unsigned int i);
unsigned int way_nr_prctl(const struct way *way);
volatile uint32_t *cpu_written(void);
uint64_t mix(uint64_t x);
void way_args(const struct way *way, const uint64_t *args);
void way_load(const struct way *way, uint64_t nr, enum call_id call,
	      unsigned int salt);
void way_go(const struct way *way);
uint64_t way_expected(const struct way *way, unsigned int reg, uint64_t ax,
		      uint64_t flags);
const char *numbers_learn(void);

#endif /* PROOF_WORLD_H */
