/* SPDX-License-Identifier: Apache-2.0 */
/* Appending in every way, each piece once: O_APPEND by write, writev and pwritev2, RWF_APPEND on a
 * descriptor without it, two descriptors on one file, and writes at an offset between them. */
#include "must.h"

#include <fcntl.h>
#include <sys/uio.h>

static struct iovec piece(const char *text)
{
  return (struct iovec){(void *)text, strlen(text)};
}

int main(void)
{
  int log = open("log", O_RDWR | O_CREAT | O_APPEND, 0644);
  int second = open("log", O_WRONLY | O_APPEND);
  int plain = open("log", O_RDWR);
  must(log >= 0 && second >= 0 && plain >= 0);
  put(log, "1 write\n");
  put(second, "2 second\n");
  must(lseek(log, 0, SEEK_CUR) == 8 && lseek(second, 0, SEEK_CUR) == 17);
  struct iovec pieces[] = {piece("3 wri"), piece(""), piece("tev\n")};
  must(writev(log, pieces, 3) == 9);
  pieces[0] = piece("4 pwritev2");
  pieces[1] = piece("\n");
  must(pwritev2(second, pieces, 2, -1, 0) == 11);
  must(pwrite(log, "5 pwrite appends\n", 17, 0) == 17);
  must(pwrite(plain, "!", 1, 0) == 1);
  must(lseek(plain, 0, SEEK_CUR) == 0);
  put(plain, "?");
  pieces[0] = piece("6 RWF_APPEND");
  must(pwritev2(plain, pieces, 2, -1, RWF_APPEND) == 13);
  must(lseek(plain, 0, SEEK_CUR) == 67);
  put(plain, "7 plain\n");
  put(log, "8 write\n");
  must(fcntl(plain, F_SETFL, O_APPEND) == 0);
  must(lseek(plain, 3, SEEK_SET) == 3);
  put(plain, "9 O_APPEND later\n");
  must(fcntl(log, F_SETFL, 0) == 0);
  must(lseek(log, 1, SEEK_SET) == 1);
  put(log, ".");
  int copy = dup(second);
  put(copy, "10 dup\n");
  put(second, "11 second\n");
  must(close(second) == 0);
  put(copy, "12 dup\n");
  must_hold(log, 0, "?.write\n2 second\n3 writev\n4 pwritev2\n5 pwrite appends\n6 RWF_APPEND\n7 plain\n8 write\n"
                    "9 O_APPEND later\n10 dup\n11 second\n12 dup\n");

  /* What is equal to what it follows is not taken for done. */
  int same = open("same", O_WRONLY | O_CREAT | O_APPEND, 0600);
  for (int i = 0; i < 4; i++)
    put(same, "same\n");
  int small = open("small", O_WRONLY | O_APPEND);
  put(small, "four\n");
  FILE *stream = fopen("log", "a+");
  must(stream);
  for (int i = 13; i < 16; i++)
    must(fprintf(stream, "%d stdio\n", i) > 0 && fflush(stream) == 0);
  printf("log %lld same %lld small %lld\n", (long long)lseek(log, 0, SEEK_END),
         (long long)lseek(same, 0, SEEK_END), (long long)lseek(small, 0, SEEK_CUR));
  return 0;
}
