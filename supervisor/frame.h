/* SPDX-License-Identifier: Apache-2.0 */
/* What a zstd frame holds that came from elsewhere. */
#ifndef PERDURE_SUPERVISOR_FRAME_H
#define PERDURE_SUPERVISOR_FRAME_H

#include <stddef.h>

/* length_max bounds what the frame is believed to hold. The bytes are malloc'ed, for the caller to free. -EBADMSG: it is no such
 * frame, or damaged; -ENOMEM. */
int frame_unpack(const void *packed, size_t packed_length, unsigned long long length_max, void **ret_bytes, size_t *ret_length);

#endif
