// SPDX-License-Identifier: GPL-2.0
/* The kernel's and the C library's headers of signals cannot be included in one file. */
#include <asm/siginfo.h>

const int kernel_si_code = SYS_USER_DISPATCH;
