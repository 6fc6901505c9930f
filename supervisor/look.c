/* SPDX-License-Identifier: Apache-2.0 */
/* Did it happen? For each open intent the world is compared with what the intent says it was before.
 *
 * A crash at any line is harmless: an append cut back is an append that has not happened, an exclusive
 * create's empty file removed is a create that has not happened, and looking again says so. */
#include "supervisor/analysis.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <linux/limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>

#include "journal/entry.h"

/* Entries' and files' times come from a clock that ticks every 1 to 10 ms. */
#define CLOCK_SLACK_NS 20000000u

/* One intent that is looked at. */
struct looking {
  const struct analysis *analysis;
  const struct world *world;
  const struct journal_entry *intent;
  const struct change *change;
};

/* A path argument of an intent: what it named before, and what it names now. */
struct place {
  char path[KNOWN_PATH_SIZE_MAX];
  bool was, is;
  struct journal_file before, now;
};

/* A file that stands for another one since a resume is the same. */
static bool same_file(const struct looking *looking, const struct journal_file *a, const struct journal_file *b)
{
  struct file_id first = file_id_of(a), second = file_id_of(b);
  if (file_id_same(&first, &second))
    return true;
  uint32_t file = known_files_find(&looking->analysis->files, &first);
  return file != KNOWN_FILE_NONE && file == known_files_find(&looking->analysis->files, &second);
}

/* What nobody may look at, no call of the program's has changed. */
static bool out_of_reach(int error)
{
  return error == -EACCES || error == -ELOOP || error == -ENAMETOOLONG;
}

/* 1: there, 0: not, or -errno. */
static int look_at(const struct world *world, const char *path, struct journal_file *ret_file)
{
  int error = world->look(world->context, path, ret_file);
  if (error == -ENOENT || error == -ENOTDIR)
    return 0;
  return error ? error : 1;
}

/* 1: the intent names a path, and *ret_place is filled; 0: it names none that can be looked at. */
static int place_look(const struct looking *looking, unsigned arg, struct place *ret_place)
{
  size_t length;
  const char *path = entry_path(looking->intent, (int)arg, &length);
  if (!path)
    return 0;
  memcpy(ret_place->path, path, length);
  ret_place->path[length] = '\0';
  ret_place->was = entry_file(looking->intent, (int)arg, &ret_place->before);
  int found = look_at(looking->world, ret_place->path, &ret_place->now);
  if (found < 0)
    return out_of_reach(found) ? 0 : found;
  ret_place->is = found;
  return 1;
}

static bool born_after(const struct journal_file *file, const struct journal_entry *intent)
{
  /* A file that nobody has touched was last changed when it was made. */
  uint64_t birth_ns = file->birth_ns ? file->birth_ns : file->ctime_ns;
  return birth_ns + CLOCK_SLACK_NS >= intent->time_ns;
}

/* Each returns 1: it happened, *ret_result is what it returned; 0: repeat it; or -errno. */

static int look_open(const struct looking *looking, int64_t *ret_result)
{
  uint64_t flags = change_open_flags(looking->change, looking->intent);
  if ((flags & (O_CREAT | O_EXCL)) != (O_CREAT | O_EXCL))
    return 0;
  struct place place;
  int named = place_look(looking, looking->change->arg, &place);
  if (named <= 0)
    return named;
  if (place.was || !place.is || !S_ISREG(place.now.mode) || place.now.size != 0 ||
      place.now.link_count != 1 || !born_after(&place.now, looking->intent))
    return 0;
  /* A file that the run got from another call, in another thread, is not this call's. */
  struct file_id id = file_id_of(&place.now);
  if (known_files_find(&looking->analysis->files, &id) != KNOWN_FILE_NONE)
    return 0;
  int error = looking->world->remove(looking->world->context, place.path);
  return error == -ENOENT ? 0 : error;
}

/* Nobody has the socket any more that a dead process had bound: the name is made free again. */
static int look_bind(const struct looking *looking, int64_t *ret_result)
{
  struct place place;
  int named = place_look(looking, looking->change->arg, &place);
  if (named <= 0)
    return named;
  struct file_id id = file_id_of(&place.now);
  if (place.was || !place.is || !S_ISSOCK(place.now.mode) || !born_after(&place.now, looking->intent) ||
      known_files_find(&looking->analysis->files, &id) != KNOWN_FILE_NONE)
    return 0;
  int error = looking->world->remove(looking->world->context, place.path);
  return error == -ENOENT ? 0 : error;
}

static int look_rename(const struct looking *looking, int64_t *ret_result)
{
  struct place from, to;
  int named = place_look(looking, looking->change->arg, &from);
  if (named > 0)
    named = place_look(looking, looking->change->arg2, &to);
  if (named <= 0)
    return named;
  if (!from.was || !to.is || !same_file(looking, &to.now, &from.before))
    return 0;
  bool exchange = looking->change->flags != CHANGE_ARG_NONE &&
                  entry_arg(looking->intent, looking->change->flags) & RENAME_EXCHANGE;
  *ret_result = 0;
  if (exchange)
    return to.was && from.is && same_file(looking, &from.now, &to.before) && !same_file(looking, &from.now, &to.now);
  return !from.is || !same_file(looking, &from.now, &from.before);
}

static int look_link(const struct looking *looking, int64_t *ret_result)
{
  struct journal_file source;
  struct place to;
  int named = place_look(looking, looking->change->arg2, &to);
  if (named <= 0)
    return named;
  *ret_result = 0;
  return entry_file(looking->intent, looking->change->arg, &source) && !to.was && to.is &&
         same_file(looking, &to.now, &source);
}

static int look_symlink(const struct looking *looking, int64_t *ret_result)
{
  struct place place;
  char target[KNOWN_PATH_SIZE_MAX];
  int named = place_look(looking, looking->change->arg2, &place);
  if (named <= 0)
    return named;
  const struct journal_segment *meant =
      journal_find_segment(looking->intent, SEGMENT_PATH, looking->change->arg);
  if (!meant || place.was || !place.is || !S_ISLNK(place.now.mode))
    return 0;
  int error =
      looking->world->look_link(looking->world->context, place.path, target, sizeof target);
  if (error)
    return error == -ENOENT || error == -EINVAL ? 0 : error;
  *ret_result = 0;
  return strlen(target) == meant->length && memcmp(target, meant->data, meant->length) == 0;
}

static int look_make(const struct looking *looking, int64_t *ret_result)
{
  struct place place;
  int named = place_look(looking, looking->change->arg, &place);
  if (named <= 0)
    return named;
  mode_t kind = S_IFDIR;
  if (looking->change->flags != CHANGE_ARG_NONE) {
    kind = (mode_t)entry_arg(looking->intent, looking->change->flags) & S_IFMT;
    kind = kind ? kind : S_IFREG;
  }
  *ret_result = 0;
  return !place.was && place.is && (place.now.mode & S_IFMT) == kind;
}

static int look_remove(const struct looking *looking, int64_t *ret_result)
{
  struct place place;
  int named = place_look(looking, looking->change->arg, &place);
  if (named <= 0)
    return named;
  *ret_result = 0;
  return place.was && (!place.is || !same_file(looking, &place.now, &place.before));
}

/* ---- changes to a file that the intent names by identity alone ---- */

/* 1: `path` is that file. */
static int is_file(const struct looking *looking, const char *path, const struct file_id *id,
                   struct journal_file *ret_now)
{
  int found = look_at(looking->world, path, ret_now);
  if (found <= 0)
    return out_of_reach(found) ? 0 : found;
  struct file_id now = file_id_of(ret_now);
  return file_id_same(&now, id);
}

/* `path` as it is when the rename or link that `other` began has happened. */
static bool path_after(const struct journal_entry *other, const char *path,
                       char ret_path[KNOWN_PATH_SIZE_MAX])
{
  const struct change *change = change_of(other->call);
  size_t from_length, to_length, length = strlen(path);
  if (change->kind != CHANGE_RENAME)
    return false;
  const char *from = entry_path(other, change->arg, &from_length);
  const char *to = entry_path(other, change->arg2, &to_length);
  if (!from || !to || length < from_length || memcmp(path, from, from_length) != 0 ||
      (path[from_length] != '/' && path[from_length] != '\0') ||
      length - from_length + to_length >= KNOWN_PATH_SIZE_MAX)
    return false;
  memcpy(ret_path, to, to_length);
  memcpy(ret_path + to_length, path + from_length, length - from_length + 1);
  return true;
}

/* Finds the file under one of its names, or where another thread's open rename has moved it. 1, 0 or
 * -errno. */
static int find_file(const struct looking *looking, const struct file_id *id,
                     char ret_path[KNOWN_PATH_SIZE_MAX], struct journal_file *ret_now)
{
  const struct analysis *analysis = looking->analysis;
  char path[KNOWN_PATH_SIZE_MAX];
  uint32_t file = known_files_find(&analysis->files, id), name = 0;
  if (file == KNOWN_FILE_NONE)
    return 0;
  do {
    if (known_files_path(&analysis->files, file, name, path, &name) != 0)
      return 0;
    int found = is_file(looking, path, id, ret_now);
    if (found) {
      memcpy(ret_path, path, sizeof path);
      return found;
    }
    for (size_t i = 0; i < analysis->open_count; i++) {
      if (!path_after(analysis->open[i]->entry, path, ret_path))
        continue;
      found = is_file(looking, ret_path, id, ret_now);
      if (found)
        return found;
    }
  } while (name);
  return 0;
}

static int look_append(const struct looking *looking, const struct journal_written *written,
                       int64_t *ret_result)
{
  char path[KNOWN_PATH_SIZE_MAX];
  struct journal_file now;
  struct file_id id = {written->device, written->inode, written->birth_ns};
  if (written->offset < 0 || written->length > INT64_MAX ||
      (uint64_t)written->offset > INT64_MAX - written->length)
    return 0;
  int found = find_file(looking, &id, path, &now);
  if (found <= 0 || !S_ISREG(now.mode))
    return found < 0 ? found : 0;
  uint64_t begin = (uint64_t)written->offset, end = begin + written->length, hash;
  if (now.size <= begin)
    return 0;
  if (now.size < end)
    return looking->world->cut(looking->world->context, path, begin);
  *ret_result = (int64_t)written->length;
  if (written->hash == 0)
    return now.size == end;
  int error = looking->world->hash(looking->world->context, path, begin, written->length, &hash);
  if (error)
    return error == -ENODATA ? 0 : error;
  return hash == written->hash;
}

static int look_write(const struct looking *looking, int64_t *ret_result)
{
  struct journal_written written;
  if (!entry_written(looking->intent, &written) || !written.append)
    return 0;
  return look_append(looking, &written, ret_result);
}

/* Collapsing and inserting move what follows: doing it twice is not doing it once. */
static int look_resize(const struct looking *looking, int64_t *ret_result)
{
  char path[KNOWN_PATH_SIZE_MAX];
  struct journal_file before, now;
  if (looking->change->flags == CHANGE_ARG_NONE ||
      !entry_file(looking->intent, looking->change->arg, &before))
    return 0;
  uint64_t mode = entry_arg(looking->intent, looking->change->flags);
  uint64_t length = entry_arg(looking->intent, 3);
  if (!(mode & (FALLOC_FL_COLLAPSE_RANGE | FALLOC_FL_INSERT_RANGE)) || length == 0)
    return 0;
  struct file_id id = file_id_of(&before);
  int found = find_file(looking, &id, path, &now);
  if (found <= 0)
    return found;
  *ret_result = 0;
  return mode & FALLOC_FL_COLLAPSE_RANGE ? now.size == before.size - length
                                         : now.size == before.size + length;
}

/* ---- extended attributes ---- */

/* Only making one that must be new and removing one fail when they are repeated. */
static bool attribute_once(const struct journal_entry *intent, bool *ret_made, bool *ret_follow)
{
  bool creates = entry_arg(intent, 4) & XATTR_CREATE;
  *ret_made = true;
  *ret_follow = true;
  switch (intent->call) {
  case SYS_lsetxattr:
    *ret_follow = false;
    return creates;
  case SYS_setxattr:
  case SYS_fsetxattr:
    return creates;
  case SYS_lremovexattr:
    *ret_follow = false;
    *ret_made = false;
    return true;
  case SYS_removexattr:
  case SYS_fremovexattr:
    *ret_made = false;
    return true;
  }
  return false;
}

/* Where the file is: under the path of the call, or of its descriptor. 1, 0 or -errno. */
static int attribute_path(const struct looking *looking, char ret_path[KNOWN_PATH_SIZE_MAX])
{
  size_t length;
  const char *path = entry_path(looking->intent, (int)looking->change->arg, &length);
  if (path) {
    memcpy(ret_path, path, length);
    ret_path[length] = '\0';
    return 1;
  }
  struct journal_file before, now;
  if (!entry_file(looking->intent, (int)looking->change->arg, &before))
    return 0;
  struct file_id id = file_id_of(&before);
  return find_file(looking, &id, ret_path, &now);
}

static int look_attribute(const struct looking *looking, int64_t *ret_result)
{
  char path[KNOWN_PATH_SIZE_MAX], name[XATTR_NAME_MAX + 1];
  bool made, follow;
  const struct journal_segment *named = journal_find_segment(looking->intent, SEGMENT_PATH, 1);
  if (!attribute_once(looking->intent, &made, &follow) || !named || named->length > XATTR_NAME_MAX)
    return 0;
  bool was = journal_find_segment(looking->intent, SEGMENT_ATTRIBUTE, -1) != NULL;
  int found = attribute_path(looking, path);
  if (found <= 0 || was == made)
    return found < 0 ? found : 0;
  memcpy(name, named->data, named->length);
  name[named->length] = '\0';
  int is = looking->world->look_attribute(looking->world->context, path, name, follow);
  *ret_result = 0;
  if (is == -ENOENT || is == -ENOTDIR || is == -ENOTSUP || is == -EPERM || out_of_reach(is))
    return 0;
  return is < 0 ? is : (is != 0) == made;
}

/* Nobody can tell but a person, and one has. */
static struct verdict resolved(const struct looking *looking, const struct journal_resolution *resolution)
{
  struct verdict verdict = {
      .position = looking->intent->position,
      .stream = looking->intent->stream,
      .call = looking->intent->call,
      .kind = VERDICT_REPEAT,
  };
  /* An exchange goes on to what it was said to end with. */
  if (resolution->kind == JOURNAL_RESOLUTION_FAILED && looking->change->kind != CHANGE_EXCHANGE) {
    verdict.kind = VERDICT_HAPPENED;
    verdict.result = -(int64_t)resolution->code;
  }
  return verdict;
}

static int look_one(const struct looking *looking, enum idempotence idempotence, struct verdict *ret_verdict)
{
  int64_t result = 0;
  int happened = 0;
  switch (looking->change->kind) {
  case CHANGE_OPEN:
    happened = look_open(looking, &result);
    break;
  case CHANGE_BIND:
    happened = look_bind(looking, &result);
    break;
  case CHANGE_RENAME:
    happened = look_rename(looking, &result);
    break;
  case CHANGE_LINK:
    happened = look_link(looking, &result);
    break;
  case CHANGE_SYMLINK:
    happened = look_symlink(looking, &result);
    break;
  case CHANGE_MAKE:
    happened = look_make(looking, &result);
    break;
  case CHANGE_REMOVE:
    happened = look_remove(looking, &result);
    break;
  case CHANGE_WRITE:
    happened = look_write(looking, &result);
    break;
  case CHANGE_RESIZE:
    happened = look_resize(looking, &result);
    break;
  case CHANGE_ATTRIBUTE:
    happened = look_attribute(looking, &result);
    break;
  case CHANGE_FORK:
    happened = analysis_child_began(looking->analysis, looking->intent, &result);
    break;
  }
  if (happened < 0)
    return happened;
  *ret_verdict = (struct verdict){
      .position = looking->intent->position,
      .stream = looking->intent->stream,
      .call = looking->intent->call,
      .kind = happened                        ? VERDICT_HAPPENED
              : change_remote(looking->intent) ? VERDICT_UNKNOWN
                                               : VERDICT_REPEAT,
      .idempotence = idempotence,
      .result = happened ? result : 0,
  };
  return 0;
}

int recover_look(const struct analysis *analysis, const struct world *world,
                 struct verdict **ret_verdicts, size_t *ret_count, struct failure *failure)
{
  struct verdict *verdicts = calloc(analysis->open_count + 1, sizeof *verdicts);
  if (!verdicts)
    return failure_set(failure, -ENOMEM, "cannot look at what was unfinished: %s",
                       strerror(ENOMEM));
  for (size_t i = 0; i < analysis->open_count; i++) {
    const struct journal_entry *intent = analysis->open[i]->entry;
    struct looking looking = {analysis, world, intent, change_of(intent->call)};
    const struct journal_resolution *resolution = open_intent_resolution(analysis->open[i]);
    int error = 0;
    if (resolution)
      verdicts[i] = resolved(&looking, resolution);
    else
      error = look_one(&looking, analysis->open[i]->idempotence, &verdicts[i]);
    if (!error && analysis->open[i]->delivered)
      verdicts[i].kind = VERDICT_HAPPENED;
    if (error) {
      free(verdicts);
      return failure_set(failure, error, "cannot tell whether entry %llu of the journal happened: %s",
                         (unsigned long long)analysis->open[i]->seq, strerror(-error));
    }
  }
  *ret_verdicts = verdicts;
  *ret_count = analysis->open_count;
  return 0;
}
