/* SPDX-License-Identifier: Apache-2.0 */
/* Publishing from a store to a file. Killed at any line: `path` is what it was, or whole; what is left
 * under the temporary name is overwritten the next time. */
#include "supervisor/entry_source.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct store_source {
  struct store *store;
  struct store_cursor *cursor;
};

static int store_source_rewind(void *context, struct failure *failure)
{
  struct store_source *source = context;
  if (source->cursor)
    store_cursor_close(source->cursor);
  source->cursor = NULL;
  int error = store_cursor_open(source->store, 1, &source->cursor, failure);
  if (error == 0)
    store_cursor_trust(source->cursor); /* the analysis has read them all */
  return error;
}

static int store_source_next(void *context, const struct journal_entry **ret_entry,
                             uint64_t *ret_seq, struct failure *failure)
{
  struct store_source *source = context;
  return store_cursor_next(source->cursor, ret_entry, ret_seq, failure);
}

int recover_publish(struct analysis *analysis, struct store *store, const struct verdict *verdicts,
                    size_t verdict_count, const char *kept_directory, const char *path,
                    uint64_t *ret_size, struct failure *failure)
{
  char temporary[PATH_MAX];
  uint64_t size;
  if ((size_t)snprintf(temporary, sizeof temporary, "%s.new", path) >= sizeof temporary)
    return failure_set(failure, -ENAMETOOLONG, "the path of the replay feed is too long: %s", path);
  int fd = open(temporary, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0)
    return failure_set(failure, -errno, "cannot create the replay feed %s: %s", temporary,
                       strerror(errno));
  struct store_source place = {.store = store};
  struct entry_source source = {store_source_rewind, store_source_next, &place};
  int error = recover_write_feed(analysis, &source, verdicts, verdict_count, kept_directory, fd,
                                 &size, failure);
  if (place.cursor)
    store_cursor_close(place.cursor);
  if (close(fd) != 0 && !error)
    error = failure_set(failure, -errno, "cannot write the replay feed %s: %s", temporary,
                        strerror(errno));
  if (!error && rename(temporary, path) != 0)
    error = failure_set(failure, -errno, "cannot publish the replay feed %s: %s", path,
                        strerror(errno));
  if (error) {
    unlink(temporary);
    return error;
  }
  *ret_size = size;
  return 0;
}
