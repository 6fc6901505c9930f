/* SPDX-License-Identifier: Apache-2.0 */
/* setuid and all its relatives. A program that gives up its rights keeps what it had opened with them; the next
 * attempt opens that again when replay ends, and needs the rights until then. So replay only notes the call, and
 * makes it when the files are there. Of several threads each has its own: there they are made at once.
 *
 * Killed at any line, they were the process's, and the next attempt begins with those of whoever starts it. */
#include "shim/credentials.h"

#include "shim/engine.h"

#include <sys/prctl.h>

#define NOTED_MAX 64
#define GROUPS_MAX 64

static struct noted {
  uint64_t args[3];
  int64_t result;
  uint16_t id;
} noted[NOTED_MAX] LARGE_TABLE;
static unsigned count;
LARGE_TABLE static uint32_t groups[GROUPS_MAX]; /* of the last setgroups */

/* The kernel forgets, when a process becomes another user, that it dies with its supervisor. */
static void stay_bound(uint64_t signal)
{
  if (signal)
    raw_syscall2(SYS_prctl, PR_SET_PDEATHSIG, signal);
}

static uint64_t bound_by(void)
{
  int signal = 0;
  raw_syscall2(SYS_prctl, PR_GET_PDEATHSIG, (uint64_t)&signal);
  return (uint64_t)signal;
}

static int64_t make(struct call *call)
{
  uint64_t signal = bound_by();
  int64_t result = local(call);
  stay_bound(signal);
  return result;
}

static bool can_wait(const struct call *call)
{
  return !engine.threaded && count < NOTED_MAX && (call->id != SYS_setgroups || call->args[0] <= GROUPS_MAX);
}

static void note(const struct call *call, int64_t result)
{
  struct noted *last = &noted[count++];
  *last = (struct noted){{call->args[0], call->args[1], call->args[2]}, result, call->id};
  if (call->id != SYS_setgroups)
    return;
  raw_copy(groups, (const void *)call->args[1], call->args[0] * sizeof *groups);
  last->args[1] = (uint64_t)groups;
  /* Only the last list is kept; an earlier one has no effect any more. */
  for (struct noted *earlier = noted; earlier < last; earlier++)
    if (earlier->id == SYS_setgroups)
      earlier->args[0] = last->args[0];
}

int64_t handle_credentials(struct call *call)
{
  if (engine_live() || !can_wait(call))
    return make(call);
  call_sign(call);
  const struct journal_entry *entry = replay_take(call, JOURNAL_COMPLETE);
  if (!entry)
    return make(call);
  int64_t result = entry->result;
  if (!raw_is_error(result))
    note(call, result);
  replay_advance(entry);
  return result;
}

void credentials_go_live(void)
{
  uint64_t signal = count ? bound_by() : 0;
  for (unsigned i = 0; i < count; i++) {
    int64_t result = raw_syscall3(noted[i].id, noted[i].args[0], noted[i].args[1], noted[i].args[2]);
    if (result != noted[i].result)
      engine_failed(TAIL_REPORT_FAILED, "the process cannot become the user that it was: ",
                    call_shape_name(noted[i].id), result);
  }
  stay_bound(signal);
  count = 0;
}
