/* SPDX-License-Identifier: Apache-2.0 */
/* The lists are flag_sets.def and flag_uses.def. */
#include "supervisor/flag_names.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

static const struct {
  enum flag_set set;
  const char *word;
  uint64_t value;
} names[] = {
#define NAME(set, word) {FLAG_SET_##set, #word, (uint32_t)(word)},
#include "supervisor/flag_sets.def"
#undef NAME
};

static const struct {
  const char *call;
  unsigned arg;
  enum flag_set set;
} uses[] = {
#define USE(call, arg, set) {#call, arg, FLAG_SET_##set},
#include "supervisor/flag_uses.def"
#undef USE
};

#define NAME_COUNT (sizeof names / sizeof *names)
#define USE_COUNT (sizeof uses / sizeof *uses)

enum flag_set flag_set_of(const char *call, unsigned arg)
{
  for (size_t i = 0; i < USE_COUNT; i++)
    if (uses[i].arg == arg && strcmp(uses[i].call, call) == 0)
      return uses[i].set;
  return FLAG_SET_none;
}

static uint64_t choice_of(enum flag_set set)
{
  switch (set) {
#define SET(set, choice) \
  case FLAG_SET_##set:   \
    return (uint32_t)(choice);
#include "supervisor/flag_sets.def"
#undef SET
  case FLAG_SET_none:
  case FLAG_SET_octal:
  case FLAG_SET_signal:
    break;
  }
  return 0;
}

static void add_signal(struct text *text, uint64_t value)
{
  const char *name = value <= INT32_MAX ? sigabbrev_np((int)value) : NULL;
  if (name != NULL)
    text_addf(text, "SIG%s", name);
  else
    text_addf(text, "%d", (int)value);
}

/* The one of `set` whose value is `value`, looking only at names that lie in `mask`. */
static const char *find_word(enum flag_set set, uint64_t mask, uint64_t value)
{
  for (size_t i = 0; i < NAME_COUNT; i++)
    if (names[i].set == set && names[i].value == value && (value & ~mask) == 0)
      return names[i].word;
  return NULL;
}

static void add_with_bar(struct text *text, size_t start, const char *word)
{
  text_addf(text, "%s%s", text->length > start ? "|" : "", word);
}

void flag_names_add(struct text *text, enum flag_set set, uint64_t value)
{
  if (set == FLAG_SET_signal) {
    add_signal(text, value);
    return;
  }
  if (set == FLAG_SET_octal) {
    text_addf(text, "%#o", (unsigned)value);
    return;
  }
  size_t start = text->length;
  uint64_t choice = choice_of(set), rest = (uint32_t)value;
  const char *word = find_word(set, choice, rest & choice);
  if (word != NULL && (choice != 0 || rest == 0)) {
    add_with_bar(text, start, word);
    rest &= ~choice;
  }
  for (size_t i = 0; i < NAME_COUNT; i++) {
    uint64_t bits = names[i].value;
    if (names[i].set == set && bits != 0 && (bits & choice) == 0 && (rest & bits) == bits) {
      add_with_bar(text, start, names[i].word);
      rest &= ~bits;
    }
  }
  if (rest != 0 || text->length == start) {
    char number[32];
    snprintf(number, sizeof number, choice == UINT32_MAX && rest < 4096 ? "%lld" : "0x%llx",
             (unsigned long long)rest);
    add_with_bar(text, start, rest != 0 ? number : "0");
  }
}
