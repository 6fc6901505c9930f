# SPDX-License-Identifier: Apache-2.0
# Transfers that are under way at once, by libcurl's multi interface: killed at their kill points; and what
# the server has counted.
load sweeps
load servers

setup() {
  check_options=()
  # Each point takes several exchanges with the server.
  sweep_points=60
  set_up_inputs
  start_counting_server
  url="http://127.0.0.1:$port"
  multi="$(realpath "${PERDURE_BUILD:-$BATS_TEST_DIRNAME/../../build}")/tests/programs/curl_multi"
}

teardown() {
  stop_servers
}

@test "curl -Z: several transfers at once" {
  assert_survives curl -sSZ --no-progress-meter -d one=1 "$url/a" -o a --next -sS "$url/bytes/50000" -o b --next -sS -T numbers "$url/put" -o c --next -sS "$url/chunked/9000" -o d
}

@test "curl -Z with more transfers than it has connections" {
  assert_survives curl -sSZ --no-progress-meter --parallel-max 3 "$url/bytes/[1000-1008]" -o 'out-#1'
}

@test "a C program that waits with curl_multi_poll" {
  assert_survives "$multi" poll "$url"
}

@test "a C program that waits with curl_multi_wait" {
  assert_survives "$multi" wait "$url"
}

@test "a C program that waits with select and curl_multi_fdset" {
  assert_survives "$multi" fdset "$url"
}

@test "a C program that waits with epoll and curl_multi_socket_action" {
  assert_survives "$multi" epoll "$url"
}

@test "a C program whose wait another thread ends" {
  assert_survives "$multi" wakeup "$url"
}

@test "transfers that fail at first, and are tried again" {
  [ -z "${PERDURE_UNCRASHED-}" ] || skip "without perdure nobody tries them again"
  assert_survives "$multi" poll "$url" retried
  assert_survives "$multi" epoll "$url" retried
}

@test "python3 with pycurl's CurlMulti" {
  cat > "$inputs/job.py" << END
import io, pycurl
multi = pycurl.CurlMulti()
bodies = {}
for number in range(4):
    easy = pycurl.Curl()
    easy.body = io.BytesIO()
    easy.setopt(easy.URL, "$url/bytes/%d" % (number * 3000))
    easy.setopt(easy.WRITEDATA, easy.body)
    easy.number = number
    multi.add_handle(easy)
running = 4
while running:
    result, running = multi.perform()
    left, done, failed = multi.info_read()
    for easy in done:
        bodies[easy.number] = (easy.getinfo(easy.RESPONSE_CODE), len(easy.body.getvalue()))
        multi.remove_handle(easy)
    assert not failed
    multi.select(1.0)
print(sorted(bodies.items()))
END
  assert_survives /usr/bin/python3 job.py
}

# ---- what the server counts ----

@test "idempotent: every request arrives, none is executed twice, an answered one is not sent again" {
  local repeated=0 some=0
  count_point() {
    assert_equal "$status" 0
    assert_equal "$(grep -c executed "$requests")" 4
    assert_equal "$(mawk '{ print $3 }' "$requests" | sort -u | wc -l)" 4
    assert_answered_once
    local before
    before=$(wc -l < "$BATS_TEST_TMPDIR/answered")
    [ "$before" -eq 0 ] || [ "$before" -eq 4 ] || some=$((some + 1))
    repeated=$((repeated + $(grep -c repeated "$requests" || true)))
  }
  kill_everywhere -- curl -sSZ -d one=1 "$url/a" -o a --next -d two=2 "$url/b" -o b --next -X PATCH -d three=3 "$url/c" -o c --next -d four=4 "$url/slow/300" -o d
  # Some were killed between the answer and its end in the journal, and some when a part had ended.
  [ "$repeated" -gt 0 ]
  [ "$some" -gt 0 ]
}

@test "not idempotent: nothing is sent twice, and the run stops with 121 where nobody can tell" {
  local stopped=0 through=0
  count_point() {
    assert_equal "$(sort "$requests" | cut -d' ' -f1-2 | uniq -d)" ""
    if [ "$status" -eq 121 ]; then
      stopped=$((stopped + 1))
      assert_regex "$(cat "$BATS_TEST_TMPDIR/said")" 'nobody can tell whether entry [0-9]+ happened'
    else
      assert_equal "$status" 0
      assert_equal "$(wc -l < "$requests")" 3
      through=$((through + 1))
    fi
  }
  kill_everywhere --not-idempotent -- curl -sSZ -d one=1 "$url/a" -o a --next -d two=2 "$url/b" -o b --next -d three=3 "$url/c" -o c
  [ "$stopped" -gt 0 ]
  [ "$through" -gt 0 ]
}
