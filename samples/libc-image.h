/* SPDX-License-Identifier: GPL-2.0 */
/* The address range of the C library, which is the region to exempt. */
#ifndef LIBC_IMAGE_H
#define LIBC_IMAGE_H

struct region {
	unsigned long start, size;
};

/*
 * Finds the whole image of libc.so.6. A statically linked program contains the C library, so there it is
 * the whole image of the program. Returns the name of the image, or NULL if there is neither.
 */
const char *find_libc(struct region *region);

#endif
