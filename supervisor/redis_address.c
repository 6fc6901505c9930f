/* SPDX-License-Identifier: Apache-2.0 */
/* A Redis URL, taken apart. */
#include "supervisor/redis_address.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int wrong(const char *what, struct failure *failure)
{
  return failure_set(failure, -EINVAL,
                     "the store's address %s; it is redis://[USER:PASSWORD@]HOST[:PORT][/DB] or "
                     "redis-sentinel://[USER:PASSWORD@]HOST[:PORT],…/MASTER[/DB], or by TLS rediss://… or rediss-sentinel://…, then "
                     "with [?ca=FILE&cert=FILE&key=FILE&name=NAME]",
                     what);
}

static int hex_digit(char digit)
{
  if (digit >= '0' && digit <= '9')
    return digit - '0';
  if ((digit | 32) >= 'a' && (digit | 32) <= 'f')
    return (digit | 32) - 'a' + 10;
  return -1;
}

/* Copies up to `end`, percent-decoded. False: it does not fit, or is badly encoded, or holds a NUL. */
static bool decode(const char *text, const char *end, char *ret_text, size_t size)
{
  size_t length = 0;
  while (text < end) {
    int byte = (unsigned char)*text++;
    if (byte == '%') {
      int high = end - text >= 2 ? hex_digit(text[0]) : -1;
      int low = high >= 0 ? hex_digit(text[1]) : -1;
      if (low < 0)
        return false;
      byte = high * 16 + low;
      text += 2;
    }
    if (byte == 0 || length + 1 >= size)
      return false;
    ret_text[length++] = (char)byte;
  }
  ret_text[length] = '\0';
  return true;
}

static bool number(const char *text, const char *end, unsigned max, unsigned *ret_number)
{
  unsigned long value = 0;
  if (text == end)
    return false;
  for (; text < end; text++) {
    if (*text < '0' || *text > '9')
      return false;
    value = value * 10 + (unsigned)(*text - '0');
    if (value > max)
      return false;
  }
  *ret_number = (unsigned)value;
  return true;
}

static bool parse_credentials(const char *text, const char *end, struct redis_address *address)
{
  const char *colon = memchr(text, ':', (size_t)(end - text));
  return colon && decode(text, colon, address->user, sizeof address->user) &&
         decode(colon + 1, end, address->password, sizeof address->password);
}

/* HOST[:PORT] up to `end`. */
static bool parse_host(const char *text, const char *end, unsigned default_port, struct redis_host *ret_host)
{
  bool bracketed = text < end && *text == '[';
  text += bracketed;
  const char *name_end = memchr(text, bracketed ? ']' : ':', (size_t)(end - text));
  if (!name_end && !bracketed)
    name_end = end;
  if (!name_end || name_end == text || !decode(text, name_end, ret_host->name, sizeof ret_host->name))
    return false;
  const char *port = name_end + bracketed;
  ret_host->port = default_port;
  return port == end || (*port == ':' && number(port + 1, end, 65535, &ret_host->port) && ret_host->port > 0);
}

static bool parse_hosts(const char *text, const char *end, unsigned default_port, struct redis_address *address)
{
  while (address->host_count < REDIS_HOSTS_MAX) {
    const char *comma = memchr(text, ',', (size_t)(end - text));
    const char *host_end = comma ? comma : end;
    if (!parse_host(text, host_end, default_port, &address->hosts[address->host_count++]))
      return false;
    if (!comma)
      return true;
    text = comma + 1;
  }
  return false;
}

/* MASTER[/DB], or [DB], up to the end. */
static bool parse_path(const char *path, const char *end, bool has_master, struct redis_address *address)
{
  if (has_master) {
    const char *slash = memchr(path, '/', (size_t)(end - path));
    const char *master_end = slash ? slash : end;
    if (master_end == path || !decode(path, master_end, address->master, sizeof address->master))
      return false;
    path = slash ? slash + 1 : end;
  }
  return path == end || number(path, end, 1000000, &address->db);
}

/* NAME=VALUE up to `end`. */
static bool parse_parameter(const char *text, const char *end, struct redis_address *address)
{
  const struct {
    const char *name;
    char *value;
    size_t size;
    bool is_file;
  } known[] = {
    {"ca=", address->ca, sizeof address->ca, true},
    {"cert=", address->cert, sizeof address->cert, true},
    {"key=", address->key, sizeof address->key, true},
    {"name=", address->name, sizeof address->name, false},
  };
  for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
    size_t length = strlen(known[i].name);
    if ((size_t)(end - text) > length && strncmp(text, known[i].name, length) == 0)
      return decode(text + length, end, known[i].value, known[i].size) && (!known[i].is_file || known[i].value[0] == '/');
  }
  return false;
}

static bool parse_parameters(const char *text, struct redis_address *address)
{
  for (const char *end; *text; text = *end ? end + 1 : end) {
    end = strchrnul(text, '&');
    if (!parse_parameter(text, end, address))
      return false;
  }
  return !address->key[0] || address->cert[0];
}

/* NULL: it is none of these. */
static const char *behind_scheme(const char *url, bool *ret_tls, bool *ret_by_sentinel)
{
  static const char *const schemes[] = {"redis://", "redis-sentinel://", "rediss://", "rediss-sentinel://"};
  for (int i = 0; i < 4; i++)
    if (strncmp(url, schemes[i], strlen(schemes[i])) == 0) {
      *ret_tls = i >= 2;
      *ret_by_sentinel = i % 2;
      return url + strlen(schemes[i]);
    }
  return NULL;
}

int redis_address_parse(const char *url, struct redis_address *ret_address, struct failure *failure)
{
  struct redis_address address = {0};
  bool by_sentinel;
  const char *rest = behind_scheme(url, &address.tls, &by_sentinel);
  if (!rest)
    return wrong("begins with no redis:// and no redis-sentinel://", failure);
  const char *question = address.tls ? strchr(rest, '?') : NULL;
  if (question && !parse_parameters(question + 1, &address))
    return wrong("has a parameter behind its ? that is none, or a file that is not named from / on", failure);
  const char *url_end = question ? question : rest + strlen(rest);
  const char *slash = memchr(rest, '/', (size_t)(url_end - rest));
  const char *end = slash ? slash : url_end;
  const char *at = memrchr(rest, '@', (size_t)(end - rest));
  if (at && !parse_credentials(rest, at, &address))
    return wrong("has no USER:PASSWORD before its @", failure);
  if (!parse_hosts(at ? at + 1 : rest, end, by_sentinel ? REDIS_SENTINEL_PORT : REDIS_PORT, &address))
    return wrong("names no host", failure);
  if (!by_sentinel && address.host_count > 1)
    return wrong("names several hosts, which only Sentinels may be", failure);
  if (!parse_path(slash ? slash + 1 : url_end, url_end, by_sentinel, &address))
    return wrong(by_sentinel ? "names no master" : "has no number of a database behind its host", failure);
  *ret_address = address;
  return 0;
}

const char *redis_address_text(const struct redis_address *address)
{
  static _Thread_local char texts[2][3072];
  static _Thread_local unsigned next;
  char *text = texts[next++ % 2];
  size_t length = (size_t)snprintf(text, sizeof texts[0], "redis%s%s://", address->tls ? "s" : "", address->master[0] ? "-sentinel" : "");
  for (unsigned i = 0; i < address->host_count; i++) {
    bool bracketed = strchr(address->hosts[i].name, ':');
    length += (size_t)snprintf(text + length, sizeof texts[0] - length, "%s%s%s%s:%u", i ? "," : "", bracketed ? "[" : "",
                               address->hosts[i].name, bracketed ? "]" : "", address->hosts[i].port);
  }
  if (address->master[0])
    length += (size_t)snprintf(text + length, sizeof texts[0] - length, "/%s", address->master);
  snprintf(text + length, sizeof texts[0] - length, "/%u", address->db);
  return text;
}
