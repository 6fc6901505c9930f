/* SPDX-License-Identifier: Apache-2.0 */
/* docs/calls.md, made from shim/calls.def, shim/classes.def, shim/handlers.def and
 * journal/arguments.def. */
#ifndef PERDURE_DOCS_CALLS_PAGE_H
#define PERDURE_DOCS_CALLS_PAGE_H

#include <stdio.h>

/* Writes the whole page; the caller looks at ferror(). */
void calls_page_write(FILE *file);

#endif
