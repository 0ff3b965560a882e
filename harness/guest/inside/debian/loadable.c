// SPDX-License-Identifier: GPL-2.0
/* A module for the test that modules can be compiled and loaded. */
#include <linux/module.h>

static int __init module_start(void)
{
	pr_info("loadable: loaded into a kernel that it was compiled for\n");
	return 0;
}

static void __exit module_end(void)
{
}

module_init(module_start);
module_exit(module_end);
MODULE_LICENSE("GPL");
