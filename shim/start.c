/* SPDX-License-Identifier: Apache-2.0 */
/* The start of every program image: maps the run, redirects libc and the vDSO into the engine, and
 * journals or replays that an image began.
 *
 * The object is linked with -z initfirst: no other constructor has run. Nothing of libc is called.
 * Until the redirection is whole nothing is journaled, and nothing has happened yet either. */
#include "journal/retry_rules.h"
#include "shim/descriptors.h"
#include "shim/environment.h"
#include "shim/identity.h"
#include "shim/paths.h"
#include "shim/processes.h"
#include "shim/vdso.h"
#include "shim/x86_64/boundary_apply.h"
#include "shim/signals.h"
#include "shim/x86_64/tsc_trap.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define SHIM_NAME "libperdure-shim.so"

__attribute__((noreturn)) static void quit(const char *words, const char *detail)
{
  char line[PATH_ROOM + 512];
  size_t used = path_put_text(line, 0, "perdure: ");
  used = path_put_text(line, used, words);
  used = path_put_text(line, used, detail);
  used = path_put_text(line, used, "\n");
  raw_syscall3(SYS_write, 2, (uint64_t)line, used);
  for (;;)
    raw_syscall1(SYS_exit_group, 125);
}

static bool ends_with(const char *text, size_t length, const char *end)
{
  size_t end_length = raw_length(end);
  return length >= end_length && raw_equal(text + length - end_length, end, end_length);
}

/* The shim's own path: the part of LD_PRELOAD that names it. */
static void find_preload(char *const *environment)
{
  const char *list = environment_value(environment, "LD_PRELOAD");
  engine.preload = engine.texts;
  while (list && *list) {
    size_t length = 0;
    while (list[length] && list[length] != ':' && list[length] != ' ')
      length++;
    if (ends_with(list, length, SHIM_NAME) && length < PATH_ROOM) {
      raw_copy(engine.texts, list, length);
      return;
    }
    list += length + (list[length] != 0);
  }
}

/* ---- preloaded without a supervisor ---- */

static bool try_command(char *path, const char *directory, const char *relative, char **argv, char **environment)
{
  size_t used = path_put_text(path, 0, directory);
  path_put_text(path, used, relative);
  return raw_syscall3(SYS_execve, (uint64_t)path, (uint64_t)argv, (uint64_t)environment) == 0;
}

static bool is_this_program(const char *path)
{
  struct stat wanted, found;
  return raw_syscall4(SYS_newfstatat, (uint64_t)(int64_t)AT_FDCWD, (uint64_t) "/proc/self/exe", (uint64_t)&wanted, 0) == 0 &&
         raw_syscall4(SYS_newfstatat, (uint64_t)(int64_t)AT_FDCWD, (uint64_t)path, (uint64_t)&found, 0) == 0 &&
         wanted.st_dev == found.st_dev && wanted.st_ino == found.st_ino;
}

/* Does execvp find this program under that name? */
static bool is_found_in_path(const char *name, char *const *environment)
{
  char path[2 * PATH_ROOM];
  const char *list = environment_value(environment, "PATH");
  while (list && *list) {
    size_t length = 0;
    while (list[length] && list[length] != ':')
      length++;
    if (length + raw_length(name) + 2 < PATH_ROOM) {
      raw_copy(path, list, length);
      path[length] = 0;
      path_put_text(path, path_put_text(path, length, length ? "/" : ""), name);
      if (raw_syscall2(SYS_access, (uint64_t)path, X_OK) == 0)
        return is_this_program(path);
    }
    list += length + (list[length] != 0);
  }
  return false;
}

/* How the program was called, which programs of several names go by: argv[0], else the path that was executed
 * (of a script, that is the script's). false: neither is this program. */
static bool name_of_call(char **argv, char *const *environment, const char **ret_name)
{
  bool has_slash = false;
  for (const char *c = argv[0]; c && *c; c++)
    has_slash = has_slash || *c == '/';
  if (argv[0] && argv[0][0] && (has_slash ? is_this_program(argv[0]) : is_found_in_path(argv[0], environment))) {
    *ret_name = argv[0];
    return true;
  }
  char *const *end = environment;
  while (*end)
    end++;
  for (const Elf64_auxv_t *auxv = (const Elf64_auxv_t *)(end + 1); auxv->a_type != AT_NULL; auxv++)
    if (auxv->a_type == AT_EXECFN && is_this_program((const char *)auxv->a_un.a_val)) {
      *ret_name = (const char *)auxv->a_un.a_val;
      return true;
    }
  return false;
}

/* Runs the program again, as `perdure run -- PROGRAM ARG...`. */
__attribute__((noreturn)) static void run_supervised(int argc, char **argv, char **environment)
{
  char path[2 * PATH_ROOM], program[PATH_ROOM], directory[PATH_ROOM];
  int64_t place = raw_syscall6(SYS_mmap, 0, ((uint64_t)argc + 8) * sizeof(char *), PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS, ~0ull, 0);
  int64_t length = raw_syscall4(SYS_readlinkat, (uint64_t)(int64_t)AT_FDCWD, (uint64_t) "/proc/self/exe",
                                (uint64_t)program, sizeof program - 1);
  if (raw_is_error(place) || length <= 0 || !engine.preload[0])
    quit("preloaded without `perdure run`, and the program cannot be started again under it", "");
  program[length] = 0;
  char **arguments = (char **)place;
  unsigned used = 0;
  arguments[used++] = (char *)"perdure";
  arguments[used++] = (char *)"run";
  arguments[used++] = (char *)"--";
  const char *name = program;
  name_of_call(argv, environment, &name);
  arguments[used++] = (char *)name;
  for (int i = 1; i < argc; i++)
    arguments[used++] = argv[i];
  path_put_text(directory, 0, engine.preload);
  for (size_t i = raw_length(directory); i > 0 && directory[i] != '/'; i--)
    directory[i] = 0;
  environment_take_out_ours(environment);
  try_command(path, directory, "perdure", arguments, environment);
  try_command(path, directory, "../perdure", arguments, environment);
  try_command(path, directory, "../../bin/perdure", arguments, environment);
  try_command(path, directory, "../../../bin/perdure", arguments, environment);
  quit("preloaded without `perdure run`, and no perdure command lies beside ", engine.preload);
}

/* ---- mapping the run ---- */

static void map_at(int64_t fd, uint64_t address, uint64_t size, uint64_t offset, int protection)
{
  int64_t result = raw_syscall6(SYS_mmap, address, size, (uint64_t)protection,
                                MAP_SHARED | MAP_FIXED_NOREPLACE, (uint64_t)fd, offset);
  if (result != (int64_t)address)
    quit("the run's journal cannot be mapped where it must lie", "");
}

static void map_tail(const char *path)
{
  int64_t fd = raw_syscall3(SYS_open, (uint64_t)path, O_RDWR | O_CLOEXEC, 0);
  if (fd < 0)
    quit("the run's journal cannot be opened: ", path);
  map_at(fd, TAIL_ADDRESS, TAIL_HEADER_SIZE, 0, PROT_READ | PROT_WRITE);
  struct tail_header *header = (struct tail_header *)TAIL_ADDRESS;
  if (header->version != JOURNAL_VERSION || header->header_size != TAIL_HEADER_SIZE)
    quit("the shim and the perdure command are of different versions: ", engine.preload);
  uint64_t ring = TAIL_ADDRESS + TAIL_HEADER_SIZE;
  map_at(fd, ring, header->ring_size, TAIL_HEADER_SIZE, PROT_READ | PROT_WRITE);
  map_at(fd, ring + header->ring_size, header->ring_size, TAIL_HEADER_SIZE, PROT_READ | PROT_WRITE);
  raw_syscall1(SYS_close, (uint64_t)fd);
  /* Else the first touch of each page reads the zeros of many around it. */
  raw_syscall3(SYS_madvise, TAIL_ADDRESS, TAIL_HEADER_SIZE + 2 * header->ring_size, MADV_RANDOM);
  engine.tail.header = header;
  engine.tail.ring = (uint8_t *)ring;
}

/* A file in the run's directory, to be read there. */
static const void *map_file(const char *name, uint64_t address, uint64_t size, const char *what)
{
  char path[PATH_ROOM + 16];
  size_t used = path_put_text(path, 0, engine.tail.header->run_directory);
  path_put_text(path, used, name);
  int64_t fd = raw_syscall3(SYS_open, (uint64_t)path, O_RDONLY | O_CLOEXEC, 0);
  if (fd < 0)
    quit(what, path);
  map_at(fd, address, size, 0, PROT_READ);
  raw_syscall1(SYS_close, (uint64_t)fd);
  return (const void *)address;
}

static void map_feed(void)
{
  const struct tail_header *header = engine.tail.header;
  if (header->mode != TAIL_MODE_LIVE && header->feed_size)
    engine.feed = map_file("/feed", FEED_ADDRESS, header->feed_size, "the replay feed cannot be opened: ");
}

static void map_retry_rules(void)
{
  uint64_t size = engine.tail.header->retry_rules_size;
  if (!size)
    return;
  if (size != sizeof *engine.retry_rules)
    quit("the retry policies cannot be opened: ", engine.tail.header->run_directory);
  engine.retry_rules = map_file("/" RETRY_RULES_FILE, RETRY_RULES_ADDRESS, size, "the retry policies cannot be opened: ");
}

static void redirect(const void *auxv)
{
  uint64_t slots[BOUNDARY_SLOT_COUNT] = {
      [BOUNDARY_SLOT_SYSCALL] = (uint64_t)engine_entry_syscall,
      [BOUNDARY_SLOT_CLOCK_GETTIME] = (uint64_t)engine_entry_clock_gettime,
      [BOUNDARY_SLOT_GETTIMEOFDAY] = (uint64_t)engine_entry_gettimeofday,
      [BOUNDARY_SLOT_TIME] = (uint64_t)engine_entry_time,
      [BOUNDARY_SLOT_GETCPU] = (uint64_t)engine_entry_getcpu,
      [BOUNDARY_SLOT_CLOCK_GETRES] = (uint64_t)engine_entry_clock_getres,
      [BOUNDARY_SLOT_GETRANDOM] = (uint64_t)vdso_getrandom,
  };
  const char *error = "";
  int result = boundary_apply(engine.tail.header->cache_directory, auxv, slots, slots,
                              engine.original, &error);
  if (result < 0)
    quit("the program's system calls cannot be redirected: ", error);
  engine.clock_original =
      (uint64_t(*)(int, void *))engine.original[BOUNDARY_SLOT_CLOCK_GETTIME];
}

/* ---- the START entry ---- */

/* The 16 random bytes that the kernel gave the image. */
static uint8_t *random_bytes(const Elf64_auxv_t *auxv)
{
  for (; auxv->a_type != AT_NULL; auxv++)
    if (auxv->a_type == AT_RANDOM)
      return (uint8_t *)auxv->a_un.a_val;
  return NULL;
}

struct image_text {
  char text[2048];
  size_t used;
};

static void put_build_id(struct image_text *image, const uint8_t *note, size_t size)
{
  while (size >= 12) {
    const uint32_t *head = (const uint32_t *)note;
    size_t name = (head[0] + 3) & ~3u, body = (head[1] + 3) & ~3u;
    if (12 + name + body > size)
      return;
    if (head[2] == NT_GNU_BUILD_ID && head[0] == 4)
      for (uint32_t i = 0; i < head[1] && image->used + 4 < sizeof image->text; i++) {
        uint8_t byte = note[12 + name + i];
        image->text[image->used++] = "0123456789abcdef"[byte >> 4];
        image->text[image->used++] = "0123456789abcdef"[byte & 15];
      }
    note += 12 + name + body;
    size -= 12 + name + body;
  }
}

static int put_image(struct dl_phdr_info *info, size_t size, void *context)
{
  struct image_text *image = context;
  size_t length = raw_length(info->dlpi_name);
  if (image->used + length + 64 > sizeof image->text)
    return 1;
  image->used = path_put_text(image->text, image->used, info->dlpi_name);
  image->used = path_put_text(image->text, image->used, " ");
  for (int i = 0; i < info->dlpi_phnum; i++)
    if (info->dlpi_phdr[i].p_type == PT_NOTE)
      put_build_id(image, (const uint8_t *)info->dlpi_addr + info->dlpi_phdr[i].p_vaddr,
                   info->dlpi_phdr[i].p_memsz);
  image->used = path_put_text(image->text, image->used, "\n");
  return 0;
}

#define DESCRIPTOR_MAX 6

/* Room for what a draft points to until it is appended. */
struct descriptor_room {
  struct journal_descriptor descriptors[DESCRIPTOR_MAX];
  char paths[DESCRIPTOR_MAX][PATH_ROOM];
};

/* The START entry of the first image names what the run was started with. */
struct describing {
  struct draft *draft;
  struct descriptor_room room;
  unsigned used;
};

static void describe_descriptor(int fd, void *context)
{
  struct describing *describing = context;
  struct descriptor_room *room = &describing->room;
  unsigned used = describing->used;
  descriptor_get(fd);
  if (used == DESCRIPTOR_MAX)
    return;
  struct journal_descriptor *descriptor = &room->descriptors[used];
  *descriptor = (struct journal_descriptor){.fd = fd};
  if (file_look(fd, "", AT_EMPTY_PATH, &descriptor->file) != 0)
    return;
  descriptor->flags = (uint32_t)raw_syscall2(SYS_fcntl, (uint64_t)fd, F_GETFL);
  descriptor->fd_flags = (uint64_t)raw_syscall2(SYS_fcntl, (uint64_t)fd, F_GETFD);
  int64_t offset = raw_syscall3(SYS_lseek, (uint64_t)fd, 0, SEEK_CUR);
  descriptor->offset = offset > 0 ? (uint64_t)offset : 0;
  draft_add(describing->draft, SEGMENT_DESCRIPTOR, 0, descriptor, sizeof *descriptor);
  if (S_ISREG(descriptor->file.mode))
    draft_add(describing->draft, SEGMENT_FULL_PATH, (unsigned)fd, room->paths[used],
              path_of_descriptor(fd, room->paths[used]));
  describing->used++;
}

static void record_start(struct call *call, uint8_t *random, const struct image_text *image, bool first)
{
  struct draft draft;
  struct describing describing = {.draft = &draft};
  draft_begin(&draft, call, JOURNAL_START, 0);
  draft.tail.arg_count = 4;
  draft_add(&draft, SEGMENT_DIRECTORY, 0, engine.directory, raw_length(engine.directory));
  draft_add(&draft, SEGMENT_RANDOM, 0, random, random ? 16 : 0);
  draft_add(&draft, SEGMENT_IMAGE, 0, image->text, image->used);
  if (first)
    each_descriptor(describe_descriptor, &describing);
  else
    descriptors_learn();
  engine.image_position = draft_append(&draft);
}

/* Input files stand where they stood; output files where the supervisor put them. */
static void place_descriptors(const struct journal_entry *entry)
{
  const struct journal_segment *segment = journal_find_segment(entry, SEGMENT_DESCRIPTOR, -1);
  for (; segment; segment = journal_next_segment(entry, segment)) {
    const struct journal_descriptor *recorded = (const struct journal_descriptor *)segment->data;
    if (segment->type == SEGMENT_DESCRIPTOR && S_ISREG(recorded->file.mode) &&
        (recorded->flags & O_ACCMODE) == O_RDONLY &&
        descriptor_get(recorded->fd)->flags & DESCRIPTOR_OUTER_FILE)
      raw_syscall3(SYS_lseek, (uint64_t)recorded->fd, recorded->offset, SEEK_SET);
  }
}

/* The stack protector's value and the pointer guard, which the loader has made of the random bytes: both
 * lie about in memory that programs do not initialise. Nothing is protected by them yet: the loader's
 * functions that are under way are not. */
static void guards_of(const uint8_t *random)
{
  uint64_t values[2];
  raw_copy(values, random, sizeof values);
  values[0] &= ~0xffull;
  __asm__ volatile("movq %0, %%fs:0x28\n\tmovq %1, %%fs:0x30" : : "r"(values[0]), "r"(values[1]));
}

static void replay_start(const struct journal_entry *entry, uint8_t *random, const struct image_text *image)
{
  const struct journal_segment *segment = journal_find_segment(entry, SEGMENT_RANDOM, -1);
  if (segment && segment->length == 16 && random) {
    raw_copy(random, segment->data, 16);
    guards_of(random);
  }
  segment = journal_find_segment(entry, SEGMENT_DIRECTORY, -1);
  if (segment && segment->length < sizeof engine.directory) {
    raw_copy(engine.directory, segment->data, segment->length);
    engine.directory[segment->length] = 0;
  }
  segment = journal_find_segment(entry, SEGMENT_IMAGE, -1);
  if (segment && (segment->length != image->used || !raw_equal(segment->data, image->text, image->used)))
    engine.tail.header->image_changed = 1;
  place_descriptors(entry);
  engine.image_position = entry->position;
  replay_advance(entry);
}

static void begin_image(const Elf64_auxv_t *auxv, const struct image_text *image, bool first)
{
  static const struct call_shape no_shape;
  struct call call = {.id = CALL_ID_START, .shape = &no_shape, .signature = CALL_ID_START};
  uint8_t *random = random_bytes(auxv);
  engine_thread.stream = engine.process->stream;
  const struct journal_entry *entry = engine_live() ? NULL : replay_take(&call, JOURNAL_START);
  identity_begin(entry);
  if (entry) {
    replay_start(entry, random, image);
    return;
  }
  identity_describe(call.args);
  record_start(&call, random, image, first);
}

/* What the kernel gave the image. */
struct given {
  const char *tail_path;
  char **environment;
  const Elf64_auxv_t *auxv;
};

static void begin(void *argument)
{
  const struct given *given = argument;
  /* First, since another library's function of that name (a sanitizer's) may make calls, or begin this
   * program anew with what the environment says now. */
  LARGE_TABLE static struct image_text image;
  dl_iterate_phdr(put_image, &image);
  char *run_variable = engine.texts + raw_length(engine.preload) + 1;
  path_put_text(run_variable, path_put_text(run_variable, 0, "PERDURE_RUN="), given->tail_path);
  engine.run_variable = run_variable;
  map_tail(given->tail_path);
  map_feed();
  map_retry_rules();
  bool first = process_find_own();
  if (!first)
    atomic_fetch_sub(&engine.tail.header->executing, 1);
  if (!engine.process)
    quit("the run does not know this process: ", given->tail_path);
  if (engine.tail.header->mode == TAIL_MODE_LIVE) {
    atomic_store(&engine.process->live, 1);
    atomic_store(&engine.tail.header->live, 1);
  }
  if (raw_syscall2(SYS_getcwd, (uint64_t)engine.directory, sizeof engine.directory) <= 0)
    engine.directory[0] = 0;
  environment_take_out_ours(given->environment);
  redirect(given->auxv);
  process_shows_life();
  begin_image(given->auxv, &image, first);
  tsc_trap_if_needed();
  signals_exec_over();
}

/* On the engine's stack: what this leaves on the program's differs between live and replay, and main() will lie there. */
__attribute__((constructor)) static void start(int argc, char **argv, char **environment)
{
  char **end = environment;
  while (*end)
    end++;
  struct given given = {environment_value(environment, "PERDURE_RUN"), environment, (const Elf64_auxv_t *)(end + 1)};
  find_preload(environment);
  if (!given.tail_path)
    run_supervised(argc, argv, environment);
  engine.pid_real = (int32_t)raw_syscall0(SYS_getpid);
  engine_stack_make();
  engine_stack_run(begin, &given);
}
