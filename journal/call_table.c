/* SPDX-License-Identifier: Apache-2.0 */
/* The supervisor's copy of shim/calls.def, found by id or by name. The shim has one of its own, so
 * that it links nothing of this. Read-only data: nothing here can be left half done. */
#include "journal/call_table.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

/* class_name_PASS and so on: what a row can point to. */
#define CLASS(NAME, name, live, replay, recovery) static const char class_name_##NAME[] = name;
#include "shim/classes.def"
#undef CLASS

static const struct {
  const char *name;
  bool compared;
} arg_kinds[] = {
#define ARGUMENT(NAME, compared, what) [ARG_##NAME] = { #NAME, compared },
#include "journal/arguments.def"
#undef ARGUMENT
};
#define ARG_KIND_COUNT (sizeof arg_kinds / sizeof arg_kinds[0])

/* How many arguments there are up to the last one that is used. */
#define ARG_COUNT(a, b, c, d, e, f) \
  ((f) ? 6 : (e) ? 5 : (d) ? 4 : (c) ? 3 : (b) ? 2 : (a) ? 1 : 0)
_Static_assert(CALL_ARG_NONE == 0, "what ARG_COUNT() takes for not used");

/* The names are made strings in CALL(), before anything expands them; ARGS() becomes six arguments of
 * ROW_OF_SIX() on the way. */
#define ARGS(a, b, c, d, e, f) \
  CALL_ARG_##a, CALL_ARG_##b, CALL_ARG_##c, CALL_ARG_##d, CALL_ARG_##e, CALL_ARG_##f
#define CALL(id, name, CLASS, handler, args, why, tested) \
  ROW(id, CALL_CLASS_##CLASS, #name, class_name_##CLASS, #handler, why, tested, args)
#define ROW(...) ROW_OF_SIX(__VA_ARGS__)
#define ROW_OF_SIX(id, class, name, class_name, handler, why, tested, a, b, c, d, e, f) \
  { id, class, ARG_COUNT(a, b, c, d, e, f), name, class_name, handler, why, tested, \
    { a, b, c, d, e, f } },

static const struct call_row rows[] = {
#include "shim/calls.def"
};
#define ROW_COUNT (sizeof rows / sizeof rows[0])

const struct call_row *call_table_find(unsigned id)
{
  size_t low = 0, high = ROW_COUNT;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (rows[middle].id == id)
      return &rows[middle];
    if (rows[middle].id < id)
      low = middle + 1;
    else
      high = middle;
  }
  return NULL;
}

const struct call_row *call_table_named(const char *name)
{
  for (size_t i = 0; i < ROW_COUNT; i++)
    if (strcmp(rows[i].name, name) == 0)
      return &rows[i];
  return NULL;
}

const struct call_row *call_table_rows(unsigned *ret_count)
{
  *ret_count = ROW_COUNT;
  return rows;
}

const char *call_arg_kind_name(unsigned kind)
{
  assert(kind < ARG_KIND_COUNT);
  return arg_kinds[kind].name;
}

bool call_arg_kind_compared(unsigned kind)
{
  assert(kind < ARG_KIND_COUNT);
  return arg_kinds[kind].compared;
}
