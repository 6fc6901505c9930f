/* SPDX-License-Identifier: Apache-2.0 */
/* The journal's entries: the one format shared by the tail, the store and the replay feed.
 *
 * All numbers are little-endian. An entry starts at a multiple of 8 and is laid out so:
 *
 *   offset size
 *        0    8  position   where the entry lies in the run's journal: bytes since its first entry
 *        8    4  checksum   low 32 bits of XXH3-64 over bytes [12, size)
 *       12    4  size       the whole entry in bytes, a multiple of 8
 *       16    4  stream     which thread of which process made it
 *       20    2  call       id of shim/calls.def
 *       22    1  kind       enum journal_kind
 *       23    1  arg_count  low 4 bits: arguments that follow (0 to 6); high 4 bits: JOURNAL_FLAG_*
 *       24    8  result     what the call returned (negative errno on failure); 0 in an intent
 *       32    8  signature  hash of the call and its arguments; replay compares it. 0: has none
 *       40    8  time_ns    CLOCK_REALTIME_COARSE when it was written
 *       48  8*n  arguments  as the program passed them
 *   48+8*n       segments   each: u16 type, u8 argument, u8 zero, u32 length, then length bytes,
 *                           padded with zeros to a multiple of 8
 *
 * An entry at position P is valid if and only if
 *   - its position field equals P,
 *   - size is a multiple of 8, at least 48 + 8*arg_count and at most JOURNAL_ENTRY_SIZE_MAX,
 *   - kind lies in the list below and arg_count is at most 6,
 *   - its segments fill the rest exactly,
 *   - its checksum agrees.
 * The position is stored last (release), so that a half-written entry is not valid.
 *
 * Positions of one run only grow, over all attempts; the space that a thread reserved and did not
 * live to fill is a gap, which a reader skips by trying each following multiple of 8.
 *
 * Order in the journal is the order of the run. Within one stream:
 *   COMPLETE              a call that has run, with result and output
 *   INTENT ... RESULT     a change: INTENT before it runs, RESULT after. RESULT belongs to the
 *                         stream's latest INTENT. An INTENT without RESULT is unfinished.
 *   DATA* then one of the above: bytes too many for one entry; they are prepended to that entry's
 *                         OUTPUT segment of the same argument
 *   KEEP                  bytes or a file kept before the run changes what it has read
 *   SIGNAL                the handler of a signal runs: its entries follow, then the call goes on that
 *                         the signal came in; args are the signal, what is blocked
 *                         meanwhile, and that call, OUTPUT(1) its siginfo
 *   CHILD                 the first of a process's stream; arguments as START's
 */
#ifndef PERDURE_JOURNAL_ENTRY_H
#define PERDURE_JOURNAL_ENTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JOURNAL_VERSION 7u
#define JOURNAL_ENTRY_HEADER_SIZE 48u
#define JOURNAL_ARG_COUNT_MAX 6u
/* Payload of one entry at most; larger outputs go ahead of it in DATA entries. */
#define JOURNAL_PAYLOAD_SIZE_MAX (1u << 20)
#define JOURNAL_ENTRY_SIZE_MAX ((1u << 20) + (64u << 10))
/* Regular files up to this size have the bytes that are read recorded, larger ones are referenced. */
#define JOURNAL_INLINE_FILE_SIZE_MAX (64u << 10)

enum journal_kind {
#define KIND(id, NAME, name, why) JOURNAL_##NAME = id,
#include "journal/kinds.def"
#undef KIND
};

enum journal_segment_type {
#define SEGMENT(id, NAME, name, why) SEGMENT_##NAME = id,
#include "journal/segments.def"
#undef SEGMENT
};

/* Flags, in the high 4 bits of arg_count. */
enum {
  /* RESULT: written by recovery, which looked and found that the change had happened. */
  JOURNAL_FLAG_RESOLVED = 1 << 4,
  /* In the feed only. INTENT: it had begun and not ended when the journal stopped. */
  JOURNAL_FLAG_UNFINISHED = 1 << 5,
  /* In the feed only. The INTENT of a fork, and the wait: the child is over and not made again. A read from or
   * a write to a pipe: the other side is not made again. */
  JOURNAL_FLAG_SKIPPED = 1 << 6,
};

struct journal_entry {
  uint64_t position;
  uint32_t checksum;
  uint32_t size;
  uint32_t stream;
  uint16_t call;
  uint8_t kind;
  uint8_t arg_count;
  int64_t result;
  uint64_t signature;
  uint64_t time_ns;
  uint64_t args[];
};

struct journal_segment {
  uint16_t type;
  uint8_t arg;
  uint8_t zero;
  uint32_t length;
  uint8_t data[];
};

/* Which file it was. Inode numbers are used again; with the birth time the triple is not. */
struct journal_file {
  uint64_t device; /* major << 32 | minor, everywhere in the journal */
  uint64_t inode;
  uint64_t birth_ns; /* 0 where the filesystem knows none */
  uint64_t size;     /* bytes */
  uint64_t mtime_ns;
  uint64_t ctime_ns;
  uint32_t mode;     /* st_mode */
  uint32_t link_count;
};

/* SEGMENT_REFERENCE: bytes that were read from a regular file and not recorded. */
struct journal_reference {
  uint64_t device, inode, birth_ns;
  uint64_t offset; /* of the first byte, in the file */
  uint64_t length; /* bytes */
  uint64_t hash;   /* XXH3-64 of the bytes; 0 for a mapping, which size and ctime stand for */
  uint64_t size;     /* of the file then; of a mapping only */
  uint64_t ctime_ns; /* of the file then; of a mapping only */
};

/* SEGMENT_WRITTEN, in the intent of a write to a regular file, or to what the run was started with. */
struct journal_written {
  uint64_t device, inode, birth_ns;
  int64_t offset;  /* where the first byte goes; for an append the size before; -1: at the
                      description's offset, which replay restores */
  uint64_t length; /* bytes that the call asks for */
  uint64_t hash;   /* XXH3-64 of them; 0 where the kernel moves them (copy_file_range) */
  uint32_t append; /* 1: the file was open with O_APPEND */
  uint32_t remote; /* 1: to a socket that the run was not started with: never repeated unasked */
};

/* SEGMENT_OLD, in KEEP: what a range held before the change; the old bytes follow the struct. */
struct journal_old {
  uint64_t device, inode, birth_ns;
  uint64_t offset;
};

/* SEGMENT_KEPT, in KEEP: the whole file as it was; its name in the run's kept/ follows the struct. */
struct journal_kept {
  uint64_t device, inode, birth_ns;
};

/* SEGMENT_DEADLINE, in the intent of a sleep. In a JOURNAL_CALLBACK_RETRY: the clocks at the first failure of the exchange, and how
 * long ago that was. */
struct journal_deadline {
  uint64_t boot_ns;     /* CLOCK_BOOTTIME when it ends */
  uint64_t real_ns;     /* CLOCK_REALTIME when it ends, for after a reboot */
  uint64_t duration_ns; /* as asked for: never wait longer */
  uint8_t boot_id[16];  /* which boot boot_ns counts from */
};

/* SEGMENT_DESCRIPTOR, in START: one descriptor that the process was started with. */
struct journal_descriptor {
  int32_t fd;
  uint32_t flags;    /* F_GETFL */
  uint64_t fd_flags; /* F_GETFD */
  uint64_t offset;   /* bytes, for a regular file */
  struct journal_file file;
};

/* The `arg` of a CHANNEL segment: the pipe flows (shim/pipe_flow.h), and a read has no OUTPUT. */
#define JOURNAL_CHANNEL_FLOWS 1u

/* SEGMENT_SOURCE, in a read from an object that the run was started with. */
struct journal_source {
  uint64_t device, inode;
};

/* SEGMENT_CHILD, in the INTENT of a fork. */
struct journal_child {
  uint32_t stream;
  uint32_t zero;
};

/* SEGMENT_OFFSETS, in a wait: parent and child may share what is open. */
struct journal_offset {
  int32_t fd;
  uint32_t zero;
  uint64_t offset; /* bytes */
};
/* SEGMENT_BLOB, in the place of an OUTPUT: bytes of a file in the run's blobs/, whose name follows the struct.
 * They are on disk before the entry counts as being there. */
struct journal_blob {
  uint64_t offset, length; /* bytes */
  uint64_t hash;           /* XXH3-64 of them */
};
/* What one exchange gives goes to a blob beyond so many bytes, in pieces of at least so many. */
#define JOURNAL_BLOB_AFTER_SIZE (1u << 20)
#define JOURNAL_BLOB_PIECE_SIZE_MIN (4u << 10)

enum journal_resolution_kind {
  JOURNAL_RESOLUTION_RETRY = 1,    /* it is to be sent again; over when it has been */
  JOURNAL_RESOLUTION_RESPONSE = 2, /* BLOB(0): the answer, its header lines and its body; INFO: what getinfo gives */
  JOURNAL_RESOLUTION_FAILED = 3,   /* code: it ended so; TEXT: libcurl's words; INFO: what getinfo gives */
};

/* SEGMENT_RESOLUTION */
struct journal_resolution {
  uint32_t kind; /* enum journal_resolution_kind */
  uint32_t code; /* CURLE_*, or an errno; of FAILED only */
  uint64_t header_length; /* of RESPONSE: so many bytes of the answer are header lines */
};

/* The INTENT of an exchange: args[0]. */
enum {
  JOURNAL_EXCHANGE_SAFE = 1,  /* GET, HEAD, OPTIONS, TRACE: sending it again changes nothing */
  JOURNAL_EXCHANGE_KEYED = 2, /* has an Idempotency-Key */
};

/* A callback of an exchange: args are this kind, two numbers that belong to it, what the callback before
 * returned, and the exchange; the bytes that it is given are OUTPUT of argument 0. Those of a multi handle
 * have its number as args[5], and an exchange of 0 where they are not about one. */
enum journal_callback {
  JOURNAL_CALLBACK_WRITE = 1,
  JOURNAL_CALLBACK_HEADER = 2,
  JOURNAL_CALLBACK_READ = 3, /* bytes asked for, and 0 or which part of a form is read; what it gave, the program gives again in replay */
  JOURNAL_CALLBACK_SEEK = 4, /* offset, origin */
  JOURNAL_CALLBACK_PROGRESS = 5,
  JOURNAL_CALLBACK_DEBUG = 6,
  JOURNAL_CALLBACK_AGAIN = 7, /* none: the request is sent again, in a later attempt */
  JOURNAL_CALLBACK_SOCKET = 8, /* of a multi handle: descriptor, CURL_POLL_* and JOURNAL_SOCKET_FRESH */
  JOURNAL_CALLBACK_TIMER = 9,  /* of a multi handle: milliseconds */
  JOURNAL_CALLBACK_RETRY = 10, /* the transfer has failed, and is tried again in the same call: its code << 32 and status, the delay in ns */
};

/* The descriptor was closed since the program was last told of it, or is new to it. */
#define JOURNAL_SOCKET_FRESH 0x100u

/* Where an entry does not say which exchange it is of. */
#define JOURNAL_EXCHANGE_LATEST UINT64_MAX
/* What a scope of the control API is about, and the numbers that say what holds in it. */
enum journal_scope {
  JOURNAL_SCOPE_IDEMPOTENCE = 1, /* 1: a remote change of unknown outcome is made again; 0: it is not */
  JOURNAL_SCOPE_REGION = 3, /* atomic: unfinished, its files go back and it runs again */
  JOURNAL_SCOPE_RETRY = 2, /* attempts; shortest and longest delay in ns; multiplier, jitter in millionths. Or 0, and the position of a
                              RETRY_PLAN entry */
  JOURNAL_SCOPE_PERSISTENCE = 4, /* enum journal_persistence */
};
/* Which of the calls in a scope have entries. */
enum journal_persistence {
  JOURNAL_PERSIST_NOTHING = 1, /* none */
  JOURNAL_PERSIST_REMOTE = 2,  /* all but what concerns files, clocks and random bytes */
  JOURNAL_PERSIST_SMART = 3,   /* all */
};
#define JOURNAL_SCOPE_VALUES 5

/* SEGMENT_UNDO, in KEEP: how a change inside an atomic region is taken back. Its paths are FULL_PATH segments of
 * arguments 0 and 1; a name in kept/ may follow the struct. Each is conditional: what has not happened, or is
 * taken back already, stays as it is. */
enum journal_undo_kind {
  JOURNAL_UNDO_CONTENT = 1,   /* the file gets the bytes of its copy in kept/ */
  JOURNAL_UNDO_SIZE = 2,      /* the file is cut back to `size` */
  JOURNAL_UNDO_MADE = 3,      /* the name was free: it is removed */
  JOURNAL_UNDO_TAKEN = 4,     /* the name was this file's: its link or copy in kept/ gets it again */
  JOURNAL_UNDO_RENAMED = 5,   /* path 0 is path 1 now: back */
  JOURNAL_UNDO_EXCHANGED = 6, /* the two have changed places: back */
  JOURNAL_UNDO_DIRECTORY = 7, /* the empty directory was removed: it is made */
  JOURNAL_UNDO_STATE = 8,     /* mode, owner and times */
  JOURNAL_UNDO_ATTRIBUTE = 9, /* the extended attribute that PATH(1) names gets the bytes of ATTRIBUTE(0), or goes
                                 where there is none */
};
struct journal_undo {
  uint32_t kind;
  uint32_t mode, uid, gid;
  uint64_t device, inode, size;
  uint64_t atime_ns, mtime_ns;
};

/* Where an entry does not say which exchange it is of. */
#define JOURNAL_EXCHANGE_LATEST UINT64_MAX

/* SEGMENT_INFO: one value; the next follows at the next multiple of 8. */
struct journal_info {
  uint32_t info;   /* CURLINFO_* */
  uint32_t length; /* 8; that of a string with its NUL; 0: no string */
  uint8_t data[];
};

static inline unsigned journal_arg_count(const struct journal_entry *entry)
{
  return entry->arg_count & 0x0f;
}

/* Which of its stream's exchanges a callback (args[4]) or a RESULT (args[0]) is of: the position of the
 * INTENT. Without that argument it is the latest that is under way. */
static inline uint64_t journal_exchange_of(const struct journal_entry *entry)
{
  unsigned arg = entry->kind == JOURNAL_RESULT ? 0 : 4;
  return journal_arg_count(entry) > arg ? entry->args[arg] : JOURNAL_EXCHANGE_LATEST;
}

static inline const struct journal_segment *journal_first_segment(const struct journal_entry *entry)
{
  return (const struct journal_segment *)(entry->args + journal_arg_count(entry));
}

static inline size_t journal_padded(size_t length)
{
  return (length + 7) & ~(size_t)7;
}

/* The segment after `segment`, or NULL after the last one of `entry`. */
const struct journal_segment *journal_next_segment(const struct journal_entry *entry,
                                                   const struct journal_segment *segment);

/* The first segment of `type` (and of argument `arg`, unless arg is -1), or NULL. */
const struct journal_segment *journal_find_segment(const struct journal_entry *entry, unsigned type,
                                                   int arg);
/* Is it about a pipe that flows (JOURNAL_CHANNEL_FLOWS)? */
bool journal_flows(const struct journal_entry *entry);
/* Is it about a pipe of the run, or the like (CHANNEL)? A write into one goes on with its intent, and was made in part. */
bool journal_has_channel(const struct journal_entry *entry);

/* How many bytes the program was given with a callback's entry, which has them or refers to them. */
uint64_t journal_given_length(const struct journal_entry *entry);

/* Checks that `available` bytes at `entry` begin with the valid entry of `position` (list above).
 * Reads nothing past `available`. */
bool journal_entry_valid(const void *entry, size_t available, uint64_t position);
/* The same but for the checksum: the entry can be walked safely. */
bool journal_entry_formed(const void *entry, size_t available, uint64_t position);

/* Low 32 bits of the hash that checksum holds; entry->size must be set. */
uint32_t journal_checksum(const struct journal_entry *entry);

/* "complete", "intent", ...; "?" for what is not one. Static strings. */
const char *journal_kind_name(unsigned kind);
const char *journal_segment_name(unsigned type);

_Static_assert(sizeof(struct journal_entry) == JOURNAL_ENTRY_HEADER_SIZE, "format");
_Static_assert(sizeof(struct journal_segment) == 8, "format");
_Static_assert(sizeof(struct journal_file) == 56, "format");
_Static_assert(sizeof(struct journal_written) == 56, "format");

#endif
