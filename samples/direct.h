/* SPDX-License-Identifier: GPL-2.0 */
/* What direct.S and direct-layer.c both know. */
#ifndef DIRECT_H
#define DIRECT_H

#define DIRECT_STACK_SIZE	65536

/* The size of what FXSAVE saves. XSAVE needs more. */
#define DIRECT_AREA_FXSAVE	512

#ifndef __ASSEMBLER__
/* The foreign program's, as direct_handler leaves them on its stack. */
struct direct_registers {
	long rdi, rsi, rdx, r8, r9, r10, rcx, flags, rsp;
};

/* Where the kernel has dispatched calls go on. */
extern const char direct_handler[];

long direct_serve(long number, const struct direct_registers *regs);
#endif

#endif
