/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The kernel's reports of a process that a signal killed, in addition to its
 * wait status: BSD process accounting, the connector for process events, and
 * the tracepoint for signals.
 */
#ifndef SUD_KILLED_H
#define SUD_KILLED_H

#include <fcntl.h>
#include <linux/acct.h>
#include <linux/cn_proc.h>
#include <linux/connector.h>
#include <linux/netlink.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "sud_perf.h"

/* ---- Process accounting ---- */

struct sud_acct {
	char name[32];
	int fd;
};

/*
 * sud_acct_begin - from now on each process that ends leaves a record
 *
 * Return: 0, or the negative error number.
 */
static inline int sud_acct_begin(struct sud_acct *a)
{
	int err;

	strcpy(a->name, "/tmp/sud-acct-XXXXXX");
	a->fd = mkostemp(a->name, O_CLOEXEC);
	if (a->fd < 0)
		return -errno;
	if (!syscall(SYS_acct, a->name))
		return 0;
	err = -errno;
	unlink(a->name);
	close(a->fd);
	return err;
}

/*
 * sud_acct_end - stop that, and look for a record
 * @pid:	whose
 * @record:	where to put it
 *
 * Return: 0; -ENOENT if there is no such record; -ENOTSUP if this kernel's
 * records lack the process number.
 */
static inline int sud_acct_end(struct sud_acct *a, pid_t pid,
			       struct acct_v3 *record)
{
	int err = -ENOENT;

	syscall(SYS_acct, NULL);
	while (err == -ENOENT &&
	       read(a->fd, record, sizeof(*record)) == sizeof(*record)) {
		if ((record->ac_version & 0xf) != 3)
			err = -ENOTSUP;
		else if (record->ac_pid == pid)
			err = 0;
	}
	unlink(a->name);
	close(a->fd);
	return err;
}

/* ---- Process events ---- */

struct sud_event_message {
	struct nlmsghdr header;
	struct cn_msg connector;
	/* a struct proc_event, which needs another alignment */
	char event[256];
};

/*
 * sud_events_next - the next event
 *
 * Return: 0, or the negative error number.
 */
static inline int sud_events_next(int fd, struct proc_event *event)
{
	const size_t head = offsetof(struct sud_event_message, event);
	struct sud_event_message m;
	ssize_t n;

	do {
		n = recv(fd, &m, sizeof(m), 0);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	memset(event, 0, sizeof(*event));
	n -= head;
	if (n > 0)
		memcpy(event, m.event,
		       n < sizeof(*event) ? n : sizeof(*event));
	return 0;
}

/*
 * sud_events_open - from now on receive the events of all processes
 *
 * Return: a socket, or the negative error number.
 */
static inline int sud_events_open(void)
{
	struct timeval timeout = { .tv_sec = 10 * sud_slow() };
	struct sockaddr_nl addr = {
		.nl_family = AF_NETLINK,
		.nl_groups = CN_IDX_PROC,
	};
	const enum proc_cn_mcast_op op = PROC_CN_MCAST_LISTEN;
	struct sud_event_message m = {
		.header = {
			.nlmsg_len = offsetof(struct sud_event_message, event) +
				     sizeof(op),
			.nlmsg_type = NLMSG_DONE,
		},
		.connector = {
			.id = { CN_IDX_PROC, CN_VAL_PROC },
			.len = sizeof(op),
		},
	};
	struct proc_event event;
	int fd, err;

	fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_CONNECTOR);
	if (fd < 0)
		return -errno;
	memcpy(m.event, &op, sizeof(op));
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout,
		       sizeof(timeout)) ||
	    bind(fd, (struct sockaddr *)&addr, sizeof(addr)) ||
	    send(fd, &m, m.header.nlmsg_len, 0) < 0) {
		err = -errno;
		close(fd);
		return err;
	}
	/* The answer: without a listener, the kernel sends no events. */
	do {
		err = sud_events_next(fd, &event);
	} while (!err && event.what != PROC_EVENT_NONE);
	if (!err)
		err = -event.event_data.ack.err;
	if (err) {
		close(fd);
		return err;
	}
	return fd;
}

/*
 * sud_events_end_of - wait for a process's last event
 * @dumps:	is set to the number of its core-dump events
 * @end:	its last event
 *
 * Return: 0, or the negative error number.
 */
static inline int sud_events_end_of(int fd, pid_t pid, unsigned int *dumps,
				    struct proc_event *end)
{
	int err;

	*dumps = 0;
	for (;;) {
		err = sud_events_next(fd, end);
		if (err)
			return err;
		if (end->what == PROC_EVENT_COREDUMP &&
		    end->event_data.coredump.process_tgid == pid)
			(*dumps)++;
		if (end->what == PROC_EVENT_EXIT &&
		    end->event_data.exit.process_pid == pid)
			return 0;
	}
}

/* ---- The tracepoint for signals ---- */

#define SUD_DELIVER	"/sys/kernel/tracing/events/signal/signal_deliver/id"

/*
 * sud_deliveries - from now on count how often this signal is delivered to the
 * calling thread's children
 *
 * Return: a file descriptor for sud_perf_count(), or the negative error number.
 */
static inline int sud_deliveries(int sig)
{
	struct perf_event_attr attr = { .type = PERF_TYPE_TRACEPOINT };
	unsigned int id;
	char filter[32];
	int fd, err;

	err = sud_perf_number(SUD_DELIVER, &id);
	if (err)
		return err;
	attr.config = id;
	fd = sud_perf_open(&attr);
	if (fd < 0)
		return fd;
	snprintf(filter, sizeof(filter), "sig == %d", sig);
	if (ioctl(fd, PERF_EVENT_IOC_SET_FILTER, filter)) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

#endif /* SUD_KILLED_H */
