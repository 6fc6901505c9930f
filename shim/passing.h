/* SPDX-License-Identifier: Apache-2.0 */
/* A library that is hooked at its functions works inside one of them: its system calls are its own
 * business, and pass. What such a call leaves behind must not show in the program's own later calls,
 * since replay does not make it: descriptors go to high numbers, memory to a place of its own.
 *
 * Nothing of it is journaled: killed anywhere, the function that it is part of has begun and not
 * ended. */
#ifndef PERDURE_SHIM_PASSING_H
#define PERDURE_SHIM_PASSING_H

#include "shim/engine.h"

/* Runs the call in `frame`, made while engine_thread.passing. As engine_enter(). */
int64_t passing_enter(struct engine_frame *frame);

/* The program is told of a descriptor of the library's: is it the first time since it was made? */
bool passing_show(int fd);
/* Has it been told, and is the descriptor still open? */
bool passing_is_shown(int fd);

/* The library works from here on; returns what to give back to passing_end(). */
static inline uint32_t passing_begin(void)
{
  uint32_t before = engine_thread.passing;
  engine_thread.passing = 1;
  return before;
}

static inline void passing_end(uint32_t before)
{
  engine_thread.passing = before;
}

#endif
