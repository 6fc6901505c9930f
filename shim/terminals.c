/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers of terminals: the program's from the first attempt, the kernel's from this one. Lost at an exec, after
 * which the second ends of earlier terminals are devices like any other.
 *
 * Nothing is written: killed at any line, the kernel takes the terminals away. */
#include "shim/terminals.h"

#include "shim/paths.h"
#include "shim/raw.h"

#include <sys/ioctl.h>

#define TERMINAL_MAX 64

static const char folder[] = "/dev/pts/";
#define FOLDER_LENGTH (sizeof folder - 1)

struct terminal {
  uint32_t seen, real;
};

static struct terminal terminals[TERMINAL_MAX];
static uint32_t count;

/* The number in the path of a second end, or -1. */
static int64_t number_of(const char *path)
{
  uint64_t number = 0;
  if (raw_length(path) <= FOLDER_LENGTH || !raw_equal(path, folder, FOLDER_LENGTH))
    return -1;
  for (const char *digit = path + FOLDER_LENGTH; *digit; digit++) {
    if (*digit < '0' || *digit > '9' || number > UINT32_MAX)
      return -1;
    number = number * 10 + (uint64_t)(*digit - '0');
  }
  return (int64_t)number;
}

bool terminal_is_own(const char *path)
{
  if (raw_same_text(path, "/dev/ptmx") || raw_same_text(path, "/dev/pts/ptmx"))
    return true;
  int64_t number = number_of(path);
  for (uint32_t i = 0; i < count; i++)
    if (terminals[i].real == number)
      return true;
  return false;
}

void terminal_learn(int fd, int64_t seen)
{
  uint32_t real = 0;
  if (raw_syscall3(SYS_ioctl, (uint64_t)fd, TIOCGPTN, (uint64_t)&real) != 0)
    return;
  for (uint32_t i = 0; i < count; i++)
    if (terminals[i].real == real) {
      if (seen >= 0)
        terminals[i].seen = (uint32_t)seen;
      return;
    }
  if (count < TERMINAL_MAX)
    terminals[count++] = (struct terminal){seen >= 0 ? (uint32_t)seen : real, real};
}

const char *terminal_path(const char *path, char room[32])
{
  int64_t number = count ? number_of(path) : -1;
  for (uint32_t i = count; number >= 0 && i-- > 0;)
    if (terminals[i].seen == number) {
      path_put_number(room, path_put_text(room, 0, folder), terminals[i].real, 10);
      return room;
    }
  return path;
}
