/* SPDX-License-Identifier: Apache-2.0 */
/* Killed at any line, watches are gone, and the next attempt makes them again. */
#include "shim/watches.h"

#include "shim/descriptors.h"
#include "shim/paths.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/inotify.h>

#define WATCH_MAX 256
/* What stands for a path that is gone: no other watch may be on the same file. */
#define STAND_INS_MAX 1024

/* A watch of the replay; path: in the feed, as the program gave it, below `directory`. */
struct watch {
  int32_t fd, number;
  uint32_t mask;
  char path[512];
};

LARGE_TABLE static struct watch watches[WATCH_MAX];
static unsigned watch_count;

/* Watches on which an event stands for IN_Q_OVERFLOW; 0: told. */
LARGE_TABLE static _Atomic int32_t overflows[WATCH_MAX];
static _Atomic uint32_t overflow_count;

static int64_t add_watch(int fd, const char *path, uint64_t mask)
{
  return raw_syscall3(SYS_inotify_add_watch, (uint64_t)fd, (uint64_t)path, mask);
}

/* ---- replay ---- */

/* A file of the run's own, for a number whose path is gone or means something else by now. */
static int64_t watch_stand_in(int fd, uint64_t mask)
{
  static unsigned made;
  char path[PATH_ROOM + 64];
  if (made == STAND_INS_MAX)
    return -ENOSPC;
  size_t used = path_put_text(path, 0, engine.tail.header->run_directory);
  used = path_put_text(path, used, "/kept/watch-");
  used = path_put_number(path, used, engine.tail.header->attempt, 16);
  used = path_put_text(path, used, "-");
  path_put_number(path, used, made++, 16);
  int64_t file = open_aside(AT_FDCWD, path, O_RDONLY | O_CREAT, 0600);
  if (file < 0)
    return file;
  raw_syscall1(SYS_close, (uint64_t)file);
  return add_watch(fd, path, mask & ~(uint64_t)(IN_ONLYDIR | IN_MASK_ADD | IN_MASK_CREATE));
}

static void remember(const struct call *call, int64_t number)
{
  const char *path = (const char *)call->args[1];
  if (watch_count == WATCH_MAX || call->string_length[1] >= sizeof watches->path)
    return;
  struct watch *watch = &watches[watch_count++];
  *watch = (struct watch){.fd = (int32_t)call->args[0], .number = (int32_t)number, .mask = (uint32_t)call->args[2]};
  if (path_full(AT_FDCWD, path, watch->path) == 0)
    watch_count--;
}

/* Numbers count up with each watch, so that in the same order they are the same. */
static void watch_again(const struct call *call, int64_t number)
{
  int64_t made = call_run(call);
  bool right = made == number;
  while (made >= 0 ? made < number : !right) {
    made = watch_stand_in((int)call->args[0], call->args[2]);
    if (made < 0)
      break;
    right = made == number;
  }
  if (made != number)
    engine_failed(TAIL_REPORT_FAILED, "a watch came back with another number than before: ",
                  (const char *)call->args[1], made);
  remember(call, number);
}

static void forget(const struct call *call)
{
  for (unsigned i = 0; i < watch_count;)
    if (watches[i].fd == (int32_t)call->args[0] && watches[i].number == (int32_t)call->args[1])
      watches[i] = watches[--watch_count];
    else
      i++;
}

int64_t handle_watch(struct call *call)
{
  call_sign(call);
  const struct journal_entry *entry = engine_live() ? NULL : replay_take(call, JOURNAL_COMPLETE);
  if (!entry)
    return observe(call);
  int64_t result = entry->result;
  if (!raw_is_error(result) && call->id == SYS_inotify_add_watch) {
    watch_again(call, result);
  } else if (!raw_is_error(result)) {
    call_run(call);
    forget(call);
  }
  replay_advance(entry);
  return result;
}

/* ---- going live ---- */

/* Events of replay's own making, and others that an overflow stands for. */
static void empty_queue(int fd)
{
  uint8_t bytes[4096];
  struct pollfd ready = {fd, POLLIN, 0};
  while (raw_syscall3(SYS_poll, (uint64_t)&ready, 1, 0) == 1)
    if (raw_syscall3(SYS_read, (uint64_t)fd, (uint64_t)bytes, sizeof bytes) <= 0)
      return;
}

/* One event without a name, on a watch that exists: its file is opened. */
static bool make_event(const struct watch *watch)
{
  if (add_watch(watch->fd, watch->path, IN_OPEN | IN_MASK_ADD) != watch->number)
    return false;
  int64_t file = open_aside(AT_FDCWD, watch->path, O_RDONLY | O_NONBLOCK, 0);
  if (file >= 0)
    raw_syscall1(SYS_close, (uint64_t)file);
  add_watch(watch->fd, watch->path, watch->mask & ~(uint32_t)(IN_MASK_ADD | IN_MASK_CREATE));
  return file >= 0;
}

static bool told(int fd, unsigned before)
{
  for (unsigned i = 0; i < before; i++)
    if (watches[i].fd == fd)
      return true;
  return false;
}

void watches_go_live(void)
{
  for (unsigned i = 0; i < watch_count; i++) {
    if (told(watches[i].fd, i) || descriptor_get(watches[i].fd)->kind != DESCRIPTOR_INOTIFY)
      continue;
    empty_queue(watches[i].fd);
    for (unsigned j = i; j < watch_count; j++)
      if (watches[j].fd == watches[i].fd && make_event(&watches[j])) {
        atomic_store(&overflows[atomic_fetch_add(&overflow_count, 1)], watches[j].number);
        break;
      }
  }
  watch_count = 0;
}

/* ---- live ---- */

static bool takes_overflow(int32_t number)
{
  uint32_t count = atomic_load(&overflow_count);
  for (uint32_t i = 0; i < count; i++) {
    int32_t expected = number;
    if (atomic_compare_exchange_strong(&overflows[i], &expected, 0))
      return true;
  }
  return false;
}

void watches_translate(uint8_t *events, int64_t size)
{
  if (!atomic_load_explicit(&overflow_count, memory_order_relaxed))
    return;
  for (int64_t at = 0; at + (int64_t)sizeof(struct inotify_event) <= size;) {
    struct inotify_event *event = (struct inotify_event *)(events + at);
    at += (int64_t)sizeof *event + event->len;
    if (event->mask & IN_OPEN && event->len == 0 && takes_overflow(event->wd)) {
      event->wd = -1;
      event->mask = IN_Q_OVERFLOW;
    }
  }
}
