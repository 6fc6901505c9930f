/* SPDX-License-Identifier: Apache-2.0 */
/* Applying the images. Everything that may be refused is looked at before the first change: both images
 * opened and checked, both stubs mapped where nothing else lies. Then the vDSO is written, and last,
 * in one call, libc's text is replaced: from there on nothing can fail. A failure before that undoes what
 * was done.
 *
 * The image files are trusted as far as their owner is: this user, or root. Their checksum was
 * verified by the supervisor, which started this process after that.
 */
#include "shim/x86_64/boundary_apply.h"

#include "shim/raw.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define PAGE_SIZE 4096ull
#define LIBC_NAME "libc.so.6"
#define SITES_AT_ONCE 16u /* the vDSO has fewer */

/* An object of this process, and its image. */
struct object {
  uint64_t base;
  const Elf64_Phdr *segments;
  size_t segment_count;
  int fd; /* the image; -1 when there is none */
  struct boundary_header header;
  bool has_stubs; /* mapped */
};

static const char *const no_image[] = {
    [BOUNDARY_LIBC] = "there is no boundary image for this libc: it is not the one that perdure run "
                      "prepared",
    [BOUNDARY_VDSO] = "there is no boundary image for this kernel's vDSO",
};

static int refuse(const char **ret_error, int error, const char *sentence)
{
  *ret_error = sentence;
  return error;
}

/* --- finding --- */

static uint64_t auxiliary(const void *auxv, uint64_t type)
{
  for (const Elf64_auxv_t *entry = auxv; entry->a_type != AT_NULL; entry++) {
    if (entry->a_type == type)
      return entry->a_un.a_val;
  }
  return 0;
}

static void set_object(struct object *object, uint64_t base)
{
  const Elf64_Ehdr *header = (const Elf64_Ehdr *)base;
  object->base = base;
  object->segments = (const Elf64_Phdr *)(base + header->e_phoff);
  object->segment_count = header->e_phnum;
}

/* The loader's list of objects, which it leaves in the program's dynamic section for debuggers. A call of
 * dl_iterate_phdr() would not do: sanitizers and some programs have one of their own. */
static const struct link_map *loaded_objects(const void *auxv)
{
  const Elf64_Phdr *segments = (const Elf64_Phdr *)auxiliary(auxv, AT_PHDR);
  uint64_t count = auxiliary(auxv, AT_PHNUM), base = 0;
  const Elf64_Dyn *dynamic = NULL;
  for (uint64_t i = 0; segments && i < count; i++) {
    if (segments[i].p_type == PT_PHDR)
      base = (uint64_t)segments - segments[i].p_vaddr;
    else if (segments[i].p_type == PT_DYNAMIC)
      dynamic = (const Elf64_Dyn *)(base + segments[i].p_vaddr);
  }
  for (; dynamic && dynamic->d_tag != DT_NULL; dynamic++) {
    const struct r_debug *debug = (const struct r_debug *)dynamic->d_un.d_ptr;
    if (dynamic->d_tag == DT_DEBUG && debug)
      return debug->r_map;
  }
  return NULL;
}

static bool find_libc(const void *auxv, struct object *libc)
{
  for (const struct link_map *map = loaded_objects(auxv); map; map = map->l_next) {
    const char *name = map->l_name;
    for (const char *at = name; *at; at++) {
      if (*at == '/')
        name = at + 1;
    }
    if (raw_same_text(name, LIBC_NAME)) {
      set_object(libc, map->l_addr);
      return true;
    }
  }
  return false;
}

static bool find_vdso(const void *auxv, struct object *vdso)
{
  uint64_t base = auxiliary(auxv, AT_SYSINFO_EHDR);
  if (base)
    set_object(vdso, base);
  return base != 0;
}

/* The build-id in the object's memory, NULL when there is none. */
static const uint8_t *build_id(const struct object *object, uint32_t *ret_size)
{
  for (size_t i = 0; i < object->segment_count; i++) {
    const Elf64_Phdr *segment = &object->segments[i];
    if (segment->p_type != PT_NOTE)
      continue;
    uint64_t at = object->base + segment->p_vaddr, end = at + segment->p_memsz;
    while (at + sizeof(Elf64_Nhdr) <= end) {
      const Elf64_Nhdr *note = (const Elf64_Nhdr *)at;
      uint64_t name = at + sizeof *note;
      uint64_t description = name + ((note->n_namesz + 3ull) & ~3ull);
      if (note->n_type == NT_GNU_BUILD_ID && note->n_namesz == 4 &&
          raw_equal((const void *)name, "GNU", 4) && description + note->n_descsz <= end &&
          note->n_descsz <= BOUNDARY_BUILD_ID_SIZE) {
        *ret_size = note->n_descsz;
        return (const uint8_t *)description;
      }
      at = (description + note->n_descsz + 3) & ~3ull;
    }
  }
  return NULL;
}

/* --- opening --- */

/* "<directory>/<hex>.boundary" into path, PATH_MAX bytes; false when it does not fit. */
static bool image_path(const char *directory, const uint8_t *id, uint32_t id_size, char *path)
{
  static const char digits[] = "0123456789abcdef", ending[] = ".boundary";
  size_t length = raw_length(directory);
  if (length + 1 + 2 * id_size + sizeof ending > PATH_MAX)
    return false;
  raw_copy(path, directory, length);
  path[length++] = '/';
  for (uint32_t i = 0; i < id_size; i++) {
    path[length++] = digits[id[i] >> 4];
    path[length++] = digits[id[i] & 15];
  }
  raw_copy(path + length, ending, sizeof ending);
  return true;
}

static bool is_part(uint64_t offset, uint64_t part, uint64_t size)
{
  return offset % PAGE_SIZE == 0 && part % PAGE_SIZE == 0 && offset >= PAGE_SIZE &&
         offset <= size && part <= size - offset;
}

/* All but the checksum. */
static bool header_is_valid(const struct boundary_header *header, enum boundary_object kind,
                            const uint8_t *id, uint32_t id_size, uint64_t file_size)
{
  return raw_equal(header->magic, BOUNDARY_MAGIC, sizeof header->magic) &&
         header->version == BOUNDARY_VERSION && header->object == (uint32_t)kind &&
         header->build_id_size == id_size && raw_equal(header->build_id, id, id_size) &&
         is_part(header->text_offset, header->text_size, file_size) &&
         is_part(header->stubs_offset, header->stubs_size, file_size) &&
         is_part(header->sites_offset, 0, file_size) && header->stubs_delta % PAGE_SIZE == 0 &&
         header->text_address % PAGE_SIZE == 0 &&
         header->site_count <=
             (file_size - header->sites_offset) / sizeof(struct boundary_site);
}

static int open_image(const char *directory, enum boundary_object kind, struct object *object,
                      const char **ret_error)
{
  uint32_t id_size = 0;
  const uint8_t *id = build_id(object, &id_size);
  char path[PATH_MAX];
  if (!id || !image_path(directory, id, id_size, path))
    return refuse(ret_error, -ENOENT, no_image[kind]);
  int64_t fd = raw_syscall3(SYS_open, (uint64_t)path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW, 0);
  if (raw_is_error(fd))
    return refuse(ret_error, (int)fd, no_image[kind]);
  object->fd = (int)fd;
  struct stat status;
  int64_t user = raw_syscall0(SYS_geteuid);
  int64_t result = raw_syscall2(SYS_fstat, (uint64_t)fd, (uint64_t)&status);
  if (raw_is_error(result) || !S_ISREG(status.st_mode))
    return refuse(ret_error, -EINVAL, no_image[kind]);
  if ((status.st_uid != 0 && status.st_uid != user) || status.st_mode & (S_IWGRP | S_IWOTH))
    return refuse(ret_error, -EPERM,
                  "the boundary image belongs to another user or can be written by others");
  result = raw_syscall4(SYS_pread64, (uint64_t)fd, (uint64_t)&object->header,
                        sizeof object->header, 0);
  if (result != sizeof object->header ||
      !header_is_valid(&object->header, kind, id, id_size, (uint64_t)status.st_size))
    return refuse(ret_error, -EINVAL,
                  "the boundary image is damaged or of another version of perdure");
  return 0;
}

/* The image's text must be exactly the pages of an executable segment. */
static bool text_is_a_segment(const struct object *object)
{
  uint64_t begin = object->header.text_address, end = begin + object->header.text_size;
  for (size_t i = 0; i < object->segment_count; i++) {
    const Elf64_Phdr *segment = &object->segments[i];
    if (segment->p_type == PT_LOAD && segment->p_flags & PF_X &&
        segment->p_vaddr - segment->p_vaddr % PAGE_SIZE == begin &&
        (segment->p_vaddr + segment->p_memsz + PAGE_SIZE - 1) / PAGE_SIZE * PAGE_SIZE == end)
      return true;
  }
  return false;
}

/* Is the vDSO in memory the one that the image was made of? */
static bool vdso_is_same(const struct object *vdso)
{
  uint64_t size = vdso->header.text_size;
  int64_t copy = raw_syscall6(SYS_mmap, 0, size, PROT_READ, MAP_PRIVATE, (uint64_t)vdso->fd,
                              vdso->header.text_offset);
  if (raw_is_error(copy))
    return false;
  const uint64_t *left = (const uint64_t *)copy, *right = (const uint64_t *)vdso->base;
  bool same = true;
  for (uint64_t i = 0; i < size / sizeof *left && same; i++)
    same = left[i] == right[i];
  raw_syscall2(SYS_munmap, (uint64_t)copy, size);
  return same;
}

/* --- stubs --- */

static uint64_t stubs_address(const struct object *object)
{
  return object->base + (uint64_t)object->header.stubs_delta;
}

static void unmap_stubs(struct object *object)
{
  if (object->has_stubs)
    raw_syscall2(SYS_munmap, stubs_address(object), object->header.stubs_size + PAGE_SIZE);
  object->has_stubs = false;
}

static int map_stubs(struct object *object, const uint64_t *slots, const char **ret_error)
{
  uint64_t address = stubs_address(object), size = object->header.stubs_size;
  uint64_t slots_page = address + size;
  int64_t mapped = raw_syscall6(SYS_mmap, address, size + PAGE_SIZE, PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, (uint64_t)-1, 0);
  if (mapped != (int64_t)address) {
    if (!raw_is_error(mapped))
      raw_syscall2(SYS_munmap, (uint64_t)mapped, size + PAGE_SIZE);
    return refuse(ret_error, -EEXIST, "the memory where the redirected calls go is not free");
  }
  object->has_stubs = true;
  mapped = raw_syscall6(SYS_mmap, address, size, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED,
                        (uint64_t)object->fd, object->header.stubs_offset);
  if (raw_is_error(mapped))
    return refuse(ret_error, (int)mapped,
                  "the boundary image cannot be mapped as code: its file system may be mounted "
                  "noexec");
  raw_copy((void *)slots_page, slots, BOUNDARY_SLOT_COUNT * sizeof *slots);
  int64_t result = raw_syscall3(SYS_mprotect, slots_page, PAGE_SIZE, PROT_READ);
  if (raw_is_error(result))
    return refuse(ret_error, (int)result, "the redirected calls cannot be protected");
  return 0;
}

/* --- the vDSO --- */

/* Writes the image's sites over the vDSO, by /proc/self/mem where its mapping is sealed. Kernels refuse
 * to split the mapping, so that all of it changes protection at once. original: what was there,
 * the same way. */
static int write_vdso(const struct object *vdso, bool original)
{
  const struct boundary_header *header = &vdso->header;
  int64_t memory = -1, result = 0;
  if (raw_is_error(raw_syscall3(SYS_mprotect, vdso->base, header->text_size,
                                PROT_READ | PROT_WRITE | PROT_EXEC))) {
    memory = raw_syscall3(SYS_open, (uint64_t) "/proc/self/mem", O_RDWR | O_CLOEXEC, 0);
    if (raw_is_error(memory))
      return (int)memory;
  }
  struct boundary_site sites[SITES_AT_ONCE];
  for (uint32_t i = 0; i < header->site_count && !raw_is_error(result); i++) {
    uint32_t place = i % SITES_AT_ONCE, left = header->site_count - i;
    if (place == 0) {
      size_t size = (left < SITES_AT_ONCE ? left : SITES_AT_ONCE) * sizeof *sites;
      result = raw_syscall4(SYS_pread64, (uint64_t)vdso->fd, (uint64_t)sites, size, header->sites_offset + i * sizeof *sites);
      if (result != (int64_t)size)
        result = -EIO;
    }
    struct boundary_site site = sites[place];
    if (raw_is_error(result) || site.size > sizeof site.bytes || site.address > header->text_size - sizeof site.bytes)
      result = -EIO;
    else if (original)
      result = raw_syscall4(SYS_pread64, (uint64_t)vdso->fd, (uint64_t)site.bytes, site.size,
                            header->text_offset + site.address);
    uint64_t address = vdso->base + site.address;
    if (raw_is_error(result))
      break;
    if (memory >= 0)
      result = raw_syscall4(SYS_pwrite64, (uint64_t)memory, (uint64_t)site.bytes, site.size,
                            address);
    else
      raw_copy((void *)address, site.bytes, site.size);
  }
  if (memory >= 0)
    raw_syscall1(SYS_close, (uint64_t)memory);
  else
    raw_syscall3(SYS_mprotect, vdso->base, header->text_size, PROT_READ | PROT_EXEC);
  return raw_is_error(result) ? (int)result : 0;
}

/* --- all of it --- */

static int look(const char *directory, const void *auxv, struct object *libc, struct object *vdso,
                const char **ret_error)
{
  if (!find_libc(auxv, libc))
    return refuse(ret_error, -ENOENT, "the program does not use glibc");
  int result = open_image(directory, BOUNDARY_LIBC, libc, ret_error);
  if (result < 0)
    return result;
  if (!text_is_a_segment(libc))
    return refuse(ret_error, -EINVAL, no_image[BOUNDARY_LIBC]);
  if (!find_vdso(auxv, vdso))
    return 0;
  result = open_image(directory, BOUNDARY_VDSO, vdso, ret_error);
  if (result < 0)
    return result;
  return vdso_is_same(vdso) ? 0 : refuse(ret_error, -EINVAL, no_image[BOUNDARY_VDSO]);
}

static int change(struct object *libc, struct object *vdso, const uint64_t *slots_libc,
                  const uint64_t *slots_vdso, const char **ret_error)
{
  int result = map_stubs(libc, slots_libc, ret_error);
  if (result == 0 && vdso->fd >= 0)
    result = map_stubs(vdso, slots_vdso, ret_error);
  if (result < 0)
    return result;
  if (vdso->fd >= 0 && (result = write_vdso(vdso, false)) < 0) {
    write_vdso(vdso, true);
    return refuse(ret_error, result, "the memory of the vDSO cannot be made writable");
  }
  const struct boundary_header *header = &libc->header;
  int64_t mapped = raw_syscall6(SYS_mmap, libc->base + header->text_address, header->text_size,
                                PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED,
                                (uint64_t)libc->fd, header->text_offset);
  if (raw_is_error(mapped)) {
    if (vdso->fd >= 0)
      write_vdso(vdso, true);
    return refuse(ret_error, (int)mapped, "the memory of libc's text cannot be replaced");
  }
  return 0;
}

int boundary_apply(const char *cache_directory, const void *auxv,
                   const uint64_t slots_libc[BOUNDARY_SLOT_COUNT],
                   const uint64_t slots_vdso[BOUNDARY_SLOT_COUNT],
                   uint64_t ret_original[BOUNDARY_SLOT_COUNT], const char **ret_error)
{
  struct object libc = {.fd = -1}, vdso = {.fd = -1};
  int result = look(cache_directory, auxv, &libc, &vdso, ret_error);
  if (result == 0)
    result = change(&libc, &vdso, slots_libc, slots_vdso, ret_error);
  if (result < 0) {
    unmap_stubs(&vdso);
    unmap_stubs(&libc);
  }
  if (result == 0) {
    for (unsigned slot = 0; slot < BOUNDARY_SLOT_COUNT; slot++) {
      uint64_t offset = vdso.fd >= 0 ? vdso.header.original_offset[slot] : 0;
      ret_original[slot] = offset ? stubs_address(&vdso) + offset : 0;
    }
  }
  if (libc.fd >= 0)
    raw_syscall1(SYS_close, (uint64_t)libc.fd);
  if (vdso.fd >= 0)
    raw_syscall1(SYS_close, (uint64_t)vdso.fd);
  return result;
}
