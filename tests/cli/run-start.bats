#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0

bats_require_minimum_version 1.5.0

setup() {
  load domain.bash
  set_up_place
}

@test "a program that is not found is 127, one that cannot be executed 126, and neither leaves a run" {
  touch text
  mkdir directory
  for program in no-such-program ./no-such-program ./text/below ""; do
    run --separate-stderr -127 perdure run -- "$program"
    assert_clear_line
  done
  for program in ./text ./directory; do
    run_durable -- "$program"
    assert_equal "$status" 126
    assert_clear_line
  done
  assert_equal "$(ls "$PERDURE_DIR/runs")" ""
}

@test "a program that cannot be preloaded is refused before it has done anything" {
  run_durable -- /sbin/ldconfig --version
  assert_equal "$status" 125
  assert_clear_line
  assert_equal "$output" ""
  assert_equal "$(ls "$PERDURE_DIR/runs")" ""
}

@test "without its shim nothing is run" {
  PERDURE_SHIM=/no/shim run_durable -- touch x
  assert_equal "$status" 125
  assert_clear_line
  assert_not_exist x
}

@test "a script without #! is run by sh, as execvp does" {
  echo 'echo "$0 $1"' > script
  chmod +x script
  run_durable -- ./script word
  assert_equal "$status" 0
  assert_output "./script word"
}

@test "the program is searched in PATH" {
  mkdir bin
  printf '#!/bin/sh\necho mine\n' > bin/mine
  chmod +x bin/mine
  PATH="$PWD/bin:$PATH" run_durable -- mine
  assert_output mine
}

@test "another preloaded library may make calls before the program begins" {
  seq 100 > numbers
  export LD_PRELOAD=$PERDURE_BUILD/tests/programs/interposer.so
  crash_at 40 --id early -- sort -r -n numbers
  run_durable --id early -- sort -r -n numbers
  unset LD_PRELOAD
  assert_equal "$status" 0
  assert_equal "$output" "$(seq 100 -1 1)"
}

@test "the exit status is the program's, and 128+n when signal n killed it" {
  run_durable -- /bin/sh -c 'exit 42'
  assert_equal "$status" 42
  # shellcheck disable=SC2016  # the inner shell's
  run_durable -q --id killed -- /bin/sh -c 'kill -9 $$'
  assert_equal "$status" 137
  run -0 perdure status killed
  assert_line --regexp '^state: +unfinished$'
}

@test "the program gets its arguments, environment, directory, umask, limits and descriptors as without perdure" {
  cat > look <<'SCRIPT'
#!/bin/bash
printf '%s|' "$@"
echo
pwd
umask
ulimit -a
env | sort | grep -v '^_='
ls /proc/self/fd | wc -l
trap
SCRIPT
  chmod +x look
  umask 027
  ulimit -Sn 300
  export ODD=$'two\nlines' EMPTY=
  bare=$(./look 'a b' '' $'c\nd' 3>&- 5< /dev/null)
  durable=$("$PERDURE" run -- ./look 'a b' '' $'c\nd' 5< /dev/null)
  assert_equal "$durable" "$bare"
}

@test "closed standard descriptors stay closed for the program" {
  cat > standard.py <<'SCRIPT'
import os
for fd in 0, 1, 2:
    try:
        os.fstat(fd)
        os.write(5, f"{fd} is open\n".encode())
    except OSError as error:
        os.write(5, f"{fd}: {error.strerror}\n".encode())
SCRIPT
  for closed in '0<&-' '1>&-' '2>&-' '0<&- 1>&- 2>&-'; do
    eval "/usr/bin/python3 standard.py 5> bare $closed"
    eval "\"\$PERDURE_ITSELF\" run -- /usr/bin/python3 standard.py 3>&- 5> durable $closed"
    run -0 diff bare durable
    assert_equal "$(wc -l < bare)" 3
  done
  run -0 perdure verify "$(perdure ls --json | python3 -c 'import json,sys; print(json.load(sys.stdin)[0]["id"])')"
}

@test "few descriptors and small files allowed: the program runs under them, perdure does not need to" {
  # shellcheck disable=SC2016  # the inner shell's
  run /bin/sh -c 'ulimit -Sn 40; ulimit -Sf 1; exec "$0" run --id job -- /bin/sh -c "ulimit -n; ulimit -f; echo small > file"' "$PERDURE"
  assert_success
  assert_output $'40\n1'
  assert_equal "$(cat file)" small
}

@test "a signal that is ignored stays ignored for the program, and none is blocked" {
  cat > ignoring.py <<'SCRIPT'
import os, signal, sys
for ignored in sys.argv[1].split(","):
    if ignored:
        signal.signal(getattr(signal, ignored), signal.SIG_IGN)
for default in (signal.SIGPIPE, signal.SIGXFSZ):
    if default.name not in sys.argv[1]:
        signal.signal(default, signal.SIG_DFL)
os.execv(sys.argv[2], sys.argv[2:])
SCRIPT
  for names in "" SIGHUP,SIGPIPE,SIGCHLD,SIGUSR1; do
    bare=$(python3 ignoring.py "$names" /bin/grep -E 'Sig(Ign|Blk)' /proc/self/status)
    durable=$(python3 ignoring.py "$names" "$PERDURE" run -- /bin/grep -E 'Sig(Ign|Blk)' /proc/self/status)
    assert_equal "$durable" "$bare"
  done
}

@test "a preload of the user's stays, behind the shim" {
  LD_PRELOAD=libm.so.6 run_durable -- grep -E '(shim|libm)[^/]*$' /proc/self/maps
  assert_equal "$status" 0
  assert_output --partial libperdure-shim.so
  assert_output --partial libm.so.6
}

@test "without --id the name comes from command, arguments and directory, and a finished run starts anew" {
  run_durable -- /bin/sh -c 'echo once >> out'
  run_durable -- /bin/sh -c 'echo once >> out'
  assert_equal "$(wc -l < out)" 2
  assert_equal "$(perdure ls | wc -l)" 2
  run_durable -- /bin/sh -c 'echo twice >> out'
  assert_equal "$(perdure ls | wc -l)" 3
  mkdir below
  cd below
  run_durable -- /bin/sh -c 'echo once >> out'
  assert_equal "$(perdure ls | wc -l)" 4
  assert_equal "$(perdure ls --json | python3 -c '
import json, re, sys
runs = json.load(sys.stdin)
print(all(re.fullmatch("sh-[0-9a-f]{8}", run["id"]) for run in runs), {run["state"] for run in runs})')" \
    "True {'finished'}"
}

@test "with --id a finished run is not run again: its status is given, and that is said" {
  run_durable --id job -- /bin/sh -c 'echo once >> out; exit 3'
  assert_equal "$status" 3
  assert_equal "$stderr" ""
  run_durable --id job -- /bin/sh -c 'echo once >> out; exit 3'
  assert_equal "$status" 3
  assert_regex "$stderr" 'job has finished with status 3'
  assert_equal "$(wc -l < out)" 1
  run --separate-stderr -3 perdure resume -q job
  assert_equal "$stderr" ""
  assert_equal "$(wc -l < out)" 1
}

@test "an id is one command's: another one is refused" {
  run_durable --id job -- true one
  run_durable --id job -- true two
  assert_equal "$status" 125
  assert_clear_line
}

@test "what perdure has kept of a finished run is its store, with its log, alone" {
  run_durable --id job -- true
  assert_equal "$(ls "$PERDURE_DIR/runs/job" | sort | xargs)" "lock owner run.db run.db-shm run.db-wal"
}

@test "preloaded alone, a program runs as under perdure run: its name, its status, and it is resumed" {
  shim=$(dirname "$PERDURE_ITSELF")/libperdure-shim.so
  printf '#!/bin/sh\necho "$0 $1" >> out\necho more >> out\nexit 3\n' > script
  chmod +x script
  for words in "/bin/sh -c 'echo \$0; exit 3'" "sh -c 'echo \$0; exit 3'" "./script word" "$PWD/script word"; do
    rm -f out
    eval "run -3 env LD_PRELOAD=$shim $words"
    preloaded=$output
    eval "run -3 perdure run -- $words"
    assert_equal "$output" "$preloaded"
  done
  # Of a script, what its #! line makes of it is what was preloaded.
  assert_equal "$(perdure ls | wc -l)" 7
  rm -f out
  run -137 env LD_PRELOAD="$shim" PERDURE_CRASH_AT=30 /bin/sh -c 'echo a >> out; echo b >> out'
  run --separate-stderr -0 env LD_PRELOAD="$shim" /bin/sh -c 'echo a >> out; echo b >> out'
  assert_regex "$stderr" '^perdure: resuming sh-'
  assert_equal "$(cat out)" $'a\nb'
  # The same run as perdure's own.
  assert_equal "$(perdure ls | wc -l)" 8
  perdure run -- /bin/sh -c 'echo a >> out; echo b >> out'
  assert_equal "$(perdure ls | wc -l)" 8
}
