# SPDX-License-Identifier: Apache-2.0
# Programs of this system run as ever when their system calls are redirected, and the calls are seen.

load boundary

setup_file() {
  prepare_images "$BATS_FILE_TMPDIR/images"
}

@test "bash runs loops, substitutions, pipelines and subshells" {
  assert_same_as_without bash -c 'for i in 1 2 3; do echo "$i $(ls / | sort | wc -l)"; done
    (exit 3); echo "$?"; sleep 0 & wait; trap "echo bye" EXIT'
  assert_seen calls 300
  assert_seen clones 5
}

@test "python3 runs threads, subprocesses and fork" {
  assert_same_as_without /usr/bin/python3 -c '
import os, subprocess, threading, time
out = []
threads = [threading.Thread(target=lambda i=i: (time.sleep(0.001), out.append(i))) for i in range(8)]
[t.start() for t in threads]
[t.join() for t in threads]
print(sorted(out), subprocess.check_output(["echo", "hi"]))
print(subprocess.run("exit 7", shell=True).returncode)
pid = os.fork()
if pid == 0:
    os._exit(4)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))'
  assert_seen calls 500
  assert_seen clones 11
}

@test "python3 runs signal handlers" {
  assert_same_as_without /usr/bin/python3 -c '
import os, signal
signal.signal(signal.SIGUSR1, lambda *a: print("handled"))
for i in range(100): os.kill(os.getpid(), signal.SIGUSR1)'
  assert_seen calls 100
}

@test "perl runs fork, backquotes and system" {
  assert_same_as_without perl -e '
    my $p = fork(); if (!$p) { exit 5 }
    waitpid($p, 0); print $? >> 8, `echo x`; system("exit 6"); print $? >> 8, "\n"'
  assert_seen clones 3
}

@test "git makes a repository, commits and shows it" {
  export GIT_AUTHOR_DATE='2000-01-01 00:00:00Z' GIT_COMMITTER_DATE='2000-01-01 00:00:00Z'
  export GIT_CONFIG_GLOBAL=/dev/null HOME=$BATS_TEST_TMPDIR
  assert_same_as_without bash -e -c 'cd "$HOME"; rm -rf repository
    git init -q -b main repository; cd repository
    git config user.name name; git config user.email name@example.org
    seq 1000 > file; git add file; git commit -q -m first; git log --stat; git status --short'
  assert_seen calls 500
}

@test "curl reads a file" {
  assert_same_as_without curl --version
  assert_same_as_without curl -s file:///etc/passwd
  assert_seen calls 10
}

@test "sqlite3 writes and reads a database" {
  assert_same_as_without bash -c "rm -f '$BATS_TEST_TMPDIR/db'; sqlite3 '$BATS_TEST_TMPDIR/db' \
    'create table t(a); insert into t values (1), (2); update t set a = a + 1; select * from t'"
  assert_seen calls 50
}

@test "the vDSO's clocks are seen, and right" {
  run_probed /usr/bin/python3 -c '
import time
for i in range(1000): time.monotonic()
print(int(time.clock_gettime(time.CLOCK_REALTIME)), time.clock_getres(time.CLOCK_MONOTONIC))'
  assert_success
  assert_seen vdso 1000
  (($(date +%s) - ${output%% *} <= 5)) || fail "the time is $output"
}

@test "cancellation and backtraces unwind through the engine" {
  run_probed "$programs/cancel_in_call"
  assert_success
  assert_output "deferred: cancelled, 1 by handler, 1 by variable
asynchronous: cancelled, 1 by handler, 1 by variable
backtrace: the caller, the thread's function"
}

@test "children are made by vfork, fork, posix_spawn, system, popen and clone" {
  assert_same_as_without "$programs/children"
  assert_line 'vfork and exec: 5'
  assert_seen clones 11
}

@test "registers, vector registers and the red zone are kept" {
  assert_same_as_without "$programs/registers_kept"
  refute_output --partial lost
  refute_output --partial wrong
}

@test "the vDSO is redirected where its memory may not be made writable" {
  run_probed "$programs/deny_executable_memory" /usr/bin/python3 -c '
import time
for i in range(1000): time.monotonic()'
  [ "$status" -ne 77 ] || skip "this kernel cannot deny it"
  assert_success
  assert_seen vdso 1000
}
