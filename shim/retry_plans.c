/* SPDX-License-Identifier: Apache-2.0 */
/* A plan is one COMPLETE entry of the thread that first uses it, with its bytes: recovery reads there what a scope refers to
 * (supervisor/analyse_scopes.c). The list here is the program's memory: replay makes it again. It only grows: scopes come and go, and
 * programs have few policies. */
#include "shim/retry_plans.h"

#include "shim/control.h"
#include "shim/unjournaled.h"

#include <errno.h>

#define PLANS_MAX 64u /* PERDURE_RETRY_PLANS_MAX */
#define OWN_IDS (1ull << 63) /* from here on: plans that were first used where nothing is journaled */

enum { FREE = 0, CLAIMED = 1, KNOWN = 2 };

static struct known_plan {
  _Atomic uint32_t state;
  uint32_t stream;
  uint64_t id;
  struct retry_plan plan;
} plans[PLANS_MAX];

CONTROL_FUNCTION int perdure_shim_retry_plan(const void *plan, size_t size, uint64_t *ret_id);
CONTROL_FUNCTION int perdure_shim_retry_plan_get(uint64_t id, void *ret_plan, size_t size);

static bool is_known(const struct known_plan *known)
{
  return atomic_load_explicit(&known->state, memory_order_acquire) == KNOWN;
}

const struct retry_plan *retry_plan_find(uint64_t id)
{
  for (unsigned i = 0; i < PLANS_MAX; i++)
    if (is_known(&plans[i]) && plans[i].id == id)
      return &plans[i].plan;
  return NULL;
}

/* The same one, of this thread's: what other threads know by now may be another in replay. */
static const struct known_plan *find_same(const struct retry_plan *plan, size_t size, bool journaled)
{
  for (unsigned i = 0; i < PLANS_MAX; i++)
    if (is_known(&plans[i]) && plans[i].stream == engine_thread.stream && (plans[i].id < OWN_IDS) == journaled &&
        retry_plan_size(&plans[i].plan) == size && raw_equal(&plans[i].plan, plan, size))
      return &plans[i];
  return NULL;
}

static struct known_plan *claim(void)
{
  for (unsigned i = 0; i < PLANS_MAX; i++) {
    uint32_t state = FREE;
    if (atomic_compare_exchange_strong(&plans[i].state, &state, CLAIMED))
      return &plans[i];
  }
  return NULL;
}

static void keep(struct known_plan *known, const struct retry_plan *plan, size_t size, uint64_t id)
{
  known->stream = engine_thread.stream;
  known->id = id;
  raw_copy(&known->plan, plan, size);
  atomic_store_explicit(&known->state, KNOWN, memory_order_release);
}

static uint64_t record_plan(const struct call *call, const struct retry_plan *plan, size_t size, int result)
{
  struct draft draft;
  crash_point();
  draft_begin(&draft, call, JOURNAL_COMPLETE, result);
  draft.tail.arg_count = 1;
  draft_add(&draft, SEGMENT_OUTPUT, 0, plan, size);
  uint64_t position = draft_append(&draft);
  crash_point();
  return position;
}

int perdure_shim_retry_plan(const void *bytes, size_t size, uint64_t *ret_id)
{
  static _Atomic uint64_t next_own = OWN_IDS;
  const struct retry_plan *plan = bytes;
  if (!control_present())
    return -ENOSYS;
  if (!retry_plan_sound(plan, size))
    return -EINVAL;
  const struct known_plan *same = find_same(plan, size, !unjournaled_all());
  if (same) {
    *ret_id = same->id;
    return 0;
  }
  struct known_plan *known = claim();
  if (unjournaled_all()) {
    if (!known)
      return -ENOSPC;
    *ret_id = atomic_fetch_add(&next_own, 1);
    keep(known, plan, size, *ret_id);
    return 0;
  }
  struct call call = {.id = CALL_ID_RETRY_PLAN, .shape = &control_shape, .args = {hash_bytes(bytes, size)}};
  const struct journal_entry *entry = control_replay(&call, 1);
  int result = entry ? (int)entry->result : known ? 0 : -ENOSPC;
  uint64_t position = entry ? entry->position : record_plan(&call, plan, size, result);
  if (known && result == 0) {
    keep(known, plan, size, position);
    *ret_id = position;
  } else if (known) {
    atomic_store(&known->state, FREE);
  }
  return entry ? control_replayed(entry) : result;
}

/* No entry: the answer follows from those of the plans. */
int perdure_shim_retry_plan_get(uint64_t id, void *ret_plan, size_t size)
{
  if (!control_present())
    return -ENOSYS;
  const struct retry_plan *plan = retry_plan_find(id);
  size_t used = plan ? retry_plan_size(plan) : 0;
  if (!plan || used > size)
    return -ENOENT;
  raw_fill(ret_plan, 0, size);
  raw_copy(ret_plan, plan, used);
  return 0;
}
