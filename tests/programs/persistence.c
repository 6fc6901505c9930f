/* SPDX-License-Identifier: Apache-2.0 */
/* What is made with persistence off is made in every attempt, and all that is around it once: files that were open
 * before, what is opened in it and used after, what the journal refers to and it overwrites, children, threads, keys.
 *
 *   persistence [COUNT]   COUNT: a file that gets a byte each time that the first block is made */
#include "control-api/perdure.h"
#include "must.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#define BIG_SIZE 200000
#define HALF (BIG_SIZE / 2)
#define CACHE_LINES 300

static void line(int fd, const char *text)
{
  put(fd, text);
  put(fd, "\n");
}

static void make_big(void)
{
  char *bytes = malloc(BIG_SIZE);
  for (int i = 0; i < BIG_SIZE; i++)
    bytes[i] = (char)('a' + i % 26);
  int fd = open("big", O_WRONLY | O_CREAT | O_EXCL, 0600);
  must(fd >= 0 && write(fd, bytes, BIG_SIZE) == BIG_SIZE);
  close(fd);
  free(bytes);
}

/* Reads half of it, by reference; what a later part of the program overwrites is what this has read. */
static unsigned long read_half(int fd)
{
  char *bytes = malloc(HALF);
  unsigned long sum = 0;
  must(read(fd, bytes, HALF) == HALF);
  for (int i = 0; i < HALF; i++)
    sum = sum * 31 + (unsigned char)bytes[i];
  free(bytes);
  return sum;
}

static void read_from_child(void)
{
  int ends[2], status;
  char bytes[16] = "";
  must(pipe(ends) == 0);
  pid_t child = fork();
  if (child == 0) {
    put(ends[1], "by a child");
    _exit(7);
  }
  close(ends[1]);
  must(read(ends[0], bytes, sizeof bytes - 1) == 10 && strcmp(bytes, "by a child") == 0);
  close(ends[0]);
  must(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 7);
}

static void *make_by_thread(void *argument)
{
  int fd = open("by-thread", O_WRONLY | O_CREAT | O_TRUNC, 0600);
  must(fd >= 0);
  line(fd, "thread");
  close(fd);
  return NULL;
}

static void work_in_thread(void)
{
  pthread_t thread;
  must(pthread_create(&thread, NULL, make_by_thread, NULL) == 0);
  must(pthread_join(thread, NULL) == 0);
}

static int fill_cache(void)
{
  int fd = open("cache", O_RDWR | O_CREAT | O_TRUNC, 0600);
  must(fd >= 0);
  for (int i = 0; i < CACHE_LINES; i++) {
    char text[32];
    snprintf(text, sizeof text, "entry %d", i);
    line(fd, text);
  }
  return fd;
}

static void count(const char *file)
{
  int fd = file ? open(file, O_WRONLY | O_APPEND) : -1;
  if (!file)
    return;
  must(fd >= 0);
  put(fd, ".");
  close(fd);
}

/* Opened where nothing is journaled, used where all is. */
static void use_cache(int fd)
{
  char bytes[64];
  must(lseek(fd, 0, SEEK_SET) == 0);
  must(read(fd, bytes, sizeof bytes) == (ssize_t)sizeof bytes && strncmp(bytes, "entry 0\n", 8) == 0);
  must(lseek(fd, 0, SEEK_END) > 0);
  line(fd, "after");
  int copy = dup(fd);
  line(copy, "by its copy");
  close(copy);
}

static int listen_here(struct sockaddr_in *address)
{
  socklen_t length = sizeof *address;
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  *address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  must(bind(fd, (struct sockaddr *)address, length) == 0 && listen(fd, 4) == 0);
  must(getsockname(fd, (struct sockaddr *)address, &length) == 0);
  return fd;
}

/* A server and a connection to it, both made in the block. */
static void use_connection(void)
{
  int server = -1, client = -1, accepted = -1;
  char bytes[8] = "";
  PERDURE_WITH_PERSISTENCE(PERDURE_PERSIST_NOTHING) {
    struct sockaddr_in address;
    server = listen_here(&address);
    client = socket(AF_INET, SOCK_STREAM, 0);
    must(connect(client, (struct sockaddr *)&address, sizeof address) == 0);
    accepted = accept(server, NULL, NULL);
    must(accepted >= 0);
    must(send(client, "in", 2, 0) == 2 && recv(accepted, bytes, 2, MSG_WAITALL) == 2);
  }
  /* Killed from here on, the next attempt's connection has not said this, and is shown as reset. */
  if (send(client, "out", 3, MSG_NOSIGNAL) == 3 && recv(accepted, bytes, 3, MSG_WAITALL) == 3)
    must(memcmp(bytes, "out", 3) == 0);
  else
    must(errno == ECONNRESET || errno == EPIPE || errno == ENOTCONN);
  close(client);
  close(accepted);
  close(server);
}

int main(int argc, char **argv)
{
  char inside[37] = "", again[37], after[37];
  struct timespec now;
  int cache = -1;
  make_big();
  int log = open("log", O_WRONLY | O_CREAT | O_APPEND | O_EXCL, 0600), big = open("big", O_RDWR);
  must(log >= 0 && big >= 0);
  line(log, "before");
  printf("%lu\n", read_half(big));
  PERDURE_WITH_PERSISTENCE(PERDURE_PERSIST_NOTHING) {
    must(!perdure_shim_scope_begin || perdure_persistence_get() == PERDURE_PERSIST_NOTHING);
    count(argc > 1 ? argv[1] : NULL);
    must(lseek(big, 0, SEEK_CUR) == HALF);
    must(pwrite(big, "overwritten", 11, 100) == 11);
    cache = fill_cache();
    read_from_child();
    work_in_thread();
    must(clock_gettime(CLOCK_REALTIME, &now) == 0);
    must(perdure_idempotency_key(inside) == 0 && perdure_idempotency_key(again) == 0 && strcmp(inside, again) != 0);
    struct perdure_token region;
    must(!perdure_shim_scope_begin || perdure_atomic_begin(&region) == PERDURE_ERROR_PERSISTENCE);
    PERDURE_WITH_IDEMPOTENCE(0)
      must(!perdure_shim_scope_begin || perdure_idempotence_get() == 0);
    PERDURE_WITH_PERSISTENCE(PERDURE_PERSIST_SMART)
      line(log, "smart inside");
  }
  must(perdure_persistence_get() == PERDURE_PERSIST_SMART);
  use_cache(cache);
  must(perdure_idempotency_key(after) == 0 && strcmp(after, inside) != 0);
  line(log, "after");
  PERDURE_ATOMICALLY {
    PERDURE_WITH_PERSISTENCE(PERDURE_PERSIST_NOTHING)
      line(log, "in a region");
  }
  PERDURE_WITH_PERSISTENCE(PERDURE_PERSIST_REMOTE) {
    /* Made again, and the same. */
    int scratch = open("scratch", O_RDWR | O_CREAT | O_TRUNC, 0600);
    line(scratch, "scratch");
    close(scratch);
    puts("printed once");
    fflush(stdout);
  }
  use_connection();
  printf("%lu\n", read_half(big));
  close(cache);
  close(big);
  close(log);
  return 0;
}
