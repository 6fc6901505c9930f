/* SPDX-License-Identifier: Apache-2.0 */
/* Policies that a program puts together with perdure.h: what they come to, all ways to misuse them, and that both sides have one
 * layout. Nothing of the shim is here. */
#include "control-api/perdure.h"
#include "journal/retry_rules.h"
#include "tests/unit/tap.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define SAME_FIELD(field, own) \
  _Static_assert(offsetof(struct perdure_retry_part_, field) == offsetof(struct retry_node, own), #field)
_Static_assert(sizeof(struct perdure_retry_plan) == sizeof(struct retry_plan), "the plan");
_Static_assert(offsetof(struct perdure_retry_plan, parts) == offsetof(struct retry_plan, nodes), "its parts");
_Static_assert(offsetof(struct perdure_retry_plan, statuses) == offsetof(struct retry_plan, statuses), "its statuses");
_Static_assert(sizeof(struct perdure_retry_part_) == sizeof(struct retry_node), "a part");
SAME_FIELD(base, base);
SAME_FIELD(delay_ns, delay_ns);
SAME_FIELD(factor, factor);
SAME_FIELD(left, left);
SAME_FIELD(right, right);
SAME_FIELD(limit_count, limit_count);
SAME_FIELD(limits, limits);
SAME_FIELD(limits[0].value, limits[0].value);
SAME_FIELD(limits[0].value2, limits[0].value2);
_Static_assert((int)PERDURE_RETRY_FIBONACCI_ == RETRY_FIBONACCI && (int)PERDURE_RETRY_INTERSECT_ == RETRY_INTERSECT &&
                   (int)PERDURE_RETRY_JITTER_ == RETRY_JITTER,
               "the bases and limits have the same numbers");

#define MS 1000000ull

static struct perdure_retry_plan plan, other, third;

static bool sound(void)
{
  struct retry_plan seen;
  memcpy(&seen, &plan, sizeof seen);
  return retry_plan_sound(&seen, retry_plan_size(&seen));
}

/* Are these the delays, in ms, of the failures from 1 on, each spent_ms after the first? -1: no further attempt. */
static bool delays(size_t count, const int *expected_ms, uint64_t spent_ms)
{
  struct retry_progress progress = {0};
  struct retry_plan seen;
  memcpy(&seen, &plan, sizeof seen);
  bool same = retry_plan_sound(&seen, retry_plan_size(&seen));
  for (size_t i = 0; same && i < count; i++) {
    uint64_t delay_ns = 0;
    bool again = retry_nodes_next(seen.nodes, seen.node_count - 1, &progress, (uint32_t)i + 1, spent_ms * MS, 0, &delay_ns);
    same = again == (expected_ms[i] >= 0) && (!again || delay_ns == (uint64_t)expected_ms[i] * MS);
    if (!same)
      tap_note("after failure %zu: %d, %llu ns", i + 1, again, (unsigned long long)delay_ns);
  }
  return same;
}
#define DELAYS(spent_ms, ...) delays(sizeof((int[]){__VA_ARGS__}) / sizeof(int), (const int[]){__VA_ARGS__}, spent_ms)

static void test_bases(void)
{
  tap_ok(perdure_retry_plan_never(&plan) == 0 && DELAYS(0, -1), "never");
  tap_ok(perdure_retry_plan_immediate(&plan) == 0 && DELAYS(0, 0, 0, 0), "immediate");
  tap_ok(perdure_retry_plan_periodic(&plan, 5 * MS) == 0 && DELAYS(0, 5, 5, 5), "periodic");
  tap_ok(perdure_retry_plan_exponential(&plan, 4 * MS, 2.5) == 0 && DELAYS(0, 4, 10, 25), "exponential");
  tap_ok(perdure_retry_plan_fibonacci(&plan, 2 * MS) == 0 && DELAYS(0, 2, 2, 4, 6, 10), "fibonacci");
  tap_ok(perdure_retry_plan_exponential(&plan, UINT64_MAX, 1000) == 0 && sound(), "the longest delay");
}

static void test_limits(void)
{
  tap_ok(perdure_retry_plan_periodic(&plan, 5 * MS) == 0 && perdure_retry_plan_count(&plan, 3) == 0 && DELAYS(0, 5, 5, -1), "count");
  tap_ok(perdure_retry_plan_periodic(&plan, 5 * MS) == 0 && perdure_retry_plan_total(&plan, 20 * MS) == 0 && DELAYS(15, 5) &&
             DELAYS(16, -1),
         "total");
  tap_ok(perdure_retry_plan_exponential(&plan, MS, 10) == 0 && perdure_retry_plan_clamp(&plan, 2 * MS, 50 * MS) == 0 &&
             DELAYS(0, 2, 10, 50, 50),
         "clamp");
  tap_ok(perdure_retry_plan_add(&plan, 7 * MS) == 0 && DELAYS(0, 9, 17, 57), "add, behind it");
  tap_ok(perdure_retry_plan_jitter(&plan, 0.5) == 0 && DELAYS(0, 9, 17, 57), "jitter, with no chance");
}

static void test_together(void)
{
  perdure_retry_plan_periodic(&other, MS);
  perdure_retry_plan_count(&other, 3);
  perdure_retry_plan_exponential(&third, 2 * MS, 2);
  perdure_retry_plan_count(&third, 4);
  perdure_retry_plan_statuses(&other, PERDURE_RETRY_429);
  perdure_retry_plan_statuses(&third, PERDURE_RETRY_503);
  tap_ok(perdure_retry_plan_and_then(&plan, &other, &third) == 0 && DELAYS(0, 1, 1, 2, 4, 8, -1), "and-then");
  tap_ok(plan.statuses == (PERDURE_RETRY_429 | PERDURE_RETRY_503) && plan.name[0] == 0, "the statuses of both, and no name");
  tap_ok(perdure_retry_plan_union(&plan, &other, &third) == 0 && DELAYS(0, 1, 1, 8, -1), "union");
  tap_ok(perdure_retry_plan_intersect(&plan, &other, &third) == 0 && DELAYS(0, 2, 4, -1), "intersect");
  plan = other;
  tap_ok(perdure_retry_plan_and_then(&plan, &plan, &plan) == 0 && DELAYS(0, 1, 1, 1, 1, -1), "into one of them, which is both");
  tap_ok(perdure_retry_plan_and_then(&plan, &plan, &third) == 0 && perdure_retry_plan_count(&plan, 6) == 0 &&
             DELAYS(0, 1, 1, 1, 1, 2, -1),
         "three, and a limit of them all");
}

static void test_misuse(void)
{
  static const struct perdure_retry_plan none;
  const double wrong[] = {0.5, -1, 1000.5, NAN, INFINITY, -INFINITY};
  unsigned accepted = 0;
  perdure_retry_plan_immediate(&plan);
  plan.name[0] = 'x';
  const struct perdure_retry_plan before = plan;
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
    accepted += perdure_retry_plan_exponential(&plan, 1, wrong[i]) != PERDURE_ERROR_ARGUMENT;
  tap_ok(accepted == 0, "factors that mean nothing");
  for (size_t i = 1; i < sizeof wrong / sizeof *wrong; i++)
    accepted += perdure_retry_plan_jitter(&plan, wrong[i]) != PERDURE_ERROR_ARGUMENT;
  tap_ok(accepted == 0, "and jitters");
  tap_ok(perdure_retry_plan_count(&plan, 0) == PERDURE_ERROR_ARGUMENT && perdure_retry_plan_clamp(&plan, 2, 1) == PERDURE_ERROR_ARGUMENT &&
             perdure_retry_plan_statuses(&plan, 16) == PERDURE_ERROR_ARGUMENT &&
             perdure_retry_plan_name(&plan, NULL) == PERDURE_ERROR_ARGUMENT &&
             perdure_retry_plan_name(&plan, "abcdefghijklmnopqrstuvwxyzabcdef") == PERDURE_ERROR_ROOM,
         "limits, statuses and names");
  tap_ok(perdure_retry_plan_never(NULL) == PERDURE_ERROR_ARGUMENT && perdure_retry_plan_count(NULL, 1) == PERDURE_ERROR_ARGUMENT &&
             perdure_retry_plan_name(NULL, "") == PERDURE_ERROR_ARGUMENT && perdure_retry_plan_statuses(NULL, 0) == PERDURE_ERROR_ARGUMENT &&
             perdure_retry_plan_union(NULL, &plan, &plan) == PERDURE_ERROR_ARGUMENT &&
             perdure_retry_plan_union(&plan, NULL, &plan) == PERDURE_ERROR_ARGUMENT &&
             perdure_retry_plan_union(&plan, &plan, NULL) == PERDURE_ERROR_ARGUMENT &&
             perdure_retry_plan_begin(NULL, NULL) == PERDURE_ERROR_ARGUMENT && perdure_retry_plan_set(NULL) == PERDURE_ERROR_ARGUMENT &&
             perdure_retry_plan_get(NULL) == PERDURE_ERROR_ARGUMENT,
         "NULL");
  tap_ok(perdure_retry_plan_union(&plan, &none, &plan) == PERDURE_ERROR_ARGUMENT &&
             perdure_retry_plan_union(&plan, &plan, &none) == PERDURE_ERROR_ARGUMENT && perdure_retry_plan_set(&none) == PERDURE_ERROR_ARGUMENT,
         "zeros are no plan");
  tap_ok(memcmp(&plan, &before, sizeof plan) == 0, "and nothing is changed by any of it");
  for (int i = 0; i < PERDURE_RETRY_LIMITS_MAX; i++)
    accepted += perdure_retry_plan_add(&plan, 1) != 0;
  tap_ok(accepted == 0 && perdure_retry_plan_add(&plan, 1) == PERDURE_ERROR_ROOM, "more limits than there is room for");
  int result = 0;
  for (int i = 0; i < 4; i++)
    result |= perdure_retry_plan_and_then(&plan, &plan, &plan);
  tap_ok(result == 0 && plan.part_count == 31 && sound() && perdure_retry_plan_and_then(&plan, &plan, &plan) == PERDURE_ERROR_ROOM,
         "more parts");
}

/* What a program that fills in the parts itself may give the shim. */
static bool refused(unsigned node, size_t offset, uint32_t value)
{
  struct retry_plan wrong;
  perdure_retry_plan_exponential(&other, 1, 2);
  perdure_retry_plan_clamp(&other, 1, 2);
  perdure_retry_plan_and_then(&plan, &other, &other);
  memcpy(&wrong, &plan, sizeof wrong);
  memcpy((uint8_t *)&wrong.nodes[node] + offset, &value, sizeof value);
  return !retry_plan_sound(&wrong, retry_plan_size(&wrong));
}

static void test_soundness(void)
{
  struct retry_plan wrong;
  tap_ok(refused(0, offsetof(struct retry_node, base), 9) && refused(0, offsetof(struct retry_node, base), UINT32_MAX) &&
             refused(0, offsetof(struct retry_node, factor), 0) && refused(0, offsetof(struct retry_node, limit_count), 9) &&
             refused(0, offsetof(struct retry_node, limits[0].kind), 5) && refused(0, offsetof(struct retry_node, limits[0].value), 3),
         "nodes that mean nothing");
  tap_ok(refused(2, offsetof(struct retry_node, left), 2) && refused(2, offsetof(struct retry_node, left), UINT32_MAX) &&
             refused(2, offsetof(struct retry_node, left), 1) && refused(0, offsetof(struct retry_node, base), RETRY_SAME),
         "and ones that are no tree");
  memcpy(&wrong, &plan, sizeof wrong);
  size_t size = retry_plan_size(&wrong);
  tap_ok(retry_plan_sound(&wrong, size) && !retry_plan_sound(&wrong, size - 1) && !retry_plan_sound(&wrong, size + 1) &&
             !retry_plan_sound(&wrong, 0),
         "sizes");
  memset(wrong.name, 'x', sizeof wrong.name);
  tap_ok(!retry_plan_sound(&wrong, size), "a name without an end");
  memcpy(&wrong, &plan, sizeof wrong);
  wrong.node_count = UINT32_MAX;
  tap_ok(!retry_plan_sound(&wrong, size) && !retry_plan_sound(&wrong, retry_plan_size(&wrong)), "more nodes than there can be");
}

int main(void)
{
  test_bases();
  test_limits();
  test_together();
  test_misuse();
  test_soundness();
  return tap_done();
}
