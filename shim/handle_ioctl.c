/* SPDX-License-Identifier: Apache-2.0 */
/* ioctl: the request decides. What shim/requests.def does not list is taken as its number says: what the
 * kernel writes is recorded, what only takes something is a change. Numbers from before there was such an
 * order say nothing: those that are not listed answer ENOTTY, since what they write would be lost.
 *
 * Killed at any line: a property of a descriptor or terminal is set again, a change is repeated. */
#include "shim/descriptors.h"
#include "shim/identity.h"
#include "shim/terminals.h"

#include <errno.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <termios.h>

enum request_way {
  REQUEST_OBSERVE,
  REQUEST_LOCAL,
  REQUEST_CHANGE,
  REQUEST_MAKE,
  REQUEST_OWNER,
  REQUEST_SET_OWNER,
  REQUEST_TERMINAL,
  REQUEST_VARIABLE,
  REQUEST_UNKNOWN,
};

struct request {
  uint32_t number;
  uint16_t output; /* bytes */
  uint16_t input;  /* bytes of the signature */
  uint8_t way;
};

static const struct request requests[] = {
#define REQUEST(NAME, WAY, output, input) {NAME, output, input, REQUEST_##WAY},
#include "shim/requests.def"
#undef REQUEST
};

/* Terminals, sockets and block devices have numbers from before a number said what it does. */
static bool says_nothing(uint32_t number)
{
  uint32_t type = _IOC_TYPE(number);
  return _IOC_DIR(number) == _IOC_NONE && (type == 'T' || type == 0x89 || type == 0x12 || type == 0);
}

static struct request request_of(uint32_t number)
{
  for (size_t i = 0; i < sizeof requests / sizeof *requests; i++)
    if (requests[i].number == number)
      return requests[i];
  struct request request = {.number = number, .way = REQUEST_OBSERVE};
  uint16_t size = (uint16_t)_IOC_SIZE(number);
  if (says_nothing(number)) {
    request.way = REQUEST_UNKNOWN;
  } else if (_IOC_DIR(number) & _IOC_READ) {
    request.output = size;
  } else {
    request.way = REQUEST_CHANGE;
    request.input = size;
  }
  return request;
}

/* COMPLETE with `size` bytes of output in argument 2, if it succeeds. */
int64_t observe_third(struct call *call, size_t size)
{
  int64_t result;
  if (replay_answers(call, &result))
    return result;
  struct draft draft;
  result = observe_begin(call, &draft);
  if (!raw_is_error(result) && size && call->args[2])
    draft_add(&draft, SEGMENT_OUTPUT, 2, (const void *)call->args[2], size);
  draft_append(&draft);
  return result;
}

/* ---- how much comes back is in what comes back ---- */

static uint64_t variable_size(const struct call *call)
{
  if (call->args[1] == SIOCGIFCONF)
    return sizeof(struct ifconf);
  const struct fiemap *map = (const struct fiemap *)call->args[2];
  return sizeof *map + (map->fm_extent_count ? map->fm_mapped_extents : 0) * sizeof *map->fm_extents;
}

/* SIOCGIFCONF's list lies elsewhere: it follows the structure in the entry's bytes. */
static void give_list(const struct call *call, const struct journal_entry *entry)
{
  const struct journal_segment *list = journal_find_segment(entry, SEGMENT_TEXT, 2);
  struct ifconf *config = (struct ifconf *)call->args[2];
  if (list && config->ifc_buf)
    raw_copy(config->ifc_buf, list->data, list->length);
}

static int64_t observe_variable(struct call *call)
{
  struct ifconf *config = call->args[1] == SIOCGIFCONF ? (struct ifconf *)call->args[2] : NULL;
  char *list = config ? config->ifc_buf : NULL;
  if (!engine_live()) {
    const struct journal_entry *entry = replay_take(call, JOURNAL_COMPLETE);
    if (entry) {
      int64_t result = replay_deliver(call, entry);
      if (config) {
        config->ifc_buf = list;
        give_list(call, entry);
      }
      replay_advance(entry);
      return result;
    }
  }
  struct draft draft;
  int64_t result = observe_begin(call, &draft);
  if (!raw_is_error(result))
    draft_add_output(&draft, call, 2, (const void *)call->args[2], variable_size(call));
  if (!raw_is_error(result) && list)
    draft_add(&draft, SEGMENT_TEXT, 2, list, (size_t)config->ifc_len);
  draft_append(&draft);
  return result;
}

/* ---- whose ---- */

static int64_t observe_owner(struct call *call)
{
  int64_t result;
  if (replay_answers(call, &result))
    return result;
  int32_t *owner = (int32_t *)call->args[2];
  struct draft draft;
  result = observe_begin(call, &draft);
  if (result == 0) {
    *owner = (int32_t)identity_seen(*owner);
    draft_add(&draft, SEGMENT_OUTPUT, 2, owner, sizeof *owner);
  }
  draft_append(&draft);
  return result;
}

/* A property that is set again, without asking for the same result: the terminal may be another one. */
static int64_t set(struct call *call, const struct call *translated)
{
  const struct journal_entry *entry = engine_live() ? NULL : replay_take(call, JOURNAL_COMPLETE);
  crash_point();
  int64_t result = call_run(translated);
  crash_point();
  if (!entry) {
    record_complete(call, result);
    return result;
  }
  result = entry->result;
  replay_advance(entry);
  return result;
}

static int64_t set_owner(struct call *call)
{
  struct call translated = *call;
  int32_t owner = 0;
  if (call->args[2]) {
    owner = (int32_t)identity_real(*(const int32_t *)call->args[2]);
    translated.args[2] = (uint64_t)&owner;
  }
  return set(call, &translated);
}

static int64_t number_of_terminal(struct call *call)
{
  int64_t result = observe_third(call, sizeof(uint32_t));
  if (result == 0)
    terminal_learn((int)call->args[0], *(const uint32_t *)call->args[2]);
  return result;
}

static int64_t make(struct call *call)
{
  terminal_learn((int)call->args[0], -1);
  int64_t result = local_descriptor(call);
  if (result >= 0)
    descriptor_forget((int)result);
  return result;
}

int64_t handle_ioctl(struct call *call)
{
  struct request request = request_of((uint32_t)call->args[1]);
  if (request.way == REQUEST_UNKNOWN)
    return -ENOTTY;
  call_sign(call);
  if (request.input && call->args[2])
    call->signature =
        hash_mix(call->signature, hash_bytes((const void *)call->args[2], request.input)) | 1;
  switch (request.way) {
  case REQUEST_LOCAL:
    return set(call, call);
  case REQUEST_CHANGE:
    return change_by_ioctl(call);
  case REQUEST_MAKE:
    return make(call);
  case REQUEST_OWNER:
    return observe_owner(call);
  case REQUEST_SET_OWNER:
    return set_owner(call);
  case REQUEST_TERMINAL:
    return number_of_terminal(call);
  case REQUEST_VARIABLE:
    return observe_variable(call);
  default:
    return observe_third(call, request.output);
  }
}
