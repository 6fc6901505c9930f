/* SPDX-License-Identifier: Apache-2.0 */
/* The boundary image: how one object (libc, or the vDSO) is redirected into the engine. The
 * supervisor makes it with a disassembler, once per build-id; the shim only maps it.
 *
 *   0               struct boundary_header
 *   text_offset     text_size bytes, page-aligned. BOUNDARY_LIBC: a patched copy of the object's
 *                   executable segment, to be mapped over it. BOUNDARY_VDSO: an unpatched copy of the
 *                   whole object, which must be what is in memory, and whose size is the mapping's
 *   stubs_offset    stubs_size bytes, page-aligned: code, mapped executable at base + stubs_delta
 *   sites_offset    struct boundary_site[site_count]: what is written where. In BOUNDARY_LIBC's text it
 *                   already is
 *
 * One page of slots follows the stubs in memory (at base + stubs_delta + stubs_size, anonymous,
 * written by the shim before it is made read-only): u64 addresses of the engine's entries, by enum
 * boundary_slot. All code in the image is position-independent relative to the object's base.
 *
 * At a `syscall` instruction the site jumps to its stub, which is
 *       [moved instructions before]  lea next(%rip), %rcx   jmp *slot_syscall(%rip)
 *       .long original - next
 *       syscall
 * next: [moved instructions after]   jmp back
 * where original is the address in the object after the replaced syscall instruction: unwinders know
 * that one and not the stub (shim/x86_64/entry.S).
 * rcx and r11 are free there: the kernel overwrites them. The engine returns to next with all other
 * registers, the flags and the vector state as they were, and rax the result; or to next - 2, for
 * the plain instruction to run.
 *
 * At the entry of a vDSO function the site jumps to `jmp *slot(%rip)`, and original_offset names
 * code in the stubs that runs the function as it was.
 */
#ifndef PERDURE_JOURNAL_BOUNDARY_H
#define PERDURE_JOURNAL_BOUNDARY_H

#include <stdint.h>

#define BOUNDARY_MAGIC "perdbnd"
#define BOUNDARY_VERSION 1u
#define BOUNDARY_BUILD_ID_SIZE 32u

enum boundary_object { BOUNDARY_LIBC = 0, BOUNDARY_VDSO = 1 };

/* Which engine entry a stub jumps to. */
enum boundary_slot {
  BOUNDARY_SLOT_SYSCALL = 0,
  BOUNDARY_SLOT_CLOCK_GETTIME = 1,
  BOUNDARY_SLOT_GETTIMEOFDAY = 2,
  BOUNDARY_SLOT_TIME = 3,
  BOUNDARY_SLOT_GETCPU = 4,
  BOUNDARY_SLOT_CLOCK_GETRES = 5,
  BOUNDARY_SLOT_GETRANDOM = 6,
  BOUNDARY_SLOT_COUNT = 7,
};

struct boundary_header {
  char magic[8];
  uint32_t version;
  uint32_t object; /* enum boundary_object */
  uint8_t build_id[BOUNDARY_BUILD_ID_SIZE]; /* padded with zeros */
  uint32_t build_id_size;
  uint32_t site_count;
  uint64_t text_address; /* of the executable segment, relative to the object's base, page-aligned */
  uint64_t text_offset, text_size;
  int64_t stubs_delta; /* from the object's base */
  uint64_t stubs_offset, stubs_size;
  uint64_t sites_offset;
  /* per slot: offset in the stubs of the code that runs the original function; 0: has none */
  uint64_t original_offset[BOUNDARY_SLOT_COUNT];
  uint64_t checksum; /* XXH3-64 of the file with this field zero */
};

struct boundary_site {
  uint64_t address; /* relative to the object's base */
  uint8_t bytes[16]; /* what is written there */
  uint32_t size;
  uint32_t slot;
};

#endif
