/* SPDX-License-Identifier: Apache-2.0 */
/* waits PORT N COUNT [FILE]: COUNT times SET and WAIT N on 127.0.0.1, each a round trip by hiredis: what a program would do
 * without perdure for a commit to N replicas. With a file, 64 bytes of it are written and put on disk (msync) before each,
 * which a commit does too. Prints the ns that they took. */
#include <fcntl.h>
#include <hiredis/hiredis.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static uint64_t now_ns(void)
{
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

#define LINE_SIZE 64
#define PAGE_SIZE 4096

/* A mapped file whose blocks are there, as the journal's are: the cheapest way to disk. */
static char *map_lines(const char *path, long count)
{
  static const char line[LINE_SIZE];
  int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  for (long i = 0; i < count; i++)
    if (fd < 0 || pwrite(fd, line, sizeof line, i * LINE_SIZE) != sizeof line)
      return NULL;
  char *lines = fsync(fd) == 0 ? mmap(NULL, (size_t)count * LINE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) : MAP_FAILED;
  close(fd);
  return lines == MAP_FAILED ? NULL : lines;
}

static int write_line(char *lines, long i)
{
  size_t offset = (size_t)i * LINE_SIZE;
  memset(lines + offset, 'x', LINE_SIZE);
  return msync(lines + offset / PAGE_SIZE * PAGE_SIZE, PAGE_SIZE, MS_SYNC);
}

static int set_and_wait(redisContext *context, long i, long long replicas)
{
  redisReply *set = redisCommand(context, "SET waits:%ld %ld", i % 100, i);
  redisReply *wait = redisCommand(context, "WAIT %lld 0", replicas);
  int failed = !set || set->type != REDIS_REPLY_STATUS || !wait || wait->type != REDIS_REPLY_INTEGER || wait->integer < replicas;

  freeReplyObject(set);
  freeReplyObject(wait);
  return failed;
}

int main(int argc, char **argv)
{
  if (argc != 4 && argc != 5)
    return 2;
  redisContext *context = redisConnect("127.0.0.1", atoi(argv[1]));
  long count = atol(argv[3]);
  char *lines = argc == 5 ? map_lines(argv[4], count) : NULL;
  int failed = !context || context->err || (argc == 5 && !lines);
  uint64_t began = now_ns();

  for (long i = 0; i < count && !failed; i++)
    failed = (lines && write_line(lines, i) != 0) || set_and_wait(context, i, atoll(argv[2]));
  printf("%llu\n", (unsigned long long)(now_ns() - began));
  if (failed)
    fprintf(stderr, "SET, WAIT or the file failed\n");
  return failed;
}
