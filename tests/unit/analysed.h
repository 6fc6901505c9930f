/* SPDX-License-Identifier: Apache-2.0 */
/* A journal that a test builds, and what analysis makes of it. */
#ifndef PERDURE_TESTS_UNIT_ANALYSED_H
#define PERDURE_TESTS_UNIT_ANALYSED_H

#include "tests/unit/entries.h"

static struct built_journal journal;
static struct analysis *analysis;

static inline void analyse(void)
{
  analysis = built_analyse(&journal);
}

static inline void done(void)
{
  analysis_free(analysis);
  analysis = NULL;
  built_release(&journal);
}

static inline struct analysis_summary summary_of(void)
{
  struct analysis_summary summary;
  analysis_summary(analysis, &summary);
  return summary;
}

static inline uint64_t unfinished(void)
{
  return summary_of().unfinished_count;
}

#endif
