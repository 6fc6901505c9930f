/* SPDX-License-Identifier: Apache-2.0 */
/* The smallest engine: preloaded, it redirects the program's calls, counts them and passes them on. When
 * an image ends by exit_group it appends a line to a report: how many system calls, how many calls of the
 * vDSO, and how many of clone's kind came by.
 *
 * BOUNDARY_PROBE_CACHE: where the images are. BOUNDARY_PROBE_REPORT: the report, which exists. */
#include "shim/raw.h"
#include "shim/x86_64/boundary_apply.h"
#include "shim/x86_64/frame.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>

static uint64_t call_count, vdso_count, clone_count;
static uint64_t originals[BOUNDARY_SLOT_COUNT];
static char **environment;

static const char *variable(const char *name)
{
  size_t length = raw_length(name);
  for (char **at = environment; *at; at++) {
    size_t same = 0;
    while (same < length && (*at)[same] == name[same])
      same++;
    if (same == length && (*at)[length] == '=')
      return *at + length + 1;
  }
  return NULL;
}

static size_t put_text(char *line, size_t at, const char *text)
{
  raw_copy(line + at, text, raw_length(text));
  return at + raw_length(text);
}

static size_t put_number(char *line, size_t at, uint64_t number)
{
  char digits[20];
  size_t count = 0;
  do
    digits[count++] = (char)('0' + number % 10);
  while (number /= 10);
  while (count > 0)
    line[at++] = digits[--count];
  return at;
}

static void report(void)
{
  const char *path = variable("BOUNDARY_PROBE_REPORT");
  char line[128];
  size_t size = put_text(line, 0, "calls ");
  size = put_number(line, size, call_count);
  size = put_text(line, size, " vdso ");
  size = put_number(line, size, vdso_count);
  size = put_text(line, size, " clones ");
  size = put_number(line, size, clone_count);
  size = put_text(line, size, "\n");
  int64_t fd = path ? raw_syscall3(SYS_open, (uint64_t)path, O_WRONLY | O_APPEND | O_CLOEXEC, 0) : -1;
  if (raw_is_error(fd))
    return;
  raw_syscall3(SYS_write, (uint64_t)fd, (uint64_t)line, size);
  raw_syscall1(SYS_close, (uint64_t)fd);
}

/* A call that makes a process or thread: with memory of its own it runs plainly in the stub, otherwise as
 * FRAME_CLONE. */
static int64_t enter_clone(struct engine_frame *frame, uint64_t flags, uint64_t thread_pointer)
{
  __atomic_add_fetch(&clone_count, 1, __ATOMIC_RELAXED);
  frame->raw = flags & CLONE_VM ? FRAME_CLONE : FRAME_PLAIN;
  if (flags & CLONE_VM && flags & CLONE_SETTLS)
    engine_set_next(thread_pointer, frame->next);
  return 0;
}

__thread uint64_t engine_stack_top __attribute__((tls_model("initial-exec")));

int64_t engine_enter(struct engine_frame *frame)
{
  __atomic_add_fetch(&call_count, 1, __ATOMIC_RELAXED);
  switch (frame->rax) {
  case SYS_clone:
    return enter_clone(frame, frame->rdi, frame->r8);
  case SYS_clone3: {
    const struct clone_args *args = (const struct clone_args *)frame->rdi;
    return enter_clone(frame, args->flags, args->tls);
  }
  case SYS_vfork:
    return enter_clone(frame, CLONE_VM | CLONE_VFORK, 0);
  case SYS_exit_group:
    report();
    break;
  default:
    break;
  }
  return raw_syscall6((int64_t)frame->rax, frame->rdi, frame->rsi, frame->rdx, frame->r10,
                      frame->r8, frame->r9);
}

/* The parent's results are fine as they are: that one was seen is what is counted. */
void engine_after_clone(struct engine_frame *frame)
{
  if (frame->rax == 0)
    __builtin_trap();
}

typedef int64_t vdso_function(uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e);

static int64_t enter_vdso(enum boundary_slot slot, int64_t number, uint64_t a, uint64_t b, uint64_t c,
                          uint64_t d, uint64_t e)
{
  __atomic_add_fetch(&vdso_count, 1, __ATOMIC_RELAXED);
  if (originals[slot])
    return ((vdso_function *)originals[slot])(a, b, c, d, e);
  return raw_syscall5(number, a, b, c, d, e);
}

#define VDSO(name, SLOT)                                                                        \
  static int64_t enter_##name(uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e)          \
  {                                                                                                \
    return enter_vdso(BOUNDARY_SLOT_##SLOT, SYS_##name, a, b, c, d, e);                            \
  }
VDSO(clock_gettime, CLOCK_GETTIME)
VDSO(gettimeofday, GETTIMEOFDAY)
VDSO(time, TIME)
VDSO(getcpu, GETCPU)
VDSO(clock_getres, CLOCK_GETRES)
VDSO(getrandom, GETRANDOM)

static void refuse(const char *sentence)
{
  raw_syscall3(SYS_write, 2, (uint64_t) "boundary_probe: ", 16);
  raw_syscall3(SYS_write, 2, (uint64_t)sentence, raw_length(sentence));
  raw_syscall3(SYS_write, 2, (uint64_t) "\n", 1);
  raw_syscall1(SYS_exit_group, 125);
}

__attribute__((constructor)) static void start(int argc, char **argv, char **envp)
{
  environment = envp;
  char **end = envp;
  while (*end)
    end++;
  const uint64_t slots[BOUNDARY_SLOT_COUNT] = {
      [BOUNDARY_SLOT_SYSCALL] = (uint64_t)engine_entry_syscall,
      [BOUNDARY_SLOT_CLOCK_GETTIME] = (uint64_t)enter_clock_gettime,
      [BOUNDARY_SLOT_GETTIMEOFDAY] = (uint64_t)enter_gettimeofday,
      [BOUNDARY_SLOT_TIME] = (uint64_t)enter_time,
      [BOUNDARY_SLOT_GETCPU] = (uint64_t)enter_getcpu,
      [BOUNDARY_SLOT_CLOCK_GETRES] = (uint64_t)enter_clock_getres,
      [BOUNDARY_SLOT_GETRANDOM] = (uint64_t)enter_getrandom,
  };
  const char *cache = variable("BOUNDARY_PROBE_CACHE");
  const char *error = "BOUNDARY_PROBE_CACHE is not set";
  if (!cache || boundary_apply(cache, end + 1, slots, slots, originals, &error) < 0)
    refuse(error);
}
