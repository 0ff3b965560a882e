// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include <link.h>
#include <stdbool.h>
#include <string.h>

#include "libc-image.h"

struct search {
	struct region *region;
	const char *name;
	bool has_loader;	/* the program has a dynamic loader */
};

static int look(struct dl_phdr_info *info, size_t size, void *argument)
{
	struct search *search = argument;
	const char *name = strrchr(info->dlpi_name, '/');
	bool is_program = !info->dlpi_name[0];
	unsigned long start = -1UL, end = 0;

	(void)size;
	name = name ? name + 1 : info->dlpi_name;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
		unsigned long from = info->dlpi_addr + segment->p_vaddr;

		if (segment->p_type == PT_INTERP && is_program)
			search->has_loader = true;
		if (segment->p_type != PT_LOAD)
			continue;
		if (from < start)
			start = from;
		if (from + segment->p_memsz > end)
			end = from + segment->p_memsz;
	}
	if (is_program ? search->has_loader : strcmp(name, "libc.so.6") != 0)
		return 0;
	search->name = is_program ? "this program" : "libc.so.6";
	search->region->start = start;
	search->region->size = end - start;
	return 1;
}

const char *find_libc(struct region *region)
{
	struct search search = { .region = region };

	dl_iterate_phdr(look, &search);
	return search.name;
}
