/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel prints it as a UUID. */
#include "supervisor/boot_id.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int boot_id_read(uint8_t ret_id[16])
{
  FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");
  if (file == NULL)
    return -errno;
  uint8_t id[16];
  int count = 0;
  unsigned byte;
  while (count < 16 && fscanf(file, "%2x", &byte) == 1) {
    id[count++] = (uint8_t)byte;
    if (count == 4 || count == 6 || count == 8 || count == 10)
      fgetc(file); /* the hyphen */
  }
  fclose(file);
  if (count < 16)
    return -EBADMSG;
  memcpy(ret_id, id, sizeof id);
  return 0;
}
