/* SPDX-License-Identifier: Apache-2.0 */
/* Looking at a program before it runs: can the shim be preloaded into it, and does it reach the kernel by
 * the libc that is redirected? Writes nothing. What it says holds for the moment of looking: the shim
 * refuses again, inside, if it then finds something else. */
#include "supervisor/boundary.h"

#include "supervisor/elf_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#define INTERPRETERS_MAX 4u
#define FIRST_LINE_SIZE 256u /* the kernel looks no further */
#define LOADER_NAME "ld-linux-x86-64.so.2"

static enum program_kind refuse(struct failure *failure, enum program_kind kind, const char *path,
                                const char *sentence)
{
  failure_set(failure, -ENOEXEC, "cannot run %s: it %s", path, sentence);
  return kind;
}

static enum program_kind check_permission(const char *path, const struct stat *status,
                                          struct failure *failure)
{
  if (S_ISDIR(status->st_mode))
    return refuse(failure, PROGRAM_NOT_EXECUTABLE, path, "is a directory");
  if (!S_ISREG(status->st_mode))
    return refuse(failure, PROGRAM_NOT_EXECUTABLE, path, "is not a regular file");
  if (faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) < 0)
    return refuse(failure, PROGRAM_NOT_EXECUTABLE, path, "may not be executed: permission denied");
  return PROGRAM_OK;
}

/* Does the file carry capabilities that this user would get from it? Root has them all. */
static bool has_capabilities(const char *path)
{
  struct vfs_ns_cap_data data;
  if (getuid() == 0)
    return false;
  ssize_t size = getxattr(path, "security.capability", &data, sizeof data);
  if (size < (ssize_t)XATTR_CAPS_SZ_1)
    return false;
  return data.data[0].permitted || data.data[0].inheritable ||
         (size >= (ssize_t)XATTR_CAPS_SZ_2 &&
          (data.data[1].permitted || data.data[1].inheritable));
}

/* The loader ignores LD_PRELOAD in a program that gains rights by being executed. */
static enum program_kind check_rights(const char *path, const struct stat *status,
                                      struct failure *failure)
{
  struct statvfs system;
  bool user = status->st_mode & S_ISUID && status->st_uid != geteuid();
  bool group = (status->st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) &&
               status->st_gid != getegid();
  bool capabilities = has_capabilities(path);
  if (!user && !group && !capabilities)
    return PROGRAM_OK;
  if ((statvfs(path, &system) == 0 && system.f_flag & ST_NOSUID) ||
      prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1)
    return PROGRAM_OK;
  return refuse(failure, PROGRAM_SETUID, path,
                user    ? "is setuid: the system does not let it be watched"
                : group ? "is setgid: the system does not let it be watched"
                        : "has file capabilities: the system does not let it be watched");
}

/* The path in PT_INTERP, NULL when there is none. */
static const char *loader(const struct elf_file *file)
{
  const Elf64_Phdr *segment = elf_file_segment_of(file, PT_INTERP);
  if (!segment || segment->p_filesz == 0)
    return NULL;
  const char *path = elf_file_bytes(file, segment->p_offset, segment->p_filesz);
  return path && path[segment->p_filesz - 1] == '\0' ? path : NULL;
}

static enum program_kind check_elf(const char *path, const struct elf_file *file,
                                   struct failure *failure)
{
  if (!elf_file_is_x86_64(file))
    return refuse(failure, PROGRAM_OTHER_MACHINE, path, "is not a 64-bit x86-64 program");
  if (elf_file_section_named(file, ".go.buildinfo") ||
      elf_file_section_named(file, ".note.go.buildid"))
    return refuse(failure, PROGRAM_GO, path,
                  "is a Go program: it calls the kernel past libc, which cannot be journaled");
  const char *loader_path = loader(file);
  if (!loader_path)
    return refuse(failure, PROGRAM_STATIC, path,
                  "is statically linked: only programs that load libc.so.6 can be journaled");
  const char *slash = strrchr(loader_path, '/');
  if (strcmp(slash ? slash + 1 : loader_path, LOADER_NAME) != 0)
    return refuse(failure, PROGRAM_OTHER_LIBC, path,
                  strstr(loader_path, "ld-musl")
                      ? "uses musl: only programs that use glibc can be journaled"
                      : "does not use glibc: only programs that do can be journaled");
  if (access(loader_path, F_OK) < 0) {
    failure_set(failure, -ENOENT, "%s needs %s, which is missing", path, loader_path);
    return PROGRAM_NOT_FOUND;
  }
  return PROGRAM_OK;
}

/* The interpreter of a #! line into `interpreter` (FIRST_LINE_SIZE bytes); false when it is no such
 * file. Empty: a #! line that names none. */
static bool read_interpreter(const char *path, char *interpreter)
{
  char line[FIRST_LINE_SIZE];
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  if (fd < 0)
    return false;
  ssize_t size = pread(fd, line, sizeof line - 1, 0);
  close(fd);
  if (size < 2 || line[0] != '#' || line[1] != '!')
    return false;
  line[size] = '\0';
  const char *begin = line + 2 + strspn(line + 2, " \t");
  size_t length = strcspn(begin, " \t\n");
  memcpy(interpreter, begin, length);
  interpreter[length] = '\0';
  return true;
}

static enum program_kind check_binary(const char *path, const struct stat *status,
                                      struct failure *failure)
{
  struct elf_file file;
  int result = elf_file_open(path, &file);
  if (result == -ENOEXEC)
    return refuse(failure, PROGRAM_NOT_EXECUTABLE, path,
                  "is neither an ELF program nor a script that begins with #!");
  if (result < 0) {
    failure_set(failure, result, "%s cannot be read: %s", path, strerror(-result));
    return PROGRAM_NOT_EXECUTABLE;
  }
  enum program_kind kind = check_elf(path, &file, failure);
  elf_file_close(&file);
  return kind == PROGRAM_OK ? check_rights(path, status, failure) : kind;
}

enum program_kind boundary_check_program(const char *path, struct failure *failure)
{
  char interpreter[FIRST_LINE_SIZE];
  const char *looked_at = path;
  for (unsigned depth = 0; depth <= INTERPRETERS_MAX; depth++) {
    struct stat status;
    if (stat(looked_at, &status) < 0) {
      int error = errno;
      failure_set(failure, -error, "%s%s%s: %s", depth ? path : "", depth ? " is run by " : "",
                  looked_at, strerror(error));
      return error == ENOENT || error == ENOTDIR ? PROGRAM_NOT_FOUND : PROGRAM_NOT_EXECUTABLE;
    }
    enum program_kind kind = check_permission(looked_at, &status, failure);
    if (kind != PROGRAM_OK)
      return kind;
    if (!read_interpreter(looked_at, interpreter))
      return check_binary(looked_at, &status, failure);
    if (!interpreter[0])
      return refuse(failure, PROGRAM_NOT_EXECUTABLE, looked_at, "has a #! line that names nothing");
    looked_at = interpreter;
  }
  return refuse(failure, PROGRAM_NOT_EXECUTABLE, path,
                "is a script of a script, more levels deep than the kernel follows");
}
