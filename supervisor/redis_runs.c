/* SPDX-License-Identifier: Apache-2.0 */
/* All runs that a server has, or all nodes of a cluster. Their keys are found by SCAN, which holds up nobody: never by KEYS.
 * Reads alone. */
#include "supervisor/redis_run_internal.h"
#include "supervisor/run_place.h"

#define KEY_BEFORE "perdure:{"
#define KEY_BEHIND "}:run"
/* How many keys the server looks at in one step: a fraction of a millisecond. */
#define SCAN_COUNT "1000"

struct visiting {
  struct redis_run *run; /* by a connection of its own: a key that has moved takes it to another node */
  const char *state;     /* NULL: any */
  int (*each)(struct redis_run *run, const char *id, void *context);
  void *context;
  struct failure *failure;
};

/* *ret_wanted: its run is in that state. */
static int has_state(const struct visiting *visiting, const redisReply *key, bool *ret_wanted)
{
  const struct redis_word words[] = {{"HGET", 4}, {key->str, key->len}, {"state", 5}};
  redisReply *reply;
  int error = redis_link_open(&visiting->run->link, visiting->failure);
  if (error == 0)
    error = redis_link_ask(&visiting->run->link, words, 3, 0, &reply, visiting->failure);
  if (error != 0)
    return error;
  *ret_wanted = reply->type == REDIS_REPLY_STRING && (!visiting->state || strcmp(reply->str, visiting->state) == 0);
  freeReplyObject(reply);
  return 0;
}

static int visit_key(const struct visiting *visiting, const redisReply *key)
{
  size_t before = strlen(KEY_BEFORE), behind = strlen(KEY_BEHIND);
  char id[RUN_ID_SIZE];
  bool wanted = false;
  if (key->len <= before + behind || key->len - before - behind >= sizeof id)
    return 0;
  snprintf(id, sizeof id, "%.*s", (int)(key->len - before - behind), key->str + before);
  int error = run_id_valid(id) ? has_state(visiting, key, &wanted) : 0;
  if (error != 0 || !wanted)
    return error;
  redis_run_name(visiting->run, id);
  return visiting->each(visiting->run, id, visiting->context);
}

static int scan(struct redis_link *link, const struct visiting *visiting)
{
  char cursor[32] = "0";
  int error;
  do {
    const struct redis_word words[] = {{"SCAN", 4}, {cursor, strlen(cursor)}, {"MATCH", 5},
                                       {KEY_BEFORE "*" KEY_BEHIND, strlen(KEY_BEFORE "*" KEY_BEHIND)}, {"COUNT", 5},
                                       {SCAN_COUNT, strlen(SCAN_COUNT)}};
    redisReply *reply;
    error = redis_link_ask(link, words, 6, 0, &reply, visiting->failure);
    if (error != 0)
      break;
    snprintf(cursor, sizeof cursor, "%s", text_at(reply, 0));
    for (size_t i = 0; error == 0 && reply->elements == 2 && i < reply->element[1]->elements; i++)
      error = visit_key(visiting, reply->element[1]->element[i]);
    freeReplyObject(reply);
  } while (error == 0 && strcmp(cursor, "0") != 0 && cursor[0]);
  return error;
}

static int scan_node(const struct redis_address *address, struct visiting *visiting)
{
  struct redis_link link = {.address = address};
  int error = redis_link_open(&link, visiting->failure);
  if (error == 0)
    error = redis_run_open_to_look(address, "", &visiting->run, visiting->failure);
  if (error == 0) {
    error = scan(&link, visiting);
    redis_run_close(visiting->run);
  }
  redis_link_close(&link);
  return error;
}

/* ---- a cluster ---- */

/* A line of CLUSTER NODES: ID HOST:PORT@BUS[,NAME] FLAGS PRIMARY PING PONG EPOCH STATE SLOT… . false: it has no slots. */
static bool parse_node(const char *line, const struct redis_host *asked, struct redis_host *ret_host)
{
  char address[300], flags[128];
  int behind = 0;
  if (sscanf(line, "%*s %299s %127s %*s %*s %*s %*s %*s %n", address, flags, &behind) != 2 || !behind || !line[behind] || !strstr(flags, "master"))
    return false;
  address[strcspn(address, "@,")] = '\0';
  char *colon = strrchr(address, ':');
  if (!colon)
    return false;
  *colon = '\0';
  ret_host->port = (unsigned)strtoul(colon + 1, NULL, 10);
  /* A node that knows its own address by nobody yet. */
  snprintf(ret_host->name, sizeof ret_host->name, "%.255s", address[0] ? address : asked->name);
  return ret_host->port > 0 && ret_host->port <= 65535;
}

/* A node that cannot be asked is no reason to leave out the others. */
static int scan_nodes(char *lines, const struct redis_address *address, struct visiting *visiting)
{
  struct failure *first = visiting->failure, later = {""};
  char *rest = NULL;
  int error = 0;
  for (char *line = strtok_r(lines, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
    struct redis_address node = *address;
    if (!parse_node(line, &address->hosts[0], &node.hosts[0]))
      continue;
    visiting->failure = error == 0 ? first : &later;
    int node_error = scan_node(&node, visiting);
    if (error == 0)
      error = node_error;
    if (node_error > 0)
      break;
  }
  return error;
}

static int scan_cluster(struct redis_link *link, const struct redis_address *address, struct visiting *visiting)
{
  const struct redis_word words[] = {{"CLUSTER", 7}, {"NODES", 5}};
  redisReply *reply;
  int error = redis_link_ask(link, words, 2, 0, &reply, visiting->failure);
  if (error != 0)
    return error;
  error = reply->str ? scan_nodes(reply->str, address, visiting) : 0;
  freeReplyObject(reply);
  return error;
}

int redis_runs(const struct redis_address *address, const char *state,
               int (*each)(struct redis_run *run, const char *id, void *context), void *context, struct failure *failure)
{
  struct redis_link link = {.address = address};
  struct visiting visiting = {NULL, state, each, context, failure};
  int error = redis_link_open(&link, failure);
  if (error == 0)
    error = link.cluster ? scan_cluster(&link, address, &visiting) : scan_node(address, &visiting);
  redis_link_close(&link);
  return error;
}
