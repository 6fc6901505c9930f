/* SPDX-License-Identifier: Apache-2.0 */
/* perdure doctor: what this machine supports. Each check does the thing itself, in a child where it
 * would change this process, or with a file that has no name. */
#include "cli/command.h"
#include "journal/tail.h"
#include "supervisor/boundary.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

struct doctor {
  char base[PATH_MAX];
  bool healthy;
};

/* needed: without it nothing runs. */
static void tell(struct doctor *doctor, bool ok, bool needed, const char *what, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
static void tell(struct doctor *doctor, bool ok, bool needed, const char *what, const char *format, ...)
{
  va_list arguments;

  printf("%-3s  %-26s ", ok ? "yes" : "no", what);
  va_start(arguments, format);
  vprintf(format, arguments);
  va_end(arguments);
  puts(!ok && needed ? "; nothing runs without it" : "");
  if (!ok && needed)
    doctor->healthy = false;
}

static const char *reason(int error)
{
  return error == 0 ? "works" : strerror(error);
}

/* errno of `attempt` in a child, or 0. */
static int try_in_child(int (*attempt)(void))
{
  int status;
  pid_t pid = fork();

  if (pid < 0)
    return errno;
  if (pid == 0)
    _exit(attempt() == 0 ? 0 : errno);
  if (waitpid(pid, &status, 0) < 0)
    return errno;
  return WIFEXITED(status) ? WEXITSTATUS(status) : EIO;
}

static int turn_randomization_off(void)
{
  int persona = personality(0xffffffff);

  return persona == -1 || personality((unsigned)persona | ADDR_NO_RANDOMIZE) == -1 ? -1 : 0;
}

static void on_trap(int number)
{
  _exit(0);
}

/* Some virtual machines take the setting, and do not trap. */
static int trap_timestamps(void)
{
  signal(SIGSEGV, on_trap);
  if (prctl(PR_SET_TSC, PR_TSC_SIGSEGV, 0, 0, 0) < 0)
    return -1;
  __builtin_ia32_rdtsc();
  errno = EOPNOTSUPP;
  return -1;
}

static int map_far(void)
{
  size_t size = TAIL_HEADER_SIZE + 2 * (size_t)TAIL_RING_SIZE_DEFAULT;
  void *address = mmap((void *)TAIL_ADDRESS, size, PROT_NONE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);

  return address == (void *)TAIL_ADDRESS ? 0 : -1;
}

/* The vDSO's pages get a private copy when they are written. All at once: the mapping cannot be split.
 * Nothing calls it while it cannot run. */
static int write_vdso(void)
{
  FILE *maps = fopen("/proc/self/maps", "re");
  unsigned long start = 0, end = 0;
  char line[512];

  while (maps != NULL && end == 0 && fgets(line, sizeof line, maps) != NULL)
    if (strstr(line, "[vdso]") == NULL || sscanf(line, "%lx-%lx", &start, &end) != 2)
      end = 0;
  if (end != 0)
    return mprotect((void *)start, end - start, PROT_READ | PROT_WRITE);
  errno = ENOENT;
  return -1;
}

/* Text of this program that is not running: it is made writable, and text again. */
static int write_text(void)
{
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  void *text = mmap(NULL, page, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);

  return text != MAP_FAILED && mprotect(text, page, PROT_READ | PROT_WRITE) == 0 &&
         mprotect(text, page, PROT_READ | PROT_EXEC) == 0 ? 0 : -1;
}

static void check_process(struct doctor *doctor)
{
  static const struct { const char *name; int (*attempt)(void); bool needed; const char *why; } checks[] = {
    {"fixed addresses", turn_randomization_off, true, "personality(ADDR_NO_RANDOMIZE)"},
    {"the journal's address", map_far, true, "mmap at a fixed far address"},
    {"writable vDSO", write_vdso, true, "clock reads do not enter the kernel"},
    {"trapped rdtsc", trap_timestamps, false, "without it, what programs read of the processor's counter is not journaled"},
    {"changeable text", write_text, true, "libc's system calls are redirected"},
  };

  for (size_t i = 0; i < sizeof checks / sizeof *checks; i++) {
    int error = try_in_child(checks[i].attempt);

    tell(doctor, error == 0, checks[i].needed, checks[i].name, "%s: %s", checks[i].why, reason(error));
  }
}

static void check_boundary(struct doctor *doctor, const char *shim)
{
  struct failure failure = {""};
  char cache[PATH_MAX];
  int error;

  strcpy(stpcpy(cache, doctor->base), "/cache");
  error = mkdir(cache, 0700) < 0 && errno != EEXIST ? -errno : boundary_prepare(cache, &failure);
  tell(doctor, error == 0, true, "libc and vDSO redirected", "%s",
       error == 0 ? "images are made" : failure.text[0] != '\0' ? failure.text : strerror(-error));
  error = access(shim, R_OK) < 0 ? errno : 0;
  tell(doctor, error == 0, true, "the shim", "%s: %s", shim, error == 0 ? "is there" : strerror(error));
  tell(doctor, true, true, "capstone", "%s", boundary_disassembler_version());
  tell(doctor, sqlite3_libversion_number() >= 3037000 && sqlite3_threadsafe() != 0, true, "SQLite", "%s%s",
       sqlite3_libversion(), sqlite3_threadsafe() != 0 ? "" : ", built without threads");
}

static void check_memfd(struct doctor *doctor)
{
  int fd = memfd_create("perdure-doctor", MFD_CLOEXEC), error = fd < 0 ? errno : 0;

  if (fd >= 0)
    close(fd);
  tell(doctor, error == 0, true, "memfd", "placeholders of open files: %s", reason(error));
}

/* An unnamed file in perdure's directory; -1: the filesystem has none. */
static int open_unnamed(const char *base)
{
  return open(base, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
}

static int try_link(const char *base, int fd)
{
  char from[64], to[PATH_MAX + 32];
  int error;

  snprintf(from, sizeof from, "/proc/self/fd/%d", fd);
  snprintf(to, sizeof to, "%s/.doctor-%d", base, (int)getpid());
  error = linkat(AT_FDCWD, from, AT_FDCWD, to, AT_SYMLINK_FOLLOW) < 0 ? errno : 0;
  unlink(to);
  return error;
}

static int try_reflink(const char *base, int fd)
{
  int copy = open_unnamed(base);
  int error = copy < 0 ? errno : ftruncate(fd, 4096) < 0 || ioctl(copy, FICLONE, fd) < 0 ? errno : 0;

  if (copy >= 0)
    close(copy);
  return error;
}

static void check_filesystem(struct doctor *doctor)
{
  int fd = open_unnamed(doctor->base), error = fd < 0 ? errno : 0;
  struct statfs status;

  tell(doctor, error == 0, false, "unnamed files", "O_TMPFILE in %s: %s", doctor->base, reason(error));
  if (statfs(doctor->base, &status) == 0) {
    unsigned long long free_mib = (unsigned long long)status.f_bavail * (unsigned long long)status.f_bsize >> 20;

    tell(doctor, free_mib >= 128, true, "space for the journal", "%llu MiB free in %s", free_mib,
         doctor->base);
  }
  if (fd < 0) {
    char path[PATH_MAX + 32];

    snprintf(path, sizeof path, "%s/.doctor-%d", doctor->base, (int)getpid());
    fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    error = fd < 0 ? errno : 0;
    unlink(path);
    tell(doctor, error == 0, true, "writable directory", "%s: %s", doctor->base, reason(error));
    if (fd < 0)
      return;
  } else {
    error = try_link(doctor->base, fd);
    tell(doctor, error == 0, false, "hard links", "keep a file without copying it: %s", reason(error));
    error = try_reflink(doctor->base, fd);
    tell(doctor, error == 0, false, "reflinks", "copy a file without its bytes: %s", reason(error));
  }
  error = fallocate(fd, 0, 0, 1 << 20) < 0 ? errno : 0;
  tell(doctor, error == 0, false, "preallocation", "fallocate: %s%s", reason(error),
       error != 0 ? "; a run starts more slowly" : "");
  close(fd);
}

int cmd_doctor(const struct command_line *line)
{
  struct doctor doctor = {.healthy = true};
  struct failure failure;
  char shim[PATH_MAX];

  if (!command_line_operands(line, 0, 0))
    return RUN_EXIT_FAILED;
  if (run_place_base(line->value[OPTION_DIR], doctor.base, &failure) < 0)
    return command_fail("%s", failure.text);
  command_shim(shim);
  check_boundary(&doctor, shim);
  check_process(&doctor);
  check_memfd(&doctor);
  check_filesystem(&doctor);
  return command_finish_output(doctor.healthy ? 0 : 1);
}
