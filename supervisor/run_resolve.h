/* SPDX-License-Identifier: Apache-2.0 */
/* A person says what became of a remote change whose outcome nobody knew. */
#ifndef PERDURE_SUPERVISOR_RUN_RESOLVE_H
#define PERDURE_SUPERVISOR_RUN_RESOLVE_H

#include "supervisor/run_place.h"

struct run_resolution {
  uint64_t seq;         /* of the intent */
  unsigned kind;        /* enum journal_resolution_kind */
  const char *response; /* RESPONSE: path of a file with a body, or with a whole response */
  unsigned status;      /* RESPONSE: of a body alone; 0: not said */
  const char *failed;   /* FAILED: name of a code of libcurl's, or of an errno for a call that is none of its */
};

/* Journals it; *ret_left: so many remain to be said of the run. The run has to have stopped with 121, and
 * nobody to supervise it. On failure nothing has changed. A crash inside: the resolution is in the journal, or not;
 * in blobs/ a file may lie that nothing refers to. */
int run_resolve(const struct run_place *place, const struct run_resolution *resolution, unsigned *ret_left,
                struct failure *failure);

#endif
