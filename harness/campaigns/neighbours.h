/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Included first in the kernel's own selftests: they size arrays by SIGSTKSZ,
 * which is not a constant since glibc 2.34.
 */
#ifndef __ASSEMBLER__
#define _GNU_SOURCE
#include <signal.h>
#undef SIGSTKSZ
#define SIGSTKSZ 65536
#endif
