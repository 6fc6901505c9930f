#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What a resumed run gets, and what it says.

bats_require_minimum_version 1.5.0

setup() {
  load domain.bash
  set_up_place
}

# steps N: a program that appends N lines to the file `out` and says each.
write_steps() {
  cat > steps.sh <<'SCRIPT'
i=0
while [ $i -lt "$1" ]; do
  i=$((i + 1))
  echo "line $i" >> out
  echo "said $i"
done
SCRIPT
}

assert_steps() {
  assert_equal "$(cat out)" "$(seq -f 'line %g' "$1")"
}

@test "a killed run goes on by the same command, and says how much is done" {
  write_steps
  crash_at 60 --id job -- /bin/sh steps.sh 20
  run_durable --id job -- /bin/sh steps.sh 20
  assert_equal "$status" 0
  assert_regex "$stderr" '^perdure: resuming job: [0-9]+ entries are done \(attempt 2, begun .*\)$'
  assert_steps 20
  run -0 perdure sql job "select number, ended from attempt"
  assert_output $'1|lost\n2|exited'
}

@test "without --id too, and with nothing said under -q" {
  write_steps
  crash_at 60 -- /bin/sh steps.sh 20
  run_durable -q -- /bin/sh steps.sh 20
  assert_equal "$status" 0
  assert_equal "$stderr" ""
  assert_steps 20
}

@test "a run that is crashed again and again ends all the same" {
  write_steps
  for point in 1 2 3 5 8 13 21 34; do
    crash_at "$point" --id job -- /bin/sh steps.sh 20
  done
  run_durable --id job -- /bin/sh steps.sh 20
  assert_equal "$status" 0
  assert_steps 20
  run -0 perdure status job
  assert_line --regexp '^attempts: +9$'
  run -0 perdure verify job
}

@test "resume works from any directory: the run's own directory, environment, umask and arguments come back" {
  cat > look.sh <<'SCRIPT'
echo begun > begun
pwd > seen
umask >> seen
echo "$ONE|$TWO|$1|$(ulimit -Sn)" >> seen
SCRIPT
  umask 027
  (
    ulimit -Sn 200
    ONE=1 PERDURE_CRASH_AT=20 "$PERDURE" run --id job -- /bin/sh look.sh 'a b' || true
  )
  umask 022
  cd /
  TWO=2 run -0 perdure resume -q job
  cd "$BATS_TEST_TMPDIR/work"
  assert_equal "$(cat seen)" "$PWD"$'\n0027\n1||a b|200'
}

@test "killed after the program's exit was journaled: the run is finished, and nothing runs again" {
  # The last kill point: the exit is in the journal there.
  last=0
  while PERDURE_CRASH_AT=$((last + 1)) run "$PERDURE" run --id "job$last" -- /bin/sh -c 'echo >> out'
        [[ $status == 137 ]]; do
    last=$((last + 1))
    rm -f out
  done
  rm -f out
  crash_at "$last" --id job -- /bin/sh -c 'echo >> out'
  assert_regex "$(perdure log job | tail -n 1)" 'ends with status 0'
  run_durable --id job -- /bin/sh -c 'echo >> out'
  assert_equal "$status" 0
  assert_regex "$stderr" 'had finished with status 0'
  assert_equal "$(wc -l < out)" 1
}

@test "output is given in full to a new pipe, and once to the same one" {
  write_steps
  crash_at 60 --id job -- /bin/sh steps.sh 5
  assert_equal "$("$PERDURE" run -q --id job -- /bin/sh steps.sh 5)" "$(seq -f 'said %g' 5)"
  rm out
  # The same pipe for both attempts.
  both=$( { PERDURE_CRASH_AT=61 "$PERDURE" run --id other -- /bin/sh steps.sh 5 || true
            "$PERDURE" run -q --id other -- /bin/sh steps.sh 5; } )
  assert_equal "$both" "$(seq -f 'said %g' 5)"
  assert_steps 5
}

@test "output is given in full to an emptied file, and only what is new to one that was kept" {
  write_steps
  PERDURE_CRASH_AT=61 perdure run --id new -- /bin/sh steps.sh 5 > said || true
  perdure run -q --id new -- /bin/sh steps.sh 5 > said
  assert_equal "$(cat said)" "$(seq -f 'said %g' 5)"
  rm out said
  PERDURE_CRASH_AT=61 perdure run --id kept -- /bin/sh steps.sh 5 >> said || true
  perdure run -q --id kept -- /bin/sh steps.sh 5 >> said
  assert_equal "$(cat said)" "$(seq -f 'said %g' 5)"
}

@test "--output says otherwise: again, once" {
  write_steps
  crash_at 61 --id again -- /bin/sh steps.sh 5
  assert_equal "$("$PERDURE" run -q --id again --output again -- /bin/sh steps.sh 5)" "$(seq -f 'said %g' 5)"
  rm out
  crash_at 61 --id once -- /bin/sh steps.sh 5
  run --separate-stderr perdure run -q --id once --output once -- /bin/sh steps.sh 5
  assert_equal "$status" 0
  refute_line "said 1"
  assert_line "said 5"
}

@test "a new pipe on standard input is moved on past what the run has read, and must hold the same" {
  cat > read.sh <<'SCRIPT'
while read -r line; do echo "$line" >> out; done
SCRIPT
  seq 30 | PERDURE_CRASH_AT=150 perdure run --id job -- /bin/sh read.sh || true
  assert [ "$(wc -l < out)" -lt 30 ]
  cp "$PERDURE_DIR" ../before -r
  run --separate-stderr bash -c 'seq 3 | "$0" run -q --id job -- /bin/sh read.sh' "$PERDURE"
  assert_equal "$status" 125
  assert_clear_line
  run --separate-stderr bash -c 'seq 101 130 | "$0" run -q --id job -- /bin/sh read.sh' "$PERDURE"
  assert_equal "$status" 125
  assert_clear_line
  run --separate-stderr bash -c 'seq 30 | "$0" run -q --id job -- /bin/sh read.sh' "$PERDURE"
  assert_equal "$status" 0
  assert_equal "$(cat out)" "$(seq 30)"
}

@test "descriptors that a resumed run is started with are those that it began with, no more and no fewer" {
  cat > fds.sh <<'SCRIPT'
exec 7> seven
echo one >&7
echo two >&7
SCRIPT
  PERDURE_CRASH_AT=25 perdure run --id more -- /bin/sh fds.sh || true
  run -0 perdure run -q --id more -- /bin/sh fds.sh 5< /dev/null 6< /dev/null
  assert_equal "$(cat seven)" $'one\ntwo'
  PERDURE_CRASH_AT=25 perdure run --id fewer -- /bin/sh fds.sh 5< /dev/null 6> sixth || true
  run -0 perdure run -q --id fewer -- /bin/sh fds.sh
  assert_equal "$(cat seven)" $'one\ntwo'
}

@test "a program that does something else now: the run stops, names the entry, and changes nothing" {
  write_steps
  cp /bin/dash shell
  crash_at 60 --id job -- ./shell steps.sh 10
  before=$(cat out)
  cp /bin/bash shell
  run_durable -q --id job -- ./shell steps.sh 10
  assert_equal "$status" 120
  assert_clear_line
  assert_regex "$stderr" 'run job diverged at entry [0-9]+: recorded is [a-z0-9]+\(.*, and the program called [a-z0-9]+\(.*\); nothing was changed; the program or a library is not the one that the run began with'
  assert_equal "$(cat out)" "$before"
  run -0 perdure status job
  assert_line --regexp '^state: +diverged$'
  cp /bin/dash shell
  run_durable -q --id job -- ./shell steps.sh 10
  assert_equal "$status" 0
  assert_steps 10
}

@test "a program that is gone is said, and the run goes on when it is back" {
  write_steps
  cp /bin/dash shell
  crash_at 60 --id job -- ./shell steps.sh 10
  mv shell away
  run --separate-stderr -127 perdure run --id job -- ./shell steps.sh 10
  assert_clear_line
  mv away shell
  run_durable --id job -- ./shell steps.sh 10
  assert_equal "$status" 0
  assert_steps 10
}

@test "a program that was changed is said" {
  write_steps
  cp /bin/dash shell
  crash_at 60 --id job -- ./shell steps.sh 10
  touch shell
  run_durable --id job -- ./shell steps.sh 10
  assert_equal "$status" 0
  assert_regex "$stderr" '\./shell has changed since run job began'
  assert_steps 10
}

@test "a working directory that is gone is said" {
  mkdir gone
  cd gone
  crash_at 5 --id job -- /bin/sh -c 'echo > x'
  cd ..
  mv gone away
  run --separate-stderr -125 perdure resume job
  assert_clear_line
  mv away gone
  run -0 perdure resume -q job
  assert_exist gone/x
}

@test "without the newest part of its journal a run does not go on" {
  write_steps
  crash_at 60 --id job -- /bin/sh steps.sh 10
  before=$(cat out)
  mv "$PERDURE_DIR/runs/job/tail" .
  run_durable --id job -- /bin/sh steps.sh 10
  assert_equal "$status" 125
  assert_clear_line
  assert_equal "$(cat out)" "$before"
  mv tail "$PERDURE_DIR/runs/job"
  run_durable --id job -- /bin/sh steps.sh 10
  assert_equal "$status" 0
  assert_steps 10
}

@test "the program alone killed: its tail is in the store already, and is not needed" {
  # shellcheck disable=SC2016  # the inner shell's
  echo 'echo one >> out; [ -e stop ] || { echo > stop; kill -9 $$; }; echo two >> out' > job.sh
  run_durable --id job --no-retry -- /bin/sh job.sh
  assert_equal "$status" 137
  assert_regex "$stderr" 'killed by signal 9 .*the same command goes on with it$'
  run -0 perdure status job
  assert_line --regexp '^state: +unfinished$'
  rm "$PERDURE_DIR/runs/job/tail"
  # The kill was journaled as begun, so that it comes again: a run of its own making ends so each time.
  run_durable --id job --no-retry -- /bin/sh job.sh
  assert [ "$(grep -c one out)" -eq 1 ]
}

@test "a store that cannot be read is never taken for a run that never began" {
  write_steps
  crash_at 60 --id job -- /bin/sh steps.sh 10
  before=$(cat out)
  cp "$PERDURE_DIR/runs/job/run.db" .
  for damage in ': >' 'echo no database >' 'truncate -s 1000'; do
    eval "$damage" '"$PERDURE_DIR/runs/job/run.db"'
    run_durable --id job -- /bin/sh steps.sh 10
    assert_equal "$status" 125
    assert_clear_line
    assert_equal "$(cat out)" "$before"
  done
}

@test "a run that died while it was made begins anew" {
  write_steps
  run_durable --id job -- /bin/sh steps.sh 1
  # A store without a state is what a crash before the first attempt leaves.
  python3 - "$PERDURE_DIR/runs/job/run.db" <<'SCRIPT'
import sqlite3, sys
with sqlite3.connect(sys.argv[1]) as store:
    store.execute("delete from meta where key = 'state'")
SCRIPT
  rm out
  run_durable --id job -- /bin/sh steps.sh 2
  assert_equal "$status" 0
  assert_steps 2
}
