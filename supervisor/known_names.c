/* SPDX-License-Identifier: Apache-2.0 */
/* The names of known files: a tree of path components, found by (parent, component) in a hash table.
 *
 * A node lives as long as it names a file or has something below it; node 0 is "/". A path is walked
 * as it is written: the engine has resolved "..", symlinks and the like before it wrote it down. */
#include "supervisor/known_files.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "journal/hash.h"

#define NODE_ROOT 0u
#define NODE_NONE UINT32_MAX

/* The next component of a path: slashes and "." are skipped. False at the end. */
static bool next_component(const char **path, const char *end, const char **ret_component,
                           uint32_t *ret_length)
{
  for (;;) {
    while (*path < end && **path == '/')
      (*path)++;
    const char *begin = *path;
    while (*path < end && **path != '/')
      (*path)++;
    if (*path == begin)
      return false;
    if (*path - begin == 1 && *begin == '.')
      continue;
    *ret_component = begin;
    *ret_length = (uint32_t)(*path - begin);
    return true;
  }
}

static uint32_t component_hash(uint32_t parent, const char *component, uint32_t length)
{
  return (uint32_t)XXH3_64bits_withSeed(component, length, parent);
}

static uint32_t child_find(const struct known_files *files, uint32_t parent, const char *component,
                           uint32_t length)
{
  uint32_t hash = component_hash(parent, component, length);
  uint32_t i = files->node_buckets[hash & (files->node_bucket_count - 1)];
  for (; i; i = files->nodes[i].next_in_bucket) {
    const struct name_node *node = &files->nodes[i];
    if (node->hash == hash && node->parent == parent && node->length == length &&
        memcmp(node->component, component, length) == 0)
      return i;
  }
  return NODE_NONE;
}

static uint32_t node_find(const struct known_files *files, const char *path, size_t length)
{
  const char *end = path + length, *component;
  uint32_t node = NODE_ROOT, component_length;
  while (node != NODE_NONE && next_component(&path, end, &component, &component_length))
    node = child_find(files, node, component, component_length);
  return node;
}

/* Puts a node with its component below `parent`. */
static void node_attach(struct known_files *files, uint32_t i, uint32_t parent)
{
  struct name_node *node = &files->nodes[i], *above = &files->nodes[parent];
  node->parent = parent;
  node->previous_sibling = 0;
  node->next_sibling = above->first_child;
  if (above->first_child)
    files->nodes[above->first_child].previous_sibling = i;
  above->first_child = i;
  node->hash = component_hash(parent, node->component, node->length);
  uint32_t *bucket = &files->node_buckets[node->hash & (files->node_bucket_count - 1)];
  node->next_in_bucket = *bucket;
  *bucket = i;
}

static void node_detach(struct known_files *files, uint32_t i)
{
  struct name_node *node = &files->nodes[i];
  if (node->previous_sibling)
    files->nodes[node->previous_sibling].next_sibling = node->next_sibling;
  else
    files->nodes[node->parent].first_child = node->next_sibling;
  if (node->next_sibling)
    files->nodes[node->next_sibling].previous_sibling = node->previous_sibling;
  uint32_t *link = &files->node_buckets[node->hash & (files->node_bucket_count - 1)];
  while (*link != i)
    link = &files->nodes[*link].next_in_bucket;
  *link = node->next_in_bucket;
}

static int grow_node_buckets(struct known_files *files)
{
  uint32_t count = files->node_bucket_count * 2;
  uint32_t *buckets = calloc(count, sizeof *buckets);
  if (!buckets)
    return -ENOMEM;
  for (uint32_t i = 1; i < files->node_count; i++) {
    struct name_node *node = &files->nodes[i];
    if (!node->component)
      continue;
    uint32_t *bucket = &buckets[node->hash & (count - 1)];
    node->next_in_bucket = *bucket;
    *bucket = i;
  }
  free(files->node_buckets);
  files->node_buckets = buckets;
  files->node_bucket_count = count;
  return 0;
}

/* Room for one more node, in the free list or behind the last one. */
static int node_reserve(struct known_files *files)
{
  if (files->node_used >= files->node_bucket_count) {
    int error = grow_node_buckets(files);
    if (error)
      return error;
  }
  if (files->node_free || files->node_count < files->node_room)
    return 0;
  if (files->node_room > UINT32_MAX / 4)
    return -ENOMEM;
  uint32_t room = files->node_room * 2 + 16;
  struct name_node *grown = realloc(files->nodes, room * sizeof *grown);
  if (!grown)
    return -ENOMEM;
  files->nodes = grown;
  files->node_room = room;
  return 0;
}

static int child_add(struct known_files *files, uint32_t parent, const char *component,
                     uint32_t length, uint32_t *ret_node)
{
  int error = node_reserve(files);
  if (error)
    return error;
  char *copy = malloc(length);
  if (!copy)
    return -ENOMEM;
  memcpy(copy, component, length);
  uint32_t i = files->node_free;
  if (i)
    files->node_free = files->nodes[i].next_sibling;
  else
    i = files->node_count++;
  files->nodes[i] =
      (struct name_node){.file = KNOWN_FILE_NONE, .component = copy, .length = length};
  node_attach(files, i, parent);
  files->node_used++;
  *ret_node = i;
  return 0;
}

static void name_remove(struct known_files *files, uint32_t i)
{
  struct name_node *node = &files->nodes[i];
  if (node->file == KNOWN_FILE_NONE)
    return;
  uint32_t *link = &files->files[node->file].first_name;
  while (*link != i)
    link = &files->nodes[*link].next_name;
  *link = node->next_name;
  node->file = KNOWN_FILE_NONE;
  node->next_name = 0;
}

static void node_free(struct known_files *files, uint32_t i)
{
  node_detach(files, i);
  free(files->nodes[i].component);
  files->nodes[i] = (struct name_node){.file = KNOWN_FILE_NONE, .next_sibling = files->node_free};
  files->node_free = i;
  files->node_used--;
}

/* Frees the node if it stands for nothing any more, then its parents likewise. */
static void node_prune(struct known_files *files, uint32_t i)
{
  while (i != NODE_ROOT && !files->nodes[i].first_child && files->nodes[i].file == KNOWN_FILE_NONE) {
    uint32_t parent = files->nodes[i].parent;
    node_free(files, i);
    i = parent;
  }
}

/* The node and all below it name nothing any more. The node itself stays, for its place to be used or
 * pruned. */
static void subtree_clear(struct known_files *files, uint32_t top)
{
  uint32_t i = top;
  for (;;) {
    while (files->nodes[i].first_child)
      i = files->nodes[i].first_child;
    name_remove(files, i);
    if (i == top)
      return;
    uint32_t parent = files->nodes[i].parent;
    node_free(files, i);
    i = parent;
  }
}

static int node_ensure(struct known_files *files, const char *path, size_t length,
                       uint32_t *ret_node)
{
  const char *end = path + length, *component;
  uint32_t node = NODE_ROOT, component_length;
  while (next_component(&path, end, &component, &component_length)) {
    uint32_t child = child_find(files, node, component, component_length);
    if (child == NODE_NONE) {
      int error = child_add(files, node, component, component_length, &child);
      if (error) {
        node_prune(files, node);
        return error;
      }
    }
    node = child;
  }
  *ret_node = node;
  return 0;
}

/* Is `above` the node itself or one of its parents? */
static bool node_within(const struct known_files *files, uint32_t node, uint32_t above)
{
  while (node != above && node != NODE_ROOT)
    node = files->nodes[node].parent;
  return node == above;
}

/* The root "/" is no child of anything and its node is 0, which ends lists: a child "." of its own, which no path leads
 * to, stands for it. */
static const char root_name[] = ".";

static bool is_root_name(const struct known_files *files, uint32_t i)
{
  return files->nodes[i].parent == NODE_ROOT && files->nodes[i].length == 1 && files->nodes[i].component[0] == '.';
}

/* The node's new name is the front one: the latest is the surest. */
int known_files_name(struct known_files *files, uint32_t file, const char *path, size_t length)
{
  uint32_t i;
  int error = node_ensure(files, path, length, &i);
  if (!error && i == NODE_ROOT) {
    i = child_find(files, NODE_ROOT, root_name, 1);
    error = i == NODE_NONE ? child_add(files, NODE_ROOT, root_name, 1, &i) : 0;
  }
  if (error)
    return error;
  name_remove(files, i);
  files->nodes[i].file = file;
  files->nodes[i].next_name = files->files[file].first_name;
  files->files[file].first_name = i;
  files->files[file].nameable = true;
  return 0;
}

void known_files_unname(struct known_files *files, const char *path, size_t length)
{
  uint32_t i = node_find(files, path, length);
  if (i == NODE_NONE || i == NODE_ROOT)
    return;
  subtree_clear(files, i);
  node_prune(files, i);
}

void known_files_unname_all(struct known_files *files, uint32_t file)
{
  while (files->files[file].first_name) {
    uint32_t i = files->files[file].first_name;
    name_remove(files, i);
    node_prune(files, i);
  }
}

/* Swaps places in the tree: parents and components change hands, all below goes along. */
static void nodes_swap(struct known_files *files, uint32_t a, uint32_t b)
{
  struct name_node *one = &files->nodes[a], *other = &files->nodes[b];
  node_detach(files, a);
  node_detach(files, b);
  uint32_t parent = one->parent, length = one->length;
  char *component = one->component;
  one->component = other->component;
  one->length = other->length;
  other->component = component;
  other->length = length;
  node_attach(files, a, other->parent);
  node_attach(files, b, parent);
}

int known_files_rename(struct known_files *files, const char *from, size_t from_length,
                       const char *to, size_t to_length)
{
  uint32_t source = node_find(files, from, from_length), target;
  if (source == NODE_NONE) {
    known_files_unname(files, to, to_length);
    return 0;
  }
  int error = node_ensure(files, to, to_length, &target);
  if (error)
    return error;
  if (source == target)
    return 0;
  if (node_within(files, source, target) || node_within(files, target, source)) {
    node_prune(files, target);
    return -EBADMSG;
  }
  subtree_clear(files, target);
  nodes_swap(files, source, target);
  node_prune(files, target);
  return 0;
}

int known_files_exchange(struct known_files *files, const char *one, size_t one_length,
                         const char *other, size_t other_length)
{
  uint32_t a, b;
  int error = node_ensure(files, one, one_length, &a);
  if (error)
    return error;
  error = node_ensure(files, other, other_length, &b);
  if (error) {
    node_prune(files, a);
    return error;
  }
  bool apart = !node_within(files, a, b) && !node_within(files, b, a);
  if (apart)
    nodes_swap(files, a, b);
  node_prune(files, a);
  /* Pruning one may have freed the other when both were new: only if they were not apart. */
  if (apart || (b != a && files->nodes[b].component))
    node_prune(files, b);
  return apart || a == b ? 0 : -EBADMSG;
}

uint32_t known_files_at(const struct known_files *files, const char *path, size_t length)
{
  uint32_t i = node_find(files, path, length);
  if (i == NODE_ROOT)
    i = child_find(files, NODE_ROOT, root_name, 1);
  return i == NODE_NONE ? KNOWN_FILE_NONE : files->nodes[i].file;
}

int known_files_path(const struct known_files *files, uint32_t file, uint32_t name,
                     char ret_path[KNOWN_PATH_SIZE_MAX], uint32_t *ret_next)
{
  if (!name)
    name = files->files[file].first_name;
  if (!name)
    return -ENOENT;
  assert(files->nodes[name].file == file);
  if (ret_next)
    *ret_next = files->nodes[name].next_name;
  if (is_root_name(files, name)) {
    strcpy(ret_path, "/");
    return 0;
  }
  size_t length = 0;
  for (uint32_t i = name; i != NODE_ROOT; i = files->nodes[i].parent) {
    length += 1 + files->nodes[i].length;
    if (length >= KNOWN_PATH_SIZE_MAX)
      return -ENAMETOOLONG;
  }
  ret_path[length] = '\0';
  for (uint32_t i = name; i != NODE_ROOT; i = files->nodes[i].parent) {
    length -= files->nodes[i].length;
    memcpy(ret_path + length, files->nodes[i].component, files->nodes[i].length);
    ret_path[--length] = '/';
  }
  return 0;
}
