#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What a run says of its commands while it runs, and when it is resumed.

bats_require_minimum_version 1.5.0

setup() {
  load domain.bash
  set_up_place
  seq 10 > numbers
  cat > job.sh <<'END'
sort -rn numbers > sorted
printf 'half a line'
(/bin/echo ', and its end')
/bin/cat sorted | wc -l
echo > up
cat go > gone
exit 4
END
  mkfifo up go
}

# On a terminal of 80 columns and 24 rows, whose bytes go to the file `screen`. The run is up when this returns.
start_on_terminal() {
  script -qefc "stty rows 24 cols 80; '$PERDURE' run --id job $* -- /bin/bash job.sh" screen > watched 2>&1 < /dev/null &
  supervisor=$!
  read -t 10 -r _ <> up
}

# What is left of the screen without the line and what makes room for it.
printed() {
  sed -E '/^Script /d; s/\r//g; s/\x1bD//g; s/\x1b7\x1b\[1;23r\x1b8\x1b\[1A//g; s/\x1b7[^\x1b]*(\x1b\[[0-9;]*[A-Zr][^\x1b]*)*\x1b8//g' screen
}

@test "--progress: the last line of the terminal says what has ended and what runs, and the output stays as it is" {
  start_on_terminal --progress
  timeout 10 tail -n +1 -f screen | grep -m1 -a 'perdure: 4 commands done, running: cat go'
  echo > go
  await_supervisor
  assert_equal "$status" 4
  run printed
  assert_output "$(printf 'half a line, and its end\n10')"
  # The region is the whole screen again, and the line is empty.
  run grep -ac $'\e7\e\\[r\e\\[24;1H\e\\[2K\e8' screen
  assert_output 1
}

@test "without --progress a first run says nothing, on a terminal neither" {
  start_on_terminal
  echo > go
  await_supervisor
  run sed -E '/^Script /d; s/\r//g' screen
  assert_output "$(printf 'half a line, and its end\n10')"
}

@test "--progress where stderr is no terminal says nothing" {
  "$PERDURE" run --progress --id job -- /bin/bash job.sh > out 2> said &
  supervisor=$!
  read -t 10 -r _ <> up
  echo > go
  await_supervisor
  assert_equal "$(cat said)" ''
}

# A run that is killed behind `rm copy`, where it waits; `said` has what its resumption says, with the options given.
resume_behind_five() {
  local held
  rm -f up
  exec {held}> gate
  flock "$held"
  "$PERDURE" run --id "$1" -- /bin/bash five.sh {held}>&- &
  supervisor=$!
  timeout 10 tail -s 0.1 -F up 2> /dev/null {held}>&- | grep -q up
  kill -9 "$supervisor"
  wait "$supervisor" || [ "$?" = 137 ]
  "$PERDURE" run "${@:2}" --id "$1" -- /bin/bash five.sh 2> said {held}>&- &
  supervisor=$!
  exec {held}>&-
  await_supervisor
  assert_equal "$status" 0
}

@test "a resumed run says how many commands are not run again, and the last of them, without passwords" {
  cat > five.sh <<'END'
sort -rn numbers > sorted
/bin/cat sorted > copy
env -u HOME cat http://me:hush@host/ 2> missing
wc -l < copy
rm copy
echo up > up
flock gate true
END
  resume_behind_five job
  assert_equal "$(grep 'not run again' said)" \
    "perdure: 5 commands have ended and are not run again, the last of them: \`cat 'http://me:****@host/'\`, \`wc -l\`, \`rm copy\`; \`perdure log --tree job\` lists them"
  resume_behind_five another -q
  run cat said
  refute_output --partial 'not run again'
}
