/* SPDX-License-Identifier: Apache-2.0 */
/* Takes an order and has it paid: order SERVER NAME AMOUNT. Leaves a receipt.
 *
 * A payment is nothing to try again when nobody knows whether it went through: with idempotence off, a run that was killed
 * in the middle of it stops, and a person looks at the books. Where it had been answered, it is never made again. */
#include "../request.h"
#include "perdure.h"

#include <stdlib.h>

static void write_down(const char *name, const char *word, const char *text)
{
  FILE *book = fopen(name, "a");
  if (!book || fprintf(book, "%s %s", word, text) < 0 || fclose(book) != 0)
    abort();
}

int main(int argc, char **argv)
{
  if (argc != 4)
    return 2;
  char body[256], key[37], line[320];
  struct answer answer;
  long status = 0;
  snprintf(body, sizeof body, "%s=%s", argv[2], argv[3]);
  snprintf(line, sizeof line, "%s\n", body);
  write_down("orders", "taken", line);
  if (perdure_idempotency_key(key) != 0)
    return 1;
  PERDURE_WITH_IDEMPOTENCE(0) {
    status = post(argv[1], "/charge", body, key, &answer);
  }
  write_down("orders", status == 200 ? "paid" : "not paid", line);
  if (status == 200)
    write_down("receipt", "the shop says", answer.text);
  return status == 200 ? 0 : 1;
}
