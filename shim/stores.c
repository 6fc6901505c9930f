/* SPDX-License-Identifier: Apache-2.0 */
/* Killed at any line, the next attempt makes its own stores: their names have the attempt's number. */
#include "shim/stores.h"

#include "shim/descriptors.h"
#include "shim/paths.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

static const char *const prefixes[] = {
    [STORE_GHOST] = "/kept/ghost-", [STORE_MAPPED] = "/kept/mapped-", [STORE_PIPE] = "/kept/pipe-", [STORE_OWED] = "/kept/owed-"};

size_t store_prefix(enum store_kind kind, char *ret_path)
{
  const struct tail_header *header = engine.tail.header;
  size_t used = path_put_text(ret_path, 0, header->run_directory);
  used = path_put_text(ret_path, used, prefixes[kind]);
  used = path_put_number(ret_path, used, header->attempt, 16);
  return path_put_text(ret_path, used, "-");
}

void store_path(enum store_kind kind, const struct store_id *id, char *ret_path)
{
  size_t used = store_prefix(kind, ret_path);
  used = path_put_number(ret_path, used, id->device, 16);
  used = path_put_text(ret_path, used, "-");
  used = path_put_number(ret_path, used, id->inode, 16);
  used = path_put_text(ret_path, used, "-");
  path_put_number(ret_path, used, id->birth_ns, 16);
}

__attribute__((noreturn)) static void cannot_hold(const char *what, int64_t error)
{
  engine_failed(TAIL_REPORT_FAILED, "what a file held cannot be built again: ", what, error);
}

bool store_exists(enum store_kind kind, const struct store_id *id)
{
  char path[PATH_ROOM + 128];
  store_path(kind, id, path);
  return raw_syscall2(SYS_access, (uint64_t)path, F_OK) == 0;
}

/* A run that has ended has no kept/ any more; verifying it makes one. */
static void make_folder(void)
{
  char directory[PATH_ROOM + 16];
  size_t used = path_put_text(directory, 0, engine.tail.header->run_directory);
  path_put_text(directory, used, "/kept");
  raw_syscall2(SYS_mkdir, (uint64_t)directory, 0700);
}

int64_t store_open(enum store_kind kind, const struct store_id *id)
{
  char path[PATH_ROOM + 128];
  store_path(kind, id, path);
  int64_t fd = open_aside(AT_FDCWD, path, O_RDWR | O_CREAT, 0600);
  if (fd == -ENOENT) {
    make_folder();
    fd = open_aside(AT_FDCWD, path, O_RDWR | O_CREAT, 0600);
  }
  if (fd < 0)
    cannot_hold(path, fd);
  return fd;
}

void store_make_pipe(const struct store_id *id)
{
  char path[PATH_ROOM + 128];
  store_path(STORE_PIPE, id, path);
  int64_t result = raw_syscall3(SYS_mknod, (uint64_t)path, S_IFIFO | 0600, 0);
  if (result == -ENOENT) {
    make_folder();
    result = raw_syscall3(SYS_mknod, (uint64_t)path, S_IFIFO | 0600, 0);
  }
  if (result < 0 && result != -EEXIST)
    cannot_hold(path, result);
}

void store_remove(enum store_kind kind, const struct store_id *id)
{
  char path[PATH_ROOM + 128];
  store_path(kind, id, path);
  raw_syscall1(SYS_unlink, (uint64_t)path);
}

void store_write(enum store_kind kind, const struct store_id *id, uint64_t offset, const void *bytes,
                 uint64_t length)
{
  int64_t fd = store_open(kind, id);
  const uint8_t *from = bytes;
  while (length) {
    int64_t put = raw_syscall4(SYS_pwrite64, (uint64_t)fd, (uint64_t)from, length, offset);
    if (put == -EINTR)
      continue;
    if (put <= 0)
      cannot_hold("write", put);
    from += put;
    offset += (uint64_t)put;
    length -= (uint64_t)put;
  }
  raw_syscall1(SYS_close, (uint64_t)fd);
}

void store_truncate(enum store_kind kind, const struct store_id *id, uint64_t size)
{
  int64_t fd = store_open(kind, id);
  int64_t result = raw_syscall2(SYS_ftruncate, (uint64_t)fd, size);
  if (result < 0)
    cannot_hold("ftruncate", result);
  raw_syscall1(SYS_close, (uint64_t)fd);
}

void store_allocate(enum store_kind kind, const struct store_id *id, const struct call *call)
{
  int64_t fd = store_open(kind, id);
  int64_t result = raw_syscall4(SYS_fallocate, (uint64_t)fd, call->args[1], call->args[2], call->args[3]);
  if (result < 0)
    cannot_hold("fallocate", result);
  raw_syscall1(SYS_close, (uint64_t)fd);
}

/* ---- placeholders ---- */

static const uint8_t flags[] = {[STORE_GHOST] = DESCRIPTOR_GHOST, [STORE_MAPPED] = DESCRIPTOR_MAPPED};

static struct store_id id_of(const struct descriptor *placeholder)
{
  return (struct store_id){placeholder->device, placeholder->inode, placeholder->birth_ns};
}

void stores_write(const struct descriptor *placeholder, uint64_t offset, const void *bytes, uint64_t length)
{
  struct store_id id = id_of(placeholder);
  for (unsigned kind = 0; kind < sizeof flags; kind++)
    if (placeholder->flags & flags[kind])
      store_write(kind, &id, offset, bytes, length);
}

void stores_truncate(const struct descriptor *placeholder, uint64_t size)
{
  struct store_id id = id_of(placeholder);
  for (unsigned kind = 0; kind < sizeof flags; kind++)
    if (placeholder->flags & flags[kind])
      store_truncate(kind, &id, size);
}

void stores_allocate(const struct descriptor *placeholder, const struct call *call)
{
  struct store_id id = id_of(placeholder);
  for (unsigned kind = 0; kind < sizeof flags; kind++)
    if (placeholder->flags & flags[kind])
      store_allocate(kind, &id, call);
}
