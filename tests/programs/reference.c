/* SPDX-License-Identifier: Apache-2.0 */
/* Large inputs, whose bytes are not in the journal, and which the program itself overwrites, appends to,
 * cuts, replaces and removes after it has read them: what was read is read again. */
#include "must.h"

#include <fcntl.h>
#include <sys/uio.h>

static char bytes[256 * 1024];
static unsigned long hash = 5381;

static void add(const char *from, ssize_t size)
{
  must(size >= 0);
  for (ssize_t i = 0; i < size; i++)
    hash = hash * 33 + (unsigned char)from[i];
}

static void tell(const char *words)
{
  printf("%s %lx\n", words, hash);
}

static void in_place(void)
{
  int fd = open("big", O_RDWR), out = open("log", O_WRONLY | O_CREAT | O_APPEND, 0600);
  add(bytes, read(fd, bytes, 150000));
  tell("read");
  must(pwrite(fd, "replaced", 8, 80000) == 8);
  must(pwrite(fd, "again!", 6, 80004) == 6);
  put(out, "in place\n");
  add(bytes, pread(fd, bytes, 1000, 79900));
  tell("pread");
  struct iovec pieces[] = {{bytes, 100}, {bytes + 1000, 70000}, {bytes + 100000, 3}};
  must(lseek(fd, 70000, SEEK_SET) == 70000);
  ssize_t size = readv(fd, pieces, 3);
  must(size == 70103);
  add(bytes, 100);
  add(bytes + 1000, 70000);
  add(bytes + 100000, 3);
  must(lseek(fd, 70050, SEEK_SET) == 70050);
  struct iovec parts[] = {{"written", 7}, {" by", 3}, {" writev", 7}};
  must(writev(fd, parts, 3) == 17);
  tell("readv");
  must(preadv2(fd, pieces, 3, 69000, 0) == 70103);
  add(bytes, 100);
  add(bytes + 1000, 70000);
  tell("preadv2");
  must(preadv2(fd, pieces, 2, -1, 0) == 70100 && lseek(fd, 0, SEEK_CUR) == 140167);
  add(bytes + 1000, 70000);
  must(close(fd) == 0 && close(out) == 0);
}

static void appended(void)
{
  int fd = open("big", O_RDONLY), end = open("big", O_WRONLY | O_APPEND);
  must(lseek(fd, 100000, SEEK_SET) == 100000);
  add(bytes, read(fd, bytes, 200000));
  put(end, "one more line\n");
  add(bytes, read(fd, bytes, 200000));
  add(bytes, pread(fd, bytes, 200000, 60000));
  tell("appended");
  must(close(fd) == 0 && close(end) == 0);
}

static void cut(void)
{
  int fd = open("big", O_RDWR);
  add(bytes, pread(fd, bytes, 200000, 0));
  must(ftruncate(fd, 90000) == 0);
  add(bytes, pread(fd, bytes, 200000, 0));
  must(truncate("big", 100000) == 0);
  add(bytes, pread(fd, bytes, 200000, 80000));
  must(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 70000, 5000) == 0);
  add(bytes, pread(fd, bytes, 200000, 60000));
  tell("cut");
  must(close(fd) == 0);
  fd = open("big", O_RDWR | O_TRUNC);
  must(read(fd, bytes, 10) == 0);
  must(write(fd, bytes, 80000) == 80000);
  add(bytes, pread(fd, bytes, 200000, 1000));
  tell("truncated by open");
  must(close(fd) == 0);
}

static void replaced(void)
{
  int fd = open("other", O_RDONLY);
  add(bytes, read(fd, bytes, 70000));
  int fresh = open("other.new", O_RDWR | O_CREAT | O_EXCL, 0600);
  memset(bytes, 'n', 90000);
  must(write(fresh, bytes, 90000) == 90000);
  must(rename("other.new", "other") == 0);
  add(bytes, read(fd, bytes, 70000));
  tell("replaced");
  add(bytes, pread(fresh, bytes, 90000, 0));
  must(pwrite(fresh, "m", 1, 66666) == 1);
  must(unlink("other") == 0);
  add(bytes, pread(fresh, bytes, 90000, 10));
  add(bytes, pread(fd, bytes, 90000, 20));
  tell("removed");
  int copy = dup(fresh);
  must(close(fresh) == 0 && close(fd) == 0);
  must(pwrite(copy, "w", 1, 70000) == 1);
  add(bytes, pread(copy, bytes, 90000, 0));
  tell("nameless");
}

int main(void)
{
  setvbuf(stdout, NULL, _IOLBF, 0);
  in_place();
  appended();
  cut();
  replaced();
  return 0;
}
