/* SPDX-License-Identifier: Apache-2.0 */
/* Where recovery reads a run's entries from: the store, or a test's memory. */
#ifndef PERDURE_SUPERVISOR_ENTRY_SOURCE_H
#define PERDURE_SUPERVISOR_ENTRY_SOURCE_H

#include "supervisor/recover.h"

struct entry_source {
  /* Goes to the first entry; called before the first `next` as well. */
  int (*rewind)(void *context, struct failure *failure);
  /* The next entry, valid until the next call; NULL after the last. */
  int (*next)(void *context, const struct journal_entry **ret_entry, uint64_t *ret_seq,
              struct failure *failure);
  void *context;
};

/* recover_publish from any source into an open, empty file. On failure the file holds anything. */
int recover_write_feed(struct analysis *analysis, const struct entry_source *source,
                       const struct verdict *verdicts, size_t verdict_count,
                       const char *kept_directory, int fd, uint64_t *ret_size,
                       struct failure *failure);

#endif
