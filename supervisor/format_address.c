/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/format_address.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

static void add_path(struct text *text, const struct sockaddr_un *address, size_t length)
{
  size_t room = length - offsetof(struct sockaddr_un, sun_path);
  if (room == 0) {
    text_add(text, "(no name)");
  } else if (address->sun_path[0] == '\0') {
    text_add(text, "@");
    text_add_quoted(text, address->sun_path + 1, room - 1);
  } else {
    text_add_quoted(text, address->sun_path, strnlen(address->sun_path, room));
  }
}

void format_address_add(struct text *text, const void *address, size_t length)
{
  struct sockaddr_storage storage = {0};
  char host[INET6_ADDRSTRLEN];
  memcpy(&storage, address, length < sizeof storage ? length : sizeof storage);
  const struct sockaddr_in *in = (const struct sockaddr_in *)&storage;
  const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&storage;
  if (storage.ss_family == AF_INET && length >= sizeof *in)
    text_addf(text, "%s:%u", inet_ntop(AF_INET, &in->sin_addr, host, sizeof host), ntohs(in->sin_port));
  else if (storage.ss_family == AF_INET6 && length >= offsetof(struct sockaddr_in6, sin6_scope_id))
    text_addf(text, "[%s]:%u", inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof host), ntohs(in6->sin6_port));
  else if (storage.ss_family == AF_UNIX && length >= offsetof(struct sockaddr_un, sun_path) &&
           length <= sizeof(struct sockaddr_un))
    add_path(text, (const struct sockaddr_un *)&storage, length);
  else
    text_addf(text, "{%zu bytes of family %u}", length, (unsigned)storage.ss_family);
}
