/* SPDX-License-Identifier: Apache-2.0 */
/* Standard input of a resumed run: what the program has read of it lies in the journal, so a new pipe
 * must be moved on past that, and must hold the same. Writes nothing. */
#include "supervisor/run_outer.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int skip(int fd, uint64_t length, uint64_t hash, struct failure *failure)
{
  static char buffer[64 << 10];
  uint64_t left = length;
  XXH3_state_t state;

  XXH3_64bits_reset(&state);
  while (left > 0) {
    ssize_t got = read(fd, buffer, left < sizeof buffer ? (size_t)left : sizeof buffer);

    if (got < 0 && errno == EINTR)
      continue;
    if (got < 0)
      return failure_set(failure, -errno, "cannot read standard input: %s; the run has read %" PRIu64
                         " bytes of it already; give it the same input again", strerror(errno), length);
    if (got == 0)
      return failure_set(failure, -ENODATA, "the input differs: the run has read %" PRIu64 " bytes of "
                         "standard input, and now it ends after %" PRIu64 "; give it the same input "
                         "again", length, length - left);
    XXH3_64bits_update(&state, buffer, (size_t)got);
    left -= (uint64_t)got;
  }
  if (XXH3_64bits_digest(&state) != hash)
    return failure_set(failure, -EBADMSG, "the input differs: the first %" PRIu64 " bytes of standard "
                       "input are not those that the run has read; give it the same input again",
                       length);
  return 0;
}

int run_outer_skip_input(const struct run_descriptors *descriptors,
                         const struct analysis_summary *summary, const struct run_outer_before *before,
                         struct failure *failure)
{
  const struct run_descriptor *now = NULL;

  for (uint32_t i = 0; i < descriptors->count; i++)
    if (descriptors->list[i].fd == 0)
      now = &descriptors->list[i];
  if (now == NULL || summary->stdin_consumed == 0)
    return 0;
  if (!S_ISFIFO(now->mode) && !S_ISSOCK(now->mode) && !S_ISREG(now->mode))
    return 0;
  for (uint32_t i = 0; i < before->count; i++)
    if (before->list[i].fd == 0 && before->list[i].device == now->device &&
        before->list[i].inode == now->inode && !S_ISREG(now->mode))
      return 0; /* the same pipe as before: what was read of it is gone from it */
  return skip(now->source_fd, summary->stdin_consumed, summary->stdin_hash, failure);
}
