/* SPDX-License-Identifier: GPL-2.0 */
/* Where the C library lies, as that is the region to exempt. */
#ifndef LIBC_IMAGE_H
#define LIBC_IMAGE_H

struct region {
	unsigned long start, size;
};

/*
 * The whole image of libc.so.6. In a program that is linked statically the C library is part of the
 * program, and it is the whole program's image. Returns its name, or NULL if there is neither.
 */
const char *find_libc(struct region *region);

#endif
