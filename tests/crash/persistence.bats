# SPDX-License-Identifier: Apache-2.0
# Persistence levels: what is made in every attempt, what is made once, and how they go on together.
load sweeps

setup() {
  check_options=()
  set_up_inputs
  source_root=$(realpath "$BATS_TEST_DIRNAME/../..")
  program="$(realpath "${PERDURE_BUILD:-$source_root/build}")/tests/programs/persistence"
}

@test "persistence off: files open before, opened in it and used after, children, threads, connections, keys" {
  assert_survives "$program"
}

@test "persistence off: made once in each attempt that comes to it, and not at all where none comes" {
  local place="$BATS_TEST_TMPDIR/place" count="$BATS_TEST_TMPDIR/count" point status
  export PERDURE_DIR="$BATS_TEST_TMPDIR/perdure"
  mkdir "$place"
  cd "$place"
  : > "$count"
  # Before it, behind it, and further behind.
  for point in 12:0 60:1 100:2; do
    status=0
    PERDURE_CRASH_AT=${point%:*} "$PERDURE" run --id job -- "$program" "$count" > out 2> errors || status=$?
    assert_equal "$status" 137
    assert_equal "$(wc -c < "$count")" "${point#*:}"
  done
  "$PERDURE" run --id job -- "$program" "$count" > out
  assert_equal "$(wc -c < "$count")" 3
  assert_equal "$(cat log)" $'before\nsmart inside\nafter\nin a region'
  assert_equal "$(tail -n 2 cache)" $'after\nby its copy'
}

@test "persistence off: a finished run that has it is not replayed to be verified, and says why" {
  local place="$BATS_TEST_TMPDIR/place"
  export PERDURE_DIR="$BATS_TEST_TMPDIR/perdure"
  mkdir "$place"
  cd "$place"
  "$PERDURE" run --id job --replayable -- "$program" > out
  run --separate-stderr "$PERDURE" verify --replay job
  assert_failure
  # shellcheck disable=SC2154 # bats sets stderr
  [[ "$stderr" = *"persistence is off for a part of this run"* ]]
}

@test "the control API, used and misused, with persistence levels" {
  sweep_points=60
  assert_survives "$(dirname "$program")/control" x
}

@test "persistence off in Python: commands with their pipes, threads, scratch files" {
  cat > "$inputs/job.py" <<END
import os, subprocess, sys, threading
sys.dont_write_bytecode = True
sys.path.insert(0, "$source_root/control-api")
import perdure
with open("numbers") as file:
    first = file.readline()
with perdure.persistence(perdure.PERSIST_NOTHING):
    words = subprocess.run(["wc", "-l", "numbers"], capture_output=True, text=True, check=True).stdout
    assert words.split()[1] == "numbers"
    shell = subprocess.run("cat numbers | head -n 3 | tail -n 1", shell=True, capture_output=True, text=True).stdout
    try:
        subprocess.run(["/nowhere/at/all"])
        sys.exit("that is no program")
    except FileNotFoundError:
        pass
    # Killed in the middle, it stays; the next attempt does not mind.
    os.makedirs("scratch", exist_ok=True)
    def work(number):
        with open(f"scratch/{number}", "w") as file:
            file.write(str(number))
    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    total = sum(int(open(f"scratch/{number}").read()) for number in range(3))
    kept = open("kept", "w+")
    kept.write("one\n")
    kept.flush()
kept.write("two\n")
kept.flush()
print(words.split()[0], shell.strip(), total)
kept.seek(0)
print(kept.read())
subprocess.run(["cp", "kept", "copy"], check=True)
END
  sweep_points=40
  assert_survives /usr/bin/python3 job.py
}
