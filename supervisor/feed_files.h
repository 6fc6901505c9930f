/* SPDX-License-Identifier: Apache-2.0 */
/* The feed's table of files, and its strings. */
#ifndef PERDURE_SUPERVISOR_FEED_FILES_H
#define PERDURE_SUPERVISOR_FEED_FILES_H

#include "journal/feed.h"

struct analysis;

struct feed_files {
  /* `count` of them sorted, and behind them those of kept copies. path: from the strings' begin until
   * feed_files_place. */
  struct feed_file *files;
  uint32_t count, kept_count;
  char *strings; /* begins with an empty one, so that 0 is no path */
  size_t strings_length, strings_room;
  const char *kept_directory;
  const struct analysis *analysis;
  uint32_t *kept; /* by number: the row of a kept file, 0: it has none yet */
};

/* Lists all files that the analysis knows. kept_directory and analysis stay the caller's, and have to
 * live on. -ENOMEM; -EFBIG: more than 4 GiB of paths. */
int feed_files_list(struct feed_files *files, const struct analysis *analysis,
                    const char *kept_directory);
/* Sees to it that that kept file has a row. */
int feed_files_keep(struct feed_files *files, uint32_t number);
/* Its row. */
uint32_t feed_files_kept(const struct feed_files *files, uint32_t number);
/* No more strings come: paths become offsets in the feed. */
void feed_files_place(struct feed_files *files, uint64_t strings_offset);
void feed_files_release(struct feed_files *files);

#endif
