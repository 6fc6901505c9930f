/* SPDX-License-Identifier: Apache-2.0 */
/* Files in memory: written, mapped, sealed, handed to another number, read again. */
#include "must.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>

int main(void)
{
  int fd = memfd_create("scratch", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  int out = open("log", O_WRONLY | O_CREAT | O_APPEND, 0600);
  must(fd >= 0 && out >= 0);
  put(fd, "in memory, ");
  struct iovec pieces[] = {{"twice ", 6}, {"written", 7}};
  must(writev(fd, pieces, 2) == 13);
  must(pwrite(fd, "I", 1, 0) == 1);
  put(out, "written\n");
  must_hold(fd, 0, "In memory, twice written");
  must(ftruncate(fd, 4096) == 0);
  char *mapped = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  must(mapped != MAP_FAILED);
  strcpy(mapped + 100, "by a store");
  put(out, "stored\n");
  char bytes[64];
  must(pread(fd, bytes, 11, 100) == 11 && strcmp(bytes, "by a store") == 0);
  must(pwrite(fd, "by a call!", 10, 200) == 10);
  must(strcmp(mapped + 200, "by a call!") == 0);
  int copy = dup(fd);
  must(lseek(copy, 24, SEEK_SET) == 24 && close(fd) == 0);
  put(copy, ", through a copy");
  put(out, "copied\n");
  must(lseek(copy, 0, SEEK_CUR) == 40);
  must(strcmp(mapped, "In memory, twice written, through a copy") == 0);
  must(munmap(mapped, 4096) == 0);
  must(fcntl(copy, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_WRITE) == 0);
  must(ftruncate(copy, 10) < 0 && errno == EPERM);
  must(write(copy, "x", 1) < 0 && errno == EPERM);
  put(out, "sealed\n");
  must(fcntl(copy, F_GET_SEALS) == (F_SEAL_SHRINK | F_SEAL_WRITE));
  must(lseek(copy, 0, SEEK_SET) == 0);
  must(read(copy, bytes, 9) == 9 && memcmp(bytes, "In memory", 9) == 0);
  struct stat about;
  must(fstat(copy, &about) == 0 && about.st_size == 4096);
  must(read(copy, bytes, 31) == 31 && memcmp(bytes, ", twice written, through a copy", 31) == 0);
  int big = memfd_create("big", 0), source = open("big", O_RDONLY);
  static char block[50000];
  for (ssize_t size; (size = read(source, block, sizeof block)) > 0;)
    must(write(big, block, (size_t)size) == size);
  put(out, "filled\n");
  must(pread(big, block, 8, 160000) == 8 && memcmp(block, "0020000\n", 8) == 0);
  must(lseek(big, 120000, SEEK_SET) == 120000);
  must(read(big, block, 50000) == 50000 && memcmp(block, "0015000\n", 8) == 0);
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", big);
  int again = open(path, O_RDONLY);
  must(again >= 0 && read(again, block, 8) == 8 && memcmp(block, "0000000\n", 8) == 0);
  put(out, "read again\n");
  must(read(again, block, 8) == 8 && memcmp(block, "0000001\n", 8) == 0);
  puts("memfd: all kept");
  return 0;
}
