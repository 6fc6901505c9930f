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

@test "C++: scopes are objects that end when they go, and errors are exceptions" {
  cat > job.cpp <<'SOURCE'
#include "control-api/perdure.hpp"
#include <fstream>
#include <utility>

static int open_scopes()
{
  perdure::atomic_region region;
  std::ofstream("made") << "made\n";
  perdure::atomic_region moved(std::move(region));
  moved.end();
  perdure::idempotence off(false);
  return perdure_idempotence_get();
}

int main(int count, char **)
{
  int inside = open_scopes();
  perdure::retry_policy policy(perdure_retry_policy{5, 1, 2, 1.0, 0.0, 0});
  perdure::note("from C++");
  try {
    perdure::atomic_region region;
    region.end();
    region.end();
    return 1;
  } catch (const std::system_error &error) {
    if (error.code().value() != ENOENT)
      return 2;
  }
  try {
    perdure::commit(perdure::commit() + 1);
    return 3;
  } catch (const std::system_error &error) {
    if (error.code().value() != ENOTCONN)
      return 4;
  }
  bool known = inside == (count > 1 ? 0 : 1) && perdure_idempotence_get() == 1;
  return known && perdure::idempotency_key().size() == 36 ? 0 : 5;
}
SOURCE
  for compiler in g++ clang++; do
    $compiler -std=c++17 -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror -I "$source_root" -o job job.cpp
    run -0 ./job
    run_durable -q -- ./job x
    assert_equal "$status" 0
  done
}

@test "C++ and Python: a policy is put together by values, nonsense is an error, and it works without perdure" {
  cat > plan.cpp <<'SOURCE'
#include "control-api/perdure.hpp"
#include <cstring>

using perdure::retry_plan;
using namespace std::chrono_literals;

int main(int count, char **)
{
  retry_plan quick = retry_plan::exponential(100ms, 2).count(5).statuses(PERDURE_RETRY_503);
  retry_plan both = quick.and_then(retry_plan::periodic(1min).total(2h)).name("both").jitter(0.1);
  perdure_retry_plan got;
  try {
    both.clamp(2s, 1s);
    return 1;
  } catch (const std::system_error &error) {
    if (error.code().value() != EINVAL)
      return 2;
  }
  try {
    retry_plan::periodic(-1s);
    return 3;
  } catch (const std::system_error &) {
  }
  {
    perdure::with_retry_plan scope(both);
    int known = perdure_retry_plan_get(&got);
    if (known != (count > 1) || (known && std::memcmp(&got, &both.get(), sizeof got) != 0))
      return 4;
  }
  return perdure_retry_plan_get(&got) == 0 ? 0 : 5;
}
SOURCE
  cat > plan.py <<SCRIPT
import math, sys
sys.dont_write_bytecode = True
sys.path.insert(0, "$source_root/control-api")
import perdure
from perdure import RetryPlan

quick = RetryPlan.exponential(0.1, 2).count(5).statuses(503)
both = quick.and_then(RetryPlan.periodic(60).total(7200)).named("both").jitter(0.1)
there = len(sys.argv) > 1
for wrong in (lambda: RetryPlan.exponential(1, 0.5), lambda: RetryPlan.periodic(math.nan), lambda: RetryPlan.periodic(-1),
              lambda: quick.count(0), lambda: quick.clamp(2, 1), lambda: quick.jitter(1.5), lambda: quick.statuses(500),
              lambda: quick.named("x" * 32)):
    try:
        wrong()
        sys.exit(1)
    except perdure.Error:
        pass
with perdure.retry_plan(both):
    if perdure.current_retry_plan() != (both if there else None):
        sys.exit(2)
perdure.set_retry_plan(quick)
if perdure.current_retry_plan() != (quick if there else None):
    sys.exit(3)
perdure.set_retry_plan(None)
sys.exit(4 if perdure.current_retry_plan() is not None else 0)
SCRIPT
  for compiler in g++ clang++; do
    $compiler -std=c++17 -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror -I "$source_root" -o plan plan.cpp
    run -0 ./plan
    run_durable -q -- ./plan x
    assert_equal "$status" 0
  done
  run -0 /usr/bin/python3 plan.py
  run_durable -q -- /usr/bin/python3 plan.py x
  assert_equal "$status" 0
}

@test "a scope without persistence that asks for more keys in the next attempt: those of a later one stay the same" {
  cat > job.py <<SCRIPT
import os, sys
sys.dont_write_bytecode = True
sys.path.insert(0, "$source_root/control-api")
import perdure
with perdure.persistence(perdure.PERSIST_NOTHING):
    with open("attempts", "a") as attempts:
        attempts.write("x")
    first = [perdure.idempotency_key() for _ in range(os.path.getsize("attempts"))]
    with perdure.persistence(perdure.PERSIST_SMART):
        perdure.note("between")
    first.append(perdure.idempotency_key())
    assert len(set(first)) == len(first)
with perdure.persistence(perdure.PERSIST_NOTHING):
    with open("second", "a") as second:
        second.write(perdure.idempotency_key() + "\n")
    if os.path.getsize("attempts") < 3:
        perdure.fail("again")
SCRIPT
  run_durable -q --retry max=3,min=1ms -- /usr/bin/python3 job.py
  assert_success
  assert_equal "$(cat attempts)" xxx
  assert_equal "$(wc -l < second)" 3
  assert_equal "$(sort -u second | wc -l)" 1
}

@test "Python: a region that was unfinished at the crash is taken back, at every kill point of it" {
  cat > transfer.py <<SCRIPT
import os, sys
sys.dont_write_bytecode = True
sys.path.insert(0, "$source_root/control-api")
import perdure
key = perdure.idempotency_key()
with perdure.idempotence(False):
    print(perdure.idempotent() and perdure.journal_index() > 0)
for step in range(3):
    with perdure.atomically():
        for name, change in (("from", -1), ("to", 1)):
            value = int(open(name).read())
            with open(name, "w") as file:
                file.write(f"{value + change}\n")
    assert int(open("from").read()) + int(open("to").read()) == 10
for wrong, code in ((lambda: perdure.retry_policy(multiplier=0.5), 22), (lambda: perdure.atomically().end(), 2),
                    (lambda: perdure.commit(1), 107)):
    try:
        wrong()
        sys.exit("not refused")
    except perdure.Error as error:
        assert error.errno == code
perdure.note("transferred")
perdure.commit()
assert len(key) == 36
SCRIPT
  mkdir inputs
  echo 10 > inputs/from
  echo 0 > inputs/to
  (cd inputs && python3 ../transfer.py)
  assert_equal "$(cat inputs/from inputs/to)" $'7\n3'
  echo 10 > inputs/from
  echo 0 > inputs/to
  run --separate-stderr perdure check --points 60 --jobs 1 --from inputs -- /usr/bin/python3 "$PWD/transfer.py"
  [ "$status" -eq 0 ] || printf '%s\n' "$output" "$stderr"
  assert_success
  assert_line --regexp '^60 points, 60 the same, 0 different$'
}
