# SPDX-License-Identifier: Apache-2.0
# A program that died is started again, as the policy says.
bats_require_minimum_version 1.5.0
load domain

setup() {
  set_up_place
  programs=$(realpath "${PERDURE_BUILD:-$BATS_TEST_DIRNAME/../../build}")/tests/programs
}

# start_stepping_run STEPS OPTION...: a run in the background that says its pid at each step and waits for a word.
start_stepping_run() {
  local steps=$1
  shift
  mkfifo up go errors
  # shellcheck disable=SC2016  # the inner shell's
  "$PERDURE" run --id job "$@" -- /bin/sh -c '
    i=0
    while [ $i -lt '"$steps"' ]; do echo $$ > up; read word < go; echo "$i $word" >> out; i=$((i + 1)); done; exit 7' \
    2> errors &
  supervisor=$!
  exec 7<> errors
}

# Kills the program once it waits for its word: what it has said is in the journal then.
kill_waiting() {
  local program
  program=$(pgrep -P "$supervisor" -x sh)
  timeout 10 sh -c 'until grep -q wait_for_partner "/proc/$1/wchan"; do :; done' - "$program"
  kill -9 "$program"
}

# The next line that perdure says, or a failure after 10 s.
next_words() {
  read -t 10 -r words <&7
}

# ended_and_began: for each attempt but the first, the ns between the end of the one before and its beginning.
waits() {
  perdure sql "$1" 'select a.began_ns - b.ended_ns from attempt a join attempt b on b.number = a.number - 1
                    order by a.number'
}

@test "the program alone killed from outside: the same command goes on, and nothing is done twice" {
  start_stepping_run 2 --retry max=2,min=1ms
  read -t 10 -r program <> up
  echo first > go
  read -t 10 -r program <> up
  kill_waiting
  next_words
  assert_regex "$words" 'killed by signal 9 .*; attempt 2 of 2 at this place begins in'
  next_words
  assert_regex "$words" 'resuming job'
  echo second > go
  await_supervisor
  assert_equal "$status" 7
  assert_equal "$(cat out)" "$(printf '0 first\n1 second')"
}

@test "progress past a place of failure starts a new count" {
  start_stepping_run 4 --retry max=2,min=1ms
  for word in a b c d; do
    read -t 10 -r program <> up
    kill_waiting
    next_words
    assert_regex "$words" 'attempt 2 of 2'
    next_words
    echo $word > go
  done
  await_supervisor
  assert_equal "$status" 7
  assert_equal "$(cat out)" "$(printf '0 a\n1 b\n2 c\n3 d')"
}

@test "a program that always dies there: three attempts, with the default's delays between them" {
  # shellcheck disable=SC2016  # the inner shell's
  run_durable --id job -- /bin/sh -c 'echo once; kill -9 $$'
  assert_equal "$status" 137
  assert_output once
  assert_regex "$stderr" 'the 3. time at this place; the same command goes on with it'
  run -0 perdure retries job
  assert_equal "${#lines[@]}" 4
  assert_line --index 2 --regexp 'killed by signal 9 .* failure 3 of 3: no further attempt$'
  assert_line --index 3 'next: nothing by itself, the policy has given up; the same command, or `perdure resume job`, goes on with it'
  mapfile -t measured < <(waits job)
  [ "${measured[0]}" -ge 100000000 ]
  [ "${measured[0]}" -lt 600000000 ]
  [ "${measured[1]}" -ge 300000000 ]
  [ "${measured[1]}" -lt 900000000 ]
}

@test "--retry says how often and how late, also to a resumed run" {
  # shellcheck disable=SC2016  # the inner shell's
  run_durable -q --id job --retry max=5,min=20ms,max-delay=30ms,multiplier=1.2,jitter=0 -- /bin/sh -c 'kill -9 $$'
  assert_equal "$status" 137
  assert_equal "$(perdure retries job | grep -o 'again after .*' | tr '\n' ' ')" \
    'again after 20 ms again after 24 ms again after 28.8 ms again after 30 ms '
  run -137 perdure resume -q job
  assert_equal "$(perdure retries job | grep -vc "^next: ")" 10
}

@test "--no-retry: a program that died is not started again" {
  # shellcheck disable=SC2016  # the inner shell's
  run_durable --id job --no-retry -- /bin/sh -c 'kill -9 $$'
  assert_equal "$status" 137
  assert_equal "$(perdure retries job | grep -vc "^next: ")" 1
}

@test "a program that somebody ended by INT, TERM, HUP or QUIT is not started again" {
  for name in INT TERM HUP QUIT; do
    # Who starts the tests in the background has INT and QUIT ignored, and programs inherit that.
    run_durable --id $name -- env --default-signal=$name /bin/sh -c "ulimit -c 0; kill -$name \$\$"
    assert_equal "$status" $((128 + $(kill -l $name)))
    assert_equal "$(perdure retries $name | grep -vc "^next: ")" 1
  done
}

@test "waiting is interrupted by a signal, and the same command goes on" {
  start_stepping_run 1 --retry max=3,min=1h
  read -t 10 -r program <> up
  kill_waiting
  next_words
  assert_regex "$words" 'begins in 6?[0-9.]+ min$'
  kill -TERM "$supervisor"
  next_words
  assert_regex "$words" 'ended by signal 15 .* while it waited; the same command goes on with it'
  await_supervisor
  assert_equal "$status" 143
  run -0 perdure status job
  assert_line --regexp '^state: +unfinished$'
}

@test "what was read of a pipe or a file on standard input is not read again" {
  cat > job.py <<'SCRIPT'
import ctypes, os, sys
first = os.read(0, 6).decode()
os.write(1, first.encode())
if os.path.exists("die"):
    ctypes.string_at(0)
SCRIPT
  seq 10 99 > input
  touch die
  run_durable --retry max=3,min=1ms -q --id file -- /usr/bin/python3 job.py < input
  assert_equal "$status" 139
  assert_output "$(printf '10\n11')"
  # shellcheck disable=SC2016  # the inner shell's
  run bash -c 'seq 10 99 | "$1" run --retry max=3,min=1ms -q --id pipe -- /usr/bin/python3 job.py' - "$PERDURE"
  assert_equal "$status" 139
  assert_output "$(printf '10\n11')"
}

@test "the program's own policy stands above the command line's, and its reason is in the log" {
  run_durable -q --id job --retry max=9 -- "$programs/failing" 2
  assert_equal "$status" 134
  assert_output begun
  run -0 perdure retries job
  assert_equal "${#lines[@]}" 3
  assert_line --index 0 --partial 'failure 1 of 2: again after 0.001 ms'
  perdure log job | grep -q 'the program gave up: nothing works'
}

@test "nonsense in --retry is refused in one line" {
  for policy in max=0 multiplier=0.5 min=2s,max-delay=1s often=3; do
    run_durable --retry $policy -- true
    assert_equal "$status" 125
    assert_regex "$stderr" '^perdure: --retry: .+; .+$|^perdure: --retry: .+ is, once, .+$'
  done
}

# as_if_longer ID HOURS: the last failure was so many hours of boot time before.
as_if_longer() {
  /usr/bin/python3 - "$PERDURE_DIR/runs/$1/run.db" "$2" <<'SCRIPT'
import sqlite3, sys
with sqlite3.connect(sys.argv[1]) as store:
    words = store.execute("select value from meta where key = 'retry_clock'").fetchone()[0].split()
    words[3] = str(int(words[3]) - int(sys.argv[2]) * 3600 * 10**9)
    store.execute("update meta set value = ? where key = 'retry_clock'", (" ".join(words),))
SCRIPT
}

@test "no attempt begins after the total time, though there would be more" {
  # shellcheck disable=SC2016  # the inner shell's
  run_durable --id job --retry max=9,min=2s,max-delay=2s,total=1s -- /bin/sh -c 'kill -9 $$'
  assert_equal "$status" 137
  assert_regex "$stderr" ', 0 ms after it first did so at this place: the next attempt would begin after 1 s; the same command goes on with it'
  assert_equal "$(perdure retries job | grep -vc "^next: ")" 1
}

@test "the total time goes on when another supervisor takes over" {
  # shellcheck disable=SC2016  # the inner shell's
  run_durable -q --id job --retry max=2,min=1ms,max-delay=1ms,total=3h -- /bin/sh -c 'kill -9 $$'
  assert_equal "$(perdure retries job | grep -vc "^next: ")" 2
  as_if_longer job 2
  run perdure resume -q job
  assert_equal "$(perdure retries job | grep -vc "^next: ")" 4
  as_if_longer job 2
  run --separate-stderr perdure resume job
  assert_equal "$status" 137
  assert_regex "$stderr" ', 240(\.[0-9]+)? min after it first did so at this place: the next attempt would begin after 180 min'
  run -0 perdure retries job
  assert_equal "${#lines[@]}" 6
  assert_line --index 4 --regexp 'failure 1 of 2: no further attempt, 240(\.[0-9]+)? min of 180 min spent$'
}

@test "--retry-policy: the policy of the first rule that matches, with its name; a resumed run remembers it" {
  printf '%s\n' 'policy quick = immediate count 3' 'policy slow = periodic 2ms count 2' 'policy both = quick and-then slow' \
    'on exit 75 use slow' 'on signal KILL priority 2 use both' 'on any use slow' > rules
  # shellcheck disable=SC2016  # the inner shell's
  run_durable --id killed --retry-policy rules -- /bin/sh -c 'kill -9 $$'
  assert_equal "$status" 137
  assert_regex "$stderr" 'attempt 2 at this place, by policy both, begins in 0 ms'
  assert_regex "$stderr" 'the 4. time at this place: policy both ends there; the same command goes on with it'
  assert_equal "$(perdure retries killed | grep -o 'failure .*' | sed 's/, [^,]* spent$//' | tr '\n' ,)" \
    'failure 1: again after 0 ms, by the policy both,failure 2: again after 0 ms, by the policy both,failure 3: again after 2 ms, by the policy both,failure 4: no further attempt, by the policy both,'
  rm rules
  run -137 perdure resume -q killed
  assert_equal "$(perdure retries killed | grep -vc "^next: ")" 8
}

@test "--retry-policy: a rule for an exit status has it tried again, one that no rule has is not" {
  printf '%s\n' 'policy once = immediate count 2' 'on exit 75 use once' > rules
  # shellcheck disable=SC2016  # the inner shell's
  run_durable --id matched --retry-policy rules -- bash -c '/bin/sh -c "echo try >> out; exit 75"; exit $?'
  assert_equal "$status" 75
  assert_equal "$(wc -l < out)" 2
  # shellcheck disable=SC2016  # the inner shell's
  run_durable --id other --retry-policy rules -- bash -c '/bin/sh -c "echo try >> out; exit 76"; exit $?'
  assert_equal "$status" 76
  assert_equal "$(wc -l < out)" 3
}

@test "a policy that the program has put together, with its name; a resumed run remembers it" {
  run_durable --id named --retry max=9 -- "$programs/failing" plan steady
  assert_equal "$status" 134
  assert_regex "$stderr" 'attempt 2 at this place, by policy steady, begins in 0 ms'
  assert_regex "$stderr" 'the 5. time at this place: policy steady ends there; the same command goes on with it'
  assert_equal "$(perdure retries named | grep -o 'again after .*\|no further.*' | sed 's/, by the policy steady, .* spent$//' | tr '\n' ,)" \
    'again after 0 ms,again after 0 ms,again after 2 ms,again after 2 ms,no further attempt,'
  run -134 perdure resume -q named
  assert_equal "$(perdure retries named | grep -vc "^next: ")" 10
  run_durable --id unnamed -- "$programs/failing" plan
  assert_regex "$stderr" "policy of the program's ends there"
}

@test "nonsense in a file of policies is refused with its line; so is a file that cannot be read" {
  printf 'policy a = never\non exit 300 use a\n' > rules
  run_durable --retry-policy rules -- true
  assert_equal "$status" 125
  assert_regex "$stderr" "^perdure: rules:2: '300' is no exit status; give one from 1 to 255"
  for file in missing . /dev/zero; do
    run_durable --retry-policy "$file" -- true
    assert_equal "$status" 125
    assert_clear_line
  done
}
