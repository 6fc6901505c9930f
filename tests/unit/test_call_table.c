/* SPDX-License-Identifier: Apache-2.0 */
/* The table of calls against the kernel's list, and against itself. Argument 1: the source folder. */
#include "journal/call_table.h"
#include "tests/unit/tap.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct call_row *rows;
static unsigned row_count;

static const char *const handlers[] = {
#define HANDLER(name, what) #name,
#include "shim/handlers.def"
#undef HANDLER
};
#define HANDLER_COUNT (sizeof handlers / sizeof handlers[0])

/* The last call that is in the table, and the numbers that x86-64 leaves free below it. */
#define CALL_ID_LAST 470
static bool id_is_free(unsigned id)
{
  return id > 336 && id < 424;
}

/* Debian's place for the headers of one machine, and the one of other distributions. */
static const char *kernel_list_path(void)
{
  const char *debian = "/usr/include/x86_64-linux-gnu/asm/unistd_64.h";
  return access(debian, R_OK) == 0 ? debian : "/usr/include/asm/unistd_64.h";
}

static void test_kernel_list(void)
{
  FILE *file = fopen(kernel_list_path(), "re");
  tap_ok(file != NULL, "the kernel's list of calls is there to compare with");
  if (!file)
    return;
  unsigned listed = 0, differing = 0, id;
  char line[256], name[64];
  while (fgets(line, sizeof line, file)) {
    if (sscanf(line, "#define __NR_%63s %u", name, &id) != 2)
      continue;
    listed++;
    const struct call_row *row = call_table_find(id);
    if (row && strcmp(row->name, name) == 0)
      continue;
    differing++;
    tap_note("the kernel's call %u is %s, the table's is %s", id, name, row ? row->name : "missing");
  }
  fclose(file);
  tap_ok(listed >= 350 && differing == 0, "each of the kernel's %u calls has its row", listed);
}

static void test_ids(void)
{
  unsigned disorder = 0, holes = 0, surplus = 0;
  for (unsigned i = 1; i < row_count; i++)
    disorder += rows[i].id <= rows[i - 1].id;
  tap_ok(disorder == 0, "ids are unique and in order");
  for (unsigned id = 0; id <= CALL_ID_LAST; id++) {
    holes += !id_is_free(id) && !call_table_find(id);
    surplus += id_is_free(id) && call_table_find(id);
  }
  tap_ok(holes == 0, "every number up to %u has a row", CALL_ID_LAST);
  for (unsigned id = CALL_ID_LAST + 1; id <= CALL_ID_SYSTEM_MAX; id++)
    surplus += call_table_find(id) != NULL;
  tap_ok(surplus == 0, "a number that is no system call has no row");
  tap_ok(rows[row_count - 1].id == CALL_ID_NAMED_LAST, "nothing follows the named functions");
}

static void test_find(void)
{
  unsigned lost = 0;
  for (unsigned i = 0; i < row_count; i++)
    lost += call_table_find(rows[i].id) != &rows[i] || call_table_named(rows[i].name) != &rows[i];
  tap_ok(lost == 0, "every row is found by its id and by its name, which no other row has");
  tap_ok(!call_table_named("no_such_call") && !call_table_named(""), "an unknown name finds nothing");
  const struct call_row *openat = call_table_named("openat");
  tap_ok(openat && openat->id == 257 && openat->arg_count == 4 &&
           CALL_ARG_KIND(openat->args[0]) == ARG_DIRFD && CALL_ARG_KIND(openat->args[1]) == ARG_PATH,
         "openat is 257 and takes a directory, a path and two numbers");
  const struct call_row *poll = call_table_find(7);
  tap_ok(poll && CALL_ARG_KIND(poll->args[0]) == ARG_INOUT_ARG &&
           CALL_ARG_OTHER(poll->args[0]) == 1 && CALL_ARG_SIZE(poll->args[0]) == 8,
         "poll's first argument is as many times 8 bytes as its second says");
  const struct call_row *rdtsc = call_table_find(CALL_ID_RDTSC);
  tap_ok(rdtsc && strcmp(rdtsc->class_name, "observe") == 0 && rdtsc->class == CALL_CLASS_OBSERVE,
         "the time stamp counter is observed");
  tap_ok(call_arg_kind_compared(ARG_PATH) && !call_arg_kind_compared(ARG_ADDR) &&
           strcmp(call_arg_kind_name(ARG_INOUT_ARG), "INOUT_ARG") == 0,
         "paths are compared, addresses are not");
}

/* What the words of journal/call_table.h promise to whoever follows them. */
static bool argument_is_consistent(const struct call_row *row, unsigned place)
{
  uint32_t arg = row->args[place];
  unsigned other = CALL_ARG_OTHER(arg), size = CALL_ARG_SIZE(arg);
  switch ((enum call_arg_kind)CALL_ARG_KIND(arg)) {
  case ARG_NONE:
    return place >= row->arg_count && !other && !size;
  case ARG_VAL:
  case ARG_FD:
  case ARG_PATH:
  case ARG_STR:
  case ARG_PID:
  case ARG_CLOCK:
  case ARG_ADDR:
    return !other && !size;
  case ARG_DIRFD:
    return !other && !size && place < 5 && CALL_ARG_KIND(row->args[place + 1]) == ARG_PATH;
  case ARG_IN:
  case ARG_OUT:
  case ARG_OUT_RESULT:
    return !other && size > 0;
  case ARG_IN_ARG:
  case ARG_OUT_ARG:
  case ARG_INOUT_ARG:
    return size > 0 && other < row->arg_count && CALL_ARG_KIND(row->args[other]) == ARG_VAL;
  case ARG_IN_IOV:
  case ARG_OUT_IOV:
    return !size && other < row->arg_count && CALL_ARG_KIND(row->args[other]) == ARG_VAL;
  case ARG_OUT_VALUE:
    return !size && other < row->arg_count && CALL_ARG_KIND(row->args[other]) == ARG_ADDR;
  }
  return false;
}

static void test_arguments(void)
{
  unsigned wrong = 0, holes = 0;
  for (unsigned i = 0; i < row_count; i++)
    for (unsigned place = 0; place < 6; place++) {
      holes += place < rows[i].arg_count && CALL_ARG_KIND(rows[i].args[place]) == ARG_NONE;
      if (argument_is_consistent(&rows[i], place))
        continue;
      wrong++;
      tap_note("argument %u of %s does not fit the others", place, rows[i].name);
    }
  tap_ok(wrong == 0, "every argument's word fits the arguments that it refers to");
  tap_ok(holes == 0, "no used argument follows an unused one");
}

static bool handler_is_used(const char *handler)
{
  for (unsigned i = 0; i < row_count; i++)
    if (strcmp(rows[i].handler, handler) == 0)
      return true;
  return false;
}

static bool handler_is_known(const char *handler)
{
  for (unsigned i = 0; i < HANDLER_COUNT; i++)
    if (strcmp(handlers[i], handler) == 0)
      return true;
  return false;
}

static void test_handlers(void)
{
  unsigned unknown = 0, unused = 0, refused = 0;
  for (unsigned i = 0; i < row_count; i++) {
    if (!handler_is_known(rows[i].handler)) {
      unknown++;
      tap_note("%s has the handler %s", rows[i].name, rows[i].handler);
    }
    refused += rows[i].class == CALL_CLASS_REFUSE && strcmp(rows[i].handler, "generic") != 0;
  }
  for (unsigned i = 0; i < HANDLER_COUNT; i++)
    if (!handler_is_used(handlers[i])) {
      unused++;
      tap_note("no call has the handler %s", handlers[i]);
    }
  tap_ok(unknown == 0, "every row's handler is one of shim/handlers.def");
  tap_ok(unused == 0, "every handler has a call");
  tap_ok(refused == 0, "a refused call needs no handler");
}

/* A sentence that fits a cell of docs/calls.md. */
static bool reason_is_sentence(const char *why)
{
  size_t length = strlen(why);
  return length >= 8 && !strpbrk(why, "|\n\"") && why[length - 1] != '.' && !isspace(why[length - 1]);
}

static void test_reasons(void)
{
  unsigned wrong = 0;
  for (unsigned i = 0; i < row_count; i++)
    if (!reason_is_sentence(rows[i].why)) {
      wrong++;
      tap_note("the reason of %s is \"%s\"", rows[i].name, rows[i].why);
    }
  tap_ok(wrong == 0, "every row says why it has its class");
}

/* `tested` is a list of files below the source folder, apart by spaces, or says why there is none. */
static unsigned missing_tests(const char *source, const struct call_row *row)
{
  char list[512], path[PATH_MAX], *next;
  unsigned missing = 0;
  if (strncmp(row->tested, "none: ", 6) == 0)
    return 0;
  if (strlen(row->tested) >= sizeof list)
    return 1;
  strcpy(list, row->tested);
  for (char *file = strtok_r(list, " ", &next); file; file = strtok_r(NULL, " ", &next)) {
    snprintf(path, sizeof path, "%s/%s", source, file);
    if (access(path, R_OK) == 0)
      continue;
    missing++;
    tap_note("%s is tested by %s: %s", row->name, file, strerror(errno));
  }
  return missing;
}

static void test_tested(const char *source)
{
  unsigned missing = 0;
  for (unsigned i = 0; i < row_count; i++)
    missing += missing_tests(source, &rows[i]);
  tap_ok(missing == 0, "the tests that rows name are there");
}

int main(int argc, char **argv)
{
  if (argc != 2) {
    fprintf(stderr, "usage: %s SOURCE-FOLDER\n", argv[0]);
    return 2;
  }
  rows = call_table_rows(&row_count);
  test_kernel_list();
  test_ids();
  test_find();
  test_arguments();
  test_handlers();
  test_reasons();
  test_tested(argv[1]);
  return tap_done();
}
