/* SPDX-License-Identifier: Apache-2.0 */
/* shim/calls.def as data: one row per system call, for the engine, the log and the documentation.
 *
 * A row:  CALL(id, name, CLASS, handler, ARGS(a0, a1, a2, a3, a4, a5), why, tested)
 *   id       the number in the journal: x86-64's number for a system call, never used again
 *   name     the kernel's name
 *   CLASS    a row of shim/classes.def: what live, replay and recovery do with it
 *   handler  `generic`: the class and the arguments say it all. Otherwise handle_NAME() in the shim
 *   ARGS     what each argument is, with the words below
 *   why      one sentence: why this class
 *   tested   the test files that hold it, below the source folder, apart by spaces; or "none: " and why.
 *            That a program of tests/programs makes the call is tested: tests/cli/calls-tested.bats
 *
 * Words for an argument; those marked * are part of the signature that replay compares:
 *   NONE           not used                     VAL *          a number or flags
 *   FD *           a descriptor                 DIRFD *        a descriptor or AT_FDCWD
 *   PATH *         a path (content)             STR *          another string (content)
 *   PID            a process or thread: the program's own has another number in each attempt, and the
 *                  kernel is given the one of this attempt
 *   CLOCK *        a clock; of a process or thread, as PID
 *   ADDR           an address whose value means nothing to replay
 *   IN(n) *        n bytes of input             IN_ARG(k, n) * input, args[k] elements of n bytes
 *   IN_IOV(k) *    iovec of args[k] pieces      OUT(n)         n bytes of output (NULL: none)
 *   OUT_RESULT(n)  output: result times n bytes OUT_ARG(k, n)  output: args[k] times n bytes
 *   OUT_IOV(k)     output into an iovec of args[k] pieces, result bytes in all
 *   OUT_VALUE(k)   output: as long as *(u32 *)args[k] said before and says after the call (the
 *                  smaller); the u32 is output too
 *   INOUT_ARG(k, n) memory that is read and written, args[k] times n bytes: its content before is
 *                  not part of the signature
 * Outputs are recorded only when the call succeeds (result >= 0), unless the handler says otherwise.
 */
#ifndef PERDURE_JOURNAL_CALL_TABLE_H
#define PERDURE_JOURNAL_CALL_TABLE_H

#include <stdbool.h>
#include <stdint.h>

enum call_class {
#define CLASS(NAME, name, live, replay, recovery) CALL_CLASS_##NAME,
#include "shim/classes.def"
#undef CLASS
};

enum call_arg_kind {
#define ARGUMENT(NAME, compared, what) ARG_##NAME,
#include "journal/arguments.def"
#undef ARGUMENT
};

/* kind, which other argument (or 0), bytes */
#define CALL_ARG(kind, other, size) \
  ((uint32_t)(kind) << 24 | (uint32_t)(other) << 16 | (uint32_t)(size))
#define CALL_ARG_KIND(arg) ((arg) >> 24)
#define CALL_ARG_OTHER(arg) ((arg) >> 16 & 0xff)
#define CALL_ARG_SIZE(arg) ((arg) & 0xffff)

/* Above all system calls: what is not one. */
#define CALL_ID_SYSTEM_MAX 1023
#define CALL_ID_RDTSC 1024   /* the instruction */
#define CALL_ID_START 1025   /* an image begins */
#define CALL_ID_JOURNAL 1026 /* perdure's own entries: attempt, note */
/* Named functions. */
#define CALL_ID_EXCHANGE 1100 /* curl_easy_perform: INTENT, callbacks, RESULT */
#define CALL_ID_CALLBACK 1101 /* libcurl calls the program */
#define CALL_ID_GETINFO 1102  /* curl_easy_getinfo while an exchange is under way */
#define CALL_ID_PAUSE 1103    /* curl_easy_pause has returned */
#define CALL_ID_CLEANUP 1104  /* curl_easy_cleanup, which writes a cookie jar */
#define CALL_ID_NAMED_FIRST CALL_ID_EXCHANGE
/* curl_multi_* */
#define CALL_ID_MULTI_INIT 1105
#define CALL_ID_MULTI_ADD 1106
#define CALL_ID_MULTI_REMOVE 1107
#define CALL_ID_MULTI_PERFORM 1108
#define CALL_ID_MULTI_SOCKET_ACTION 1109
#define CALL_ID_MULTI_SOCKET_ALL 1110
#define CALL_ID_MULTI_POLL 1111
#define CALL_ID_MULTI_WAIT 1112
#define CALL_ID_MULTI_FDSET 1113
#define CALL_ID_MULTI_TIMEOUT 1114
#define CALL_ID_MULTI_ASSIGN 1115
#define CALL_ID_MULTI_WAKEUP 1116
#define CALL_ID_MULTI_CLEANUP 1117
/* POSIX threads; args: where the lock lies, enum lock_way (shim/lock_order.h). */
#define CALL_ID_MUTEX 1120
#define CALL_ID_CONDITION 1121
#define CALL_ID_READ_LOCK 1122
#define CALL_ID_WRITE_LOCK 1123
#define CALL_ID_SEMAPHORE 1124
#define CALL_ID_SEMAPHORE_VALUE 1125
#define CALL_ID_BARRIER 1126
#define CALL_ID_SPIN 1127
#define CALL_ID_ONCE 1128
#define CALL_ID_JOIN 1129
#define CALL_ID_CANCEL 1130
/* What a program says by perdure.h. */
#define CALL_ID_RETRY_PLAN 1180 /* args: a hash of it; SEGMENT_OUTPUT: struct retry_plan; its id is its position */
#define CALL_ID_KEY 1200
#define CALL_ID_INDEX 1201
#define CALL_ID_TOLD 1202 /* perdure_note */
#define CALL_ID_COMMIT 1203
#define CALL_ID_SCOPE_BEGIN 1204 /* args: enum journal_scope, what holds in it (5 numbers); its token is its position */
#define CALL_ID_SCOPE_END 1205   /* args: enum journal_scope, token */
#define CALL_ID_SCOPE_SET 1206   /* args: as SCOPE_BEGIN; the first alone: nothing is set any more */
#define CALL_ID_NAMED_LAST CALL_ID_SCOPE_SET

struct call_row {
  uint16_t id;
  uint8_t class; /* enum call_class */
  uint8_t arg_count;
  const char *name;
  const char *class_name;
  const char *handler;
  const char *why;
  const char *tested;
  uint32_t args[6]; /* CALL_ARG */
};

/* Words of ARGS(), for files that include shim/calls.def and want numbers. */
#define CALL_ARG_NONE CALL_ARG(ARG_NONE, 0, 0)
#define CALL_ARG_VAL CALL_ARG(ARG_VAL, 0, 0)
#define CALL_ARG_FD CALL_ARG(ARG_FD, 0, 0)
#define CALL_ARG_DIRFD CALL_ARG(ARG_DIRFD, 0, 0)
#define CALL_ARG_PATH CALL_ARG(ARG_PATH, 0, 0)
#define CALL_ARG_STR CALL_ARG(ARG_STR, 0, 0)
#define CALL_ARG_PID CALL_ARG(ARG_PID, 0, 0)
#define CALL_ARG_CLOCK CALL_ARG(ARG_CLOCK, 0, 0)
#define CALL_ARG_ADDR CALL_ARG(ARG_ADDR, 0, 0)
#define CALL_ARG_IN(n) CALL_ARG(ARG_IN, 0, n)
#define CALL_ARG_IN_ARG(k, n) CALL_ARG(ARG_IN_ARG, k, n)
#define CALL_ARG_IN_IOV(k) CALL_ARG(ARG_IN_IOV, k, 0)
#define CALL_ARG_OUT(n) CALL_ARG(ARG_OUT, 0, n)
#define CALL_ARG_OUT_RESULT(n) CALL_ARG(ARG_OUT_RESULT, 0, n)
#define CALL_ARG_OUT_ARG(k, n) CALL_ARG(ARG_OUT_ARG, k, n)
#define CALL_ARG_OUT_IOV(k) CALL_ARG(ARG_OUT_IOV, k, 0)
#define CALL_ARG_OUT_VALUE(k) CALL_ARG(ARG_OUT_VALUE, k, 0)
#define CALL_ARG_INOUT_ARG(k, n) CALL_ARG(ARG_INOUT_ARG, k, n)

/* The row of call `id`, or NULL. In the supervisor's copy of the table. */
const struct call_row *call_table_find(unsigned id);
/* The row of the call named `name`, or NULL. */
const struct call_row *call_table_named(const char *name);
/* All rows in the order of the file, which is by id. */
const struct call_row *call_table_rows(unsigned *ret_count);
/* "OUT_RESULT", ...; static strings. kind is one of the enum. */
const char *call_arg_kind_name(unsigned kind);
/* Is an argument of this kind part of the signature that replay compares? */
bool call_arg_kind_compared(unsigned kind);

#endif
