/* SPDX-License-Identifier: Apache-2.0 */
/* What a run of a program left, and how two such outcomes differ. */
#ifndef PERDURE_SUPERVISOR_CHECK_OUTCOME_H
#define PERDURE_SUPERVISOR_CHECK_OUTCOME_H

#include "supervisor/check_tree.h"

enum check_part {
#define CHECK_PART(NAME, name, has_path) CHECK_PART_##NAME,
#include "supervisor/check_parts.def"
#undef CHECK_PART
  CHECK_PART_COUNT,
};

struct check_bytes {
  char *bytes; /* malloc'ed; NULL when there are none */
  size_t length;
};
void check_bytes_release(struct check_bytes *bytes);

struct check_outcome {
  int status;                 /* exit status; 128 + n for signal n */
  struct check_bytes out, err;
  bool by_command;            /* `compared` counts, not `tree` */
  struct check_bytes compared;
  int compared_status;
  struct check_tree tree;
};
void check_outcome_release(struct check_outcome *outcome);

/* Removes the lines that perdure wrote ("perdure:" at their beginning) from what came on stderr.
 * The last of them goes to ret_last, cut to `size`; "" when there is none. */
void check_strip_own_lines(struct check_bytes *err, char *ret_last, size_t size);

struct check_difference {
  enum check_part part;
  const char *path; /* "" where the part has none */
  char text[1024];  /* "FIRST expected, SECOND came", one line */
};

/* What differs between two runs that nothing happened to, and so says nothing about crashes. Starts
 * as {0}. */
struct check_mask {
  bool whole[CHECK_PART_COUNT];
  char **files;  /* not compared by what is in them */
  char **names;  /* sometimes there, sometimes not */
  char **places; /* directories with such names: new ones may come */
  const struct check_tree *stable; /* of one such run, set before anything is added; borrowed. NULL:
                                    * files are not compared */
};
/* Adds what `difference` is about. *ret_new: it was not in it before. */
int check_mask_add(struct check_mask *mask, const struct check_difference *difference,
                   bool *ret_new);
/* What adding `difference` leaves out, for a person. */
void check_mask_print(const struct check_difference *difference, char *ret_text, size_t size);
void check_mask_release(struct check_mask *mask);

/* Calls `found` for each difference but what the mask leaves out, until it returns false. Both
 * trees must still lie where they were listed. `mask` may be changed by `found`. */
int check_outcome_compare(const struct check_outcome *expected, const struct check_outcome *came,
                          const struct check_mask *mask,
                          bool (*found)(const struct check_difference *difference, void *context),
                          void *context, struct failure *failure);

/* "stdout: TEXT", "the file x: TEXT", into `size` bytes. */
void check_difference_print(const struct check_difference *difference, char *ret_text, size_t size);

#endif
