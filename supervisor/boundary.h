/* SPDX-License-Identifier: Apache-2.0 */
/* Makes boundary images (journal/boundary.h) with capstone and keeps them in a cache by build-id. */
#ifndef PERDURE_SUPERVISOR_BOUNDARY_H
#define PERDURE_SUPERVISOR_BOUNDARY_H

#include "journal/boundary.h"
#include "supervisor/store.h"

/* Makes sure that cache_directory holds valid images for this machine's libc.so.6 (the one that this
 * process has loaded) and for the running kernel's vDSO. Written under a temporary name and renamed;
 * two at once are harmless. Refuses (failure) when a syscall instruction cannot be redirected. */
int boundary_prepare(const char *cache_directory, struct failure *failure);

/* The same for one ELF file of a libc. ret_path (PATH_MAX bytes) gets the image's path. */
int boundary_prepare_file(const char *cache_directory, const char *object_path, char *ret_path,
                          struct failure *failure);

/* "5.0", of the disassembler that images are made with. Static. */
const char *boundary_disassembler_version(void);

enum program_kind { PROGRAM_OK, PROGRAM_STATIC, PROGRAM_SETUID, PROGRAM_OTHER_LIBC, PROGRAM_OTHER_MACHINE,
                    PROGRAM_GO, PROGRAM_NOT_EXECUTABLE, PROGRAM_NOT_FOUND };
/* Can `path` be run under perdure? Follows #! lines (four levels, as the kernel). When it cannot,
 * failure says why in one line. Setuid, setgid and file capabilities count as PROGRAM_SETUID unless
 * they would give this user nothing. */
enum program_kind boundary_check_program(const char *path, struct failure *failure);

#endif
