/* SPDX-License-Identifier: Apache-2.0 */
/* A terminal that the program makes for itself: both ends, their settings, and what lies unread between them. */
#include "must.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <termios.h>

static int out;

static void must_read(int fd, const char *text)
{
  char bytes[64] = "";
  size_t wanted = strlen(text), got = 0;
  while (got < wanted) {
    ssize_t part = read(fd, bytes + got, wanted - got);
    must(part > 0);
    got += (size_t)part;
  }
  must(memcmp(bytes, text, wanted) == 0);
}

int main(void)
{
  out = open("log", O_WRONLY | O_CREAT | O_APPEND, 0600);
  int master = posix_openpt(O_RDWR | O_NOCTTY);
  must(out >= 0 && master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
  put(out, "made\n");
  int slave = open(ptsname(master), O_RDWR | O_NOCTTY);
  must(slave >= 0 && isatty(slave));
  struct termios settings, again;
  must(tcgetattr(slave, &settings) == 0);
  cfmakeraw(&settings);
  must(tcsetattr(slave, TCSANOW, &settings) == 0);
  put(out, "raw\n");
  must(tcgetattr(slave, &again) == 0 && again.c_lflag == settings.c_lflag && again.c_oflag == settings.c_oflag);
  struct winsize size = {.ws_row = 33, .ws_col = 99};
  must(ioctl(master, TIOCSWINSZ, &size) == 0);
  put(out, "sized\n");
  size = (struct winsize){0};
  must(ioctl(slave, TIOCGWINSZ, &size) == 0 && size.ws_row == 33 && size.ws_col == 99);
  put(master, "typed by nobody");
  put(out, "typed\n");
  must_read(slave, "typed ");
  put(out, "read in part\n");
  must_read(slave, "by nobody");
  put(slave, "shown to nobody");
  put(out, "shown\n");
  must_read(master, "shown to");
  put(out, "seen in part\n");
  must_read(master, " nobody");
  int peer = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY);
  must(peer >= 0 && close(slave) == 0);
  put(peer, "more");
  must_read(master, "more");
  must(tcflush(peer, TCIOFLUSH) == 0 && tcgetattr(peer, &again) == 0 && again.c_lflag == settings.c_lflag);
  put(out, "done\n");
  puts("terminals: as set");
  return 0;
}
