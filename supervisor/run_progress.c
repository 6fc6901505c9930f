/* SPDX-License-Identifier: Apache-2.0 */
/* A thread that follows the journal of the live run by a reader of its own, as `perdure log --follow` does. Writes nothing. */
#include "supervisor/run_progress.h"

#include "supervisor/run_commands.h"
#include "supervisor/thread.h"

#include <stdlib.h>
#include <time.h>

#define STEP_NS 100000000l

struct run_progress_thread {
  const struct run_options *options;
  struct run_reader *reader;
  struct run_commands commands;
  pthread_t thread;
  pthread_mutex_t lock;
  pthread_cond_t stopped;
  bool stops;
};

/* A copy of its parent is no command of its own. */
static struct run_progress count(const struct run_commands *commands)
{
  struct run_progress progress = {.running = ""};

  for (size_t i = 1; i < commands->count; i++) {
    const struct run_command *command = &commands->list[i];

    if (command->words == NULL)
      continue;
    progress.done += command->ended;
    if (!command->ended)
      progress.running = command->words;
  }
  return progress;
}

/* false: it is to stop. */
static bool rest(struct run_progress_thread *thread)
{
  struct timespec until;
  bool stops;

  clock_gettime(CLOCK_MONOTONIC, &until);
  until.tv_nsec += STEP_NS;
  until.tv_sec += until.tv_nsec / 1000000000;
  until.tv_nsec %= 1000000000;
  pthread_mutex_lock(&thread->lock);
  if (!thread->stops)
    pthread_cond_timedwait(&thread->stopped, &thread->lock, &until);
  stops = thread->stops;
  pthread_mutex_unlock(&thread->lock);
  return !stops;
}

static void *follow(void *argument)
{
  struct run_progress_thread *thread = argument;
  struct failure ignored;

  while (rest(thread) && run_commands_read(&thread->commands, thread->reader, &ignored) == 0) {
    struct run_progress progress = count(&thread->commands);

    thread->options->progress(&progress, thread->options->context);
  }
  thread->options->progress(NULL, thread->options->context);
  return NULL;
}

static void release(struct run_progress_thread *thread)
{
  pthread_mutex_destroy(&thread->lock);
  pthread_cond_destroy(&thread->stopped);
  run_commands_release(&thread->commands);
  run_reader_close(thread->reader);
  free(thread);
}

struct run_progress_thread *run_progress_start(const struct run_attempt *attempt)
{
  struct run_progress_thread *thread = attempt->options->progress != NULL ? calloc(1, sizeof *thread) : NULL;
  struct failure ignored;
  pthread_condattr_t clock;

  if (thread == NULL)
    return NULL;
  thread->options = attempt->options;
  if (run_reader_open(&attempt->place, 1, &thread->reader, &ignored) < 0) {
    free(thread);
    return NULL;
  }
  pthread_mutex_init(&thread->lock, NULL);
  pthread_condattr_init(&clock);
  pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
  pthread_cond_init(&thread->stopped, &clock);
  pthread_condattr_destroy(&clock);
  if (run_reader_hide(thread->reader, &ignored) == 0 && thread_begin(&thread->thread, follow, thread) == 0)
    return thread;
  release(thread);
  return NULL;
}

void run_progress_stop(struct run_progress_thread *thread)
{
  if (thread == NULL)
    return;
  pthread_mutex_lock(&thread->lock);
  thread->stops = true;
  pthread_cond_signal(&thread->stopped);
  pthread_mutex_unlock(&thread->lock);
  pthread_join(thread->thread, NULL);
  release(thread);
}
