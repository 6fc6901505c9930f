/* SPDX-License-Identifier: Apache-2.0 */
/* A program was told that a socket is ready, and was killed before it took what was there, which went with it. If
 * it now waited for the next datagram or connection, it might wait for ever. So it sees what the kernel shows
 * where the like happens to it: EAGAIN, or ECONNABORTED of accept. */
#ifndef PERDURE_SHIM_READINESS_H
#define PERDURE_SHIM_READINESS_H

#include "shim/engine.h"

/* Replay: the program is told; it has taken what was there, or the number is another socket now. */
void readiness_told(int fd);
void readiness_used(int fd);
void readiness_go_live(void);
/* Live: what it was told of is not there, once. */
bool readiness_lost(int fd);
/* Live: it was told that a pipe or a socket pair of the run has something, and has not looked since. Once. */
bool readiness_owed(int fd);

#endif
