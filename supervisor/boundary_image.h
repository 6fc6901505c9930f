/* SPDX-License-Identifier: Apache-2.0 */
/* Boundary images as files: checked when read, replaced whole when written. */
#ifndef PERDURE_SUPERVISOR_BOUNDARY_IMAGE_H
#define PERDURE_SUPERVISOR_BOUNDARY_IMAGE_H

#include "supervisor/boundary_plan.h"

/* Is this a whole image of this version: offsets inside, aligned, checksum right? */
bool boundary_image_is_valid(const void *bytes, size_t size);

/* "<directory>/<hex build-id>.boundary". path has PATH_MAX bytes. -ENAMETOOLONG. */
int boundary_image_path(const char *directory, const uint8_t *build_id, size_t build_id_size,
                        char *path);

/* Writes the image of a finished plan to `path`, in one step for whoever looks. */
int boundary_image_write(const struct boundary_plan *plan, const char *path,
                         struct failure *failure);

#endif
