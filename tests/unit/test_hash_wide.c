/* SPDX-License-Identifier: Apache-2.0 */
#include "journal/hash.h"
#include "shim/x86_64/hash_wide.h"
#include "tests/unit/tap.h"

#include <string.h>

typedef uint64_t hash_function(const void *bytes, size_t size);

static uint8_t bytes[70000];

static bool agrees(hash_function *hash)
{
  bool all = true;
  for (size_t size = 0; size < sizeof bytes; size += 1 + size / 9)
    all = hash(bytes + size % 7, size) == journal_hash(bytes + size % 7, size) && all;
  return all;
}

struct xmm {
  uint8_t bytes[16][16];
};
struct ymm {
  uint8_t bytes[16][32];
};

#define ALL(each) \
  each(0) each(1) each(2) each(3) each(4) each(5) each(6) each(7) each(8) each(9) each(10) each(11) \
  each(12) each(13) each(14) each(15)
#define LOAD_XMM(n) "movups (" #n " * 16)(%[before]), %%xmm" #n "\n"
#define STORE_XMM(n) "movups %%xmm" #n ", (" #n " * 16)(%[after])\n"
#define LOAD_YMM(n) "vmovups (" #n " * 32)(%[before]), %%ymm" #n "\n"
#define STORE_YMM(n) "vmovups %%ymm" #n ", (" #n " * 32)(%[after])\n"
/* The red zone is the compiler's; the stack is aligned as for any call. */
#define CALL_HASH \
  "movq %%rsp, %%rbx\n subq $128, %%rsp\n andq $-16, %%rsp\n call *%[hash]\n movq %%rbx, %%rsp\n"
#define VECTORS \
  "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", \
    "xmm13", "xmm14", "xmm15"

static __attribute__((noinline)) void around_narrow(hash_function *hash, const struct xmm *before,
                                                    struct xmm *after)
{
  const void *from = bytes;
  size_t size = 5000;
  register const struct xmm *before_kept __asm__("r12") = before;
  register struct xmm *after_kept __asm__("r13") = after;
  register hash_function *hash_kept __asm__("r14") = hash;
  __asm__ volatile(ALL(LOAD_XMM) CALL_HASH ALL(STORE_XMM)
                   : "+D"(from), "+S"(size)
                   : [before] "r"(before_kept), [after] "r"(after_kept), [hash] "r"(hash_kept)
                   : "rax", "rbx", "rcx", "rdx", "r8", "r9", "r10", "r11", VECTORS, "memory", "cc");
}

static __attribute__((noinline)) void around_wide(hash_function *hash, const struct ymm *before,
                                                  struct ymm *after)
{
  const void *from = bytes;
  size_t size = 5000;
  register const struct ymm *before_kept __asm__("r12") = before;
  register struct ymm *after_kept __asm__("r13") = after;
  register hash_function *hash_kept __asm__("r14") = hash;
  __asm__ volatile(ALL(LOAD_YMM) CALL_HASH ALL(STORE_YMM) "vzeroupper\n"
                   : "+D"(from), "+S"(size)
                   : [before] "r"(before_kept), [after] "r"(after_kept), [hash] "r"(hash_kept)
                   : "rax", "rbx", "rcx", "rdx", "r8", "r9", "r10", "r11", VECTORS, "memory", "cc");
}

static bool keeps_narrow(hash_function *hash)
{
  struct xmm before, after = {0};
  memcpy(&before, bytes + 100, sizeof before);
  around_narrow(hash, &before, &after);
  return memcmp(&before, &after, sizeof before) == 0;
}

static bool keeps_wide(hash_function *hash)
{
  struct ymm before, after = {0};
  memcpy(&before, bytes + 1000, sizeof before);
  around_wide(hash, &before, &after);
  return memcmp(&before, &after, sizeof before) == 0;
}

/* With nothing in the upper halves, nothing is there after it either. */
static bool leaves_upper_clear(hash_function *hash)
{
  struct xmm narrow, ignored;
  memcpy(&narrow, bytes, sizeof narrow);
  __asm__ volatile("vzeroupper");
  around_narrow(hash, &narrow, &ignored);
  unsigned in_use, high;
  __asm__ volatile("xgetbv" : "=a"(in_use), "=d"(high) : "c"(1));
  return !(in_use & 1 << 2);
}

int main(void)
{
  uint64_t random = 1;
  for (size_t i = 0; i < sizeof bytes; i++) {
    random = random * 6364136223846793005u + 1442695040888963407u;
    bytes[i] = (uint8_t)(random >> 56);
  }
  tap_ok(agrees(hash_wide), "the narrow hash is journal_hash, for any size and alignment");
  tap_ok(keeps_narrow(hash_wide), "the narrow hash keeps the vector registers");
  if (!hash_wide_has_avx2()) {
    tap_ok(true, "the wide hash # SKIP this processor has no AVX2");
    return tap_done();
  }
  tap_ok(keeps_wide(hash_wide), "the narrow hash keeps the upper halves of the vector registers");
  tap_ok(agrees(hash_wide_avx2), "the wide hash is journal_hash, for any size and alignment");
  tap_ok(keeps_narrow(hash_wide_avx2), "the wide hash keeps the vector registers");
  tap_ok(keeps_wide(hash_wide_avx2), "the wide hash keeps their upper halves where they are in use");
  tap_ok(leaves_upper_clear(hash_wide_avx2), "the wide hash leaves upper halves unused that were unused");
  return tap_done();
}
