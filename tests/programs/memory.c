/* SPDX-License-Identifier: Apache-2.0 */
/* Mapped files: private below and above 64 KiB, shared for reading and for writing, changed while they
 * are mapped, moved, grown, unmapped. */
#include "must.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define BIG 200000

static char *map(const char *name, size_t length, int protection, int flags)
{
  int fd = open(name, protection & PROT_WRITE && flags & MAP_SHARED ? O_RDWR : O_RDONLY);
  must(fd >= 0);
  char *bytes = mmap(NULL, length, protection, flags, fd, 0);
  must(bytes != MAP_FAILED);
  must(close(fd) == 0);
  return bytes;
}

/* The sum of the numbers in lines [first, last) of a file such as make_inputs makes. */
static long sum(const char *bytes, int first, int last)
{
  long total = 0;
  for (int i = first; i < last; i++)
    total += strtol(bytes + 8 * i, NULL, 10);
  return total;
}

static void read_only(void)
{
  char *small = map("small", 14, PROT_READ, MAP_PRIVATE);
  char *big = map("big", BIG, PROT_READ, MAP_PRIVATE);
  char *shared = map("other", 104000, PROT_READ, MAP_SHARED);
  printf("small %.3s big %ld other %ld\n", small, sum(big, 0, 25000), sum(shared, 0, 13000));
  /* The mappings hold nothing of their own: what is written shows, where it was not there before. */
  int fd = open("other", O_RDWR);
  must(pwrite(fd, "0000007\n", 8, 8 * 12000) == 8);
  printf("shared %ld\n", sum(shared, 12000, 12001));
  must(pwrite(fd, "0000008\n", 8, 8 * 12001) == 8);
  printf("shared %ld\n", sum(shared, 11999, 12003));
  must(munmap(shared, 104000) == 0 && close(fd) == 0);
  must(munmap(small, 14) == 0 && munmap(big, BIG) == 0);
}

static void private(void)
{
  char *big = map("big", BIG, PROT_READ | PROT_WRITE, MAP_PRIVATE);
  memcpy(big, "0000100\n", 8);
  int fd = open("copy", O_WRONLY | O_CREAT, 0644);
  must(write(fd, big, 16) == 16);
  must(write(fd, big + 150000, 16) == 16);
  char *moved = mremap(big, BIG, 2 * 1024 * 1024, MREMAP_MAYMOVE);
  must(moved != MAP_FAILED);
  must(mprotect(moved, 4096, PROT_READ) == 0);
  must(write(fd, moved + 8 * 24999, 8) == 8);
  must(munmap(moved, 2 * 1024 * 1024) == 0 && close(fd) == 0);
}

static void writable(void)
{
  int fd = open("table", O_RDWR | O_CREAT, 0600);
  must(ftruncate(fd, 8192) == 0);
  char *table = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  must(table != MAP_FAILED);
  strcpy(table, "first");
  strcpy(table + 4096, "second");
  must(msync(table, 8192, MS_SYNC) == 0);
  must(pwrite(fd, "F", 1, 0) == 1);
  strcpy(table + 100, "third");
  char bytes[8];
  must(pread(fd, bytes, 8, 4096) == 8 && strcmp(bytes, "second") == 0);
  must(pread(fd, bytes, 8, 100) == 8 && strcmp(bytes, "third") == 0);
  must(strcmp(table, "First") == 0);
  must(ftruncate(fd, 16384) == 0);
  char *grown = mremap(table, 8192, 16384, MREMAP_MAYMOVE);
  must(grown != MAP_FAILED);
  strcpy(grown + 12288, "fourth");
  must(pread(fd, bytes, 8, 12288) == 8 && strcmp(bytes, "fourth") == 0);
  must(munmap(grown, 4096) == 0);
  strcpy(grown + 4096, "SECOND");
  must(close(fd) == 0);
  strcpy(grown + 8192, "fifth");
  must(munmap(grown + 4096, 12288) == 0);
}

/* A big file's mapping and the same file overwritten: the reads before and the loads after agree with a
 * run that was not stopped. */
static void overwritten(void)
{
  int fd = open("big", O_RDWR);
  char *big = mmap(NULL, BIG, PROT_READ, MAP_PRIVATE, fd, 0);
  must(big != MAP_FAILED);
  printf("before %ld\n", sum(big, 20000, 20010));
  must(pwrite(fd, "0000001\n0000002\n", 16, 8 * 21000) == 16);
  printf("elsewhere %ld\n", sum(big, 20000, 20010));
  must(msync(big, BIG, MS_ASYNC) == 0);
  must(munmap(big, BIG) == 0);
  big = mmap(NULL, BIG, PROT_READ, MAP_PRIVATE, fd, 0);
  printf("after %ld\n", sum(big, 21000, 21003));
  must(unlink("big") == 0 && close(fd) == 0);
  printf("removed %ld\n", sum(big, 0, 25000));
}

int main(void)
{
  read_only();
  private();
  writable();
  overwritten();
  return 0;
}
