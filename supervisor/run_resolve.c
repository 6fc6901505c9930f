/* SPDX-License-Identifier: Apache-2.0 */
/* run_resolve.h says what it does. The store has the whole journal when a run has stopped so; what is said
 * is appended to the last attempt's tail, put on disk there, and drained: a crash leaves a whole entry or none.
 * A response lies in blobs/, on disk, before. */
#include "supervisor/run_resolve.h"

#include "journal/call_table.h"
#include "journal/hash.h"
#include "supervisor/analysis.h"
#include "supervisor/blob.h"
#include "supervisor/response.h"
#include "supervisor/run_attempt.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define ERRNO_MAX 4095

struct resolving {
  const struct run_place *place;
  const struct run_resolution *asked;
  struct run_lock lock;
  struct store *store;
  struct tail_file tail;
  bool tail_made; /* only for what is said here */
  struct analysis *analysis;
  const struct open_intent *open;
  /* the response's file, mapped */
  const char *bytes;
  size_t length;
  /* what the program has had */
  struct exchanges exchanges;
  size_t index;
  char *header;
  size_t header_length;
  /* what goes into the entry */
  struct journal_resolution resolution;
  uint8_t *info;
  size_t info_length;
  struct journal_blob blob;
  char blob_name[64];
  struct failure *failure;
};

/* ---- finding it ---- */

static int check_state(struct resolving *resolving)
{
  enum run_state state;
  int error = run_get_state(resolving->store, &state, resolving->failure);
  if (error == 0 && state != RUN_STATE_UNKNOWN)
    error = failure_set(resolving->failure, -EINVAL, "run %s is %s: it has not stopped over something that nobody can tell; "
                        "`perdure status %s` says how it stands", resolving->place->id,
                        state == RUN_STATE_RUNNING ? "unfinished" : run_state_name(state), resolving->place->id);
  return error;
}

/* A run that was fetched from another store has none. It has stopped, so all of its journal is in the store. */
static int open_tail(struct resolving *resolving)
{
  char path[PATH_MAX];
  uint64_t end, entry_count;
  struct failure why;
  run_place_path(resolving->place, "tail", path);
  int error = tail_file_open(path, &resolving->tail, &why);
  if (error != -ENOENT) {
    if (error < 0)
      *resolving->failure = why;
    return error;
  }
  error = store_end(resolving->store, &end, &entry_count, resolving->failure);
  if (error == 0)
    error = tail_file_create(path, TAIL_RING_SIZE_DEFAULT, journal_padded(end), &resolving->tail, resolving->failure);
  if (error == 0)
    resolving->tail.header->mode = TAIL_MODE_REPLAY;
  resolving->tail_made = error == 0;
  return error;
}

/* The journal is whole in the store, and nobody changes it. */
static int open_run(struct resolving *resolving)
{
  char path[PATH_MAX];
  int error = run_lock_own(resolving->place, &resolving->lock, resolving->failure);
  if (error < 0)
    return error;
  run_place_path(resolving->place, "run.db", path);
  error = store_open(path, false, &resolving->store, resolving->failure);
  if (error == 0)
    error = check_state(resolving);
  if (error < 0)
    return error;
  error = open_tail(resolving);
  if (error == 0)
    error = drain_once(&resolving->tail, resolving->store, true, NULL, resolving->failure);
  return error == 0 ? run_analyse(resolving->store, &resolving->analysis, resolving->failure) : error;
}

static bool is_asked_for(const struct open_intent *open)
{
  return change_remote(open->entry) && open_intent_resolution(open) == NULL;
}

static int find_open(struct resolving *resolving)
{
  const struct analysis *analysis = resolving->analysis;
  const char *id = resolving->place->id;
  uint64_t seq = resolving->asked->seq;
  for (size_t i = 0; i < analysis->open_count; i++)
    if (analysis->open[i]->seq == seq)
      resolving->open = analysis->open[i];
  if (resolving->open != NULL && is_asked_for(resolving->open))
    return 0;
  if (resolving->open != NULL && open_intent_resolution(resolving->open) != NULL)
    return failure_set(resolving->failure, -EALREADY, "entry %" PRIu64 " of run %s has been resolved already: what was "
                       "said holds; go on with `perdure resume %s`", seq, id, id);
  return failure_set(resolving->failure, -EINVAL, "entry %" PRIu64 " of run %s is none that nobody can tell about: there is "
                     "nothing to be said of it; `perdure resume %s` names those that there are", seq, id, id);
}

static bool is_exchange(const struct resolving *resolving)
{
  return resolving->open->entry->call == CALL_ID_EXCHANGE;
}

/* ---- it failed ---- */

static int errno_named(const char *name)
{
  for (int number = 1; number <= ERRNO_MAX; number++) {
    const char *known = strerrorname_np(number);
    if (known != NULL && strcasecmp(known, name) == 0)
      return number;
  }
  return -1;
}

static int take_code(struct resolving *resolving)
{
  const char *name = resolving->asked->failed;
  int code = is_exchange(resolving) ? curl_code_named(name) : errno_named(name);
  if (code <= 0)
    return failure_set(resolving->failure, -EINVAL, "--failed %.60s: that is no name of %s; give one like %s", name,
                       is_exchange(resolving) ? "an error of libcurl's" : "an error",
                       is_exchange(resolving) ? "CURLE_COULDNT_CONNECT" : "ECONNRESET");
  resolving->resolution.code = (uint32_t)code;
  return 0;
}

/* ---- a response ---- */

static int map_response(struct resolving *resolving)
{
  const char *path = resolving->asked->response;
  struct stat status;
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0 || fstat(fd, &status) < 0 || !S_ISREG(status.st_mode)) {
    int error = fd < 0 ? -errno : -EINVAL;
    if (fd >= 0)
      close(fd);
    return failure_set(resolving->failure, error, "cannot read the response %s: %s; give a regular file", path,
                       strerror(-error));
  }
  void *bytes = status.st_size > 0 ? mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0) : (void *)"";
  close(fd);
  if (bytes == MAP_FAILED)
    return failure_set(resolving->failure, -errno, "cannot read the response %s: %s; give another file", path,
                       strerror(errno));
  resolving->bytes = bytes;
  resolving->length = (size_t)status.st_size;
  return 0;
}

/* A piece of body that the program has had, from entry `seq` on. */
struct had_piece {
  uint8_t *bytes;
  uint64_t offset, length;
};

static int take_piece(const struct resolving *resolving, const struct journal_entry *entry, uint64_t given_size,
                      struct had_piece *ret_piece)
{
  const struct journal_segment *segment = journal_find_segment(entry, SEGMENT_OUTPUT, 0);
  uint64_t length = journal_given_length(entry);
  uint8_t *bytes = malloc(length + 1);
  int64_t got = bytes != NULL ? (int64_t)length : -ENOMEM;
  if (got >= 0 && segment != NULL)
    memcpy(bytes, segment->data, length);
  else if (got > 0)
    got = blob_read(journal_find_segment(entry, SEGMENT_BLOB, 0), resolving->place->directory, bytes, length);
  if (got < 0) {
    free(bytes);
    return failure_set(resolving->failure, (int)got, "cannot read what the program has had of the response: %s; try "
                       "`perdure verify %s`", strerror((int)-got), resolving->place->id);
  }
  *ret_piece = (struct had_piece){bytes, given_size - length, length};
  return 0;
}

/* given_size: as far as the program has had the body. A piece that lies behind it was none, or comes again. */
static int compare_piece(const struct resolving *resolving, const struct response *response, uint64_t given_size,
                         struct had_piece *piece)
{
  bool counts = piece->bytes != NULL && piece->length > 0 && piece->offset + piece->length <= given_size;
  bool same = !counts || (piece->offset + piece->length <= response->body_length &&
                          memcmp(response->body + piece->offset, piece->bytes, piece->length) == 0);
  uint64_t offset = piece->offset;
  free(piece->bytes);
  *piece = (struct had_piece){0};
  if (same)
    return 0;
  return failure_set(resolving->failure, -EINVAL, "the body that is given is another one than that which the program has had "
                     "%" PRIu64 " bytes of: they differ at or after byte %" PRIu64 ", and it cannot go on with it; give "
                     "the one that the server sent", given_size, offset);
}

static bool is_callback(const struct journal_entry *entry, unsigned callback)
{
  return entry->kind == JOURNAL_COMPLETE && entry_arg(entry, 0) == callback;
}

/* Walks the exchange's entries. response NULL: collects the header lines; else compares the body's pieces. */
static int walk_had(struct resolving *resolving, const struct response *response)
{
  const struct journal_entry *entry;
  struct store_cursor *cursor;
  struct had_piece piece = {0};
  uint64_t seq;
  int error = store_cursor_open(resolving->store, 1, &cursor, resolving->failure);
  FILE *header = error == 0 && response == NULL ? open_memstream(&resolving->header, &resolving->header_length) : NULL;
  exchanges_release(&resolving->exchanges);
  while (error == 0 && (error = store_cursor_next(cursor, &entry, &seq, resolving->failure)) == 0 && entry != NULL) {
    size_t index;
    if (exchanges_add(&resolving->exchanges, entry, seq, &index) < 0)
      error = failure_set(resolving->failure, -ENOMEM, "out of memory; free some");
    if (error < 0 || index == EXCHANGE_NONE ||
        resolving->exchanges.list[index].position != resolving->open->entry->position)
      continue;
    resolving->index = index;
    uint64_t given_size = resolving->exchanges.list[index].given_size;
    const struct journal_segment *line = journal_find_segment(entry, SEGMENT_OUTPUT, 0);
    if (header != NULL && is_callback(entry, JOURNAL_CALLBACK_HEADER) && line != NULL)
      fwrite(line->data, 1, line->length, header);
    if (response == NULL)
      continue;
    bool body = is_callback(entry, JOURNAL_CALLBACK_WRITE);
    error = compare_piece(resolving, response, given_size - (body ? journal_given_length(entry) : 0), &piece);
    if (error == 0 && body)
      error = take_piece(resolving, entry, given_size, &piece);
  }
  if (error == 0 && response != NULL)
    error = compare_piece(resolving, response, resolving->exchanges.list[resolving->index].given_size, &piece);
  free(piece.bytes);
  if (header != NULL && fclose(header) != 0 && error == 0)
    error = failure_set(resolving->failure, -ENOMEM, "out of memory; free some");
  store_cursor_close(cursor);
  return error;
}

static int write_all(int fd, const char *bytes, size_t length)
{
  while (length > 0) {
    ssize_t done = write(fd, bytes, length);
    if (done < 0 && errno != EINTR)
      return -errno;
    bytes += done > 0 ? done : 0;
    length -= done > 0 ? (size_t)done : 0;
  }
  return 0;
}

/* The name is that of the intent: what a crash has left there is written anew. */
static int write_blob(struct resolving *resolving, const struct response *response)
{
  char path[PATH_MAX], folder[PATH_MAX];
  snprintf(resolving->blob_name, sizeof resolving->blob_name, "response-%" PRIu64, resolving->asked->seq);
  run_place_path(resolving->place, BLOBS_NAME, folder);
  if ((size_t)snprintf(path, sizeof path, "%s/%s", folder, resolving->blob_name) >= sizeof path)
    return failure_set(resolving->failure, -ENAMETOOLONG, "the path %s is too long; move the runs", folder);
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
  int error = fd < 0 ? -errno : write_all(fd, response->header, response->header_length);
  if (error == 0)
    error = write_all(fd, response->body, response->body_length);
  if (error == 0 && fdatasync(fd) < 0)
    error = -errno;
  if (fd >= 0)
    close(fd);
  int folder_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (error == 0 && (folder_fd < 0 || fsync(folder_fd) < 0))
    error = -errno;
  if (folder_fd >= 0)
    close(folder_fd);
  if (error < 0)
    return failure_set(resolving->failure, error, "cannot write %s: %s; look at that disk", path, strerror(-error));
  XXH3_state_t *state = XXH3_createState();
  if (state == NULL)
    return failure_set(resolving->failure, -ENOMEM, "out of memory; free some");
  XXH3_64bits_reset(state);
  XXH3_64bits_update(state, response->header, response->header_length);
  XXH3_64bits_update(state, response->body, response->body_length);
  resolving->blob = (struct journal_blob){
      .length = response->header_length + response->body_length, .hash = XXH3_64bits_digest(state)};
  XXH3_freeState(state);
  resolving->resolution.header_length = response->header_length;
  return 0;
}

static int take_response(struct resolving *resolving)
{
  struct response response;
  int error = map_response(resolving);
  if (error == 0)
    error = response_make(resolving->bytes, resolving->length, resolving->asked->status, resolving->header,
                          resolving->header_length, resolving->exchanges.list[resolving->index].method, &response,
                          resolving->failure);
  if (error < 0)
    return error;
  error = walk_had(resolving, &response);
  const struct exchange *exchange = error == 0 ? &resolving->exchanges.list[resolving->index] : NULL;
  if (error == 0 && exchange->given_size > response.body_length)
    error = failure_set(resolving->failure, -EINVAL, "the program has had %" PRIu64 " bytes of the body, and the one that is given "
                        "has %zu: it cannot go on with that; give all of the body", exchange->given_size,
                        response.body_length);
  if (error == 0)
    error = write_blob(resolving, &response);
  if (error == 0 && response_info(&response, exchange, &resolving->info, &resolving->info_length) < 0)
    error = failure_set(resolving->failure, -ENOMEM, "out of memory; free some");
  response_release(&response);
  return error;
}

static int take_exchange(struct resolving *resolving)
{
  if (resolving->asked->kind == JOURNAL_RESOLUTION_RETRY)
    return 0;
  int error = walk_had(resolving, NULL);
  if (error < 0)
    return error;
  if (resolving->asked->kind == JOURNAL_RESOLUTION_RESPONSE)
    return take_response(resolving);
  const struct exchange *exchange = &resolving->exchanges.list[resolving->index];
  return response_info(NULL, exchange, &resolving->info, &resolving->info_length) == 0
             ? 0
             : failure_set(resolving->failure, -ENOMEM, "out of memory; free some");
}

static int take_asked(struct resolving *resolving)
{
  resolving->resolution.kind = resolving->asked->kind;
  if (!is_exchange(resolving) && resolving->asked->kind == JOURNAL_RESOLUTION_RESPONSE)
    return failure_set(resolving->failure, -EINVAL, "entry %" PRIu64 " is no request: there is no response to it; give --retry "
                       "or --failed", resolving->asked->seq);
  int error = resolving->asked->kind == JOURNAL_RESOLUTION_FAILED ? take_code(resolving) : 0;
  return error == 0 && is_exchange(resolving) ? take_exchange(resolving) : error;
}

/* ---- journaling it ---- */

static int journal(struct resolving *resolving)
{
  const struct journal_entry *intent = resolving->open->entry;
  const char *words = resolving->asked->kind == JOURNAL_RESOLUTION_FAILED && is_exchange(resolving)
                          ? curl_code_words(resolving->resolution.code)
                          : NULL;
  struct timespec now;
  struct tail_part parts[4] = {
      {.type = SEGMENT_RESOLUTION, .data = &resolving->resolution, .length = sizeof resolving->resolution}};
  uint32_t count = 1;
  if (resolving->info != NULL)
    parts[count++] = (struct tail_part){
        .type = SEGMENT_INFO, .data = resolving->info, .length = (uint32_t)resolving->info_length};
  if (resolving->blob_name[0] != '\0')
    parts[count++] = (struct tail_part){.type = SEGMENT_BLOB, .data = &resolving->blob, .length = sizeof resolving->blob,
                                        .data2 = resolving->blob_name,
                                        .length2 = (uint32_t)strlen(resolving->blob_name)};
  if (words != NULL)
    parts[count++] = (struct tail_part){.type = SEGMENT_TEXT, .data = words, .length = (uint32_t)strlen(words)};
  clock_gettime(CLOCK_REALTIME, &now);
  struct tail_draft draft = {
      .stream = intent->stream, .call = intent->call, .kind = JOURNAL_RESOLVE,
      .result = (int64_t)resolving->asked->kind, .args = &intent->position, .arg_count = 1,
      .time_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec, .parts = parts, .part_count = count};
  /* Its attempt is over, and all that was of it is dead: this is no part of its end. */
  struct tail_header *header = resolving->tail.header;
  atomic_store(&header->stopped, 0);
  atomic_store(&header->supervisor.word, 0);
  atomic_store(&header->first.word, 0);
  tail_file_append(&resolving->tail, &draft);
  if (fdatasync(resolving->tail.fd) < 0)
    return failure_set(resolving->failure, -errno, "cannot write the tail to disk: %s; look at that disk", strerror(errno));
  int error = drain_once(&resolving->tail, resolving->store, true, NULL, resolving->failure);
  return error == 0 ? store_sync(resolving->store, resolving->failure) : error;
}

static unsigned count_left(const struct resolving *resolving)
{
  unsigned count = 0;
  for (size_t i = 0; i < resolving->analysis->open_count; i++)
    count += resolving->analysis->open[i] != resolving->open && is_asked_for(resolving->analysis->open[i]);
  return count;
}

static void release(struct resolving *resolving)
{
  if (resolving->length > 0)
    munmap((void *)resolving->bytes, resolving->length);
  exchanges_release(&resolving->exchanges);
  free(resolving->header);
  free(resolving->info);
  analysis_free(resolving->analysis);
  tail_file_close(&resolving->tail);
  if (resolving->tail_made) {
    char path[PATH_MAX];
    run_place_path(resolving->place, "tail", path);
    unlink(path);
  }
  store_close(resolving->store);
  run_lock_release(&resolving->lock);
}

int run_resolve(const struct run_place *place, const struct run_resolution *asked, unsigned *ret_left,
                struct failure *failure)
{
  struct resolving resolving = {
      .place = place, .asked = asked, .lock = {.owner_fd = -1, .tree_fd = -1}, .tail.fd = -1, .failure = failure};
  int error = open_run(&resolving);
  if (error == 0)
    error = find_open(&resolving);
  if (error == 0)
    error = take_asked(&resolving);
  if (error == 0)
    error = journal(&resolving);
  if (error == 0)
    *ret_left = count_left(&resolving);
  release(&resolving);
  return error;
}
