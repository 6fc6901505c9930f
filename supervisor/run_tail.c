/* SPDX-License-Identifier: Apache-2.0 */
/* A new attempt's tail.
 *
 * ATTEMPT drops all intents that were open before it, but for those whose RESULT follows. So the two
 * must come to be together: the tail is made under another name, holds both, is put on disk, and then
 * takes the old one's place by rename. The old one lies in the store by then. */
#include "supervisor/run_attempt.h"

#include "journal/call_table.h"
#include "journal/hash.h"
#include "supervisor/boot_id.h"
#include "supervisor/clock.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The run's own 16 bytes: a later run of the same name is another one. */
static int identify(const struct run_attempt *attempt, uint8_t ret_identity[16], struct failure *failure)
{
  int64_t created_ns;
  int error = store_meta_number(attempt->store, "created_ns", &created_ns, failure);

  if (error < 0)
    return error;
  XXH128_hash_t hash = XXH3_128bits_withSeed(attempt->place.id, strlen(attempt->place.id),
                                             (uint64_t)created_ns);
  memcpy(ret_identity, &hash, sizeof hash);
  return 0;
}

static void fill_header(const struct run_attempt *attempt, const struct run_beginning *beginning,
                        struct tail_header *header)
{
  header->mode = beginning->mode;
  header->sync = attempt->sync;
  header->attempt = attempt->number;
  header->supervisor_pid = getpid();
  header->crash_at = attempt->options->crash_at;
  header->feed_size = beginning->feed_size;
  header->lock_fd = attempt->lock_number;
  header->keyless = attempt->keyless;
  header->not_idempotent = !attempt->idempotent;
  header->retry_rules_size = attempt->retry.rules != NULL ? sizeof *attempt->retry.rules : 0;
  if (attempt->retry.said)
    retry_policy_to_values(&attempt->retry.policy, header->retry);
  atomic_store(&header->processes[0].pid_seen, beginning->pid_seen);
  strcpy(header->run_directory, attempt->place.directory);
  strcpy(header->cache_directory, attempt->place.cache);
  boot_id_read(header->boot_id); /* zeros where it is not known */
  atomic_store(&header->cursor, beginning->feed_cursor);
  atomic_store(&header->stream_next, beginning->stream_next);
  atomic_store(&header->noted, beginning->noted);
}

/* What the program's descriptors are in this attempt: what is read from and written to a new pipe
 * counts as the old one's. */
static uint32_t describe(const struct run_descriptors *descriptors, struct journal_descriptor *written,
                         struct tail_part *parts)
{
  uint32_t count = 0;

  for (; count < descriptors->count && count < TAIL_OUTER_MAX; count++) {
    const struct run_descriptor *now = &descriptors->list[count];

    written[count] = (struct journal_descriptor){
      .fd = now->fd, .flags = (uint32_t)now->access,
      .file = {.device = now->device, .inode = now->inode, .size = now->size, .mode = now->mode},
    };
    parts[count] = (struct tail_part){
      .type = SEGMENT_DESCRIPTOR, .data = &written[count], .length = sizeof written[count],
    };
  }
  return count;
}

static void append_beginning(struct tail_file *tail, const struct run_attempt *attempt,
                             const struct run_beginning *beginning)
{
  struct journal_descriptor written[TAIL_OUTER_MAX];
  struct tail_part parts[TAIL_OUTER_MAX];
  struct tail_draft draft = {
    .call = CALL_ID_JOURNAL, .kind = JOURNAL_ATTEMPT, .result = attempt->number,
    .time_ns = (uint64_t)clock_ns(CLOCK_REALTIME_COARSE), .parts = parts,
    .part_count = describe(&attempt->descriptors, written, parts),
  };

  tail_file_append(tail, &draft);
  for (size_t i = 0; i < beginning->verdict_count; i++) {
    const struct verdict *verdict = &beginning->verdicts[i];

    if (verdict->kind != VERDICT_HAPPENED)
      continue;
    draft = (struct tail_draft){
      .stream = verdict->stream, .call = verdict->call, .kind = JOURNAL_RESULT,
      .flags = JOURNAL_FLAG_RESOLVED, .result = verdict->result, .time_ns = (uint64_t)clock_ns(CLOCK_REALTIME_COARSE),
    };
    tail_file_append(tail, &draft);
  }
}

/* For the shim. Whole or not at all, since an earlier attempt's processes may have it mapped. It is not put on disk: no attempt
 * reads what another has written. */
static int write_rules(const struct run_attempt *attempt, struct failure *failure)
{
  const struct retry_rules *rules = attempt->retry.rules;
  char path[PATH_MAX], made[PATH_MAX];
  int fd, error = 0;

  if (rules == NULL)
    return 0;
  run_place_path(&attempt->place, RETRY_RULES_FILE, path);
  run_place_path(&attempt->place, RETRY_RULES_FILE ".new", made);
  fd = open(made, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0)
    error = -errno;
  else {
    ssize_t written = write(fd, rules, sizeof *rules);

    if (written != (ssize_t)sizeof *rules)
      error = written < 0 ? -errno : -ENOSPC;
    close(fd);
  }
  if (error == 0 && rename(made, path) < 0)
    error = -errno;
  if (error == 0)
    return 0;
  unlink(made);
  return failure_set(failure, error, "cannot write the retry policies to %s: %s; free some space, and look at that directory's permissions",
                     path, strerror(-error));
}

int run_tail_make(struct run_attempt *attempt, const struct run_beginning *beginning,
                  struct failure *failure)
{
  char path[PATH_MAX], made[PATH_MAX];
  struct tail_file tail;
  int error;

  error = write_rules(attempt, failure);
  if (error < 0)
    return error;
  run_place_path(&attempt->place, "tail", path);
  run_place_path(&attempt->place, "tail.next", made);
  error = tail_file_create(made, TAIL_RING_SIZE_DEFAULT, beginning->base, &tail, failure);
  if (error < 0) {
    run_advise(failure, "free some space, and allow perdure files of that size (ulimit -f)");
    return error;
  }
  fill_header(attempt, beginning, tail.header);
  error = identify(attempt, tail.header->run_identity, failure);
  if (error == 0)
    error = run_outer_decide(tail.header, &attempt->descriptors, attempt->output, beginning->summary,
                             beginning->before, failure);
  if (error == 0 && beginning->mode != TAIL_MODE_VERIFY)
    append_beginning(&tail, attempt, beginning);
  if (error == 0 && attempt->sync != TAIL_SYNC_NONE && fdatasync(tail.fd) < 0)
    error = failure_set(failure, -errno, "cannot write %s to disk: %s; look at that disk", made,
                        strerror(errno));
  if (error == 0 && rename(made, path) < 0)
    error = failure_set(failure, -errno, "cannot rename %s: %s; look at that directory's permissions",
                        made, strerror(errno));
  if (error < 0) {
    tail_file_close(&tail);
    unlink(made);
    return error;
  }
  attempt->tail = tail;
  return 0;
}
