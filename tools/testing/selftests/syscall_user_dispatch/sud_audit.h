/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The records of the audit subsystem, for tests that replace the audit daemon
 * while they run.
 */
#ifndef SUD_AUDIT_H
#define SUD_AUDIT_H

#include <limits.h>
#include <linux/audit.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "sud.h"

/* Not in the kernel's header: the first type that programs may send. */
#define SUD_AUDIT_SENTINEL	1121

/* The size of the longest record: a header, and the longest text. */
#define SUD_AUDIT_SIZE		9000

/* Memory for the records until they are read. */
#define SUD_AUDIT_BUFFER	(16 << 20)
#define SUD_AUDIT_BACKLOG	16384

/* Seconds to wait for a record. */
#define SUD_AUDIT_TIMEOUT	10

/*
 * struct sud_audit - a connection to the audit subsystem
 * @control:	socket for requests
 * @records:	socket on which the records arrive
 * @saved:	the state that was found
 * @rule:	the rule that is in force, if rule.field_count
 */
struct sud_audit {
	int control;
	int records;
	unsigned int sentinels;
	struct audit_status saved;
	struct audit_rule_data rule;
};

struct sud_audit_message {
	struct nlmsghdr header;
	char data[SUD_AUDIT_SIZE];
};

static inline int sud_audit_socket(void)
{
	struct timeval timeout = {
		.tv_sec = SUD_AUDIT_TIMEOUT * sud_slow(),
	};
	int size = SUD_AUDIT_BUFFER;
	int fd;

	fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_AUDIT);
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout,
		       sizeof(timeout))) {
		close(fd);
		return -EINVAL;
	}
	return fd;
}

/* The next message, its text terminated. */
static inline int sud_audit_receive(int fd, struct sud_audit_message *m)
{
	ssize_t n;

	do {
		n = recv(fd, m, sizeof(*m) - 1, 0);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if (n < (ssize_t)sizeof(m->header))
		return -EIO;
	((char *)m)[n] = '\0';
	return 0;
}

/*
 * Send one request. Its answer, if there is one, is stored in @answer. Records
 * that arrive before the acknowledgment are skipped.
 */
static inline int sud_audit_request(int fd, int type, const void *data,
				    size_t size, struct audit_status *answer)
{
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	struct sud_audit_message m = {
		.header = {
			.nlmsg_len = NLMSG_LENGTH(size),
			.nlmsg_type = type,
			.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK,
		},
	};
	int err;

	if (size > sizeof(m.data))
		return -EMSGSIZE;
	if (size)
		memcpy(m.data, data, size);
	if (sendto(fd, &m, NLMSG_LENGTH(size), 0, (struct sockaddr *)&kernel,
		   sizeof(kernel)) < 0)
		return -errno;
	for (;;) {
		err = sud_audit_receive(fd, &m);
		if (err)
			return err;
		if (m.header.nlmsg_type == NLMSG_ERROR)
			return ((struct nlmsgerr *)m.data)->error;
		if (m.header.nlmsg_type == type && answer)
			memcpy(answer, m.data, sizeof(*answer));
	}
}

static inline int sud_audit_set(int fd, const struct audit_status *status)
{
	return sud_audit_request(fd, AUDIT_SET, status, sizeof(*status), NULL);
}

/*
 * sud_audit_enable - switch the auditing of system calls on or off
 *
 * A process created before auditing was ever on is never audited.
 *
 * Return: 0, or the negative error number.
 */
static inline int sud_audit_enable(struct sud_audit *a, bool on)
{
	struct audit_status status = {
		.mask = AUDIT_STATUS_ENABLED,
		.enabled = on,
	};

	return sud_audit_set(a->control, &status);
}

/*
 * sud_audit_close - put everything back
 */
static inline void sud_audit_close(struct sud_audit *a)
{
	struct audit_status nobody = { .mask = AUDIT_STATUS_PID };

	if (a->rule.field_count)
		sud_audit_request(a->control, AUDIT_DEL_RULE, &a->rule,
				  sizeof(a->rule), NULL);
	a->saved.mask = AUDIT_STATUS_ENABLED | AUDIT_STATUS_RATE_LIMIT |
			AUDIT_STATUS_BACKLOG_LIMIT;
	sud_audit_set(a->control, &a->saved);
	sud_audit_set(a->records, &nobody);
	close(a->control);
	close(a->records);
}

/*
 * sud_audit_open - become the receiver of all records, and enable auditing
 *
 * Return: NULL, or the reason why this failed.
 */
static inline const char *sud_audit_open(struct sud_audit *a)
{
	struct audit_status status = {
		.mask = AUDIT_STATUS_RATE_LIMIT | AUDIT_STATUS_BACKLOG_LIMIT,
		.backlog_limit = SUD_AUDIT_BACKLOG,
	};
	struct audit_status me = {
		.mask = AUDIT_STATUS_PID,
		.pid = getpid(),
	};
	const char *trouble = NULL;
	int err;

	memset(a, 0, sizeof(*a));
	a->control = sud_audit_socket();
	if (a->control < 0)
		return "no audit in this kernel";
	a->records = sud_audit_socket();
	err = sud_audit_request(a->control, AUDIT_GET, NULL, 0, &a->saved);
	if (a->records < 0 || err == -ECONNREFUSED)
		trouble = "audit is switched off in this kernel";
	else if (err)
		trouble = "no privilege to use audit";
	else if (a->saved.pid)
		trouble = "an audit daemon is running";
	else if (a->saved.enabled > 1)
		trouble = "the audit rules are locked";
	if (trouble) {
		close(a->control);
		close(a->records);
		return trouble;
	}
	if (sud_audit_set(a->control, &status) ||
	    sud_audit_set(a->records, &me) || sud_audit_enable(a, true)) {
		sud_audit_close(a);
		return "audit does not take us for its daemon";
	}
	return NULL;
}

/*
 * sud_audit_rule - record all system calls of a process
 *
 * Return: 0, or the negative error number.
 */
static inline int sud_audit_rule(struct sud_audit *a, pid_t pid)
{
	int err;

	a->rule.flags = AUDIT_FILTER_EXIT;
	a->rule.action = AUDIT_ALWAYS;
	memset(a->rule.mask, 0xff, sizeof(a->rule.mask));
	a->rule.fields[0] = AUDIT_PID;
	a->rule.fieldflags[0] = AUDIT_EQUAL;
	a->rule.values[0] = pid;
	a->rule.field_count = 1;
	err = sud_audit_request(a->control, AUDIT_ADD_RULE, &a->rule,
				sizeof(a->rule), NULL);
	if (err)
		a->rule.field_count = 0;
	return err;
}

/*
 * sud_audit_read - read all that was recorded until now
 * @fn:		called for each record
 *
 * A record of our own comes after all others. Auditing has to be enabled.
 *
 * Return: 0, or the negative error number.
 */
static inline int sud_audit_read(struct sud_audit *a,
				 void (*fn)(int type, const char *text,
					    void *arg), void *arg)
{
	static struct sud_audit_message m;
	char sentinel[32];
	int err;

	snprintf(sentinel, sizeof(sentinel), "sud-sentinel-%d-%u.", getpid(),
		 a->sentinels++);
	err = sud_audit_request(a->control, SUD_AUDIT_SENTINEL, sentinel,
				strlen(sentinel) + 1, NULL);
	while (!err) {
		err = sud_audit_receive(a->records, &m);
		if (err || (m.header.nlmsg_type == SUD_AUDIT_SENTINEL &&
			    strstr(m.data, sentinel)))
			break;
		fn(m.header.nlmsg_type, m.data, arg);
	}
	return err;
}

/*
 * sud_audit_field - a number in the text of a record
 * @name:	the text before it: " pid=" for example
 *
 * Return: the number, LONG_MIN if there is none.
 */
static inline long long sud_audit_field(const char *text, const char *name,
					int base)
{
	const char *p = strstr(text, name);

	return p ? strtoll(p + strlen(name), NULL, base) : LONG_MIN;
}

#endif /* SUD_AUDIT_H */
