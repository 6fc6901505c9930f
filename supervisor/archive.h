/* SPDX-License-Identifier: Apache-2.0 */
/* Finished runs of a store, moved to a directory of files: DIRECTORY/ID.run.zst, a zstd frame (with its checksum) of the run's SQLite
 * store (store.h), whole. */
#ifndef PERDURE_SUPERVISOR_ARCHIVE_H
#define PERDURE_SUPERVISOR_ARCHIVE_H

#include "supervisor/run_place.h"

/* Claims the run, writes its file, reads that back and compares it, has it on disk, and only then removes the run from the
 * store. *ret_path: PATH_MAX bytes. -EBUSY: the run has an owner; -EINVAL: it has not finished; -EEXIST: another file is there; -EBADMSG:
 * what the store has is damaged. On an error the store has the run still; a file that is whole may be there too, and the next call finds it.
 * A crash at any line: the same. */
int archive_run(const char *url, const char *id, const char *directory, char *ret_path, struct failure *failure);

/* Calls `each` with the id of each run that the store has in that state, until it returns non-zero, which
 * is returned. */
int archive_runs(const char *url, const char *state, int (*each)(const char *id, void *context), void *context, struct failure *failure);

/* Makes the run of a file under `base`, as `id`, for looking at it. -EBADMSG: it is no such file, or damaged. */
int archive_unpack(const char *file, const char *base, const char *id, struct failure *failure);

#endif
