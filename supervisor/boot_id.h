/* SPDX-License-Identifier: Apache-2.0 */
/* Which boot of the machine this is: the kernel's random/boot_id, as 16 bytes. */
#ifndef PERDURE_SUPERVISOR_BOOT_ID_H
#define PERDURE_SUPERVISOR_BOOT_ID_H

#include <stdint.h>

/* 0, or -errno (no /proc). The bytes are in the order in which the kernel prints them. */
int boot_id_read(uint8_t ret_id[16]);

#endif
