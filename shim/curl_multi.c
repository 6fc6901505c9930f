/* SPDX-License-Identifier: Apache-2.0 */
/* libcurl's multi interface: each transfer is one exchange (shim/curl_exchange.c), several are under way at
 * once, and each has its own fate.
 *
 *   curl_multi_add_handle       INTENT of the exchange
 *   curl_multi_perform, ...     callbacks of all of them in the order in which they came, RESULT of those that
 *                               have ended, COMPLETE with what the call gave
 *   curl_multi_info_read        nothing: what it says follows from the RESULTs
 *
 * Requests are on disk before the next call that may send: one sync for all that were added together.
 *
 * In replay libcurl is not asked. The first call of a live process that makes exchanges go on takes back the
 * descriptors that the program had (shim/curl_socket.c), and adds what had no end to libcurl's own handle:
 * it is sent again, as with the easy interface. Killed at any line: an exchange has its RESULT or not. */
#include "shim/curl_group.h"
#include "shim/passing.h"

static const struct call_shape shape = {.class = CALL_CLASS_OBSERVE};
static _Atomic uint64_t groups_made;

/* ---- one call ---- */

void operation_begin(struct operation *operation, unsigned id, struct curl_group *group)
{
  *operation = (struct operation){.group = group};
  operation->call = (struct call){.id = (uint16_t)id, .shape = &shape, .args = {group->number}};
  operation->call.signature = hash_mix(id, group->number) | 1;
}

static const struct journal_entry *replay(struct operation *operation)
{
  return engine_live() ? NULL : curl_replay_until(&operation->call, JOURNAL_COMPLETE, NULL);
}

/* Others may come before this thread's next call. */
static void move_past(const struct journal_entry *entry)
{
  replay_advance(entry);
  if (engine.threaded)
    replay_yield();
}

static void record(struct operation *operation, int64_t result)
{
  struct draft draft;
  crash_point();
  draft_begin(&draft, &operation->call, JOURNAL_COMPLETE, result);
  draft.tail.arg_count = 1;
  if (operation->first)
    draft_add(&draft, SEGMENT_OUTPUT, 0, operation->first, operation->first_size);
  if (operation->second && operation->second_size)
    draft_add(&draft, SEGMENT_OUTPUT, 1, operation->second, operation->second_size);
  draft_append(&draft);
  crash_point();
}

static void deliver(const struct journal_entry *entry, unsigned arg, void *to, size_t size)
{
  const struct journal_segment *segment = journal_find_segment(entry, SEGMENT_OUTPUT, (int)arg);
  if (to && segment && segment->length == size)
    raw_copy(to, segment->data, size);
}

/* ---- making exchanges go on ---- */

static void not_synced(struct curl_group *group, uint64_t position)
{
  group->unsynced = position + 1;
}

static void add_again(struct curl_group *group, struct curl_handle *handle, const struct curl_real *real)
{
  if (handle->given) {
    group_tell(handle, given_end(handle));
    return;
  }
  not_synced(group, exchange_record_again(handle));
  uint32_t before = passing_begin();
  exchange_prepare(handle, real);
  int code = real->multi_add_handle(group->multi, handle->easy);
  passing_end(before);
  handle->added = true;
  if (code != CURL_MULTI_OK)
    engine_failed(TAIL_REPORT_FAILED, "a transfer cannot be given to libcurl again: ", handle->url, code);
}

static void go_on(struct curl_group *group, const struct curl_real *real)
{
  struct curl_handle *handle;
  if (group->stood_in) {
    group->stood_in = false;
    group_take_back_sockets(group);
    for (uint32_t place = 0; (handle = group_next(group, &place));)
      if (handle->busy && !handle->added)
        add_again(group, handle, real);
  }
  if (group->unsynced)
    record_before_remote(group->unsynced - 1);
  group->unsynced = 0;
}

/* What libcurl has to say is taken at once. */
static void take_ends(struct curl_group *group, const struct curl_real *real)
{
  int left;
  const struct curl_message *message;
  while ((message = real->multi_info_read(group->multi, &left))) {
    struct curl_handle *handle = message->kind == CURL_MESSAGE_DONE ? handle_find(message->easy) : NULL;
    int code = message->code;
    if (!handle || !handle->busy)
      continue;
    if (retry_follows(handle, real, code))
      group_retry_later(group, handle, real);
    else
      group_tell(handle, exchange_end(handle, real, code));
  }
}

static bool is_work(const struct operation *operation)
{
  unsigned id = operation->call.id;
  return id == CALL_ID_MULTI_PERFORM || id == CALL_ID_MULTI_SOCKET_ACTION || id == CALL_ID_MULTI_SOCKET_ALL;
}

/* Transfers that wait for their next try are under way. */
static void count_waiting(struct operation *operation)
{
  struct curl_group *group = operation->group;
  if (operation->first)
    *(int *)operation->first += (int)group->waiting;
  if (group->waiting)
    group_set_timer(group);
}

static int ask_libcurl(struct operation *operation, const struct curl_real *real)
{
  void *multi = operation->group->multi;
  uint64_t *sets = operation->second;
  const unsigned words = GROUP_SETS_SIZE / 3 / sizeof *sets;
  switch (operation->call.id) {
  case CALL_ID_MULTI_PERFORM:
    return real->multi_perform(multi, operation->first);
  case CALL_ID_MULTI_SOCKET_ACTION:
    return real->multi_socket_action(multi, operation->fd, operation->events, operation->first);
  case CALL_ID_MULTI_SOCKET_ALL:
    return real->multi_socket_all(multi, operation->first);
  case CALL_ID_MULTI_POLL:
    return real->multi_poll(multi, operation->second, operation->extra_count, operation->timeout_ms,
                            operation->first);
  case CALL_ID_MULTI_WAIT:
    /* Where libcurl has nothing to wait for, curl_multi_wait does not wait. */
    if (operation->group->waiting && real->multi_poll)
      return real->multi_poll(multi, operation->second, operation->extra_count, operation->timeout_ms, operation->first);
    return real->multi_wait(multi, operation->second, operation->extra_count, operation->timeout_ms,
                            operation->first);
  case CALL_ID_MULTI_FDSET:
    return real->multi_fdset(multi, sets, sets + words, sets + 2 * words, operation->first);
  default:
    return real->multi_timeout(multi, operation->first);
  }
}

static int ask(struct operation *operation, const struct curl_real *real)
{
  struct curl_group *group = operation->group;
  if (is_work(operation))
    group_retry_due(group, real);
  operation->timeout_ms = (int)group_retry_timeout(group, operation->timeout_ms);
  int result = ask_libcurl(operation, real);
  if (is_work(operation)) {
    take_ends(group, real);
    count_waiting(operation);
  }
  if (operation->call.id == CALL_ID_MULTI_TIMEOUT && operation->first)
    *(long *)operation->first = group_retry_timeout(group, *(long *)operation->first);
  return result;
}

/* A wakeup that a wait has been ended by must not end another one. */
static void forget_wakeup(struct curl_group *group, const struct curl_real *real)
{
  if (!group->woken)
    return;
  group->woken = false;
  uint32_t before = passing_begin();
  real->multi_poll(group->multi, NULL, 0, 0, NULL);
  passing_end(before);
}

int operation_run(struct operation *operation, const struct curl_real *real)
{
  struct curl_group *group = operation->group;
  unsigned id = operation->call.id;
  const struct journal_entry *entry = replay(operation);
  if (entry) {
    int result = (int)entry->result;
    deliver(entry, 0, operation->first, operation->first_size);
    deliver(entry, 1, operation->second, operation->second_size);
    if (id == CALL_ID_MULTI_FDSET)
      group_stand_in_sets(group, operation->second);
    else if (id == CALL_ID_MULTI_POLL)
      forget_wakeup(group, real);
    move_past(entry);
    return result;
  }
  if (group->stood_in) {
    /* The descriptor that it is about is one of the replay's. */
    operation->fd = -1;
    operation->events = 0;
  }
  go_on(group, real);
  if (id == CALL_ID_MULTI_FDSET)
    group_forget_sockets(group);
  crash_point();
  uint32_t before = passing_begin();
  int result = ask(operation, real);
  passing_end(before);
  record(operation, result);
  return result;
}

/* ---- handles come and go ---- */

/* An exchange that libcurl does not take up is left before it has begun. */
static int add_live(struct curl_group *group, struct curl_handle *handle, const struct curl_real *real)
{
  uint32_t before = passing_begin();
  exchange_prepare(handle, real);
  handle->group = group;
  handle->added = true;
  int result = real->multi_add_handle(group->multi, handle->easy);
  if (result != CURL_MULTI_OK) {
    exchange_end(handle, real, EXCHANGE_LEFT);
    group_remove(handle);
  }
  passing_end(before);
  return result;
}

int group_add(struct curl_group *group, struct curl_handle *handle, const struct curl_real *real)
{
  struct operation operation;
  struct call call;
  if (handle->group)
    return CURL_MULTI_ADDED_ALREADY;
  operation_begin(&operation, CALL_ID_MULTI_ADD, group);
  exchange_begin(handle, &call);
  const struct journal_entry *entry = engine_live() ? NULL : curl_replay_until(&call, JOURNAL_INTENT, NULL);
  int result;
  if (entry) {
    exchange_take_request(handle, entry);
    handle->group = group;
    group->stood_in = true;
    entry = replay(&operation);
    if (!entry) {
      /* The program's timer is to be told of it. */
      go_on(group, real);
      record(&operation, CURL_MULTI_OK);
      return CURL_MULTI_OK;
    }
    result = (int)entry->result;
    if (result != CURL_MULTI_OK)
      group_remove(handle);
    move_past(entry);
    return result;
  }
  not_synced(group, exchange_record_request(&call, handle));
  result = add_live(group, handle, real);
  record(&operation, result);
  return result;
}

int group_take_out(struct curl_group *group, struct curl_handle *handle, const struct curl_real *real)
{
  struct operation operation;
  if (handle->group != group)
    return handle->group ? CURL_MULTI_BAD_EASY_HANDLE : CURL_MULTI_OK;
  operation_begin(&operation, CALL_ID_MULTI_REMOVE, group);
  const struct journal_entry *entry = replay(&operation);
  int result = CURL_MULTI_OK;
  if (entry) {
    result = (int)entry->result;
    move_past(entry);
  } else {
    uint32_t before = passing_begin();
    if (handle->added)
      result = real->multi_remove_handle(group->multi, handle->easy);
    if (handle->busy && result == CURL_MULTI_OK)
      exchange_end(handle, real, EXCHANGE_LEFT);
    passing_end(before);
    record(&operation, result);
  }
  if (result == CURL_MULTI_OK)
    group_remove(handle);
  return result;
}

/* ---- the multi handle itself ---- */

void *group_init(const struct curl_real *real)
{
  uint32_t before = passing_begin();
  void *multi = real->multi_init();
  passing_end(before);
  if (!multi)
    return NULL;
  struct call call = {.id = CALL_ID_MULTI_INIT, .shape = &shape, .signature = CALL_ID_MULTI_INIT};
  const struct journal_entry *entry = engine_live() ? NULL : replay_take(&call, JOURNAL_COMPLETE);
  uint64_t number;
  if (entry) {
    number = (uint64_t)entry->result;
    if (atomic_load(&groups_made) < number)
      atomic_store(&groups_made, number);
    move_past(entry);
  } else {
    number = atomic_fetch_add(&groups_made, 1) + 1;
    crash_point();
    record_complete(&call, (int64_t)number);
  }
  if (!group_make(multi, real, number))
    engine_failed(TAIL_REPORT_FAILED, "more multi handles than can be journaled", "", (int64_t)number);
  return multi;
}

/* To end exchanges, those of an earlier attempt need not be sent again. */
static int cleanup_live(struct curl_group *group, const struct curl_real *real)
{
  struct curl_handle *handle;
  group->stood_in = false;
  group_take_back_sockets(group);
  uint32_t before = passing_begin();
  int result = real->multi_cleanup(group->multi);
  for (uint32_t place = 0; (handle = group_next(group, &place));)
    if (handle->busy)
      exchange_end(handle, real, EXCHANGE_LEFT);
  passing_end(before);
  return result;
}

int group_cleanup(struct curl_group *group, const struct curl_real *real)
{
  struct operation operation;
  struct curl_handle *handle;
  operation_begin(&operation, CALL_ID_MULTI_CLEANUP, group);
  const struct journal_entry *entry = replay(&operation);
  int result;
  if (entry) {
    uint32_t before = passing_begin();
    real->multi_cleanup(group->multi);
    passing_end(before);
    result = (int)entry->result;
    move_past(entry);
  } else {
    result = cleanup_live(group, real);
    record(&operation, result);
  }
  for (uint32_t place = 0; (handle = group_next(group, &place));)
    group_remove(handle);
  group_forget_sockets(group);
  group_free(group);
  return result;
}

/* A descriptor of the replay's is not known to libcurl, until the program has had to give it back. */
int group_assign_own(struct curl_group *group, const struct curl_real *real, int fd, void *own)
{
  struct operation operation;
  operation_begin(&operation, CALL_ID_MULTI_ASSIGN, group);
  operation.call.signature = hash_mix(operation.call.signature, (uint32_t)fd) | 1;
  const struct journal_entry *entry = replay(&operation);
  bool of_replay = group_assign(group, fd, own);
  if (entry) {
    int result = (int)entry->result;
    move_past(entry);
    return result;
  }
  crash_point();
  int result = of_replay ? CURL_MULTI_OK : real->multi_assign(group->multi, fd, own);
  record(&operation, result);
  return result;
}

/* From another thread than the one that waits. The entry comes first: the wait that it ends is journaled
 * after it. In replay libcurl is told too, for a wait that has not ended. */
int group_wakeup(struct curl_group *group, const struct curl_real *real)
{
  struct operation operation;
  operation_begin(&operation, CALL_ID_MULTI_WAKEUP, group);
  const struct journal_entry *entry = engine_live() ? NULL : replay_take(&operation.call, JOURNAL_COMPLETE);
  if (entry)
    group->woken = true;
  else
    record(&operation, CURL_MULTI_OK);
  uint32_t before = passing_begin();
  int result = real->multi_wakeup(group->multi);
  passing_end(before);
  if (entry)
    move_past(entry);
  return result;
}
