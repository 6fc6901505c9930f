/* SPDX-License-Identifier: Apache-2.0 */
/* Absolute paths of names, as the journal holds them. */
#ifndef PERDURE_SHIM_PATHS_H
#define PERDURE_SHIM_PATHS_H

#include <stddef.h>
#include <stdint.h>

#define PATH_ROOM 4096

/* Joins the directory of `dirfd` (or the working directory) and `path` into `ret_full`, PATH_ROOM bytes;
 * nothing is resolved but "." and doubled slashes. Returns its length, 0 where it does not fit. */
size_t path_full(int dirfd, const char *path, char *ret_full);
/* What the kernel says descriptor `fd` is ("/a/b", "pipe:[1]", "/memfd:x (deleted)"). Length; 0: unknown. */
size_t path_of_descriptor(int fd, char *ret_path);
/* "/proc/self/fd/N" into 32 bytes. */
void path_proc_fd(int fd, char ret_path[32]);
/* Appends a number in decimal or hexadecimal; returns the new length. */
size_t path_put_number(char *to, size_t used, uint64_t number, unsigned base);
/* Appends text; returns the new length. The caller has the room. */
size_t path_put_text(char *to, size_t used, const char *text);

#endif
