/* SPDX-License-Identifier: Apache-2.0 */
/* Finding the program, by the rules of execvp(3), and how it is started. Writes nothing. */
#include "supervisor/run_program.h"

#include "supervisor/run.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int try_path(const char *path)
{
  struct stat status;

  if (stat(path, &status) < 0)
    return -errno;
  if (S_ISDIR(status.st_mode) || access(path, X_OK) < 0)
    return -EACCES;
  return 0;
}

static int search(const char *name, char *ret_path)
{
  const char *path = getenv("PATH"), *end;
  int result = -ENOENT;

  if (path == NULL)
    path = "/bin:/usr/bin";
  for (;; path = end + 1) {
    char candidate[PATH_MAX];
    int length, error;

    end = strchrnul(path, ':');
    length = end == path ? snprintf(candidate, sizeof candidate, "./%s", name)
                         : snprintf(candidate, sizeof candidate, "%.*s/%s", (int)(end - path), path,
                                    name);
    error = length < (int)sizeof candidate ? try_path(candidate) : -ENAMETOOLONG;
    if (error == 0) {
      strcpy(ret_path, candidate);
      return 0;
    }
    if (error == -EACCES)
      result = -EACCES;
    if (*end == '\0')
      return result;
  }
}

int run_program_find(const char *name, char *ret_path, int *ret_status, struct failure *failure)
{
  char path[PATH_MAX];
  int error;

  if (name[0] == '\0')
    error = -ENOENT;
  else if (strchr(name, '/') == NULL)
    error = search(name, path);
  else
    error = strlen(name) < sizeof path ? try_path(strcpy(path, name)) : -ENAMETOOLONG;
  if (error == 0) {
    strcpy(ret_path, path);
    return 0;
  }
  *ret_status = error == -ENOENT || error == -ENOTDIR ? RUN_EXIT_NOT_FOUND : RUN_EXIT_NOT_EXECUTABLE;
  if (error == -ENOENT && strchr(name, '/') == NULL)
    return failure_set(failure, error, "cannot run '%s': it is not found in PATH; install it, or "
                       "give its path", name);
  if (error == -EACCES)
    return failure_set(failure, error, "cannot run '%s': it is not an executable file; look at it "
                       "with `ls -ld`", name);
  return failure_set(failure, error, "cannot run '%s': %s; give the path of a program", name,
                     strerror(-error));
}

bool run_program_is_shell_text(const char *path)
{
  char magic[4] = "";
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  ssize_t length;

  if (fd < 0)
    return false;
  length = pread(fd, magic, sizeof magic, 0);
  close(fd);
  return length >= 0 && memcmp(magic, "#!", 2) != 0 && memcmp(magic, "\177ELF", 4) != 0;
}
