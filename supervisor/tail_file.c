/* SPDX-License-Identifier: Apache-2.0 */
/* Tail files, as the supervisor makes and holds them.
 *
 * A crash at any line is harmless: a new tail is finished under PATH.new and renamed over the old one,
 * which the caller has drained.
 */
#include "supervisor/drain.h"
#include "supervisor/store_internal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define RING_SIZE_MIN (64u << 10)
#define RING_SIZE_MAX (1u << 30)

static bool ring_size_valid(uint64_t size)
{
  return size >= RING_SIZE_MIN && size <= RING_SIZE_MAX && (size & (size - 1)) == 0;
}

static int map_header(int fd, struct tail_header **ret_header)
{
  void *header = mmap(NULL, TAIL_HEADER_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (header == MAP_FAILED)
    return -errno;
  /* Else the first touch of a preallocated file reads megabytes of zeros ahead: milliseconds. */
  madvise(header, TAIL_HEADER_SIZE, MADV_RANDOM);
  posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
  *ret_header = header;
  return 0;
}

/* Space first: a page that turns out to have none would kill the program with SIGBUS. */
static int prepare_file(int fd, uint64_t ring_size, uint64_t base, struct tail_header **ret_header)
{
  int error = -posix_fallocate(fd, 0, (off_t)(TAIL_HEADER_SIZE + ring_size));
  if (error == 0)
    error = map_header(fd, ret_header);
  if (error != 0)
    return error;
  struct tail_header *header = *ret_header;
  header->version = JOURNAL_VERSION;
  header->header_size = TAIL_HEADER_SIZE;
  header->ring_size = ring_size;
  header->base = base;
  atomic_store(&header->head, base);
  atomic_store(&header->drained, base);
  atomic_store(&header->synced, base);
  memcpy(header->magic, TAIL_MAGIC, sizeof header->magic);
  return 0;
}

int tail_file_create(const char *path, uint64_t ring_size, uint64_t base, struct tail_file *ret_file,
                     struct failure *failure)
{
  assert(ring_size_valid(ring_size) && base % 8 == 0);
  char temporary[PATH_MAX];
  if ((size_t)snprintf(temporary, sizeof temporary, "%s.new", path) >= sizeof temporary)
    return failure_set(failure, -ENAMETOOLONG, "cannot create the tail: its path is too long");
  int fd = open(temporary, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) {
    int error = -errno;
    return failure_set(failure, error, "cannot create the tail %s: %s", path, strerror(-error));
  }
  struct tail_header *header = NULL;
  int error = prepare_file(fd, ring_size, base, &header);
  if (error == 0 && (fchmod(fd, 0600) != 0 || rename(temporary, path) != 0))
    error = -errno;
  if (error != 0) {
    if (header != NULL)
      munmap(header, TAIL_HEADER_SIZE);
    close(fd);
    unlink(temporary);
    return failure_set(failure, error, "cannot create the tail %s of %llu MiB: %s", path,
                       (unsigned long long)(ring_size >> 20), strerror(-error));
  }
  *ret_file = (struct tail_file){.fd = fd, .header = header};
  return 0;
}

static int check_owner_and_size(int fd, const char *path, uint64_t *ret_size, struct failure *failure)
{
  struct stat status;
  if (fstat(fd, &status) != 0)
    return failure_set(failure, -errno, "cannot read the tail %s: %s", path, strerror(errno));
  if (!S_ISREG(status.st_mode))
    return failure_set(failure, -EBADMSG, "%s is not a tail: it is not a regular file", path);
  if (status.st_uid != geteuid())
    return failure_set(failure, -EPERM,
                       "cannot open the tail %s: it belongs to user %u, not to you (user %u); run as its owner", path,
                       (unsigned)status.st_uid, (unsigned)geteuid());
  if (status.st_size < (off_t)TAIL_HEADER_SIZE)
    return failure_set(failure, -EBADMSG, "the tail %s is truncated: %lld bytes", path,
                       (long long)status.st_size);
  *ret_size = (uint64_t)status.st_size;
  return 0;
}

static int check_header(const struct tail_header *header, uint64_t file_size, const char *path,
                        struct failure *failure)
{
  if (memcmp(header->magic, TAIL_MAGIC, sizeof header->magic) != 0)
    return failure_set(failure, -EBADMSG, "%s is not a tail: it does not begin as one", path);
  if (header->version != JOURNAL_VERSION)
    return failure_set(failure, -EPROTONOSUPPORT,
                       "cannot open the tail %s: it has version %u and this perdure reads version %u; use the %s "
                       "perdure that wrote it",
                       path, header->version, JOURNAL_VERSION,
                       header->version > JOURNAL_VERSION ? "newer" : "older");
  if (header->header_size != TAIL_HEADER_SIZE || !ring_size_valid(header->ring_size))
    return failure_set(failure, -EBADMSG, "the tail %s is corrupt: its sizes are wrong", path);
  if (file_size != TAIL_HEADER_SIZE + header->ring_size)
    return failure_set(failure, -EBADMSG, "the tail %s is truncated: %llu bytes of %llu are there", path,
                       (unsigned long long)file_size,
                       (unsigned long long)(TAIL_HEADER_SIZE + header->ring_size));
  uint64_t drained = atomic_load(&header->drained);
  uint64_t head = atomic_load(&header->head);
  if (header->base > drained || drained > head || (header->base | drained | head) % 8 != 0)
    return failure_set(failure, -EBADMSG, "the tail %s is corrupt: its positions are out of order", path);
  return 0;
}

int tail_file_open(const char *path, struct tail_file *ret_file, struct failure *failure)
{
  int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (fd < 0) {
    int error = -errno;
    return failure_set(failure, error, "cannot open the tail %s: %s", path, strerror(-error));
  }
  uint64_t size = 0;
  struct tail_header *header = NULL;
  int error = check_owner_and_size(fd, path, &size, failure);
  if (error == 0) {
    error = map_header(fd, &header);
    if (error != 0)
      failure_set(failure, error, "cannot map the tail %s: %s", path, strerror(-error));
  }
  if (error == 0)
    error = check_header(header, size, path, failure);
  if (error != 0) {
    if (header != NULL)
      munmap(header, TAIL_HEADER_SIZE);
    close(fd);
    return error;
  }
  *ret_file = (struct tail_file){.fd = fd, .header = header};
  return 0;
}

void tail_file_close(struct tail_file *file)
{
  if (file->header == NULL)
    return;
  munmap(file->header, TAIL_HEADER_SIZE);
  close(file->fd);
  *file = (struct tail_file){.fd = -1};
}

/* One after another, as in the program. */
int tail_file_map(const struct tail_file *file, struct tail *ret_tail)
{
  uint64_t size = file->header->ring_size;
  uint8_t *place = mmap(NULL, TAIL_HEADER_SIZE + 2 * size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                        -1, 0);
  if (place == MAP_FAILED)
    return -errno;
  uint8_t *ring = place + TAIL_HEADER_SIZE;
  if (mmap(place, TAIL_HEADER_SIZE + size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file->fd, 0) == MAP_FAILED ||
      mmap(ring + size, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file->fd, TAIL_HEADER_SIZE) ==
        MAP_FAILED) {
    int error = -errno;
    munmap(place, TAIL_HEADER_SIZE + 2 * size);
    return error;
  }
  madvise(place, TAIL_HEADER_SIZE + 2 * size, MADV_RANDOM); /* as for the header */
  *ret_tail = (struct tail){.header = (struct tail_header *)place, .ring = ring};
  return 0;
}

void tail_file_unmap(struct tail *tail)
{
  munmap(tail->header, TAIL_HEADER_SIZE + 2 * tail->header->ring_size);
  *tail = (struct tail){0};
}

uint64_t tail_file_append(struct tail_file *file, const struct tail_draft *draft)
{
  struct tail tail;
  int error = tail_file_map(file, &tail);
  assert(error == 0); /* address space for two rings is there, or nothing would run */
  uint64_t position = tail_append(&tail, draft);
  tail_file_unmap(&tail);
  return position;
}

int tail_file_read(const struct tail_file *file, uint64_t position, void *buffer, size_t size)
{
  uint64_t ring_size = file->header->ring_size;
  assert(size <= ring_size);
  uint8_t *to = buffer;
  while (size > 0) {
    uint64_t offset = position & (ring_size - 1);
    size_t piece = size < ring_size - offset ? size : ring_size - offset;
    ssize_t count = pread(file->fd, to, piece, (off_t)(TAIL_HEADER_SIZE + offset));
    if (count < 0 && errno == EINTR)
      continue;
    if (count <= 0)
      return count < 0 ? -errno : -EBADMSG; /* 0: cut under our feet */
    to += count;
    position += (uint64_t)count;
    size -= (size_t)count;
  }
  return 0;
}
