# SPDX-License-Identifier: Apache-2.0
# Servers that fail: the program sees it as it does without perdure, live and in replay, and killed anywhere ends as if it
# had not been.
load sweeps
load servers

setup() {
  check_options=()
  sweep_points=40
  set_up_inputs
  start_counting_server
  url="http://127.0.0.1:$port"
}

teardown() {
  stop_servers
}

@test "a server that is down" {
  # Nobody listens there, whatever other tests run. The words of the error say how long it took.
  assert_survives curl -s -w '%{http_code} %{num_connects}\n' -d one=1 http://127.0.0.1:1/
}

@test "a server that is slow, and a client that does not wait" {
  sweep_points=20
  assert_survives curl -s -w '%{http_code}\n' --max-time 0.2 -d one=1 "$url/slow/60000"
}

@test "a connection that is reset in the middle of a body" {
  assert_survives curl -sS -o out "$url/reset/20000"
}

@test "a body that ends too early" {
  assert_survives curl -sS -o out "$url/truncated/20000"
}

@test "an error of the server" {
  assert_survives curl -sS -w '%{http_code}\n' -d one=1 "$url/status/500" --next -sS --fail "$url/status/502"
}

@test "redirects without end" {
  assert_survives curl -sS -L --max-redirs 4 -w '%{num_redirects}\n' "$url/redirect/100"
}

@test "a name that cannot be looked up" {
  # Without a network nobody is asked.
  printf '#!/bin/bash\nexec unshare -n "%s" "$@"\n' "$PERDURE" > "$BATS_TEST_TMPDIR/alone"
  chmod +x "$BATS_TEST_TMPDIR/alone"
  PERDURE="$BATS_TEST_TMPDIR/alone"
  assert_survives curl -sS http://nowhere.test/
}

# assert_counted STATUS CURL-ARG...: curl ends with STATUS wherever it was killed; its one request with a key is executed once,
# and not sent again once its failure was in the journal. Not idempotent, it is sent once at most, and the run ends so or
# stops with 121.
assert_counted() {
  local expected=$1
  shift
  # shellcheck disable=SC2034  # kill_everywhere's
  local kill_step=${counted_step-17}
  count_point() {
    assert_equal "$status" "$expected"
    assert_equal "$(grep -c ' executed$' "$requests")" 1
    [ -n "${keeps_its_key-}" ] || assert_answered_once
  }
  kill_everywhere -- curl -sS "$@"
  assert_equal "$status" "$expected"
  count_point() {
    [ "$status" -eq 121 ] || assert_equal "$status" "$expected"
    [ "$(grep -cE '^(POST|PUT) ' "$requests")" -le 1 ]
  }
  kill_everywhere --not-idempotent -- curl -sS "$@"
  assert_equal "$status" "$expected"
}

@test "counted: a POST that a server answers with an error" {
  assert_counted 0 -d one=1 "$url/status/500"
}

@test "counted: a POST that a server answers too late" {
  assert_counted 28 -d one=1 --max-time 0.3 "$url/slow/60000"
}

@test "counted: a POST whose answer is reset in the middle of its body" {
  assert_counted 56 -o out -d one=1 "$url/reset/20000"
}

@test "counted: a POST whose answer ends too early" {
  assert_counted 18 -o out -d one=1 "$url/truncated/20000"
}

@test "counted: a POST that leads into redirects without end" {
  # The GETs that follow have its key, and repeat it for the server.
  local keeps_its_key=1
  assert_counted 47 -L --max-redirs 3 -d one=1 "$url/redirect/100"
}

@test "counted: a POST to a name that cannot be looked up is sent to nobody" {
  count_point() {
    assert_equal "$status" 6
    assert_equal "$(cat "$requests")" ''
  }
  local kill_step=17
  kill_everywhere -- curl -sS -d one=1 http://nowhere.invalid/
  assert_equal "$status" 6
}

@test "counted: a POST of 100 MB" {
  head -c 100000000 /dev/zero > "$inputs/large"
  local counted_step=701 killed_min=2
  assert_counted 0 -X POST -T large -o out "$url/a"
}

@test "a server that is another process when the run goes on: what was answered stays so" {
  export PERDURE_DIR="$BATS_TEST_TMPDIR/perdure"
  local point=0 killed=0
  cd "$inputs"
  until [ "$point" -ge 400 ]; do
    point=$((point + 37))
    rm -rf "$PERDURE_DIR"
    : > "$requests"
    PERDURE_CRASH_AT=$point "$PERDURE" run -q --id job -- curl -sS -d one=1 "$url/a" --next -sS -d two=2 "$url/b" > first 2>&1 && break
    killed=$((killed + 1))
    answered_keys > "$BATS_TEST_TMPDIR/answered"
    stop_servers
    start_counting_server "$port"
    "$PERDURE" run -q --id job -- curl -sS -d one=1 "$url/a" --next -sS -d two=2 "$url/b" > second
    assert_answered_once
    [ "$(cut -d' ' -f3 "$requests" | sort -u | wc -l)" -eq 2 ]
  done
  [ "$killed" -gt 4 ]
}

@test "a body of 100 MB, received and sent: the memory of program and supervisor stays flat" {
  export PERDURE_DIR="$BATS_TEST_TMPDIR/perdure"
  cd "$inputs"
  head -c 100000000 /dev/zero > large
  for body in small large; do
    [ "$body" = large ] || head -c 100000 /dev/zero > small
    /usr/bin/python3 - "$PERDURE" "$url/bytes/$(stat -c %s "$body")" "$url/put" "$body" > "peak-$body" << 'END'
import os, resource, subprocess, sys
perdure, get, put, body = sys.argv[1:]
for command in (["-o", "out", get], ["-T", body, put]):
    subprocess.run([perdure, "run", "-q", "--id", "job", "--", "curl", "-sS", *command], check=True, stdout=subprocess.DEVNULL)
    subprocess.run([perdure, "rm", "job"], check=True)
# In KiB: the largest of all of them.
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
END
  done
  echo "# peak: $(cat peak-small) KiB with 100 kB, $(cat peak-large) KiB with 100 MB" >&3
  # What the ring takes belongs to both.
  [ "$(cat peak-large)" -lt $(($(cat peak-small) + 40960)) ]
}
