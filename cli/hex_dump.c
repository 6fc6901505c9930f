/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/hex_dump.h"

#include <ctype.h>

void hex_dump(FILE *stream, const uint8_t *data, size_t length)
{
  for (size_t offset = 0; offset < length; offset += 16) {
    fprintf(stream, "    %08zx ", offset);
    for (size_t i = offset; i < offset + 16; i++)
      if (i < length)
        fprintf(stream, " %02x", data[i]);
      else
        fputs("   ", stream);
    fputs("  ", stream);
    for (size_t i = offset; i < offset + 16 && i < length; i++)
      fputc(isprint(data[i]) ? data[i] : '.', stream);
    fputc('\n', stream);
  }
}
