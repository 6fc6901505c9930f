/* SPDX-License-Identifier: Apache-2.0 */
/* Idempotency-Key: a UUID of version 5 (RFC 9562), made of the run's identity and the request's place in
 * it: image, thread, number. So it is the same in every attempt, and another in every other place.
 * SHA-1 as in RFC 3174; its weakness is no matter here. */
#include "shim/curl.h"

static uint32_t rotate(uint32_t value, unsigned by)
{
  return value << by | value >> (32 - by);
}

/* Of 40 bytes, which with the padding are one block. */
static void sha1_of_40(const uint8_t *bytes, uint8_t ret_digest[20])
{
  uint32_t words[80], state[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
  for (unsigned i = 0; i < 10; i++)
    words[i] = (uint32_t)bytes[4 * i] << 24 | (uint32_t)bytes[4 * i + 1] << 16 | (uint32_t)bytes[4 * i + 2] << 8 |
               bytes[4 * i + 3];
  words[10] = 0x80000000;
  words[11] = words[12] = words[13] = words[14] = 0;
  words[15] = 40 * 8;
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

static bool has_key(const struct curl_list *headers)
{
  static const char name[] = "idempotency-key";
  for (; headers; headers = headers->next) {
    unsigned i = 0;
    while (name[i] && ((uint8_t)headers->data[i] | 0x20) == (uint8_t)(name[i] | 0x20))
      i++;
    if (!name[i] && (headers->data[i] == ':' || headers->data[i] == ';'))
      return true;
  }
  return false;
}

bool key_make(struct curl_handle *handle, uint64_t number)
{
  static const char prefix[] = "Idempotency-Key: ";
  const struct tail_header *header = engine.tail.header;
  struct curl_list *headers = (struct curl_list *)handle->kept[KEPT_HTTPHEADER];
  const char *method = handle_method(handle);
  if (header->keyless || has_key(headers) || (!raw_same_text(method, "POST") && !raw_same_text(method, "PATCH")))
    return false;
  uint64_t place[3] = {engine.image_position, engine_thread.stream, number};
  uint8_t name[40], digest[20];
  raw_copy(name, header->run_identity, 16);
  raw_copy(name + 16, place, sizeof place);
  sha1_of_40(name, digest);
  digest[6] = (digest[6] & 0x0f) | 0x50;
  digest[8] = (digest[8] & 0x3f) | 0x80;
  raw_copy(handle->key, prefix, sizeof prefix);
  put_uuid(handle->key + sizeof prefix - 1, digest);
  handle->key_item = (struct curl_list){.data = handle->key, .next = headers};
  return true;
}
