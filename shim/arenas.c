/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/arenas.h"

#include "shim/symbols.h"

#include <stddef.h>

#define M_ARENA_TEST (-7)   /* <malloc.h> is not for the shim */
#define ARENA_MAX (1 << 20) /* more than there can be threads of one process */

void arenas_one_for_each_thread(void)
{
  /* Of this process, or of one that it is a copy of. */
  static bool done;
  int (*option)(int, int) = NULL;
  if (done)
    return;
  done = true;
  const struct symbol_wanted wanted[] = {{"mallopt", (void **)&option}};
  if (symbols_of("libc.so.6", wanted, 1) && option)
    option(M_ARENA_TEST, ARENA_MAX);
}
