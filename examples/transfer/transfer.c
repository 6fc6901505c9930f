/* SPDX-License-Identifier: Apache-2.0 */
/* Moves money between two accounts, each a file with a number in it: transfer FROM TO AMOUNT TIMES.
 *
 * Between the two writes the money is in neither account. Whoever looks after the program has ended, however often it
 * died on the way, finds the sum that there was. */
#include "perdure.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static long balance(const char *account)
{
  char text[32] = "";
  int fd = open(account, O_RDONLY);
  if (fd < 0 || read(fd, text, sizeof text - 1) < 0)
    abort();
  close(fd);
  return atol(text);
}

static void set_balance(const char *account, long amount)
{
  int fd = open(account, O_WRONLY | O_TRUNC);
  if (fd < 0 || dprintf(fd, "%ld\n", amount) < 0)
    abort();
  close(fd);
}

static void note(const char *from, const char *to, long amount)
{
  int fd = open("book", O_WRONLY | O_CREAT | O_APPEND, 0666);
  if (fd < 0 || dprintf(fd, "%s %s %ld\n", from, to, amount) < 0)
    abort();
  close(fd);
}

int main(int argc, char **argv)
{
  if (argc != 5)
    return 2;
  for (int i = 0; i < atoi(argv[4]); i++)
    PERDURE_ATOMICALLY {
      long amount = atol(argv[3]);
      set_balance(argv[1], balance(argv[1]) - amount);
      set_balance(argv[2], balance(argv[2]) + amount);
      note(argv[1], argv[2], amount);
    }
  return 0;
}
