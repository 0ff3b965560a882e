/* SPDX-License-Identifier: GPL-2.0 */
/* Core dumps of children, written into a temporary directory. */
#ifndef SUD_CORE_H
#define SUD_CORE_H

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>

#include "sud.h"

#define SUD_CORE_PATTERN	"/proc/sys/kernel/core_pattern"

struct sud_core {
	char dir[32];
	char file[320];
	char saved[256];
};

static inline int sud_core_set_pattern(const char *pattern)
{
	int fd = open(SUD_CORE_PATTERN, O_WRONLY | O_CLOEXEC);
	int ret = 0;

	if (fd < 0)
		return -1;
	if (write(fd, pattern, strlen(pattern)) < 0)
		ret = -1;
	close(fd);
	return ret;
}

/*
 * sud_core_begin - write cores into a new directory, and change to it
 *
 * A kernel without sysctl always has the pattern "core", which is good enough.
 *
 * Return: 0, or the negative error number: setting the pattern needs
 * privilege.
 */
static inline int sud_core_begin(struct sud_core *c)
{
	ssize_t n = 0;
	int fd;

	strcpy(c->dir, "/tmp/sud-core-XXXXXX");
	fd = open(SUD_CORE_PATTERN, O_RDONLY | O_CLOEXEC);
	if (fd < 0 && errno != ENOENT)
		return -errno;
	if (fd >= 0) {
		n = read(fd, c->saved, sizeof(c->saved) - 1);
		close(fd);
	}
	if (n < 0)
		return -EIO;
	c->saved[n] = '\0';
	if (n && sud_core_set_pattern("core.%p"))
		return -errno;
	if (!mkdtemp(c->dir) || chdir(c->dir)) {
		if (n)
			sud_core_set_pattern(c->saved);
		return -errno;
	}
	return 0;
}

/*
 * sud_core_find - the core file that a child left
 *
 * Return: its name, or NULL if there is none.
 */
static inline const char *sud_core_find(struct sud_core *c)
{
	const char *found = NULL;
	struct dirent *entry;
	DIR *dir;

	dir = opendir(c->dir);
	if (!dir)
		return NULL;
	while ((entry = readdir(dir))) {
		if (strncmp(entry->d_name, "core", 4))
			continue;
		snprintf(c->file, sizeof(c->file), "%s/%s", c->dir,
			 entry->d_name);
		found = c->file;
	}
	closedir(dir);
	return found;
}

/*
 * sud_core_end - put everything back
 */
static inline void sud_core_end(struct sud_core *c)
{
	if (c->saved[0])
		sud_core_set_pattern(c->saved);
	while (sud_core_find(c) && !unlink(c->file))
		;
	if (!chdir("/"))
		rmdir(c->dir);
}

/**
 * sud_core_limit - set RLIMIT_CORE of the calling process
 * @on: no limit if true, no core otherwise
 */
static inline int sud_core_limit(bool on)
{
	struct rlimit rlim;

	if (getrlimit(RLIMIT_CORE, &rlim))
		return -1;
	if (on)
		rlim.rlim_max = RLIM_INFINITY;
	rlim.rlim_cur = on ? RLIM_INFINITY : 0;
	if (prctl(PR_SET_DUMPABLE, 1UL, 0UL, 0UL, 0UL))
		return -1;
	return setrlimit(RLIMIT_CORE, &rlim);
}

#endif /* SUD_CORE_H */
