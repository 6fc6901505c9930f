/* SPDX-License-Identifier: Apache-2.0 */
/* What a process does to what it may share with others. */
#ifndef PERDURE_SUPERVISOR_INHERITED_H
#define PERDURE_SUPERVISOR_INHERITED_H

#include "journal/entry.h"

/* Does the call change a description, a channel that is no pipe, or another process, that its maker may have too?
 * Offsets of files, bytes in pipes and the files themselves are not meant. */
bool inherited_changes(const struct journal_entry *entry);

#endif
