# SPDX-License-Identifier: Apache-2.0
# The table's claims about its tests: a row that names a small program is one whose call that program makes,
# by the journal, or, where the call passes and is in no journal, by strace. A row without a test says why.
bats_load_library bats-support
bats_load_library bats-assert
load ../crash/servers

setup_file() {
  build=$(realpath "${PERDURE_BUILD:-$BATS_TEST_DIRNAME/../../build}")
  source=$(realpath "$BATS_TEST_DIRNAME/../..")
  export PERDURE_DIR="$BATS_FILE_TMPDIR/runs" made="$BATS_FILE_TMPDIR/made" claims="$BATS_FILE_TMPDIR/claims"
  mkdir "$made"
  # CLASS CALL ID TEST...
  sed -nE 's/^CALL\(([0-9]+), ([a-z0-9_]+), ([A-Z_]+),.*, "([^"]*)"\)$/\3 \2 \1 \4/p' "$source/shim/calls.def" > "$claims"
  local program
  # What they are made with is a file's, not a test's.
  BATS_TEST_TMPDIR=$BATS_FILE_TMPDIR
  start_echo_server
  for program in $(programs_named); do
    case $program in
    stream_client | datagrams) make_calls "$program" "$port" ;;
    lookup) make_calls "$program" 127.0.0.1 "$port" ;;
    line_server)
      start_line_client "$(free_port)"
      make_calls "$program" "$line_address" plain
      mv "$made/$program.journal" "$made/plain"
      start_line_client "$(free_port)"
      make_calls "$program" "$line_address" epoll
      cat "$made/plain" >> "$made/$program.journal"
      ;;
    failing) make_calls "$program" plan ;;
    *) make_calls "$program" ;;
    esac
  done
  stop_servers
}

teardown_file() {
  stop_servers
}

programs_named() {
  grep -oE 'tests/programs/[a-z_]+\.c' "$claims" | sort -u | sed 's,.*/,,; s,\.c$,,'
}

# make_calls PROGRAM ARG...: what the program calls, into made/PROGRAM.journal and .strace.
make_calls() {
  local inputs="$BATS_FILE_TMPDIR/inputs-$1"
  [ -d "$inputs" ] || "$source/tests/programs/make_inputs" "$inputs"
  cd "$inputs" || return
  local ended=0 wanted=0
  case $1 in
  identity) wanted=143 ;; # by a signal
  failing) wanted=134 ;;  # it aborts
  output) wanted=3 ;; # it had no input
  esac
  [ $# -eq 1 ] || rm -rf ./*
  local id="$1-${*: -1}"
  id=${id//\//-}
  "$build/perdure" run -q --id "$id" -- "$build/tests/programs/$1" "${@:2}" > /dev/null < /dev/null 3>&- || ended=$?
  [ "$ended" -eq "$wanted" ] || { echo "$1 ended with $ended"; return 1; }
  "$build/perdure" sql "$id" 'select distinct call from entries' | sort -u > "$made/$1.journal"
  # Calls that strace has no name for are syscall_0x..., by number.
  if grep -qE "^PASS .*tests/programs/$1\.c( |$)" "$claims"; then
    "$source/tests/programs/make_inputs" "$inputs-bare"
    cd "$inputs-bare" || return
    strace -f -o trace "$build/tests/programs/$1" > /dev/null 2>&1 < /dev/null 3>&- || true
    sed -nE 's/^[0-9]+ +([a-z0-9_]+)\(.*/\1/p' trace | sort -u > "$made/$1.strace"
  fi
}

# made_by PROGRAM SUFFIX CALL ID
made_by() {
  grep -qxE "$3|syscall_$(printf '0x%x' "$4")" "$made/$1.$2"
}

@test "each program that a row names makes the row's call" {
  local class call id tests test program wrong=
  while read -r class call id tests; do
    for test in $tests; do
      [[ $test == tests/programs/*.c ]] || continue
      program=$(basename "$test" .c)
      case $class in
      REFUSE) continue ;;
      # An instruction, and not every machine traps it.
      *) [ "$call" != rdtsc ] || "$build/perdure" doctor | grep -q '^yes  trapped rdtsc' || continue ;;&
      PASS) made_by "$program" strace "$call" "$id" || wrong+=" $call:$program" ;;
      *) made_by "$program" journal "$call" "$id" || wrong+=" $call:$program" ;;
      esac
    done
  done < "$claims"
  assert_equal "$wrong" ''
}

@test "a call that is refused is tested by the program that is made from the table" {
  run awk '$1 == "REFUSE" && !($0 ~ / tests\/programs\/refused\.c$/) { print $2 }' "$claims"
  assert_output ''
  run awk '$1 != "REFUSE" && $0 ~ /refused\.c/ { print $2 }' "$claims"
  assert_output ''
}

@test "a call without a test says why" {
  # Children have their tests with what makes them again.
  local later=' fork vfork wait4 waitid '
  local class call id tests untold=
  while read -r class call id tests; do
    [ -n "$tests" ] || [[ $later == *" $call "* ]] || untold+=" $call"
  done < "$claims"
  assert_equal "$untold" ''
}

@test "every small program that is swept is named by a row" {
  local name unnamed=
  for name in $(sed -nE 's,.*\$programs/([a-z_]+)".*,\1,p' "$BATS_TEST_DIRNAME/../crash/programs.bats"); do
    grep -q "tests/programs/$name\.c" "$claims" || unnamed+=" $name"
  done
  assert_equal "$unnamed" ''
}
