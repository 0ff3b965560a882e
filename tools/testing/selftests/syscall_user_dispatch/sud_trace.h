/* SPDX-License-Identifier: GPL-2.0 */
/* The raw_syscalls events of one thread. */
#ifndef SUD_TRACE_H
#define SUD_TRACE_H

#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "sud_script.h"

/*
 * struct sud_trace - a separate trace instance
 * @n:		the number of events, set by sud_trace_read()
 * @seen:	entries and exits in the order in which they came
 */
struct sud_trace {
	unsigned int n;
	struct sud_seen seen[4096];
	char root[64];
	char dir[96];
	bool mounted;
};

static inline int sud_trace_put(struct sud_trace *t, const char *file,
				const char *text)
{
	char path[192];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", t->dir, file);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = write(fd, text, strlen(text));
	close(fd);
	return n == (ssize_t)strlen(text) ? 0 : -EIO;
}

/*
 * sud_trace_close - put everything back
 */
static inline void sud_trace_close(struct sud_trace *t)
{
	sud_trace_put(t, "events/raw_syscalls/enable", "0");
	rmdir(t->dir);
	strcpy(t->dir, t->root);
	sud_trace_put(t, "options/record-cmd", "1");
	if (t->mounted) {
		umount2(t->root, MNT_DETACH);
		rmdir(t->root);
	}
}

/*
 * sud_trace_open - make the instance; nothing is traced yet
 *
 * Return: 0, or the negative error number.
 */
static inline int sud_trace_open(struct sud_trace *t)
{
	int err;

	strcpy(t->root, "/sys/kernel/tracing");
	t->mounted = false;
	if (access("/sys/kernel/tracing/instances", X_OK)) {
		strcpy(t->root, "/tmp/sud-tracefs-XXXXXX");
		if (!mkdtemp(t->root))
			return -errno;
		if (mount("tracefs", t->root, "tracefs", 0, NULL)) {
			err = -errno;
			rmdir(t->root);
			return err;
		}
		t->mounted = true;
	}
	/* An instance replaces this directory: see sud_trace_start(). */
	strcpy(t->dir, t->root);
	sud_trace_put(t, "options/record-cmd", "0");
	snprintf(t->dir, sizeof(t->dir), "%s/instances/sud-%d", t->root,
		 getpid());
	if (mkdir(t->dir, 0700)) {
		err = -errno;
		t->dir[0] = '\0';
	} else {
		/* The default clock may differ between processors. */
		err = sud_trace_put(t, "trace_clock", "counter") ?:
		      sud_trace_put(t, "events/raw_syscalls/enable", "0");
	}
	if (err)
		sud_trace_close(t);
	return err;
}

/*
 * sud_trace_start - trace that thread from now on
 *
 * This uses a filter, not set_event_pid, and does not record names. Both would
 * also switch on the scheduler's tracepoints. That rewrites code which other
 * processors are running, and some emulators get it wrong.
 *
 * Return: 0, or the negative error number.
 */
static inline int sud_trace_start(struct sud_trace *t, pid_t tid)
{
	char text[32];

	snprintf(text, sizeof(text), "common_pid == %d", tid);
	return sud_trace_put(t, "events/raw_syscalls/filter", text) ?:
	       sud_trace_put(t, "events/raw_syscalls/enable", "1");
}

static inline bool sud_trace_line(const char *line, struct sud_seen *seen)
{
	long long ret = 0;
	const char *p;

	seen->what = SUD_SEEN_ENTRY;
	p = strstr(line, "sys_enter: NR ");
	if (!p) {
		seen->what = SUD_SEEN_EXIT;
		p = strstr(line, "sys_exit: NR ");
	}
	if (line[0] == '#' || !p ||
	    sscanf(p, "%*s NR %ld = %lld", &seen->nr, &ret) < 1)
		return false;
	seen->ret = ret;
	return true;
}

/*
 * sud_trace_read - stop tracing, and read the events
 *
 * Return: 0, or the negative error number.
 */
static inline int sud_trace_read(struct sud_trace *t)
{
	char path[192], line[512];
	FILE *file;

	t->n = 0;
	sud_trace_put(t, "events/raw_syscalls/enable", "0");
	snprintf(path, sizeof(path), "%s/trace", t->dir);
	file = fopen(path, "re");
	if (!file)
		return -errno;
	while (fgets(line, sizeof(line), file)) {
		if (!sud_trace_line(line, &t->seen[t->n]))
			continue;
		if (++t->n == sizeof(t->seen) / sizeof(t->seen[0]))
			break;
	}
	fclose(file);
	return 0;
}

#endif /* SUD_TRACE_H */
