// SPDX-License-Identifier: GPL-2.0
/*
 * Syscall User Dispatch: lifetime.c executes this program to check that a
 * program starts with dispatch off (rule L2).
 *
 * The exit status is SUD_PROBE_RAN plus the result of sud_probe(), see sud.h.
 * SUD_PROBE_SETUID is added if the program runs set-user-ID root. Any other
 * status means that the probe itself failed.
 */
#include "sud.h"

int main(void)
{
	int ret;

	if (!sud_setup())
		return EXIT_FAILURE;
	ret = SUD_PROBE_RAN + sud_probe();
	if (getuid() != 0 && geteuid() == 0)
		ret += SUD_PROBE_SETUID;
	return ret;
}
