/* SPDX-License-Identifier: Apache-2.0 */
/* One line for a person, made where the failure is known best and printed by the command alone. */
#include "supervisor/store.h"

#include <stdarg.h>
#include <stdio.h>

int failure_set(struct failure *failure, int error, const char *format, ...)
{
  if (failure == NULL)
    return error;
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(failure->text, sizeof failure->text, format, arguments);
  va_end(arguments);
  /* Names of files and SQLite's messages come from outside: the promise is one line. */
  for (char *c = failure->text; *c != '\0'; c++)
    if (*c == '\n' || *c == '\r')
      *c = ' ';
  return error;
}
