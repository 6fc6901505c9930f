/* SPDX-License-Identifier: Apache-2.0 */
/* A journey of a flight, a hotel and a car: each booking is a line of `bookings`, each cancellation one of `cancellations`. The
 * car is not to be had: all that was booked is cancelled, once, in reverse. A second journey is settled. */
#include "control-api/perdure.h"

#include "must.h"

#include <fcntl.h>

static void append(const char *path, const char *what)
{
  char line[64];
  int length = snprintf(line, sizeof line, "%s\n", what);
  int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
  must(fd >= 0 && write(fd, line, (size_t)length) == length && close(fd) == 0);
}

static void cancel(void *what)
{
  append("cancellations", (const char *)what);
}

static void book(char *what)
{
  append("bookings", what);
  must(perdure_compensate(cancel, what) == 0);
}

int main(void)
{
  static char flight[] = "flight", hotel[] = "hotel", train[] = "train";
  must(perdure_rollback() == 0 && perdure_compensate(NULL, flight) == PERDURE_ERROR_ARGUMENT);
  book(flight);
  book(hotel);
  must(access("car", F_OK) == -1);
  must(perdure_rollback() == 2);
  book(train);
  must(perdure_settle() == 1 && perdure_rollback() == 0);
  return 0;
}
