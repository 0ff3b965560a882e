/* SPDX-License-Identifier: GPL-2.0 */
/* Waiting for another thread to fall asleep in a system call. */
#ifndef SUD_ASLEEP_H
#define SUD_ASLEEP_H

#include <fcntl.h>
#include <stdio.h>

#include "sud.h"

/**
 * sud_wait_asleep - wait until a thread sleeps in a system call
 * @tid:	the thread
 * @nr:		the call's number, as the thread gave it
 *
 * Return: false if it does not within some seconds, times sud_slow().
 */
static inline bool sud_wait_asleep(pid_t tid, long nr)
{
	char path[64], line[256];
	unsigned int i;
	int fd;
	ssize_t n;

	for (i = 0; i < 5000 * sud_slow(); i++) {
		snprintf(path, sizeof(path), "/proc/%d/stat", tid);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			return false;
		n = read(fd, line, sizeof(line) - 1);
		close(fd);
		if (n <= 0)
			return false;
		line[n] = '\0';
		if (strstr(line, ") S ")) {
			snprintf(path, sizeof(path), "/proc/%d/syscall", tid);
			fd = open(path, O_RDONLY | O_CLOEXEC);
			/* Not every kernel has that: asleep must do. */
			if (fd < 0) {
				usleep(20000);
				return true;
			}
			n = read(fd, line, sizeof(line) - 1);
			close(fd);
			line[n > 0 ? n : 0] = '\0';
			if (strtol(line, NULL, 0) == nr)
				return true;
		}
		usleep(1000);
	}
	return false;
}

#endif /* SUD_ASLEEP_H */
