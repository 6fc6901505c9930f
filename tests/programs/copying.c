/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes that the kernel moves: copy_file_range, sendfile, splice, FICLONE. Where one is refused, reading and
 * writing takes its place, as in programs of the day. */
#include "must.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>

static int create(const char *name)
{
  int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0644);
  must(fd >= 0);
  return fd;
}

static off_t here(int fd)
{
  return lseek(fd, 0, SEEK_CUR);
}

static void ranges(int from)
{
  int to = create("range");
  must(copy_file_range(from, NULL, to, NULL, 70000, 0) == 70000);
  must(here(from) == 70000 && here(to) == 70000);
  must(copy_file_range(from, NULL, to, NULL, 70000, 0) == 70000);
  off64_t in = 8, out = 16;
  must(copy_file_range(from, &in, to, &out, 800, 0) == 800);
  must(in == 808 && out == 816 && here(from) == 140000 && here(to) == 140000);
  put(to, "end of the range\n");
  must(copy_file_range(from, NULL, to, NULL, 1000000, 0) == 60000);
  must(copy_file_range(from, NULL, to, NULL, 1000, 0) == 0);
  must(copy_file_range(from, NULL, create("range"), NULL, 0, 0) == 0);
  must(close(to) == 0);
}

static void sends(int from)
{
  int to = create("sent");
  off_t offset = 4000;
  must(sendfile(to, from, &offset, 1000) == 1000 && offset == 5000);
  must(lseek(from, 0, SEEK_SET) == 0);
  must(sendfile(to, from, NULL, 90000) == 90000 && here(from) == 90000 && here(to) == 91000);
  put(to, "sent\n");
  must(pwrite(to, "S", 1, 0) == 1);
  must(close(to) == 0);
}

/* Out of a pipe into a file. */
static void splices(void)
{
  int ends[2], to = create("spliced");
  must(pipe(ends) == 0);
  put(ends[1], "bytes that were spliced, and some that stay");
  must(splice(ends[0], NULL, to, NULL, 23, 0) == 23 && here(to) == 23);
  off64_t offset = 30;
  must(splice(ends[0], NULL, to, &offset, 5, SPLICE_F_MOVE) == 5 && offset == 35 && here(to) == 23);
  char bytes[64];
  must(read(ends[0], bytes, sizeof bytes) == 15 && memcmp(bytes, " some that stay", 15) == 0);
  must(close(ends[1]) == 0);
  must(splice(ends[0], NULL, to, NULL, 23, 0) == 0);
}

static void clones(int from)
{
  int to = create("cloned");
  if (ioctl(to, FICLONE, from) != 0) {
    char bytes[4096];
    must(lseek(from, 0, SEEK_SET) == 0);
    for (ssize_t size; (size = read(from, bytes, sizeof bytes)) > 0;)
      must(write(to, bytes, (size_t)size) == size);
  }
  must(lseek(to, 0, SEEK_END) == 200000);
  must(fsync(to) == 0 && close(to) == 0);
}

/* Onto a file that was read before: its old bytes are still what was read. */
static void onto_inputs(int from)
{
  static char bytes[104000];
  int to = open("other", O_RDWR);
  must(read(to, bytes, 104000) == 104000 && memcmp(bytes + 80000, "0060000\n", 8) == 0);
  off64_t in = 0, out = 80000;
  must(copy_file_range(from, &in, to, &out, 16000, 0) == 16000);
  must(pread(to, bytes, 104000, 0) == 104000 && memcmp(bytes + 80000, "0000000\n", 8) == 0);
  out = 64000;
  must(copy_file_range(to, &out, to, &(off64_t){0}, 8000, 0) == 8000);
  must(pread(to, bytes, 8, 0) == 8 && memcmp(bytes, "0058000\n", 8) == 0);
}

int main(void)
{
  int from = open("big", O_RDONLY);
  must(from >= 0);
  ranges(from);
  sends(from);
  splices();
  clones(from);
  onto_inputs(from);
  puts("copying: all there");
  return 0;
}
