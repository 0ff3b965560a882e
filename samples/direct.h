/* SPDX-License-Identifier: GPL-2.0 */
/* Definitions that direct.S and direct-layer.c share. */
#ifndef DIRECT_H
#define DIRECT_H

#define DIRECT_STACK_SIZE	65536

/* The size of the area of FXSAVE. XSAVE needs more. */
#define DIRECT_AREA_FXSAVE	512

#ifndef __ASSEMBLER__
/* The registers of the foreign program, as direct_handler pushes them. */
struct direct_registers {
	long rdi, rsi, rdx, r8, r9, r10, rcx, flags, rsp;
};

/* Dispatched calls continue here. */
extern const char direct_handler[];

long direct_serve(long number, const struct direct_registers *regs);
#endif

#endif
