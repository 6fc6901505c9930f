/* SPDX-License-Identifier: Apache-2.0 */
/* Named retry policies that are put together from others, and rules that say which one holds for which failure: what
 * --retry-policy FILE gives. The format is specified in retry_rules_parse.c. Pure: no clock, no randomness. */
#ifndef PERDURE_SUPERVISOR_RETRY_RULES_H
#define PERDURE_SUPERVISOR_RETRY_RULES_H

#include "supervisor/store.h"

#define RETRY_NODES_MAX 256u
#define RETRY_POLICIES_MAX 64u
#define RETRY_RULES_MAX 64u
#define RETRY_LIMITS_MAX 8u
#define RETRY_NAME_SIZE 32u
#define RETRY_SIGNAL_MAX 64u
#define RETRY_FILE_MAX 65536u /* bytes */

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

struct retry_rule {
  uint64_t exits[4];          /* bits: statuses */
  uint64_t signals[2];        /* bits: signals */
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
};

/* What the failures at one place have come to; zeroed at the first. */
struct retry_progress {
  uint32_t handed[RETRY_NODES_MAX]; /* of RETRY_AND_THEN: the failure at which right took over; 0: left holds */
};

/* text: NUL-terminated. name: what the failure calls the file. -EINVAL: the failure names the line and what to do. On failure
 * *ret_rules is anything. */
int retry_rules_parse(const char *text, const char *name, struct retry_rules *ret_rules, struct failure *failure);

/* The policy for a death by `signal`, or where that is 0 for exit status `status`: of the rules that match, the one of the highest
 * priority, and of several the first. -1: none does. */
int retry_rules_match(const struct retry_rules *rules, int signal, int status);

/* As retry_next(), by the policy of that index. */
bool retry_rules_next(const struct retry_rules *rules, unsigned policy, struct retry_progress *progress, uint32_t number,
                      uint64_t spent_ns, uint32_t chance, uint64_t *ret_delay_ns);

#endif
