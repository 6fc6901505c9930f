# SPDX-License-Identifier: Apache-2.0
# What is on disk when: seen from outside, by the order of the calls that put it there.
load domain
load ../crash/servers

setup() {
  set_up_place
  start_counting_server
  url="http://127.0.0.1:$port/post"
}

teardown() {
  stop_servers
}

# trace_run ARG...: `perdure run ARG...`, its disk syncs and what its program sends in the file trace.
trace_run() {
  strace -f -y -e trace=msync,fdatasync,fsync,sendto -o trace "$PERDURE_ITSELF" run "$@" 3>&-
}

# line_of PATTERN: the number of the first such line of the trace; nothing if there is none.
line_of() {
  grep -nE -m 1 "$1" trace | cut -d : -f 1
}

@test "before a request's first byte is sent, the store and the tail are on disk" {
  trace_run --sync remote -- curl -sS -d one=1 "$url"
  local sent
  sent=$(line_of 'sendto\(.*"POST ')
  assert [ -n "$sent" ]
  assert [ "$(line_of 'fdatasync\([0-9]+<.*/run\.db-wal>')" -lt "$sent" ]
  assert [ "$(line_of 'fsync\([0-9]+<.*/runs/[^/]*>')" -lt "$sent" ]
  assert [ "$(line_of 'msync\(')" -lt "$sent" ]
}

@test "each later request waits for its own intent" {
  trace_run --sync remote -- curl -sS -d one=1 "$url" --next -sS -d two=2 "$url"
  run eval "grep -oE 'msync\(|\"POST ' trace | tr -dc mP"
  assert_output --regexp '^m+Pm+P$'
}

@test "with --sync none nothing waits for the disk" {
  trace_run --sync none -- curl -sS -d one=1 "$url"
  assert [ -n "$(line_of 'sendto\(.*"POST ')" ]
  run grep -E 'sync\(' trace
  assert_failure
}

@test "a look-up of a name on this machine waits for no disk" {
  trace_run --sync remote -- python3 -c 'import os, pwd; pwd.getpwuid(os.getuid()); pwd.getpwnam("root")'
  run "$PERDURE_ITSELF" log "$("$PERDURE_ITSELF" ls | grep -o 'python3-[0-9a-f]*')"
  assert_output --partial nscd
  run grep -c 'msync(' trace
  assert_output 0
}

@test "with --sync all each change of a file waits for its intent" {
  trace_run --sync all -- sh -c 'echo one > a; echo two > b'
  assert [ "$(grep -c 'msync(' trace)" -ge 4 ]
}

@test "a run without remote changes syncs at its end, and not for what it writes" {
  trace_run --sync remote -- sh -c 'echo one > a; echo two > b'
  run grep -c 'msync(' trace
  assert_output 0
  # The last: how it ended.
  run tail -n 3 trace
  assert_output --regexp 'fdatasync\([0-9]+<.*/run\.db-wal>'
}
