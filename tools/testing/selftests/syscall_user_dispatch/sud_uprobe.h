/* SPDX-License-Identifier: GPL-2.0 */
/* Probes of this program's own code, set by perf. */
#ifndef SUD_UPROBE_H
#define SUD_UPROBE_H

#include <errno.h>
#include <limits.h>
#include <unistd.h>

#include "sud_perf.h"

#define SUD_UPROBE_PMU	"/sys/bus/event_source/devices/uprobe/type"

/* The kernel's error for an instruction that cannot be probed. */
#define SUD_ENOTSUPP	524

/* The offset of an address in the program's file, or 0. */
static inline uint64_t sud_file_offset(unsigned long addr)
{
	unsigned long from, to;
	unsigned long long offset;
	uint64_t found = 0;
	char line[512];
	FILE *maps = fopen("/proc/self/maps", "re");

	if (!maps)
		return 0;
	while (fgets(line, sizeof(line), maps)) {
		if (sscanf(line, "%lx-%lx %*s %llx", &from, &to, &offset) ==
		    3 && addr >= from && addr < to)
			found = addr - from + offset;
	}
	fclose(maps);
	return found;
}

/*
 * sud_uprobe - probe an instruction of this program, for the calling thread and
 * those that it creates later
 * @addr:	the instruction
 * @ret:	probe the return of the function that begins there
 *
 * Return: a file descriptor for sud_perf_count(), or the negative error number;
 * -ENOENT if the kernel has no such probes.
 */
static inline int sud_uprobe(unsigned long addr, bool ret)
{
	char path[PATH_MAX] = "";
	struct perf_event_attr attr = {
		.config = ret,
		.uprobe_path = (uintptr_t)path,
		.probe_offset = sud_file_offset(addr),
	};
	unsigned int type;

	if (sud_perf_number(SUD_UPROBE_PMU, &type))
		return -ENOENT;
	/*
	 * Not /proc/self/exe itself: 5.10 looks the path up again for each new
	 * thread, with a lock held that perf takes after those of /proc.
	 */
	if (readlink("/proc/self/exe", path, sizeof(path) - 1) < 0)
		return -errno;
	attr.type = type;
	return sud_perf_open(&attr);
}

#endif /* SUD_UPROBE_H */
