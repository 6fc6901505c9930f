# SPDX-License-Identifier: Apache-2.0
# The small programs of tests/programs, killed at their kill points: one for each area of the engine.
load sweeps

setup() {
  check_options=()
  set_up_inputs
  rm -r "$inputs"
  "$BATS_TEST_DIRNAME/../programs/make_inputs" "$inputs"
  programs=$(realpath "${PERDURE_BUILD:-$BATS_TEST_DIRNAME/../../build}")/tests/programs
}

@test "appends, by write, writev and pwritev2, through two descriptors: each once" {
  assert_survives "$programs/append"
}

@test "modes, owners, times and extended attributes" {
  assert_survives "$programs/attributes"
}

@test "close_range, closing everything, a listing of descriptors, few of them" {
  assert_survives "$programs/closing"
}

@test "keys, notes, commits and scopes of the control API, used and misused" {
  # The keys are random without perdure; the program itself says whether they stay the same under it.
  check_options=(--compare 'cat said; wc -l < keys')
  assert_survives "$programs/control"
}

@test "copy_file_range, sendfile, splice into a file" {
  assert_survives "$programs/copying"
}

@test "directories: made, listed, entered, renamed with an open file inside, removed" {
  assert_survives "$programs/directories"
}

@test "a chain of execs keeps descriptors, offsets and the run" {
  assert_survives "$programs/exec"
}

@test "the process's numbers, signals to itself, abort with a handler" {
  assert_survives "$programs/identity"
}

@test "atomic regions: every change of files goes back, nested, left early, with files open before" {
  assert_survives "$programs/regions"
}

@test "what a reader was told of, or had a part of, is there when it looks without waiting" {
  assert_survives "$programs/early_reader"
}

@test "calls that wait, each ended by a signal: the handler has run when they come back" {
  assert_survives "$programs/interrupted_waits"
}

@test "a saga: what was booked is cancelled once, in reverse, also when the rollback is killed in the middle" {
  assert_survives "$programs/saga"
}

@test "a signal that a child lets come late, or takes from a descriptor" {
  assert_survives "$programs/late_signals"
}

@test "the root directory, open" {
  cat > "$inputs/job.py" <<'END'
import os
root = os.open("/", os.O_PATH | os.O_DIRECTORY)
open("first", "w").write("one")
place = os.open("tmp", os.O_RDONLY | os.O_DIRECTORY, dir_fd=root)
open("second", "w").write("two")
END
  sweep_points=40
  assert_survives /usr/bin/python3 job.py
}

@test "atomic regions: what children change meanwhile goes back too, and is done once" {
  assert_survives "$programs/region_children"
}

@test "atomic regions of two processes overlap: each goes back to its own beginning" {
  assert_survives "$programs/region_overlap"
}

@test "signals in a process with threads come in the thread and at the call where they came" {
  assert_survives "$programs/threads_signals"
}

@test "locks of all kinds are held again" {
  assert_survives "$programs/locks"
}

@test "many open files, some of them duplicated" {
  assert_survives "$programs/many_files"
}

@test "memory files" {
  assert_survives "$programs/memfd"
}

@test "mappings, private and shared, of small and large files" {
  assert_survives "$programs/memory"
}

@test "names: link, symlink, rename with all its flags, exclusive creation" {
  assert_survives "$programs/names"
}

@test "output to pipes, files and closed descriptors; input that was consumed in part" {
  assert_survives "$programs/output"
}

@test "pipes, socket pairs and eventfds with bytes unread" {
  assert_survives "$programs/pipes"
}

@test "epoll, ppoll, pselect over pipes, timers and signals" {
  assert_survives "$programs/polling"
}

@test "bytes read by reference, and then overwritten, cut, replaced, removed" {
  assert_survives "$programs/reference"
}

@test "ftruncate and every mode of fallocate" {
  assert_survives "$programs/sizes"
}

@test "threads, each with its stream" {
  assert_survives "$programs/threads"
}

@test "threads that compute between calls, in the order in which they had each lock" {
  # All of them, and each alone: a sweep of all has few points in each.
  assert_survives "$programs/ordered"
}

@test "open files without a name" {
  assert_survives "$programs/unlinked"
}

@test "inotify watches" {
  assert_survives "$programs/watching"
}

@test "clocks, random bytes, rdtsc and sleeping are what they were" {
  # What it prints says whether it was all of one piece; the numbers differ in each run.
  check_options=(--compare 'ls')
  local uncounted=()
  "$PERDURE" doctor | grep -q '^yes  trapped rdtsc' || uncounted=(uncounted)
  assert_survives "$programs/clocks" "${uncounted[@]}"
}

@test "calls that change the machine for everybody are made once" {
  assert_survives "$programs/administration"
}

@test "what is asked about files and filesystems, when they have changed since" {
  assert_survives "$programs/looking"
}

@test "calls that pass: own memory, scheduling, hints" {
  assert_survives "$programs/passing"
}

@test "calls that are refused answer as on a kernel without them" {
  assert_survives "$programs/refused"
}

@test "terminals that the program makes for itself" {
  assert_survives "$programs/terminals"
}

@test "threads by their numbers, which are others in each attempt" {
  assert_survives "$programs/thread_numbers"
}

@test "timers that send signals, each once, and the rest of those that have not gone off" {
  assert_survives "$programs/timers"
}

@test "what the process may do, and what the machine is" {
  assert_survives "$programs/who"
}

@test "openat2, mknod, pwritev, and what makes them durable" {
  assert_survives "$programs/writing"
}
