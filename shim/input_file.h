/* SPDX-License-Identifier: Apache-2.0 */
/* The file whose referenced bytes replay reads again: it stays open from one read to the next. */
#ifndef PERDURE_SHIM_INPUT_FILE_H
#define PERDURE_SHIM_INPUT_FILE_H

#include "shim/engine.h"

/* A descriptor for reading the file at `path`, a string of the feed, or -errno. Valid until this thread's
 * turn ends; not to be closed. In replay only, during the caller's turn. */
int64_t input_file_open(const char *path);
/* Closes it if `call` could notice a descriptor that the program does not know of. NULL: in any case. */
void input_file_close_before(const struct call *call);

#endif
