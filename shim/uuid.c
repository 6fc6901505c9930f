/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-1 as in RFC 3174; its weakness is no matter here. Writes nothing but its output. */
#include "shim/uuid.h"

#include "shim/raw.h"

#include <assert.h>

static uint32_t rotate(uint32_t value, unsigned by)
{
  return value << by | value >> (32 - by);
}

/* Of as many bytes as fit one block with their padding. */
static void sha1_of_block(const uint8_t *bytes, unsigned size, uint8_t ret_digest[20])
{
  uint8_t block[64];
  raw_fill(block, 0, sizeof block);
  raw_copy(block, bytes, size);
  block[size] = 0x80;
  block[62] = (uint8_t)(size * 8 >> 8);
  block[63] = (uint8_t)(size * 8);
  uint32_t words[80], state[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
  for (unsigned i = 0; i < 16; i++)
    words[i] = (uint32_t)block[4 * i] << 24 | (uint32_t)block[4 * i + 1] << 16 | (uint32_t)block[4 * i + 2] << 8 |
               block[4 * i + 3];
  for (unsigned i = 16; i < 80; i++)
    words[i] = rotate(words[i - 3] ^ words[i - 8] ^ words[i - 14] ^ words[i - 16], 1);
  uint32_t a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];
  for (unsigned i = 0; i < 80; i++) {
    uint32_t mixed = i < 20   ? ((b & c) | (~b & d)) + 0x5a827999
                     : i < 40 ? (b ^ c ^ d) + 0x6ed9eba1
                     : i < 60 ? ((b & c) | (b & d) | (c & d)) + 0x8f1bbcdc
                              : (b ^ c ^ d) + 0xca62c1d6;
    uint32_t next = rotate(a, 5) + mixed + e + words[i];
    e = d;
    d = c;
    c = rotate(b, 30);
    b = a;
    a = next;
  }
  state[0] += a;
  state[1] += b;
  state[2] += c;
  state[3] += d;
  state[4] += e;
  for (unsigned i = 0; i < 20; i++)
    ret_digest[i] = (uint8_t)(state[i / 4] >> (24 - 8 * (i % 4)));
}

static void put_uuid(char *to, const uint8_t *bytes)
{
  for (unsigned i = 0; i < 16; i++) {
    if (i == 4 || i == 6 || i == 8 || i == 10)
      *to++ = '-';
    *to++ = "0123456789abcdef"[bytes[i] >> 4];
    *to++ = "0123456789abcdef"[bytes[i] & 15];
  }
  *to = 0;
}

void uuid_of_name(const uint8_t space[16], const void *name, unsigned size, char ret_text[37])
{
  uint8_t bytes[16 + UUID_NAME_MAX], digest[20];
  assert(size <= UUID_NAME_MAX);
  raw_copy(bytes, space, 16);
  raw_copy(bytes + 16, name, size);
  sha1_of_block(bytes, 16 + size, digest);
  digest[6] = (digest[6] & 0x0f) | 0x50;
  digest[8] = (digest[8] & 0x3f) | 0x80;
  put_uuid(ret_text, digest);
}
