/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers of processes and threads: the program keeps those that it saw first, the kernel has others in
 * each attempt. */
#ifndef PERDURE_SHIM_IDENTITY_H
#define PERDURE_SHIM_IDENTITY_H

#include "shim/engine.h"

/* The first image of a run that begins: what the kernel says is what the program sees from now on. entry:
 * START of the first image, replayed, or NULL. */
void identity_begin(const struct journal_entry *entry);
/* A child begins: its parent's numbers are not its own. */
void identity_of_child(void);
/* START's and CHILD's arguments. */
void identity_describe(uint64_t args[4]);

/* As the program knows it; as the kernel does. Other numbers are the same. */
int64_t identity_seen(int64_t number);
/* A path of /proc with the process's number in it, as the kernel has it. Any other is given back as it is;
 * a changed one is good for the call that it is for. */
const char *identity_path(const char *path);
/* The same, as the program knows it. */
const char *identity_path_seen(const char *path);
int64_t identity_real(int64_t number);

#endif
