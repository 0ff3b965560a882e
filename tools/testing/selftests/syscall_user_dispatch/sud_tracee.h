/* SPDX-License-Identifier: GPL-2.0 */
/* Memory that the program tracee, of any ABI, shares with its tracer. */
#ifndef SUD_TRACEE_H
#define SUD_TRACEE_H

#include <stdint.h>

/**
 * struct sud_tracee - a page that tracer and tracee share
 * @args:	for prctl(), from the operation on
 * @result:	the result of the tracee's last step
 * @arm:	is it a prctl() with @args, or sud_probe()?
 * @selector:	the tracee's selector byte
 *
 * The same for every ABI. The tracee stops by SIGSTOP before each step.
 */
struct sud_tracee {
	volatile uint64_t args[4];
	volatile int32_t result;
	volatile uint8_t arm;
	volatile uint8_t selector;
};

#define SUD_TRACEE_NAME	"tracee"

#endif /* SUD_TRACEE_H */
