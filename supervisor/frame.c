/* SPDX-License-Identifier: Apache-2.0 */
/* Trusts no byte. */
#include "supervisor/frame.h"

#include <errno.h>
#include <stdlib.h>
#include <zstd.h>

int frame_unpack(const void *packed, size_t packed_length, unsigned long long length_max, void **ret_bytes, size_t *ret_length)
{
  unsigned long long length = ZSTD_getFrameContentSize(packed, packed_length);
  if (length == ZSTD_CONTENTSIZE_ERROR || length == ZSTD_CONTENTSIZE_UNKNOWN || length > length_max)
    return -EBADMSG;
  void *bytes = malloc((size_t)length + 1);
  if (!bytes)
    return -ENOMEM;
  size_t came = ZSTD_decompress(bytes, (size_t)length, packed, packed_length);
  if (ZSTD_isError(came) || came != length) {
    free(bytes);
    return -EBADMSG;
  }
  *ret_bytes = bytes;
  *ret_length = (size_t)length;
  return 0;
}
