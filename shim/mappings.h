/* SPDX-License-Identifier: Apache-2.0 */
/* Mappings of files: by reference when recorded, made again in replay. */
#ifndef PERDURE_SHIM_MAPPINGS_H
#define PERDURE_SHIM_MAPPINGS_H

#include "shim/engine.h"

/* Going live: shared writable mappings, private until then, become the file's again. What the program
 * stored in replay goes into the file. */
void mappings_go_live(void);
/* The path where the file of an extent is now; path: of the reference's own file. */
const char *feed_extent_path(const struct feed_extent *extent, const char *path);

#endif
