/* SPDX-License-Identifier: Apache-2.0 */
/* Lists and removes trees. Removing writes only below the given path; a crash at any line leaves a
 * part of it, and removing can be repeated. */
#include "supervisor/check_tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#define ATTRIBUTES_MAX 65536

int check_path_order(const char *a, const char *b)
{
  bool a_root = strcmp(a, ".") == 0, b_root = strcmp(b, ".") == 0;

  if (a_root || b_root)
    return b_root - a_root;
  /* The end sorts before '/', and '/' before every other character. */
  for (;; a++, b++) {
    int left = *a == '\0' ? 0 : *a == '/' ? 1 : 2 + (unsigned char)*a;
    int right = *b == '\0' ? 0 : *b == '/' ? 1 : 2 + (unsigned char)*b;

    if (left != right || left == 0)
      return left - right;
  }
}

static int compare_entries(const void *a, const void *b)
{
  return check_path_order(((const struct check_entry *)a)->path,
                          ((const struct check_entry *)b)->path);
}

bool check_path_within(const char *path, const char *directory)
{
  size_t length = strlen(directory);

  if (strcmp(directory, ".") == 0)
    return strcmp(path, ".") != 0;
  return strncmp(path, directory, length) == 0 && path[length] == '/';
}

struct listing {
  struct check_tree tree;
  size_t room;
  struct failure *failure;
};

static int fail(struct listing *listing, const char *path)
{
  int error = errno != 0 ? -errno : -EIO;

  return failure_set(listing->failure, error, "cannot read %s/%s: %s", listing->tree.root, path,
                     strerror(-error));
}

static int compare_names(const void *a, const void *b)
{
  return strcmp(*(char *const *)a, *(char *const *)b);
}

/* NAME=HEX for each attribute, by name. NULL: there are none, or the filesystem cannot have any. */
static char *list_attributes(const char *path)
{
  static char names[ATTRIBUTES_MAX];
  static unsigned char value[ATTRIBUTES_MAX];
  ssize_t length = llistxattr(path, names, sizeof names);
  const char **sorted;
  size_t count = 0, size;
  char *text = NULL;
  FILE *stream;

  if (length <= 0)
    return NULL;
  sorted = calloc((size_t)length, sizeof *sorted);
  stream = sorted != NULL ? open_memstream(&text, &size) : NULL;
  if (stream == NULL) {
    free(sorted);
    return NULL;
  }
  for (ssize_t at = 0; at < length; at += (ssize_t)strlen(names + at) + 1)
    sorted[count++] = names + at;
  qsort(sorted, count, sizeof *sorted, compare_names);
  for (size_t i = 0; i < count; i++) {
    ssize_t got = lgetxattr(path, sorted[i], value, sizeof value);

    fprintf(stream, "%s%s=", i > 0 ? " " : "", sorted[i]);
    for (ssize_t k = 0; k < got; k++)
      fprintf(stream, "%02x", value[k]);
  }
  fclose(stream);
  free(sorted);
  return text;
}

static char *read_target(int directory, const char *name)
{
  char target[PATH_MAX];
  ssize_t length = readlinkat(directory, name, target, sizeof target - 1);

  if (length < 0)
    return NULL;
  target[length] = '\0';
  return strdup(target);
}

static int add_entry(struct listing *listing, int directory, const char *name, const char *path,
                     const struct stat *status)
{
  char through[PATH_MAX];
  struct check_entry *entry;

  if (listing->tree.count == listing->room) {
    size_t room = listing->room > 0 ? 2 * listing->room : 64;
    struct check_entry *grown = reallocarray(listing->tree.entries, room, sizeof *grown);

    if (grown == NULL)
      return fail(listing, path);
    listing->tree.entries = grown;
    listing->room = room;
  }
  entry = &listing->tree.entries[listing->tree.count];
  *entry = (struct check_entry){
      .path = strdup(path),
      .mode = status->st_mode,
      .device = status->st_dev,
      .inode = status->st_ino,
      .size = S_ISREG(status->st_mode) ? (uint64_t)status->st_size : 0,
      .device_id = S_ISCHR(status->st_mode) || S_ISBLK(status->st_mode) ? status->st_rdev : 0,
  };
  if (entry->path == NULL)
    return fail(listing, path);
  listing->tree.count++;
  if (S_ISLNK(status->st_mode) && (entry->target = read_target(directory, name)) == NULL)
    return fail(listing, path);
  if (directory == AT_FDCWD)
    snprintf(through, sizeof through, "%s", name);
  else
    snprintf(through, sizeof through, "/proc/self/fd/%d/%s", directory, name);
  entry->attributes = list_attributes(through);
  return 0;
}

static int list_directory(struct listing *listing, int parent, const char *name, const char *path);

/* Gives the owner the rights that reading needs; root has them anyhow. */
static void open_up(int directory, const char *name, const struct stat *status)
{
  mode_t needed = S_ISDIR(status->st_mode) ? S_IRWXU : S_ISREG(status->st_mode) ? S_IRUSR : 0;

  /* If it fails, reading does too, and says so. */
  if ((status->st_mode & needed) != needed && geteuid() != 0)
    fchmodat(directory, name, (status->st_mode | needed) & 07777, 0);
}

static int list_entry(struct listing *listing, int directory, const char *name, const char *parent)
{
  char path[PATH_MAX];
  struct stat status;
  int error;

  if (snprintf(path, sizeof path, "%s%s%s", parent, parent[0] != '\0' ? "/" : "", name) >=
      (int)sizeof path) {
    errno = ENAMETOOLONG;
    return fail(listing, parent);
  }
  if (fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
    return fail(listing, path);
  error = add_entry(listing, directory, name, path, &status);
  if (error < 0)
    return error;
  open_up(directory, name, &status);
  return S_ISDIR(status.st_mode) ? list_directory(listing, directory, name, path) : 0;
}

static int list_directory(struct listing *listing, int parent, const char *name, const char *path)
{
  int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW), error = 0;
  DIR *directory = fd < 0 ? NULL : fdopendir(fd);
  struct dirent *found;

  if (directory == NULL) {
    error = fail(listing, path);
    if (fd >= 0)
      close(fd);
    return error;
  }
  while (error == 0 && (errno = 0, found = readdir(directory)) != NULL)
    if (strcmp(found->d_name, ".") != 0 && strcmp(found->d_name, "..") != 0)
      error = list_entry(listing, fd, found->d_name, path);
  if (error == 0 && errno != 0)
    error = fail(listing, path);
  closedir(directory);
  return error;
}

static int compare_identity(const void *a, const void *b)
{
  const struct check_entry *left = *(struct check_entry *const *)a,
                           *right = *(struct check_entry *const *)b;

  if (left->device != right->device)
    return left->device < right->device ? -1 : 1;
  if (left->inode != right->inode)
    return left->inode < right->inode ? -1 : 1;
  return left < right ? -1 : left > right;
}

/* Finds the names of one file. Entries are in their order already. */
static int find_links(struct listing *listing)
{
  struct check_tree *tree = &listing->tree;
  struct check_entry **by_identity = calloc(tree->count, sizeof *by_identity);

  if (by_identity == NULL)
    return fail(listing, ".");
  for (size_t i = 0; i < tree->count; i++)
    by_identity[i] = &tree->entries[i];
  qsort(by_identity, tree->count, sizeof *by_identity, compare_identity);
  for (size_t i = 0; i < tree->count; i++) {
    struct check_entry *entry = by_identity[i], *before = i > 0 ? by_identity[i - 1] : NULL;

    entry->first_link =
        before != NULL && before->device == entry->device && before->inode == entry->inode
            ? before->first_link
            : (size_t)(entry - tree->entries);
  }
  free(by_identity);
  return 0;
}

int check_tree_list(const char *root, struct check_tree *ret_tree, struct failure *failure)
{
  struct listing listing = {.tree.root = strdup(root), .failure = failure};
  struct stat status;
  int error;

  if (listing.tree.root == NULL || stat(root, &status) < 0) {
    free(listing.tree.root);
    return failure_set(failure, -errno, "cannot read %s: %s", root, strerror(errno));
  }
  error = add_entry(&listing, AT_FDCWD, root, ".", &status);
  if (error == 0) {
    open_up(AT_FDCWD, root, &status);
    error = list_directory(&listing, AT_FDCWD, root, "");
  }
  if (error == 0) {
    qsort(listing.tree.entries, listing.tree.count, sizeof *listing.tree.entries, compare_entries);
    error = find_links(&listing);
  }
  if (error < 0)
    check_tree_release(&listing.tree);
  else
    *ret_tree = listing.tree;
  return error;
}

void check_tree_release(struct check_tree *tree)
{
  for (size_t i = 0; i < tree->count; i++) {
    free(tree->entries[i].path);
    free(tree->entries[i].target);
    free(tree->entries[i].attributes);
  }
  free(tree->entries);
  free(tree->root);
  *tree = (struct check_tree){0};
}

static int remove_entry(int parent, const char *name, const struct stat *status);

static int remove_below(int parent, const char *name)
{
  int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW), error = 0;
  DIR *directory = fd < 0 ? NULL : fdopendir(fd);
  struct dirent *found;
  struct stat status;

  if (directory == NULL) {
    error = -errno;
    if (fd >= 0)
      close(fd);
    return error;
  }
  while (error == 0 && (found = readdir(directory)) != NULL) {
    if (strcmp(found->d_name, ".") == 0 || strcmp(found->d_name, "..") == 0)
      continue;
    error = fstatat(fd, found->d_name, &status, AT_SYMLINK_NOFOLLOW) < 0
              ? -errno
              : remove_entry(fd, found->d_name, &status);
  }
  closedir(directory);
  return error;
}

static int remove_entry(int parent, const char *name, const struct stat *status)
{
  int error = 0;

  if (S_ISDIR(status->st_mode)) {
    open_up(parent, name, status);
    error = remove_below(parent, name);
  }
  if (error < 0)
    return error;
  return unlinkat(parent, name, S_ISDIR(status->st_mode) ? AT_REMOVEDIR : 0) < 0 ? -errno : 0;
}

int check_tree_remove(const char *path, struct failure *failure)
{
  struct stat status;
  int error;

  if (lstat(path, &status) < 0)
    return errno == ENOENT
               ? 0
               : failure_set(failure, -errno, "cannot remove %s: %s", path, strerror(errno));
  error = remove_entry(AT_FDCWD, path, &status);
  return error < 0 ? failure_set(failure, error, "cannot remove %s: %s", path, strerror(-error))
                   : 0;
}
