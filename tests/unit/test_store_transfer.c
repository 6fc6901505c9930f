/* SPDX-License-Identifier: Apache-2.0 */
/* From one store to another: SQLite's, and one that is made up, with the errors that it is told to have. */
#include "journal/tail.h"
#include "supervisor/store.h"

#include "tests/unit/packed_entries.h"
#include "tests/unit/scratch.h"
#include "tests/unit/tap.h"

#include <errno.h>

static struct failure failure;

/* A store of numbers alone, as a server is that writes each step for itself. */
struct made_up {
  uint64_t next_seq;
  unsigned appends, gaps;   /* gaps: that many appends do not follow */
  uint64_t behind_gap;      /* what comes next there then */
  char state[32];
};

static int made_up_end(void *self, uint64_t *ret_next_seq, uint64_t *ret_position, struct failure *why)
{
  const struct made_up *there = self;
  *ret_next_seq = there->next_seq;
  *ret_position = 0;
  return why ? 0 : -EINVAL;
}

static int made_up_head(void *self, struct store_head *ret_head, struct failure *why)
{
  return failure_set(why, -ENOTCONN, "%s does not answer", ((const struct made_up *)self)->state);
}

static int made_up_put_head(void *self, const struct store_head *head, struct failure *why)
{
  struct made_up *there = self;
  strcpy(there->state, head->state);
  return head->length > 0 ? 0 : failure_set(why, -EBADMSG, "no head");
}

static int made_up_append(void *self, const struct store_chunk *chunks, unsigned count, struct failure *why)
{
  struct made_up *there = self;
  there->appends++;
  if (there->gaps > 0) {
    there->gaps--;
    there->next_seq = there->behind_gap;
    return failure_set(why, -EILSEQ, "they do not follow");
  }
  for (unsigned i = 0; i < count; i++) {
    if (chunks[i].first_seq != there->next_seq)
      return failure_set(why, -EILSEQ, "they do not follow");
    there->next_seq += chunks[i].entry_count;
  }
  return 0;
}

static const struct store_kind made_up_kind = {
  .end = made_up_end, .head = made_up_head, .put_head = made_up_put_head, .append = made_up_append};

static struct any_store any_made_up(struct made_up *there)
{
  return (struct any_store){&made_up_kind, there};
}

static struct store *created(const char *name, const char *state)
{
  struct store *store = NULL;
  int error = store_create(scratch_path(name), TAIL_SYNC_NONE, &store, &failure);
  if (error == 0 && state)
    error = store_meta_set_text(store, "state", state, &failure);
  assert(error == 0);
  return store;
}

/* So many chunks of 10 entries each. */
static void grow(struct store *store, unsigned chunks)
{
  static struct packed_entries packed;
  uint64_t count;
  int error = store_end(store, &packed.position, &count, &failure);
  for (unsigned i = 0; error == 0 && i < chunks; i++) {
    packed_clear(&packed);
    uint64_t first = packed.position;
    for (int k = 0; k < 10; k++)
      packed_add(&packed, 1, 0, JOURNAL_COMPLETE, 5, SEGMENT_OUTPUT, "hello", 5);
    error = store_begin(store, &failure);
    if (error == 0)
      error = store_append(store, packed.bytes, packed.length, packed.count, first, packed.position, &failure);
    if (error == 0)
      error = store_commit(store, &failure);
  }
  assert(error == 0);
}

static uint64_t entries_of(struct store *store)
{
  uint64_t position, count = 0;
  int error = store_end(store, &position, &count, &failure);
  assert(error == 0);
  return count;
}

static bool has_state(struct store *store, const char *state)
{
  char *text = NULL;
  bool same = store_meta_text(store, "state", &text, &failure) == 0 && strcmp(text, state) == 0;
  free(text);
  return same;
}

static void test_between_files(void)
{
  struct store *from = created("from", "finished"), *to = created("to", NULL), *read_only = NULL;
  grow(from, 150);
  tap_ok(store_fill(store_any(from), store_any(to), &failure) == 0 && entries_of(to) == 1500 && has_state(to, "finished"),
         "a store is filled with the head and all chunks of another one");
  grow(from, 3);
  int error = store_open(scratch_path("from"), true, &read_only, &failure);
  assert(error == 0);
  tap_ok(store_catch_up(store_any(read_only), store_any(to), &failure) == 0 && entries_of(to) == 1530,
         "one that is behind gets what it lacks, from a store that is only read");
  error = store_meta_set_text(from, "state", "unfinished", &failure);
  tap_ok(error == 0 && store_pass_head(store_any(read_only), store_any(to), &failure) == 0 && has_state(to, "unfinished") && entries_of(to) == 1530,
         "a head takes the other one's place, and no chunk is touched");
  grow(to, 4);
  tap_ok(store_replace_chunks(store_any(read_only), store_any(to), &failure) == 0 && entries_of(to) == 1530 && has_state(to, "unfinished"),
         "chunks take the others' place, and the head is not touched");
  store_close(read_only);
  store_close(from);
  store_close(to);
}

static int end_of_more(void *self, uint64_t *ret_next_seq, uint64_t *ret_position, struct failure *why)
{
  *ret_next_seq = 30;
  *ret_position = 0;
  return self && why ? 0 : -EINVAL;
}

static void test_refusals(void)
{
  struct store *to = created("refusing", NULL);
  struct made_up gone = {.next_seq = 1, .state = "the server"};
  tap_ok(store_fill(any_made_up(&gone), store_any(to), &failure) == -ENOTCONN && strstr(failure.text, "the server does not answer") &&
           entries_of(to) == 0,
         "what is wrong with the other one is said, and nothing is left of the beginning");
  struct store *whole = created("whole", "finished");
  grow(whole, 2);
  struct store_kind says_more = *store_any(whole).kind;
  says_more.end = end_of_more;
  tap_ok(store_fill((struct any_store){&says_more, whole}, store_any(to), &failure) == -EBADMSG && strstr(failure.text, "has 20 entries of the run, and says that it has 29") &&
           entries_of(to) == 0,
         "a store that has less than it says is refused, and nothing of it is taken");
  store_close(whole);
  store_close(to);
}

static void test_gaps(void)
{
  struct store *from = created("gaps", "running");
  grow(from, 70);
  struct made_up behind = {.next_seq = 301};
  tap_ok(store_catch_up(store_any(from), any_made_up(&behind), &failure) == 0 && behind.next_seq == 701 && behind.appends == 1,
         "a store gets what it lacks at once");
  struct made_up lost = {.next_seq = 301, .gaps = 1, .behind_gap = 201};
  tap_ok(store_catch_up(store_any(from), any_made_up(&lost), &failure) == 0 && lost.next_seq == 701,
         "one that has lost more than was known gets that too");
  struct made_up losing = {.next_seq = 301, .gaps = 2, .behind_gap = 201};
  tap_ok(store_catch_up(store_any(from), any_made_up(&losing), &failure) == -EILSEQ && losing.appends == 2, "one that always loses is not tried for ever");
  struct made_up empty = {.next_seq = 1};
  tap_ok(store_pass_head(store_any(from), any_made_up(&empty), &failure) == 0 && strcmp(empty.state, "running") == 0,
         "a head goes with its state");
  store_close(from);
}

int main(void)
{
  scratch_create();
  test_between_files();
  test_refusals();
  test_gaps();
  scratch_remove();
  return tap_done();
}
