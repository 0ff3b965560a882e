/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What windows.S and wine-like.c both know: the thread block, and how the
 * Windows side says which calls it wants made.
 */
#ifndef WINDOWS_H
#define WINDOWS_H

/* Offsets into struct teb, which the GS base points to. */
#define TEB_SELECTOR	8
#define TEB_UNIX_STACK	16
#define TEB_DISPATCHER	24
#define TEB_SAVED	32
#define TEB_SAVED_XMM	128

/* Offsets into struct call. */
#define CALL_ARGS	8
#define CALL_RESULT	40

#ifndef __ASSEMBLER__
#include <stddef.h>

/*
 * A thread's block. The byte is here: not in thread-local storage, nor on the
 * stack, as the dispatcher has to find it while the registers are another
 * system's.
 */
struct teb {
	struct teb *self;
	volatile unsigned char selector;
	void *unix_stack;
	const char *dispatcher;	/* Windows code calls it by this */
	long saved[12];		/* of the caller, while a service runs */
	float saved_xmm[10][4];	/* xmm6 to xmm15, which Windows preserves */
};

_Static_assert(offsetof(struct teb, selector) == TEB_SELECTOR, "windows.S relies on it");
_Static_assert(offsetof(struct teb, unix_stack) == TEB_UNIX_STACK, "windows.S relies on it");
_Static_assert(offsetof(struct teb, dispatcher) == TEB_DISPATCHER, "windows.S relies on it");
_Static_assert(offsetof(struct teb, saved) == TEB_SAVED, "windows.S relies on it");
_Static_assert(offsetof(struct teb, saved_xmm) == TEB_SAVED_XMM, "windows.S relies on it");

struct call {
	long number;
	long args[4];
	long result;
};

_Static_assert(offsetof(struct call, args) == CALL_ARGS, "windows.S relies on it");
_Static_assert(offsetof(struct call, result) == CALL_RESULT, "windows.S relies on it");

/*
 * Windows code, as it lies in this program's data, and places in it. Each is a function that takes a
 * struct call *, makes the call, by one way or another, and returns how many registers did not stay as they were.
 */
extern const char windows_code[], by_stub[], by_syscall[], by_int80[], windows_code_end[];

/* What Windows code calls to have a call made. */
extern const char dispatcher[];

/* Where the dispatcher goes on for a call that came as a SIGSYS: rcx has the address to return to. */
extern const char dispatcher_signal[];

/* The service of a call, in C. @tid is what a system call of the dispatcher's own returned. */
long serve(long tid, long number, const long *args);
#endif

#endif
