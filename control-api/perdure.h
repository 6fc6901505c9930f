/* SPDX-License-Identifier: Apache-2.0 */
/* What a program may say to perdure, and ask of it.
 *
 * There is no library to link: the functions behind these are perdure's shim's, found when the program
 * runs under `perdure run`. Without perdure the same program runs unchanged: scopes say nothing, a commit
 * succeeds locally, keys are random, perdure_fail() aborts. C11 and C++17, with gcc or clang.
 *
 * Scopes. Each has two forms:
 *   PERDURE_WITH_…(…) { … }     a block; break and continue leave it, and return, goto and a C++
 *                               exception out of it close it too. A block that cannot begin aborts
 *                               the program: it cannot say so
 *   perdure_…_begin/_end        with a token, for code that begins in one callback and ends in another
 * A scope belongs to the thread that began it, and holds for what that thread calls while it is open,
 * whoever ends it. Threads and children that are made meanwhile do not inherit it; an exec closes it.
 * Scopes of one kind that overlap without nesting: what was begun last among those still open
 * holds. Outside of all scopes, what the thread has set holds; else the command line's.
 *
 * Every function that can fail returns 0 or one of enum perdure_error, which are negative. Nothing else
 * happened then.
 */
#ifndef PERDURE_H
#define PERDURE_H

#include <dlfcn.h>
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#ifdef __cplusplus
extern "C" {
#endif

enum perdure_error {
  PERDURE_ERROR_ARGUMENT = -EINVAL,    /* NULL, or a value that means nothing */
  PERDURE_ERROR_TOKEN = -ENOENT,       /* no scope of that kind is open under this token: it was never begun here,
                                          or has ended. Without perdure an ended token is not known */
  PERDURE_ERROR_ORDER = -EBUSY,        /* a region that began later is open still: this one stays open too */
  PERDURE_ERROR_ROOM = -ENOSPC,        /* PERDURE_SCOPES_MAX scopes are open in this process */
  PERDURE_ERROR_REPLICAS = -ENOTCONN,  /* the run has no other store (--store), or one that cannot have so many replicas */
  PERDURE_ERROR_TIMEOUT = -ETIMEDOUT,  /* fewer replicas have acknowledged in that time; nothing is lost by it */
  PERDURE_ERROR_DISK = -EIO,           /* the journal cannot be written to disk */
  PERDURE_ERROR_UNANSWERED = -EINPROGRESS, /* a request that began in the region is under way, and may not be repeated */
  PERDURE_ERROR_PERSISTENCE = -EPERM,  /* an atomic region cannot begin where its calls are not journaled */
};

#define PERDURE_SCOPES_MAX 256

/* An open scope. {0} is none. */
struct perdure_token {
  uint64_t id;
};

/* How often and how late what has failed is tried again: before attempt n + 1,
 * min(max_delay_ns, min_delay_ns * multiplier^(n-1)), and up to max_jitter_factor of that more, but never
 * more than max_delay_ns. */
struct perdure_retry_policy {
  uint32_t max_attempts;    /* of one place, the first included; at least 1 */
  uint64_t min_delay_ns;    /* at most max_delay_ns */
  uint64_t max_delay_ns;
  double multiplier;        /* 1 to 1000 */
  double max_jitter_factor; /* 0 to 1 */
  unsigned statuses;        /* enum perdure_retry_status, or'ed: of HTTP, after which a request is sent again */
};

enum perdure_retry_status { PERDURE_RETRY_429 = 1, PERDURE_RETRY_502 = 2, PERDURE_RETRY_503 = 4, PERDURE_RETRY_504 = 8 };

/* ---- what the shim provides; not for programs to call ---- */

enum {
  PERDURE_SCOPE_IDEMPOTENCE_ = 1,
  PERDURE_SCOPE_RETRY_ = 2,
  PERDURE_SCOPE_REGION_ = 3,
  PERDURE_SCOPE_PERSISTENCE_ = 4,
};
#define PERDURE_SCOPE_VALUES_ 5

#define PERDURE_WEAK_ __attribute__((weak))
PERDURE_WEAK_ int perdure_shim_scope_begin(unsigned kind, const uint64_t *values, uint64_t *ret_token);
PERDURE_WEAK_ int perdure_shim_scope_end(unsigned kind, uint64_t token);
/* values NULL: the thread has set none any more. */
PERDURE_WEAK_ int perdure_shim_scope_set(unsigned kind, const uint64_t *values);
/* 1: *values hold; 0: there are none; -ENOSYS as all. */
PERDURE_WEAK_ int perdure_shim_scope_get(unsigned kind, uint64_t *ret_values);
/* 1: a scope of that kind is open in this process under that token; 0: none is. */
PERDURE_WEAK_ int perdure_shim_scope_is_open(unsigned kind, uint64_t token);
PERDURE_WEAK_ int perdure_shim_key(char *ret_key);
PERDURE_WEAK_ int perdure_shim_index(uint64_t *ret_index);
PERDURE_WEAK_ int perdure_shim_is_replaying(void);
PERDURE_WEAK_ int perdure_shim_note(const char *text);
PERDURE_WEAK_ int perdure_shim_fail(const char *why);
PERDURE_WEAK_ int perdure_shim_commit(unsigned replicas, uint64_t timeout_ns, unsigned *ret_count);

/* Position-dependent code has weak symbols that nothing defines fixed at 0 when it is linked. */
#if defined(__PIC__) || defined(__PIE__)
#define PERDURE_SHIM_(name) (name)
#else
#define PERDURE_SHIM_(name) ((__typeof__(&name))(uintptr_t)dlsym((void *)0, #name))
#endif

/* The shim's answer, or -ENOSYS where there is none: without perdure, or in a process that is not journaled. */
#define PERDURE_ASK_(name, ...) (PERDURE_SHIM_(name) ? PERDURE_SHIM_(name)(__VA_ARGS__) : -ENOSYS)

static inline int perdure_scope_begin_(unsigned kind, const uint64_t *values, struct perdure_token *ret_token)
{
  if (!ret_token)
    return PERDURE_ERROR_ARGUMENT;
  int result = PERDURE_ASK_(perdure_shim_scope_begin, kind, values, &ret_token->id);
  if (result != -ENOSYS)
    return result;
  ret_token->id = ~UINT64_C(0);
  return 0;
}

static inline int perdure_scope_end_(unsigned kind, struct perdure_token token)
{
  int result = PERDURE_ASK_(perdure_shim_scope_end, kind, token.id);
  return result != -ENOSYS ? result : token.id ? 0 : PERDURE_ERROR_TOKEN;
}

static inline int perdure_scope_set_(unsigned kind, const uint64_t *values)
{
  int result = PERDURE_ASK_(perdure_shim_scope_set, kind, values);
  return result != -ENOSYS ? result : 0;
}

/* ---- blocks ---- */

struct perdure_block_ {
  struct perdure_token token;
  unsigned kind;
  int done;
};

static inline struct perdure_block_ perdure_block_begin_(unsigned kind, int result, struct perdure_token token)
{
  struct perdure_block_ block = {token, kind, 0};
  if (result < 0)
    abort();
  return block;
}

static inline void perdure_block_end_(struct perdure_block_ *block)
{
  perdure_scope_end_(block->kind, block->token);
}

#define PERDURE_JOIN_2_(a, b) a##b
#define PERDURE_JOIN_(a, b) PERDURE_JOIN_2_(a, b)
#define PERDURE_BLOCK_(name, begin)                                                              \
  for (struct perdure_block_ name __attribute__((cleanup(perdure_block_end_))) = begin; !name.done; \
       name.done = 1)

/* ---- idempotence ---- */

/* Whether a remote change whose outcome nobody knows after a crash is made again (true: with the same
 * Idempotency-Key) or stops the run, which `perdure run` says with exit status 121 (false). What holds when the
 * change begins counts: the mode is a part of the journal. */
static inline int perdure_idempotence_begin(int idempotent, struct perdure_token *ret_token)
{
  const uint64_t values[PERDURE_SCOPE_VALUES_] = {(uint64_t)(idempotent != 0), 0, 0, 0, 0};
  return perdure_scope_begin_(PERDURE_SCOPE_IDEMPOTENCE_, values, ret_token);
}

static inline int perdure_idempotence_end(struct perdure_token token)
{
  return perdure_scope_end_(PERDURE_SCOPE_IDEMPOTENCE_, token);
}

/* For this thread, from here on, outside of scopes. */
static inline int perdure_idempotence_set(int idempotent)
{
  const uint64_t values[PERDURE_SCOPE_VALUES_] = {(uint64_t)(idempotent != 0), 0, 0, 0, 0};
  return perdure_scope_set_(PERDURE_SCOPE_IDEMPOTENCE_, values);
}

/* 1 or 0: what the program has said for now. Without a scope and without a set: 1, whatever the command line says,
 * which may say something else in another attempt. */
static inline int perdure_idempotence_get(void)
{
  uint64_t values[PERDURE_SCOPE_VALUES_] = {0, 0, 0, 0, 0};
  return PERDURE_ASK_(perdure_shim_scope_get, PERDURE_SCOPE_IDEMPOTENCE_, values) == 1 ? (int)values[0] : 1;
}

static inline struct perdure_block_ perdure_idempotence_block_(int idempotent)
{
  struct perdure_token token = {0};
  int result = perdure_idempotence_begin(idempotent, &token);
  return perdure_block_begin_(PERDURE_SCOPE_IDEMPOTENCE_, result, token);
}

#define PERDURE_WITH_IDEMPOTENCE(idempotent) \
  PERDURE_BLOCK_(PERDURE_JOIN_(perdure_block_at_, __LINE__), perdure_idempotence_block_(idempotent))

/* ---- persistence ---- */

/* What of a thread's calls is in the journal; what is not is made for real in every attempt, and costs nothing.
 * NOTHING: none. HTTP requests too are sent anew, without a key of perdure's; notes are dropped; processes and threads that
 * are made under it are a part of it to their ends. For what need not be remembered: a cache, a scratch file.
 * REMOTE: what goes by sockets, libcurl, pipes and processes, and what is printed; not files, clocks, random bytes.
 * SMART: all; also in an atomic region, whatever is said in it. A region cannot begin under another level.
 * What the program has in memory afterwards has to be the same in every attempt; what was opened in it can be used
 * after it. docs/control-api.md says what becomes of what. */
enum perdure_persistence { PERDURE_PERSIST_NOTHING = 1, PERDURE_PERSIST_REMOTE = 2, PERDURE_PERSIST_SMART = 3 };

static inline int perdure_persistence_begin(enum perdure_persistence level, struct perdure_token *ret_token)
{
  const uint64_t values[PERDURE_SCOPE_VALUES_] = {(uint64_t)level, 0, 0, 0, 0};
  int known = level >= PERDURE_PERSIST_NOTHING && level <= PERDURE_PERSIST_SMART;
  return known ? perdure_scope_begin_(PERDURE_SCOPE_PERSISTENCE_, values, ret_token) : PERDURE_ERROR_ARGUMENT;
}

static inline int perdure_persistence_end(struct perdure_token token)
{
  return perdure_scope_end_(PERDURE_SCOPE_PERSISTENCE_, token);
}

/* For this thread, from here on, outside of scopes. */
static inline int perdure_persistence_set(enum perdure_persistence level)
{
  const uint64_t values[PERDURE_SCOPE_VALUES_] = {(uint64_t)level, 0, 0, 0, 0};
  int known = level >= PERDURE_PERSIST_NOTHING && level <= PERDURE_PERSIST_SMART;
  return known ? perdure_scope_set_(PERDURE_SCOPE_PERSISTENCE_, values) : PERDURE_ERROR_ARGUMENT;
}

/* What the program has said for now; SMART where it has said nothing. */
static inline enum perdure_persistence perdure_persistence_get(void)
{
  uint64_t values[PERDURE_SCOPE_VALUES_] = {0, 0, 0, 0, 0};
  return PERDURE_ASK_(perdure_shim_scope_get, PERDURE_SCOPE_PERSISTENCE_, values) == 1
             ? (enum perdure_persistence)values[0]
             : PERDURE_PERSIST_SMART;
}

static inline struct perdure_block_ perdure_persistence_block_(enum perdure_persistence level)
{
  struct perdure_token token = {0};
  int result = perdure_persistence_begin(level, &token);
  return perdure_block_begin_(PERDURE_SCOPE_PERSISTENCE_, result, token);
}

#define PERDURE_WITH_PERSISTENCE(level) \
  PERDURE_BLOCK_(PERDURE_JOIN_(perdure_block_at_, __LINE__), perdure_persistence_block_(level))

/* ---- retry policies ---- */

/* Parts in a million, as the journal has them; the caller has checked the bounds. */
static inline uint64_t perdure_millionths_(double value)
{
  return (uint64_t)(value * 1000000 + 0.5);
}

static inline int perdure_retry_policy_values_(const struct perdure_retry_policy *policy,
                                               uint64_t values[PERDURE_SCOPE_VALUES_])
{
  /* Not-a-number fails every comparison. */
  if (!policy || policy->max_attempts < 1 || policy->min_delay_ns > policy->max_delay_ns ||
      !(policy->multiplier >= 1 && policy->multiplier <= 1000) ||
      !(policy->max_jitter_factor >= 0 && policy->max_jitter_factor <= 1) || policy->statuses > 15)
    return PERDURE_ERROR_ARGUMENT;
  values[0] = policy->max_attempts | (uint64_t)policy->statuses << 32;
  values[1] = policy->min_delay_ns;
  values[2] = policy->max_delay_ns;
  values[3] = perdure_millionths_(policy->multiplier);
  values[4] = perdure_millionths_(policy->max_jitter_factor);
  return 0;
}

/* What the supervisor does when the program dies by a signal while this holds for the thread whose call is the
 * journal's last. It stands above --retry and --no-retry.
 * Also, for a curl_easy_perform() of this thread that fails (no address, no connection, a timeout, a reset) or is answered
 * with one of the statuses: it is tried again inside the call, as long as none of its body has reached the program, and it may be
 * repeated: nothing was sent, it only reads, or idempotence is on. Retry-After is honoured; where it is longer than max_delay_ns, and
 * when the attempts are used up, the program gets what came last. Header lines of all answers reach it. */
static inline int perdure_retry_policy_begin(const struct perdure_retry_policy *policy,
                                             struct perdure_token *ret_token)
{
  uint64_t values[PERDURE_SCOPE_VALUES_];
  int error = perdure_retry_policy_values_(policy, values);
  return error ? error : perdure_scope_begin_(PERDURE_SCOPE_RETRY_, values, ret_token);
}

static inline int perdure_retry_policy_end(struct perdure_token token)
{
  return perdure_scope_end_(PERDURE_SCOPE_RETRY_, token);
}

/* For this thread, from here on, outside of scopes. */
static inline int perdure_retry_policy_set(const struct perdure_retry_policy *policy)
{
  uint64_t values[PERDURE_SCOPE_VALUES_];
  int error = perdure_retry_policy_values_(policy, values);
  return error ? error : perdure_scope_set_(PERDURE_SCOPE_RETRY_, values);
}

/* The command line's holds again. */
static inline int perdure_retry_policy_remove(void)
{
  return perdure_scope_set_(PERDURE_SCOPE_RETRY_, NULL);
}

/* 1 and what the program has said for now; 0: nothing, the command line's holds; or a plan does (perdure_retry_plan_get). */
static inline int perdure_retry_policy_get(struct perdure_retry_policy *ret_policy)
{
  uint64_t values[PERDURE_SCOPE_VALUES_];
  if (!ret_policy)
    return PERDURE_ERROR_ARGUMENT;
  if (PERDURE_ASK_(perdure_shim_scope_get, PERDURE_SCOPE_RETRY_, values) != 1 || !values[0])
    return 0;
  ret_policy->max_attempts = (uint32_t)values[0];
  ret_policy->min_delay_ns = values[1];
  ret_policy->max_delay_ns = values[2];
  ret_policy->multiplier = (double)values[3] / 1000000;
  ret_policy->max_jitter_factor = (double)values[4] / 1000000;
  ret_policy->statuses = (unsigned)(values[0] >> 32);
  return 1;
}

static inline struct perdure_block_ perdure_retry_policy_block_(const struct perdure_retry_policy *policy)
{
  struct perdure_token token = {0};
  int result = perdure_retry_policy_begin(policy, &token);
  return perdure_block_begin_(PERDURE_SCOPE_RETRY_, result, token);
}

#define PERDURE_WITH_RETRY_POLICY(policy) \
  PERDURE_BLOCK_(PERDURE_JOIN_(perdure_block_at_, __LINE__), perdure_retry_policy_block_(policy))

/* ---- retry policies that are put together ---- */

/* For what no five numbers say: a base, or two policies together, and limits in their order. Each function makes or changes the plan that
 * is its first argument, and returns 0, PERDURE_ERROR_ARGUMENT or PERDURE_ERROR_ROOM; on an error nothing is changed. They
 * are arithmetic alone, and no calls of the journal's. A plan is a value: it may be copied, lie anywhere, and go away when it is in use.
 *
 *   struct perdure_retry_plan quick, patient, both;
 *   perdure_retry_plan_exponential(&quick, 100000000, 2.0);
 *   perdure_retry_plan_count(&quick, 5);
 *   perdure_retry_plan_periodic(&patient, 60000000000);
 *   perdure_retry_plan_total(&patient, 7200000000000);
 *   perdure_retry_plan_and_then(&both, &quick, &patient);
 *   PERDURE_WITH_RETRY_PLAN(&both) { ... }
 *
 * docs/retries.md says what they come to; --retry-policy has the same in a file. */
#define PERDURE_RETRY_PARTS_MAX 32 /* of one plan: a base is one, two together are both and one more */
#define PERDURE_RETRY_LIMITS_MAX 8 /* of one part */
#define PERDURE_RETRY_PLANS_MAX 64 /* different ones that a program uses */
#define PERDURE_RETRY_NAME_SIZE 32

/* Not for programs to fill in. */
struct perdure_retry_part_ {
  uint32_t base, unused;
  uint64_t delay_ns;
  uint32_t factor, left, right, limit_count;
  struct {
    uint32_t kind, unused;
    uint64_t value, value2;
  } limits[PERDURE_RETRY_LIMITS_MAX];
};

/* {0} is none, and means nothing. */
struct perdure_retry_plan {
  char name[PERDURE_RETRY_NAME_SIZE];
  uint32_t statuses, part_count;
  struct perdure_retry_part_ parts[PERDURE_RETRY_PARTS_MAX];
};

PERDURE_WEAK_ int perdure_shim_retry_plan(const void *plan, size_t size, uint64_t *ret_id);
PERDURE_WEAK_ int perdure_shim_retry_plan_get(uint64_t id, void *ret_plan, size_t size);

enum {
  PERDURE_RETRY_NEVER_ = 0,
  PERDURE_RETRY_IMMEDIATE_ = 1,
  PERDURE_RETRY_PERIODIC_ = 2,
  PERDURE_RETRY_EXPONENTIAL_ = 3,
  PERDURE_RETRY_FIBONACCI_ = 4,
  PERDURE_RETRY_AND_THEN_ = 6,
  PERDURE_RETRY_UNION_ = 7,
  PERDURE_RETRY_INTERSECT_ = 8,
  PERDURE_RETRY_COUNT_ = 0,
  PERDURE_RETRY_TOTAL_ = 1,
  PERDURE_RETRY_CLAMP_ = 2,
  PERDURE_RETRY_ADD_ = 3,
  PERDURE_RETRY_JITTER_ = 4,
};

static inline int perdure_retry_plan_is_(const struct perdure_retry_plan *plan)
{
  return plan && plan->part_count >= 1 && plan->part_count <= PERDURE_RETRY_PARTS_MAX;
}

static inline int perdure_retry_plan_base_(struct perdure_retry_plan *ret_plan, uint32_t base, uint64_t delay_ns, double factor)
{
  static const struct perdure_retry_plan none = {{0}, 0, 0, {{0, 0, 0, 0, 0, 0, 0, {{0, 0, 0, 0}}}}};
  /* Not-a-number fails every comparison. */
  if (!ret_plan || !(factor >= 1 && factor <= 1000))
    return PERDURE_ERROR_ARGUMENT;
  *ret_plan = none;
  ret_plan->part_count = 1;
  ret_plan->parts[0].base = base;
  ret_plan->parts[0].delay_ns = delay_ns;
  ret_plan->parts[0].factor = (uint32_t)perdure_millionths_(factor);
  return 0;
}

/* No further attempt. */
static inline int perdure_retry_plan_never(struct perdure_retry_plan *ret_plan)
{
  return perdure_retry_plan_base_(ret_plan, PERDURE_RETRY_NEVER_, 0, 1);
}

/* At once, always. */
static inline int perdure_retry_plan_immediate(struct perdure_retry_plan *ret_plan)
{
  return perdure_retry_plan_base_(ret_plan, PERDURE_RETRY_IMMEDIATE_, 0, 1);
}

/* Always after that. */
static inline int perdure_retry_plan_periodic(struct perdure_retry_plan *ret_plan, uint64_t delay_ns)
{
  return perdure_retry_plan_base_(ret_plan, PERDURE_RETRY_PERIODIC_, delay_ns, 1);
}

/* After delay_ns, delay_ns * factor, delay_ns * factor^2, ...; factor: 1 to 1000. */
static inline int perdure_retry_plan_exponential(struct perdure_retry_plan *ret_plan, uint64_t delay_ns, double factor)
{
  return perdure_retry_plan_base_(ret_plan, PERDURE_RETRY_EXPONENTIAL_, delay_ns, factor);
}

/* After 1, 1, 2, 3, 5, 8, ... times delay_ns. */
static inline int perdure_retry_plan_fibonacci(struct perdure_retry_plan *ret_plan, uint64_t delay_ns)
{
  return perdure_retry_plan_base_(ret_plan, PERDURE_RETRY_FIBONACCI_, delay_ns, 1);
}

static inline int perdure_retry_plan_both_(struct perdure_retry_plan *ret_plan, uint32_t base, const struct perdure_retry_plan *a,
                                           const struct perdure_retry_plan *b)
{
  struct perdure_retry_plan both;
  struct perdure_retry_part_ *part;
  uint32_t i;
  if (!perdure_retry_plan_is_(a) || !perdure_retry_plan_is_(b) || perdure_retry_plan_base_(&both, base, 0, 1))
    return PERDURE_ERROR_ARGUMENT;
  if (!ret_plan)
    return PERDURE_ERROR_ARGUMENT;
  if (a->part_count + b->part_count + 1 > PERDURE_RETRY_PARTS_MAX)
    return PERDURE_ERROR_ROOM;
  part = &both.parts[a->part_count + b->part_count];
  *part = both.parts[0];
  part->left = a->part_count - 1;
  part->right = a->part_count + b->part_count - 1;
  for (i = 0; i < a->part_count; i++)
    both.parts[i] = a->parts[i];
  for (i = 0; i < b->part_count; i++) {
    both.parts[a->part_count + i] = b->parts[i];
    both.parts[a->part_count + i].left += a->part_count;
    both.parts[a->part_count + i].right += a->part_count;
  }
  both.part_count = a->part_count + b->part_count + 1;
  both.statuses = a->statuses | b->statuses;
  *ret_plan = both;
  return 0;
}

/* a until it gives no further attempt, then b, which counts from there. *ret_plan may be one of them; it has no name, and the statuses of
 * both. */
static inline int perdure_retry_plan_and_then(struct perdure_retry_plan *ret_plan, const struct perdure_retry_plan *a,
                                              const struct perdure_retry_plan *b)
{
  return perdure_retry_plan_both_(ret_plan, PERDURE_RETRY_AND_THEN_, a, b);
}

/* As long as one of them gives an attempt, after the shorter delay. */
static inline int perdure_retry_plan_union(struct perdure_retry_plan *ret_plan, const struct perdure_retry_plan *a,
                                           const struct perdure_retry_plan *b)
{
  return perdure_retry_plan_both_(ret_plan, PERDURE_RETRY_UNION_, a, b);
}

/* As long as both do, after the longer delay. */
static inline int perdure_retry_plan_intersect(struct perdure_retry_plan *ret_plan, const struct perdure_retry_plan *a,
                                               const struct perdure_retry_plan *b)
{
  return perdure_retry_plan_both_(ret_plan, PERDURE_RETRY_INTERSECT_, a, b);
}

static inline int perdure_retry_plan_limit_(struct perdure_retry_plan *plan, uint32_t kind, uint64_t value, uint64_t value2)
{
  struct perdure_retry_part_ *part;
  if (!perdure_retry_plan_is_(plan))
    return PERDURE_ERROR_ARGUMENT;
  part = &plan->parts[plan->part_count - 1];
  if (part->limit_count >= PERDURE_RETRY_LIMITS_MAX)
    return PERDURE_ERROR_ROOM;
  part->limits[part->limit_count].kind = kind;
  part->limits[part->limit_count].unused = 0;
  part->limits[part->limit_count].value = value;
  part->limits[part->limit_count++].value2 = value2;
  return 0;
}

/* At most so many attempts, the first included; at least 1. */
static inline int perdure_retry_plan_count(struct perdure_retry_plan *plan, uint32_t attempts)
{
  return attempts ? perdure_retry_plan_limit_(plan, PERDURE_RETRY_COUNT_, attempts, 0) : PERDURE_ERROR_ARGUMENT;
}

/* None that would begin later than that after the first failure. */
static inline int perdure_retry_plan_total(struct perdure_retry_plan *plan, uint64_t total_ns)
{
  return perdure_retry_plan_limit_(plan, PERDURE_RETRY_TOTAL_, total_ns, 0);
}

/* A delay of at least the one and at most the other. */
static inline int perdure_retry_plan_clamp(struct perdure_retry_plan *plan, uint64_t min_delay_ns, uint64_t max_delay_ns)
{
  return min_delay_ns <= max_delay_ns ? perdure_retry_plan_limit_(plan, PERDURE_RETRY_CLAMP_, min_delay_ns, max_delay_ns)
                                      : PERDURE_ERROR_ARGUMENT;
}

/* That much longer. */
static inline int perdure_retry_plan_add(struct perdure_retry_plan *plan, uint64_t delay_ns)
{
  return perdure_retry_plan_limit_(plan, PERDURE_RETRY_ADD_, delay_ns, 0);
}

/* By chance up to that part of it longer: 0 to 1. */
static inline int perdure_retry_plan_jitter(struct perdure_retry_plan *plan, double factor)
{
  return factor >= 0 && factor <= 1 ? perdure_retry_plan_limit_(plan, PERDURE_RETRY_JITTER_, perdure_millionths_(factor), 0)
                                    : PERDURE_ERROR_ARGUMENT;
}

/* After which of HTTP's statuses a request is sent again: enum perdure_retry_status, or'ed. Else after none. */
static inline int perdure_retry_plan_statuses(struct perdure_retry_plan *plan, unsigned statuses)
{
  if (!plan || !perdure_retry_plan_is_(plan) || statuses > 15)
    return PERDURE_ERROR_ARGUMENT;
  plan->statuses = statuses;
  return 0;
}

/* What people read in `perdure retries`: up to 31 bytes. */
static inline int perdure_retry_plan_name(struct perdure_retry_plan *plan, const char *name)
{
  if (!plan || !perdure_retry_plan_is_(plan) || !name)
    return PERDURE_ERROR_ARGUMENT;
  if (strlen(name) >= PERDURE_RETRY_NAME_SIZE)
    return PERDURE_ERROR_ROOM;
  memset(plan->name, 0, sizeof plan->name);
  memcpy(plan->name, name, strlen(name));
  return 0;
}

static inline int perdure_retry_plan_values_(const struct perdure_retry_plan *plan, uint64_t values[PERDURE_SCOPE_VALUES_])
{
  uint64_t id = 1;
  if (!perdure_retry_plan_is_(plan))
    return PERDURE_ERROR_ARGUMENT;
  int result = PERDURE_ASK_(perdure_shim_retry_plan, plan, offsetof(struct perdure_retry_plan, parts) + plan->part_count * sizeof plan->parts[0],
                        &id);
  values[0] = values[2] = values[3] = values[4] = 0;
  values[1] = id;
  return result == -ENOSYS ? 0 : result;
}

/* As perdure_retry_policy_begin(), which has scopes of the same kind: what was begun last holds. PERDURE_ERROR_ROOM also where the program has
 * used PERDURE_RETRY_PLANS_MAX different plans; PERDURE_ERROR_ARGUMENT also where the plan is nothing that these functions have made. */
static inline int perdure_retry_plan_begin(const struct perdure_retry_plan *plan, struct perdure_token *ret_token)
{
  uint64_t values[PERDURE_SCOPE_VALUES_];
  int error = ret_token ? perdure_retry_plan_values_(plan, values) : PERDURE_ERROR_ARGUMENT;
  return error ? error : perdure_scope_begin_(PERDURE_SCOPE_RETRY_, values, ret_token);
}

static inline int perdure_retry_plan_end(struct perdure_token token)
{
  return perdure_scope_end_(PERDURE_SCOPE_RETRY_, token);
}

/* For this thread, from here on, outside of scopes. */
static inline int perdure_retry_plan_set(const struct perdure_retry_plan *plan)
{
  uint64_t values[PERDURE_SCOPE_VALUES_];
  int error = perdure_retry_plan_values_(plan, values);
  return error ? error : perdure_scope_set_(PERDURE_SCOPE_RETRY_, values);
}

/* What the thread has set, a plan or a policy of numbers, holds no more. */
static inline int perdure_retry_plan_remove(void)
{
  return perdure_retry_policy_remove();
}

/* 1 and the plan that the program has said for now; 0: none. */
static inline int perdure_retry_plan_get(struct perdure_retry_plan *ret_plan)
{
  uint64_t values[PERDURE_SCOPE_VALUES_];
  if (!ret_plan)
    return PERDURE_ERROR_ARGUMENT;
  if (PERDURE_ASK_(perdure_shim_scope_get, PERDURE_SCOPE_RETRY_, values) != 1 || values[0])
    return 0;
  return PERDURE_ASK_(perdure_shim_retry_plan_get, values[1], ret_plan, sizeof *ret_plan) == 0;
}

static inline struct perdure_block_ perdure_retry_plan_block_(const struct perdure_retry_plan *plan)
{
  struct perdure_token token = {0};
  int result = perdure_retry_plan_begin(plan, &token);
  return perdure_block_begin_(PERDURE_SCOPE_RETRY_, result, token);
}

#define PERDURE_WITH_RETRY_PLAN(plan) \
  PERDURE_BLOCK_(PERDURE_JOIN_(perdure_block_at_, __LINE__), perdure_retry_plan_block_(plan))

/* ---- atomic regions ---- */

/* A region that is unfinished when the program dies is as if it had not begun: the files that the program changed in
 * it go back (contents, sizes, names, modes, owners, times), and the next attempt runs it from its beginning. All threads of
 * the program go back with it. What left the machine or was printed cannot be taken back; a request that
 * comes again has the same Idempotency-Key. */
static inline int perdure_atomic_begin(struct perdure_token *ret_region)
{
  const uint64_t values[PERDURE_SCOPE_VALUES_] = {0, 0, 0, 0, 0};
  return perdure_scope_begin_(PERDURE_SCOPE_REGION_, values, ret_region);
}

/* What the region did is final when it returns 0, and on disk unless --sync is none. Regions nest by their
 * beginnings, over all threads: PERDURE_ERROR_ORDER while one that began later is open. PERDURE_ERROR_UNANSWERED while a transfer of
 * libcurl's that began in it with idempotence off is under way: it may yet have to be asked about. The region stays open then,
 * behind a block too. */
static inline int perdure_atomic_end(struct perdure_token region)
{
  return perdure_scope_end_(PERDURE_SCOPE_REGION_, region);
}

static inline struct perdure_block_ perdure_atomic_block_(void)
{
  struct perdure_token region = {0};
  int result = perdure_atomic_begin(&region);
  return perdure_block_begin_(PERDURE_SCOPE_REGION_, result, region);
}

/* Leaving it early, however, ends it as well: what was done so far is final. perdure_fail() inside runs it again. */
#define PERDURE_ATOMICALLY PERDURE_BLOCK_(PERDURE_JOIN_(perdure_block_at_, __LINE__), perdure_atomic_block_())

/* ---- keys ---- */

static inline void perdure_key_put_(char *out, const uint8_t *bytes)
{
  for (unsigned i = 0; i < 16; i++) {
    if (i == 4 || i == 6 || i == 8 || i == 10)
      *out++ = '-';
    *out++ = "0123456789abcdef"[bytes[i] >> 4];
    *out++ = "0123456789abcdef"[bytes[i] & 15];
  }
  *out = '\0';
}

/* A UUID, 36 characters and a NUL: of version 5, made of the run and of this call's place in it, so that it is the
 * same in every attempt and another for every call. Without perdure: of version 4. PERDURE_ERROR_DISK:
 * without perdure, there are no random bytes. */
static inline int perdure_idempotency_key(char out[37])
{
  uint8_t bytes[16];
  if (!out)
    return PERDURE_ERROR_ARGUMENT;
  int result = PERDURE_ASK_(perdure_shim_key, out);
  if (result != -ENOSYS)
    return result;
  if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
    return PERDURE_ERROR_DISK;
  bytes[6] = (uint8_t)((bytes[6] & 0x0f) | 0x40);
  bytes[8] = (uint8_t)((bytes[8] & 0x3f) | 0x80);
  perdure_key_put_(out, bytes);
  return 0;
}

/* ---- the journal ---- */

/* Returns when everything so far is on disk here and, for replicas > 0, also at the other store's primary and at least that
 * many of its replicas. In replay, and without perdure for replicas = 0: at once. timeout_ns bounds the wait for replicas;
 * 0: there is no bound. *ret_count (may be NULL): how many replicas there were, 0 for replicas = 0; with
 * PERDURE_ERROR_TIMEOUT too. Nothing is lost by an error: the program goes on with what it had. */
static inline int perdure_commit_counted(unsigned replicas, uint64_t timeout_ns, unsigned *ret_count)
{
  unsigned count = 0;
  int result = PERDURE_ASK_(perdure_shim_commit, replicas, timeout_ns, &count);
  if (ret_count)
    *ret_count = count;
  return result != -ENOSYS ? result : replicas ? PERDURE_ERROR_REPLICAS : 0;
}

static inline int perdure_commit(unsigned replicas, uint64_t timeout_ns)
{
  return perdure_commit_counted(replicas, timeout_ns, NULL);
}

/* Where the journal stands, in bytes: the same in every attempt, and more at each call. Without perdure: 0. */
static inline uint64_t perdure_journal_index(void)
{
  uint64_t index = 0;
  return PERDURE_ASK_(perdure_shim_index, &index) == 0 ? index : 0;
}

/* 1 while the program repeats what an earlier attempt did. By its nature not the same in every attempt:
 * for what people see (log lines, progress), never for what the program does. */
static inline int perdure_is_replaying(void)
{
  return PERDURE_ASK_(perdure_shim_is_replaying, ) == 1;
}

/* A line in the journal, which `perdure log` shows; at most 4096 bytes of it. Without perdure: nothing. */
static inline int perdure_note(const char *text)
{
  if (!text)
    return PERDURE_ERROR_ARGUMENT;
  int result = PERDURE_ASK_(perdure_shim_note, text);
  return result != -ENOSYS ? result : 0;
}

/* The program dies here, as by abort() but without handlers, and is started again as the retry policy says. why
 * (NULL: nothing) is noted in the journal. */
__attribute__((noreturn)) static inline void perdure_fail(const char *why)
{
  (void)PERDURE_ASK_(perdure_shim_fail, why);
  abort();
}

/* Gives up a region: perdure_fail() with that reason, so that all of it goes back and it runs again from its beginning, as
 * often as the retry policy says. Returns only with an error. */
static inline int perdure_atomic_abort(struct perdure_token region)
{
  int open = PERDURE_ASK_(perdure_shim_scope_is_open, PERDURE_SCOPE_REGION_, region.id);
  if (open == 0 || (open == -ENOSYS && !region.id))
    return PERDURE_ERROR_TOKEN;
  perdure_fail("an atomic region is given up");
}

/* ---- sagas ---- */

/* A step that was done, and how to undo it. */
struct perdure_step_ {
  void (*undo)(void *argument);
  void *argument;
  struct perdure_step_ *before;
};

/* The newest; one for the whole program. */
PERDURE_WEAK_ struct perdure_step_ *perdure_steps_ = NULL;

/* What undoes the step that has just been done: perdure_rollback() calls undo(argument). The argument is the caller's, and
 * has to last until then. -ENOMEM: it is not registered; undo the step at once. Steps are the process's: not for several
 * threads at once. */
static inline int perdure_compensate(void (*undo)(void *argument), void *argument)
{
  if (!undo)
    return PERDURE_ERROR_ARGUMENT;
  struct perdure_step_ *step = (struct perdure_step_ *)malloc(sizeof *step);
  if (!step)
    return -ENOMEM;
  step->undo = undo;
  step->argument = argument;
  step->before = perdure_steps_;
  perdure_steps_ = step;
  return 0;
}

/* The newest step, which is the caller's now, or NULL. */
static inline struct perdure_step_ *perdure_step_pop_(void)
{
  struct perdure_step_ *step = perdure_steps_;
  if (step)
    perdure_steps_ = step->before;
  return step;
}

/* Undoes all registered steps, the newest first, and forgets them; returns how many. Killed in the middle, the next
 * attempt comes here again by itself, with the steps as they were: what was undone is replayed, and the rest is undone. A step
 * that the function itself registers is undone too. */
static inline int perdure_rollback(void)
{
  struct perdure_step_ *step;
  int count = 0;
  (void)perdure_note("rollback");
  for (; (step = perdure_step_pop_()); count++) {
    step->undo(step->argument);
    free(step);
  }
  return count;
}

/* All went well: forgets the steps. Returns how many there were. */
static inline int perdure_settle(void)
{
  struct perdure_step_ *step;
  int count = 0;
  for (; (step = perdure_step_pop_()); count++)
    free(step);
  return count;
}

#ifdef __cplusplus
}
#endif

#endif
