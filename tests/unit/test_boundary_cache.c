/* SPDX-License-Identifier: Apache-2.0 */
/* Images in their cache. */
#include "supervisor/boundary.h"
#include "supervisor/boundary_image.h"
#include "tests/unit/tap.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char directory[] = "/tmp/test_boundary_cache.XXXXXX";

/* The whole file, malloc'ed. */
static uint8_t *read_file(const char *path, size_t *ret_size)
{
  struct stat status;
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0 || fstat(fd, &status) < 0)
    return NULL;
  uint8_t *bytes = malloc((size_t)status.st_size);
  *ret_size = (size_t)read(fd, bytes, (size_t)status.st_size);
  close(fd);
  return bytes;
}

static bool is_valid(const char *path)
{
  size_t size = 0;
  uint8_t *bytes = read_file(path, &size);
  bool valid = bytes && boundary_image_is_valid(bytes, size);
  free(bytes);
  return valid;
}

static void overwrite(const char *path, off_t offset)
{
  int fd = open(path, O_RDWR | O_CLOEXEC);
  uint8_t byte;
  if (fd < 0 || pread(fd, &byte, 1, offset) != 1)
    abort();
  byte ^= 0x40;
  if (pwrite(fd, &byte, 1, offset) != 1)
    abort();
  close(fd);
}

static ino_t inode(const char *path)
{
  struct stat status;
  return stat(path, &status) == 0 ? status.st_ino : 0;
}

/* The paths of the images in the directory; the number of all names there. */
static size_t list(char paths[][PATH_MAX], size_t room)
{
  DIR *dir = opendir(directory);
  size_t count = 0;
  for (struct dirent *entry; (entry = readdir(dir));) {
    if (entry->d_name[0] != '.' && count < room)
      snprintf(paths[count++], PATH_MAX, "%s/%s", directory, entry->d_name);
  }
  closedir(dir);
  return count;
}

static void test_validity(const char *path)
{
  size_t size = 0, seen = 0, tried = 0;
  uint8_t *bytes = read_file(path, &size);
  for (size_t at = 0; at < size; at += at < sizeof(struct boundary_header) ? 1 : size / 97) {
    tried++;
    bytes[at] ^= 1;
    seen += !boundary_image_is_valid(bytes, size);
    bytes[at] ^= 1;
  }
  tap_ok(seen == tried, "a changed bit anywhere is noticed (%zu of %zu)", seen, tried);
  tap_ok(!boundary_image_is_valid(bytes, size - 1) && !boundary_image_is_valid(bytes, 4096) &&
             !boundary_image_is_valid(bytes, 16) && boundary_image_is_valid(bytes, size),
         "an image cut short is noticed, a whole one is not");
  free(bytes);
}

static void test_remaking(char paths[][PATH_MAX], size_t count)
{
  struct failure failure = {""};
  ino_t before[4];
  for (size_t i = 0; i < count; i++)
    before[i] = inode(paths[i]);
  bool kept = boundary_prepare(directory, &failure) == 0;
  for (size_t i = 0; i < count; i++)
    kept = kept && inode(paths[i]) == before[i];
  tap_ok(kept, "images that are good are kept %s", failure.text);
  for (size_t i = 0; i < count; i++) {
    overwrite(paths[i], 5000);
    tap_ok(!is_valid(paths[i]) && boundary_prepare(directory, &failure) == 0 && is_valid(paths[i]),
           "a damaged image is made again %s", failure.text);
    tap_ok(truncate(paths[i], 100) == 0 && boundary_prepare(directory, &failure) == 0 &&
               is_valid(paths[i]),
           "an image cut short is made again %s", failure.text);
  }
  char others[8][PATH_MAX];
  tap_ok(list(others, 8) == count, "no temporary file is left");
}

static void test_refusals(void)
{
  struct failure failure = {""};
  char path[PATH_MAX] = "untouched";
  tap_ok(boundary_prepare_file(directory, "/proc/self/exe", path, &failure) < 0 &&
             strcmp(path, "untouched") == 0 && failure.text[0],
         "a program is no libc: %s", failure.text);
  tap_ok(boundary_prepare_file(directory, "/etc/passwd", path, &failure) < 0,
         "a text is no libc: %s", failure.text);
  tap_ok(boundary_prepare_file(directory, "/nowhere/libc.so.6", path, &failure) < 0,
         "a missing libc is named: %s", failure.text);
  tap_ok(boundary_prepare("/nowhere", &failure) < 0 && strstr(failure.text, "/nowhere"),
         "a missing cache directory is named: %s", failure.text);
}

int main(void)
{
  struct failure failure = {""};
  char paths[4][PATH_MAX];
  if (!mkdtemp(directory))
    return 1;
  tap_ok(boundary_prepare(directory, &failure) == 0, "images are made %s", failure.text);
  size_t count = list(paths, 4);
  tap_ok(count == 2, "one for libc and one for the vDSO (%zu)", count);
  for (size_t i = 0; i < count; i++) {
    tap_ok(is_valid(paths[i]), "an image that was just made is valid");
    test_validity(paths[i]);
  }
  test_remaking(paths, count);
  test_refusals();
  for (size_t i = 0; i < count; i++)
    unlink(paths[i]);
  tap_ok(rmdir(directory) == 0, "refusals leave nothing behind");
  return tap_done();
}
