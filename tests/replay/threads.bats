#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Threads whose calls depend on which of them took a lock first, replayed.

bats_require_minimum_version 1.5.0

setup() {
  load ../cli/domain.bash
  set_up_place
  programs=$(dirname "$PERDURE_ITSELF")/tests/programs
}

# assert_replays TIMES COMMAND...: so many runs, each another one by who came first, and each comes again as it was.
assert_replays() {
  local times=$1 number
  shift
  for ((number = 0; number < times; number++)); do
    run_durable -q --replayable --id "job-$number" -- "$@"
    assert_equal "$status" 0
    printed=$output
    run -0 perdure verify "job-$number" --replay
    assert_output "job-$number: every call came again as it is recorded"
  done
}

# locks ID: how many times something of POSIX threads was taken.
locks() {
  perdure sql "$1" "select count(*) from entries where call like 'pthread%' or call like 'sem%'"
}

@test "four threads that compute, and write under a mutex, come again in the order in which they had it" {
  assert_replays 20 "$programs/ordered" mutex
  assert [ "$(locks job-0)" -ge 24 ]
}

@test "mutexes that are tried, waited for in time, recursive, checking, robust: the order in which they were had" {
  for kind in trying time other-mutexes robust-mutex; do
    assert_replays 4 "$programs/ordered" $kind
    rm -r "$PERDURE_DIR"
  done
}

@test "conditions: whom they wake, and whether the time was over" {
  for kind in condition condition-in-time; do
    assert_replays 5 "$programs/ordered" $kind
    rm -r "$PERDURE_DIR"
  done
}

@test "read-write locks, semaphores, spin locks, the locks of threads.h: who had them first" {
  for kind in read-write-lock semaphore spin-lock c11; do
    assert_replays 4 "$programs/ordered" $kind
    rm -r "$PERDURE_DIR"
  done
}

@test "barriers, pthread_once, joins, cancelled waits: the one, the first, whether it had ended, and where" {
  for kind in barrier once end cancelling; do
    assert_replays 4 "$programs/ordered" $kind
    rm -r "$PERDURE_DIR"
  done
}

# Python's threads take its lock from each other by a flag when one has had it for 5 ms, which on a loaded machine is one that
# had no processor: that is in no call and no lock (README: limits). sys.setswitchinterval(100): here none has to give way.

@test "a server of Python's with a thread for each connection, and its clients" {
  cat > server.py <<'PYTHON'
import http.server, sys, threading, urllib.request

sys.setswitchinterval(100)

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = f"you asked for {self.path}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        with lock:
            log.append(arguments[1])

lock, log = threading.Lock(), []
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
serving = threading.Thread(target=server.serve_forever)
serving.start()

def ask(client):
    for question in range(5):
        answer = urllib.request.urlopen(f"http://127.0.0.1:{server.server_address[1]}/{client}/{question}").read()
        with lock:
            sys.stdout.write(answer.decode())
            sys.stdout.flush()

clients = [threading.Thread(target=ask, args=(client,)) for client in range(4)]
for client in clients:
    client.start()
for client in clients:
    client.join()
server.shutdown()
serving.join()
print(len(log), "answers")
PYTHON
  assert_replays 8 /usr/bin/python3 server.py
  assert_regex "$printed" "20 answers"
}

@test "pools of threads in Python: futures as they are completed, results unordered" {
  cat > pools.py <<'PYTHON'
import concurrent.futures, hashlib, multiprocessing.dummy, sys, threading

sys.setswitchinterval(100)

def work(number):
    digest = hashlib.sha256(str(number).encode() * 1000).hexdigest()
    return number, digest, threading.current_thread().name

with concurrent.futures.ThreadPoolExecutor(4) as executor:
    for future in concurrent.futures.as_completed([executor.submit(work, number) for number in range(40)]):
        print(future.result(), flush=True)
with multiprocessing.dummy.Pool(4) as pool:
    for result in pool.imap_unordered(work, range(40)):
        print(result, flush=True)
PYTHON
  assert_replays 6 /usr/bin/python3 pools.py
}

@test "compressors and sort with four threads" {
  seq 300000 > numbers
  for command in "xz -f -T4 -0 --block-size=200000 -k" "zstd -f -q -T4 -B500000 -k" "sort --parallel=4 -S 2M -r -o sorted"; do
    read -r tool options <<< "$command"
    command -v "$tool" > /dev/null || continue
    # shellcheck disable=SC2086 # words on purpose
    assert_replays 2 "$tool" $options numbers
    rm -rf "$PERDURE_DIR" numbers.*
  done
}

@test "while a process has one thread, what it locks has no entry, also when the others have been joined" {
  cat > alone.c <<'SOURCE'
#include <pthread.h>
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static void *work(void *times)
{
  for (long i = 0; i < (long)times; i++) {
    pthread_mutex_lock(&mutex);
    pthread_mutex_unlock(&mutex);
  }
  return 0;
}
int main(int argc, char **argv)
{
  pthread_t thread;
  work((void *)1000);
  pthread_create(&thread, 0, work, (void *)7);
  pthread_join(thread, 0);
  work((void *)1000);
  return 0;
}
SOURCE
  cc -pthread -o alone alone.c
  assert_replays 1 ./alone
  assert_equal "$(locks job-0)" 7
}

@test "killed while a thread waits for a condition that it has been woken for: it goes on" {
  cat > woken.c <<'SOURCE'
#include <pthread.h>
#include <unistd.h>
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER, begun = PTHREAD_COND_INITIALIZER;
static int woken, waits;
static void *wait_for_it(void *unused)
{
  pthread_mutex_lock(&mutex);
  waits = 1;
  pthread_cond_signal(&begun);
  while (!woken)
    pthread_cond_wait(&condition, &mutex);
  pthread_mutex_unlock(&mutex);
  return (void *)(long)(write(1, "woken\n", 6) != 6);
}
int main(void)
{
  pthread_t thread;
  void *failed;
  pthread_create(&thread, 0, wait_for_it, 0);
  pthread_mutex_lock(&mutex);
  while (!waits)
    pthread_cond_wait(&begun, &mutex);
  woken = 1;
  pthread_cond_signal(&condition);
  /* Here it has been signalled, and cannot go on. */
  if (write(1, "signalled\n", 10) != 10)
    return 1;
  pthread_mutex_unlock(&mutex);
  pthread_join(thread, &failed);
  return failed != 0;
}
SOURCE
  cc -pthread -o woken woken.c
  run -0 perdure check --points all --jobs 1 -- ./woken
  assert_line --regexp '^[1-9][0-9]* points, [1-9][0-9]* the same, 0 different$'
}
