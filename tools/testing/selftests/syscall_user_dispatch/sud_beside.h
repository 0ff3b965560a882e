/* SPDX-License-Identifier: GPL-2.0 */
/* Programs that tests execute: they are in the directory of the test. */
#ifndef SUD_BESIDE_H
#define SUD_BESIDE_H

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/**
 * sud_beside - the path of a program beside this one
 * @path:	where to put it, PATH_MAX bytes
 * @name:	the program's name
 * @suffix:	its suffix, such as SUD_SUFFIX
 *
 * Return: true if there is such a program.
 */
static inline bool sud_beside(char *path, const char *name, const char *suffix)
{
	ssize_t len = readlink("/proc/self/exe", path, PATH_MAX - 1);
	size_t room;
	char *slash;

	if (len <= 0)
		return false;
	path[len] = '\0';
	slash = strrchr(path, '/');
	if (!slash)
		return false;
	slash++;
	room = PATH_MAX - (slash - path);
	if (snprintf(slash, room, "%s%s", name, suffix) >= room)
		return false;
	return access(path, X_OK) == 0;
}

#endif /* SUD_BESIDE_H */
