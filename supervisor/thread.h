/* SPDX-License-Identifier: Apache-2.0 */
/* Threads of the supervisor's beside the one that the command runs in. */
#ifndef PERDURE_SUPERVISOR_THREAD_H
#define PERDURE_SUPERVISOR_THREAD_H

#include <pthread.h>

/* One that gets no signals: they are for the command's own. 0 or -errno. */
int thread_begin(pthread_t *ret_thread, void *(*run)(void *argument), void *argument);

#endif
