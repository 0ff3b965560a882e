/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The invented system that the foreign program was written for: its calls, and
 * the block through which the program gets its orders and leaves its results.
 */
#ifndef FOREIGN_H
#define FOREIGN_H

#define FOREIGN_NULL		0x1000
#define FOREIGN_WRITE		0x1001
#define FOREIGN_GET_PID		0x1002
#define FOREIGN_TIME		0x1003
#define FOREIGN_EXIT		0x1004
/* For Linux 39 is getpid. Numbers may overlap: that is why filtering by number does not do. */
#define FOREIGN_VERSION		39
/* A call that not even the foreign system has, and its answer to such. */
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

/* The image as it lies in this program's data, and places in it. */
extern const char foreign_image[], foreign_main[], foreign_repeat[], foreign_repeat_ip[], foreign_image_end[],
	foreign_ymm[], foreign_zmm[];
#endif

#endif
