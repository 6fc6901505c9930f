/* SPDX-License-Identifier: Apache-2.0 */
/* Terminals that the program makes for itself (/dev/ptmx). They are made again in replay, with what was written
 * into them and not read; but the kernel gives them other numbers. */
#ifndef PERDURE_SHIM_TERMINALS_H
#define PERDURE_SHIM_TERMINALS_H

#include <stdbool.h>
#include <stdint.h>

/* Is what the kernel calls `path` an end of such a terminal? Of those whose number was never asked for, only
 * the first end is known. */
bool terminal_is_own(const char *path);
/* The first end `fd` is the terminal that the program knows as `seen`, or, where that is negative, as the
 * kernel does. */
void terminal_learn(int fd, int64_t seen);
/* The path of a terminal with the kernel's number, in `room`; any other path is given back as it is. */
const char *terminal_path(const char *path, char room[32]);

#endif
