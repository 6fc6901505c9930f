/* SPDX-License-Identifier: Apache-2.0 */
/* Writes one value of meta. A crash before it leaves the clock of the failure before: the time since counts with the next one. */
#include "supervisor/retry_clock.h"

#include "supervisor/boot_id.h"
#include "supervisor/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#define CLOCK_KEY "retry_clock"

static uint64_t difference(int64_t from, int64_t to)
{
  return to > from ? (uint64_t)to - (uint64_t)from : 0;
}

uint64_t retry_elapsed_ns(const struct retry_moment *then, const struct retry_moment *now)
{
  uint64_t wall = difference(then->wall_ns, now->wall_ns);
  if (strcmp(then->boot, now->boot) == 0)
    return difference(then->boot_ns, now->boot_ns);
  if (strcmp(then->node, now->node) == 0 && now->boot_ns > 0 && wall < (uint64_t)now->boot_ns)
    return (uint64_t)now->boot_ns;
  return wall;
}

struct retry_clock retry_clock_advance(const struct retry_clock *before, uint64_t place, const struct retry_moment *now)
{
  struct retry_clock clock = {.place = place, .moment = *now};
  if (before != NULL && before->place == place &&
      __builtin_add_overflow(before->spent_ns, retry_elapsed_ns(&before->moment, now), &clock.spent_ns))
    clock.spent_ns = UINT64_MAX;
  return clock;
}

int retry_moment_now(struct retry_moment *ret_moment)
{
  struct retry_moment moment = {.boot_ns = clock_ns(CLOCK_BOOTTIME), .wall_ns = clock_ns(CLOCK_REALTIME)};
  struct utsname name;
  uint8_t boot[16];
  int error = boot_id_read(boot);
  if (error < 0)
    return error;
  for (size_t i = 0; i < sizeof boot; i++)
    snprintf(moment.boot + 2 * i, 3, "%02x", boot[i]);
  if (uname(&name) == 0)
    snprintf(moment.node, sizeof moment.node, "%.64s", name.nodename);
  *ret_moment = moment;
  return 0;
}

int retry_clock_load(struct store *store, struct retry_clock *ret_clock, bool *ret_known, struct failure *failure)
{
  struct retry_clock clock = {0};
  struct failure missing;
  char *text;
  int error = store_meta_text(store, CLOCK_KEY, &text, &missing);
  *ret_known = false;
  if (error == -ENOENT)
    return 0;
  if (error < 0)
    return failure_set(failure, error, "%s", missing.text);
  int count = sscanf(text, "%" SCNu64 " %" SCNu64 " %32s %" SCNd64 " %" SCNd64 " %64s", &clock.place, &clock.spent_ns,
                     clock.moment.boot, &clock.moment.boot_ns, &clock.moment.wall_ns, clock.moment.node);
  free(text);
  if (count < 5) /* a machine may be without a name */
    return failure_set(failure, -EBADMSG, "the store's %s makes no sense; run `perdure verify`", CLOCK_KEY);
  *ret_clock = clock;
  *ret_known = true;
  return 0;
}

int retry_clock_save(struct store *store, const struct retry_clock *clock, struct failure *failure)
{
  char text[256];
  snprintf(text, sizeof text, "%" PRIu64 " %" PRIu64 " %s %" PRId64 " %" PRId64 " %s", clock->place, clock->spent_ns,
           clock->moment.boot, clock->moment.boot_ns, clock->moment.wall_ns, clock->moment.node);
  return store_meta_set_text(store, CLOCK_KEY, text, failure);
}
