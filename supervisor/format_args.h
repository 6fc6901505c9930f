/* SPDX-License-Identifier: Apache-2.0 */
/* The arguments of a journaled call, for people. */
#ifndef PERDURE_SUPERVISOR_FORMAT_ARGS_H
#define PERDURE_SUPERVISOR_FORMAT_ARGS_H

#include "journal/call_table.h"
#include "journal/entry.h"
#include "supervisor/text.h"

/* Bytes of a buffer that are shown. */
#define FORMAT_PREVIEW_SIZE 32

/* How many of the entry's arguments are worth showing. row may be NULL (a call of a newer perdure). */
unsigned format_arg_count(const struct journal_entry *entry, const struct call_row *row);
/* Adds argument `arg`, decoded as the call's row says. */
void format_arg_add(struct text *text, const struct journal_entry *entry, const struct call_row *row,
                    unsigned arg);

#endif
