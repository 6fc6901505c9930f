/* SPDX-License-Identifier: Apache-2.0 */
/* Keys are UUIDs of version 5. */
#include "tests/unit/tap.h"

#include "shim/uuid.h"

#include <string.h>

/* RFC 9562, section 6.5. */
static const uint8_t space_dns[16] = {0x6b, 0xa7, 0xb8, 0x10, 0x9d, 0xad, 0x11, 0xd1,
                                      0x80, 0xb4, 0x00, 0xc0, 0x4f, 0xd4, 0x30, 0xc8};

int main(void)
{
  char text[37], other[37];
  /* RFC 9562, appendix A.4. */
  uuid_of_name(space_dns, "www.example.com", 15, text);
  tap_ok(strcmp(text, "2ed6657d-e927-568b-95e1-2665a8aea6a2") == 0, "the RFC's example");
  /* Made with Python's uuid.uuid5(): an empty name, and the longest that is taken. */
  uuid_of_name(space_dns, "", 0, text);
  tap_ok(strcmp(text, "4ebd0208-8328-5d69-8c44-ec50939c0967") == 0, "an empty name");
  uuid_of_name(space_dns, "abcdefghijklmnopqrstuvwxyzabcdefghijklm", UUID_NAME_MAX, text);
  tap_ok(strcmp(text, "ee0d9890-1ba2-56e0-b659-23f844815fd9") == 0, "the longest name");
  uuid_of_name(space_dns, "a", 1, text);
  uuid_of_name(space_dns, "b", 1, other);
  tap_ok(strcmp(text, other) != 0, "another name gives another");
  return tap_done();
}
