#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0

bats_require_minimum_version 1.5.0

setup() {
  load domain.bash
  set_up_place
}

@test "help lists every command, and explains each with its options" {
  run -0 perdure help
  for name in run resume ls status log show sql verify rm doctor help; do
    assert_line --regexp "^  $name +[a-z]"
    run -0 perdure help "$name"
    assert_line --regexp "^usage: perdure $name"
    assert_line --partial -- "--dir DIR"
    run -0 perdure help
  done
}

@test "an option is listed with the commands that take it, and refused by the others" {
  run -0 perdure help log
  assert_line --partial -- "--follow"
  run -0 perdure help ls
  refute_line --partial -- "--follow"
  run --separate-stderr -125 perdure ls --follow
  assert_clear_line
}

@test "the completion for bash is valid, and offers commands, options and their words" {
  perdure help --completion > completion
  bash -n completion
  # shellcheck disable=SC1091
  source ./completion
  COMP_WORDS=(perdure st) COMP_CWORD=1
  _perdure
  assert_equal "${COMPREPLY[*]}" status
  COMP_WORDS=(perdure run --sy) COMP_CWORD=2
  _perdure
  assert_equal "${COMPREPLY[*]}" --sync
  COMP_WORDS=(perdure run --sync re) COMP_CWORD=3
  _perdure
  assert_equal "${COMPREPLY[*]}" remote
}

@test "what cannot be understood is said in one line, and nothing is run" {
  for words in "" "fly" "run" "run --fast -- touch x" "run --sync maybe touch x" "run --output twice touch x" \
               "run --id" "resume" "show a" "show a first" "log --stream x a" "help fly" "ls word"; do
    # shellcheck disable=SC2086  # words
    run --separate-stderr -125 perdure $words
    assert_clear_line
  done
  PERDURE_CRASH_AT=soon run --separate-stderr -125 perdure run touch x
  assert_clear_line
  assert_not_exist x
}

@test "options end at the command: its own are left to it" {
  run_durable -q printf '%s ' -v --id x --
  assert_equal "$status" 0
  assert_output "-v --id x -- "
}

@test "an id that is no name of a file is refused" {
  for id in "" . .. .hidden -x a/b "a b" "$(printf 'a\nb')" "$(printf 'x%.0s' {1..128})"; do
    run_durable --id "$id" -- touch x
    assert_equal "$status" 125
    assert_not_exist x
  done
  run_durable --id "$(printf 'x%.0s' {1..127})" -- true
  assert_equal "$status" 0
}

@test "commands that name a run say that there is none" {
  for command in resume status log verify rm "show no 1" "sql no select"; do
    # shellcheck disable=SC2086  # words
    case $command in
      *" "*) set -- $command ;;
      *) set -- "$command" no ;;
    esac
    if [[ $1 == show ]]; then set -- show no 1; elif [[ $1 == sql ]]; then set -- sql no "select 1"; fi
    run --separate-stderr -125 perdure "$@"
    assert_clear_line
  done
  run -0 perdure ls
  assert_output ""
}

@test "runs lie in --dir, else PERDURE_DIR, else XDG_STATE_HOME, else the home directory; for the owner alone" {
  perdure run --dir one --id a -- true
  assert_dir_exists one/runs/a
  PERDURE_DIR=two perdure run --id a -- true
  assert_dir_exists two/runs/a
  env -u PERDURE_DIR XDG_STATE_HOME="$PWD/three" "$PERDURE" run --id a -- true
  assert_dir_exists three/perdure/runs/a
  env -u PERDURE_DIR -u XDG_STATE_HOME HOME="$PWD/four" "$PERDURE" run --id a -- true
  assert_dir_exists four/.local/state/perdure/runs/a
  for directory in one one/runs one/runs/a one/cache; do
    assert_equal "$(stat -c %a "$directory")" 700
  done
  assert_equal "$(stat -c %a one/runs/a/run.db)" 600
  run --separate-stderr -125 env -u PERDURE_DIR -u XDG_STATE_HOME -u HOME "$PERDURE" run true
  assert_clear_line
}

@test "a directory that cannot be made is said in one line" {
  touch file
  run --separate-stderr -125 perdure ls --dir file/below
  assert_clear_line
}

@test "doctor answers each question with yes or no and the reason, and this machine is healthy" {
  run -0 perdure doctor
  while read -r line; do
    assert_regex "$line" '^(yes|no) .+ .+'
  done <<< "$output"
  assert_line --regexp '^yes +the shim '
  assert_line --regexp '^yes +libc and vDSO redirected '
}

@test "doctor fails when something is missing without which nothing runs" {
  PERDURE_SHIM=/no/shim run -1 perdure doctor
  assert_line --regexp '^no +the shim .*nothing runs without it$'
}
