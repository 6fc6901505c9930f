/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/archive.h"

#include "supervisor/drain.h"
#include "supervisor/frame.h"
#include "supervisor/redis_run.h"
#include "supervisor/store_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#define LEASE_MS 60000u
/* Nobody waits for it. */
#define ZSTD_LEVEL 9
#define STORE_SIZE_MAX ((unsigned long long)1 << 40)

struct bytes {
  void *data;
  size_t length;
};

/* ---- files ---- */

static int file_failed(const char *what, const char *path, struct failure *failure)
{
  int error = errno ? errno : EIO;
  return failure_set(failure, -error, "cannot %s %s: %s; look at that disk", what, path, strerror(error));
}

static int read_file(const char *path, struct bytes *ret_bytes, struct failure *failure)
{
  struct stat status;
  errno = 0;
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  struct bytes bytes = {0};
  bool whole = fd >= 0 && fstat(fd, &status) == 0 && (bytes.data = malloc((size_t)status.st_size + 1));
  while (whole && bytes.length < (size_t)status.st_size) {
    ssize_t got = read(fd, (char *)bytes.data + bytes.length, (size_t)status.st_size - bytes.length);
    whole = got > 0;
    bytes.length += got > 0 ? (size_t)got : 0;
  }
  int error = whole ? 0 : file_failed("read", path, failure);
  if (fd >= 0)
    close(fd);
  if (error == 0)
    *ret_bytes = bytes;
  else
    free(bytes.data);
  return error;
}

/* On disk, with its name, when it returns 0. */
static int write_file(const char *directory, const char *path, const struct bytes *bytes, struct failure *failure)
{
  char made[PATH_MAX + 8];
  size_t done = 0;
  snprintf(made, sizeof made, "%s.new", path);
  errno = 0;
  int fd = open(made, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), folder = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  bool good = fd >= 0 && folder >= 0;
  while (good && done < bytes->length) {
    ssize_t put = write(fd, (const char *)bytes->data + done, bytes->length - done);
    good = put > 0;
    done += put > 0 ? (size_t)put : 0;
  }
  good = good && fsync(fd) == 0 && rename(made, path) == 0 && fsync(folder) == 0;
  int error = good ? 0 : file_failed("write", path, failure);
  if (fd >= 0)
    close(fd);
  if (folder >= 0)
    close(folder);
  if (!good)
    unlink(made);
  return error;
}

/* ---- zstd ---- */

static int compress(const struct bytes *bytes, struct bytes *ret_packed, struct failure *failure)
{
  ZSTD_CCtx *context = ZSTD_createCCtx();
  struct bytes packed = {.data = malloc(ZSTD_compressBound(bytes->length))};
  if (context && packed.data) {
    ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, ZSTD_LEVEL);
    ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);
    packed.length = ZSTD_compress2(context, packed.data, ZSTD_compressBound(bytes->length), bytes->data, bytes->length);
  }
  bool good = context && packed.data && !ZSTD_isError(packed.length);
  ZSTD_freeCCtx(context);
  if (good)
    *ret_packed = packed;
  else
    free(packed.data);
  return good ? 0 : failure_set(failure, -ENOMEM, "cannot compress the run: out of memory");
}

static int decompress(const char *path, struct bytes *ret_bytes, struct failure *failure)
{
  struct bytes packed;
  int error = read_file(path, &packed, failure);
  if (error != 0)
    return error;
  error = frame_unpack(packed.data, packed.length, STORE_SIZE_MAX, &ret_bytes->data, &ret_bytes->length);
  free(packed.data);
  return error == 0 ? 0 : failure_set(failure, -EBADMSG, "%s is no archived run, or it is damaged; take it from a backup", path);
}

/* ---- from the store ---- */

static void remove_store(const char *path)
{
  static const char *const behind[] = {"", "-wal", "-shm"};
  for (size_t i = 0; i < sizeof behind / sizeof behind[0]; i++) {
    char name[PATH_MAX + 8];
    snprintf(name, sizeof name, "%s%s", path, behind[i]);
    unlink(name);
  }
}

static void keep_defect(const char *line, void *context)
{
  char *first = context;
  if (!first[0])
    snprintf(first, 512, "%s", line);
}

static int check_store(struct store *store, const char *id, uint64_t next_seq, struct failure *failure)
{
  char first[512] = "", *state = NULL;
  uint64_t position = 0, entry_count = 0;
  int64_t defects = verify_journal(store, "/nonexistent", keep_defect, first, failure);
  int error = defects > 0 ? failure_set(failure, -EBADMSG, "run %s is damaged in the store: %s; it stays there", id, first) : (int)defects;
  if (error == 0)
    error = store_end(store, &position, &entry_count, failure);
  if (error == 0)
    error = store_meta_text(store, "state", &state, failure);
  if (error == 0 && (entry_count + 1 != next_seq || strcmp(state, "finished") != 0))
    error = failure_set(failure, -EBADMSG, "run %s has not come whole into its file; it stays in the store", id);
  free(state);
  return error;
}

/* As somebody will find it who unpacks the file: by itself, at `path`, which is made and removed. */
static int check(const struct bytes *back, const char *directory, const char *path, const char *id, uint64_t next_seq,
                 struct failure *failure)
{
  struct store *store = NULL;
  remove_store(path);
  int error = write_file(directory, path, back, failure);
  if (error == 0)
    error = store_open(path, false, &store, failure);
  if (error == 0)
    error = check_store(store, id, next_seq, failure);
  store_close(store);
  remove_store(path);
  return error;
}

/* The run's store as the bytes of a file. `path` is made, and removed. */
static int take_store(struct redis_run *run, const char *path, struct bytes *ret_bytes, struct failure *failure)
{
  struct store *store = NULL;
  remove_store(path);
  int error = store_create(path, TAIL_SYNC_NONE, &store, failure);
  if (error == 0)
    error = store_fill(redis_run_any(run), store_any(store), failure);
  if (error == 0) /* one file has all of it */
    error = store_execute(store, "PRAGMA journal_mode = DELETE", "write to", failure);
  store_close(store);
  if (error == 0)
    error = read_file(path, ret_bytes, failure);
  remove_store(path);
  return error;
}

/* ---- archiving ---- */

static bool same(const struct bytes *a, const struct bytes *b)
{
  return a->length == b->length && memcmp(a->data, b->data, a->length) == 0;
}

/* A file that an interrupted call has left is as good. */
static int put_away(const char *directory, const char *path, const struct bytes *bytes, struct bytes *ret_back, struct failure *failure)
{
  struct bytes packed = {0}, back = {0};
  bool there = access(path, F_OK) == 0;
  int error = there ? 0 : compress(bytes, &packed, failure);
  if (error == 0 && !there)
    error = write_file(directory, path, &packed, failure);
  free(packed.data);
  if (error == 0)
    error = decompress(path, &back, failure);
  if (error == 0 && !same(bytes, &back))
    error = there ? failure_set(failure, -EEXIST, "%s is another run's, or another state of it; move it away", path)
                  : failure_set(failure, -EIO, "%s is not what was written to it; look at that disk", path);
  if (error == 0)
    *ret_back = back;
  else
    free(back.data);
  return error;
}

static int claim(struct redis_run *run, struct redis_claimed *ret_claimed, struct failure *failure)
{
  char host[128] = "?", owner[192];
  gethostname(host, sizeof host - 1);
  snprintf(owner, sizeof owner, "perdure archive on %s, process %d", host, (int)getpid());
  const struct redis_claim wanted = {.owner = owner, .name = owner, .lease_ms = LEASE_MS};
  return redis_run_claim(run, &wanted, ret_claimed, NULL, failure);
}

static int check_finished(struct redis_run *run, const char *id, struct failure *failure)
{
  struct store_head head;
  int error = redis_run_head(run, &head, failure);
  if (error != 0)
    return error;
  free(head.bytes);
  return strcmp(head.state, "finished") == 0
           ? 0
           : failure_set(failure, -EINVAL, "run %s has not finished: it is %s, and stays in the store; go on with it first", id, head.state);
}

static int archive_owned(struct redis_run *run, const char *id, const char *directory, const char *path, uint64_t next_seq,
                         struct failure *failure)
{
  struct bytes bytes = {0}, back = {0};
  char made[PATH_MAX];
  snprintf(made, sizeof made, "%s/.%s.archiving", directory, id);
  int error = check_finished(run, id, failure); /* as it is now that nobody else writes it */
  if (error == 0)
    error = take_store(run, made, &bytes, failure);
  if (error == 0)
    error = put_away(directory, path, &bytes, &back, failure);
  if (error == 0 && (error = check(&back, directory, made, id, next_seq, failure)) != 0)
    unlink(path); /* it is made again by the next call */
  free(bytes.data);
  free(back.data);
  return error == 0 ? redis_run_remove(run, failure) : error;
}

int archive_run(const char *url, const char *id, const char *directory, char *ret_path, struct failure *failure)
{
  struct redis_address address;
  struct redis_run *run = NULL;
  struct redis_claimed claimed;
  struct failure ignored;
  if (snprintf(ret_path, PATH_MAX, "%s/%s.run.zst", directory, id) >= PATH_MAX - 32)
    return failure_set(failure, -ENAMETOOLONG, "the archive's directory %.200s is too deep; give another one", directory);
  int error = redis_address_parse(url, &address, failure);
  if (error == 0)
    error = redis_run_open(&address, id, &run, failure);
  if (error == 0)
    error = check_finished(run, id, failure); /* a claim of what is not there would make it */
  if (error == 0)
    error = claim(run, &claimed, failure);
  if (error == 0) {
    error = archive_owned(run, id, directory, ret_path, claimed.next_seq, failure);
    if (error != 0)
      redis_run_release(run, &ignored);
  }
  redis_run_close(run);
  return error;
}

/* ---- looking ---- */

struct naming {
  int (*each)(const char *id, void *context);
  void *context;
};

static int name(struct redis_run *run, const char *id, void *context)
{
  const struct naming *naming = context;
  return run ? naming->each(id, naming->context) : 0;
}

int archive_runs(const char *url, const char *state, int (*each)(const char *id, void *context), void *context, struct failure *failure)
{
  struct redis_address address;
  struct naming naming = {each, context};
  int error = redis_address_parse(url, &address, failure);
  return error == 0 ? redis_runs(&address, state, name, &naming, failure) : error;
}

int archive_unpack(const char *file, const char *base, const char *id, struct failure *failure)
{
  struct run_place place;
  struct bytes bytes;
  char path[PATH_MAX];
  int error = decompress(file, &bytes, failure);
  if (error != 0)
    return error;
  error = run_place_find(base, id, &place, failure);
  snprintf(path, sizeof path, "%s/runs", base);
  if (error == 0 && ((mkdir(path, 0700) < 0 && errno != EEXIST) || (mkdir(place.directory, 0700) < 0 && errno != EEXIST)))
    error = file_failed("make", place.directory, failure);
  if (error == 0)
    error = run_place_folders(&place, failure);
  run_place_path(&place, "run.db", path);
  if (error == 0)
    error = write_file(place.directory, path, &bytes, failure);
  free(bytes.data);
  return error;
}
