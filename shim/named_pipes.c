/* SPDX-License-Identifier: Apache-2.0 */
/* Killed at any line: what stands for the pipes is the attempt's own, and the pipe itself holds nothing when nobody has it open. */
#include "shim/named_pipes.h"

#include "shim/channels.h"
#include "shim/descriptors.h"
#include "shim/paths.h"
#include "shim/stores.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

enum { READING, WRITING };
/* How long the others are waited for: until then all have come past their replay, unless one is stopped. */
#define LOOK_NS 1000000l
#define LOOKS_MAX 5000

static struct store_id id_of(const struct tail_named_pipe *pipe)
{
  return (struct store_id){pipe->device, pipe->inode, pipe->birth_ns};
}

static struct tail_named_pipe *find(uint64_t device, uint64_t inode, bool stand)
{
  struct tail_header *header = engine.tail.header;
  for (uint32_t i = 0; i < header->named_pipe_count; i++) {
    struct tail_named_pipe *pipe = &header->named_pipes[i];
    if ((stand ? pipe->stand_inode : pipe->inode) == inode && (stand ? pipe->stand_device : pipe->device) == device)
      return pipe;
  }
  return NULL;
}

static struct tail_named_pipe *pipe_of(int fd)
{
  const struct descriptor *descriptor = descriptor_get(fd);
  return find(descriptor->device, descriptor->inode, false);
}

static int64_t open_stand(const struct tail_named_pipe *pipe, uint64_t flags)
{
  char path[PATH_ROOM + 128];
  struct store_id id = id_of(pipe);
  store_path(STORE_PIPE, &id, path);
  return open_aside(AT_FDCWD, path, flags | O_NONBLOCK, 0);
}

/* Has anybody its end for reading, or for writing, of what stands for it? Nothing is taken from it where it is empty. */
static bool stand_is_open(const struct tail_named_pipe *pipe, unsigned side)
{
  uint8_t byte;
  int unread = 0;
  int64_t fd = open_stand(pipe, side == READING ? O_WRONLY : O_RDONLY);
  if (fd < 0)
    return false;
  bool open = side == READING;
  if (side == WRITING)
    open = (raw_syscall3(SYS_ioctl, (uint64_t)fd, FIONREAD, (uint64_t)&unread) == 0 && unread) ||
           raw_syscall3(SYS_read, (uint64_t)fd, (uint64_t)&byte, 1) == -EAGAIN;
  raw_syscall1(SYS_close, (uint64_t)fd);
  return open;
}

/* One side has waited for the other, of which the journal has no open: that one was in its call. */
static bool is_owed(const struct tail_named_pipe *pipe, unsigned side)
{
  return pipe->waited[!side] && !atomic_load(&pipe->opens[side]);
}

/* ---- replay ---- */

static const struct journal_file *file_of(const struct journal_entry *outcome)
{
  const struct journal_segment *segment = journal_find_segment(outcome, SEGMENT_FILE, 0);
  return segment ? (const struct journal_file *)segment->data : NULL;
}

bool named_pipe_opened(const struct journal_entry *outcome, uint64_t flags)
{
  const struct journal_file *file = file_of(outcome);
  return file && S_ISFIFO(file->mode) && !(flags & O_PATH);
}

static struct tail_named_pipe *make(const struct journal_file *file)
{
  struct tail_header *header = engine.tail.header;
  const struct feed_file *found = feed_find_primary(file->device, file->inode, file->birth_ns);
  struct tail_named_pipe made = {.device = file->device, .inode = file->inode, .birth_ns = file->birth_ns};
  if (found) {
    made.device = found->device;
    made.inode = found->inode;
    made.birth_ns = found->birth_ns;
  }
  struct tail_named_pipe *known = find(made.device, made.inode, false);
  if (known)
    return known;
  if (header->named_pipe_count == TAIL_NAMED_PIPE_MAX)
    engine_failed(TAIL_REPORT_FAILED, "the run has had more named pipes open than can be made again", "", TAIL_NAMED_PIPE_MAX);
  struct store_id id = id_of(&made);
  char path[PATH_ROOM + 128];
  struct journal_file stand;
  store_make_pipe(&id);
  store_path(STORE_PIPE, &id, path);
  int64_t result = file_look(AT_FDCWD, path, 0, &stand);
  if (result < 0)
    engine_failed(TAIL_REPORT_FAILED, "what stands for a named pipe cannot be looked at: ", path, result);
  made.stand_device = stand.device;
  made.stand_inode = stand.inode;
  header->named_pipes[header->named_pipe_count] = made;
  return &header->named_pipes[header->named_pipe_count++];
}

static void begin_anew(struct tail_named_pipe *pipe)
{
  struct store_id id = id_of(pipe);
  if (pipe->owed)
    store_truncate(STORE_OWED, &id, 0);
  pipe->owed = 0;
  for (unsigned side = 0; side < 2; side++) {
    atomic_store(&pipe->opens[side], 0);
    pipe->waited[side] = 0;
  }
  channel_forget_ahead(pipe->inode);
}

/* What is in the file goes into the pipe. */
static void fill_from(int64_t from, int64_t to)
{
  uint8_t bytes[4096];
  int64_t got;
  while ((got = raw_syscall3(SYS_read, (uint64_t)from, (uint64_t)bytes, sizeof bytes)) > 0)
    channel_fill((int)to, bytes, (uint64_t)got);
}

static void pay(struct tail_named_pipe *pipe, int64_t to)
{
  struct store_id id = id_of(pipe);
  if (!pipe->owed)
    return;
  int64_t from = store_open(STORE_OWED, &id);
  fill_from(from, to);
  raw_syscall1(SYS_close, (uint64_t)from);
  store_truncate(STORE_OWED, &id, 0);
  pipe->owed = 0;
}

static bool has_side(uint64_t flags, unsigned side)
{
  uint64_t mode = flags & O_ACCMODE;
  return mode == O_RDWR || mode == (side == READING ? O_RDONLY : O_WRONLY);
}

int64_t named_pipe_open_again(const struct journal_entry *outcome, uint64_t flags)
{
  struct tail_named_pipe *pipe = make(file_of(outcome));
  bool waits = (flags & O_ACCMODE) != O_RDWR && !(flags & O_NONBLOCK);
  if (!is_owed(pipe, READING) && !is_owed(pipe, WRITING) && !stand_is_open(pipe, READING) && !stand_is_open(pipe, WRITING))
    begin_anew(pipe);
  int64_t both = open_stand(pipe, O_RDWR);
  int64_t fd = open_stand(pipe, flags & (O_ACCMODE | O_APPEND));
  if (both < 0 || fd < 0)
    engine_failed(TAIL_REPORT_FAILED, "what stands for a named pipe cannot be opened", "", both < 0 ? both : fd);
  if (has_side(flags, READING))
    pay(pipe, both);
  raw_syscall1(SYS_close, (uint64_t)both);
  if (!(flags & O_NONBLOCK))
    raw_syscall3(SYS_fcntl, (uint64_t)fd, F_SETFL, flags & O_APPEND);
  if (!(flags & O_CLOEXEC))
    raw_syscall3(SYS_fcntl, (uint64_t)fd, F_SETFD, 0);
  for (unsigned side = 0; side < 2; side++)
    if (has_side(flags, side)) {
      atomic_fetch_add(&pipe->opens[side], 1);
      pipe->waited[side] += waits;
    }
  return fd;
}

bool named_pipe_tell(struct descriptor *descriptor)
{
  const struct tail_named_pipe *pipe = find(descriptor->device, descriptor->inode, true);
  if (!pipe)
    return false;
  descriptor->kind = DESCRIPTOR_NAMED_PIPE;
  descriptor->device = pipe->device;
  descriptor->inode = pipe->inode;
  descriptor->birth_ns = pipe->birth_ns;
  return true;
}

bool named_pipe_has_writer(int fd)
{
  return atomic_load(&pipe_of(fd)->opens[WRITING]);
}

void named_pipe_owe(int fd, const struct io_vector *pieces, uint64_t count, uint64_t skip, uint64_t length)
{
  struct tail_named_pipe *pipe = pipe_of(fd);
  struct store_id id = id_of(pipe);
  if (atomic_load(&pipe->opens[READING]))
    return;
  for (uint64_t i = 0; i < count && length; i++) {
    uint64_t from = skip < pieces[i].length ? skip : pieces[i].length;
    uint64_t part = pieces[i].length - from < length ? pieces[i].length - from : length;
    store_write(STORE_OWED, &id, pipe->owed, pieces[i].base + from, part);
    pipe->owed += part;
    skip -= from;
    length -= part;
  }
}

/* ---- going live ---- */

/* Of this process, while it goes live: both ends of those that it has open, and which of them it needs. */
static struct {
  int64_t fd[TAIL_NAMED_PIPE_MAX]; /* 0: none */
  uint8_t sides[TAIL_NAMED_PIPE_MAX];
} held;

static const char *name_of(const struct tail_named_pipe *pipe)
{
  const struct feed_file *found = feed_find_primary(pipe->device, pipe->inode, pipe->birth_ns);
  return found && found->path && !(found->flags & FEED_FILE_GHOST) ? feed_at(found->path) : NULL;
}

/* Above the program's numbers. */
static int64_t out_of_the_way(int64_t fd)
{
  int64_t high = fd < 0 ? fd : raw_syscall3(SYS_fcntl, (uint64_t)fd, F_DUPFD_CLOEXEC, (uint64_t)engine.tail.header->lock_fd - 1);
  if (high < 0)
    return fd;
  raw_syscall1(SYS_close, (uint64_t)fd);
  return high;
}

/* Both ends of the pipe itself, which the first who comes fills with what was left unread. */
static int64_t hold(struct tail_named_pipe *pipe, int dirfd, const char *path)
{
  uint32_t none = 0;
  bool first = atomic_compare_exchange_strong(&pipe->moved, &none, 1);
  int unread = 0;
  /* Without a reader there is none to open; so this tells, and disturbs nobody. */
  int64_t reader = first ? open_aside(dirfd, path, O_WRONLY | O_NONBLOCK, 0) : -1;
  int64_t both = open_aside(dirfd, path, O_RDWR | O_NONBLOCK, 0);
  if (both < 0)
    engine_failed(TAIL_REPORT_INPUT, "a named pipe that the run has open is missing, or may not be opened: ", path, both);
  raw_syscall3(SYS_ioctl, (uint64_t)both, FIONREAD, (uint64_t)&unread);
  if (first && reader < 0 && !unread) {
    int64_t stand = open_stand(pipe, O_RDONLY);
    fill_from(stand, both);
    raw_syscall1(SYS_close, (uint64_t)stand);
    pay(pipe, both);
  }
  if (reader >= 0)
    raw_syscall1(SYS_close, (uint64_t)reader);
  if (first)
    atomic_store(&pipe->moved, 2);
  for (int looks = 0; atomic_load(&pipe->moved) != 2 && looks < LOOKS_MAX; looks++)
    engine_nap(LOOK_NS);
  return out_of_the_way(both);
}

static void replace(int fd, void *context)
{
  (void)context;
  if (descriptor_get(fd)->kind != DESCRIPTOR_NAMED_PIPE)
    return;
  struct tail_named_pipe *pipe = pipe_of(fd);
  uint64_t flags = (uint64_t)raw_syscall2(SYS_fcntl, (uint64_t)fd, F_GETFL);
  const char *path = name_of(pipe);
  uint32_t index = (uint32_t)(pipe - engine.tail.header->named_pipes);
  /* Nobody can open one without a name: what stands for it goes on as it. */
  if (!path)
    return;
  if (!held.fd[index])
    held.fd[index] = hold(pipe, AT_FDCWD, path);
  int64_t real = open_aside(AT_FDCWD, path, flags & (O_ACCMODE | O_APPEND | O_NONBLOCK | O_DIRECT), 0);
  if (real < 0)
    engine_failed(TAIL_REPORT_INPUT, "a named pipe that the run has open is missing, or may not be opened: ", path, real);
  uint64_t close_on_exec = (uint64_t)raw_syscall2(SYS_fcntl, (uint64_t)fd, F_GETFD) & FD_CLOEXEC;
  raw_syscall3(SYS_dup3, (uint64_t)real, (uint64_t)fd, close_on_exec ? O_CLOEXEC : 0);
  raw_syscall1(SYS_close, (uint64_t)real);
  descriptor_forget(fd);
  for (unsigned side = 0; side < 2; side++)
    held.sides[index] |= (uint8_t)(has_side(flags, side) << side);
}

void named_pipes_go_live(void)
{
  if (engine.tail.header->named_pipe_count)
    each_descriptor(replace, NULL);
}

static bool all_are_live(void)
{
  const struct tail_header *header = engine.tail.header;
  if (atomic_load(&header->opening))
    return false;
  for (uint32_t i = 0; i < atomic_load(&header->process_end); i++) {
    const struct tail_process *process = &header->processes[i];
    int32_t real = atomic_load(&process->real);
    if (atomic_load(&process->taken) && real && !atomic_load(&process->ended) && !atomic_load(&process->live) &&
        !atomic_load(&process->opaque) && raw_syscall2(SYS_kill, (uint64_t)real, 0) == 0)
      return false;
  }
  return true;
}

/* Until who has the other side has it of the pipe itself; or, where its open was under way, has made it. */
static void await(const struct tail_named_pipe *pipe, unsigned sides)
{
  for (int looks = 0; looks < LOOKS_MAX; looks++) {
    bool waits = false;
    for (unsigned side = 0; side < 2; side++)
      waits = waits || (sides & 1u << !side &&
                        (stand_is_open(pipe, side) || (is_owed(pipe, side) && !all_are_live())));
    if (!waits)
      return;
    engine_nap(LOOK_NS);
  }
}

void named_pipes_let_go(void)
{
  const struct tail_header *header = engine.tail.header;
  for (uint32_t i = 0; i < header->named_pipe_count; i++) {
    if (!held.fd[i])
      continue;
    await(&header->named_pipes[i], held.sides[i]);
    raw_syscall1(SYS_close, (uint64_t)held.fd[i]);
    held.fd[i] = 0;
  }
}

void named_pipe_before_open(int dirfd, const char *path, uint64_t flags, struct named_pipe_hold *ret_hold)
{
  struct journal_file file;
  if (!engine.tail.header->named_pipe_count || (flags & O_ACCMODE) == O_RDWR || flags & (O_NONBLOCK | O_PATH) ||
      file_look(dirfd, path, 0, &file) != 0 || !S_ISFIFO(file.mode))
    return;
  struct tail_named_pipe *pipe = find(file.device, file.inode, false);
  unsigned side = has_side(flags, READING) ? READING : WRITING;
  uint32_t none = 0;
  if (!pipe || !is_owed(pipe, side))
    return;
  *ret_hold = (struct named_pipe_hold){hold(pipe, dirfd, path), pipe, side};
  atomic_compare_exchange_strong(&pipe->opens[side], &none, 1);
}

void named_pipe_after_open(struct named_pipe_hold *hold)
{
  if (hold->fd < 0)
    return;
  await(hold->pipe, 1u << hold->side);
  raw_syscall1(SYS_close, (uint64_t)hold->fd);
}
