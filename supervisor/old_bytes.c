/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/old_bytes.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

void old_bytes_release(struct old_bytes *old)
{
  for (uint32_t i = 0; i < old->kept_count; i++)
    free(old->kept[i].name);
  free(old->kept);
  free(old->records);
  free(old->pages);
  memset(old, 0, sizeof *old);
}

static int add_page(struct old_bytes *old, uint32_t file, uint64_t page, uint32_t record)
{
  if (old->page_count == old->page_room) {
    size_t room = old->page_room ? old->page_room * 2 : 64;
    struct old_page *grown = realloc(old->pages, room * sizeof *grown);
    if (!grown)
      return -ENOMEM;
    old->pages = grown;
    old->page_room = room;
  }
  old->pages[old->page_count++] = (struct old_page){.page = page, .file = file, .record = record};
  return 0;
}

int old_bytes_add(struct old_bytes *old, uint32_t file, uint64_t position, uint64_t offset,
                  uint32_t length)
{
  if (offset > INT64_MAX || length > INT64_MAX - offset)
    return -EBADMSG;
  if (old->record_count == old->record_room) {
    if (old->record_room > UINT32_MAX / 4)
      return -ENOMEM;
    uint32_t room = old->record_room ? old->record_room * 2 : 64;
    struct old_record *grown = realloc(old->records, room * sizeof *grown);
    if (!grown)
      return -ENOMEM;
    old->records = grown;
    old->record_room = room;
  }
  /* An empty one is counted all the same: the reader that comes for the bytes counts segments. */
  uint32_t record = old->record_count++;
  old->records[record] = (struct old_record){
      .position = position, .offset = offset, .length = length, .file = file};
  for (uint64_t page = offset / OLD_PAGE_SIZE; page * OLD_PAGE_SIZE < offset + length; page++) {
    int error = add_page(old, file, page, record);
    if (error)
      return error;
  }
  return 0;
}

int old_bytes_keep(struct old_bytes *old, uint32_t file, uint64_t position, uint32_t stream,
                   const char *name, size_t length, bool copy)
{
  if (old->kept_count == old->kept_room) {
    if (old->kept_room > UINT32_MAX / 4)
      return -ENOMEM;
    uint32_t room = old->kept_room ? old->kept_room * 2 : 16;
    struct kept_file *grown = realloc(old->kept, room * sizeof *grown);
    if (!grown)
      return -ENOMEM;
    old->kept = grown;
    old->kept_room = room;
  }
  char *own = strndup(name, length);
  if (!own)
    return -ENOMEM;
  old->kept[old->kept_count++] = (struct kept_file){
      .position = position, .file = file, .stream = stream, .name = own, .settled = copy, .copy = copy};
  old->kept_unsettled += !copy;
  return 0;
}

/* What is not settled is near the end: attempts settle all. */
static void settle(struct old_bytes *old, bool all, uint32_t stream, bool copy)
{
  uint32_t left = old->kept_unsettled;
  for (uint32_t i = old->kept_count; left > 0; i--) {
    struct kept_file *kept = &old->kept[i - 1];
    if (kept->settled)
      continue;
    left--;
    if (!all && kept->stream != stream)
      continue;
    kept->settled = true;
    kept->copy = copy;
    old->kept_unsettled--;
  }
}

void old_bytes_settle(struct old_bytes *old, uint32_t stream, bool copy)
{
  settle(old, false, stream, copy);
}

void old_bytes_settle_all(struct old_bytes *old)
{
  settle(old, true, 0, false);
}

static int compare_pages(const void *left, const void *right)
{
  const struct old_page *a = left, *b = right;
  if (a->file != b->file)
    return a->file < b->file ? -1 : 1;
  if (a->page != b->page)
    return a->page < b->page ? -1 : 1;
  return a->record < b->record ? -1 : a->record > b->record;
}

static int compare_kept(const void *left, const void *right)
{
  const struct kept_file *a = left, *b = right;
  if (a->file != b->file)
    return a->file < b->file ? -1 : 1;
  return a->position < b->position ? -1 : a->position > b->position;
}

void old_bytes_index(struct old_bytes *old)
{
  old_bytes_settle_all(old);
  if (old->page_count)
    qsort(old->pages, old->page_count, sizeof *old->pages, compare_pages);
  if (old->kept_count)
    qsort(old->kept, old->kept_count, sizeof *old->kept, compare_kept);
}

/* The first kept file of `file`'s, after `position`; kept_count: none. */
static uint32_t kept_after(const struct old_bytes *old, uint32_t file, uint64_t position)
{
  uint32_t low = 0, high = old->kept_count;
  while (low < high) {
    uint32_t middle = low + (high - low) / 2;
    const struct kept_file *kept = &old->kept[middle];
    if (kept->file < file || (kept->file == file && kept->position <= position))
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

const struct kept_file *old_bytes_ghost(const struct old_bytes *old, uint32_t file)
{
  const struct kept_file *found = NULL;
  for (uint32_t i = kept_after(old, file, 0); i < old->kept_count && old->kept[i].file == file; i++)
    if (!old->kept[i].copy)
      found = &old->kept[i];
  return found;
}

static int add_piece(struct piece_list *list, enum piece_source source, uint32_t number,
                     uint64_t offset, uint64_t length)
{
  struct piece *last = list->count ? &list->pieces[list->count - 1] : NULL;
  if (last && last->source == source && last->number == number &&
      last->offset + last->length == offset) {
    last->length += length;
    return 0;
  }
  if (list->count == list->room) {
    size_t room = list->room ? list->room * 2 : 16;
    struct piece *grown = realloc(list->pieces, room * sizeof *grown);
    if (!grown)
      return -ENOMEM;
    list->pieces = grown;
    list->room = room;
  }
  list->pieces[list->count++] =
      (struct piece){.source = source, .number = number, .offset = offset, .length = length};
  return 0;
}

/* One reading; what was kept at `stop` and later does not matter to it. */
struct reading {
  const struct old_bytes *old;
  struct piece_list *list;
  uint64_t stop;
  enum piece_source rest; /* where the bytes are that no record has */
  uint32_t rest_number;
};

#define OWNER_NONE UINT32_MAX

/* The pieces of [begin, end), which lies in the page of old->pages[first], with its records from that
 * one on to choose from: for each byte the oldest. */
static int page_pieces(const struct reading *reading, size_t first, uint64_t begin, uint64_t end)
{
  const struct old_page *pages = reading->old->pages;
  uint32_t owners[OLD_PAGE_SIZE]; /* by byte: the record that has it */
  uint64_t missing = end - begin;
  memset(owners, 0xff, (size_t)(end - begin) * sizeof *owners);
  for (size_t i = first; i < reading->old->page_count && missing > 0; i++) {
    if (pages[i].file != pages[first].file || pages[i].page != pages[first].page)
      break;
    uint32_t number = pages[i].record;
    const struct old_record *record = &reading->old->records[number];
    if (record->position >= reading->stop)
      break;
    uint64_t from = record->offset > begin ? record->offset : begin;
    uint64_t to = record->offset + record->length < end ? record->offset + record->length : end;
    for (uint64_t at = from; at < to; at++)
      if (owners[at - begin] == OWNER_NONE) {
        owners[at - begin] = number;
        missing--;
      }
  }
  for (uint64_t at = begin, next; at < end; at = next) {
    uint32_t owner = owners[at - begin];
    for (next = at + 1; next < end && owners[next - begin] == owner;)
      next++;
    int error = owner == OWNER_NONE
                    ? add_piece(reading->list, reading->rest, reading->rest_number, at, next - at)
                    : add_piece(reading->list, PIECE_RECORD, owner,
                                at - reading->old->records[owner].offset, next - at);
    if (error)
      return error;
  }
  return 0;
}

/* The first of the pages' records that is of `file` and `page` or behind, and made after `after`. */
static size_t page_after(const struct old_bytes *old, uint32_t file, uint64_t page, uint64_t after)
{
  size_t low = 0, high = old->page_count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    const struct old_page *at = &old->pages[middle];
    if (at->file < file || (at->file == file && at->page < page) ||
        (at->file == file && at->page == page && old->records[at->record].position <= after))
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

int old_bytes_pieces(const struct old_bytes *old, uint32_t file, uint64_t position, uint64_t offset,
                     uint64_t length, struct piece_list *list)
{
  struct reading reading = {
      .old = old, .list = list, .stop = UINT64_MAX, .rest = PIECE_FILE};
  assert(offset <= INT64_MAX && length <= INT64_MAX - offset);
  list->count = 0;
  for (uint32_t i = kept_after(old, file, position); i < old->kept_count; i++) {
    if (old->kept[i].file != file)
      break;
    if (!old->kept[i].copy)
      continue;
    reading.stop = old->kept[i].position;
    reading.rest = PIECE_KEPT;
    reading.rest_number = i;
    break;
  }
  uint64_t at = offset, end = offset + length;
  /* From page to page, but only those that have a record: a reading may be as long as a file. */
  while (at < end) {
    size_t first = page_after(old, file, at / OLD_PAGE_SIZE, position);
    if (first == old->page_count || old->pages[first].file != file ||
        old->pages[first].page * OLD_PAGE_SIZE >= end)
      break;
    uint64_t page = old->pages[first].page;
    if (page * OLD_PAGE_SIZE > at) {
      int error = add_piece(list, reading.rest, reading.rest_number, at, page * OLD_PAGE_SIZE - at);
      if (error)
        return error;
      at = page * OLD_PAGE_SIZE;
      first = page_after(old, file, page, position);
      if (first == old->page_count || old->pages[first].file != file ||
          old->pages[first].page != page)
        continue;
    }
    uint64_t page_end = (page + 1) * OLD_PAGE_SIZE;
    int error = page_pieces(&reading, first, at, page_end < end ? page_end : end);
    if (error)
      return error;
    at = page_end;
  }
  return at < end ? add_piece(list, reading.rest, reading.rest_number, at, end - at) : 0;
}
