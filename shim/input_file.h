/* SPDX-License-Identifier: Apache-2.0 */
/* The file whose referenced bytes replay reads again: it stays open from one read to the next. */
#ifndef PERDURE_SHIM_INPUT_FILE_H
#define PERDURE_SHIM_INPUT_FILE_H

#include "shim/engine.h"

/* Reads as pread does from the file at `path`, a string of the feed. In replay only, during the caller's
 * turn. */
int64_t input_file_read(const char *path, void *to, uint64_t length, uint64_t offset);
/* Closes it if `call` could notice a descriptor that the program does not know of. NULL: in any case. */
void input_file_close_before(const struct call *call);

#endif
