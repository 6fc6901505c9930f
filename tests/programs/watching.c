/* SPDX-License-Identifier: Apache-2.0 */
/* inotify: a directory that the program itself changes tells each change, or says that it has lost some
 * (IN_Q_OVERFLOW): then the program looks for itself, as inotify(7) asks it to. */
#include "must.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/stat.h>

static int watcher;

/* Reads events until one of `mask` and `name` comes, or those before have been lost. */
static void until(uint32_t mask, const char *name)
{
  for (;;) {
    char bytes[sizeof(struct inotify_event) + 16] __attribute__((aligned(8)));
    struct pollfd ready = {watcher, POLLIN, 0};
    must(poll(&ready, 1, 10000) == 1);
    ssize_t size = read(watcher, bytes, sizeof bytes);
    must(size > 0);
    for (ssize_t at = 0; at < size;) {
      const struct inotify_event *event = (const struct inotify_event *)(bytes + at);
      at += (ssize_t)(sizeof *event + event->len);
      if (event->mask == IN_Q_OVERFLOW && event->wd == -1)
        return;
      if (event->mask == mask && strcmp(event->len ? event->name : "", name) == 0)
        return;
    }
  }
}

int main(void)
{
  watcher = inotify_init1(IN_CLOEXEC);
  int tree = inotify_add_watch(watcher, "tree", IN_CREATE | IN_DELETE | IN_MOVE | IN_MODIFY | IN_CLOSE_WRITE);
  must(tree == 1);
  int fd = open("tree/made", O_WRONLY | O_CREAT, 0600);
  until(IN_CREATE, "made");
  put(fd, "bytes");
  until(IN_MODIFY, "made");
  must(close(fd) == 0);
  until(IN_CLOSE_WRITE, "made");
  must(rename("tree/made", "tree/moved") == 0);
  must(mkdir("tree/under", 0700) == 0);
  until(IN_CREATE | IN_ISDIR, "under");
  must(access("tree/moved", F_OK) == 0);
  int below = inotify_add_watch(watcher, "tree/under", IN_CREATE);
  must(below == 2);
  must(inotify_add_watch(watcher, "tree/moved", IN_ATTRIB) == 3);
  must(mkdir("tree/under/most", 0700) == 0);
  until(IN_CREATE | IN_ISDIR, "most");
  must(unlink("tree/moved") == 0);
  until(IN_DELETE, "moved");
  must(inotify_rm_watch(watcher, below) == 0);
  until(IN_IGNORED, "");
  must(inotify_rm_watch(watcher, below) < 0 && errno == EINVAL);
  must(symlink("a", "tree/pointer") == 0);
  until(IN_CREATE, "pointer");
  must(inotify_add_watch(watcher, "small", IN_ATTRIB) == 4);
  must(inotify_add_watch(watcher, "tree", IN_CREATE | IN_MASK_ADD) == tree);
  must(chmod("small", 0600) == 0);
  until(IN_ATTRIB, "");
  must(inotify_add_watch(watcher, "nothing", IN_ATTRIB) < 0 && errno == ENOENT);
  puts("watching: told, or told of the loss");
  return 0;
}
