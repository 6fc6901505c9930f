/* SPDX-License-Identifier: Apache-2.0 */
/* Calls that change what several processes have, in the way that replay makes again by making them. Where a call
 * may change something of its own as well as something shared, it is taken as shared. */
#include "supervisor/inherited.h"

#include "supervisor/change.h"

#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

static bool sends_signal(unsigned call)
{
  switch (call) {
  case SYS_kill:
  case SYS_tkill:
  case SYS_tgkill:
  case SYS_rt_sigqueueinfo:
  case SYS_rt_tgsigqueueinfo:
  case SYS_pidfd_send_signal:
    return true;
  }
  return false;
}

bool inherited_changes(const struct journal_entry *entry)
{
  uint64_t second = entry_arg(entry, 1);
  /* Whether its target has had it shows only in replay. */
  if (entry->kind == JOURNAL_INTENT && sends_signal(entry->call))
    return true;
  switch (entry->call) {
  case SYS_fcntl:
    return second == F_SETFL || second == F_SETOWN || second == F_SETSIG || second == F_SETLEASE ||
           second == F_NOTIFY || second == F_SETPIPE_SZ || second == F_OFD_SETLK || second == F_OFD_SETLKW;
  case SYS_ioctl:
    return second == FIONBIO || second == FIOASYNC || second == TCSETS || second == TCSETSW || second == TCSETSF ||
           second == TIOCSWINSZ;
  case SYS_flock:
  case SYS_splice:
  case SYS_tee:
  case SYS_vmsplice:
  case SYS_sendfile:
  case SYS_epoll_ctl:
  case SYS_inotify_add_watch:
  case SYS_inotify_rm_watch:
  case SYS_timerfd_settime:
  case SYS_sendto:
  case SYS_sendmsg:
  case SYS_sendmmsg:
  case SYS_recvfrom:
  case SYS_recvmsg:
  case SYS_recvmmsg:
  case SYS_accept:
  case SYS_accept4:
  case SYS_bind:
  case SYS_listen:
  case SYS_setsockopt:
  case SYS_shutdown:
    return true;
  }
  const struct journal_segment *segment = journal_find_segment(entry, SEGMENT_CHANNEL, -1);
  struct journal_source channel;
  if (!segment)
    return false;
  memcpy(&channel, segment->data, sizeof channel);
  return !channel.inode;
}
