/* SPDX-License-Identifier: Apache-2.0 */
/* What people see of a journal unless they ask for --secrets: the values of the header fields in
 * secrets.def, and passwords in URLs, are '*', byte for byte, so that all lengths and places stay what they
 * are. Bytes are looked at one piece at a time, as they lie in an entry: a value that a program has sent or
 * received in two pieces is hidden in the one that has the field's name. */
#ifndef PERDURE_SUPERVISOR_SECRETS_H
#define PERDURE_SUPERVISOR_SECRETS_H

#include "journal/entry.h"

/* In place. A URL that the end cuts in its authority is taken to have its password there. */
void secrets_hide(void *bytes, size_t length);
/* In place, in all segments of a valid entry that nobody else needs. Its checksum stays the old one's. */
void secrets_hide_entry(struct journal_entry *entry);

#endif
