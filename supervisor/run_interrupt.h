/* SPDX-License-Identifier: Apache-2.0 */
/* Asking a run that is live to stop, so that it can go on later.
 *
 * The request is a signal that every supervisor has blocked from its beginning on, and reads like the program's own: it
 * ends the program and all that it has started, drains the tail, and writes down that the attempt was interrupted. */
#ifndef PERDURE_SUPERVISOR_RUN_INTERRUPT_H
#define PERDURE_SUPERVISOR_RUN_INTERRUPT_H

#include "supervisor/run_place.h"

#include <signal.h>
#include <sys/types.h>

/* One that no program sends to perdure by chance. It is perdure's own: it is never passed on. */
#define RUN_INTERRUPT_SIGNAL (SIGRTMAX - 5)

/* The word for attempt.ended. */
#define RUN_INTERRUPTED "interrupted"
/* What perdure run exits with then: as a shell says it of SIGINT. */
#define RUN_INTERRUPTED_STATUS (128 + SIGINT)

/* In the supervisor, once it owns the run: from here on the request waits until it is read. */
void run_interrupt_expect(void);

/* Asks the run's supervisor, and waits for its end. The request goes to a process that holds the run's owner lock, and has
 * a handler for the signal, or to none: whoever else may have the number of its process gets nothing.
 * -ESRCH: nobody supervises the run. -EBUSY: a perdure that runs no program of it (verify, rm), or has only just begun.
 * A crash leaves it asked or not asked. */
int run_interrupt(const struct run_place *place, struct failure *failure);

#endif
