/* SPDX-License-Identifier: Apache-2.0 */
/* blocks FILE N [off]: N writes of 4 KiB one after another, then N preads of 4 KiB here and there; off: N writes alone, over the
 * first 4 MiB, with persistence off. */
#include "control-api/perdure.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BLOCK_SIZE 4096
#define FEW 1024u

static int write_all(int fd, uint64_t count)
{
  uint64_t block[BLOCK_SIZE / 8] = {0};

  for (uint64_t i = 0; i < count; i++) {
    block[i % (BLOCK_SIZE / 8)] = i; /* every block another one */
    if (write(fd, block, sizeof block) != sizeof block)
      return -1;
  }
  return 0;
}

/* Over and over the same few: what the disk does is not what is measured. */
static int write_few(int fd, uint64_t count)
{
  uint64_t block[BLOCK_SIZE / 8] = {0};

  for (uint64_t i = 0; i < count; i++) {
    block[i % (BLOCK_SIZE / 8)] = i;
    if (i % FEW == 0 && lseek(fd, 0, SEEK_SET) != 0)
      return -1;
    if (write(fd, block, sizeof block) != sizeof block)
      return -1;
  }
  return 0;
}

static int read_all(int fd, uint64_t count)
{
  uint64_t block[BLOCK_SIZE / 8], random = 1;

  for (uint64_t i = 0; i < count; i++) {
    random = random * 6364136223846793005u + 1442695040888963407u;
    if (pread(fd, block, sizeof block, (off_t)((random >> 33) % count * BLOCK_SIZE)) != sizeof block)
      return -1;
  }
  return 0;
}

int main(int argc, char **argv)
{
  if (argc != 3 && argc != 4)
    return 2;
  uint64_t count = strtoull(argv[2], NULL, 10);
  int fd = open(argv[1], O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

  bool well = fd >= 0;
  if (argc == 4) {
    PERDURE_WITH_PERSISTENCE(PERDURE_PERSIST_NOTHING)
      well = well && write_few(fd, count) == 0;
  } else {
    well = well && write_all(fd, count) == 0 && read_all(fd, count) == 0;
  }
  if (!well)
    perror(argv[1]);
  return well ? 0 : 1;
}
