/* SPDX-License-Identifier: Apache-2.0 */
/* What the process may do and what the machine is: asked for and set, by every call that there is for it. The
 * process names itself by the number that it saw first, which the kernel does not know after a crash. */
#include "must.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/kcmp.h>
#include <sched.h>
#include <stdint.h>
#include <sys/fsuid.h>
#include <sys/klog.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/uio.h>
#include <sys/utsname.h>

/* Calls that the oldest headers do not have. */
#define SYS_lsm_get_self_attr_ 459
#define SYS_lsm_set_self_attr_ 460
#define SYS_lsm_list_modules_ 461
#define SYS_listns_ 470

static int out;

static void machine(void)
{
  struct utsname name;
  struct sysinfo about;
  struct rusage used;
  char text[64];
  must(uname(&name) == 0 && strcmp(name.sysname, "Linux") == 0);
  must(sysinfo(&about) == 0 && about.totalram > 0);
  must(getrusage(RUSAGE_SELF, &used) == 0 && used.ru_maxrss > 0);
  must(klogctl(10, NULL, 0) > 0 || errno == EPERM || errno == ENOSYS);
  must(klogctl(3, text, sizeof text) >= 0 || errno == EPERM || errno == ENOSYS);
  put(out, "machine\n");
}

static void users(void)
{
  uid_t real, effective, saved;
  gid_t group, effective_group, saved_group, groups[64];
  must(getresuid(&real, &effective, &saved) == 0 && real == getuid() && effective == geteuid());
  must(getresgid(&group, &effective_group, &saved_group) == 0 && group == getgid() && effective_group == getegid());
  int count = getgroups(64, groups);
  must(count >= 0 && getgroups(0, NULL) == count);
  must(setgroups((size_t)count, groups) == 0 || errno == EPERM);
  must(setregid(group, effective_group) == 0 && setreuid(real, effective) == 0);
  must(setresgid(group, effective_group, saved_group) == 0 && setresuid(real, effective, saved) == 0);
  must(setgid(effective_group) == 0 && setuid(effective) == 0);
  must(setfsgid(effective_group) == (int)effective_group && setfsuid(effective) == (int)effective);
  put(out, "users\n");
}

static void rights(void)
{
  struct __user_cap_header_struct header = {0, 0};
  struct __user_cap_data_struct sets[2] = {0};
  must(syscall(SYS_capget, &header, sets) < 0 && errno == EINVAL && header.version == _LINUX_CAPABILITY_VERSION_3);
  header.pid = getpid();
  must(syscall(SYS_capget, &header, sets) == 0);
  sets[0].inheritable = 0;
  must(syscall(SYS_capset, &header, sets) == 0);
  must(personality(0xffffffff) >= 0);
  must(setsid() >= 0 || errno == EPERM);
  must(unshare(CLONE_FS | CLONE_FILES) == 0);
  must(unshare(CLONE_NEWUTS) == 0 || errno == EINVAL || errno == EPERM);
  struct rlimit limit;
  must(syscall(SYS_getrlimit, RLIMIT_CORE, &limit) == 0);
  limit.rlim_cur = 0;
  must(syscall(SYS_setrlimit, RLIMIT_CORE, &limit) == 0);
  must(prlimit(getpid(), RLIMIT_CORE, NULL, &limit) == 0 && limit.rlim_cur == 0);
  char name[16];
  must(prctl(PR_SET_NAME, "renamed") == 0 && prctl(PR_GET_NAME, name) == 0 && strcmp(name, "renamed") == 0);
  must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
  put(out, "rights\n");
}

/* Of itself, by its number and by 0. */
static void scheduling(void)
{
  struct sched_param parameter = {0};
  struct timespec slice;
  cpu_set_t processors;
  uint32_t attributes[14] = {sizeof attributes};
  pid_t pid = getpid();
  must(sched_getparam(pid, &parameter) == 0 && sched_getscheduler(pid) == SCHED_OTHER);
  must(sched_setparam(pid, &parameter) == 0 && sched_setscheduler(pid, SCHED_OTHER, &parameter) == 0);
  must(sched_rr_get_interval(pid, &slice) == 0);
  must(sched_getaffinity(pid, sizeof processors, &processors) == 0);
  must(sched_setaffinity(pid, sizeof processors, &processors) == 0);
  must(syscall(SYS_sched_getattr, pid, attributes, sizeof attributes, 0) == 0);
  must(syscall(SYS_sched_setattr, pid, attributes, 0) == 0);
  must(sched_get_priority_max(SCHED_FIFO) > sched_get_priority_min(SCHED_FIFO));
  must(syscall(SYS_ioprio_get, 1, pid) >= 0);
  must(syscall(SYS_ioprio_set, 1, pid, 2 << 13 | 4) == 0 && syscall(SYS_ioprio_get, 1, 0) == (2 << 13 | 4));
  must(getpriority(PRIO_PROCESS, (id_t)pid) == getpriority(PRIO_PROCESS, 0));
  must(setpriority(PRIO_PROCESS, (id_t)pid, 19) == 0 && getpriority(PRIO_PROCESS, (id_t)pid) == 19);
  put(out, "scheduling\n");
}

static void memory_of_itself(void)
{
  char from[] = "its own memory", to[sizeof from] = "";
  struct iovec local = {to, sizeof to}, remote = {from, sizeof from};
  pid_t pid = getpid();
  must(process_vm_readv(pid, &local, 1, &remote, 1, 0) == sizeof from && strcmp(to, from) == 0);
  must(syscall(SYS_kcmp, pid, pid, KCMP_FILE, out, out) == 0 || errno == ENOSYS);
  put(out, "memory\n");
}

/* Two-step questions: how much room, then the answer. */
static void modules(void)
{
  uint64_t ids[32];
  uint32_t size = 0;
  long count = syscall(SYS_lsm_list_modules_, ids, &size, 0);
  must(count >= 0 || errno == E2BIG || errno == ENOSYS);
  if (count < 0 && errno == E2BIG) {
    must(size >= 8 && size <= sizeof ids);
    count = syscall(SYS_lsm_list_modules_, ids, &size, 0);
    must(count == (long)(size / 8));
  }
  char attribute[1024] __attribute__((aligned(8)));
  size = sizeof attribute;
  must(syscall(SYS_lsm_get_self_attr_, 100, attribute, &size, 0) >= 0 || errno == EOPNOTSUPP || errno == ENOSYS || errno == EINVAL);
  must(syscall(SYS_lsm_set_self_attr_, 100, attribute, 0, 0) < 0);
  struct {
    uint32_t size, spare;
    uint64_t rest[3];
  } request = {32, 0, {0}};
  must(syscall(SYS_listns_, &request, ids, 32, 0) >= 0 || errno == ENOSYS || errno == EINVAL);
  put(out, "modules\n");
}

int main(void)
{
  out = open("log", O_WRONLY | O_CREAT | O_APPEND, 0600);
  must(out >= 0);
  machine();
  users();
  scheduling();
  memory_of_itself();
  rights();
  modules();
  puts("who: the same");
  return 0;
}
