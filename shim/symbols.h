/* SPDX-License-Identifier: Apache-2.0 */
/* Functions and data of what is loaded, by the symbol tables. dlsym() would take the loader's locks, sees only what its caller's
 * search path has, and is no symbol that the shim may take.
 *
 * Touches memory alone. */
#ifndef PERDURE_SHIM_SYMBOLS_H
#define PERDURE_SHIM_SYMBOLS_H

#include <stdbool.h>

struct symbol_wanted {
  const char *name;
  void **place; /* left alone where there is none of that name */
};

/* Of the first object whose file's name begins so. False: no such object is loaded. */
bool symbols_of(const char *object, const struct symbol_wanted *wanted, unsigned count);
/* What the program would have got of those names without the shim: of each, the first behind the shim in the order of loading
 * that has it. Where a name has several versions, the default one. */
void symbols_behind_shim(const struct symbol_wanted *wanted, unsigned count);

/* Does the address lie in an object whose file's name begins so? */
bool symbols_lie_in(const char *object, const void *address);

#endif
