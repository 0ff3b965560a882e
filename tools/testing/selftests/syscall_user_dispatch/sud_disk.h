/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A temporary block device, with swap space on it, so that a page can really
 * be written out and read in by I/O. Also the page table entry of an address.
 */
#ifndef SUD_DISK_H
#define SUD_DISK_H

#include "sud.h"

#include <fcntl.h>
#include <linux/loop.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/swap.h>

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21
#endif

/* Bits of sud_page_entry(). */
#define SUD_PAGE_PRESENT	0x8000000000000000ULL
#define SUD_PAGE_SWAPPED	0x4000000000000000ULL

/*
 * sud_page_entry - the page table entry of an address
 *
 * See pagemap in Documentation/admin-guide/mm/pagemap.rst.
 *
 * Return: the entry, or 0 if it cannot be had.
 */
static inline uint64_t sud_page_entry(const volatile void *addr)
{
	uint64_t entry = 0;
	off_t offset;
	int fd;

	fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	offset = (unsigned long)addr / sysconf(_SC_PAGESIZE) * sizeof(entry);
	if (pread(fd, &entry, sizeof(entry), offset) != sizeof(entry))
		entry = 0;
	close(fd);
	return entry;
}

/**
 * struct sud_disk - a loop device over memory
 * @name:	of the device
 * @fd:		of the device, which goes when the last one closes it
 * @pages:	its size
 */
struct sud_disk {
	char name[32];
	int fd;
	unsigned int pages;
};

/**
 * sud_disk_create - make one
 * @disk:	filled in
 * @pages:	its size
 * @locked:	its memory is not to be swapped out
 *
 * Return: NULL, or the step that failed.
 */
static inline const char *sud_disk_create(struct sud_disk *disk,
					  unsigned int pages, bool locked)
{
	struct loop_info64 info = { .lo_flags = LO_FLAGS_AUTOCLEAR };
	size_t size = pages * sysconf(_SC_PAGESIZE);
	int control, backing, nr, tries;
	void *memory;

	disk->pages = pages;
	control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	if (control < 0)
		return "/dev/loop-control";
	backing = memfd_create("sud-disk", MFD_CLOEXEC);
	if (backing < 0 || ftruncate(backing, size))
		return "memfd";
	if (locked) {
		memory = mmap(NULL, size, PROT_READ, MAP_SHARED, backing, 0);
		if (memory == MAP_FAILED || mlock(memory, size))
			return "mlock";
	}

	/* Another program may take the free one first. */
	for (tries = 0; tries < 10; tries++) {
		nr = ioctl(control, LOOP_CTL_GET_FREE);
		if (nr < 0)
			return "LOOP_CTL_GET_FREE";
		snprintf(disk->name, sizeof(disk->name), "/dev/loop%d", nr);
		disk->fd = open(disk->name, O_RDWR | O_CLOEXEC);
		if (disk->fd < 0)
			return disk->name;
		if (!ioctl(disk->fd, LOOP_SET_FD, backing))
			break;
		close(disk->fd);
		if (errno != EBUSY)
			return "LOOP_SET_FD";
	}
	close(backing);
	close(control);
	if (tries == 10)
		return "no free loop device";
	if (ioctl(disk->fd, LOOP_SET_STATUS64, &info)) {
		ioctl(disk->fd, LOOP_CLR_FD);
		return "LOOP_SET_STATUS64";
	}
	return NULL;
}

/*
 * sud_disk_swapon - have the kernel swap to a disk
 *
 * swapoff() is for the caller.
 *
 * Return: NULL, or the step that failed.
 */
static inline const char *sud_disk_swapon(const struct sud_disk *disk)
{
	uint32_t info[3] = { 1, disk->pages - 1, 0 };
	size_t size = sysconf(_SC_PAGESIZE);
	uint8_t *header = calloc(1, size);
	ssize_t ret;

	if (!header)
		return "calloc";
	memcpy(header + 1024, info, sizeof(info));
	memcpy(header + size - 10, "SWAPSPACE2", 10);
	ret = pwrite(disk->fd, header, size, 0);
	free(header);
	if (ret != (ssize_t)size || fsync(disk->fd))
		return "write";
	return swapon(disk->name, 0) ? "swapon" : NULL;
}

#endif /* SUD_DISK_H */
