/* SPDX-License-Identifier: Apache-2.0 */
/* Directories: made, listed, walked into, renamed with open files inside, removed; names relative to the
 * working directory and to descriptors. */
#include "must.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>

static int by_name(const void *left, const void *right)
{
  return strcmp(left, right);
}

/* The names, sorted; the listing is read half, rewound to a place, and read on. */
static void list(DIR *directory, const char *title)
{
  char names[32][64];
  int count = 0;
  rewinddir(directory);
  struct dirent *entry = readdir(directory);
  must(entry);
  long place = telldir(directory);
  char second[64] = "";
  if ((entry = readdir(directory)))
    snprintf(second, sizeof second, "%.60s", entry->d_name);
  while (readdir(directory))
    ;
  seekdir(directory, place);
  entry = readdir(directory);
  must(!*second || (entry && strcmp(entry->d_name, second) == 0));
  rewinddir(directory);
  while ((entry = readdir(directory)) && count < 32)
    if (entry->d_name[0] != '.')
      snprintf(names[count++], 64, "%.60s", entry->d_name);
  qsort(names, (size_t)count, sizeof *names, by_name);
  printf("%s:", title);
  for (int i = 0; i < count; i++)
    printf(" %s", names[i]);
  printf("\n");
}

int main(void)
{
  char path[PATH_MAX];
  must(mkdir("made", 0750) == 0 && mkdir("made/inner", 0700) == 0);
  must(mkdir("made", 0750) < 0 && errno == EEXIST);
  DIR *made = opendir("made");
  must(made);
  int fd = openat(dirfd(made), "file", O_RDWR | O_CREAT | O_EXCL, 0644);
  must(fd >= 0);
  put(fd, "one ");
  must(mkdirat(dirfd(made), "at", 0711) == 0);
  list(made, "made");
  must(chdir("made/inner") == 0);
  int relative = open("../beside", O_WRONLY | O_CREAT, 0600);
  put(relative, "beside\n");
  must(rename("../beside", "./here") == 0);
  put(relative, "renamed\n");
  must(rename("../../made", "../../moved") == 0);
  put(fd, "two ");
  put(relative, "moved\n");
  must(getcwd(path, sizeof path) && strcmp(path + strlen(path) - 12, "/moved/inner") == 0);
  int later = open("later", O_WRONLY | O_CREAT | O_APPEND, 0600);
  put(later, "after the move\n");
  must(unlinkat(dirfd(made), "at", AT_REMOVEDIR) == 0);
  list(made, "moved");
  must(fchdir(dirfd(made)) == 0);
  must(access("inner/here", R_OK) == 0 && access("../made", F_OK) < 0);
  must(symlink("inner", "shortcut") == 0);
  int through = open("shortcut/through", O_WRONLY | O_CREAT, 0600);
  put(through, "through a symlink\n");
  must(rename("shortcut/through", "shortcut/../thorough") == 0);
  put(through, "and back\n");
  must(rename("inner", "outer") == 0);
  put(later, "inner is outer\n");
  must(rmdir("outer") < 0 && errno == ENOTEMPTY);
  must(unlink("outer/here") == 0);
  put(relative, "gone\n");
  must(renameat(dirfd(made), "outer/later", AT_FDCWD, "../later") == 0);
  put(later, "at the top\n");
  must(rmdir("outer") == 0);
  must(closedir(made) == 0);
  must(chdir("..") == 0);
  int top = open(".", O_PATH | O_DIRECTORY);
  must(fstatat(top, "moved/file", &(struct stat){0}, 0) == 0);
  must(unlinkat(top, "moved/shortcut", 0) == 0);
  put(fd, "three\n");
  must_hold(fd, 0, "one two three\n");
  must(rmdir("tree/below") < 0 && errno == ENOTEMPTY);
  must(rmdir("nothing") < 0 && errno == ENOENT);
  DIR *here = fdopendir(openat(top, ".", O_RDONLY | O_DIRECTORY));
  list(here, "here");
  must(chdir("nothing") < 0 && errno == ENOENT);
  must(fchdir(top) == 0);
  must(chmod("moved", 0700) == 0);
  return 0;
}
