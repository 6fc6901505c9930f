/* SPDX-License-Identifier: Apache-2.0 */
/* Scopes of the control API: which are open in this process, and what holds for a thread.
 *
 * The journal says the same (supervisor/analyse_scopes.c reads it): each change is one COMPLETE entry, also
 * one that failed. The list is the program's memory: replay makes it again. */
#include "shim/control.h"

#include "shim/curl.h"
#include "shim/region.h"
#include "shim/unjournaled.h"

#include <errno.h>

#define SCOPE_ROOM 256 /* PERDURE_SCOPES_MAX */
#define SET_TOKEN 0    /* of what a thread has set */
#define OWN_TOKENS (1ull << 63) /* from here on: scopes that began where nothing is journaled, and have no place in it */
#define HOLDS 4        /* of a persistence scope's values: the level that its calls really have */

enum { FREE = 0, CLAIMED = 1, OPEN = 2 };

struct scope {
  _Atomic uint32_t state;
  uint32_t kind;
  uint32_t stream;
  int32_t pid; /* a forked child has a copy of its parent's scopes, which are none of its own */
  uint64_t token;
  uint64_t began; /* where in the journal; as the token, but of what was set too */
  uint64_t keys;  /* asked for in it, where nothing is journaled */
  uint64_t values[JOURNAL_SCOPE_VALUES];
};
LARGE_TABLE static struct scope scopes[SCOPE_ROOM];

CONTROL_FUNCTION int perdure_shim_scope_begin(unsigned kind, const uint64_t *values, uint64_t *ret_token);
CONTROL_FUNCTION int perdure_shim_scope_end(unsigned kind, uint64_t token);
CONTROL_FUNCTION int perdure_shim_scope_set(unsigned kind, const uint64_t *values);
CONTROL_FUNCTION int perdure_shim_scope_is_open(unsigned kind, uint64_t token);

/* ---- persistence ---- */

/* What an atomic region does has to be journaled, to be taken back: where one is open, the level changes nothing. */
static uint64_t level_that_holds(uint64_t level)
{
  return level == JOURNAL_PERSIST_SMART || region_open() ? 0 : level;
}

static struct scope *latest_of(unsigned kind);

uint32_t control_persistence(void)
{
  const struct scope *latest = latest_of(JOURNAL_SCOPE_PERSISTENCE);
  return latest ? (uint32_t)latest->values[HOLDS] : 0;
}

uint64_t control_journaled_up_to(void)
{
  const struct scope *latest = latest_of(JOURNAL_SCOPE_PERSISTENCE);
  return latest ? latest->began : 0;
}

uint64_t control_next_unjournaled_key(void)
{
  struct scope *latest = latest_of(JOURNAL_SCOPE_PERSISTENCE);
  return latest ? latest->keys++ : 0;
}

/* Before what changes the level is journaled. */
static void level_changes(unsigned kind)
{
  if (kind == JOURNAL_SCOPE_PERSISTENCE && engine_thread.persistence)
    unjournaled_note_opened();
}

static void level_has_changed(unsigned kind, bool own)
{
  if (kind != JOURNAL_SCOPE_PERSISTENCE)
    return;
  if (own)
    unjournaled_level(control_persistence());
  else
    unjournaled_ended_elsewhere();
}

/* ---- the list ---- */

static struct scope *claim(void)
{
  for (unsigned i = 0; i < SCOPE_ROOM; i++) {
    uint32_t state = FREE;
    if (atomic_compare_exchange_strong(&scopes[i].state, &state, CLAIMED))
      return &scopes[i];
  }
  return NULL;
}

static void fill(struct scope *scope, unsigned kind, uint64_t token, uint64_t began, const uint64_t *values)
{
  scope->kind = kind;
  scope->stream = engine_thread.stream;
  scope->pid = engine.pid_real;
  scope->token = token;
  scope->began = began;
  scope->keys = 0;
  raw_copy(scope->values, values, sizeof scope->values);
  if (kind == JOURNAL_SCOPE_PERSISTENCE)
    scope->values[HOLDS] = level_that_holds(values[0]);
  atomic_store(&scope->state, OPEN);
}

static bool is_open(struct scope *scope, unsigned kind)
{
  return atomic_load(&scope->state) == OPEN && scope->kind == kind && scope->pid == engine.pid_real;
}

/* False: there is none of that token; or another thread was first to end it. */
static bool drop(unsigned kind, uint64_t token, bool own)
{
  for (unsigned i = 0; i < SCOPE_ROOM; i++) {
    uint32_t state = OPEN;
    if (is_open(&scopes[i], kind) && scopes[i].token == token &&
        (!own || scopes[i].stream == engine_thread.stream) &&
        atomic_compare_exchange_strong(&scopes[i].state, &state, CLAIMED)) {
      atomic_store(&scopes[i].state, FREE);
      return true;
    }
  }
  return false;
}

/* The one of this thread's that holds. */
static struct scope *latest_of(unsigned kind)
{
  struct scope *latest = NULL;
  for (unsigned i = 0; i < SCOPE_ROOM; i++)
    if (is_open(&scopes[i], kind) && scopes[i].stream == engine_thread.stream &&
        (!latest || scopes[i].token > latest->token))
      latest = &scopes[i];
  return latest;
}

static bool begun_here(unsigned kind, uint64_t token)
{
  for (unsigned i = 0; i < SCOPE_ROOM; i++)
    if (is_open(&scopes[i], kind) && scopes[i].token == token)
      return scopes[i].stream == engine_thread.stream;
  return false;
}

/* Is the region open, and one that began later too? */
static bool region_inside(uint64_t token)
{
  bool itself = false, inside = false;
  for (unsigned i = 0; i < SCOPE_ROOM; i++)
    if (is_open(&scopes[i], JOURNAL_SCOPE_REGION)) {
      itself |= scopes[i].token == token;
      inside |= scopes[i].token > token;
    }
  return itself && inside;
}

static struct call scope_call(unsigned id, unsigned kind, const uint64_t *values)
{
  struct call call = {.id = (uint16_t)id, .shape = &control_shape, .args = {kind}};
  if (values)
    raw_copy(call.args + 1, values, JOURNAL_SCOPE_VALUES * sizeof *values);
  return call;
}

/* Where nothing is journaled, neither are scopes, but those that turn it on again. */
static bool has_no_place(unsigned kind)
{
  return unjournaled_all() && (kind != JOURNAL_SCOPE_PERSISTENCE || engine_thread.never_journaled);
}

static int begin_without_place(unsigned kind, const uint64_t *values, uint64_t *ret_token)
{
  static _Atomic uint64_t next = OWN_TOKENS;
  struct scope *scope = claim();
  if (!scope)
    return -ENOSPC;
  *ret_token = atomic_fetch_add(&next, 1);
  fill(scope, kind, *ret_token, control_journaled_up_to(), values);
  return 0;
}

int perdure_shim_scope_begin(unsigned kind, const uint64_t *values, uint64_t *ret_token)
{
  if (!control_present())
    return -ENOSYS;
  if (kind == JOURNAL_SCOPE_REGION && engine_thread.persistence)
    return -EPERM;
  if (has_no_place(kind))
    return begin_without_place(kind, values, ret_token);
  struct call call = scope_call(CALL_ID_SCOPE_BEGIN, kind, values);
  struct scope *scope = claim();
  level_changes(kind);
  const struct journal_entry *entry = control_replay(&call, 6);
  int result = entry ? (int)entry->result : scope ? 0 : -ENOSPC;
  bool region = kind == JOURNAL_SCOPE_REGION && result == 0 && scope;
  /* Before the entry: what others change behind it is kept by them. */
  bool outer = region && region_begins();
  uint64_t position = entry ? entry->position : control_record(&call, 6, NULL, result);
  region_has_begun(outer);
  /* Position 0 is START's. */
  if (result == 0 && scope) {
    fill(scope, kind, position, position, values);
    *ret_token = position;
    level_has_changed(kind, true);
  } else if (scope) {
    atomic_store(&scope->state, FREE);
  }
  return entry ? control_replayed(entry) : result;
}

/* Why a region cannot end now; 0: it can, if it is open at all. */
static int region_holds(uint64_t token)
{
  if (region_inside(token))
    return -EBUSY;
  return perdure_shim_scope_is_open(JOURNAL_SCOPE_REGION, token) == 1 && exchanges_are_open(token) ? -EINPROGRESS : 0;
}

int perdure_shim_scope_end(unsigned kind, uint64_t token)
{
  if (!control_present())
    return -ENOSYS;
  if (token >= OWN_TOKENS)
    return drop(kind, token, false) ? 0 : -ENOENT;
  uint64_t values[JOURNAL_SCOPE_VALUES] = {token};
  struct call call = scope_call(CALL_ID_SCOPE_END, kind, values);
  level_changes(kind);
  const struct journal_entry *entry = control_replay(&call, 2);
  bool own = begun_here(kind, token);
  int held = kind != JOURNAL_SCOPE_REGION ? 0 : entry ? (int)entry->result : region_holds(token);
  bool found = token != SET_TOKEN && !held && drop(kind, token, false);
  if (found)
    level_has_changed(kind, own);
  int result = entry ? 0 : found ? 0 : held ? held : -ENOENT;
  uint64_t position = entry ? 0 : control_record(&call, 2, NULL, result);
  /* Behind the entry: until it is there, the region is one that goes back, with what others change. */
  if (found && kind == JOURNAL_SCOPE_REGION)
    region_ended();
  if (entry)
    return control_replayed(entry);
  if (found && kind == JOURNAL_SCOPE_REGION && engine.tail.header->sync != TAIL_SYNC_NONE)
    record_make_durable(position);
  return result;
}

int perdure_shim_scope_set(unsigned kind, const uint64_t *values)
{
  if (!control_present())
    return -ENOSYS;
  unsigned argument_count = values ? 6 : 1;
  struct call call = scope_call(CALL_ID_SCOPE_SET, kind, values);
  level_changes(kind);
  const struct journal_entry *entry = control_replay(&call, argument_count);
  drop(kind, SET_TOKEN, true);
  struct scope *scope = values ? claim() : NULL;
  int result = entry ? (int)entry->result : values && !scope ? -ENOSPC : 0;
  uint64_t position = entry ? entry->position : control_record(&call, argument_count, NULL, result);
  if (scope)
    fill(scope, kind, SET_TOKEN, position, values);
  level_has_changed(kind, true);
  return entry ? control_replayed(entry) : result;
}

/* No entry, as below. */
int perdure_shim_scope_is_open(unsigned kind, uint64_t token)
{
  if (!control_present())
    return -ENOSYS;
  for (unsigned i = 0; i < SCOPE_ROOM; i++)
    if (token != SET_TOKEN && is_open(&scopes[i], kind) && scopes[i].token == token)
      return 1;
  return 0;
}

/* No entry: the answer follows from those of this thread's scopes, and from what the run began with. */
int perdure_shim_scope_get(unsigned kind, uint64_t *ret_values)
{
  if (!control_present())
    return -ENOSYS;
  const struct scope *latest = latest_of(kind);
  if (!latest)
    return 0;
  raw_copy(ret_values, latest->values, sizeof latest->values);
  return 1;
}
