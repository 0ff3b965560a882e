/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A selector on a userfaultfd page: a thread sleeps in the read of it while
 * another one acts, without a race.
 */
#ifndef SUD_UFFD_H
#define SUD_UFFD_H

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <string.h>
#include <sys/ioctl.h>

#include "sud.h"

/*
 * struct sud_uffd - a missing page, and the actions when it is read
 * @page:	the page; its first byte serves as the selector
 * @meanwhile:	called by the helper thread while the reader sleeps
 * @arg:	its argument
 * @byte:	the page is filled with this afterwards
 * @zeropage:	map the page of zeros instead
 */
struct sud_uffd {
	volatile uint8_t *page;
	void (*meanwhile)(void *arg);
	void *arg;
	uint8_t byte;
	bool zeropage;
	int fd;
	size_t size;
	pthread_t thread;
};

/*
 * sud_uffd_open - map the page and watch it
 *
 * Return: 0, or the negative error number.
 */
static inline int sud_uffd_open(struct sud_uffd *u)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg;
	void *p;

	u->size = sysconf(_SC_PAGESIZE);
	u->fd = syscall(SYS_userfaultfd, O_CLOEXEC);
	if (u->fd < 0)
		return -errno;
	p = mmap(NULL, u->size, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return -errno;
	u->page = p;
	reg.range.start = (unsigned long)p;
	reg.range.len = u->size;
	reg.mode = UFFDIO_REGISTER_MODE_MISSING;
	if (ioctl(u->fd, UFFDIO_API, &api) ||
	    ioctl(u->fd, UFFDIO_REGISTER, &reg))
		return -errno;
	return 0;
}

static void __attribute__((unused)) *sud_uffd_thread(void *arg)
{
	struct sud_uffd *u = arg;
	struct uffdio_zeropage zeropage = {
		.range = { .start = (unsigned long)u->page, .len = u->size },
	};
	struct uffdio_copy copy;
	struct uffd_msg msg;
	void *fill;

	if (read(u->fd, &msg, sizeof(msg)) != sizeof(msg) ||
	    msg.event != UFFD_EVENT_PAGEFAULT)
		return "no page fault was reported";

	if (u->meanwhile)
		u->meanwhile(u->arg);

	if (u->zeropage)
		return ioctl(u->fd, UFFDIO_ZEROPAGE, &zeropage) ?
		       "the page of zeros could not be mapped" : NULL;

	fill = aligned_alloc(u->size, u->size);
	if (!fill)
		return "out of memory";
	memset(fill, u->byte, u->size);
	copy.dst = (unsigned long)u->page;
	copy.src = (unsigned long)fill;
	copy.len = u->size;
	copy.mode = 0;
	if (ioctl(u->fd, UFFDIO_COPY, &copy))
		return "the page could not be filled";
	free(fill);
	return NULL;
}

/*
 * sud_uffd_start - start the helper thread, for one round
 *
 * The page is missing (again) afterwards.
 *
 * Return: 0, or the negative error number.
 */
static inline int sud_uffd_start(struct sud_uffd *u)
{
	if (madvise((void *)u->page, u->size, MADV_DONTNEED))
		return -errno;
	return -pthread_create(&u->thread, NULL, sud_uffd_thread, u);
}

/*
 * sud_uffd_join - wait for the helper thread
 *
 * Return: NULL, or the error in it.
 */
static inline const char *sud_uffd_join(struct sud_uffd *u)
{
	void *ret;

	if (pthread_join(u->thread, &ret))
		return "the helper thread cannot be joined";
	return ret;
}

/**
 * sud_uffd_close - unmap the page, and stop watching it
 * @u: set up by sud_uffd_open()
 */
static inline void sud_uffd_close(struct sud_uffd *u)
{
	munmap((void *)u->page, u->size);
	close(u->fd);
}

#endif /* SUD_UFFD_H */
