/* SPDX-License-Identifier: Apache-2.0 */
/* Calls about the process itself that a row alone cannot say. Nothing here outlives the process. */
#include "shim/engine.h"
#include "shim/identity.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/sched.h>

/* Passes, but for the number of this attempt. */
int64_t handle_whose(struct call *call)
{
  call_sign(call);
  return call_run(call);
}

/* The header says whose; the kernel writes the version that it has into it, also when it fails. */
int64_t handle_capability(struct call *call)
{
  struct __user_cap_header_struct *header = (struct __user_cap_header_struct *)call->args[0];
  if (!header)
    return -EFAULT;
  call_sign(call);
  call->signature = hash_mix(hash_mix(call->signature, header->version), (uint32_t)header->pid) | 1;
  const struct journal_entry *entry = engine_live() ? NULL : replay_take(call, JOURNAL_COMPLETE);
  if (entry && call->id == SYS_capget) {
    int64_t result = replay_deliver(call, entry);
    replay_advance(entry);
    return result;
  }
  struct __user_cap_header_struct real = *header;
  struct call translated = *call;
  real.pid = (int)identity_real(header->pid);
  translated.args[0] = (uint64_t)&real;
  crash_point();
  int64_t result = call_run(&translated);
  crash_point();
  header->version = real.version;
  if (entry) {
    if (result != entry->result)
      engine_failed(TAIL_REPORT_FAILED, "a call that only concerns the process gave another result than before: ",
                    call_shape_name(call->id), result);
    replay_advance(entry);
    return result;
  }
  struct draft draft;
  size_t sets = real.version == _LINUX_CAPABILITY_VERSION_1 ? 1 : 2;
  draft_begin(&draft, call, JOURNAL_COMPLETE, result);
  draft_add(&draft, SEGMENT_OUTPUT, 0, header, sizeof *header);
  if (result == 0 && call->id == SYS_capget && call->args[1])
    draft_add(&draft, SEGMENT_OUTPUT, 1, (const void *)call->args[1],
              sets * sizeof(struct __user_cap_data_struct));
  draft_append(&draft);
  return result;
}

/* Where there is too little room, the kernel says how much it takes. */
int64_t handle_room(struct call *call)
{
  unsigned place = 0;
  while (CALL_ARG_KIND(call->shape->args[place]) != ARG_OUT_VALUE)
    place++;
  unsigned length = CALL_ARG_OTHER(call->shape->args[place]);
  call_sign(call);
  int64_t result;
  if (replay_answers(call, &result))
    return result;
  struct draft draft;
  result = observe_begin(call, &draft);
  draft_add_outputs(&draft, call);
  if (result == -E2BIG)
    draft_add(&draft, SEGMENT_OUTPUT, length, (const void *)call->args[length], sizeof(uint32_t));
  draft_append(&draft);
  return result;
}

#define NAMESPACES \
  (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET | \
   CLONE_NEWTIME)

/* As a kernel without namespaces. */
int64_t handle_unshare(struct call *call)
{
  return call->args[0] & NAMESPACES ? -EINVAL : local(call);
}

/* Replay with several threads, where no SIGNAL says which handler runs: a signal that the program has sent itself
 * waits in the kernel again. Its handler runs here, where it ran, before the call comes back; and what the handler does
 * comes before the call in the journal. */
int64_t handle_suspend(struct call *call)
{
  uint64_t pending = 0;
  const uint64_t *mask = (const uint64_t *)call->args[0];
  if (engine_live() || !engine.threaded || !mask || call->args[1] != sizeof *mask)
    return observe(call);
  raw_syscall2(SYS_rt_sigpending, (uint64_t)&pending, sizeof pending);
  if (!(pending & ~*mask))
    return observe(call);
  call_sign(call);
  int64_t result = call_run(call);
  const struct journal_entry *entry = engine_live() ? NULL : replay_take(call, JOURNAL_COMPLETE);
  if (entry)
    replay_advance(entry);
  else
    record_complete(call, result);
  return result;
}
