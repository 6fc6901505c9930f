/* SPDX-License-Identifier: Apache-2.0 */
/* Mappings in replay.
 *
 * A file that is still what it was is mapped as it is. One that the run itself has changed since is stood for
 * by a store, which gets the bytes of then, is mapped in the file's place, and is written to as the file was:
 * so the kernel gives each mapping, shared or private, what it gave it. Going live moves the shared ones
 * over to the file.
 *
 * Killed while stores go into the file: the next attempt puts them there again. */
#include "shim/mappings.h"

#include "shim/descriptors.h"
#include "shim/ghosts.h"
#include "shim/keep.h"
#include "shim/paths.h"
#include "shim/stores.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

#define MAPPED_MAX 256
#define STORED_TO_MAX 64
#define LEFT_MAX 256
#define MAPS_ROOM (64u << 10)
#define MAPS_ADDRESS (TAIL_ADDRESS - (4ull << 32))

LARGE_TABLE static struct store_id mapped[MAPPED_MAX];
static _Atomic uint32_t mapped_count;
static bool ghosts_mapped;

LARGE_TABLE static struct tail_kept stored_to[STORED_TO_MAX];
static _Atomic uint32_t stored_to_count;

bool file_is_mapped(uint64_t device, uint64_t inode, uint64_t birth_ns)
{
  for (uint32_t i = 0; i < mapped_count; i++)
    if (mapped[i].inode == inode && mapped[i].device == device && mapped[i].birth_ns == birth_ns)
      return true;
  return false;
}

bool file_is_stored_to(uint64_t device, uint64_t inode)
{
  uint32_t count = atomic_load_explicit(&stored_to_count, memory_order_acquire);
  if (count > STORED_TO_MAX)
    return true;
  for (uint32_t i = 0; i < count; i++)
    if (stored_to[i].inode == inode && stored_to[i].device == device)
      return true;
  return false;
}

void file_mark_stored_to(uint64_t device, uint64_t inode)
{
  if (file_is_stored_to(device, inode))
    return;
  uint32_t place = atomic_fetch_add(&stored_to_count, 1);
  if (place < STORED_TO_MAX) {
    stored_to[place].device = device;
    atomic_store(&stored_to[place].inode, inode);
  }
}

const char *feed_extent_path(const struct feed_extent *extent, const char *path)
{
  if (extent->source != FEED_SOURCE_KEPT)
    return path;
  const struct feed_file *files = feed_at(engine.feed->files_offset);
  return feed_at(files[extent->zero].path);
}

__attribute__((noreturn)) static void mapped_changed(const char *path)
{
  engine_failed(TAIL_REPORT_INPUT,
                *path ? "a file that the run mapped is missing, or was changed by somebody else: "
                      : "a file that the run mapped has no name any more",
                path, 0);
}

/* ---- replay ---- */

static int64_t map_at(const struct call *call, uint64_t address, int64_t fd)
{
  uint64_t fixed = call->args[3] & MAP_FIXED ? 0 : MAP_FIXED_NOREPLACE;
  return raw_syscall6(SYS_mmap, address, call->args[1], call->args[2], call->args[3] | fixed, (uint64_t)fd,
                      call->args[5]);
}

/* The file as it is, which is as it was. */
static int64_t map_file(const struct call *call, const struct journal_reference *reference,
                        const struct feed_file *file, const char *path, uint64_t address)
{
  struct journal_file now;
  int64_t fd = open_aside(AT_FDCWD, path, O_RDONLY, 0);
  if (fd < 0 || file_look((int)fd, "", AT_EMPTY_PATH, &now) != 0)
    mapped_changed(path);
  bool same = now.size == reference->size && now.ctime_ns == reference->ctime_ns;
  if (!same && !(file->flags & (FEED_FILE_CHANGED | FEED_FILE_KEPT | FEED_FILE_GHOST)))
    mapped_changed(path);
  int64_t result = map_at(call, address, fd);
  raw_syscall1(SYS_close, (uint64_t)fd);
  return result;
}

static void copy_range(const char *path, uint64_t from_offset, int64_t to, uint64_t offset, uint64_t length)
{
  uint8_t bytes[4096];
  int64_t from = open_aside(AT_FDCWD, path, O_RDONLY, 0);
  while (from >= 0 && length) {
    int64_t got = raw_syscall4(SYS_pread64, (uint64_t)from, (uint64_t)bytes,
                               length < sizeof bytes ? length : sizeof bytes, from_offset);
    if (got <= 0 || raw_syscall4(SYS_pwrite64, (uint64_t)to, (uint64_t)bytes, (uint64_t)got, offset) != got)
      mapped_changed(path);
    from_offset += (uint64_t)got;
    offset += (uint64_t)got;
    length -= (uint64_t)got;
  }
  if (from < 0)
    mapped_changed(path);
  raw_syscall1(SYS_close, (uint64_t)from);
}

/* The mapped part as it was, in the store. */
static void fill_store(int64_t store, const struct journal_entry *entry,
                       const struct journal_reference *reference, const char *path)
{
  const struct journal_segment *bytes = journal_find_segment(entry, SEGMENT_OUTPUT, 0);
  const struct journal_segment *segment = journal_find_segment(entry, SEGMENT_EXTENTS, 4);
  uint64_t at = reference->offset;
  raw_syscall2(SYS_ftruncate, (uint64_t)store, reference->size);
  if (bytes) {
    raw_syscall4(SYS_pwrite64, (uint64_t)store, (uint64_t)bytes->data, bytes->length, at);
    return;
  }
  if (!segment) {
    copy_range(path, at, store, at, reference->length);
    return;
  }
  const struct feed_extent *extents = (const struct feed_extent *)segment->data;
  for (uint64_t i = 0; i < segment->length / sizeof *extents; at += extents[i++].length)
    if (extents[i].source == FEED_SOURCE_BLOB)
      raw_syscall4(SYS_pwrite64, (uint64_t)store, (uint64_t)feed_at(extents[i].offset), extents[i].length, at);
    else
      copy_range(feed_extent_path(&extents[i], path), extents[i].offset, store, at, extents[i].length);
}

static void remember_mapped(const struct store_id *id)
{
  if (file_is_mapped(id->device, id->inode, id->birth_ns))
    return;
  uint32_t place = atomic_load(&mapped_count);
  if (place == MAPPED_MAX)
    engine_failed(TAIL_REPORT_FAILED, "more files are mapped and changed than can be replayed", "", MAPPED_MAX);
  mapped[place] = *id;
  atomic_store(&mapped_count, place + 1);
  /* What is known of placeholders says that writes are not applied. */
  descriptor_forget_all();
}

int64_t mapping_make(const struct call *call, const struct journal_entry *entry)
{
  const struct journal_segment *segment = journal_find_segment(entry, SEGMENT_REFERENCE, 4);
  const struct journal_reference *reference = (const struct journal_reference *)segment->data;
  const struct feed_file *file =
      feed_find_primary(reference->device, reference->inode, reference->birth_ns);
  uint64_t address = (uint64_t)entry->result;
  char room[PATH_ROOM + 128];
  const char *path = ghost_or_file_path(file, room);
  keep_mark_file(reference->device, reference->inode, reference->birth_ns);
  if (!file || !*path)
    mapped_changed(path);
  bool changes = (call->args[3] & MAP_TYPE) != MAP_PRIVATE && call->args[2] & PROT_WRITE;
  struct store_id id = {file->device, file->inode, file->birth_ns};
  enum store_kind kind = ghost_file(file) ? STORE_GHOST : STORE_MAPPED;
  if (kind == STORE_MAPPED && !changes && !journal_find_segment(entry, SEGMENT_EXTENTS, 4) &&
      !file_is_mapped(id.device, id.inode, id.birth_ns))
    return map_file(call, reference, file, path, address);
  int64_t store = store_open(kind, &id);
  if (kind == STORE_MAPPED) {
    fill_store(store, entry, reference, path);
    remember_mapped(&id);
  } else {
    ghosts_mapped = true;
  }
  int64_t result = map_at(call, address, store);
  raw_syscall1(SYS_close, (uint64_t)store);
  return result;
}

/* ---- going live ---- */

/* A line of /proc/self/maps: "7f00-7f10 rw-s 00001000 08:01 77 /path". */
struct line {
  uint64_t begin, end, offset;
  bool readable, writable, shared;
  const char *path;
};

static uint64_t take_hexadecimal(const char **text)
{
  uint64_t number = 0;
  for (;; (*text)++) {
    char c = **text;
    if (c >= '0' && c <= '9')
      number = number * 16 + (uint64_t)(c - '0');
    else if (c >= 'a' && c <= 'f')
      number = number * 16 + (uint64_t)(c - 'a' + 10);
    else
      return number;
  }
}

static struct line take_line(const char *text)
{
  struct line line = {.begin = take_hexadecimal(&text)};
  text++;
  line.end = take_hexadecimal(&text);
  line.readable = text[1] == 'r';
  line.writable = text[2] == 'w';
  line.shared = text[4] == 's';
  text += 6;
  line.offset = take_hexadecimal(&text);
  while (*text && *text != '/')
    text++;
  line.path = text;
  return line;
}

/* Opens the file that a store stands for: what it is called in the feed, or a ghost. */
static int64_t open_file(enum store_kind kind, const struct store_id *id, bool writable)
{
  const struct feed_file *file = feed_find_primary(id->device, id->inode, id->birth_ns);
  const struct journal_file ghost = {
      .device = id->device, .inode = id->inode, .birth_ns = id->birth_ns, .mode = 0600};
  uint64_t flags = writable ? O_RDWR : O_RDONLY;
  const char *path = file && file->path ? feed_at(file->path) : "";
  int64_t fd = kind == STORE_GHOST ? ghost_open(&ghost, NULL, flags) : open_aside(AT_FDCWD, path, flags, 0);
  if (fd < 0)
    mapped_changed(path);
  return fd;
}

/* What the program may have stored, as far as the file reaches. */
static void put_stores(int64_t store, int64_t fd, uint64_t offset, uint64_t length)
{
  struct journal_file now = {0};
  uint8_t bytes[4096];
  file_look((int)fd, "", AT_EMPTY_PATH, &now);
  uint64_t end = offset + length < now.size ? offset + length : now.size;
  while (offset < end) {
    uint64_t part = end - offset < sizeof bytes ? end - offset : sizeof bytes;
    int64_t got = raw_syscall4(SYS_pread64, (uint64_t)store, (uint64_t)bytes, part, offset);
    if (got <= 0 || raw_syscall4(SYS_pwrite64, (uint64_t)fd, (uint64_t)bytes, (uint64_t)got, offset) != got)
      engine_failed(TAIL_REPORT_FAILED, "what the program stored cannot be put into the file it is of", "", got);
    offset += (uint64_t)got;
  }
}

static void move_line(const struct line *line, enum store_kind kind, const struct store_id *id)
{
  if (!line->shared)
    return;
  int64_t fd = open_file(kind, id, line->writable);
  if (line->writable) {
    struct journal_file file = {0};
    if (kind == STORE_MAPPED) {
      int64_t store = store_open(kind, id);
      put_stores(store, fd, line->offset, line->end - line->begin);
      raw_syscall1(SYS_close, (uint64_t)store);
    }
    file_look((int)fd, "", AT_EMPTY_PATH, &file);
    file_mark_stored_to(file.device, file.inode);
  }
  uint64_t protection = (line->readable ? PROT_READ : 0) | (line->writable ? PROT_WRITE : 0);
  int64_t result = raw_syscall6(SYS_mmap, line->begin, line->end - line->begin, protection,
                                MAP_SHARED | MAP_FIXED, (uint64_t)fd, line->offset);
  if (raw_is_error(result))
    engine_failed(TAIL_REPORT_FAILED, "a file cannot be mapped again", "", result);
  raw_syscall1(SYS_close, (uint64_t)fd);
}

static bool is_store(const char *path, enum store_kind kind, struct store_id *ret_id)
{
  char prefix[PATH_ROOM + 128];
  size_t length = store_prefix(kind, prefix);
  if (!raw_equal(path, prefix, length))
    return false;
  path += length;
  ret_id->device = take_hexadecimal(&path);
  path++;
  ret_id->inode = take_hexadecimal(&path);
  path++;
  ret_id->birth_ns = take_hexadecimal(&path);
  return true;
}

/* All of /proc/self/maps, read before anything is moved. */
static char *read_maps(uint64_t *ret_room)
{
  for (uint64_t room = MAPS_ROOM;; room *= 4) {
    char *text = (char *)raw_syscall6(SYS_mmap, MAPS_ADDRESS, room, PROT_READ | PROT_WRITE,
                                      MAP_PRIVATE | MAP_ANONYMOUS, ~0ull, 0);
    int64_t fd = open_aside(AT_FDCWD, "/proc/self/maps", O_RDONLY, 0);
    if (raw_is_error((int64_t)text) || fd < 0)
      engine_failed(TAIL_REPORT_FAILED, "the program's mappings cannot be listed", "", fd);
    uint64_t size = 0;
    int64_t got;
    while (size + 1 < room && (got = raw_syscall3(SYS_read, (uint64_t)fd, (uint64_t)text + size, room - 1 - size)) > 0)
      size += (uint64_t)got;
    raw_syscall1(SYS_close, (uint64_t)fd);
    text[size] = 0;
    *ret_room = room;
    if (size + 1 < room)
      return text;
    raw_syscall2(SYS_munmap, (uint64_t)text, room);
  }
}

static void each_mapping(void (*visit)(const struct line *line, enum store_kind kind, const struct store_id *id))
{
  uint64_t room;
  char *text = read_maps(&room);
  for (const char *at = text; *at;) {
    struct line line = take_line(at);
    struct store_id id;
    if (is_store(line.path, STORE_MAPPED, &id))
      visit(&line, STORE_MAPPED, &id);
    else if (is_store(line.path, STORE_GHOST, &id))
      visit(&line, STORE_GHOST, &id);
    while (*at && *at != '\n')
      at++;
    at += *at == '\n';
  }
  raw_syscall2(SYS_munmap, (uint64_t)text, room);
}

/* ---- mappings that are gone before the end of replay ---- */

struct left {
  struct store_id id;
  uint64_t offset, length;
};

LARGE_TABLE static struct left left[LEFT_MAX];
static uint32_t left_count;
static uint64_t going_begin, going_end;

static void leave(const struct line *line, enum store_kind kind, const struct store_id *id)
{
  uint64_t begin = line->begin > going_begin ? line->begin : going_begin;
  uint64_t end = line->end < going_end ? line->end : going_end;
  if (kind != STORE_MAPPED || !line->shared || !line->writable || begin >= end)
    return;
  if (left_count == LEFT_MAX)
    engine_failed(TAIL_REPORT_FAILED, "more shared mappings come and go than can be replayed", "", LEFT_MAX);
  left[left_count++] = (struct left){*id, line->offset + (begin - line->begin), end - begin};
}

void mapping_leaves(uint64_t address, uint64_t length)
{
  if (!mapped_count || engine_live())
    return;
  going_begin = address;
  going_end = address + length;
  each_mapping(leave);
}

static void put_left(const struct left *gone)
{
  int64_t store = store_open(STORE_MAPPED, &gone->id);
  int64_t fd = open_file(STORE_MAPPED, &gone->id, true);
  put_stores(store, fd, gone->offset, gone->length);
  raw_syscall1(SYS_close, (uint64_t)store);
  raw_syscall1(SYS_close, (uint64_t)fd);
}

void mappings_go_live(void)
{
  for (uint32_t i = 0; i < left_count; i++)
    put_left(&left[i]);
  left_count = 0;
  if (mapped_count || ghosts_mapped)
    each_mapping(move_line);
  for (uint32_t i = 0; i < mapped_count; i++)
    store_remove(STORE_MAPPED, &mapped[i]);
  mapped_count = 0;
}

bool mappings_of_changed_files(void)
{
  return mapped_count > 0 || ghosts_mapped;
}
