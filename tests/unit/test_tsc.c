/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/x86_64/tsc.h"
#include "tests/unit/tap.h"

#include <string.h>

int main(void)
{
  bool rdtscp = true;
  tap_ok(tsc_instruction_length((const uint8_t *)"\x0f\x31\x90", &rdtscp) == 2 && !rdtscp,
         "rdtsc is recognised");
  tap_ok(tsc_instruction_length((const uint8_t *)"\x0f\x01\xf9", &rdtscp) == 3 && rdtscp,
         "rdtscp is recognised");
  tap_ok(tsc_instruction_length((const uint8_t *)"\x0f\x01\xf8", &rdtscp) == 0 &&
             tsc_instruction_length((const uint8_t *)"\x0f\x05\x31", &rdtscp) == 0 &&
             tsc_instruction_length((const uint8_t *)"\x31\x0f\x31", &rdtscp) == 0,
         "other instructions are not taken for them");
  uint8_t text[64];
  bool found = true, clean = true;
  for (size_t size = 0; size <= sizeof text; size++) {
    memset(text, 0x0f, sizeof text);
    clean = clean && !tsc_scan(text, size);
    memset(text, 0x31, sizeof text);
    clean = clean && !tsc_scan(text, size);
    for (size_t at = 0; at + 2 <= size; at++) {
      memset(text, 0x90, sizeof text);
      memcpy(text + at, "\x0f\x31", 2);
      found = found && tsc_scan(text, size);
      clean = clean && !tsc_scan(text, at + 1);
    }
    for (size_t at = 0; at + 3 <= size; at++) {
      memset(text, 0x90, sizeof text);
      memcpy(text + at, "\x0f\x01\xf9", 3);
      found = found && tsc_scan(text, size);
      clean = clean && !tsc_scan(text, at + 2);
    }
  }
  tap_ok(found, "a text with one is found to have it, wherever it lies");
  tap_ok(clean, "a text without one, or with a part of one at its end, has none");
  return tap_done();
}
