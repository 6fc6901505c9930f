/* SPDX-License-Identifier: Apache-2.0 */
/* malloc()'s arenas in a process with threads.
 *
 * libc gives each thread an arena of its own until there are as many as eight for each processor, a number that it asks the
 * system for when the first thread finds more than a few. Which thread that is, no call says: it comes from whoever needs memory
 * first; and past the limit threads share arenas, by who finds which of them unlocked. So libc is told not to look, and each
 * thread has its own. A limit that the program has set, or its user by GLIBC_TUNABLES, stays.
 *
 * Nothing is journaled; every attempt says it at the same call. */
#ifndef PERDURE_SHIM_ARENAS_H
#define PERDURE_SHIM_ARENAS_H

/* Before a thread is made: says so once. */
void arenas_one_for_each_thread(void);

#endif
