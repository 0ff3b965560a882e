/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Events that perf counts for the calling thread and for the threads and
 * children that it creates later.
 */
#ifndef SUD_PERF_H
#define SUD_PERF_H

#include <linux/perf_event.h>
#include <stdio.h>

#include "sud.h"

/*
 * sud_perf_number - the number that a file has, of a tracepoint or a PMU
 * @path:	a file that the kernel makes
 * @number:	is set to the number; 0 if the file has none
 *
 * Return: 0, or the negative error number of opening the file.
 */
static inline int sud_perf_number(const char *path, unsigned int *number)
{
	FILE *file = fopen(path, "re");

	if (!file)
		return -errno;
	if (fscanf(file, "%u", number) != 1)
		*number = 0;
	fclose(file);
	return 0;
}

/*
 * sud_perf_open - from now on count an event
 * @attr:	which; the size is filled in
 *
 * Return: a file descriptor, or the negative error number.
 */
static inline int sud_perf_open(struct perf_event_attr *attr)
{
	int fd;

	attr->size = sizeof(*attr);
	attr->inherit = 1;
	fd = syscall(SYS_perf_event_open, attr, 0, -1, -1,
		     PERF_FLAG_FD_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/*
 * sud_perf_count - how often it was seen; -1 if that cannot be read
 */
static inline uint64_t sud_perf_count(int fd)
{
	uint64_t count;

	return read(fd, &count, sizeof(count)) == sizeof(count) ? count : -1;
}

#endif /* SUD_PERF_H */
