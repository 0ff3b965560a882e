/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Syscall User Dispatch: read and write kernel.syscall_user_dispatch. It
 * belongs to the whole machine, so a test that writes it must restore it.
 */
#ifndef SUD_KNOB_H
#define SUD_KNOB_H

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define SUD_KNOB	"/proc/sys/kernel/syscall_user_dispatch"

/* Return: the value, or a negative error number. */
static inline int sud_knob_read(void)
{
	char text[16];
	ssize_t len;
	int fd;

	fd = open(SUD_KNOB, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	len = read(fd, text, sizeof(text));
	close(fd);
	if (len == 2 && text[1] == '\n' && (text[0] == '0' || text[0] == '1'))
		return text[0] - '0';
	return -ERANGE;
}

/* Return: the number of bytes written, or a negative error number. */
static inline ssize_t sud_knob_write(const char *text)
{
	ssize_t ret;
	int fd;

	fd = open(SUD_KNOB, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ret = write(fd, text, strlen(text));
	if (ret < 0)
		ret = -errno;
	close(fd);
	return ret;
}

#endif
