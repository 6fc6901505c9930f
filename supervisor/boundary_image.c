/* SPDX-License-Identifier: Apache-2.0 */
/* The image file. It is written under a temporary name and renamed, so that readers see none or a whole
 * one. A crash leaves at most a temporary file, which is no image's name. It is not synced: after the
 * machine dies the file may be torn, its checksum then says so and it is made again. */
#include "supervisor/boundary_image.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

_Static_assert(sizeof(struct boundary_header) % 8 == 0, "no padding at the end");

static uint64_t checksum(const void *bytes, size_t size)
{
  struct boundary_header header;
  memcpy(&header, bytes, sizeof header);
  header.checksum = 0;
  XXH3_state_t state;
  XXH3_64bits_reset(&state);
  XXH3_64bits_update(&state, &header, sizeof header);
  XXH3_64bits_update(&state, (const uint8_t *)bytes + sizeof header, size - sizeof header);
  return XXH3_64bits_digest(&state);
}

/* Do `part` bytes from `offset`, page-aligned, lie between the header and the file's end? */
static bool is_part(uint64_t offset, uint64_t part, size_t size)
{
  return offset % BOUNDARY_PAGE_SIZE == 0 && part % BOUNDARY_PAGE_SIZE == 0 &&
         offset >= BOUNDARY_PAGE_SIZE && offset <= size && part <= size - offset;
}

bool boundary_image_is_valid(const void *bytes, size_t size)
{
  struct boundary_header header;
  if (size < sizeof header)
    return false;
  memcpy(&header, bytes, sizeof header);
  if (memcmp(header.magic, BOUNDARY_MAGIC, sizeof header.magic) != 0 ||
      header.version != BOUNDARY_VERSION || header.object > BOUNDARY_VDSO ||
      header.build_id_size == 0 || header.build_id_size > BOUNDARY_BUILD_ID_SIZE)
    return false;
  if (!is_part(header.text_offset, header.text_size, size) ||
      !is_part(header.stubs_offset, header.stubs_size, size) ||
      !is_part(header.sites_offset, 0, size) ||
      header.site_count > (size - header.sites_offset) / sizeof(struct boundary_site))
    return false;
  return header.checksum == checksum(bytes, size);
}

int boundary_image_path(const char *directory, const uint8_t *build_id, size_t build_id_size,
                        char *path)
{
  char hex[2 * BOUNDARY_BUILD_ID_SIZE + 1] = "";
  for (size_t i = 0; i < build_id_size && i < BOUNDARY_BUILD_ID_SIZE; i++)
    snprintf(hex + 2 * i, 3, "%02x", build_id[i]);
  int length = snprintf(path, PATH_MAX, "%s/%s.boundary", directory, hex);
  return length < PATH_MAX ? 0 : -ENAMETOOLONG;
}

/* The whole file in memory, malloc'ed. */
static uint8_t *serialize(const struct boundary_plan *plan, size_t *ret_size)
{
  struct boundary_header header = plan->header;
  header.text_offset = BOUNDARY_PAGE_SIZE;
  header.stubs_offset = header.text_offset + header.text_size;
  header.stubs_size = plan->stubs_size;
  header.sites_offset = header.stubs_offset + header.stubs_size;
  header.site_count = (uint32_t)plan->site_count;
  size_t sites_size = plan->site_count * sizeof *plan->sites;
  size_t size = header.sites_offset + sites_size;
  uint8_t *bytes = calloc(1, size);
  if (!bytes)
    return NULL;
  memcpy(bytes + header.text_offset, plan->text, header.text_size);
  memcpy(bytes + header.stubs_offset, plan->stubs, header.stubs_size);
  if (sites_size)
    memcpy(bytes + header.sites_offset, plan->sites, sites_size);
  memcpy(bytes, &header, sizeof header);
  header.checksum = checksum(bytes, size);
  memcpy(bytes, &header, sizeof header);
  *ret_size = size;
  return bytes;
}

static int write_all(int fd, const uint8_t *bytes, size_t size)
{
  while (size > 0) {
    ssize_t written = write(fd, bytes, size);
    if (written < 0 && errno == EINTR)
      continue;
    if (written < 0)
      return -errno;
    bytes += written;
    size -= (size_t)written;
  }
  return 0;
}

static int write_and_rename(const uint8_t *bytes, size_t size, const char *path)
{
  char temporary[PATH_MAX];
  if (snprintf(temporary, sizeof temporary, "%s.XXXXXX", path) >= (int)sizeof temporary)
    return -ENAMETOOLONG;
  int fd = mkostemp(temporary, O_CLOEXEC);
  if (fd < 0)
    return -errno;
  int result = write_all(fd, bytes, size);
  if (close(fd) < 0 && result == 0)
    result = -errno;
  if (result == 0 && rename(temporary, path) < 0)
    result = -errno;
  if (result < 0)
    unlink(temporary);
  return result;
}

int boundary_image_write(const struct boundary_plan *plan, const char *path,
                         struct failure *failure)
{
  size_t size;
  uint8_t *bytes = serialize(plan, &size);
  if (!bytes)
    return failure_set(failure, -ENOMEM, "out of memory making %s", path);
  int result = write_and_rename(bytes, size, path);
  free(bytes);
  if (result < 0)
    return failure_set(failure, result, "cannot write %s: %s", path, strerror(-result));
  return 0;
}
