/* SPDX-License-Identifier: Apache-2.0 */
/* The table of processes in the tail's header. A place is taken before the process is made and stays with
 * what it says until another process needs it: numbers of groups and sessions outlive their leaders.
 *
 * The table is of one attempt. Killed at any line, the next attempt begins with an empty one. */
#include "shim/processes.h"

#include "shim/descriptors.h"
#include "shim/paths.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>

/* Linux gives no process a number above this. */
#define NUMBER_MAX (1 << 22)

static struct tail_process *place(uint32_t index)
{
  return &engine.tail.header->processes[index];
}

static uint32_t end(void)
{
  return atomic_load(&engine.tail.header->process_end);
}

static struct tail_process *find(int32_t number, bool really)
{
  struct tail_process *ended = NULL;
  if (number <= 0)
    return NULL;
  for (uint32_t i = 0, count = end(); i < count; i++) {
    struct tail_process *process = place(i);
    if (atomic_load(really ? &process->real : &process->pid_seen) != number || !atomic_load(&process->taken))
      continue;
    if (!atomic_load(&process->ended))
      return process;
    ended = process;
  }
  return ended;
}

struct tail_process *process_called(int32_t seen)
{
  return find(seen, false);
}

struct tail_process *process_really(int32_t real)
{
  return find(real, true);
}

bool process_find_own(void)
{
  struct tail_header *header = engine.tail.header;
  bool first = !header->started;
  engine.process = first ? place(0) : process_really(engine.pid_real);
  if (!first) {
    if (engine.process) {
      atomic_fetch_add(&engine.process->images, 1);
      process_leaves_regions(engine.process);
    }
    /* The list that it was in is the former image's. */
    if (engine.process == place(0))
      header->first.link.previous = NULL;
    return false;
  }
  header->started = 1;
  atomic_store(&engine.process->taken, 1);
  atomic_store(&engine.process->real, engine.pid_real);
  atomic_store(&header->process_end, 1);
  return true;
}

static bool take(struct tail_process *process)
{
  uint32_t is_free = 0;
  return atomic_compare_exchange_strong(&process->taken, &is_free, 1);
}

/* Those that are gone, waited for or not, make room. */
static void sweep(void)
{
  for (uint32_t i = 1; i < TAIL_PROCESS_MAX; i++) {
    struct tail_process *process = place(i);
    int32_t real = atomic_load(&process->real);
    if (real && raw_syscall2(SYS_kill, (uint64_t)real, 0) == -ESRCH)
      process_release(process);
  }
}

static struct tail_process *take_any(void)
{
  struct tail_header *header = engine.tail.header;
  uint32_t count = atomic_load(&header->process_end);
  while (count < TAIL_PROCESS_MAX)
    if (atomic_compare_exchange_weak(&header->process_end, &count, count + 1)) {
      if (take(place(count)))
        return place(count);
      count++;
    }
  for (uint32_t i = 1; i < TAIL_PROCESS_MAX; i++)
    if (take(place(i)))
      return place(i);
  return NULL;
}

struct tail_process *process_reserve(uint32_t stream)
{
  struct tail_process *process = take_any();
  if (!process) {
    sweep();
    process = take_any();
  }
  if (!process)
    engine_failed(TAIL_REPORT_FAILED, "the run has more processes at once than perdure can follow", "",
                  TAIL_PROCESS_MAX);
  process->stream = stream;
  atomic_store(&process->ended, 0);
  atomic_store(&process->opaque, 0);
  atomic_store(&process->held, 0);
  atomic_store(&process->stopping, 0);
  atomic_store(&process->regions, 0);
  atomic_store(&process->live, atomic_load(&engine.process->live));
  for (int i = 1; i < 4; i++)
    atomic_store(&process->seen[i], atomic_load(&engine.process->seen[i - (i == 1)]));
  return process;
}

void process_release(struct tail_process *process)
{
  atomic_store(&process->pid_seen, 0);
  atomic_store(&process->real, 0);
  atomic_store(&process->taken, 0);
}

/* `number`, or where one that lives is called so already, the next that nobody is called. */
static int32_t free_number(const struct tail_process *process, int32_t number)
{
  for (;;) {
    const struct tail_process *other = process_called(number);
    if (!other || other == process || atomic_load(&other->ended))
      return number;
    number = number < NUMBER_MAX ? number + 1 : 2;
  }
}

int32_t process_is(struct tail_process *process, int32_t real, int32_t seen)
{
  /* Who had that number before is gone, also where nobody has waited. */
  struct tail_process *former = process_really(real);
  if (former && former != process)
    atomic_store(&former->ended, 1);
  atomic_store(&process->real, real);
  int32_t none = 0;
  if (seen)
    atomic_store(&process->pid_seen, seen);
  else
    atomic_compare_exchange_strong(&process->pid_seen, &none, free_number(process, real));
  return atomic_load(&process->pid_seen);
}

void process_leaves_regions(struct tail_process *process)
{
  atomic_fetch_sub(&engine.tail.header->regions_open, atomic_exchange(&process->regions, 0));
}

void process_ended(int32_t seen)
{
  struct tail_process *process = process_called(seen);
  if (!process)
    return;
  process_leaves_regions(process);
  atomic_store(&process->ended, 1);
}

void processes_each(void (*visit)(struct tail_process *process, void *context), void *context)
{
  for (uint32_t i = 0; i < end(); i++)
    if (atomic_load(&place(i)->real) && !atomic_load(&place(i)->ended))
      visit(place(i), context);
}

char process_state(int32_t real)
{
  char path[32] = "/proc/", text[128];
  size_t length = path_put_number(path, sizeof "/proc/" - 1, (uint32_t)real, 10);
  raw_copy((uint8_t *)path + length, "/stat", sizeof "/stat");
  int64_t fd = open_aside(AT_FDCWD, path, O_RDONLY, 0);
  if (fd < 0)
    return 0;
  int64_t got = raw_syscall3(SYS_read, (uint64_t)fd, (uint64_t)text, sizeof text);
  raw_syscall1(SYS_close, (uint64_t)fd);
  /* Its name is in parentheses, and may have some itself; its state follows. */
  for (int64_t i = got - 3; i >= 0; i--)
    if (text[i] == ')')
      return text[i + 2];
  return 0;
}

void processes_kill(void)
{
  for (uint32_t i = 0; i < end(); i++) {
    int32_t real = atomic_load(&place(i)->real);
    if (real && real != engine.pid_real && !atomic_load(&place(i)->ended))
      raw_syscall2(SYS_kill, (uint64_t)real, SIGKILL);
  }
  raw_syscall2(SYS_kill, (uint64_t)engine.pid_real, SIGKILL);
}

/* ---- life ---- */

/* What the kernel calls struct robust_list_head, and libc's link before it. */
struct robust_head {
  void *next;
  int64_t futex_offset;
  void *pending;
};

static bool is_first_thread(void)
{
  return engine.process == place(0) && raw_syscall0(SYS_gettid) == engine.pid_real;
}

void process_shows_life(void)
{
  struct tail_life *life = &engine.tail.header->first;
  struct robust_head *head = NULL;
  uint64_t size = 0;
  if (!is_first_thread() ||
      raw_syscall3(SYS_get_robust_list, 0, (uint64_t)&head, (uint64_t)&size) != 0 || !head ||
      head->futex_offset != -(int64_t)(offsetof(struct tail_life, link) + offsetof(struct tail_life_link, next)))
    return;
  atomic_store(&life->word, (uint32_t)engine.pid_real);
  if (life->link.previous == head)
    return; /* an exec has failed */
  life->link.previous = head;
  life->link.next = head->next;
  ((void **)head->next)[-1] = &life->link.next;
  head->next = &life->link.next;
}

void process_hides_life(void)
{
  if (is_first_thread())
    atomic_store(&engine.tail.header->first.word, 0);
}
