/* SPDX-License-Identifier: Apache-2.0 */
/* getaddrinfo: a name in a file, the addresses of the machine (netlink), and a name server: that of an
 * echo_server. Arguments: its address and port. */
#include "must.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <resolv.h>

static void look_up(const char *name, const char *service, int family, const char *expected)
{
  struct addrinfo hints = {.ai_family = family, .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG}, *found;
  char text[INET6_ADDRSTRLEN];
  int result = getaddrinfo(name, service, &hints, &found);
  if (result != 0)
    fprintf(stderr, "%s: %s\n", name, gai_strerror(result));
  must(result == 0);
  const struct sockaddr_in *address = (const struct sockaddr_in *)found->ai_addr;
  must(found->ai_family == AF_INET && address->sin_port == htons(80));
  inet_ntop(AF_INET, &address->sin_addr, text, sizeof text);
  printf("%s is %s\n", name, text);
  must(strcmp(text, expected) == 0);
  freeaddrinfo(found);
  fflush(stdout);
}

int main(int argc, char **argv)
{
  must(argc == 3 && res_init() == 0);
  _res.nscount = 1;
  _res.retrans = 1;
  /* One question is lost with each crash. */
  _res.retry = 5;
  _res.nsaddr_list[0].sin_family = AF_INET;
  must(inet_pton(AF_INET, argv[1], &_res.nsaddr_list[0].sin_addr) == 1);
  _res.nsaddr_list[0].sin_port = htons((uint16_t)atoi(argv[2]));
  look_up("127.0.0.1", "http", AF_UNSPEC, "127.0.0.1");
  look_up("both.perdure.test", "80", AF_UNSPEC, "192.0.2.7");
  look_up("four.perdure.test", "80", AF_INET, "192.0.2.7");
  look_up("again.perdure.test", "80", AF_UNSPEC, "192.0.2.7");
  return 0;
}
