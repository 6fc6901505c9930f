/* SPDX-License-Identifier: Apache-2.0 */
/* Users and groups of the process: in replay they stay what they were at its start, so that its files can be
 * opened again. */
#ifndef PERDURE_SHIM_CREDENTIALS_H
#define PERDURE_SHIM_CREDENTIALS_H

/* The program's own from here on: the end of replay, when its files are open, or an exec. */
void credentials_go_live(void);

#endif
