/* SPDX-License-Identifier: Apache-2.0 */
/* Environment strings, edited in place where they lie on the new image's stack, and built anew before
 * an exec. The variables' order and bytes are the same in every attempt. */
#include "shim/environment.h"

#include "shim/paths.h"

#include <elf.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define BLOCK_ADDRESS (TAIL_ADDRESS - (2ull << 32))
#define TUNABLE "glibc.pthread.rseq=0"

static const char *after_name(const char *variable, const char *name)
{
  while (*name)
    if (*variable++ != *name++)
      return NULL;
  return *variable == '=' ? variable + 1 : NULL;
}

const char *environment_value(char *const *environment, const char *name)
{
  for (; environment && *environment; environment++) {
    const char *value = after_name(*environment, name);
    if (value)
      return value;
  }
  return NULL;
}

/* Takes `part` (and the separator) out of a list in place; true when nothing is left. */
static bool take_part(char *list, const char *part)
{
  size_t length = raw_length(part);
  for (char *place = list; *place; place++) {
    if ((place != list && place[-1] != ':') || !raw_equal(place, part, length) ||
        (place[length] && place[length] != ':'))
      continue;
    const char *rest = place + length + (place[length] == ':');
    char *to = place;
    if (!*rest && to != list)
      to--;
    while ((*to++ = *rest++))
      ;
    break;
  }
  return !*list;
}

void environment_take_out_ours(char **environment)
{
  char **kept = environment;
  for (char **variable = environment; *variable; variable++) {
    char *value;
    bool drop = false;
    if ((value = (char *)after_name(*variable, "PERDURE_RUN")))
      drop = true;
    else if ((value = (char *)after_name(*variable, "LD_PRELOAD")))
      drop = take_part(value, engine.preload);
    else if ((value = (char *)after_name(*variable, "GLIBC_TUNABLES")))
      drop = take_part(value, TUNABLE);
    if (!drop)
      *kept++ = *variable;
  }
  *kept = NULL;
}

/* "NAME=ours:theirs" at `to`; the room it took. */
static size_t put_variable(char *to, const char *name, const char *ours, const char *theirs)
{
  size_t used = path_put_text(to, 0, name);
  used = path_put_text(to, used, "=");
  used = path_put_text(to, used, ours);
  if (theirs && *theirs) {
    used = path_put_text(to, used, ":");
    used = path_put_text(to, used, theirs);
  }
  return used + 1;
}

struct block {
  uint64_t size;
  char *pointers[];
};

int64_t environment_with_ours(char *const *environment, char ***ret_environment)
{
  const char *preload = environment_value(environment, "LD_PRELOAD");
  const char *tunables = environment_value(environment, "GLIBC_TUNABLES");
  uint64_t count = 0;
  while (environment && environment[count])
    count++;
  uint64_t size = sizeof(struct block) + (count + 4) * sizeof(char *) + 3 * PATH_ROOM +
                  (preload ? raw_length(preload) : 0) + (tunables ? raw_length(tunables) : 0);
  int64_t place = raw_syscall6(SYS_mmap, BLOCK_ADDRESS, size, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS, ~0ull, 0);
  if (raw_is_error(place))
    return place;
  struct block *block = (struct block *)place;
  block->size = size;
  char *text = (char *)(block->pointers + count + 4);
  uint64_t used = 0;
  block->pointers[used++] = text;
  text += put_variable(text, "LD_PRELOAD", engine.preload, preload);
  block->pointers[used++] = text;
  text += put_variable(text, "GLIBC_TUNABLES", TUNABLE, tunables);
  block->pointers[used++] = (char *)engine.run_variable;
  for (uint64_t i = 0; i < count; i++)
    if (!after_name(environment[i], "LD_PRELOAD") && !after_name(environment[i], "GLIBC_TUNABLES") &&
        !after_name(environment[i], "PERDURE_RUN"))
      block->pointers[used++] = environment[i];
  block->pointers[used] = NULL;
  *ret_environment = block->pointers;
  return 0;
}

void environment_release(char **environment)
{
  struct block *block = (struct block *)((uint8_t *)environment - sizeof(struct block));
  raw_syscall2(SYS_munmap, (uint64_t)block, block->size);
}

/* ---- can a program be preloaded? ---- */

/* The interpreter that a dynamic program names, or NULL. head: the file's first bytes. */
static const char *interpreter_of(const uint8_t *head, size_t size)
{
  const Elf64_Ehdr *elf = (const Elf64_Ehdr *)head;
  for (unsigned i = 0; i < elf->e_phnum; i++) {
    uint64_t place = elf->e_phoff + (uint64_t)i * sizeof(Elf64_Phdr);
    if (place + sizeof(Elf64_Phdr) > size)
      break;
    const Elf64_Phdr *header = (const Elf64_Phdr *)(head + place);
    if (header->p_type == PT_INTERP && header->p_offset < size)
      return (const char *)head + header->p_offset;
  }
  return NULL;
}

static const struct obstacle
    setuid = {"it is setuid", "a setuid program cannot be journaled, run it outside perdure: "},
    other_machine = {"it is of another machine", "a program of another machine cannot be journaled: "},
    is_static = {"it is statically linked", "a static program cannot be journaled, use a dynamically linked one: "},
    other_libc = {"it is of another libc", "a program of another libc cannot be journaled: "};

static const struct obstacle *obstacle_of(int dirfd, const char *path, unsigned depth)
{
  uint8_t head[2048];
  struct statx stx;
  if (depth > 4)
    return NULL;
  int64_t fd = raw_syscall4(SYS_openat, (uint64_t)(int64_t)dirfd, (uint64_t)path, O_RDONLY | O_CLOEXEC, 0);
  if (fd < 0)
    return NULL;
  int64_t size = raw_syscall4(SYS_pread64, (uint64_t)fd, (uint64_t)head, sizeof head - 1, 0);
  int64_t seen = raw_syscall5(SYS_statx, (uint64_t)fd, (uint64_t) "", AT_EMPTY_PATH,
                              STATX_BASIC_STATS, (uint64_t)&stx);
  raw_syscall1(SYS_close, (uint64_t)fd);
  if (size < 4 || seen != 0)
    return NULL;
  head[size] = 0;
  if (head[0] == '#' && head[1] == '!') {
    char *name = (char *)head + 2, *end;
    while (*name == ' ' || *name == '\t')
      name++;
    for (end = name; *end && *end != ' ' && *end != '\t' && *end != '\n'; end++)
      ;
    *end = 0;
    return obstacle_of(AT_FDCWD, name, depth + 1);
  }
  if (!raw_equal(head, ELFMAG, SELFMAG))
    return NULL;
  if (stx.stx_mode & (S_ISUID | S_ISGID) && raw_syscall0(SYS_geteuid) != 0)
    return &setuid;
  if (head[EI_CLASS] != ELFCLASS64 || ((const Elf64_Ehdr *)head)->e_machine != EM_X86_64)
    return &other_machine;
  const char *interpreter = interpreter_of(head, (size_t)size);
  if (!interpreter)
    return &is_static;
  if (!raw_same_text(interpreter, "/lib64/ld-linux-x86-64.so.2"))
    return &other_libc;
  return NULL;
}

const struct obstacle *program_obstacle(int dirfd, const char *path)
{
  return obstacle_of(dirfd, path, 0);
}
