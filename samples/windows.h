/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Definitions that windows.S and wine-like.c share: the thread block, and the
 * structure in which the Windows side describes a call.
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
 * A thread's block. It contains the selector byte, because the dispatcher must
 * find the byte while the registers are those of another system. Thread-local
 * storage and the stack cannot be used then.
 */
struct teb {
	struct teb *self;
	volatile unsigned char selector;
	void *unix_stack;
	const char *dispatcher;	/* address by which Windows code calls it */
	long saved[12];		/* registers of the caller, while a service runs */
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
 * Windows code in this program's data, and places in it. Each is a function that takes a struct call *,
 * makes the call in its own way, and returns the number of registers that were not preserved.
 */
extern const char windows_code[], by_stub[], by_syscall[], by_int80[], windows_code_end[];

/* The function by which Windows code makes a call. */
extern const char dispatcher[];

/* The dispatcher continues here for a call that came as a SIGSYS. rcx has the return address. */
extern const char dispatcher_signal[];

/* The service of a call, in C. @tid is the result of the dispatcher's own system call. */
long serve(long tid, long number, const long *args);
#endif

#endif
