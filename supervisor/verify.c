/* SPDX-License-Identifier: Apache-2.0 */
/* Checks a run's journal whole, and changes nothing. Works beside a running program: what the ring has
 * overwritten while it was looked at is not held against it. */
#include "supervisor/change.h"
#include "supervisor/chunk.h"
#include "supervisor/chunk_delta.h"
#include "supervisor/drain.h"

#include <errno.h>
#include <search.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A stream's open intents, the latest last. Calls between an intent and its result are a signal handler's, or
 * those of functions that an exchange calls back. */
struct stream_state {
  uint32_t stream;
  struct open_call {
    uint16_t call;
    bool goes_on;     /* in a later attempt */
    uint64_t attempt; /* that it was begun in */
  } *open;
  size_t open_count, open_room;
};

struct verify {
  struct store *store;
  struct tail_file tail; /* fd -1: none */
  void (*say)(const char *line, void *context);
  void *context;
  int64_t defect_count;
  void *streams; /* tsearch tree of struct stream_state */
  uint64_t attempt;
  bool broken; /* entries were left out: what follows them may lack its intent */
  uint64_t seq, position; /* of the next entry, at least */
  uint8_t *entry;         /* JOURNAL_ENTRY_SIZE_MAX bytes: one entry of the tail */
};

__attribute__((format(printf, 2, 3))) static void defect(struct verify *verify, const char *format, ...)
{
  char line[512];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(line, sizeof line, format, arguments);
  va_end(arguments);
  verify->defect_count++;
  verify->say(line, verify->context);
}

static int compare_streams(const void *left, const void *right)
{
  uint32_t a = ((const struct stream_state *)left)->stream;
  uint32_t b = ((const struct stream_state *)right)->stream;
  return a < b ? -1 : a > b;
}

/* The stream's state, made when new; NULL when out of memory. */
static struct stream_state *find_stream(struct verify *verify, uint32_t stream)
{
  struct stream_state key = {.stream = stream};
  struct stream_state **found = tfind(&key, &verify->streams, compare_streams);
  if (found != NULL)
    return *found;
  struct stream_state *state = malloc(sizeof *state);
  if (state == NULL)
    return NULL;
  *state = key;
  if (tsearch(state, &verify->streams, compare_streams) == NULL) {
    free(state);
    return NULL;
  }
  return state;
}

static void free_stream(void *stream)
{
  free(((struct stream_state *)stream)->open);
  free(stream);
}

/* Sleeps, exchanges and writes into pipes go on with their intent in a later attempt; other ones only recovery can settle then. */
static bool goes_on(const struct journal_entry *intent)
{
  unsigned kind = change_of(intent->call)->kind;
  return kind == CHANGE_SLEEP || kind == CHANGE_EXCHANGE || journal_has_channel(intent);
}

/* The latest open intent of `call` that a result may belong to; open_count: none. */
static size_t find_intent(const struct verify *verify, const struct stream_state *state, uint16_t call,
                          bool resolved)
{
  for (size_t i = state->open_count; i-- > 0;) {
    const struct open_call *open = &state->open[i];
    if (open->call == call && (open->attempt == verify->attempt || resolved || open->goes_on))
      return i;
  }
  return state->open_count;
}

static void close_intent(struct stream_state *state, size_t at)
{
  state->open_count--;
  memmove(state->open + at, state->open + at + 1, (state->open_count - at) * sizeof *state->open);
}

static void check_result(struct verify *verify, struct stream_state *state,
                         const struct journal_entry *entry, uint64_t seq)
{
  bool resolved = (entry->arg_count & JOURNAL_FLAG_RESOLVED) != 0;
  size_t at = find_intent(verify, state, entry->call, resolved);
  if (at < state->open_count) {
    close_intent(state, at);
    return;
  }
  bool other = at > 0 && state->open[at - 1].attempt == verify->attempt;
  if (other)
    close_intent(state, at - 1);
  if (other)
    defect(verify, "entry %llu (stream %u): a result of another call than its intent",
           (unsigned long long)seq, entry->stream);
  else if (!verify->broken)
    defect(verify, "entry %llu (stream %u): a result without an intent", (unsigned long long)seq,
           entry->stream);
}

/* The program has gone on: what was open in an earlier attempt, and does not go on, is as if it had never been. */
static int add_intent(struct verify *verify, struct stream_state *state, const struct journal_entry *intent)
{
  for (size_t i = state->open_count; i-- > 0;)
    if (state->open[i].attempt != verify->attempt && !state->open[i].goes_on)
      close_intent(state, i);
  if (state->open_count == state->open_room) {
    size_t room = state->open_room == 0 ? 4 : 2 * state->open_room;
    struct open_call *grown = realloc(state->open, room * sizeof *grown);
    if (grown == NULL)
      return -ENOMEM;
    state->open = grown;
    state->open_room = room;
  }
  state->open[state->open_count++] = (struct open_call){intent->call, goes_on(intent), verify->attempt};
  return 0;
}

static int check_order(struct verify *verify, const struct journal_entry *entry, uint64_t seq)
{
  if (entry->kind == JOURNAL_ATTEMPT) {
    verify->attempt++;
    return 0;
  }
  if (entry->kind != JOURNAL_INTENT && entry->kind != JOURNAL_RESULT && entry->kind != JOURNAL_START)
    return 0;
  struct stream_state *state = find_stream(verify, entry->stream);
  if (state == NULL)
    return -ENOMEM;
  if (entry->kind == JOURNAL_INTENT)
    return add_intent(verify, state, entry);
  if (entry->kind == JOURNAL_RESULT)
    check_result(verify, state, entry, seq);
  else
    state->open_count = 0;
  return 0;
}

/* Does the ring still hold the bytes from `position` on? Asked again after reading them. */
static bool tail_holds(const struct verify *verify, uint64_t position)
{
  const struct tail_header *header = verify->tail.header;
  return position >= header->base &&
         position + header->ring_size >= atomic_load(&((struct tail_header *)header)->head);
}

/* An entry of the store against what the tail has in its place. */
static int compare_with_tail(struct verify *verify, const struct journal_entry *entry, uint64_t seq)
{
  if (verify->tail.fd < 0 || !tail_holds(verify, entry->position))
    return 0;
  int error = tail_file_read(&verify->tail, entry->position, verify->entry, entry->size);
  if (error != 0)
    return error;
  if (memcmp(verify->entry, entry, entry->size) != 0 && tail_holds(verify, entry->position))
    defect(verify, "entry %llu: the tail holds other bytes than the store", (unsigned long long)seq);
  return 0;
}

static int check_chunk(struct verify *verify, const struct chunk *chunk)
{
  struct chunk_walk walk = {.chunk = *chunk};
  if (chunk->first_seq != verify->seq) {
    defect(verify, "entry %llu follows where entry %llu should be", (unsigned long long)chunk->first_seq,
           (unsigned long long)verify->seq);
    verify->broken = true;
  }
  if (chunk->first_position < verify->position)
    defect(verify, "entry %llu lies before the end of the entry that it follows",
           (unsigned long long)chunk->first_seq);
  verify->seq = chunk->first_seq + chunk->entry_count;
  verify->position = chunk->end_position;
  for (;;) {
    const struct journal_entry *entry;
    const char *what;
    uint64_t seq;
    if (chunk_next(&walk, &entry, &seq, &what) != 0) {
      defect(verify, "entry %llu: %s", (unsigned long long)seq, what);
      verify->broken = true;
      return 0; /* where the next one would begin is not known */
    }
    if (entry == NULL)
      return 0;
    int error = check_order(verify, entry, seq);
    if (error == 0)
      error = compare_with_tail(verify, entry, seq);
    if (error != 0)
      return error;
  }
}

static int check_row(struct verify *verify, sqlite3_stmt *row)
{
  const void *blob = sqlite3_column_blob(row, 4);
  size_t size = (size_t)sqlite3_column_bytes(row, 4);
  size_t length = chunk_delta_length(blob, size);
  uint8_t *bytes = malloc(length + 1);
  if (bytes == NULL)
    return -ENOMEM;
  if (length > 0)
    length = chunk_delta_decode(blob, size, bytes);
  struct chunk chunk = {
      .first_seq = (uint64_t)sqlite3_column_int64(row, 0),
      .first_position = (uint64_t)sqlite3_column_int64(row, 1),
      .end_position = (uint64_t)sqlite3_column_int64(row, 2),
      .entry_count = (uint64_t)sqlite3_column_int64(row, 3),
      .bytes = bytes,
      .length = length,
  };
  int error = check_chunk(verify, &chunk);
  free(bytes);
  return error;
}

/* A database that SQLite cannot read on is a defect, not a failure of the check. */
static int check_store(struct verify *verify)
{
  sqlite3 *database = store_database(verify->store);
  sqlite3_stmt *row;
  int code = sqlite3_prepare_v2(
      database,
      "SELECT first_seq, first_position, end_position, entry_count, bytes FROM chunk ORDER BY first_seq", -1,
      &row, NULL);
  int error = 0;
  while (code == SQLITE_OK || code == SQLITE_ROW) {
    code = sqlite3_step(row);
    if (code == SQLITE_ROW)
      error = check_row(verify, row);
    if (error != 0)
      break;
  }
  if (error == 0 && code != SQLITE_DONE)
    defect(verify, "after entry %llu the store cannot be read: %s", (unsigned long long)verify->seq - 1,
           sqlite3_errmsg(database));
  sqlite3_finalize(row);
  return error;
}

/* SQLite's own opinion: pages, trees, cells. */
static void check_pages(struct verify *verify)
{
  sqlite3 *database = store_database(verify->store);
  sqlite3_stmt *row;
  int code = sqlite3_prepare_v2(database, "PRAGMA quick_check(20)", -1, &row, NULL);
  while (code == SQLITE_OK || code == SQLITE_ROW) {
    code = sqlite3_step(row);
    const char *text = code == SQLITE_ROW ? (const char *)sqlite3_column_text(row, 0) : NULL;
    if (text != NULL && strcmp(text, "ok") != 0)
      defect(verify, "the database: %.400s", text);
  }
  if (code != SQLITE_DONE)
    defect(verify, "the database: %s", sqlite3_errmsg(database));
  sqlite3_finalize(row);
}

/* The entry of `position` into verify->entry. *ret_size is 0 where none lies. */
static int read_tail_entry(struct verify *verify, uint64_t position, uint64_t end, uint32_t *ret_size)
{
  struct journal_entry *entry = (struct journal_entry *)verify->entry;
  *ret_size = 0;
  if (end - position < JOURNAL_ENTRY_HEADER_SIZE)
    return 0;
  int error = tail_file_read(&verify->tail, position, entry, JOURNAL_ENTRY_HEADER_SIZE);
  if (error != 0 || entry->position != position)
    return error;
  uint32_t size = entry->size;
  bool sound = size >= JOURNAL_ENTRY_HEADER_SIZE && size <= JOURNAL_ENTRY_SIZE_MAX &&
               size <= end - position && size <= verify->tail.header->ring_size;
  if (sound) {
    error = tail_file_read(&verify->tail, position, entry, size);
    sound = error == 0 && journal_entry_valid(entry, size, position);
  }
  if (sound)
    *ret_size = size;
  else if (error == 0 && tail_holds(verify, position))
    /* The position is stored last: what has it was written whole. */
    defect(verify, "the tail's entry at position %llu is damaged", (unsigned long long)position);
  return error;
}

/* What the store does not have yet. Gaps are no defects: their writers were killed. */
static int check_tail(struct verify *verify, uint64_t stored_end)
{
  struct tail_header *header = verify->tail.header;
  uint64_t end = atomic_load(&header->head);
  uint64_t room = atomic_load(&header->drained) + header->ring_size;
  if (end > room)
    end = room;
  uint64_t position = stored_end;
  while (position < end && tail_holds(verify, position)) {
    uint32_t size;
    int error = read_tail_entry(verify, position, end, &size);
    if (error == 0 && size != 0)
      error = check_order(verify, (struct journal_entry *)verify->entry, verify->seq++);
    if (error != 0)
      return error;
    position += size != 0 ? size : 8;
  }
  return 0;
}

static int check_all(struct verify *verify, struct failure *failure)
{
  /* Read before the store: the drain may go on meanwhile, and only ever takes away from the tail. */
  uint64_t drained = verify->tail.fd < 0 ? 0 : atomic_load(&verify->tail.header->drained);
  check_pages(verify);
  int error = check_store(verify);
  if (error != 0)
    return failure_set(failure, error, "cannot check the journal: %s", strerror(-error));
  if (verify->tail.fd < 0)
    return 0;
  uint64_t stored_end = verify->position, entry_count;
  if (!verify->broken)
    error = store_end(verify->store, &stored_end, &entry_count, failure);
  if (error != 0)
    return error;
  if (stored_end < drained) {
    defect(verify, "between position %llu, where the store ends, and %llu, where the tail begins, "
                   "entries are missing",
           (unsigned long long)stored_end, (unsigned long long)drained);
    stored_end = drained;
  }
  error = check_tail(verify, stored_end);
  if (error != 0)
    return failure_set(failure, error, "cannot check the tail: %s", strerror(-error));
  return 0;
}

int64_t verify_journal(struct store *store, const char *tail_path,
                       void (*say)(const char *line, void *context), void *context,
                       struct failure *failure)
{
  struct verify verify = {.store = store, .tail = {.fd = -1}, .say = say, .context = context, .seq = 1};
  int error = 0;
  if (tail_path != NULL && access(tail_path, F_OK) == 0) {
    struct failure why;
    error = tail_file_open(tail_path, &verify.tail, &why);
    if (error == -EBADMSG) {
      defect(&verify, "%s", why.text);
      error = 0;
    } else if (error != 0) {
      failure_set(failure, error, "%s", why.text);
    }
  }
  verify.entry = error == 0 ? malloc(JOURNAL_ENTRY_SIZE_MAX) : NULL;
  if (error == 0 && verify.entry == NULL)
    error = failure_set(failure, -ENOMEM, "cannot check the journal: out of memory");
  if (error == 0) {
    /* One snapshot for all that is read. */
    sqlite3_exec(store_database(store), "BEGIN", NULL, NULL, NULL);
    error = check_all(&verify, failure);
    sqlite3_exec(store_database(store), "COMMIT", NULL, NULL, NULL);
  }
  free(verify.entry);
  tdestroy(verify.streams, free_stream);
  tail_file_close(&verify.tail);
  return error != 0 ? error : verify.defect_count;
}
