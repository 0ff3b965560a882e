/* SPDX-License-Identifier: GPL-2.0 */
/* The kselftest harness, with time limits that fit a slow kernel. */
#ifndef SUD_HARNESS_H
#define SUD_HARNESS_H

#include "sud.h"

#include "../kselftest_harness.h"

/*
 * sud_harness_run - run the tests, each with sud_slow() times its limit
 */
static int sud_harness_run(int argc, char **argv)
{
	struct __fixture_metadata *f;
	struct __test_metadata *t;

	for (f = __fixture_list; f; f = f->next) {
		for (t = f->tests; t; t = t->next)
			t->timeout *= sud_slow();
	}
	return test_harness_run(argc, argv);
}

/* TEST_HARNESS_MAIN calls this. */
#define test_harness_run sud_harness_run

#endif /* SUD_HARNESS_H */
