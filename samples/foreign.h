/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The invented system that the foreign program was written for: its calls, and
 * the block with the program's input and results.
 */
#ifndef FOREIGN_H
#define FOREIGN_H

#define FOREIGN_NULL		0x1000
#define FOREIGN_WRITE		0x1001
#define FOREIGN_GET_PID		0x1002
#define FOREIGN_TIME		0x1003
#define FOREIGN_EXIT		0x1004
/* For Linux 39 is getpid. Numbers may overlap, so a filter by number does not help. */
#define FOREIGN_VERSION		39
/* A call that even the foreign system lacks, and its answer to such calls. */
#define FOREIGN_UNKNOWN		0x1fff
#define FOREIGN_NO_SUCH_CALL	(-7001)

/* Offsets into struct foreign_block. */
#define FOREIGN_RESULTS		5
#define FOREIGN_TEXT		40
#define FOREIGN_LENGTH		48
#define FOREIGN_STATUS		56

#ifndef __ASSEMBLER__
#include <stddef.h>

struct foreign_block {
	long results[FOREIGN_RESULTS];
	const char *text;
	long length;
	long status;
};

_Static_assert(offsetof(struct foreign_block, text) == FOREIGN_TEXT, "foreign.S relies on it");
_Static_assert(offsetof(struct foreign_block, length) == FOREIGN_LENGTH, "foreign.S relies on it");
_Static_assert(offsetof(struct foreign_block, status) == FOREIGN_STATUS, "foreign.S relies on it");

/* The image in this program's data, and places in it. */
extern const char foreign_image[], foreign_main[], foreign_repeat[], foreign_repeat_ip[], foreign_image_end[],
	foreign_ymm[], foreign_zmm[];
#endif

#endif
