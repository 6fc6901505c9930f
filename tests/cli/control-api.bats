# SPDX-License-Identifier: Apache-2.0
# The header by itself: what it compiles as, and what programs do with it, without perdure and with it.
bats_require_minimum_version 1.5.0
load domain

setup() {
  set_up_place
  source_root=$(realpath "$BATS_TEST_DIRNAME/../..")
}

# build_with gcc|clang STANDARD [OPTION...]: the test program that uses all of the header.
build_with() {
  local compiler=$1 standard=$2 language=c
  shift 2
  case $standard in c++*)
      language=c++
      compiler=${compiler/%cc/++}
      compiler=${compiler/%clang/clang++}
      ;;
  esac
  "$compiler" -x $language -std="$standard" -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror "$@" \
    -I "$source_root" -c -o alone.o - <<< '#include "control-api/perdure.h"'
  "$compiler" -x $language -std="${standard/c/gnu}" -Wall -Wextra -Werror -Wno-unused-parameter -Wno-missing-field-initializers "$@" \
    -I "$source_root" -I "$source_root/control-api" -o program "$source_root/tests/programs/control.c" -pthread
}

@test "C11, C17 and C++17, with gcc and clang, without a warning, with perdure and without" {
  for compiler in gcc clang; do
    for standard in c11 c17 c++17; do
      build_with $compiler $standard
      rm -f said keys
      run ./program x
      assert_success
      rm said keys
      run_durable -- ./program x
      assert_success
    done
  done
}

@test "a program that is linked to a fixed address finds the shim too" {
  build_with gcc c17 -no-pie -fno-pie
  run_durable --id fixed -- ./program x
  assert_success
  perdure log fixed | grep -q perdure_commit
}

@test "without perdure, keys are UUIDs of version 4; with it, of version 5, and others in another run" {
  build_with gcc c17
  ./program
  assert_equal "$(grep -cE '^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$' keys)" 2
  for id in one two; do
    rm keys said
    run_durable --id $id -- ./program
    assert_success
    assert_equal "$(grep -cE '^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$' keys)" 2
    cp keys $id
  done
  assert_equal "$(sort -u one two | wc -l)" 4
}

@test "a note is a line of the log" {
  build_with gcc c17
  run_durable --id noted -- ./program
  perdure log noted | grep -q 'perdure_note("half way")'
}

@test "a commit puts all before it on disk, whatever --sync says" {
  build_with gcc c17
  strace -f -o calls -e trace=msync "$PERDURE" run --sync none -- ./program
  grep -q msync calls
}
