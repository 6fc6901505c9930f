/* SPDX-License-Identifier: Apache-2.0 */
/* A run in a real Redis: who owns it, what is written, who has acknowledged it. */
#include "supervisor/redis_run.h"

#include <fcntl.h>

#include "tests/unit/redis_server.h"
#include "tests/unit/tap.h"

#include <errno.h>
#include <time.h>

#define LONG_LEASE_MS 3600000u
#define NO_LEASE_MS 0u

static struct failure failure;

static bool says(const char *words)
{
  return strstr(failure.text, words) != NULL && strchr(failure.text, '\n') == NULL;
}

static struct redis_address address_of(const struct redis_server *server)
{
  struct redis_address address;
  char url[64];
  snprintf(url, sizeof url, "redis://127.0.0.1:%u", server->port);
  int error = redis_address_parse(url, &address, &failure);
  assert(error == 0);
  return address;
}

/* Words that have no blanks in them. */
static void system_redis(const struct redis_server *server, const char *words)
{
  char command[256];
  snprintf(command, sizeof command, "redis-cli -p %u %s", server->port, words);
  FILE *said = popen(command, "re");
  char line[64];
  assert(said);
  while (fgets(line, sizeof line, said)) {
  }
  int status = pclose(said);
  assert(status == 0);
}

static struct redis_run *opened(const struct redis_server *server, const char *id)
{
  struct redis_address address = address_of(server);
  struct redis_run *run = NULL;
  int error = redis_run_open(&address, id, &run, &failure);
  if (error != 0)
    tap_note("%s", failure.text);
  assert(error == 0);
  return run;
}

static struct store_chunk chunk_of(uint64_t first_seq, uint64_t count, const char *text)
{
  return (struct store_chunk){first_seq, first_seq * 100, (first_seq + count) * 100, count, 7, text, strlen(text)};
}

static int append_one(struct redis_run *run, uint64_t first_seq, uint64_t count, unsigned lease_ms, uint64_t *ret_next)
{
  struct store_chunk chunk = chunk_of(first_seq, count, "entries, as the store has them");
  int64_t until;
  return redis_run_append(run, &chunk, 1, lease_ms, ret_next, &until, &failure);
}

/* ---- addresses ---- */

static void test_addresses(void)
{
  static const struct {
    const char *url, *text;
    const char *user, *password;
  } good[] = {
    {"redis://localhost", "redis://localhost:6379/0", "", ""},
    {"redis://h:7000/3", "redis://h:7000/3", "", ""},
    {"redis://me:p%40ss%3a@h", "redis://h:6379/0", "me", "p@ss:"},
    {"redis://:only@[::1]:7/", "redis://[::1]:7/0", "", "only"},
    {"redis-sentinel://u:p@a:1,b,c:3/mymaster/2", "redis-sentinel://a:1,b:26379,c:3/mymaster/2", "u", "p"},
    {"rediss://me:p%3fss@h/3?ca=/a/b&cert=/c&key=/d&name=n", "rediss://h:6379/3", "me", "p?ss"},
    {"rediss://h?ca=/a%26b", "rediss://h:6379/0", "", ""},
    {"redis://:what?@h", "redis://h:6379/0", "", "what?"},
    {"rediss-sentinel://a,b/m?", "rediss-sentinel://a:26379,b:26379/m/0", "", ""},
  };
  static const char *const bad[] = {
    "", "http://h", "redis://", "redis:///3", "redis://h:0", "redis://h:70000", "redis://h:x", "redis://h/x", "redis://a,b",
    "redis://user@h", "redis://%zz:p@h", "redis://a%00b", "redis://[::1", "redis-sentinel://a", "redis-sentinel://a/", "redis-sentinel://a,/m",
    "redis://h?ca=/a", "rediss://h?ca=a", "rediss://h?ca=", "rediss://h?key=/a", "rediss://h/?&ca=/a", "rediss://h?verify=no"};
  for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
    struct redis_address address;
    int error = redis_address_parse(good[i].url, &address, &failure);
    tap_ok(error == 0 && strcmp(redis_address_text(&address), good[i].text) == 0 &&
             strcmp(address.user, good[i].user) == 0 && strcmp(address.password, good[i].password) == 0,
           "%s is understood", good[i].url);
  }
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    struct redis_address address;
    tap_ok(redis_address_parse(bad[i], &address, &failure) == -EINVAL && says("the store's address"), "\"%s\" is refused", bad[i]);
  }
}

/* ---- one owner ---- */

static int claim(struct redis_run *run, const char *owner, unsigned lease_ms, uint64_t epoch_min, struct redis_claimed *ret_claimed)
{
  const struct redis_claim wanted = {owner, owner, lease_ms, epoch_min};
  return redis_run_claim(run, &wanted, ret_claimed, NULL, &failure);
}

static void test_owning(const struct redis_server *server)
{
  struct redis_run *first = opened(server, "owned"), *second = opened(server, "owned");
  struct redis_claimed claimed = {0};
  uint64_t next = 0;
  int64_t until;
  tap_ok(append_one(first, 1, 1, NO_LEASE_MS, &next) == -ENOENT && says("does not have the run"), "nothing is written before a claim");
  tap_ok(claim(first, "first", LONG_LEASE_MS, 1, &claimed) == 0 && claimed.epoch == 1 && claimed.next_seq == 1, "a new run is claimed");
  tap_ok(claim(second, "second", LONG_LEASE_MS, 1, &claimed) == -EBUSY && says("the run is first's"), "another owner is refused while the lease runs");
  tap_ok(append_one(first, 1, 3, NO_LEASE_MS, &next) == 0 && next == 4, "the owner writes");
  tap_ok(claim(second, "second", LONG_LEASE_MS, 1, &claimed) == 0 && claimed.epoch == 2 && claimed.next_seq == 4 && claimed.end_position == 400,
         "and takes it over when it has ended");
  tap_ok(append_one(first, 4, 1, LONG_LEASE_MS, &next) == -ESTALE && says("taken over by second"), "the old owner writes nothing more");
  tap_ok(redis_run_renew(first, LONG_LEASE_MS, &next, &until, &failure) == -ESTALE, "and renews nothing");
  tap_ok(redis_run_set_head(first, "live", "x", 1, &failure) == -ESTALE && redis_run_release(first, &failure) == -ESTALE,
         "and neither changes the head, nor releases what is not its own");
  tap_ok(append_one(second, 6, 1, LONG_LEASE_MS, &next) == -EILSEQ && next == 4, "a gap is refused, with what has to come");
  tap_ok(append_one(second, 2, 4, LONG_LEASE_MS, &next) == -EILSEQ && next == 4, "so is what overlaps");
  tap_ok(append_one(second, 1, 3, LONG_LEASE_MS, &next) == 0 && next == 4, "what is there is passed over");
  tap_ok(claim(second, "second", LONG_LEASE_MS, 1, &claimed) == 0 && claimed.epoch == 3, "the same owner need not wait for its own lease");
  tap_ok(redis_run_release(second, &failure) == 0 && claim(first, "first", LONG_LEASE_MS, 9, &claimed) == 0 && claimed.epoch == 9,
         "a released run is claimed at once, above the epoch that the owner knows of");
  tap_ok(redis_run_reset(second, &failure) == -ESTALE && redis_run_reset(first, &failure) == 0 &&
           append_one(first, 1, 1, LONG_LEASE_MS, &next) == 0 && next == 2,
         "its owner begins it anew");
  redis_run_close(first);
  redis_run_close(second);
}

/* A replica that lacked a claim has taken the primary's place: who claimed is not taken for an old owner. */
static void test_lost_claim(const struct redis_server *server)
{
  struct redis_run *first = opened(server, "lost"), *second = opened(server, "lost");
  struct redis_claimed claimed;
  uint64_t next = 0;
  int error = claim(first, "first", NO_LEASE_MS, 1, &claimed);
  tap_ok(error == 0 && claim(second, "second", NO_LEASE_MS, 7, &claimed) == 0 && claimed.epoch == 7, "a run is taken over");
  /* As the server is that has the first claim alone. */
  tap_ok(claim(first, "first", NO_LEASE_MS, 1, &claimed) == 0 && redis_run_release(first, &failure) == 0, "and back");
  system_redis(server, "HSET perdure:{lost}:run epoch 1 owner first name first");
  tap_ok(append_one(second, 1, 1, LONG_LEASE_MS, &next) == -ENOENT, "an owner whose claim is forgotten claims again");
  tap_ok(claim(second, "second", LONG_LEASE_MS, claimed.epoch + 1, &claimed) == 0 && append_one(second, 1, 1, LONG_LEASE_MS, &next) == 0,
         "and goes on");
  redis_run_close(first);
  redis_run_close(second);
}

static void test_append_and_wait(const struct redis_server *primary)
{
  struct redis_run *run = opened(primary, "both");
  struct store_chunk chunk = chunk_of(1, 2, "entries");
  struct redis_claimed claimed;
  struct redis_appended appended;
  int error = claim(run, "me", LONG_LEASE_MS, 1, &claimed);
  tap_ok(error == 0 && redis_run_append_and_wait(run, &chunk, LONG_LEASE_MS, 1, 60000, &appended, &failure) == 0 && appended.next_seq == 3 &&
           appended.acknowledged == 1 && appended.lease_until_ns != 0,
         "a chunk is written and waited for at once");
  chunk = chunk_of(3, 1, "more");
  tap_ok(redis_run_append_and_wait(run, &chunk, REDIS_LEASE_KEEP, 2, 1, &appended, &failure) == 0 && appended.next_seq == 4 &&
           appended.acknowledged <= 1 && appended.lease_until_ns == 0,
         "fewer replicas are no error, and the lease can stay");
  chunk = chunk_of(9, 1, "gap");
  tap_ok(redis_run_append_and_wait(run, &chunk, REDIS_LEASE_KEEP, 1, 1000, &appended, &failure) == -EILSEQ && appended.next_seq == 4, "a gap is refused");
  system_redis(primary, "SCRIPT FLUSH");
  chunk = chunk_of(4, 1, "after");
  tap_ok(redis_run_append_and_wait(run, &chunk, REDIS_LEASE_KEEP, 1, 1000, &appended, &failure) == -EAGAIN, "a server that forgot the script says so");
  redis_run_close(run);
}

/* ---- the epoch function, and a model of it ---- */

struct model {
  uint64_t epoch;
  int owner; /* -1: nobody yet */
  bool leased;
  uint64_t next;
};

static const char *const owners[] = {"a", "b", "c"};

static bool model_claims(struct model *model, int owner, bool lease)
{
  if (model->owner >= 0 && model->owner != owner && model->leased)
    return false;
  model->epoch++;
  model->owner = owner;
  model->leased = lease;
  return true;
}

static bool one_step(struct redis_run *const runs[3], uint64_t epochs[3], struct model *model, unsigned random)
{
  int who = (int)(random % 3);
  bool lease = random / 3 % 2;
  unsigned lease_ms = lease ? LONG_LEASE_MS : NO_LEASE_MS;
  bool owns = model->owner >= 0 && epochs[who] == model->epoch;
  int refused = model->owner < 0 ? -ENOENT : -ESTALE;
  struct redis_claimed claimed;
  uint64_t next = 0;
  int64_t until;
  switch (random / 6 % 4) {
  case 0: {
    bool claims = model_claims(model, who, lease);
    int error = claim(runs[who], owners[who], lease_ms, 1, &claimed);
    if (!claims)
      return error == -EBUSY;
    epochs[who] = model->epoch;
    return error == 0 && claimed.epoch == model->epoch && claimed.next_seq == model->next;
  }
  case 1: {
    uint64_t count = 1 + random / 24 % 5, first = model->next + random / 120 % 2;
    int error = append_one(runs[who], first, count, lease_ms, &next);
    if (!owns)
      return error == refused;
    if (first != model->next)
      return error == -EILSEQ && next == model->next;
    model->next += count;
    model->leased = lease;
    return error == 0 && next == model->next;
  }
  case 2: {
    int error = redis_run_renew(runs[who], lease_ms, &next, &until, &failure);
    if (owns)
      model->leased = lease;
    return error == (owns ? 0 : refused) && (!owns || next == model->next);
  }
  default: {
    int error = redis_run_release(runs[who], &failure);
    if (owns)
      model->leased = false;
    return error == (owns ? 0 : refused);
  }
  }
}

static void test_model(const struct redis_server *server)
{
  unsigned seed = 1, steps = 0;
  bool same = true;
  for (unsigned round = 0; round < 100 && same; round++) {
    char id[32];
    snprintf(id, sizeof id, "model-%u", round);
    struct redis_run *runs[3] = {opened(server, id), opened(server, id), opened(server, id)};
    uint64_t epochs[3] = {0};
    struct model model = {.owner = -1, .next = 1};
    for (unsigned i = 0; i < 40 && same; i++, steps++) {
      seed = seed * 1103515245u + 12345u;
      same = one_step(runs, epochs, &model, seed >> 8);
    }
    for (int i = 0; i < 3; i++)
      redis_run_close(runs[i]);
  }
  tap_ok(same, "claims, appends, renewals and releases of three owners do what the model does");
  tap_note("%u steps", steps);
}

/* A lease of the server's own time really ends. */
static void test_lease_ends(const struct redis_server *server)
{
  struct redis_run *first = opened(server, "lease"), *second = opened(server, "lease");
  const struct redis_claim wanted = {"second", "second", 1000, 1};
  struct redis_claimed claimed;
  uint64_t left_ms = 0;
  int error = claim(first, "first", 1000, 1, &claimed);
  assert(error == 0);
  int64_t held_until = claimed.lease_until_ns;
  unsigned tries = 0;
  while ((error = redis_run_claim(second, &wanted, &claimed, &left_ms, &failure)) == -EBUSY && left_ms <= 1000)
    tries++;
  struct timespec now;
  clock_gettime(CLOCK_BOOTTIME, &now);
  tap_ok(error == 0 && tries > 0, "a lease keeps others off for as long as it runs, and no longer");
  tap_ok(now.tv_sec * 1000000000 + now.tv_nsec >= held_until, "it has ended here before it ends there");
  redis_run_close(first);
  redis_run_close(second);
}

/* ---- what is written comes back ---- */

struct seen {
  uint64_t chunks, next_seq;
  bool same;
};

static int see(const struct store_chunk *chunk, void *context)
{
  struct seen *seen = context;
  char text[64];
  snprintf(text, sizeof text, "chunk %llu", (unsigned long long)seen->chunks);
  seen->same = seen->same && chunk->first_seq == seen->next_seq && chunk->length == strlen(text) &&
               memcmp(chunk->bytes, text, strlen(text)) == 0 && chunk->time_ns == 7;
  seen->next_seq += chunk->entry_count;
  seen->chunks++;
  return 0;
}

static void test_reading(const struct redis_server *server)
{
  static char texts[200][64];
  struct store_chunk chunks[200] = {{0}};
  struct redis_run *run = opened(server, "read");
  struct redis_claimed claimed;
  uint64_t next;
  int64_t until;
  struct any_store any = redis_run_any(run);
  struct store_head head;
  uint64_t position;
  tap_ok(any.kind->end(any.self, &next, &position, &failure) == -ENOENT && redis_run_head(run, &head, &failure) == -ENOENT, "a run that is not there has no end and no head");
  int error = claim(run, "me", LONG_LEASE_MS, 1, &claimed);
  assert(error == 0);
  for (unsigned i = 0; i < 200; i++) {
    snprintf(texts[i], sizeof texts[i], "chunk %u", i);
    chunks[i] = chunk_of(i == 0 ? 1 : chunks[i - 1].first_seq + chunks[i - 1].entry_count, 1 + i % 3, texts[i]);
  }
  error = redis_run_append(run, chunks, 200, LONG_LEASE_MS, &next, &until, &failure);
  tap_ok(error == 0 && next == chunks[199].first_seq + chunks[199].entry_count, "many chunks are written at once");
  struct seen seen = {.next_seq = 1, .same = true};
  error = any.kind->chunks(any.self, 1, see, &seen, &failure);
  tap_ok(error == 0 && seen.same && seen.chunks == 200 && seen.next_seq == next, "and come back as they were, in order");
  tap_ok(any.kind->end(any.self, &next, &position, &failure) == 0 && next == chunks[199].first_seq + chunks[199].entry_count &&
           position == chunks[199].end_position, "and their end is known without being the owner");
  static char large[100000];
  memset(large, 'x', sizeof large);
  error = redis_run_set_head(run, "unfinished", large, sizeof large, &failure);
  if (error == 0)
    error = redis_run_head(run, &head, &failure);
  tap_ok(error == 0 && head.length == sizeof large && memcmp(head.bytes, large, head.length) == 0 && strcmp(head.state, "unfinished") == 0,
         "the head comes back, with the state");
  free(head.bytes);
  redis_run_close(run);
}

/* ---- acknowledgements ---- */

static void test_waiting(void)
{
  struct redis_server primary = redis_server_start(NULL, NULL), replicas[3];
  struct redis_run *run = opened(&primary, "waited");
  struct redis_claimed claimed;
  uint64_t next = 1;
  int error = claim(run, "me", LONG_LEASE_MS, 1, &claimed);
  assert(error == 0);
  for (int i = 0; i < 3; i++)
    replicas[i] = redis_server_start_replica(&primary);
  for (int alive = 3; alive >= 0; alive--) {
    for (unsigned wanted = 0; wanted <= 4; wanted++) {
      unsigned acknowledged = 99;
      error = append_one(run, next, 1, LONG_LEASE_MS, &next);
      assert(error == 0);
      bool enough = wanted <= (unsigned)alive;
      /* What comes is waited for as long as it takes. */
      error = redis_run_wait(run, wanted, enough ? 60000 : 1000, &acknowledged, &failure);
      tap_ok(error == (enough ? 0 : -ETIME) && acknowledged <= (unsigned)alive && (enough ? acknowledged >= wanted : acknowledged == (unsigned)alive),
             "%u of %d living replicas: %s", wanted, alive, enough ? "acknowledged" : "said to be too few, and how many");
    }
    if (alive > 0)
      redis_server_kill(&replicas[alive - 1]);
  }
  redis_run_close(run);
  redis_server_kill(&primary);
}

/* ---- what goes wrong ---- */

static int open_at(const char *url)
{
  struct redis_address address;
  struct redis_run *run = NULL;
  int error = redis_address_parse(url, &address, &failure);
  assert(error == 0);
  error = redis_run_open(&address, "x", &run, &failure);
  redis_run_close(run);
  return error;
}

static void test_faults(void)
{
  struct redis_server locked = redis_server_start("--requirepass", "secret");
  char url[128];
  snprintf(url, sizeof url, "redis://127.0.0.1:%u", locked.port);
  tap_ok(open_at(url) == -EACCES && says("give it a user and a password"), "a password that is missing is said");
  snprintf(url, sizeof url, "redis://:wrong@127.0.0.1:%u", locked.port);
  tap_ok(open_at(url) == -EACCES && says("correct its user and password") && !says("wrong@"), "so is a wrong one, which is not shown");
  snprintf(url, sizeof url, "redis://:secret@127.0.0.1:%u/1", locked.port);
  tap_ok(open_at(url) == 0, "the right one opens");
  redis_server_kill(&locked);
  tap_ok(open_at(url) == -ENOTCONN && says("does not answer"), "a server that is down is said");

  struct redis_server primary = redis_server_start("--maxmemory", "1500kb");
  struct redis_server replica = redis_server_start_replica(&primary);
  snprintf(url, sizeof url, "redis://127.0.0.1:%u", replica.port);
  tap_ok(open_at(url) == -EROFS && says("name the primary"), "a replica is refused");
  redis_server_kill(&replica);
  struct redis_run *run = opened(&primary, "full");
  struct redis_claimed claimed;
  uint64_t next = 1;
  int error = claim(run, "me", LONG_LEASE_MS, 1, &claimed);
  for (unsigned i = 0; i < 100000 && error == 0; i++)
    error = append_one(run, next, 1, LONG_LEASE_MS, &next);
  tap_ok(error == -ENOSPC && says("give it more memory"), "a server that is full is said");
  redis_server_kill(&primary);
  tap_ok(append_one(run, next, 1, LONG_LEASE_MS, &next) == -ENOTCONN, "one that dies is said, and the run is open still");
  redis_run_close(run);
}

int main(void)
{
  scratch_create();
  test_addresses();
  struct redis_server server = redis_server_start(NULL, NULL);
  test_owning(&server);
  test_model(&server);
  test_lease_ends(&server);
  test_lost_claim(&server);
  struct redis_server replica = redis_server_start_replica(&server);
  test_append_and_wait(&server);
  redis_server_kill(&replica);
  test_reading(&server);
  redis_server_kill(&server);
  test_waiting();
  test_faults();
  scratch_remove();
  return tap_done();
}
