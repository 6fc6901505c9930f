/* SPDX-License-Identifier: Apache-2.0 */
/* What is asked about files, directories and filesystems, by every call that there is for it: the answers are
 * the same in the resumed program, also when the files have changed since. */
#include "must.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/vfs.h>

/* Calls that the oldest headers do not have. */
#define SYS_cachestat_ 451
#define SYS_statmount_ 457
#define SYS_listmount_ 458

static int out;

static void sizes(void)
{
  struct stat by_name, by_fd, link;
  struct statx extended;
  int fd = (int)syscall(SYS_open, "big", O_RDWR, 0);
  must(fd >= 0);
  must(syscall(SYS_stat, "big", &by_name) == 0 && by_name.st_size == 200000);
  must(syscall(SYS_fstat, fd, &by_fd) == 0 && by_fd.st_ino == by_name.st_ino && by_fd.st_size == 200000);
  must(syscall(SYS_lstat, "tree/link", &link) == 0 && S_ISLNK(link.st_mode));
  must(statx(AT_FDCWD, "big", 0, STATX_BASIC_STATS, &extended) == 0 && extended.stx_size == 200000);
  must(statx(fd, "", AT_EMPTY_PATH, STATX_SIZE, &extended) == 0 && extended.stx_size == 200000);
  must(statx(AT_FDCWD, "nothing", 0, STATX_SIZE, &extended) < 0 && errno == ENOENT);
  /* From here on the answers are no longer true of the file. */
  must(ftruncate(fd, 150000) == 0);
  must(syscall(SYS_fstat, fd, &by_fd) == 0 && by_fd.st_size == 150000);
  put(out, "sizes\n");
}

static void pieces(void)
{
  char first[5], second[8];
  struct iovec into[2] = {{first, sizeof first}, {second, sizeof second}};
  int fd = open("big", O_RDONLY);
  must(syscall(SYS_preadv, fd, into, 2, 8, 0) == 13 && memcmp(first, "00000", 5) == 0 && memcmp(second, "01\n00000", 8) == 0);
  must(syscall(SYS_preadv, fd, into, 2, 149992, 0) == 8 && lseek(fd, 0, SEEK_CUR) == 0);
  put(out, "pieces\n");
}

static void names(void)
{
  char target[32], entries[1024];
  must(syscall(SYS_readlinkat, AT_FDCWD, "tree/link", target, sizeof target) == 1 && target[0] == 'a');
  must(syscall(SYS_readlinkat, AT_FDCWD, "big", target, sizeof target) < 0 && errno == EINVAL);
  must(syscall(SYS_faccessat, AT_FDCWD, "big", R_OK) == 0);
  must(syscall(SYS_faccessat, AT_FDCWD, "nothing", R_OK) < 0 && errno == ENOENT);
  must_or_older(syscall(SYS_faccessat2, AT_FDCWD, "tree/link", F_OK, AT_SYMLINK_NOFOLLOW) == 0);
  int directory = open("tree", O_RDONLY | O_DIRECTORY);
  long size = syscall(SYS_getdents, directory, entries, sizeof entries), count = 0;
  must(size > 0);
  for (long at = 0; at < size; count++)
    at += *(unsigned short *)(entries + at + 16);
  must(count == 6 && syscall(SYS_getdents, directory, entries, sizeof entries) == 0);
  put(out, "names\n");
}

struct old_statfs_answer {
  int free;
  unsigned long inodes;
  char rest[12];
};

static void filesystems(int fd)
{
  struct statfs about, again;
  struct old_statfs_answer old;
  struct stat file;
  must(statfs(".", &about) == 0 && fstatfs(fd, &again) == 0 && about.f_type == again.f_type);
  must(fstat(fd, &file) == 0);
  must(syscall(SYS_ustat, (uint32_t)(minor(file.st_dev) | major(file.st_dev) << 8), &old) == 0 || errno == EINVAL || errno == ENOSYS);
  struct {
    uint64_t offset, length;
  } range = {0, 4096};
  struct {
    uint64_t counts[5];
  } cached = {0};
  must_or_older(syscall(SYS_cachestat_, fd, &range, &cached, 0) == 0 || errno == EOPNOTSUPP);
  /* struct mnt_id_req of the first size; the root of all mounts; what is on it. */
  struct {
    uint32_t size, spare;
    uint64_t mount, parameter;
  } request = {24, 0, ~0ull, 0};
  uint64_t mounts[64], answer[64];
  long found = syscall(SYS_listmount_, &request, mounts, 64, 0);
  must_or_older(found >= 0);
  request.mount = found > 0 ? mounts[0] : 0;
  request.parameter = 1;
  must(syscall(SYS_statmount_, &request, answer, sizeof answer, 0) == 0 || errno == ENOSYS || found <= 0);
  put(out, "filesystems\n");
}

/* Requests that give back more than their number says, and one that no kernel knows. */
static void requests(int fd)
{
  char room[sizeof(struct fiemap) + 8 * sizeof(struct fiemap_extent)] __attribute__((aligned(8))) = {0};
  struct fiemap *map = (struct fiemap *)room;
  map->fm_length = ~0ull;
  map->fm_flags = FIEMAP_FLAG_SYNC;
  map->fm_extent_count = 8;
  if (ioctl(fd, FS_IOC_FIEMAP, map) == 0) {
    must(map->fm_mapped_extents <= 8);
    uint64_t covered = 0;
    for (uint32_t i = 0; i < map->fm_mapped_extents; i++)
      covered += map->fm_extents[i].fe_length;
    must(covered >= 150000 || map->fm_mapped_extents == 0);
  }
  uint64_t hint = 77;
  if (fcntl(fd, F_SET_RW_HINT, &(uint64_t){RWH_WRITE_LIFE_SHORT}) == 0)
    must(fcntl(fd, F_GET_RW_HINT, &hint) == 0 && hint == RWH_WRITE_LIFE_SHORT);
  must(fcntl(fd, F_SETOWN, getpid()) == 0 && fcntl(fd, F_GETOWN) == getpid());
  struct f_owner_ex owner = {F_OWNER_PID, getpid()};
  must(fcntl(fd, F_SETOWN_EX, &owner) == 0);
  owner.pid = 0;
  must(fcntl(fd, F_GETOWN_EX, &owner) == 0 && owner.pid == getpid() && owner.type == F_OWNER_PID);
  must(fcntl(fd, F_SETSIG, 0) == 0 && fcntl(fd, F_GETSIG) == 0);
  must(ioctl(fd, FIOCLEX) == 0 && fcntl(fd, F_GETFD) == FD_CLOEXEC && ioctl(fd, FIONCLEX) == 0);
  must(ioctl(fd, _IO('T', 0xf7)) < 0 && errno == ENOTTY);
  must(ioctl(fd, _IOR('q', 0xf7, char[600]), room) < 0 && errno == ENOTTY);
  must(ioctl(fd, _IOW('q', 0xf8, int), room) < 0 && errno == ENOTTY);
  int room_left;
  must(ioctl(fd, FIONREAD, &room_left) == 0 && room_left == 150000);
  put(out, "requests\n");
}

int main(void)
{
  out = open("log", O_WRONLY | O_CREAT | O_APPEND, 0600);
  must(out >= 0);
  sizes();
  pieces();
  names();
  int fd = open("big", O_RDWR);
  filesystems(fd);
  requests(fd);
  puts("looking: all told");
  return 0;
}
