/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/scratch_run.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

static void test_wrap(void)
{
  struct run run = {0};
  run_create(&run, SMALL_RING);
  uint64_t number = 0, drained = 0;
  for (int round = 0; round < 40; round++) {
    for (int i = 0; i < 50; i++, number++)
      append(&run, 1, number, (uint32_t)(number * 37 % 900));
    drained += drain(&run, false);
  }
  tap_ok(drained == number && pending(&run) == 0 && holds(&run, number),
         "entries that lie across the ring's end are drained like all others");
  tap_ok(atomic_load(&run.file.header->drained) > 10 * SMALL_RING, "positions only grow");
  tap_ok(defects(&run) == 0, "such a journal has no defect");
  tap_ok(drain(&run, false) == 0 && drain(&run, true) == 0, "draining twice moves nothing twice");
  run_close(&run);
}

static void test_sizes(void)
{
  struct run run = {0};
  run_create(&run, 8u << 20);
  uint32_t sizes[] = {0, 1 << 20, 8, 1 << 20, 300000, 262144, 1 << 20, 1, (1 << 20) - 7, 250000};
  uint64_t count = sizeof sizes / sizeof *sizes;
  for (uint64_t i = 0; i < count; i++)
    append(&run, 1, i, sizes[i]);
  tap_ok(drain(&run, false) == count && holds(&run, count),
         "entries of all sizes up to the largest are drained");
  run_close(&run);
}

static void test_gaps(void)
{
  struct run run = {0};
  run_create(&run, SMALL_RING);
  append(&run, 1, 0, 10);
  reserve(&run, 4096);
  append(&run, 1, 1, 10);
  tap_ok(drain(&run, false) == 1 && pending(&run) > 0,
         "while writers may live, the drain stops before what is not whole");
  reserve(&run, 88);
  tap_ok(drain(&run, true) == 1 && pending(&run) == 0 && holds(&run, 2),
         "when all are dead, what is not whole is skipped and what follows is kept");
  append(&run, 1, 2, 10);
  tap_ok(drain(&run, false) == 1 && holds(&run, 3), "after a gap at the end the journal goes on");
  tap_ok(defects(&run) == 0, "gaps are no defects");
  run_close(&run);
  run_open(&run);
  tap_ok(drain(&run, true) == 0 && holds(&run, 3), "gaps are remembered by the store");
  run_close(&run);

  run_create(&run, SMALL_RING);
  reserve(&run, 3 * SMALL_RING);
  tap_ok(drain(&run, true) == 0 && pending(&run) == 0,
         "a gap that is longer than the ring is skipped as well");
  append(&run, 1, 0, 10);
  tap_ok(drain(&run, false) == 1 && holds(&run, 1), "a journal may begin with a gap");
  run_close(&run);
}

static void test_half_written(void)
{
  struct run run = {0};
  run_create(&run, SMALL_RING);
  uint64_t position = append(&run, 1, 0, 100);
  struct journal_entry *entry = (struct journal_entry *)(run.tail.ring + position);
  append(&run, 1, 1, 100);
  entry->position = 0x1234; /* stored last by a writer: not there yet */
  tap_ok(drain(&run, false) == 0, "an entry without its position is not taken");
  entry->position = position;
  entry->result++;
  tap_ok(drain(&run, false) == 0, "an entry with a wrong checksum is not taken");
  tap_ok(drain_once(&run.file, run.store, true, NULL, &failure) == -EBADMSG && strstr(failure.text, "damaged"),
         "and when its writer is dead the tail is said to be damaged: it is no gap");
  entry->result--;
  tap_ok(drain(&run, false) == 2 && holds(&run, 2), "once it is whole it is taken, and what follows");
  run_close(&run);
}

static void test_in_both(void)
{
  struct run run = {0};
  run_create(&run, SMALL_RING);
  for (uint64_t i = 0; i < 20; i++)
    append(&run, 1, i, 100);
  drain(&run, false);
  /* Killed behind the commit: the tail does not know yet. */
  atomic_store(&run.file.header->drained, 0);
  append(&run, 1, 20, 100);
  tap_ok(drain(&run, true) == 1 && holds(&run, 21) && pending(&run) == 0,
         "killed between the commit and moving `drained`: every entry is there once");
  atomic_store(&run.file.header->drained, 0);
  tap_ok(drain(&run, false) == 0 && pending(&run) == 0,
         "killed there with nothing left to move: `drained` catches up");
  run_close(&run);
}

struct writer {
  struct run *run;
  uint32_t stream;
  uint64_t count;
};

static void *write_many(void *argument)
{
  struct writer *writer = argument;
  for (uint64_t i = 0; i < writer->count; i++)
    append(writer->run, writer->stream, i, (uint32_t)(i * 31 % 500));
  return NULL;
}

static void test_full_ring(void)
{
  struct run run = {0};
  run_create(&run, SMALL_RING);
  struct drain *thread;
  int error = drain_start(&run.file, run.store, NULL, NULL, &thread, &failure);
  assert(error == 0);
  struct writer writers[4];
  pthread_t threads[4];
  for (uint32_t i = 0; i < 4; i++) {
    writers[i] = (struct writer){&run, i, 5000};
    pthread_create(&threads[i], NULL, write_many, &writers[i]);
  }
  for (int64_t i = 0; i < 200; i++)
    if (store_meta_set_number(run.store, "counter", i, &failure) != 0)
      error = -EIO;
  tap_ok(error == 0, "beside the drain's thread, others can use the store");
  for (int i = 0; i < 4; i++)
    pthread_join(threads[i], NULL);
  tap_ok(drain_stop(thread, &failure) == 0 && holds(&run, 20000),
         "writers that are faster than the drain wait for room and lose nothing");
  tap_ok(defects(&run) == 0, "such a journal has no defect either");
  run_close(&run);
}

static void test_killed_writers(void)
{
  struct run run = {0};
  bool right = true;
  uint64_t total = 0;
  for (int round = 0; round < 10 && right; round++) {
    run_create(&run, 1u << 20);
    pid_t child = fork();
    if (child == 0) {
      struct writer writers[2] = {{&run, 1, UINT64_MAX}, {&run, 2, UINT64_MAX}};
      pthread_t thread;
      pthread_create(&thread, NULL, write_many, &writers[0]);
      write_many(&writers[1]);
    }
    uint64_t enough = (uint64_t)(round + 1) * 150000;
    while (atomic_load(&run.file.header->head) < enough)
      drain(&run, false);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    drain(&run, true);
    uint64_t position, count;
    store_end(run.store, &position, &count, &failure);
    total += count;
    right = holds(&run, count) && pending(&run) == 0 && defects(&run) == 0;
    run_close(&run);
  }
  tap_ok(right && total > 1000,
         "killed at any moment: what two threads had written is there without a hole");
}

static void test_killed_drain(void)
{
  struct run run = {0};
  bool right = true;
  for (int round = 0; round < 5 && right; round++) {
    run_create(&run, 32u << 20);
    uint64_t count = 0;
    for (; atomic_load(&run.file.header->head) < (30u << 20); count++)
      append(&run, 1, count, 1000);
    run_close(&run);
    pid_t child = fork();
    if (child == 0) {
      run_open(&run);
      drain(&run, false);
      _exit(0);
    }
    run_open(&run);
    while (atomic_load(&run.file.header->drained) < (uint64_t)round * (6u << 20))
      sched_yield();
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    drain(&run, true);
    right = holds(&run, count) && defects(&run) == 0;
    run_close(&run);
  }
  tap_ok(right, "a drain that is killed at any moment is finished by the next one");
}

struct reports {
  sem_t failed, recovered;
  unsigned count;
};

static void count_report(const struct failure *why, void *context)
{
  struct reports *reports = context;
  reports->count++;
  if (why != NULL)
    tap_note("%s", why->text);
  sem_post(why != NULL ? &reports->failed : &reports->recovered);
}

static void limit_file_size(rlim_t bytes)
{
  struct rlimit limit;
  getrlimit(RLIMIT_FSIZE, &limit);
  limit.rlim_cur = bytes;
  setrlimit(RLIMIT_FSIZE, &limit);
}

static void test_file_size_limit(void)
{
  struct run run = {0};
  run_create(&run, 1u << 20);
  signal(SIGXFSZ, SIG_IGN);
  uint64_t count = 0;
  for (; count < 800; count++)
    append(&run, 1, count, 1000);
  limit_file_size(500000);
  int error = drain_once(&run.file, run.store, false, NULL, &failure);
  tap_ok(error == -ENOSPC && pending(&run) > 800000, "without space the drain fails with ENOSPC and "
                                                     "keeps everything in the tail");
  struct reports reports = {.count = 0};
  sem_init(&reports.failed, 0, 0);
  sem_init(&reports.recovered, 0, 0);
  struct drain *thread;
  drain_start(&run.file, run.store, count_report, &reports, &thread, &failure);
  sem_wait(&reports.failed);
  for (; count < 810; count++)
    append(&run, 1, count, 1000);
  limit_file_size(RLIM_INFINITY);
  sem_wait(&reports.recovered);
  tap_ok(drain_stop(thread, &failure) == 0 && holds(&run, count) && reports.count == 2,
         "the thread reports a full disk once and its end once, and nothing is lost");
  run_close(&run);
}

/* 0: as promised, 1: not, 77: this user may not mount. */
static int fill_small_disk(void)
{
  if (unshare(CLONE_NEWNS | (geteuid() != 0 ? CLONE_NEWUSER : 0)) != 0 ||
      mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
    return 77;
  const char *disk = scratch_path("disk");
  mkdir(disk, 0700);
  if (mount("small", disk, "tmpfs", 0, "size=2m,mode=0700") != 0)
    return 77;
  struct run run = {0};
  run_create_in(&run, disk, 1u << 20, TAIL_SYNC_REMOTE);
  uint64_t count = 0;
  int error = 0;
  while (error == 0) {
    for (int i = 0; i < 100; i++, count++)
      append(&run, 1, count, 2000);
    error = drain_once(&run.file, run.store, false, NULL, &failure);
    assert(count < 10000);
  }
  bool right = error == -ENOSPC && pending(&run) > 0;
  if (mount(NULL, disk, NULL, MS_REMOUNT, "size=64m,mode=0700") != 0)
    return 1;
  drain(&run, false);
  right = right && pending(&run) == 0 && holds(&run, count) && defects(&run) == 0;
  run_close(&run);
  return right ? 0 : 1;
}

static void test_small_disk(void)
{
  pid_t child = fork();
  if (child == 0)
    _exit(fill_small_disk());
  int status;
  waitpid(child, &status, 0);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
    tap_ok(true, "a full disk that gets space again goes on # SKIP needs a mount namespace");
  else
    tap_ok(status == 0, "a full disk that gets space again goes on, and nothing is lost");
}

static void test_hole(void)
{
  struct run run = {0}, other = {0};
  run_create(&run, SMALL_RING);
  run_create(&other, SMALL_RING);
  for (uint64_t i = 0; i < 10; i++)
    append(&run, 1, i, 100);
  drain(&run, false);
  append(&run, 1, 10, 100);
  tap_ok(drain_once(&run.file, other.store, false, NULL, &failure) == -EBADMSG && says("hole"),
         "a store that lacks what the tail has given away is refused");
  tap_ok(drain_once(&other.file, run.store, true, NULL, &failure) == -EBADMSG && says("same run"),
         "a tail that is behind its store is refused");
  run_close(&run);
  run_close(&other);
}

static void test_reboot(void)
{
  struct run run = {0};
  run_create(&run, SMALL_RING);
  memset(run.file.header->boot_id, 0xee, 16);
  append(&run, 1, 0, 100);
  drain(&run, false);
  append(&run, 1, 1, 100);
  uint64_t stale_head = atomic_load(&run.file.header->head);
  reserve(&run, 80);
  uint64_t synced = append(&run, 1, 2, 100);
  atomic_store(&run.file.header->synced, synced);
  reserve(&run, 80);
  append(&run, 1, 3, 100);
  atomic_store(&run.file.header->head, stale_head); /* the header's page was not written */
  tap_ok(drain(&run, true) == 2 && holds(&run, 3),
         "after a reboot what is on disk is kept up to the first hole that was not synced");
  tap_ok(pending(&run) == 0 && atomic_load(&run.file.header->head) == synced + 168,
         "after a reboot the tail ends where the journal does");
  run_close(&run);
}

/* The machine died before the store's newest commits were on disk; the tail's header was. */
static void test_reboot_without_commits(void)
{
  struct run run = {0}, older = {0};
  run_create(&run, SMALL_RING);
  run_create(&older, SMALL_RING);
  for (struct run *each = &run; each != NULL; each = each == &run ? &older : NULL) {
    for (uint64_t i = 0; i < 5; i++)
      append(each, 1, i, 100);
    drain(each, false);
  }
  for (uint64_t i = 5; i < 10; i++)
    append(&run, 1, i, 100);
  drain(&run, false);
  append(&run, 1, 10, 100);
  uint64_t store_ends = atomic_load(&older.file.header->head);
  memset(run.file.header->boot_id, 0xee, 16);
  atomic_store(&run.file.header->synced, store_ends + 8);
  tap_ok(drain_once(&run.file, older.store, true, NULL, &failure) == -EBADMSG && says("hole"),
         "after a reboot a store that lacks what was promised to be on disk is refused");
  atomic_store(&run.file.header->synced, store_ends);
  tap_ok(drain_once(&run.file, older.store, true, NULL, &failure) == 0,
         "after a reboot a store may lack what was not");
  tap_ok(holds(&older, 5), "the journal ends there then, and nothing that comes after the hole is taken");
  run_close(&run);
  run_close(&older);
}

static void test_durable(void)
{
  struct run run = {0};
  run_create_in(&run, scratch_directory, SMALL_RING, TAIL_SYNC_REMOTE);
  struct drain *thread;
  drain_start(&run.file, run.store, NULL, NULL, &thread, &failure);
  uint64_t position = append(&run, 1, 0, 100);
  tap_ok(atomic_load(&run.file.header->durable) == TAIL_DURABLE_NOT_YET,
         "while nobody needs anything on disk, nothing is put there");
  uint64_t end = atomic_load(&run.file.header->head);
  tap_ok(tail_sync_to(&run.tail, position, end) == 0 && atomic_load(&run.file.header->durable) == TAIL_DURABLE &&
           atomic_load(&run.file.header->synced) == end,
         "the first that does waits until the drain has put on disk what has left the tail");
  for (uint64_t i = 1; i < 2000; i++)
    append(&run, 1, i, 300);
  tap_ok(drain_stop(thread, &failure) == 0 && holds(&run, 2000), "and the drain goes on");
  run_close(&run);
}

/* Another thread has reserved its entry, and not published it, when one behind it is promised to be on disk. */
static void test_hole_before_promise(void)
{
  struct run run = {0};
  struct drain *thread;
  run_create_in(&run, scratch_directory, SMALL_RING, TAIL_SYNC_REMOTE);
  struct tail_header *header = run.file.header;
  drain_start(&run.file, run.store, NULL, NULL, &thread, &failure);
  uint64_t first = append(&run, 1, 0, 100), end = atomic_load(&header->head);
  tap_ok(tail_sync_to(&run.tail, first, end) == 0 && atomic_load(&header->holes_to) == 0,
         "where all is published, the entries alone are put on disk");
  uint64_t hole = atomic_load(&header->head);
  reserve(&run, 80);
  uint64_t promised = append(&run, 1, 1, 100), promised_end = atomic_load(&header->head);
  tap_ok(tail_sync_to(&run.tail, promised, promised_end) == 0 && atomic_load(&header->synced) == hole &&
           atomic_load(&header->holes_to) == promised_end,
         "a hole before what is promised is noted, and what is published in it later is put on disk by the next");
  append(&run, 1, 2, 100);
  memset(header->boot_id, 0xee, 16);
  tap_ok(drain_stop(thread, &failure) == 0 && holds(&run, 2) && atomic_load(&header->drained) == promised_end,
         "after a reboot what was promised behind the hole is there, and nothing that came later");
  run_close(&run);
}

/* Each sync of the store's would delay the program's own. */
static void test_batches(void)
{
  struct run run = {0};
  run_create_in(&run, scratch_directory, SMALL_RING, TAIL_SYNC_REMOTE);
  struct tail_header *header = run.file.header;
  atomic_store(&header->durable, TAIL_DURABLE);
  uint64_t base = atomic_load(&header->drained), count = 0;
  while (atomic_load(&header->head) - base < SMALL_RING / 8)
    append(&run, 1, count++, 100);
  drain(&run, false);
  tap_ok(holds(&run, count) && atomic_load(&header->drained) == base,
         "what is in the store and not synced there stays in the tail");
  while (atomic_load(&header->head) - base < SMALL_RING / 2)
    append(&run, 1, count++, 100);
  drain(&run, false);
  tap_ok(holds(&run, count) && pending(&run) == 0 && atomic_load(&header->synced) == atomic_load(&header->head),
         "until it is enough for one sync");
  append(&run, 1, count++, 100);
  drain(&run, false);
  atomic_store(&header->writers_waiting, 1);
  drain(&run, false);
  tap_ok(pending(&run) == 0, "or a writer waits for the room");
  atomic_store(&header->writers_waiting, 0);
  append(&run, 1, count++, 100);
  drain(&run, false);
  bool stayed = pending(&run) != 0;
  drain(&run, true);
  tap_ok(stayed && pending(&run) == 0 && holds(&run, count), "or the attempt has ended");
  run_close(&run);
}

static double seconds(void)
{
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static void note_speed(unsigned sync, uint32_t size)
{
  struct run run = {0};
  run_create_in(&run, scratch_directory, 64u << 20, sync);
  uint64_t count = 0;
  double took = 0, bytes = 0;
  for (int round = 0; round < 2; round++) {
    uint64_t start = atomic_load(&run.file.header->head);
    while (atomic_load(&run.file.header->head) - start < (63u << 20))
      append(&run, 1, count++, size);
    double began = seconds();
    drain(&run, false);
    took += seconds() - began;
    bytes += (double)(atomic_load(&run.file.header->head) - start);
  }
  tap_note("draining entries of %u bytes of output, --sync %s: %.0f MB/s, %.2f million entries/s", size,
           sync == TAIL_SYNC_NONE ? "none" : "remote", bytes / took / 1e6, (double)count / took / 1e6);
  run_close(&run);
}

int main(void)
{
  scratch_create();
  test_wrap();
  test_sizes();
  test_gaps();
  test_half_written();
  test_in_both();
  test_full_ring();
  test_killed_writers();
  test_killed_drain();
  test_file_size_limit();
  test_small_disk();
  test_hole();
  test_reboot();
  test_reboot_without_commits();
  test_durable();
  test_hole_before_promise();
  test_batches();
  note_speed(TAIL_SYNC_NONE, 8);
  note_speed(TAIL_SYNC_NONE, 4096);
  note_speed(TAIL_SYNC_REMOTE, 4096);
  scratch_remove();
  return tap_done();
}
