/* SPDX-License-Identifier: Apache-2.0 */
/* Putting stubs and sites together in memory. Writes no file. */
#include "supervisor/boundary_plan.h"

#include "supervisor/boundary_move.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define STUB_ALIGNMENT 16u

int boundary_plan_begin(const struct elf_file *file, enum boundary_object object, const char *name,
                        struct boundary_plan *ret_plan, struct failure *failure)
{
  size_t size;
  const uint8_t *build_id = elf_file_build_id(file, BOUNDARY_BUILD_ID_SIZE, &size);
  if (!build_id)
    return failure_set(failure, -ENOEXEC, "%s has no build-id", name);
  struct boundary_plan plan = {
      .header = {.magic = BOUNDARY_MAGIC,
                 .version = BOUNDARY_VERSION,
                 .object = object,
                 .build_id_size = (uint32_t)size,
                 .stubs_delta = object == BOUNDARY_LIBC ? BOUNDARY_LIBC_STUBS_DELTA
                                                        : BOUNDARY_VDSO_STUBS_DELTA}};
  memcpy(plan.header.build_id, build_id, size);
  *ret_plan = plan;
  return 0;
}

void boundary_plan_clear(struct boundary_plan *plan)
{
  free(plan->text);
  free(plan->stubs);
  free(plan->sites);
  free(plan->slot_uses);
  *plan = (struct boundary_plan){0};
}

/* Makes room for one more element of `size` bytes, or false. */
static bool grow(struct boundary_plan *plan, void **list, size_t count, size_t *room, size_t size)
{
  if (count < *room)
    return true;
  size_t more = *room ? *room * 2 : 64;
  void *grown = reallocarray(*list, more, size);
  if (!grown) {
    plan->out_of_memory = true;
    return false;
  }
  *list = grown;
  *room = more;
  return true;
}

uint64_t boundary_plan_here(const struct boundary_plan *plan)
{
  return (uint64_t)plan->header.stubs_delta + plan->stubs_size;
}

void boundary_plan_append(struct boundary_plan *plan, const void *bytes, size_t size)
{
  for (size_t i = 0; i < size; i++) {
    void *list = plan->stubs;
    bool room = grow(plan, &list, plan->stubs_size, &plan->stubs_room, 1);
    plan->stubs = list;
    if (!room)
      return;
    plan->stubs[plan->stubs_size++] = ((const uint8_t *)bytes)[i];
  }
}

void boundary_plan_align(struct boundary_plan *plan)
{
  while (plan->stubs_size % STUB_ALIGNMENT != 0 && !plan->out_of_memory)
    boundary_plan_append(plan, "\xcc", 1);
}

int boundary_plan_append_moved(struct boundary_plan *plan, const cs_insn *instruction)
{
  uint8_t bytes[BOUNDARY_MOVED_SIZE_MAX];
  size_t size;
  int result = boundary_move(instruction, boundary_plan_here(plan), bytes, &size);
  if (result == 0)
    boundary_plan_append(plan, bytes, size);
  return result;
}

void boundary_plan_append_slot_jump(struct boundary_plan *plan, enum boundary_slot slot)
{
  boundary_plan_append(plan, "\xff\x25", 2);
  void *list = plan->slot_uses;
  bool room =
      grow(plan, &list, plan->slot_use_count, &plan->slot_use_room, sizeof *plan->slot_uses);
  plan->slot_uses = list;
  if (room)
    plan->slot_uses[plan->slot_use_count++] =
        (struct boundary_slot_use){.offset = plan->stubs_size, .slot = slot};
  boundary_plan_append(plan, "\0\0\0\0", 4);
}

static int jump_bytes(uint64_t from, uint64_t target, uint8_t *out)
{
  int64_t distance = (int64_t)(target - (from + BOUNDARY_JUMP_SIZE));
  if (distance != (int32_t)distance)
    return -ERANGE;
  int32_t relative = (int32_t)distance;
  out[0] = 0xe9;
  memcpy(out + 1, &relative, 4);
  return 0;
}

int boundary_plan_append_jump(struct boundary_plan *plan, uint64_t target)
{
  uint8_t bytes[BOUNDARY_JUMP_SIZE];
  int result = jump_bytes(boundary_plan_here(plan), target, bytes);
  if (result == 0)
    boundary_plan_append(plan, bytes, sizeof bytes);
  return result;
}

void boundary_plan_add_site(struct boundary_plan *plan, const struct boundary_site *site)
{
  void *list = plan->sites;
  bool room = grow(plan, &list, plan->site_count, &plan->site_room, sizeof *plan->sites);
  plan->sites = list;
  if (room)
    plan->sites[plan->site_count++] = *site;
}

int boundary_plan_add_jump_site(struct boundary_plan *plan, uint64_t address, uint32_t size,
                                uint64_t target, enum boundary_slot slot)
{
  struct boundary_site site = {.address = address, .size = size, .slot = slot};
  if (size < BOUNDARY_JUMP_SIZE || size > sizeof site.bytes)
    return -ERANGE;
  memset(site.bytes, 0xcc, size);
  int result = jump_bytes(address, target, site.bytes);
  if (result == 0)
    boundary_plan_add_site(plan, &site);
  return result;
}

int boundary_plan_finish(struct boundary_plan *plan, struct failure *failure)
{
  while (plan->stubs_size % BOUNDARY_PAGE_SIZE != 0 && !plan->out_of_memory)
    boundary_plan_append(plan, "\xcc", 1);
  if (plan->out_of_memory)
    return failure_set(failure, -ENOMEM, "out of memory making a boundary image");
  /* The slots are the page after the stubs. */
  for (size_t i = 0; i < plan->slot_use_count; i++) {
    const struct boundary_slot_use *use = &plan->slot_uses[i];
    assert(use->offset + 4 <= plan->stubs_size && use->slot < BOUNDARY_SLOT_COUNT);
    int32_t relative = (int32_t)(plan->stubs_size + 8 * use->slot - (use->offset + 4));
    memcpy(plan->stubs + use->offset, &relative, 4);
  }
  return 0;
}
