/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/feed_files.h"

#include "supervisor/analysis.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int put_string(struct feed_files *files, const char *directory, const char *name,
                      uint32_t *ret_place)
{
  size_t directory_length = directory ? strlen(directory) : 0, name_length = strlen(name);
  size_t length = directory_length + (directory != NULL) + name_length + 1;
  if (length > UINT32_MAX - files->strings_length)
    return -EFBIG;
  if (length > files->strings_room - files->strings_length) {
    size_t room = files->strings_room * 2 + length;
    char *grown = realloc(files->strings, room);
    if (!grown)
      return -ENOMEM;
    files->strings = grown;
    files->strings_room = room;
  }
  char *to = files->strings + files->strings_length;
  *ret_place = (uint32_t)files->strings_length;
  if (directory) {
    memcpy(to, directory, directory_length);
    to[directory_length] = '/';
    to += directory_length + 1;
  }
  memcpy(to, name, name_length + 1);
  files->strings_length += length;
  return 0;
}

static int list_one(struct feed_files *files, uint32_t number, struct feed_file *ret_file)
{
  const struct analysis *analysis = files->analysis;
  const struct known_file *row = &analysis->files.files[number];
  number = row->same_as == KNOWN_FILE_NONE ? number : row->same_as;
  const struct known_file *known = &analysis->files.files[number];
  char path[KNOWN_PATH_SIZE_MAX];
  uint32_t place = 0;
  int error = 0;
  *ret_file = (struct feed_file){
      .device = row->id.device,
      .inode = row->id.inode,
      .birth_ns = row->id.birth_ns,
      .flags = (known->changed ? FEED_FILE_CHANGED : 0) | (known->reborn ? FEED_FILE_REBORN : 0),
  };
  if (known_file_ghost(known)) {
    ret_file->flags |= FEED_FILE_GHOST;
    const struct kept_file *kept = old_bytes_ghost(&analysis->old, number);
    if (kept) {
      ret_file->flags |= FEED_FILE_KEPT;
      error = put_string(files, files->kept_directory, kept->name, &place);
    }
  } else if (known_files_path(&analysis->files, number, 0, path, NULL) == 0) {
    error = put_string(files, NULL, path, &place);
  }
  ret_file->path = place;
  return error;
}

static int compare_files(const void *left, const void *right)
{
  const struct feed_file *a = left, *b = right;
  if (a->device != b->device)
    return a->device < b->device ? -1 : 1;
  if (a->inode != b->inode)
    return a->inode < b->inode ? -1 : 1;
  return a->birth_ns < b->birth_ns ? -1 : a->birth_ns > b->birth_ns;
}

/* Rows of files with several identities name the row of the first. */
static void point_to_primaries(struct feed_files *files)
{
  const struct known_files *known = &files->analysis->files;
  for (uint32_t i = 0; i < files->count; i++) {
    struct feed_file *row = &files->files[i];
    if (!(row->flags & FEED_FILE_REBORN))
      continue;
    struct file_id id = {row->device, row->inode, row->birth_ns};
    const struct file_id *first = &known->files[known_files_find(known, &id)].id;
    struct feed_file wanted = {
        .device = first->device, .inode = first->inode, .birth_ns = first->birth_ns};
    const struct feed_file *primary =
        bsearch(&wanted, files->files, files->count, sizeof wanted, compare_files);
    assert(primary);
    row->primary = (uint32_t)(primary - files->files);
  }
}

int feed_files_list(struct feed_files *files, const struct analysis *analysis,
                    const char *kept_directory)
{
  uint32_t count = analysis->files.file_count, empty;
  files->analysis = analysis;
  files->kept_directory = kept_directory;
  files->files = calloc((size_t)count + analysis->old.kept_count + 1, sizeof *files->files);
  files->kept = calloc((size_t)analysis->old.kept_count + 1, sizeof *files->kept);
  if (!files->files || !files->kept)
    return -ENOMEM;
  int error = put_string(files, NULL, "", &empty);
  for (uint32_t i = 0; i < count && !error; i++)
    error = list_one(files, i, &files->files[i]);
  if (error)
    return error;
  files->count = count;
  qsort(files->files, count, sizeof *files->files, compare_files);
  point_to_primaries(files);
  return 0;
}

int feed_files_keep(struct feed_files *files, uint32_t number)
{
  const struct analysis *analysis = files->analysis;
  assert(number < analysis->old.kept_count);
  if (files->kept[number])
    return 0;
  const struct kept_file *kept = &analysis->old.kept[number];
  const struct file_id *id = &analysis->files.files[kept->file].id;
  uint32_t place;
  int error = put_string(files, files->kept_directory, kept->name, &place);
  if (error)
    return error;
  /* A record that is kept of a file is listed behind it, so its row is never 0. */
  uint32_t row = files->count + files->kept_count++;
  files->files[row] = (struct feed_file){
      .device = id->device,
      .inode = id->inode,
      .birth_ns = id->birth_ns,
      .path = place,
      .flags = FEED_FILE_KEPT,
  };
  files->kept[number] = row;
  return 0;
}

uint32_t feed_files_kept(const struct feed_files *files, uint32_t number)
{
  assert(files->kept[number]);
  return files->kept[number];
}

void feed_files_place(struct feed_files *files, uint64_t strings_offset)
{
  for (uint32_t i = 0; i < files->count + files->kept_count; i++)
    if (files->files[i].path)
      files->files[i].path += strings_offset;
}

void feed_files_release(struct feed_files *files)
{
  free(files->files);
  free(files->strings);
  free(files->kept);
}
