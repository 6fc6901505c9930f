/* SPDX-License-Identifier: Apache-2.0 */
/* What entries tell of signals. Nothing here changes anything. */
#include "shim/signals.h"

#include <sys/signalfd.h>

bool signals_told(const struct journal_entry *entry, int number)
{
  if (entry->kind == JOURNAL_SIGNAL)
    return journal_arg_count(entry) > 0 && (int)entry->args[0] == number;
  if (entry->call == SYS_rt_sigtimedwait)
    return entry->result == number;
  const struct journal_segment *read =
      entry->call == SYS_read ? journal_find_segment(entry, SEGMENT_OUTPUT, 1) : NULL;
  return read && read->length % sizeof(struct signalfd_siginfo) == 0 && read->length &&
         ((const struct signalfd_siginfo *)read->data)->ssi_signo == (uint32_t)number;
}

bool signals_tell_next(uint64_t id, bool at_end)
{
  const struct journal_entry *entry = replay_own_next();
  if (entry && entry->kind == JOURNAL_SIGNAL)
    return journal_arg_count(entry) > 2 && entry->args[2] == id;
  return entry ? entry->call == id : at_end;
}
