/* SPDX-License-Identifier: Apache-2.0 */
/* libcurl, hooked at its functions: one curl_easy_perform() is one exchange, journaled as a whole.
 *
 * The hooks are ordinary functions, called on the program's stack; they use what the engine uses, and
 * libcurl itself. While libcurl works, engine_thread.passing is set (shim/passing.h); while one of
 * the program's callbacks runs, it is not, and what the callback does is journaled as ever. */
#ifndef PERDURE_SHIM_CURL_H
#define PERDURE_SHIM_CURL_H

#include "journal/retry_rules.h"
#include "shim/blob.h"
#include "shim/engine.h"

#include <errno.h>

/* What of libcurl and libc the hooks call. */
struct curl_real {
  void *(*easy_init)(void);
  void *(*easy_duphandle)(void *);
  void (*easy_reset)(void *);
  void (*easy_cleanup)(void *);
  int (*easy_setopt)(void *, int, ...);
  int (*easy_getinfo)(void *, int, ...);
  int (*easy_perform)(void *);
  int (*easy_pause)(void *, int);
  int (*share_cleanup)(void *);
  void *(*mime_init)(void *); /* these two: NULL before libcurl 7.56 */
  int (*mime_data_cb)(void *, int64_t, void *, void *, void *, void *);
  void *(*multi_init)(void);
  int (*multi_add_handle)(void *, void *);
  int (*multi_remove_handle)(void *, void *);
  int (*multi_setopt)(void *, int, ...);
  int (*multi_perform)(void *, int *);
  int (*multi_socket_action)(void *, int, int, int *);
  int (*multi_socket_all)(void *, int *);
  int (*multi_poll)(void *, void *, unsigned, int, int *);
  int (*multi_wait)(void *, void *, unsigned, int, int *);
  int (*multi_fdset)(void *, void *, void *, void *, int *);
  int (*multi_timeout)(void *, long *);
  int (*multi_assign)(void *, int, void *);
  int (*multi_wakeup)(void *);
  int (*multi_cleanup)(void *);
  struct curl_message *(*multi_info_read)(void *, int *);
  void (*slist_free_all)(void *);
  const struct curl_option *(*easy_option_by_id)(int); /* NULL before libcurl 7.73 */
  size_t (*fwrite)(const void *, size_t, size_t, void *);
  size_t (*fread)(void *, size_t, size_t, void *);
  int (*fseeko)(void *, int64_t, int);
  void *out, *in; /* stdout, stdin */
};

/* The real functions of the libcurl that is loaded, or NULL when none is. */
const struct curl_real *curl_real(void);

/* struct curl_easyoption and curl_easytype of curl/options.h. */
struct curl_option {
  const char *name;
  int id;
  int type;
  unsigned flags;
};
enum { OPTION_LONG, OPTION_VALUES, OPTION_OFF_T, OPTION_OBJECT, OPTION_STRING, OPTION_SLIST };

/* struct curl_slist. */
struct curl_list {
  char *data;
  struct curl_list *next;
};

/* Options whose value is remembered. */
enum {
#define OPTION(NAME, number) CURL_##NAME = number,
#include "shim/curl_options.def"
#undef OPTION
};
enum curl_kept {
#define OPTION(NAME, number) KEPT_##NAME,
#include "shim/curl_options.def"
#undef OPTION
  KEPT_COUNT,
};

enum {
  CURL_OK = 0,
  CURL_FAILED_INIT = 2,
  CURL_HTTP_RETURNED_ERROR = 22,
  CURL_WRITE_ERROR = 23,
  CURL_RECV_ERROR = 56,
  CURL_READ_ABORT = 0x10000000,
  CURL_READ_PAUSE = 0x10000001,
  CURL_WRITE_PAUSE = 0x10000001,
  CURL_SEEK_CANNOT = 2,
  CURL_ERROR_SIZE = 256,
};

enum {
  CURL_MULTI_OK = 0,
  CURL_MULTI_BAD_EASY_HANDLE = 2,
  CURL_MULTI_ADDED_ALREADY = 7,
  CURL_MULTI_INTERNAL_ERROR = 4,
  CURL_MULTI_SOCKETDATA = 10002,
  CURL_MULTI_TIMERDATA = 10005,
  CURL_MULTI_PUSHDATA = 10015,
  CURL_MULTI_SOCKETFUNCTION = 20001,
  CURL_MULTI_TIMERFUNCTION = 20004,
  CURL_MULTI_PUSHFUNCTION = 20014,
};

#define INFO_STRING 0x100000
#define INFO_LONG 0x200000
#define INFO_DOUBLE 0x300000
#define INFO_OFF_T 0x600000
#define INFO_TYPE_MASK 0xf00000
#define INFO_NUMBER_MAX 80
#define INFO_PRIVATE (INFO_STRING + 21)
#define INFO_COOKIES (0x400000 + 28)

#define CALLBACK_KIND_COUNT (JOURNAL_CALLBACK_AGAIN + 1)
/* Header lines that come as body are counted in this one's place. */
#define COUNT_HEADER_IN_BODY 0
#define SEEN_COUNT 10 /* rows of shim/curl_seen.def */

/* CURLMsg. */
struct curl_message {
  int kind;
  void *easy;
  union {
    void *whatever;
    int code;
  };
};
#define CURL_MESSAGE_DONE 1

struct curl_group;

/* A handle of the program's. It lies at the beginning of a mapping of its own. */
struct curl_handle {
  void *easy;           /* NULL: free */
  uint64_t kept[KEPT_COUNT];
  uint64_t hash;        /* of all options that were set */
  char method[32];      /* without CUSTOMREQUEST */
  char custom[32];
  char url[8192];
  bool jar_is_output;   /* the cookie jar is stdout */

  /* the exchange that is under way, or the last one */
  bool busy;
  bool sending;         /* libcurl is at it */
  const void *sent_by;  /* the engine_thread that performs it; NULL: a multi handle does */
  bool unfinished;      /* replay: it had no end */
  bool keyed;           /* perdure's Idempotency-Key goes with it */
  bool repeatable;      /* whatever was sent of it, it may be sent again */
  bool paused_receive, paused_send; /* by the program */
  uint64_t number;      /* position of its INTENT */
  uint64_t last_return; /* of the latest callback */
  const struct journal_entry *result; /* in the feed; NULL: libcurl knows */
  const struct journal_entry *given;  /* its INTENT in the feed, when a person has said how it ended */
  char key[64];                       /* "Idempotency-Key: ..." */
  struct curl_list key_item;

  /* what the program has been given and has given */
  uint64_t count[CALLBACK_KIND_COUNT];
  uint64_t body_length, body_hash;
  uint64_t seek_return;
  bool in_header;      /* with CURLOPT_HEADER: header lines come as body */
  int64_t spool;       /* descriptor of what was read for an unfinished upload, or -1 */
  /* sending again: how much of it has come by */
  bool again, mismatch;
  bool gave_body;      /* and the program has been given some that it had not had */
  uint64_t again_count[CALLBACK_KIND_COUNT];
  uint64_t again_length, again_hash;
  bool again_in_header;
  uint64_t spool_place, frame_left;

  /* tries of a curl_easy_perform() */
  struct retry_policy policy; /* what holds where no rule does */
  bool policy_said;           /* by the program: it stands above the rules */
  const struct retry_plan *plan; /* the same, one that is put together; NULL: it is not */
  uint32_t tries;             /* with the first; those of earlier attempts count */
  struct retry_progress progress;
  struct journal_deadline failed_first; /* as SEGMENT_DEADLINE of the callback has it; zeros: it has not failed */
  bool held_back;      /* the body of this answer: there is another try, after: */
  uint64_t delay_ns;
  uint64_t next_try_ns; /* in a multi handle, while libcurl does not have it: CLOCK_MONOTONIC at the next try; 0: it does not wait */

  /* the multi handle that it is in (shim/curl_group.h) */
  struct curl_group *group;
  bool added;                    /* libcurl knows: not so of what replay added */
  bool told;                     /* message waits for curl_multi_info_read */
  struct curl_handle *next_told;
  struct curl_message message;
  uint64_t recorded;    /* bytes that callbacks were given, in entries */
  struct blob blob;     /* where they go when they are many */

  /* what getinfo gives during callbacks: as last journaled */
  uint64_t seen_hash[SEEN_COUNT];
  const struct journal_info *seen[SEEN_COUNT];
};

/* Behind the struct, in the mapping. */
#define HANDLE_SIZE (4u << 20)
#define HANDLE_INFO_OFFSET (256u << 10)
#define HANDLE_INFO_SIZE (256u << 10)
#define HANDLE_SCRATCH_OFFSET (1u << 20)
#define HANDLE_SCRATCH_SIZE (HANDLE_SIZE - HANDLE_SCRATCH_OFFSET)

static inline uint8_t *handle_info(struct curl_handle *handle)
{
  return (uint8_t *)handle + HANDLE_INFO_OFFSET;
}

static inline uint8_t *handle_scratch(struct curl_handle *handle)
{
  return (uint8_t *)handle + HANDLE_SCRATCH_OFFSET;
}

/* Of a request that only reads. */
bool method_is_safe(const char *method);

/* Does a call come from the program, and is the run journaled? */
bool curl_hooked(void);

/* ---- curl_handle.c ---- */

struct curl_handle *handle_find(const void *easy);
/* Is it one of these, rather than something of the program's? */
bool handle_is(const void *pointer);
/* The one whose exchange that is, or NULL. */
struct curl_handle *handle_numbered(uint64_t exchange);
/* The next one at or after *place, a place to go on from; NULL: there are no more. Begins with 0. */
struct curl_handle *handle_next(uint32_t *place);
/* NULL: there is no room; its exchanges are journaled as system calls then. */
struct curl_handle *handle_make(void *easy);
void handle_copy_options(struct curl_handle *to, const struct curl_handle *from);
void handle_forget_options(struct curl_handle *handle);
void handle_free(struct curl_handle *handle);
/* The program sets an option. False: libcurl must not be told, an exchange is under way. */
bool handle_set(struct curl_handle *handle, const struct curl_real *real, int option, uint64_t value);
/* GET, POST, ... as it will be sent. */
const char *handle_method(const struct curl_handle *handle);
/* The body that POSTFIELDS gives, or NULL. */
const void *handle_body(const struct curl_handle *handle, size_t *ret_length);

/* ---- curl_exchange.c ---- */

int exchange_perform(struct curl_handle *handle, const struct curl_real *real);
int exchange_pause(struct curl_handle *handle, const struct curl_real *real, int action);

/* The parts of it, for multi handles. Makes ready for an exchange: signs *ret_call, makes its key. */
void exchange_begin(struct curl_handle *handle, struct call *ret_call);
/* Live: appends the INTENT, and returns its position. Nothing may be sent before that is on disk. */
uint64_t exchange_record_request(struct call *call, struct curl_handle *handle);
/* Live: an unfinished one is about to be sent again. As exchange_record_request. */
uint64_t exchange_record_again(struct curl_handle *handle);
/* Replay: takes from its INTENT what there is to know. */
void exchange_take_request(struct curl_handle *handle, const struct journal_entry *intent);
/* Passing: libcurl is about to work on it. */
void exchange_prepare(struct curl_handle *handle, const struct curl_real *real);
/* Passing: libcurl has ended it; or EXCHANGE_LEFT. Returns what the program is told. */
int exchange_end(struct curl_handle *handle, const struct curl_real *real, int code);
/* Replay: the same, and moves past its RESULT. */
void exchange_replay_end(struct curl_handle *handle, const struct curl_real *real, const struct journal_entry *entry);

/* The code of an exchange that was taken out of its multi handle before its end. */
#define EXCHANGE_LEFT (-ECANCELED)

/* Is a request under way that began behind that place of the journal, and may not be repeated? */
bool exchanges_are_open(uint64_t since);

/* ---- curl_replay.c ---- */

/* Makes the recorded callbacks, and ends of other exchanges, up to the entry of `call`, which is not passed.
 * NULL: live now. handle: whose callbacks to expect first (may be NULL); a RESULT is its own. */
const struct journal_entry *curl_replay_until(const struct call *call, unsigned kind, struct curl_handle *handle);

/* Appends the RESULT; the values are in handle_info(). */
void exchange_record_end(struct curl_handle *handle, size_t info_length, int code);

/* ---- curl_given.c ---- */

/* The exchange ends as a person has said (handle->given): callbacks are made as libcurl would make them. Returns
 * what the program is told. */
int given_end(struct curl_handle *handle);

/* ---- curl_callback.c ---- */

/* Passing: gives the program a piece of an answer, as libcurl would; what it returned. kind: WRITE or HEADER. */
size_t callback_give(struct curl_handle *handle, unsigned kind, void *bytes, size_t length);

/* Passing: asks the program to begin again with what it uploads; false: it cannot. */
bool callback_rewind(struct curl_handle *handle);

/* The same of a form's part: it reads, or seeks. number: of the part, from 1. */
size_t callback_read_part(struct curl_handle *handle, uint64_t number, void *bytes, size_t size);
int callback_seek_part(struct curl_handle *handle, uint64_t number, int64_t offset, int origin);

/* Puts our callbacks in the place of the program's, and back. */
void callbacks_install(struct curl_handle *handle, const struct curl_real *real);
void callbacks_remove(struct curl_handle *handle, const struct curl_real *real);
/* Replay: calls the program as `entry` says. */
void callback_replay(struct curl_handle *handle, const struct journal_entry *entry);
/* Makes the draft of a callback's entry; parts point to args and to the handle. */
void callback_draft(struct draft *draft, struct call *call, struct curl_handle *handle, unsigned kind,
                    uint64_t first, uint64_t second);

/* ---- curl_mime.c: the program's functions of a part ---- */

size_t mime_read(uint64_t number, void *bytes, size_t size);
int mime_seek(uint64_t number, int64_t offset, int origin);

/* ---- curl_spool.c: what an unfinished upload has read ---- */

void spool_put(struct curl_handle *handle, const void *bytes, uint64_t result);
/* The next read's result and bytes, at most `room`; false: there is no more. */
bool spool_take(struct curl_handle *handle, void *bytes, size_t room, uint64_t *ret_result);
void spool_close(struct curl_handle *handle);

/* ---- curl_retry.c ---- */

/* As the program, or the command line, has said of what this thread sends. */
bool exchange_may_be_repeated(const struct curl_handle *handle);
/* A new exchange: what holds for this thread, and nothing has failed. Live and in replay. */
void retry_begin(struct curl_handle *handle);
/* Passing, on bytes of a body: they are of an answer after which there is another try, and not for the program. */
bool retry_holds_back(struct curl_handle *handle, const struct curl_real *real);
/* Passing: the try has ended with that code. True: another is to be made after handle->delay_ns, and is journaled. */
bool retry_follows(struct curl_handle *handle, const struct curl_real *real, int code);
/* Waits so long. */
void retry_wait(const struct curl_handle *handle);
/* Replay: a try failed, and another one followed. */
void retry_replay(struct curl_handle *handle, const struct journal_entry *entry);

/* ---- curl_info.c ---- */

int info_get(struct curl_handle *handle, const struct curl_real *real, int info, uint64_t *ret_value);
/* Adds what has changed of the values that callbacks ask for. */
void info_add_seen(struct draft *draft, struct curl_handle *handle);
void info_take_seen(struct curl_handle *handle, const struct journal_entry *entry);
/* Collects all values, and the cookies, after an exchange; returns the length. */
size_t info_collect(struct curl_handle *handle, const struct curl_real *real);
/* Puts recorded cookies back into the handle. */
void info_restore_cookies(struct curl_handle *handle, const struct curl_real *real);

/* ---- curl_key.c ---- */

/* Makes handle->key and puts it in front of the program's headers; false: none is to be added. */
bool key_make(struct curl_handle *handle, uint64_t number);

#endif
