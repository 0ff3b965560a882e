/* SPDX-License-Identifier: GPL-2.0 */
/* Between the program tracee, of any ABI, and the tracer that executes it. */
#ifndef SUD_TRACEE_H
#define SUD_TRACEE_H

#include <stdint.h>

/**
 * struct sud_tracee - a page that tracer and tracee share
 * @args:	for prctl(), from the operation on
 * @result:	what the tracee's last doing came to
 * @arm:	is it a prctl() with @args, or sud_probe()?
 * @selector:	the tracee's selector byte
 *
 * The same for every ABI. The tracee stops by SIGSTOP before each doing.
 */
struct sud_tracee {
	volatile uint64_t args[4];
	volatile int32_t result;
	volatile uint8_t arm;
	volatile uint8_t selector;
};

#define SUD_TRACEE_NAME	"tracee"

#endif /* SUD_TRACEE_H */
