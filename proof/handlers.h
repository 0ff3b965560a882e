/* SPDX-License-Identifier: GPL-2.0 */
#ifndef PROOF_HANDLERS_H
#define PROOF_HANDLERS_H

#include "sud_direct.h"
#include "sud_regs.h"

enum entry_id {
	ENTRY_NONE,
	ENTRY_ONE,
	ENTRY_OTHER,
	N_ENTRIES_OF_CODE,
	/* nothing is mapped, nothing can be executed */
	ENTRY_GONE = N_ENTRIES_OF_CODE,
	ENTRY_DATA,
	/* the latter, with a bit more than a 32-bit pointer holds */
	ENTRY_WIDE,
	/* the kernel's */
	ENTRY_HALF,
	ENTRY_TEXT,
	ENTRY_TOP,
	N_ENTRIES
};

/*
 * The registers that the code of a handler saves below the red zone and then
 * restores, in the order of SUD_AX and so on.
 */
struct handler_frame {
	uint64_t reg[15];
	uint64_t flags;
	uint8_t red_zone[128];
};

#define ENTRY_DATA_AT	0x50000

/* The code that was reached. */
#define handler_reached	(sud_regs->pad[0])

#if SUD_WORD_BITS == 64
extern const char handler_one[], handler_other[]
	__attribute__((visibility("hidden")));

/* Called by the code of both handlers; it is in performance.c. */
void handler_in_c(struct handler_frame *frame);
#else
/* No instruction of a 32-bit program reaches this address. */
#define handler_one	((const char *)SUD_FOREIGN)
#define handler_other	((const char *)SUD_FOREIGN + 1)
#endif

uint64_t entry_addr(unsigned int id);
enum entry_id entry_at(uint64_t addr);

#endif /* PROOF_HANDLERS_H */
