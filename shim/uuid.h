/* SPDX-License-Identifier: Apache-2.0 */
/* UUIDs of version 5 (RFC 9562, section 5.5): the same for the same name, another for every other. */
#ifndef PERDURE_SHIM_UUID_H
#define PERDURE_SHIM_UUID_H

#include <stdint.h>

#define UUID_NAME_MAX 39u /* bytes: with the name space and the padding they are one block of SHA-1 */

/* 36 characters and a NUL. space: 16 bytes; name: size bytes, at most UUID_NAME_MAX. */
void uuid_of_name(const uint8_t space[16], const void *name, unsigned size, char ret_text[37]);

#endif
