// SPDX-License-Identifier: GPL-2.0
/* The kernel's header of signals and the C library's do not go together in one file. */
#include <asm/siginfo.h>

const int kernel_si_code = SYS_USER_DISPATCH;
