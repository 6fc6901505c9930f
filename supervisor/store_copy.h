/* SPDX-License-Identifier: Apache-2.0 */
/* A copy of a store under another name. */
#ifndef PERDURE_SUPERVISOR_STORE_COPY_H
#define PERDURE_SUPERVISOR_STORE_COPY_H

#include "supervisor/store.h"

/* What was committed so far becomes a store at `path`, mode 0600, which must not exist. A failure, or a crash, may leave a part
 * of it. */
int store_copy(struct store *store, const char *path, struct failure *failure);
/* Everything of it lies in its own file, and its log is empty: it may be renamed once it is closed. */
int store_fold(struct store *store, struct failure *failure);
/* Gives a closed and folded store another name, on disk when it returns 0. -errno. */
int store_rename(const char *from, const char *to);

#endif
