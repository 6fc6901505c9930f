/* SPDX-License-Identifier: Apache-2.0 */
/* Sizes: cut, grown, punched, zeroed, collapsed, inserted, each once. */
#include "must.h"

#include <fcntl.h>
#include <sys/stat.h>

#define BLOCK 4096

static void sized(int fd, off_t size)
{
  struct stat about;
  must(fstat(fd, &about) == 0 && about.st_size == size);
}

/* The first bytes of each block. */
static void blocks(int fd, const char *letters)
{
  for (off_t i = 0; letters[i]; i++) {
    char byte;
    must(pread(fd, &byte, 1, i * BLOCK) == 1);
    must(byte == (letters[i] == '.' ? 0 : letters[i]));
  }
  sized(fd, (off_t)strlen(letters) * BLOCK);
}

static int change(int fd, int mode, off_t first, off_t count)
{
  return fallocate(fd, mode, first * BLOCK, count * BLOCK);
}

int main(void)
{
  int fd = open("cut", O_RDWR | O_CREAT, 0600);
  put(fd, "0123456789");
  must(ftruncate(fd, 4) == 0);
  put(fd, "tail");
  must(ftruncate(fd, 20) == 0);
  must(truncate("cut", 12) == 0);
  sized(fd, 12);
  char bytes[16];
  must(pread(fd, bytes, 16, 0) == 12 && memcmp(bytes, "0123\0\0\0\0\0\0ta", 12) == 0);
  must(ftruncate(fd, -1) < 0 && errno == EINVAL);
  must(truncate("nothing", 1) < 0 && errno == ENOENT);

  int file = open("blocks", O_RDWR | O_CREAT, 0600);
  for (char letter = 'a'; letter < 'i'; letter++) {
    char block[BLOCK];
    memset(block, letter, sizeof block);
    must(write(file, block, sizeof block) == BLOCK);
  }
  blocks(file, "abcdefgh");
  must(change(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 1, 1) == 0);
  must(change(file, FALLOC_FL_KEEP_SIZE, 8, 2) == 0);
  blocks(file, "a.cdefgh");
  must(change(file, 0, 8, 1) == 0);
  must(posix_fallocate(file, 0, 10 * BLOCK) == 0);
  blocks(file, "a.cdefgh..");
  if (change(file, FALLOC_FL_ZERO_RANGE, 3, 1) == 0)
    blocks(file, "a.c.efgh..");
  if (change(file, FALLOC_FL_COLLAPSE_RANGE, 0, 2) == 0) {
    blocks(file, "c.efgh..");
    must(change(file, FALLOC_FL_COLLAPSE_RANGE, 0, 2) == 0);
    blocks(file, "efgh..");
    must(change(file, FALLOC_FL_INSERT_RANGE, 1, 2) == 0);
    blocks(file, "e..fgh..");
    must(change(file, FALLOC_FL_INSERT_RANGE, 1, 1) == 0);
    blocks(file, "e...fgh..");
    must(change(file, FALLOC_FL_COLLAPSE_RANGE, 0, 100) < 0 && errno == EINVAL);
  }
  int other = open("big", O_RDWR);
  must(read(other, bytes, 16) == 16);
  must(ftruncate(other, 100000) == 0);
  must(pread(other, bytes, 16, 99992) == 8);
  must(lseek(other, 0, SEEK_END) == 100000);
  put(other, "end");
  must(lseek(file, BLOCK, SEEK_DATA) >= BLOCK);
  printf("cut 12 blocks %lld big %lld\n", (long long)lseek(file, 0, SEEK_END),
         (long long)lseek(other, 0, SEEK_CUR));
  return 0;
}
