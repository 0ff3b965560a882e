/* SPDX-License-Identifier: GPL-2.0 */
/* Probes on this program's own code, as perf sets them. */
#ifndef SUD_UPROBE_H
#define SUD_UPROBE_H

#include <linux/perf_event.h>
#include <stdio.h>

#include "sud.h"

#define SUD_UPROBE_PMU	"/sys/bus/event_source/devices/uprobe/type"

/* What the kernel says of an instruction that cannot be probed. */
#define SUD_ENOTSUPP	524

/* Where in the program's file an address is, or 0. */
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
 * Return: a file descriptor from which the number of hits is read, or the
 * negative error number; -ENOENT if the kernel has no such probes.
 */
static inline int sud_uprobe(unsigned long addr, bool ret)
{
	struct perf_event_attr attr = {
		.size = sizeof(attr),
		.config = ret,
		.uprobe_path = (uintptr_t)"/proc/self/exe",
		.probe_offset = sud_file_offset(addr),
		.inherit = 1,
	};
	unsigned int type;
	FILE *file = fopen(SUD_UPROBE_PMU, "re");
	int fd;

	if (!file)
		return -ENOENT;
	if (fscanf(file, "%u", &type) != 1)
		type = 0;
	fclose(file);
	attr.type = type;
	fd = syscall(SYS_perf_event_open, &attr, 0, -1, -1,
		     PERF_FLAG_FD_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/**
 * sud_uprobe_hits - how often a probe was hit
 * @fd: the probe
 */
static inline uint64_t sud_uprobe_hits(int fd)
{
	uint64_t count;

	return read(fd, &count, sizeof(count)) == sizeof(count) ? count : -1;
}

#endif /* SUD_UPROBE_H */
