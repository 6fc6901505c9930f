/* SPDX-License-Identifier: Apache-2.0 */
/* The `perdure` command: what its subcommands share. Lists: commands.def, options.def. */
#ifndef PERDURE_CLI_COMMAND_H
#define PERDURE_CLI_COMMAND_H

#include "supervisor/run.h"
#include "supervisor/run_read.h"

#include <stdio.h>

enum option_id {
#define OPTION(NAME, letter, name, argument, commands, help) OPTION_##NAME,
#include "cli/options.def"
#undef OPTION
  OPTION_COUNT,
};

struct command_line;
struct command {
  const char *name, *usage, *summary, *about;
  int (*run)(const struct command_line *line); /* returns the exit status */
};
/* All of them, ended by a NULL name. */
extern const struct command commands[];
/* NULL: no such command. */
const struct command *command_find(const char *name);

#define COMMAND(name, usage, summary, about) int cmd_##name(const struct command_line *line);
#include "cli/commands.def"
#undef COMMAND

struct option_row {
  char letter; /* 0: none */
  const char *name, *argument, *commands, *help;
};
extern const struct option_row option_rows[OPTION_COUNT];
bool option_belongs(enum option_id option, const struct command *command);

struct command_line {
  const struct command *command;
  bool given[OPTION_COUNT];
  const char *value[OPTION_COUNT]; /* NULL where not given, or without argument */
  int operand_count;
  char **operands; /* NULL-terminated */
};
/* Options up to the first operand. -EINVAL: said on stderr. */
int command_line_parse(const struct command *command, int argc, char **argv,
                       struct command_line *ret_line);
/* Checks the number of operands; says on stderr how the command is used. maximum -1: any. */
bool command_line_operands(const struct command_line *line, int minimum, int maximum);

/* "perdure: TEXT" on stderr, in one write. Returns RUN_EXIT_FAILED. */
int command_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* --store, else $PERDURE_STORE; NULL: neither. */
const char *command_store(const struct command_line *line);

/* Where a run is that is to be looked at: in the directory that the line or the environment says; in the store that --store names; or in
 * $PERDURE_STORE, where the directory does not have it and was not given by --dir. *ret_store: NULL: in the directory, at *ret_place; else
 * that store, and of *ret_place the id alone counts. -ENOENT: it is in no directory, and there is no store. */
int command_where(const struct command_line *line, const char *id, struct run_place *ret_place, const char **ret_store,
                  struct failure *failure);
/* The same run; one that is in a store or in the file of --archive as a copy of this command's. */
int command_place(const struct command_line *line, const char *id, struct run_place *ret_place,
                  struct failure *failure);

/* The entry that --to names; untouched where it is not given. false: said on stderr. */
bool command_to(const struct command_line *line, uint64_t *ret_seq);

/* A reader of its entries from first_seq on, their secrets hidden unless the line says --secrets. */
int command_reader(const struct command_line *line, const struct run_place *place, uint64_t first_seq,
                   struct run_reader **ret_reader, struct failure *failure);

/* The shim that belongs to this command: $PERDURE_SHIM, or beside it in the build directory, or where
 * it is installed. PATH_MAX bytes. It need not exist. */
void command_shim(char *ret_path);

/* Fills what run, resume and verify have in common. false: said on stderr. */
bool command_run_options(const struct command_line *line, const char *shim,
                         struct run_options *ret_options);

/* A JSON string with its quotes; bytes that are not UTF-8 become U+FFFD. */
void command_json_string(FILE *stream, const char *text, size_t length);

/* Flushes stdout; a failed write is said. Returns `status`, or RUN_EXIT_FAILED. */
int command_finish_output(int status);

/* cmd_ps.c: the commands of the run as a tree, or as JSON; the exit status. */
struct run_reader;
int command_print_tree(const struct command_line *line, const struct run_place *place, struct run_reader *reader);

#endif
