/* SPDX-License-Identifier: Apache-2.0 */
/* Sets of epoll. In replay pipes, timers and the like are in them, as they were. A socket that stands for one
 * with a peer would be reported as what it is, unconnected: it comes into its sets when the process goes live. */
#ifndef PERDURE_SHIM_EPOLL_SETS_H
#define PERDURE_SHIM_EPOLL_SETS_H

/* Replay: the number is closed, or about to be another description. */
void epoll_sets_forget(int fd);
/* Replay: the number is about to be duplicated. */
void epoll_sets_before_copy(int fd);
/* Going live, or before an exec, which only the kernel's sets survive. */
void epoll_sets_complete(void);

#endif
