/* SPDX-License-Identifier: Apache-2.0 */
/* Every call that the table refuses answers ENOSYS, live and in replay. Without perdure they are not made:
 * some of them would stop the machine. */
#include "must.h"

#include <fcntl.h>
#include <sys/syscall.h>

struct call {
  int number;
  const char *name;
};

#define REFUSED_PASS(id, name)
#define REFUSED_LOCAL(id, name)
#define REFUSED_OBSERVE(id, name)
#define REFUSED_CHANGE_LOCAL(id, name)
#define REFUSED_CHANGE_REMOTE(id, name)
#define REFUSED_PROCESS(id, name)
#define REFUSED_REFUSE(id, name) {id, name},
static const struct call refused[] = {
#define CALL(id, name, CLASS, handler, arguments, why, tested) REFUSED_##CLASS(id, #name)
#include "shim/calls.def"
#undef CALL
};
#define COUNT (sizeof refused / sizeof *refused)

int main(void)
{
  int out = open("log", O_WRONLY | O_CREAT | O_APPEND, 0600);
  must(out >= 0);
  for (size_t i = 0; i < COUNT; i++) {
    if (getenv("PERDURE_RUN"))
      must(syscall(refused[i].number, -1, 0, 0, 0, 0, 0) < 0 && errno == ENOSYS);
    if (i % 16 == 0)
      put(out, refused[i].name);
  }
  printf("refused: %zu calls\n", COUNT);
  return 0;
}
