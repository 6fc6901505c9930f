/* SPDX-License-Identifier: Apache-2.0 */
/* Which programs are run and which are refused, on files made here. */
#include "supervisor/boundary.h"
#include "tests/unit/tap.h"

#include <elf.h>
#include <fcntl.h>
#include <limits.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char directory[] = "/tmp/test_boundary_program.XXXXXX";

static const char *place(const char *name)
{
  static char path[PATH_MAX];
  snprintf(path, sizeof path, "%s/%s", directory, name);
  return path;
}

static void make_file(const char *name, const void *bytes, size_t size, mode_t mode)
{
  const char *path = place(name);
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0 || write(fd, bytes, size) != (ssize_t)size || fchmod(fd, mode) < 0)
    abort();
  close(fd);
}

static void make_script(const char *name, const char *text)
{
  make_file(name, text, strlen(text), 0755);
}

struct small_elf {
  Elf64_Ehdr header;
  Elf64_Phdr segment;
  Elf64_Shdr sections[3];
  char loader[64], names[64];
};

/* A header, a PT_INTERP if there is a loader, and one named section. */
static void make_elf(const char *name, unsigned char class, uint16_t machine, const char *loader,
                     const char *section)
{
  struct small_elf file = {0};
  memcpy(file.header.e_ident, ELFMAG, SELFMAG);
  file.header.e_ident[EI_CLASS] = class;
  file.header.e_ident[EI_DATA] = ELFDATA2LSB;
  file.header.e_type = ET_DYN;
  file.header.e_machine = machine;
  file.header.e_phoff = offsetof(struct small_elf, segment);
  file.header.e_phentsize = sizeof file.segment;
  file.header.e_phnum = 1;
  file.header.e_shoff = offsetof(struct small_elf, sections);
  file.header.e_shentsize = sizeof file.sections[0];
  file.header.e_shnum = 3;
  file.header.e_shstrndx = 2;
  strcpy(file.names + 1, section);
  file.sections[1].sh_name = 1;
  file.sections[1].sh_type = SHT_PROGBITS;
  file.sections[2].sh_type = SHT_STRTAB;
  file.sections[2].sh_offset = offsetof(struct small_elf, names);
  file.sections[2].sh_size = sizeof file.names;
  if (loader) {
    strcpy(file.loader, loader);
    file.segment.p_type = PT_INTERP;
    file.segment.p_offset = offsetof(struct small_elf, loader);
    file.segment.p_filesz = strlen(loader) + 1;
  }
  make_file(name, &file, sizeof file, 0755);
}

static void check(enum program_kind expected, const char *name, const char *promise)
{
  struct failure failure = {""};
  const char *path = name[0] == '/' ? name : place(name);
  enum program_kind kind = boundary_check_program(path, &failure);
  tap_ok(kind == expected && (kind == PROGRAM_OK) == (failure.text[0] == '\0'), "%s (%d) %s",
         promise, kind, failure.text);
}

#define GLIBC_LOADER "/lib64/ld-linux-x86-64.so.2"

static void test_programs(void)
{
  check(PROGRAM_OK, "/bin/sh", "a program of this system is run");
  make_elf("glibc", ELFCLASS64, EM_X86_64, GLIBC_LOADER, ".text");
  check(PROGRAM_OK, "glibc", "a program whose loader is glibc's is run");
  make_elf("static", ELFCLASS64, EM_X86_64, NULL, ".text");
  check(PROGRAM_STATIC, "static", "a static program is refused");
  make_elf("musl", ELFCLASS64, EM_X86_64, "/lib/ld-musl-x86_64.so.1", ".text");
  check(PROGRAM_OTHER_LIBC, "musl", "a program of musl's is refused");
  make_elf("bionic", ELFCLASS64, EM_X86_64, "/system/bin/linker64", ".text");
  check(PROGRAM_OTHER_LIBC, "bionic", "a program of another libc is refused");
  make_elf("i386", ELFCLASS32, EM_386, "/lib/ld-linux.so.2", ".text");
  check(PROGRAM_OTHER_MACHINE, "i386", "a 32-bit program is refused");
  make_elf("x32", ELFCLASS32, EM_X86_64, "/libx32/ld-linux-x32.so.2", ".text");
  check(PROGRAM_OTHER_MACHINE, "x32", "an x32 program is refused");
  make_elf("arm", ELFCLASS64, EM_AARCH64, "/lib/ld-linux-aarch64.so.1", ".text");
  check(PROGRAM_OTHER_MACHINE, "arm", "a program of another machine is refused");
  make_elf("go", ELFCLASS64, EM_X86_64, NULL, ".go.buildinfo");
  check(PROGRAM_GO, "go", "a static Go program is refused as one");
  make_elf("cgo", ELFCLASS64, EM_X86_64, GLIBC_LOADER, ".note.go.buildid");
  check(PROGRAM_GO, "cgo", "a Go program that loads glibc is refused too");
  make_elf("loaderless", ELFCLASS64, EM_X86_64, "/nowhere/ld-linux-x86-64.so.2", ".text");
  check(PROGRAM_NOT_FOUND, "loaderless", "a missing loader is named");
}

static void test_scripts(void)
{
  char text[PATH_MAX];
  make_script("script", "#! /bin/sh -e\n");
  check(PROGRAM_OK, "script", "a script is what runs it");
  snprintf(text, sizeof text, "#!%s/script", directory);
  make_script("script2", text);
  check(PROGRAM_OK, "script2", "a script of a script is followed");
  snprintf(text, sizeof text, "#!%s/static\n", directory);
  make_script("static_script", text);
  check(PROGRAM_STATIC, "static_script", "a script run by a static program is refused");
  snprintf(text, sizeof text, "#!%s/loop\n", directory);
  make_script("loop", text);
  check(PROGRAM_NOT_EXECUTABLE, "loop", "a script that runs itself is refused");
  make_script("lost", "#!/nowhere/interpreter\n");
  check(PROGRAM_NOT_FOUND, "lost", "a missing interpreter is named");
  make_script("blank", "#!  \n");
  check(PROGRAM_NOT_EXECUTABLE, "blank", "a #! line that names nothing is refused");
  make_script("text", "echo hello\n");
  check(PROGRAM_NOT_EXECUTABLE, "text", "a text without #! is refused");
}

static void test_permission(void)
{
  check(PROGRAM_NOT_FOUND, "nothing", "a missing program is named");
  check(PROGRAM_NOT_EXECUTABLE, directory, "a directory is refused");
  make_file("plain", "#!/bin/sh\n", 10, 0644);
  check(PROGRAM_NOT_EXECUTABLE, "plain", "a file without execute permission is refused");
  make_elf("mine", ELFCLASS64, EM_X86_64, GLIBC_LOADER, ".text");
  if (chmod(place("mine"), 06755) < 0)
    abort();
  check(PROGRAM_OK, "mine", "setuid to oneself gives nothing, and is run");
  if (geteuid() != 0) {
    check(PROGRAM_SETUID, "/bin/su", "a setuid program is refused");
    return;
  }
  make_elf("setuid", ELFCLASS64, EM_X86_64, GLIBC_LOADER, ".text");
  if (chown(place("setuid"), 1, 0) < 0 || chmod(place("setuid"), 04755) < 0)
    abort();
  check(PROGRAM_SETUID, "setuid", "a setuid program is refused");
  make_elf("setgid", ELFCLASS64, EM_X86_64, GLIBC_LOADER, ".text");
  if (chown(place("setgid"), 0, 1) < 0 || chmod(place("setgid"), 02755) < 0)
    abort();
  check(PROGRAM_SETUID, "setgid", "a setgid program is refused");
}

int main(void)
{
  static const char *const names[] = {
      "glibc", "static", "musl", "bionic", "i386", "x32", "arm", "go", "cgo", "loaderless", "script",
      "script2", "static_script", "loop", "lost", "blank", "text", "plain", "mine", "setuid",
      "setgid"};
  if (!mkdtemp(directory))
    return 1;
  test_programs();
  test_scripts();
  test_permission();
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    unlink(place(names[i]));
  return rmdir(directory) < 0 ? 1 : tap_done();
}
