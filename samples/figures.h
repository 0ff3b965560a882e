/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The cost of a system call. On a real machine, and under KVM, the figures are nanoseconds. Times under
 * emulation say nothing about a real machine. But QEMU can count instructions (-icount shift=0), and then the
 * figures are instructions.
 */
#ifndef FIGURES_H
#define FIGURES_H

/* The number of calls for one figure. */
#define FIGURE_ROUNDS	1000
#define FIGURE_BATCH	20
#define FIGURE_CALLS	(FIGURE_ROUNDS * FIGURE_BATCH)

/* Make @calls calls of that number, with the selector at @state. */
typedef long (*figure_calls)(long number, long calls, unsigned char state);

/* Print the head. */
void figures_begin(const char *what);

/* Make FIGURE_CALLS calls, and print what one of them costs. */
void figure(const char *what, figure_calls make, long number, unsigned char state);

/* Print how to interpret the figures. */
void figures_end(void);

#endif
