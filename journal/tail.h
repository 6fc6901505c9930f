/* SPDX-License-Identifier: Apache-2.0 */
/* The tail: the newest part of a run's journal, in a file that every process of the run maps shared.
 *
 *   file offset 0                 struct tail_header, padded to TAIL_HEADER_SIZE
 *   TAIL_HEADER_SIZE              the ring, ring_size bytes (a power of two)
 *
 * The entry of position P lies at ring offset P mod ring_size; a process maps the ring twice in a
 * row, so that an entry that crosses its end is contiguous.
 *
 * Writing: add the entry's size to `head` (one atomic add: that is its position and the run's order),
 * wait while position + size - ring_size > drained, write everything but the position field, store
 * the position (release). Killed before that store, the space is a gap.
 *
 * Reading (the drain): from `drained` on, an entry that is valid for its position (entry.h) is taken;
 * what is not valid below `head` is either still being written (its process lives: wait) or a gap
 * (nobody of the attempt lives: try the next multiple of 8). `drained` moves only after the store's
 * own commit holds the bytes; once `durable` is TAIL_DURABLE, after that commit is on disk.
 *
 * A reader accepts a tail if and only if magic, version and header_size are those below, ring_size is
 * a power of two between 64 KiB and 1 GiB, the file is as long as both say, and
 * base <= drained <= head.
 *
 * The end of an attempt is one moment for all its processes, though they die one after another: who sees
 * another die because of it (the end of a pipe, a child's end) finds `stopped`, or the supervisor or the first process dead, before
 * it could append that, and dies too.
 *
 * A crash at any instruction leaves entries that are valid, gaps, and nothing else: the header's
 * strings are written by the supervisor before the program starts.
 */
#ifndef PERDURE_JOURNAL_TAIL_H
#define PERDURE_JOURNAL_TAIL_H

#include "journal/entry.h"

#include <pthread.h>
#include <stdatomic.h>

#define TAIL_MAGIC "perdure"
#define TAIL_HEADER_SIZE (256u << 10)
#define TAIL_RING_SIZE_DEFAULT (32u << 20)
#define TAIL_PATH_SIZE 4096u
#define TAIL_REFERENCED_MAX 4096u
#define TAIL_OUTER_MAX 16u
#define TAIL_KEPT_MAX 512u
#define TAIL_REPORT_BYTES_MAX 32u
#define TAIL_PROCESS_MAX 1024u
#define TAIL_AHEAD_MAX 64u
#define TAIL_PAIR_MAX 256u
#define TAIL_SENT_MAX 256u
#define TAIL_NAMED_PIPE_MAX 64u
#define TAIL_FLOW_MAX 256u
/* So many bytes of a pipe are recorded where they are read, and no more in an attempt: from then on it flows. */
#define TAIL_FLOW_RECORDED_SIZE (1u << 20)
/* Everything of the tail and the feed lies at these addresses in the program. */
#define TAIL_ADDRESS 0x6f0000000000ull
#define FEED_ADDRESS 0x6e0000000000ull

enum tail_sync {
#define SYNC(id, NAME, name, why) TAIL_SYNC_##NAME = id,
#include "journal/sync.def"
#undef SYNC
};

/* What became of output at replay: given to the outer stdout or stderr again, or not. */
enum tail_output { TAIL_OUTPUT_ONCE = 0, TAIL_OUTPUT_AGAIN = 1 };

enum tail_mode {
  TAIL_MODE_LIVE = 0,   /* no journal yet: everything runs */
  TAIL_MODE_REPLAY = 1, /* the feed first, then live */
  TAIL_MODE_VERIFY = 2, /* the feed only: what follows it is a divergence */
};

/* Why the program stopped itself; the supervisor turns it into a line and an exit status. */
enum tail_report_code {
  TAIL_REPORT_NONE = 0,
  TAIL_REPORT_DIVERGED = 1,  /* exit 120 */
  TAIL_REPORT_UNKNOWN = 2,   /* outcome of a remote change unknown: exit 121 */
  TAIL_REPORT_FAILED = 3,    /* perdure cannot go on: exit 125; text says why */
  TAIL_REPORT_INPUT = 4,     /* a referenced input changed or is missing: exit 125 */
};

struct tail_report {
  _Atomic uint32_t code;    /* tail_report_code; stored last */
  uint32_t stream;
  uint64_t position;        /* of the entry that replay was at, ~0 where there is none */
  uint32_t call;            /* what the program called instead */
  uint32_t arg_count;
  uint64_t args[6];         /* for FAILED, INPUT: the first is an errno, or 0 */
  char path[1024];          /* its path argument, or "" */
  char text[1024];          /* for FAILED, INPUT: a whole sentence without a final full stop */
  /* For DIVERGED: where the call is given bytes, argument `bytes_arg`, the first of them. */
  uint32_t bytes_arg, bytes_length; /* length 0: there are none, or they cannot be read */
  uint8_t bytes[TAIL_REPORT_BYTES_MAX];
};

/* An object outside the run that the program was started with on a descriptor. */
struct tail_outer {
  uint64_t device, inode;
  uint32_t output; /* enum tail_output: what replay does with writes to it */
  uint32_t kind;   /* st_mode & S_IFMT */
};

struct tail_referenced {
  _Atomic uint64_t inode; /* 0: free; stored last */
  uint64_t device, birth_ns;
};

/* A file that has a name in kept/ and may be open. */
struct tail_kept {
  _Atomic uint64_t inode; /* stored last */
  uint64_t device;
};

/* A process of the run. It finds its own place by its number after an exec; others translate by it. */
struct tail_process {
  _Atomic int32_t real;   /* the kernel's number; 0: not known yet, or free */
  _Atomic uint32_t taken; /* 0: free */
  _Atomic uint32_t ended; /* 1: waited for; its numbers may still be asked about */
  _Atomic uint32_t live;  /* 1: its replay has ended, all its calls run */
  uint32_t stream;        /* of its first thread */
  _Atomic uint32_t images; /* how often it has replaced its program */
  _Atomic uint16_t opaque; /* 1: its program is none that can be journaled, or, in replay, was */
  _Atomic uint16_t regions; /* of the header's regions_open */
  _Atomic uint32_t held;   /* 1: it executes a program, which is to have `mask` for its signal mask */
  _Atomic uint32_t stopping; /* it is about to stop, as it once did: 0 no, 1 in its replay, 2 when it comes past that */
  _Atomic uint64_t mask;
  _Atomic uint64_t crash_points; /* the process's part of the header's, where crash_at is 0; several threads' may be too few */
  union {
    _Atomic int32_t pid_seen; /* its number as the program knows it */
    _Atomic int32_t seen[4];  /* that, its parent's, its group's and its session's; 0: not known yet */
  };
};

/* A word that says that a thread lives: its number. The kernel marks it when the thread dies (FUTEX_OWNER_DIED),
 * before anything else of its death can be seen. Laid out as libc lays out a robust mutex. */
struct tail_life {
  _Atomic uint32_t word;
  uint32_t unused[5];
  struct tail_life_link {
    void *previous;
    void *next; /* in the kernel's list of the thread's robust futexes, which points to this */
  } link;
};

/* The two ends of a socket pair: inodes in this attempt. */
struct tail_pair {
  uint64_t ends[2];
};

/* Replay: a pipe, or one direction of a socket pair, whose reader is ahead of its writer. Written by whose turn it is. */
struct tail_ahead {
  uint64_t inode; /* in this attempt: of the pipe, or of the reader's end */
  uint64_t bytes; /* 0: free */
};

/* Replay: a named pipe that the run has had open, and the pipe of perdure's own that stands for it. Written by whose turn it
 * is, and by who goes live. */
struct tail_named_pipe {
  uint64_t device, inode, birth_ns;
  uint64_t stand_device, stand_inode;
  _Atomic uint32_t opens[2]; /* since nobody had it open: for reading, for writing */
  uint32_t waited[2];        /* and of them those that had waited for the other side */
  uint64_t owed;             /* bytes of writes that were journaled before the open of their reader */
  _Atomic uint32_t moved;    /* what it held is in the pipe itself: 0 no, 1 somebody is at it, 2 yes */
};

/* A pipe of the run (shim/pipe_flow.h). What its writers change, and what its readers do, lies in a line of the cache each: the
 * two sides run on different processors. */
struct tail_flow {
  _Alignas(64) _Atomic uint64_t inode; /* in this attempt; 0: free */
  _Atomic uint64_t from;    /* what is written from there on is announced by INTENTs; UINT64_MAX: nothing is */
  _Atomic uint32_t flows;   /* 1 */
  _Atomic uint32_t never;   /* 1: it does not come to flow, and reads are recorded */
  uint64_t made;            /* the how many-th */
  _Alignas(64) _Atomic uint64_t written; /* bytes, by calls whose entry is there */
  _Atomic int32_t writer;   /* the thread that writes into it */
  _Alignas(64) _Atomic uint64_t taken; /* the same */
  _Atomic int32_t readers;  /* at work; one that was killed stays */
  _Atomic int32_t reader;   /* that journals a read which was the only one */
  _Atomic uint32_t reads;   /* begun */
};

#define TAIL_REPLICAS_MAX 15u

/* Replay: a signal that a process has sent to others. Written by whose turn it is. */
struct tail_sent {
  int32_t target; /* as kill() has it, in the program's numbers */
  int32_t number;
  int32_t group; /* the sender's */
  uint32_t unused;
  uint64_t intent; /* its offset in the feed */
  uint64_t result; /* the same of what came of it: the kernel had it then */
};

/* Who has to be woken for an acknowledgement. */
enum {
  TAIL_REPLICATION_ON = 1,
  TAIL_REPLICATION_DRAINED = 2, /* the drain too: some take what it has stored, and only that */
};

/* The journal's way to another store (supervisor/replication.h), as far as the program waits for it. */
struct tail_replication {
  uint32_t on;             /* 0: there is no other store; else TAIL_REPLICATION_* */
  uint32_t replicas_max;   /* nobody can have more replicas than that */
  uint32_t before_remote;  /* how many have to have a remote change's intent before it is made: 1 the store's primary
                              alone, 2 a replica too, ...; 0: nobody */
  _Atomic uint64_t wanted; /* somebody waits until all below is acknowledged, */
  _Atomic uint32_t waiting[TAIL_REPLICAS_MAX + 1]; /* by n replicas: how many threads do. One that dies stays counted */
  _Atomic uint32_t wake;   /* a futex, the supervisor's threads' */
  _Atomic uint32_t news;   /* a futex: acknowledged or lease_until_ns has changed */
  _Atomic uint64_t acknowledged[TAIL_REPLICAS_MAX + 1]; /* all below: the primary, where there is one, and at
                                                            least n replicas have it */
  _Atomic int64_t lease_until_ns; /* CLOCK_BOOTTIME: from then on another machine may have taken the run over, and no
                                     remote change is made until there is a new lease */
};

struct tail_header {
  char magic[8];
  uint32_t version; /* JOURNAL_VERSION */
  uint32_t header_size;
  uint64_t ring_size;
  uint64_t base; /* the first position that lies in this tail */
  uint32_t mode; /* enum tail_mode, as the attempt started */
  uint32_t sync; /* enum tail_sync */
  uint32_t attempt;        /* 1 for the first */
  int32_t supervisor_pid;
  uint64_t crash_at;       /* kill point that the attempt dies at, from 1; 0: none. One that never
                              comes makes crash_points exact */
  uint64_t feed_size;      /* bytes of the feed file; 0 in LIVE */
  uint32_t outer_count;
  int32_t lock_fd; /* the inherited descriptor that holds the run's lock; hidden from the program */
  struct tail_outer outer[TAIL_OUTER_MAX];
  char run_directory[TAIL_PATH_SIZE];  /* holds tail, feed, kept/ */
  char cache_directory[TAIL_PATH_SIZE]; /* holds the boundary images, BUILD-ID.boundary */
  uint8_t boot_id[16];

  _Alignas(64) _Atomic uint64_t head;    /* next free position */
  _Alignas(64) _Atomic uint64_t drained; /* all below is in the store */
  _Atomic uint32_t drained_futex;        /* changes when drained moves: writers wait on it */
  _Atomic uint32_t writers_waiting;
  _Alignas(64) _Atomic uint64_t synced; /* all below is published and on disk, or in the store and on disk */
  _Alignas(64) _Atomic uint32_t drain_futex; /* changes when the drain should look: it waits on it */
  _Alignas(64) _Atomic uint64_t cursor; /* replay: offset in the feed of the next entry */
  _Atomic uint32_t cursor_futex;
  _Atomic uint32_t cursor_waiting;
  _Atomic uint32_t live;                /* 1: a process has come past the feed */
  uint32_t image_changed;               /* 1: the program or a library is not the one that was recorded */
  uint32_t started;                     /* 1: the first image of the attempt has begun */
  _Atomic uint32_t stream_next;         /* next free stream number */
  _Atomic uint64_t cursor_kept;         /* where the cursor goes on when the thread whose turn it is comes to its next call;
                                           0: it has */
  _Alignas(64) _Atomic uint64_t crash_points; /* kill points passed in this attempt, live ones only; where crash_at is 0,
                                                 they are the processes' together */
  _Atomic uint32_t noted;               /* bits of what has been said once per run (TAIL_NOTED_*) */
  _Atomic uint32_t references_overflow; /* 1: more files referenced than fit; all count as referenced */
  _Atomic uint32_t kept_count;          /* may exceed what fits: the rest is not hidden */
  struct tail_kept kept[TAIL_KEPT_MAX]; /* names that the program does not count */
  struct tail_report report;
  struct tail_referenced referenced[TAIL_REFERENCED_MAX]; /* open addressing by inode */
  uint8_t run_identity[16]; /* of the run, in all its attempts: what Idempotency-Keys are made of */
  uint32_t keyless;         /* 1: no Idempotency-Key is added */
  uint32_t not_idempotent;  /* 1: a remote change of unknown outcome stops the run */
  _Atomic uint32_t durable; /* enum tail_durable; changes are waited for */
  _Atomic uint32_t links_hidden; /* 1: those that earlier attempts have kept */
  _Atomic uint32_t regions_open;  /* atomic regions, of all processes */
  _Atomic uint32_t regions_begun; /* but for those inside another one of their process; counted before the entry */
  struct tail_ahead ahead[TAIL_AHEAD_MAX];
  _Atomic uint32_t pair_count; /* made so far; those of the oldest make room */
  struct tail_pair pairs[TAIL_PAIR_MAX];
  struct tail_sent sent[TAIL_SENT_MAX];
  uint32_t sent_count;
  _Atomic uint32_t stopped; /* 1: the attempt is over, by a kill point: nobody appends any more */
  union {
    struct tail_life supervisor; /* as long as it supervises */
    pthread_mutex_t supervisor_lives;
  };
  struct tail_life first; /* the run's first process, until it exits by itself */
  _Atomic uint32_t process_end; /* above all places that were ever taken */
  struct tail_process processes[TAIL_PROCESS_MAX]; /* the run's first one has place 0 */
  _Atomic uint64_t blob_written; /* grows with each write to a file in blobs/, before its entry is appended */
  _Atomic uint64_t blob_synced;  /* all that was written when blob_written was that is on disk */
  struct tail_replication replication;
  uint64_t retry[JOURNAL_SCOPE_VALUES]; /* the command line's policy, as JOURNAL_SCOPE_RETRY has it; zeros: it has said none */
  _Atomic uint64_t holes_to; /* what was published below was on disk when this was, and what was not is a gap; 0: there
                                was none */
  _Atomic uint32_t left;      /* 1: the run is over, and processes of it live on (run --detach): what they do goes nowhere */
  _Atomic uint64_t flow_made; /* how many pipes */
  struct tail_flow flows[TAIL_FLOW_MAX]; /* by inode, in the first of a few places that was free */
  uint32_t named_pipe_count;
  struct tail_named_pipe named_pipes[TAIL_NAMED_PIPE_MAX];
  _Atomic uint32_t opening; /* how many are in a call of open's kind since before their replay ended */
  _Atomic uint32_t executing; /* how many are replacing their program by one that will look for the run */
  uint32_t retry_rules_size; /* of the file RETRY_RULES_FILE (journal/retry_rules.h); 0: there are none */
  _Atomic uint32_t regions_placed; /* of regions_begun, whose entries are there; fewer for good where a process was killed between */
};

/* Until something must be on disk, nothing is put there: what leaves the ring for the store lies in the page
 * cache, which the death of every process survives. The first that needs more asks, and waits. */
enum tail_durable {
  TAIL_DURABLE_NOT_YET = 0,
  TAIL_DURABLE_WANTED = 1, /* a thread waits for the drain */
  TAIL_DURABLE = 2, /* the store is on disk, and from here on before `drained` moves */
};

enum { TAIL_NOTED_SPINNING = 1, TAIL_NOTED_SHARED_MAPPING = 2, TAIL_NOTED_ANSWER = 8, TAIL_NOTED_PORT = 64 };

_Static_assert(sizeof(struct tail_life) == sizeof(pthread_mutex_t), "libc's layout");
_Static_assert(sizeof(struct tail_header) <= TAIL_HEADER_SIZE, "the header fits its space");

/* A mapped tail, as a writer or reader holds it. */
struct tail {
  struct tail_header *header;
  uint8_t *ring; /* ring_size bytes, mapped twice in a row */
};

/* What one append carries. Segment data is copied; nothing is kept. */
struct tail_part {
  uint16_t type; /* SEGMENT_* */
  uint8_t arg;
  const void *data;  /* first piece */
  uint32_t length;   /* bytes of it */
  const void *data2; /* second piece, right behind the first, or NULL */
  uint32_t length2;
};

struct tail_draft {
  uint32_t stream;
  uint16_t call;
  uint8_t kind;
  uint8_t flags; /* JOURNAL_FLAG_* */
  int64_t result;
  uint64_t signature;
  uint64_t time_ns;
  const uint64_t *args;
  uint32_t arg_count;
  uint32_t part_count;
  const struct tail_part *parts;
};

#define TAIL_NOWHERE UINT64_MAX /* the position of an entry that is none */

/* Appends one entry; returns its position; TAIL_NOWHERE: the run has left its processes, and nothing was appended. Waits (futex) while the ring is full; wakes the drain
 * for every MiB. Uses raw system calls only and keeps errno. Asserts
 * that the parts fit JOURNAL_PAYLOAD_SIZE_MAX + 32 KiB. Killed inside: a gap, or the whole entry. */
uint64_t tail_append(const struct tail *tail, const struct tail_draft *draft);

/* Makes the entry at [start, end), which the caller has appended, and all published before it durable
 * (msync of the ring's part). The header is put on disk only where another thread's entry before it is reserved and not
 * published: after the machine's death that hole must not be taken for the journal's end. The first time in an attempt
 * it waits for the drain, which puts the files' names and the store on disk. 0, or -errno: not durable. */
int tail_sync_to(const struct tail *tail, uint64_t start, uint64_t end);

/* Raises a word of the header to `value`; it stays where another thread has brought it further. */
void tail_raise(_Atomic uint64_t *word, uint64_t value);

#endif
