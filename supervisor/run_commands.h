/* SPDX-License-Identifier: Apache-2.0 */
/* The commands of a run: its processes, each with what it executes, by its journal. */
#ifndef PERDURE_SUPERVISOR_RUN_COMMANDS_H
#define PERDURE_SUPERVISOR_RUN_COMMANDS_H

#include "supervisor/run_read.h"

struct run_command {
  int32_t pid;    /* as the program knows it */
  size_t parent;  /* index; its own: the run's first process */
  unsigned depth; /* 0: the first process */
  char *words;    /* of its newest program, quoted for a shell; NULL: a copy of its parent */
  bool opaque;    /* which is one step */
  bool taken_back; /* it began in what was reverted, forgotten, or taken back with a region */
  bool ended;
  int status;                        /* as a shell has it; of an ended one */
  uint64_t began_ns, ended_ns;       /* wall clock; ended: what was last heard of it */
  uint64_t changes;                  /* to files and to the world, begun or done */
  unsigned first_attempt, attempts;  /* that it took part in, live */
};

struct run_commands {
  struct run_command *list; /* in the order in which they began */
  size_t count;
  const struct run_rewound *rewound; /* the caller's: of what lies in it only commands that began there are told; NULL: nothing does */
  /* the walk's own */
  size_t room;
  size_t *of_stream; /* index of its process, or SIZE_MAX */
  size_t stream_room;
  unsigned attempt;
};

/* Goes on with what the reader has now; of a live run, call again later. {0} is a beginning. */
int run_commands_read(struct run_commands *commands, struct run_reader *reader, struct failure *failure);

/* command: that the run was started with; rewound: as above, while this is used. -errno and nothing to release. */
int run_commands_load(struct run_reader *reader, const char *command, const struct run_rewound *rewound,
                      struct run_commands *ret_commands, struct failure *failure);
void run_commands_release(struct run_commands *commands);

#endif
