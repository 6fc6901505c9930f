/* SPDX-License-Identifier: Apache-2.0 */
/* Timers that send signals, and waiting for signals. What had gone off does not go off again; what had not is
 * set for what is left of it. */
#include "must.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>

static int out;
static volatile sig_atomic_t handled;

static void on_signal(int number)
{
  handled++;
  put(out, "handler\n");
}

/* Says nothing: whether it ran is for the call that it interrupts to say. */
static void on_alarm(int number)
{
}

static double seconds(const struct timeval *time)
{
  return (double)time->tv_sec + (double)time->tv_usec / 1e6;
}

/* A watchdog that never bites, through everything else. */
static void watchdogs(void)
{
  struct itimerval long_one = {.it_value = {500, 0}}, left;
  must(alarm(1000) == 0);
  put(out, "alarm\n");
  unsigned rest = alarm(900);
  must(rest > 900 && rest <= 1000);
  must(setitimer(ITIMER_REAL, &long_one, &left) == 0 && seconds(&left.it_value) > 800 && seconds(&left.it_value) <= 900);
  put(out, "setitimer\n");
  must(getitimer(ITIMER_REAL, &left) == 0 && seconds(&left.it_value) > 400 && seconds(&left.it_value) <= 500);
  must(setitimer(ITIMER_PROF, &(struct itimerval){.it_value = {300, 0}}, NULL) == 0);
  must(setitimer(7, &long_one, NULL) < 0 && errno == EINVAL);
}

/* Goes off while the program waits for it, and not again. */
static void waiting(void)
{
  sigset_t mask;
  siginfo_t info;
  timer_t timer;
  struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR2, .sigev_value.sival_int = 42};
  struct itimerspec soon = {.it_value.tv_nsec = 2000000}, left;
  const struct timespec now = {0, 0};
  sigemptyset(&mask);
  sigaddset(&mask, SIGUSR2);
  must(sigprocmask(SIG_BLOCK, &mask, NULL) == 0);
  must(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
  for (int i = 0; i < 3; i++) {
    must(timer_settime(timer, 0, &soon, NULL) == 0);
    put(out, "timer_settime\n");
    must(sigwaitinfo(&mask, &info) == SIGUSR2 && info.si_value.sival_int == 42);
    must(timer_getoverrun(timer) == 0);
    put(out, "sigwaitinfo\n");
    must(sigtimedwait(&mask, NULL, &now) < 0 && errno == EAGAIN);
  }
  struct itimerspec far = {.it_value.tv_sec = 700};
  must(timer_settime(timer, 0, &far, &left) == 0 && left.it_value.tv_sec == 0);
  must(timer_gettime(timer, &left) == 0 && left.it_value.tv_sec >= 600);
  timer_t second;
  event.sigev_notify = SIGEV_THREAD_ID;
  event._sigev_un._tid = (int)syscall(SYS_gettid);
  must(timer_create(CLOCK_REALTIME, &event, &second) == 0);
  must(timer_settime(second, TIMER_ABSTIME, &(struct itimerspec){.it_value.tv_sec = 1}, NULL) == 0);
  must(sigwaitinfo(&mask, NULL) == SIGUSR2);
  must(timer_delete(second) == 0 && timer_settime(second, 0, &soon, NULL) < 0 && errno == EINVAL);
  put(out, "timer_delete\n");
}

static void interrupted(void)
{
  struct sigaction action = {.sa_handler = on_alarm};
  must(sigaction(SIGALRM, &action, NULL) == 0);
  must(setitimer(ITIMER_REAL, &(struct itimerval){.it_value = {0, 5000}}, NULL) == 0);
  must(pause() < 0 && errno == EINTR);
  put(out, "pause\n");
  must(syscall(SYS_nanosleep, &(struct timespec){0, 1000000}, NULL) == 0);
  must(alarm(600) == 0);
  /* A signal that is there already, with a handler that writes. */
  sigset_t mask, none;
  sigemptyset(&mask);
  sigemptyset(&none);
  sigaddset(&mask, SIGUSR1);
  action.sa_handler = on_signal;
  must(sigaction(SIGUSR1, &action, NULL) == 0 && sigprocmask(SIG_BLOCK, &mask, NULL) == 0);
  must(raise(SIGUSR1) == 0 && handled == 0);
  must(sigsuspend(&none) < 0 && errno == EINTR && handled == 1);
  put(out, "sigsuspend\n");
  must(sigprocmask(SIG_UNBLOCK, &mask, NULL) == 0 && handled == 1);
  put(out, "unblocked\n");
}

int main(void)
{
  out = open("log", O_WRONLY | O_CREAT | O_APPEND, 0600);
  must(out >= 0);
  watchdogs();
  waiting();
  interrupted();
  unsigned rest = alarm(0);
  must(rest > 500 && rest <= 600);
  puts("timers: each once");
  return 0;
}
