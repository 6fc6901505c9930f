/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors that the program is started with, and what becomes of output in a replay.
 *
 * Writes nothing but one value of meta. A crash while the consumed part of an input is skipped loses
 * that part of this input; the next attempt, given a new one, skips again. */
#include "supervisor/run_outer.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* As everywhere in the journal. */
static uint64_t device_number(dev_t device)
{
  return (uint64_t)major(device) << 32 | minor(device);
}

static int describe(int fd, int source_fd, struct run_descriptor *ret_descriptor)
{
  int flags = fcntl(source_fd, F_GETFL);
  struct stat status;

  if (fstat(source_fd, &status) < 0)
    return -errno;
  *ret_descriptor = (struct run_descriptor){
    .fd = fd, .source_fd = source_fd, .device = device_number(status.st_dev), .inode = status.st_ino,
    .size = (uint64_t)status.st_size, .mode = status.st_mode, .access = flags & O_ACCMODE,
    .offset = S_ISREG(status.st_mode) ? lseek(source_fd, 0, SEEK_CUR) : 0,
  };
  return 0;
}

int run_outer_inherited(struct run_descriptors *ret_descriptors, struct failure *failure)
{
  DIR *directory = opendir("/proc/self/fd");
  struct dirent *found;
  uint32_t count = 0;
  int error = 0;

  if (directory == NULL)
    return failure_set(failure, -errno, "cannot read /proc/self/fd: %s; mount /proc", strerror(errno));
  while (error == 0 && (found = readdir(directory)) != NULL) {
    int fd = atoi(found->d_name);
    int flags = found->d_name[0] == '.' || fd == dirfd(directory) ? -1 : fcntl(fd, F_GETFD);

    if (flags < 0 || (flags & FD_CLOEXEC) != 0)
      continue;
    if (count == RUN_INHERITED_MAX)
      error = failure_set(failure, -EMFILE, "more than %u descriptors are open already: the program "
                          "would inherit them; close what it does not need", RUN_INHERITED_MAX);
    else if (describe(fd, fd, &ret_descriptors->list[count]) == 0)
      count++;
  }
  closedir(directory);
  if (error == 0)
    ret_descriptors->count = count;
  return error;
}

static struct run_descriptor *find(struct run_descriptors *descriptors, int fd)
{
  for (uint32_t i = 0; i < descriptors->count; i++)
    if (descriptors->list[i].fd == fd)
      return &descriptors->list[i];
  return NULL;
}

/* Something on which reads find the end and writes nobody to read them. */
static int open_stand_in(const struct run_outer_known *was)
{
  struct stat null;
  int ends[2], keep;

  if (stat("/dev/null", &null) == 0 && device_number(null.st_dev) == was->device &&
      null.st_ino == was->inode)
    return open("/dev/null", was->access | O_CLOEXEC);
  if (pipe2(ends, O_CLOEXEC) < 0)
    return -1;
  keep = was->access == O_RDONLY ? 0 : 1;
  close(ends[1 - keep]);
  return ends[keep];
}

int run_outer_align(struct run_descriptors *descriptors, const struct run_outer_before *before,
                    struct failure *failure)
{
  struct run_descriptors aligned = {0};

  for (uint32_t i = 0; i < before->count; i++) {
    const struct run_outer_known *was = &before->list[i];
    struct run_descriptor *now = find(descriptors, was->fd);
    int fd;

    if (now != NULL) {
      aligned.list[aligned.count++] = *now;
      continue;
    }
    fd = open_stand_in(was);
    if (fd < 0 || describe(was->fd, fd, &aligned.list[aligned.count]) < 0)
      return failure_set(failure, -errno, "cannot make a stand-in for descriptor %d, which the run "
                         "was started with: %s; start it with that descriptor open", was->fd,
                         strerror(errno));
    aligned.list[aligned.count++].access = was->access;
  }
  *descriptors = aligned;
  return 0;
}

static uint32_t output_of(const struct tail_header *header, const struct run_descriptor *descriptor)
{
  for (uint32_t i = 0; i < header->outer_count; i++)
    if (header->outer[i].device == descriptor->device && header->outer[i].inode == descriptor->inode)
      return header->outer[i].output;
  return TAIL_OUTPUT_ONCE;
}

int run_outer_remember(struct store *store, const struct run_descriptors *descriptors,
                       const struct tail_header *header, struct failure *failure)
{
  char text[RUN_INHERITED_MAX * 64] = "", *at = text;

  for (uint32_t i = 0; i < descriptors->count; i++)
    at += sprintf(at, "%s%d:%" PRIu64 ":%" PRIu64 ":%u:%d", i > 0 ? " " : "", descriptors->list[i].fd,
                  descriptors->list[i].device, descriptors->list[i].inode,
                  output_of(header, &descriptors->list[i]), descriptors->list[i].access);
  return store_meta_set_text(store, "outer", text, failure);
}

int run_outer_recall(struct store *store, struct run_outer_before *ret_before, struct failure *failure)
{
  struct run_outer_before before = {.live = true};
  struct failure missing;
  char *text, *at;
  int length, error = store_meta_text(store, "outer", &text, &missing);

  if (error == -ENOENT) {
    *ret_before = before;
    return 0;
  }
  if (error < 0)
    return failure_set(failure, error, "%s", missing.text);
  for (at = text; before.count < RUN_INHERITED_MAX; at += length) {
    struct run_outer_known *known = &before.list[before.count];

    if (sscanf(at, "%d:%" SCNu64 ":%" SCNu64 ":%" SCNu32 ":%d%n", &known->fd, &known->device,
               &known->inode, &known->output, &known->access, &length) != 5)
      break;
    before.count++;
  }
  free(text);
  *ret_before = before;
  return 0;
}

static const struct run_outer_known *known_object(const struct run_outer_before *before,
                                                  const struct run_descriptor *now)
{
  for (uint32_t i = 0; i < before->count; i++)
    if (before->list[i].device == now->device && before->list[i].inode == now->inode)
      return &before->list[i];
  return NULL;
}

/* Does the file still hold all that the run wrote to it? */
static bool holds_output(const struct run_descriptor *now, const struct analysis_summary *summary)
{
  for (uint32_t i = 0; i < summary->outer_count; i++)
    if (summary->outer[i].file.device == now->device && summary->outer[i].file.inode == now->inode)
      return now->size >= summary->output_end[i];
  return now->size > 0;
}

static uint32_t decide_one(const struct run_descriptor *now, enum run_output policy,
                           const struct analysis_summary *summary,
                           const struct run_outer_before *before)
{
  const struct run_outer_known *known;

  if (summary == NULL || policy == RUN_OUTPUT_ONCE)
    return TAIL_OUTPUT_ONCE;
  if (policy == RUN_OUTPUT_AGAIN)
    return TAIL_OUTPUT_AGAIN;
  if (S_ISCHR(now->mode))
    return TAIL_OUTPUT_ONCE;
  known = known_object(before, now);
  if (known == NULL)
    return TAIL_OUTPUT_AGAIN;
  /* It was to get everything again in an attempt that died on the way: it does not have it all. */
  if (known->output == TAIL_OUTPUT_AGAIN && !before->live)
    return TAIL_OUTPUT_AGAIN;
  if (S_ISREG(now->mode) && !holds_output(now, summary))
    return TAIL_OUTPUT_AGAIN;
  return TAIL_OUTPUT_ONCE;
}

bool run_outer_output_missing(const struct run_descriptors *descriptors, enum run_output policy,
                              const struct analysis_summary *summary,
                              const struct run_outer_before *before)
{
  for (uint32_t i = 0; i < descriptors->count; i++) {
    const struct run_descriptor *now = &descriptors->list[i];

    for (uint32_t k = 0; k < summary->outer_count; k++)
      if (summary->outer[k].fd == now->fd && summary->output_written[k] > 0 &&
          decide_one(now, policy, summary, before) == TAIL_OUTPUT_AGAIN)
        return true;
  }
  return false;
}

static uint64_t output_end(const struct run_descriptor *now, const struct analysis_summary *summary)
{
  for (uint32_t i = 0; i < summary->outer_count; i++)
    if (summary->outer[i].file.device == now->device && summary->outer[i].file.inode == now->inode)
      return summary->output_end[i];
  return 0;
}

void run_outer_place_output(const struct run_descriptors *descriptors, const struct tail_header *header,
                            const struct analysis_summary *summary)
{
  for (uint32_t i = 0; i < descriptors->count; i++) {
    const struct run_descriptor *now = &descriptors->list[i];
    uint64_t end = output_end(now, summary);

    if (!S_ISREG(now->mode) || now->access == O_RDONLY || end == 0)
      continue;
    for (uint32_t k = 0; k < header->outer_count; k++)
      if (header->outer[k].device == now->device && header->outer[k].inode == now->inode &&
          header->outer[k].output == TAIL_OUTPUT_ONCE &&
          lseek(now->source_fd, 0, SEEK_CUR) < (off_t)end)
        lseek(now->source_fd, (off_t)end, SEEK_SET);
  }
}

int run_outer_decide(struct tail_header *header, const struct run_descriptors *descriptors,
                     enum run_output policy, const struct analysis_summary *summary,
                     const struct run_outer_before *before, struct failure *failure)
{
  uint32_t count = 0;

  for (uint32_t i = 0; i < descriptors->count; i++) {
    const struct run_descriptor *now = &descriptors->list[i];
    uint32_t k = 0;

    while (k < count &&
           (header->outer[k].device != now->device || header->outer[k].inode != now->inode))
      k++;
    if (k < count)
      continue;
    if (count == TAIL_OUTER_MAX)
      return failure_set(failure, -EMFILE, "the program would inherit more than %u open files: "
                         "perdure follows no more; close what it does not need", TAIL_OUTER_MAX);
    header->outer[count++] = (struct tail_outer){
      .device = now->device, .inode = now->inode, .kind = now->mode & S_IFMT,
      .output = decide_one(now, policy, summary, before),
    };
  }
  header->outer_count = count;
  return 0;
}
