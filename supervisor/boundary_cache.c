/* SPDX-License-Identifier: Apache-2.0 */
/* Images are kept by build-id and made again whenever what is there is not whole, of another version or,
 * for the vDSO, of other bytes. Two at once write the same file. Why a crash at any line is harmless: see
 * boundary_image.c. */
#include "supervisor/boundary.h"

#include "supervisor/boundary_image.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define LIBC_NAME "libc.so.6"

/* Maps a whole file read-only, NULL when that cannot be done. */
static void *map_file(const char *path, size_t *ret_size)
{
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0)
    return NULL;
  struct stat status;
  void *bytes = MAP_FAILED;
  if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_size > 0)
    bytes = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
  close(fd);
  if (bytes == MAP_FAILED)
    return NULL;
  *ret_size = (size_t)status.st_size;
  return bytes;
}

/* Is there an image of this object that can be used? `text`: what its copy of the text must be, or
 * NULL. */
static bool is_cached(const char *path, enum boundary_object object, const uint8_t *build_id,
                      size_t build_id_size, const struct elf_file *text)
{
  size_t size;
  void *bytes = map_file(path, &size);
  if (!bytes)
    return false;
  const struct boundary_header *header = bytes;
  bool good = boundary_image_is_valid(bytes, size) && header->object == object &&
              header->build_id_size == build_id_size &&
              memcmp(header->build_id, build_id, build_id_size) == 0;
  if (good && text)
    good = header->text_size >= text->size &&
           memcmp((uint8_t *)bytes + header->text_offset, text->bytes, text->size) == 0;
  munmap(bytes, size);
  return good;
}

static int prepare(const char *directory, const struct elf_file *file, const char *name,
                   enum boundary_object object, char *path, struct failure *failure)
{
  if (!elf_file_is_x86_64(file))
    return failure_set(failure, -ENOEXEC, "%s is not an x86-64 object", name);
  size_t size;
  const uint8_t *build_id = elf_file_build_id(file, BOUNDARY_BUILD_ID_SIZE, &size);
  if (!build_id)
    return failure_set(failure, -ENOEXEC, "%s has no build-id", name);
  int result = boundary_image_path(directory, build_id, size, path);
  if (result < 0)
    return failure_set(failure, result, "the path of the cache directory is too long");
  if (is_cached(path, object, build_id, size, object == BOUNDARY_VDSO ? file : NULL))
    return 0;
  struct boundary_plan plan = {0};
  result = object == BOUNDARY_VDSO ? boundary_plan_vdso(file, name, &plan, failure)
                                   : boundary_plan_libc(file, name, &plan, failure);
  if (result == 0)
    result = boundary_image_write(&plan, path, failure);
  boundary_plan_clear(&plan);
  return result;
}

int boundary_prepare_file(const char *cache_directory, const char *object_path, char *ret_path,
                          struct failure *failure)
{
  struct elf_file file;
  int result = elf_file_open(object_path, &file);
  if (result < 0)
    return failure_set(failure, result, "cannot read %s: %s", object_path,
                       result == -ENOEXEC ? "it is not an ELF file" : strerror(-result));
  char path[PATH_MAX];
  result = prepare(cache_directory, &file, object_path, BOUNDARY_LIBC, path, failure);
  elf_file_close(&file);
  if (result == 0)
    strcpy(ret_path, path);
  return result;
}

/* Takes the path of this process's libc. */
static int find_libc(struct dl_phdr_info *info, size_t size, void *context)
{
  const char *slash = strrchr(info->dlpi_name, '/');
  if (!slash || strcmp(slash + 1, LIBC_NAME) != 0)
    return 0;
  char *path = context;
  if (strlen(info->dlpi_name) >= PATH_MAX)
    return 0;
  strcpy(path, info->dlpi_name);
  return 1;
}

/* The object's size in memory: all of it is mapped, headers and section headers included. */
static size_t vdso_size(const Elf64_Ehdr *header)
{
  size_t size = header->e_shoff + (size_t)header->e_shnum * header->e_shentsize;
  const Elf64_Phdr *segments = (const Elf64_Phdr *)((const uint8_t *)header + header->e_phoff);
  for (size_t i = 0; i < header->e_phnum; i++) {
    size_t end = segments[i].p_offset + segments[i].p_filesz;
    if (segments[i].p_type == PT_LOAD && end > size)
      size = end;
  }
  return (size + BOUNDARY_PAGE_SIZE - 1) / BOUNDARY_PAGE_SIZE * BOUNDARY_PAGE_SIZE;
}

static int prepare_vdso(const char *cache_directory, struct failure *failure)
{
  const Elf64_Ehdr *header = (const Elf64_Ehdr *)getauxval(AT_SYSINFO_EHDR);
  if (!header)
    return 0; /* this kernel gives programs none */
  struct elf_file file;
  if (elf_file_over(header, vdso_size(header), &file) < 0)
    return failure_set(failure, -ENOEXEC, "the kernel's vDSO cannot be read");
  char path[PATH_MAX];
  return prepare(cache_directory, &file, "the kernel's vDSO", BOUNDARY_VDSO, path, failure);
}

int boundary_prepare(const char *cache_directory, struct failure *failure)
{
  char libc[PATH_MAX] = "", image[PATH_MAX];
  if (!dl_iterate_phdr(find_libc, libc))
    return failure_set(failure, -ENOENT, "no %s is loaded here", LIBC_NAME);
  int result = boundary_prepare_file(cache_directory, libc, image, failure);
  return result < 0 ? result : prepare_vdso(cache_directory, failure);
}
