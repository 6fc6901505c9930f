/* SPDX-License-Identifier: Apache-2.0 */
/* Signals in a process with threads: each handler writes, and runs again in the thread and at the call where it ran; in a call
 * that waits, in a lock, for a child's end, from one thread to another and to the whole process, by a timer. */
#include "must.h"

#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/time.h>
#include <sys/wait.h>

static volatile sig_atomic_t children, alarms;
static sem_t woken;
static pthread_t first;
static int never[2];

static void on_user(int number)
{
  (void)number;
  put(STDOUT_FILENO, "handler of USR1\n");
}

static void on_other(int number)
{
  (void)number;
  put(STDOUT_FILENO, "handler of USR2\n");
  must(sem_post(&woken) == 0);
}

static void on_child(int number)
{
  int status, saved = errno;
  (void)number;
  while (waitpid(-1, &status, WNOHANG) > 0) {
    put(STDOUT_FILENO, WEXITSTATUS(status) == 3 ? "a child has ended with 3\n" : "a child has ended otherwise\n");
    children++;
  }
  errno = saved;
}

static void on_alarm(int number)
{
  (void)number;
  alarms++;
}

static void handle(int number, void (*handler)(int), int flags)
{
  struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
  must(sigaction(number, &action, NULL) == 0);
}

/* Tells this thread that the first one is about to wait. */
static int ready[2];

static void say_ready(void)
{
  must(write(ready[1], "", 1) == 1);
}

static void wait_ready(void)
{
  char byte;
  must(read(ready[0], &byte, 1) == 1);
}

static void *send_them(void *nothing)
{
  wait_ready();
  must(pthread_kill(first, SIGUSR1) == 0);
  wait_ready();
  must(kill(getpid(), SIGUSR1) == 0);
  wait_ready();
  must(pthread_kill(first, SIGUSR2) == 0);
  return nothing;
}

static void wait_interrupted(void)
{
  struct pollfd news = {.fd = never[0], .events = POLLIN};
  sigset_t none;
  sigemptyset(&none);
  say_ready();
  must(ppoll(&news, 1, NULL, &none) == -1 && errno == EINTR);
  put(STDOUT_FILENO, "interrupted\n");
}

static void block(int number)
{
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, number);
  must(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
}

static void have_a_child(void)
{
  int before = children;
  pid_t child = fork();
  must(child >= 0);
  if (child == 0)
    _exit(3);
  while (children == before) {
    sigset_t none;
    sigemptyset(&none);
    sigsuspend(&none);
  }
}

static void *have_children(void *nothing)
{
  for (int i = 0; i < 2; i++)
    have_a_child();
  return nothing;
}

int main(void)
{
  pthread_t thread;
  const struct itimerval soon = {.it_value = {.tv_usec = 2000}};
  first = pthread_self();
  must(pipe(never) == 0 && pipe(ready) == 0 && sem_init(&woken, 0, 0) == 0);
  handle(SIGUSR1, on_user, 0);
  handle(SIGUSR2, on_other, SA_RESTART);
  handle(SIGCHLD, on_child, SA_RESTART);
  handle(SIGALRM, on_alarm, 0);
  /* They come where something waits for them; who sends them has them blocked too. */
  block(SIGUSR1);
  block(SIGALRM);
  must(pthread_create(&thread, NULL, send_them, NULL) == 0);
  wait_interrupted();
  wait_interrupted();
  /* The handler itself ends this one. */
  say_ready();
  while (sem_wait(&woken) < 0)
    must(errno == EINTR);
  put(STDOUT_FILENO, "woken\n");
  must(pthread_join(thread, NULL) == 0);
  must(setitimer(ITIMER_REAL, &soon, NULL) == 0);
  while (!alarms) {
    sigset_t none;
    sigemptyset(&none);
    must(sigsuspend(&none) == -1 && errno == EINTR);
  }
  put(STDOUT_FILENO, "alarm\n");
  /* Only the other thread takes what its children tell, and only where it waits for that. */
  block(SIGCHLD);
  must(pthread_create(&thread, NULL, have_children, NULL) == 0);
  must(pthread_join(thread, NULL) == 0);
  put(STDOUT_FILENO, "end\n");
  return 0;
}
