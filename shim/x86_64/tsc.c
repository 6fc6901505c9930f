/* SPDX-License-Identifier: Apache-2.0 */
/* Decoding only: what is done about the instructions is the engine's. Pure functions. */
#include "shim/x86_64/tsc.h"

#define EACH_BYTE(byte) (0x0101010101010101ull * (byte))

unsigned tsc_instruction_length(const uint8_t *rip, bool *ret_rdtscp)
{
  if (rip[0] != 0x0f)
    return 0;
  if (rip[1] == 0x31) {
    *ret_rdtscp = false;
    return 2;
  }
  if (rip[1] == 0x01 && rip[2] == 0xf9) {
    *ret_rdtscp = true;
    return 3;
  }
  return 0;
}

static bool is_at(const uint8_t *text, size_t left)
{
  return (left >= 2 && text[0] == 0x0f && text[1] == 0x31) ||
         (left >= 3 && text[0] == 0x0f && text[1] == 0x01 && text[2] == 0xf9);
}

bool tsc_scan(const uint8_t *text, size_t size)
{
  size_t at = 0;
  while (at < size) {
    if (size - at >= 8) {
      /* Eight bytes at once: none is 0f when no byte of the difference is zero. */
      uint64_t word;
      __builtin_memcpy(&word, text + at, sizeof word);
      word ^= EACH_BYTE(0x0full);
      if (((word - EACH_BYTE(1)) & ~word & EACH_BYTE(0x80ull)) == 0) {
        at += 8;
        continue;
      }
    }
    size_t end = size - at >= 8 ? at + 8 : size;
    for (; at < end; at++) {
      if (is_at(text + at, size - at))
        return true;
    }
  }
  return false;
}
