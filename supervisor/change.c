/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/change.h"

#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>

#include "journal/call_table.h"

#define NONE CHANGE_ARG_NONE

static const struct change changes[] = {
    {SYS_open, CHANGE_OPEN, 0, NONE, 1},
    {SYS_openat, CHANGE_OPEN, 1, NONE, 2},
    {SYS_openat2, CHANGE_OPEN, 1, NONE, 2},
    {SYS_creat, CHANGE_OPEN, 0, NONE, NONE},

    {SYS_rename, CHANGE_RENAME, 0, 1, NONE},
    {SYS_renameat, CHANGE_RENAME, 1, 3, NONE},
    {SYS_renameat2, CHANGE_RENAME, 1, 3, 4},
    {SYS_link, CHANGE_LINK, 0, 1, NONE},
    {SYS_linkat, CHANGE_LINK, 1, 3, 4},
    {SYS_symlink, CHANGE_SYMLINK, 0, 1, NONE},
    {SYS_symlinkat, CHANGE_SYMLINK, 0, 2, NONE},
    {SYS_mkdir, CHANGE_MAKE, 0, NONE, NONE},
    {SYS_mkdirat, CHANGE_MAKE, 1, NONE, NONE},
    {SYS_mknod, CHANGE_MAKE, 0, NONE, 1},
    {SYS_mknodat, CHANGE_MAKE, 1, NONE, 2},
    {SYS_unlink, CHANGE_REMOVE, 0, NONE, NONE},
    {SYS_unlinkat, CHANGE_REMOVE, 1, NONE, 2},
    {SYS_rmdir, CHANGE_REMOVE, 0, NONE, NONE},

    {SYS_bind, CHANGE_BIND, 1, NONE, NONE},

    {SYS_write, CHANGE_WRITE, NONE, NONE, NONE},
    {SYS_pwrite64, CHANGE_WRITE, NONE, NONE, NONE},
    {SYS_writev, CHANGE_WRITE, NONE, NONE, NONE},
    {SYS_pwritev, CHANGE_WRITE, NONE, NONE, NONE},
    {SYS_pwritev2, CHANGE_WRITE, NONE, NONE, NONE},
    {SYS_copy_file_range, CHANGE_WRITE, NONE, NONE, NONE},
    {SYS_sendfile, CHANGE_WRITE, NONE, NONE, NONE},
    {SYS_splice, CHANGE_WRITE, NONE, NONE, NONE},
    {SYS_tee, CHANGE_WRITE, NONE, NONE, NONE},
    {SYS_vmsplice, CHANGE_WRITE, NONE, NONE, NONE},

    {SYS_truncate, CHANGE_RESIZE, 0, NONE, NONE},
    {SYS_ftruncate, CHANGE_RESIZE, 0, NONE, NONE},
    {SYS_fallocate, CHANGE_RESIZE, 0, NONE, 1},

    {SYS_chmod, CHANGE_ATTRIBUTE, 0, NONE, NONE},
    {SYS_fchmod, CHANGE_ATTRIBUTE, 0, NONE, NONE},
    {SYS_fchmodat, CHANGE_ATTRIBUTE, 1, NONE, NONE},
    {SYS_chown, CHANGE_ATTRIBUTE, 0, NONE, NONE},
    {SYS_lchown, CHANGE_ATTRIBUTE, 0, NONE, NONE},
    {SYS_fchown, CHANGE_ATTRIBUTE, 0, NONE, NONE},
    {SYS_fchownat, CHANGE_ATTRIBUTE, 1, NONE, NONE},
    {SYS_utime, CHANGE_ATTRIBUTE, 0, NONE, NONE},
    {SYS_utimes, CHANGE_ATTRIBUTE, 0, NONE, NONE},
    {SYS_futimesat, CHANGE_ATTRIBUTE, 1, NONE, NONE},
    {SYS_utimensat, CHANGE_ATTRIBUTE, 1, NONE, NONE},
    {SYS_setxattr, CHANGE_ATTRIBUTE, 0, NONE, NONE},
    {SYS_lsetxattr, CHANGE_ATTRIBUTE, 0, NONE, NONE},
    {SYS_fsetxattr, CHANGE_ATTRIBUTE, 0, NONE, NONE},
    {SYS_removexattr, CHANGE_ATTRIBUTE, 0, NONE, NONE},
    {SYS_lremovexattr, CHANGE_ATTRIBUTE, 0, NONE, NONE},
    {SYS_fremovexattr, CHANGE_ATTRIBUTE, 0, NONE, NONE},
    {452, CHANGE_ATTRIBUTE, 1, NONE, NONE}, /* fchmodat2, and others younger than the headers */
    {463, CHANGE_ATTRIBUTE, 1, NONE, NONE}, /* setxattrat */
    {466, CHANGE_ATTRIBUTE, 1, NONE, NONE}, /* removexattrat */
    {469, CHANGE_ATTRIBUTE, 1, NONE, NONE}, /* file_setattr */

    {SYS_fsync, CHANGE_SYNC, NONE, NONE, NONE},
    {SYS_fdatasync, CHANGE_SYNC, NONE, NONE, NONE},
    {SYS_sync_file_range, CHANGE_SYNC, NONE, NONE, NONE},
    {SYS_syncfs, CHANGE_SYNC, NONE, NONE, NONE},
    {SYS_sync, CHANGE_SYNC, NONE, NONE, NONE},
    {SYS_msync, CHANGE_SYNC, NONE, NONE, NONE},

    {SYS_nanosleep, CHANGE_SLEEP, NONE, NONE, NONE},
    {SYS_clock_nanosleep, CHANGE_SLEEP, NONE, NONE, NONE},
    {SYS_fork, CHANGE_FORK, NONE, NONE, NONE},
    {SYS_vfork, CHANGE_FORK, NONE, NONE, NONE},
    {SYS_clone, CHANGE_FORK, NONE, NONE, NONE},
    {SYS_execve, CHANGE_EXEC, 0, NONE, NONE},
    {SYS_execveat, CHANGE_EXEC, 1, NONE, NONE},
};
static const struct change change_other = {0, CHANGE_OTHER, NONE, NONE, NONE};
static const struct change change_exchange = {CALL_ID_EXCHANGE, CHANGE_EXCHANGE, NONE, NONE, NONE};

#define CHANGE_COUNT (sizeof changes / sizeof *changes)

const struct change *change_of(unsigned call)
{
  /* By call number; filled on the first use, with the same values whoever fills it. */
  static uint8_t rows[CALL_ID_SYSTEM_MAX + 1];
  if (!rows[SYS_open])
    for (size_t i = CHANGE_COUNT; i-- > 0;)
      rows[changes[i].call] = (uint8_t)(i + 1);
  if (call == CALL_ID_EXCHANGE)
    return &change_exchange;
  if (call > CALL_ID_SYSTEM_MAX || !rows[call])
    return &change_other;
  return &changes[rows[call] - 1];
}

uint64_t entry_arg(const struct journal_entry *entry, unsigned arg)
{
  return arg < journal_arg_count(entry) ? entry->args[arg] : 0;
}

uint64_t change_open_flags(const struct change *change, const struct journal_entry *intent)
{
  if (change->call == SYS_creat)
    return O_CREAT | O_WRONLY | O_TRUNC;
  if (change->call != SYS_openat2)
    return entry_arg(intent, change->flags);
  const struct journal_segment *how = journal_find_segment(intent, SEGMENT_INPUT, change->flags);
  uint64_t flags = 0; /* the first member of struct open_how */
  if (how && how->length >= sizeof flags)
    memcpy(&flags, how->data, sizeof flags);
  return flags;
}

bool change_remote(const struct journal_entry *intent)
{
  const struct journal_segment *segment = journal_find_segment(intent, SEGMENT_WRITTEN, -1);
  if (segment && segment->length == sizeof(struct journal_written)) {
    /* The same call may write to a socket or a file; and what is written to an object that the run
     * was started with is output, whatever call it is. */
    struct journal_written written;
    memcpy(&written, segment->data, sizeof written);
    return written.remote;
  }
  /* A connection without bytes, or its end, is nobody's effect: whoever has it sees it break. */
  if (intent->call == SYS_connect || intent->call == SYS_shutdown)
    return false;
  if (intent->call == CALL_ID_EXCHANGE && entry_arg(intent, 0) & JOURNAL_EXCHANGE_SAFE)
    return false;
  /* What it does, nobody sees. */
  if (journal_find_segment(intent, SEGMENT_OPAQUE, -1))
    return true;
  const struct call_row *row = call_table_find(intent->call);
  return row && row->class == CALL_CLASS_CHANGE_REMOTE;
}
