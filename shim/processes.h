/* SPDX-License-Identifier: Apache-2.0 */
/* The processes of the run: each has a place in the tail's header, by which it finds itself again after an
 * exec, and by which all translate the numbers that programs saw into those that the kernel knows. */
#ifndef PERDURE_SHIM_PROCESSES_H
#define PERDURE_SHIM_PROCESSES_H

#include "shim/engine.h"

/* Sets engine.process: the place of the process that this image is of. True: it is the run's first image. */
bool process_find_own(void);
/* A place for a process that is about to be made, whose first thread has that stream. */
struct tail_process *process_reserve(uint32_t stream);
/* It was not made. */
void process_release(struct tail_process *process);
/* It has been made, and the kernel calls it `real`. seen: what it was called when it was recorded, or 0.
 * Returns what the program is to call it: no two that live are called the same. Both the process itself and
 * its parent say so, and get the same answer. */
int32_t process_is(struct tail_process *process, int32_t real, int32_t seen);
/* Its program ends, or makes way for another: atomic regions that it has open end with it, and what they did is final. */
void process_leaves_regions(struct tail_process *process);
/* It has been waited for. */
void process_ended(int32_t seen);

/* The run's first process, of its first thread: the others see from now on when it is killed; or no more, since it
 * exits, or execs. Nothing in other processes and threads. */
void process_shows_life(void);
void process_hides_life(void);

/* All that have not been waited for. */
void processes_each(void (*visit)(struct tail_process *process, void *context), void *context);
/* What the kernel says of it ('R', 'S', 'T', 'Z', ...); 0: it is no more. real: the kernel's number, of a process or thread. */
char process_state(int32_t real);

/* Ends them all, this one too. */
void processes_kill(void);

/* The process of that number, one that lives before one that has ended; NULL: none of the run's. */
struct tail_process *process_called(int32_t seen);
struct tail_process *process_really(int32_t real);

#endif
