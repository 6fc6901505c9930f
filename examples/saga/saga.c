/* SPDX-License-Identifier: Apache-2.0 */
/* Books a journey in three steps, each of which says how it is undone: saga SERVER. There is no car, so what was booked before is
 * cancelled, the latest first, once each, wherever the program was killed: also in the middle of cancelling. */
#include "../request.h"
#include "perdure.h"

#include <stdlib.h>

static const char *server;

static void ask(const char *what, const char *path)
{
  struct answer answer;
  if (post(server, path, what, NULL, &answer) != 200)
    abort();
  fputs(answer.text, stdout);
}

static void cancel_flight(void *which)
{
  ask(which, "/cancel/flight");
}

static void cancel_hotel(void *which)
{
  ask(which, "/cancel/hotel");
}

static int there_is_a_car(void)
{
  return 0;
}

int main(int argc, char **argv)
{
  static char flight[] = "LH400", hotel[] = "Palace";
  if (argc != 2)
    return 2;
  server = argv[1];
  ask(flight, "/book/flight");
  if (perdure_compensate(cancel_flight, flight) != 0)
    return 1;
  ask(hotel, "/book/hotel");
  if (perdure_compensate(cancel_hotel, hotel) != 0)
    return 1;
  if (there_is_a_car())
    return perdure_settle() == 2 ? 0 : 1;
  return perdure_rollback() == 2 ? 3 : 1;
}
