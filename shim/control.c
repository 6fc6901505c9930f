/* SPDX-License-Identifier: Apache-2.0 */
/* Keys, notes, commit, and the end by the program's own hand.
 *
 * Each is one COMPLETE entry. Killed before it, the call has not been, and comes again with the same
 * outcome; killed after it, replay gives what is recorded. */
#include "shim/control.h"

#include "shim/replicas.h"
#include "shim/unjournaled.h"
#include "shim/uuid.h"

#include <errno.h>
#include <signal.h>

#define TEXT_MAX 4096u
#define KEY_SIZE 37

CONTROL_FUNCTION int perdure_shim_key(char *ret_key);
CONTROL_FUNCTION int perdure_shim_index(uint64_t *ret_index);
CONTROL_FUNCTION int perdure_shim_is_replaying(void);
CONTROL_FUNCTION int perdure_shim_note(const char *text);
CONTROL_FUNCTION int perdure_shim_fail(const char *why);
CONTROL_FUNCTION int perdure_shim_commit(unsigned replicas, uint64_t timeout_ns, unsigned *ret_count);

const struct call_shape control_shape = {.class = CALL_CLASS_LOCAL};

bool control_present(void)
{
  return !engine_thread.passing && !engine.detached && engine.tail.header && !engine_left();
}

static size_t text_length(const char *text)
{
  size_t length = raw_length(text);
  return length < TEXT_MAX ? length : TEXT_MAX;
}

const struct journal_entry *control_replay(struct call *call, unsigned argument_count)
{
  uint64_t signature = call->id;
  for (unsigned i = 0; i < argument_count; i++)
    signature = hash_mix(signature, call->args[i]);
  call->signature = signature | 1;
  return engine_live() ? NULL : replay_take(call, JOURNAL_COMPLETE);
}

int control_replayed(const struct journal_entry *entry)
{
  int result = (int)entry->result;
  replay_advance(entry);
  if (engine.threaded && !engine_live())
    replay_yield();
  return result;
}

uint64_t control_record(const struct call *call, unsigned argument_count, const char *text, int64_t result)
{
  struct draft draft;
  crash_point();
  draft_begin(&draft, call, JOURNAL_COMPLETE, result);
  draft.tail.arg_count = argument_count;
  if (text)
    draft_add(&draft, SEGMENT_PATH, 0, text, text_length(text));
  uint64_t position = draft_append(&draft);
  crash_point();
  return position;
}

/* How many are asked for where nothing is journaled may differ between attempts: those of what follows may not. So each scope
 * counts its own. */
static int unjournaled_key(char *ret_key)
{
  static _Atomic uint64_t asked_by_others;
  bool own = !engine_thread.never_journaled;
  uint64_t count = own ? control_next_unjournaled_key() : atomic_fetch_add(&asked_by_others, 1);
  uint64_t place[4] = {engine.image_position, engine_thread.stream, own ? control_journaled_up_to() : UINT64_MAX, count};
  uuid_of_name(engine.tail.header->run_identity, place, sizeof place, ret_key);
  return 0;
}

int perdure_shim_key(char *ret_key)
{
  if (!control_present())
    return -ENOSYS;
  struct call call = {.id = CALL_ID_KEY, .shape = &control_shape};
  if (unjournaled_all())
    return unjournaled_key(ret_key);
  /* Exchanges count from 1 in the same places. */
  uint64_t place[3] = {engine.image_position, engine_thread.stream, 1ull << 63 | ++engine_thread.keys};
  const struct journal_entry *entry = control_replay(&call, 0);
  const struct journal_segment *key = entry ? journal_find_segment(entry, SEGMENT_OUTPUT, 0) : NULL;
  if (key && key->length == KEY_SIZE) {
    raw_copy(ret_key, key->data, KEY_SIZE);
    return control_replayed(entry);
  }
  if (entry)
    engine_diverged(&call, entry);
  uuid_of_name(engine.tail.header->run_identity, place, sizeof place, ret_key);
  struct draft draft;
  crash_point();
  draft_begin(&draft, &call, JOURNAL_COMPLETE, 0);
  draft.tail.arg_count = 0;
  draft_add(&draft, SEGMENT_OUTPUT, 0, ret_key, KEY_SIZE);
  draft_append(&draft);
  crash_point();
  return 0;
}

int perdure_shim_index(uint64_t *ret_index)
{
  if (!control_present())
    return -ENOSYS;
  if (unjournaled_all()) {
    *ret_index = control_journaled_up_to();
    return 0;
  }
  struct call call = {.id = CALL_ID_INDEX, .shape = &control_shape};
  const struct journal_entry *entry = control_replay(&call, 0);
  *ret_index = entry ? entry->position : control_record(&call, 0, NULL, 0);
  return entry ? control_replayed(entry) : 0;
}

int perdure_shim_is_replaying(void)
{
  return control_present() ? !process_live() : -ENOSYS;
}

int perdure_shim_note(const char *text)
{
  if (!control_present())
    return -ENOSYS;
  if (unjournaled_all())
    return 0;
  struct call call = {.id = CALL_ID_TOLD, .shape = &control_shape, .args = {hash_bytes(text, text_length(text))}};
  const struct journal_entry *entry = control_replay(&call, 1);
  if (entry)
    return control_replayed(entry);
  call.args[0] = (uint64_t)text;
  control_record(&call, 1, text, 0);
  return 0;
}

static void note_end(const char *why)
{
  static const char words[] = "the program gave up: ";
  static const struct call by = {.id = CALL_ID_JOURNAL};
  struct draft draft;
  draft_begin(&draft, &by, JOURNAL_NOTE, 0);
  draft.tail.signature = 0;
  draft_add2(&draft, SEGMENT_TEXT, 0, words, sizeof words - 1, why, text_length(why));
  draft_append(&draft);
}

/* A NOTE is not replayed: the next attempt comes to this call again, and may have better luck before it. */
int perdure_shim_fail(const char *why)
{
  if (!control_present())
    return -ENOSYS;
  struct call call = {.id = CALL_ID_TOLD, .shape = &control_shape};
  /* Where nothing is journaled there is no place for it in the feed: it dies in every attempt that comes here. */
  if (!engine_live() && !unjournaled_all())
    replay_to_end(&call);
  note_end(why ? why : "");
  crash_point();
  /* Neither a handler nor a mask may keep it. */
  uint64_t action[4] = {(uint64_t)SIG_DFL}, mask = 1ull << (SIGABRT - 1);
  raw_syscall4(SYS_rt_sigaction, SIGABRT, (uint64_t)action, 0, sizeof mask);
  raw_syscall4(SYS_rt_sigprocmask, SIG_UNBLOCK, (uint64_t)&mask, 0, sizeof mask);
  raw_syscall2(SYS_kill, (uint64_t)raw_syscall0(SYS_getpid), SIGABRT);
  for (;;)
    raw_syscall2(SYS_kill, (uint64_t)raw_syscall0(SYS_getpid), SIGKILL);
}

/* The entry is written first and is a part of what is put on disk: an attempt that replays it was begun by a
 * supervisor that had all of the journal on disk before. */
static int commit_here(const struct call *call)
{
  record_make_durable(control_record(call, 2, NULL, 0));
  crash_point();
  return 0;
}

/* What there was before goes to this disk and to the replicas at once, and the entry says what came of that. Its result is the
 * error, or 0. Whoever loses the entry commits again. */
static int commit_there(const struct call *call, unsigned *ret_count)
{
  uint64_t end = atomic_load(&engine.tail.header->head);
  crash_point();
  int result = replicas_ask(end, (unsigned)call->args[0]);
  record_make_all_durable();
  if (result == 0)
    result = replicas_wait(end, (unsigned)call->args[0], call->args[1], ret_count);
  crash_point();
  struct draft draft;
  draft_begin(&draft, call, JOURNAL_COMPLETE, result);
  draft.tail.arg_count = 2;
  draft_add(&draft, SEGMENT_OUTPUT, 2, ret_count, sizeof *ret_count);
  draft_append(&draft);
  crash_point();
  return result;
}

/* What is journaled is what there was before. In replay it was on disk when the attempt began. */
static int commit_unjournaled(unsigned replicas, uint64_t timeout_ns, unsigned *ret_count)
{
  *ret_count = 0;
  if (!process_live())
    return 0;
  uint64_t end = atomic_load(&engine.tail.header->head);
  int result = replicas ? replicas_ask(end, replicas) : 0;
  record_make_all_durable();
  return replicas && result == 0 ? replicas_wait(end, replicas, timeout_ns, ret_count) : result;
}

int perdure_shim_commit(unsigned replicas, uint64_t timeout_ns, unsigned *ret_count)
{
  if (!control_present())
    return -ENOSYS;
  struct call call = {.id = CALL_ID_COMMIT, .shape = &control_shape, .args = {replicas, timeout_ns}};
  if (unjournaled_all())
    return commit_unjournaled(replicas, timeout_ns, ret_count);
  const struct journal_entry *entry = control_replay(&call, 2);
  *ret_count = 0;
  if (!entry)
    return replicas ? commit_there(&call, ret_count) : commit_here(&call);
  const struct journal_segment *count = journal_find_segment(entry, SEGMENT_OUTPUT, 2);
  if (count && count->length == sizeof *ret_count)
    raw_copy(ret_count, count->data, sizeof *ret_count);
  return control_replayed(entry);
}
