/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/attempt_text.h"

#include "cli/command.h"
#include "supervisor/retry.h"

#include <inttypes.h>
#include <string.h>

static void print_decision(FILE *stream, const struct store_retry *retry)
{
  char delay[RETRY_DURATION_SIZE];

  fprintf(stream, "  at call %" PRIu64 ", failure %u", retry->place, retry->failure);
  if (retry->max_attempts > 0)
    fprintf(stream, " of %u", retry->max_attempts);
  fputs(": ", stream);
  retry_duration_text(retry->delay_ns, delay);
  if (retry->again)
    fprintf(stream, "again after %s", delay);
  else
    fputs("no further attempt", stream);
  if (retry->policy != NULL)
    fprintf(stream, ", by the policy %s", retry->policy);
  if (retry->total_ns == 0 && retry->policy == NULL)
    return;
  retry_duration_text(retry->spent_ns, delay);
  fprintf(stream, ", %s", delay);
  if (retry->total_ns > 0) {
    retry_duration_text(retry->total_ns, delay);
    fprintf(stream, " of %s", delay);
  }
  fputs(" spent", stream);
}

void attempt_text_end(FILE *stream, const struct store_failed_attempt *failed)
{
  fputs(failed->ended, stream);
  if (strcmp(failed->ended, "killed") == 0)
    fprintf(stream, " by signal %d (%s)", failed->status, strsignal(failed->status));
  else if (strcmp(failed->ended, "exited") == 0)
    fprintf(stream, " with status %d", failed->status);
  if (failed->decided)
    print_decision(stream, &failed->retry);
}

void attempt_text_json(FILE *stream, const struct store_failed_attempt *failed)
{
  fprintf(stream, "\"attempt\":%u,\"ended\":\"%s\",\"status\":%d,\"time_ns\":%" PRId64, failed->number, failed->ended,
          failed->status, failed->ended_ns);
  if (!failed->decided)
    return;
  fprintf(stream, ",\"place\":%" PRIu64 ",\"failure\":%u,\"max_attempts\":%u,\"delay_ns\":", failed->retry.place,
          failed->retry.failure, failed->retry.max_attempts);
  if (failed->retry.again)
    fprintf(stream, "%" PRIu64, failed->retry.delay_ns);
  else
    fputs("null", stream);
  fprintf(stream, ",\"spent_ns\":%" PRIu64, failed->retry.spent_ns);
  if (failed->retry.total_ns > 0)
    fprintf(stream, ",\"total_ns\":%" PRIu64, failed->retry.total_ns);
  if (failed->retry.policy != NULL) {
    fputs(",\"policy\":", stream);
    command_json_string(stream, failed->retry.policy, strlen(failed->retry.policy));
  }
}
