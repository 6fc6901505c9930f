/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PERDURE_CLI_HEX_DUMP_H
#define PERDURE_CLI_HEX_DUMP_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Lines of sixteen bytes: offset, numbers, characters. */
void hex_dump(FILE *stream, const uint8_t *data, size_t length);

#endif
