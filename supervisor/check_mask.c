/* SPDX-License-Identifier: Apache-2.0 */
/* Outcomes' memory, and what is left out of comparing them. Writes nothing. */
#include "supervisor/check_outcome.h"

#include "supervisor/check_compare.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void check_bytes_release(struct check_bytes *bytes)
{
  free(bytes->bytes);
  *bytes = (struct check_bytes){0};
}

void check_outcome_release(struct check_outcome *outcome)
{
  check_bytes_release(&outcome->out);
  check_bytes_release(&outcome->err);
  check_bytes_release(&outcome->compared);
  check_tree_release(&outcome->tree);
  *outcome = (struct check_outcome){0};
}

void check_strip_own_lines(struct check_bytes *err, char *ret_last, size_t size)
{
  static const char own[] = "perdure:";
  size_t kept = 0, at = 0;

  ret_last[0] = '\0';
  while (at < err->length) {
    const char *line = err->bytes + at, *end = memchr(line, '\n', err->length - at);
    size_t length = end != NULL ? (size_t)(end - line) + 1 : err->length - at;

    if (length >= sizeof own - 1 && memcmp(line, own, sizeof own - 1) == 0) {
      snprintf(ret_last, size, "%.*s", (int)(end != NULL ? length - 1 : length), line);
    } else {
      memmove(err->bytes + kept, line, length);
      kept += length;
    }
    at += length;
  }
  err->length = kept;
}

/* Names of files come from outside: the promise is one line. */
static void one_line(char *text)
{
  for (char *c = text; *c != '\0'; c++)
    if (*c == '\n' || *c == '\r')
      *c = '?';
}

static bool list_has(char *const *list, const char *path)
{
  for (size_t i = 0; list != NULL && list[i] != NULL; i++)
    if (strcmp(list[i], path) == 0)
      return true;
  return false;
}

static int list_add(char ***list, const char *path, bool *ret_new)
{
  size_t count = 0;
  char **grown;

  if (list_has(*list, path))
    return 0;
  while (*list != NULL && (*list)[count] != NULL)
    count++;
  grown = reallocarray(*list, count + 2, sizeof *grown);
  if (grown == NULL)
    return -ENOMEM;
  *list = grown;
  grown[count] = strdup(path);
  if (grown[count] == NULL)
    return -ENOMEM;
  grown[count + 1] = NULL;
  *ret_new = true;
  return 0;
}

static void list_release(char **list)
{
  for (size_t i = 0; list != NULL && list[i] != NULL; i++)
    free(list[i]);
  free(list);
}

/* The directory that `path` lies in. PATH_MAX bytes. */
static void parent_of(const char *path, char *ret_parent)
{
  const char *slash = strrchr(path, '/');

  if (slash == NULL)
    strcpy(ret_parent, ".");
  else
    snprintf(ret_parent, PATH_MAX, "%.*s", (int)(slash - path), path);
}

int check_mask_add(struct check_mask *mask, const struct check_difference *difference,
                   bool *ret_new)
{
  char parent[PATH_MAX];
  bool new = false;
  int error = 0;

  if (difference->part == CHECK_PART_FILE) {
    error = list_add(&mask->files, difference->path, &new);
  } else if (difference->part == CHECK_PART_NAME) {
    parent_of(difference->path, parent);
    error = list_add(&mask->names, difference->path, &new);
    if (error == 0)
      error = list_add(&mask->places, parent, &new);
  } else {
    new = !mask->whole[difference->part];
    mask->whole[difference->part] = true;
  }
  if (error == 0)
    *ret_new = new;
  return error;
}

void check_mask_print(const struct check_difference *difference, char *ret_text, size_t size)
{
  struct check_difference part = {.part = difference->part, .path = difference->path};
  char parent[PATH_MAX];

  if (difference->part == CHECK_PART_NAME) {
    /* One line a directory: such names are new each time. */
    parent_of(difference->path, parent);
    snprintf(ret_text, size, "names that come and go in %s", parent);
    one_line(ret_text);
  } else {
    check_difference_print(&part, ret_text, size);
  }
}

void check_mask_release(struct check_mask *mask)
{
  list_release(mask->files);
  list_release(mask->names);
  list_release(mask->places);
  *mask = (struct check_mask){0};
}

bool check_mask_has_file(const struct check_mask *mask, const char *path)
{
  return list_has(mask->files, path);
}

static bool tree_has(const struct check_tree *tree, const char *path)
{
  size_t low = 0, high = tree->count;

  while (low < high) {
    size_t middle = low + (high - low) / 2;
    int order = check_path_order(tree->entries[middle].path, path);

    if (order == 0)
      return true;
    if (order < 0)
      low = middle + 1;
    else
      high = middle;
  }
  return false;
}

bool check_mask_has_name(const struct check_mask *mask, const char *path)
{
  char parent[PATH_MAX];

  if (list_has(mask->names, path))
    return true;
  parent_of(path, parent);
  return list_has(mask->places, parent) && (mask->stable == NULL || !tree_has(mask->stable, path));
}

void check_difference_print(const struct check_difference *difference, char *ret_text, size_t size)
{
  static const char *const names[] = {
#define CHECK_PART(NAME, name, has_path) [CHECK_PART_##NAME] = name,
#include "supervisor/check_parts.def"
#undef CHECK_PART
  };

  snprintf(ret_text, size, "%s%s%s%s%s", names[difference->part],
           difference->path[0] != '\0' ? " " : "", difference->path,
           difference->text[0] != '\0' ? ": " : "", difference->text);
  one_line(ret_text);
}
