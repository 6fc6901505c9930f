/* SPDX-License-Identifier: Apache-2.0 */
/* Socket addresses as people write them. */
#ifndef PERDURE_SUPERVISOR_FORMAT_ADDRESS_H
#define PERDURE_SUPERVISOR_FORMAT_ADDRESS_H

#include <stddef.h>

#include "supervisor/text.h"

/* Appends 127.0.0.1:80, [::1]:80, "/a/path", @abstract; of other families "{N bytes of family F}". */
void format_address_add(struct text *text, const void *address, size_t length);

#endif
