/* SPDX-License-Identifier: Apache-2.0 */
/* The entries of an exchange, for people. */
#ifndef PERDURE_SUPERVISOR_FORMAT_EXCHANGE_H
#define PERDURE_SUPERVISOR_FORMAT_EXCHANGE_H

#include "journal/entry.h"
#include "supervisor/text.h"

#include <stdbool.h>

/* Is it one? */
bool format_exchange_is(const struct journal_entry *entry);
/* What stands between the call's parentheses: method and URL, or which callback and its bytes. */
void format_exchange_add_args(struct text *text, const struct journal_entry *entry);
/* " = 0 CURLE_OK, status 200"; nothing for an intent, or a callback, whose result is not recorded. */
void format_exchange_add_result(struct text *text, const struct journal_entry *entry);

/* "write", "header", ...; "?" for what is none. Static strings. */
const char *journal_callback_name(unsigned callback);

#endif
