/* SPDX-License-Identifier: Apache-2.0 */
/* Named retry policies that are put together from others, and rules that say which one holds for which failure: what
 * --retry-policy FILE gives. Its format is specified in supervisor/retry_rules_parse.c. Pure: no clock, no randomness.
 *
 * The whole of it is one struct without pointers: the supervisor writes it to the file RETRY_RULES_FILE in the run's directory before an
 * attempt begins, and the shim maps that, for transfers. It is made anew for each attempt, and read by the perdure that has made it. */
#ifndef PERDURE_JOURNAL_RETRY_RULES_H
#define PERDURE_JOURNAL_RETRY_RULES_H

#include "journal/retry_policy.h"

#define RETRY_RULES_FILE "retry-rules"
#define RETRY_RULES_ADDRESS (TAIL_ADDRESS - (6ull << 32))

#define RETRY_NODES_MAX 256u
#define RETRY_POLICIES_MAX 64u
#define RETRY_RULES_MAX 64u
#define RETRY_LIMITS_MAX 8u
#define RETRY_NAME_SIZE 32u
#define RETRY_SIGNAL_MAX 64u
#define RETRY_STATUS_MAX 599u
#define RETRY_TEXT_SIZE 8192u

enum retry_base {
  RETRY_NEVER,
  RETRY_IMMEDIATE,
  RETRY_PERIODIC,
  RETRY_EXPONENTIAL,
  RETRY_FIBONACCI,
  RETRY_SAME,      /* as left */
  RETRY_AND_THEN,  /* left until it gives no further attempt, then right, which counts from there */
  RETRY_UNION,     /* as long as one of them gives one, after the shorter delay */
  RETRY_INTERSECT, /* as long as both do, after the longer delay */
};

enum retry_limit_kind { RETRY_COUNT, RETRY_TOTAL, RETRY_CLAMP, RETRY_ADD, RETRY_JITTER };

struct retry_limit {
  enum retry_limit_kind kind;
  uint64_t value;  /* attempts with the first; ns; the shortest, ns; ns; millionths */
  uint64_t value2; /* RETRY_CLAMP: the longest, ns */
};

/* A policy, and all that it is put together from: each use of a name is a copy of its own. */
struct retry_node {
  enum retry_base base;
  uint64_t delay_ns;
  uint32_t factor; /* millionths, from 1 to 1000 times */
  unsigned left, right; /* nodes; below this one's number */
  unsigned limit_count;
  struct retry_limit limits[RETRY_LIMITS_MAX]; /* in this order */
};

/* A policy that the program has put together itself: as control-api/perdure.h has it, and as the entry of its call has its bytes, in
 * SEGMENT_OUTPUT 0, up to the last node. */
#define RETRY_PLAN_NODES_MAX 32u
struct retry_plan {
  char name[RETRY_NAME_SIZE]; /* "": none */
  uint32_t statuses;          /* enum retry_status, or'ed */
  uint32_t node_count;        /* the last one is the policy */
  struct retry_node nodes[RETRY_PLAN_NODES_MAX];
};

/* Can it be asked? The nodes are a tree, so that asking it ends soon, and all that they say means something. size: bytes of it that
 * are there. */
bool retry_plan_sound(const struct retry_plan *plan, size_t size);
size_t retry_plan_size(const struct retry_plan *plan);

/* As JOURNAL_SCOPE_RETRY's values have a plan: its id, the position of the entry that it was made by. False: they have none. */
bool retry_plan_of_values(const uint64_t values[JOURNAL_SCOPE_VALUES], uint64_t *ret_id);

/* How a transfer failed that got no answer. */
enum retry_error {
  RETRY_ERROR_RESOLVE = 1, /* no address */
  RETRY_ERROR_CONNECT = 2, /* no connection */
  RETRY_ERROR_TLS = 4,     /* no secure one */
  RETRY_ERROR_TIMEOUT = 8,
  RETRY_ERROR_RESET = 16,  /* the connection broke */
};
#define RETRY_ERROR_ALL 31u

/* A transfer that has failed. */
struct retry_request {
  const char *method;
  const char *url;  /* as the program gave it: with a scheme or without */
  uint32_t status;  /* of the answer; 0: there was none */
  uint32_t error;   /* enum retry_error; 0: it was answered */
};

struct retry_rule {
  uint64_t exits[4];          /* bits: statuses */
  uint64_t signals[2];        /* bits: signals */
  uint64_t statuses[RETRY_STATUS_MAX / 64 + 1]; /* bits: of answers */
  uint32_t errors;            /* enum retry_error, or'ed */
  uint32_t methods, hosts, paths; /* in text: words that each end with a NUL, and an empty one behind them; 0: all */
  uint32_t priority;
  unsigned policy;            /* index */
};

struct retry_rules {
  struct retry_node nodes[RETRY_NODES_MAX];
  unsigned node_count;
  struct {
    char name[RETRY_NAME_SIZE];
    unsigned node;
  } policies[RETRY_POLICIES_MAX];
  unsigned policy_count;
  struct retry_rule rules[RETRY_RULES_MAX];
  unsigned rule_count;
  char text[RETRY_TEXT_SIZE]; /* from 1 on */
  uint32_t text_used;
};

/* What the failures at one place have come to; zeroed at the first. */
struct retry_progress {
  uint32_t handed[RETRY_NODES_MAX]; /* of RETRY_AND_THEN: the failure at which right took over; 0: left holds */
};

/* The policy for a death by `signal`, or where that is 0 for exit status `status`: of the rules that match, the one of the highest
 * priority, and of several the first. -1: none does. */
int retry_rules_match(const struct retry_rules *rules, int signal, int status);

/* The same for a transfer. In hosts and paths of rules '*' stands for any characters; hosts match with or without the port, paths
 * without what follows '?' or '#'. */
int retry_rules_match_request(const struct retry_rules *rules, const struct retry_request *request);

/* Is there another attempt after the failed attempt `number`, spent_ns after the first failure, by the policy that is the node
 * `root`? Then *ret_delay_ns is how long to wait for it. */
bool retry_nodes_next(const struct retry_node *nodes, unsigned root, struct retry_progress *progress, uint32_t number,
                      uint64_t spent_ns, uint32_t chance, uint64_t *ret_delay_ns);
/* The same by the policy of that index. */
bool retry_rules_next(const struct retry_rules *rules, unsigned policy, struct retry_progress *progress, uint32_t number,
                      uint64_t spent_ns, uint32_t chance, uint64_t *ret_delay_ns);

/* May the policy's next attempt begin as late as that, because the server asks for it? No clamp and no total of it says otherwise;
 * where it has none, it is not longer than RETRY_ASKED_MAX_NS. */
bool retry_nodes_allow(const struct retry_node *nodes, unsigned root, uint64_t spent_ns, uint64_t delay_ns);
bool retry_rules_allow(const struct retry_rules *rules, unsigned policy, uint64_t spent_ns, uint64_t delay_ns);
#define RETRY_ASKED_MAX_NS 3600000000000u

#endif
