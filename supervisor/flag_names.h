/* SPDX-License-Identifier: Apache-2.0 */
/* Names of numbers that calls take: O_CREAT, SEEK_END, SIGTERM. */
#ifndef PERDURE_SUPERVISOR_FLAG_NAMES_H
#define PERDURE_SUPERVISOR_FLAG_NAMES_H

#include "supervisor/text.h"

#include <stdbool.h>

enum flag_set {
  FLAG_SET_none, /* a plain number */
  FLAG_SET_octal,
  FLAG_SET_signal,
#define SET(set, choice) FLAG_SET_##set,
#include "supervisor/flag_sets.def"
#undef SET
};

/* The set that argument `arg` of `call` is of (flag_uses.def). */
enum flag_set flag_set_of(const char *call, unsigned arg);

/* Adds `value` with the names of `set`; what has no name is added as a number. */
void flag_names_add(struct text *text, enum flag_set set, uint64_t value);

#endif
