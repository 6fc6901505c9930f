/* SPDX-License-Identifier: Apache-2.0 */
/* The page about all calls: one section per class, one line per call. Only ever writes to the stream
 * that it is given. */
#include "docs/calls_page.h"

#include "journal/call_table.h"

#include <string.h>

static const struct {
  const char *name, *live, *replay, *recovery;
} classes[] = {
#define CLASS(NAME, name, live, replay, recovery) { name, live, replay, recovery },
#include "shim/classes.def"
#undef CLASS
};
#define CLASS_COUNT (sizeof classes / sizeof classes[0])

static const char introduction[] =
  "# What perdure does with each call\n\n"
  "Made from `shim/calls.def` by `make docs`: change the table, not this page.\n\n"
  "Every system call of x86-64 Linux has a row. Its class says what happens to it; where the arguments\n"
  "decide, a handler looks at them, and the row gives the usual or the stronger case.\n\n";

static unsigned class_call_count(unsigned class)
{
  unsigned count, matching = 0;
  const struct call_row *rows = call_table_rows(&count);
  for (unsigned i = 0; i < count; i++)
    matching += rows[i].class == class;
  return matching;
}

static void write_classes(FILE *file)
{
  unsigned count;
  call_table_rows(&count);
  fputs("| class | rows | live | replay | begun and not finished, at recovery |\n"
        "|---|---:|---|---|---|\n", file);
  for (unsigned class = 0; class < CLASS_COUNT; class++)
    fprintf(file, "| [%s](#%s) | %u | %s | %s | %s |\n", classes[class].name, classes[class].name,
            class_call_count(class), classes[class].live, classes[class].replay,
            classes[class].recovery);
  fprintf(file, "| all | %u | | | |\n\n", count);
}

/* VAL, OUT(144), INOUT_ARG(1, 8): as the table has it. */
static void write_argument(FILE *file, uint32_t arg)
{
  unsigned kind = CALL_ARG_KIND(arg), other = CALL_ARG_OTHER(arg), size = CALL_ARG_SIZE(arg);
  fputs(call_arg_kind_name(kind), file);
  switch (kind) {
  case ARG_IN:
  case ARG_OUT:
  case ARG_OUT_RESULT:
    fprintf(file, "(%u)", size);
    break;
  case ARG_IN_IOV:
  case ARG_OUT_IOV:
  case ARG_OUT_VALUE:
    fprintf(file, "(%u)", other);
    break;
  case ARG_IN_ARG:
  case ARG_OUT_ARG:
  case ARG_INOUT_ARG:
    fprintf(file, "(%u, %u)", other, size);
    break;
  }
}

/* One file after the other, each as code; or why there is none. */
static void write_tested(FILE *file, const char *tested)
{
  if (strncmp(tested, "none: ", 6) == 0) {
    fputs(tested, file);
    return;
  }
  while (*tested) {
    size_t length = strcspn(tested, " ");
    fprintf(file, "`%.*s`", (int)length, tested);
    tested += length;
    while (*tested == ' ')
      tested++;
    if (*tested)
      fputc(' ', file);
  }
}

static void write_row(FILE *file, const struct call_row *row)
{
  fprintf(file, "| %u | `%s` | ", row->id, row->name);
  for (unsigned i = 0; i < row->arg_count; i++) {
    if (i)
      fputs(", ", file);
    write_argument(file, row->args[i]);
  }
  fprintf(file, " | %s | %s | ", strcmp(row->handler, "generic") == 0 ? "" : row->handler, row->why);
  write_tested(file, row->tested);
  fputs(" |\n", file);
}

static void write_class(FILE *file, unsigned class)
{
  unsigned count;
  const struct call_row *rows = call_table_rows(&count);
  fprintf(file, "## %s\n\n| id | call | arguments | handler | why | tested by |\n"
                "|---:|---|---|---|---|---|\n", classes[class].name);
  for (unsigned i = 0; i < count; i++)
    if (rows[i].class == class)
      write_row(file, &rows[i]);
  fputc('\n', file);
}

static void write_words(FILE *file)
{
  fputs("## What arguments can be\n\nK is the number in parentheses that names an argument, counted from "
        "0; N the one that\nis bytes.\n\n| word | compared by replay | what |\n|---|---|---|\n", file);
#define ARGUMENT(NAME, compared, what) \
  fprintf(file, "| %s | %s | %s |\n", #NAME, (compared) ? "yes" : "", what);
#include "journal/arguments.def"
#undef ARGUMENT
}

static void write_handlers(FILE *file)
{
  fputs("\n## What handlers look at\n\n| handler | what |\n|---|---|\n", file);
#define HANDLER(name, what) fprintf(file, "| %s | %s |\n", #name, what);
#include "shim/handlers.def"
#undef HANDLER
}

void calls_page_write(FILE *file)
{
  fputs(introduction, file);
  write_classes(file);
  for (unsigned class = 0; class < CLASS_COUNT; class++)
    write_class(file, class);
  write_words(file);
  write_handlers(file);
}
