/* SPDX-License-Identifier: Apache-2.0 */
/* What comparing asks the mask. */
#ifndef PERDURE_SUPERVISOR_CHECK_COMPARE_H
#define PERDURE_SUPERVISOR_CHECK_COMPARE_H

#include "supervisor/check_outcome.h"

/* Is the file `path` left out by what is in it? */
bool check_mask_has_file(const struct check_mask *mask, const char *path);
/* May `path` be there or not? A name that every undisturbed run had must be there, though others in
 * its directory come and go. */
bool check_mask_has_name(const struct check_mask *mask, const char *path);

#endif
