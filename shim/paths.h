/* SPDX-License-Identifier: Apache-2.0 */
/* Absolute paths of names, as the journal holds them. */
#ifndef PERDURE_SHIM_PATHS_H
#define PERDURE_SHIM_PATHS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PATH_ROOM 4096

/* Joins the directory of `dirfd` (or the working directory) and `path` into `ret_full`, PATH_ROOM bytes;
 * nothing is resolved but "." and doubled slashes. Returns its length, 0 where it does not fit. */
size_t path_full(int dirfd, const char *path, char *ret_full);
/* The same for a name that is about to change: its directory without symlinks and "..", the name itself as
 * it is. Where the directory is not there, as path_full(). */
size_t path_name(int dirfd, const char *path, char *ret_full);
/* `path` (in `room` bytes), if it is `from` or lies below it, becomes what it is once that is at `to`.
 * False: it is not, or does not fit. */
bool path_moved(char *path, size_t room, const char *from, size_t from_length, const char *to,
                size_t to_length);
/* What the kernel says descriptor `fd` is ("/a/b", "pipe:[1]", "/memfd:x (deleted)"). Length; 0: unknown. */
size_t path_of_descriptor(int fd, char *ret_path);
/* "/proc/self/fd/N" into 32 bytes. */
void path_proc_fd(int fd, char ret_path[32]);
/* Appends a number in decimal or hexadecimal; returns the new length. */
size_t path_put_number(char *to, size_t used, uint64_t number, unsigned base);
/* Appends text; returns the new length. The caller has the room. */
size_t path_put_text(char *to, size_t used, const char *text);

/* An entry of getdents64. */
struct listed_name {
  uint64_t inode;
  int64_t next;
  uint16_t size;
  uint8_t type;
  char name[];
};

#endif
