#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# A transfer of libcurl's that failed is tried again inside the call, where a policy was set.

bats_require_minimum_version 1.5.0

setup() {
  load domain.bash
  load ../crash/servers.bash
  set_up_place
  start_counting_server
  url="http://127.0.0.1:$port"
}

teardown() {
  stop_servers
}

# came PATH: how often a request for it has come in.
came() {
  grep -c " $1 " "$requests" || true
}

@test "a status that the policy lists: tried again, with one key, and the program gets the last answer alone" {
  run_durable --id job --retry max=4,min=20ms,multiplier=2,jitter=0,status=503 -- curl -sS -d one=1 "$url/failing/2/503//a"
  assert_success
  assert_output --regexp '^POST /failing/2/503//a '
  assert_equal "$(came /failing/2/503//a)" 3
  assert_equal "$(awk '{print $3}' "$requests" | sort -u | wc -l)" 1
  run -0 perdure log job
  assert_line --partial 'tried again, after 20 ms: status 503'
  assert_line --partial 'tried again, after 40 ms: status 503'
  run -0 perdure http job
  assert_line --index 1 --regexp ' POST +200 .* ms +3 +live +ok '
}

@test "the attempts are used up: the program gets what came last" {
  run_durable --retry max=2,min=1ms,status=503 -- curl -sS "$url/failing/9/503//b"
  assert_success
  assert_output 'not now'
  assert_equal "$(came /failing/9/503//b)" 2
}

@test "a status that is not listed, and the default policy, change nothing" {
  run_durable --retry max=3,min=1ms,status=429 -- curl -sS "$url/failing/1/503//c"
  assert_output 'not now'
  run_durable -- curl -sS "$url/failing/1/503//d"
  assert_output 'not now'
  assert_equal "$(came /failing/1/503//c) $(came /failing/1/503//d)" '1 1'
}

@test "Retry-After is waited for; one that is longer than the longest delay is the program's to answer" {
  run_durable --id job --retry max=3,min=1ms,max-delay=2s,status=429 -- curl -sS "$url/failing/1/429/1/e"
  assert_output --regexp '^GET '
  run -0 perdure log job
  assert_line --partial 'tried again, after 1 s: status 429'
  run_durable --retry max=3,min=1ms,max-delay=2s,status=429 -- curl -sS "$url/failing/1/429/30/f"
  assert_output 'not now'
  assert_equal "$(came /failing/1/429/30/f)" 1
}

@test "a connection that breaks before an answer, and one that nobody takes" {
  run_durable --retry max=4,min=1ms -- curl -sS -d one=1 "$url/breaking/2/g"
  assert_output --regexp '^POST '
  assert_equal "$(came /breaking/2/g)" 3
  run_durable --id job --retry max=3,min=1ms,jitter=0 -- curl -sS http://127.0.0.1:1/
  assert_failure 7
  run -0 perdure log job
  assert_equal "$(grep -c 'tried again, after 1 ms: code 7' <<< "$output")" 1
  assert_equal "$(grep -c 'tried again, after 3 ms: code 7' <<< "$output")" 1
}

@test "not idempotent: what was sent is not sent again, what only reads is" {
  run_durable --not-idempotent --retry max=4,min=1ms,status=503 -- curl -sS -d one=1 "$url/failing/2/503//h"
  assert_output 'not now'
  assert_equal "$(came /failing/2/503//h)" 1
  run_durable --not-idempotent --retry max=4,min=1ms -- curl -sS -d one=1 "$url/breaking/2/i"
  assert_failure
  assert_equal "$(came /breaking/2/i)" 1
  run_durable --not-idempotent --retry max=4,min=1ms,status=503 -- curl -sS "$url/failing/2/503//j"
  assert_output --regexp '^GET '
}

@test "a body that the program has begun to get is not asked for again" {
  run_durable --retry max=4,min=1ms -- curl -sS "$url/reset/1000" -o out
  assert_failure
  assert_equal "$(came /reset/1000)" 1
}

@test "nor is one whose request an earlier attempt had sent already" {
  points=$(perdure run -q --id whole --retry max=4,min=1ms -- curl -sS "$url/truncated/1000" -o out || perdure sql whole "select value from meta where key = 'crash_points'")
  local given_after=0
  for back in {150..250..3}; do
    rm out
    crash_at $((points - back)) --id "job$back" -q --retry max=4,min=1ms -- curl -sS "$url/truncated/1000" -o out
    run_durable --id "job$back" -q --retry max=4,min=1ms -- curl -sS "$url/truncated/1000" -o out
    assert_equal "$status" 18
    assert_equal "$(stat -c %s out)" 1000
    ! perdure log "job$back" | mawk '/curl_callback\(sent again/ { again = 1 } /curl_callback\(write/ { given = again; exit } END { exit !given }' ||
      given_after=$((given_after + 1))
  done
  [ "$given_after" -gt 0 ]
}

@test "an upload begins again at its beginning" {
  head -c 100000 /dev/zero | tr '\0' x > body
  run_durable --retry max=3,min=1ms,status=503 -- curl -sS -T body "$url/failing/1/503//k"
  assert_output --regexp '^PUT '
  assert_equal "$(awk '$2 == "/failing/1/503//k" {print $5}' "$requests" | sort -u)" 100000
  assert_equal "$(came /failing/1/503//k)" 2
}

# measured ID: the delays that the log says.
measured() {
  perdure log "$1" | sed -n 's/.*tried again, after \(.*\): .*/\1/p' | tr '\n' ,
}

@test "--retry-policy: rules on method, host, path, status and error, by priority" {
  cat > rules <<END
policy slow  = periodic 4ms
policy fast  = fibonacci 1ms count 4
policy never-again = never
policy both  = slow and-then fast count 3
on request                                  use never-again
on request path /failing/*/m                use slow
on request path /failing/*/n   priority 2   use fast
on request method POST path /failing/*/n priority 3 use never-again
on request host 127.0.0.1:1 error connect   priority 4 use both
on request status 500          priority 5   use fast
on any                                      use never-again
END
  run_durable --id m --retry-policy rules -- curl -sS "$url/failing/3/503//m"
  assert_output 'not now'
  run_durable --id n --retry-policy rules -- curl -sS "$url/failing/3/503//n?x=1"
  assert_output --regexp '^GET '
  assert_equal "$(measured n)" '1 ms,1 ms,2 ms,'
  run_durable --id o --retry-policy rules -- curl -sS -d x=1 "$url/failing/1/503//n"
  assert_output 'not now'
  run_durable --id p --retry-policy rules -- curl -sS http://127.0.0.1:1/
  assert_failure 7
  assert_equal "$(measured p)" '4 ms,4 ms,'
  run_durable --id q --retry-policy rules -- curl -sS "$url/failing/9/500//q"
  assert_output 'not now'
  assert_equal "$(measured q)" '1 ms,1 ms,2 ms,'
  assert_equal "$(came '/failing/9/500//q')" 4
}

@test "--retry-policy: what no rule has is left to --retry; a program that gives its own policy stands above both" {
  printf '%s\n' 'policy once = immediate count 2' 'on request path /failing/*/r use once' > rules
  run_durable --retry-policy rules --retry max=4,min=1ms,status=503 -- curl -sS "$url/failing/3/503//s"
  assert_output --regexp '^GET '
  run_durable --retry-policy rules --retry max=4,min=1ms,status=503 -- curl -sS "$url/failing/3/503//r"
  assert_output 'not now'
  cat > job.py << END
import pycurl, sys
sys.dont_write_bytecode = True
sys.path.insert(0, "$(realpath "$BATS_TEST_DIRNAME/../..")/control-api")
import perdure
curl = pycurl.Curl()
curl.setopt(curl.URL, "$url/failing/3/503//r")
perdure.set_retry_policy(max_attempts=4, min_delay=0.001, statuses=(503,))
curl.perform()
END
  run_durable --retry-policy rules -- /usr/bin/python3 job.py
  assert_output --regexp '^GET '
}

@test "a policy that the program has put together, for a transfer" {
  cat > job.py << END
import pycurl, sys
sys.dont_write_bytecode = True
sys.path.insert(0, "$(realpath "$BATS_TEST_DIRNAME/../..")/control-api")
from perdure import RetryPlan, retry_plan
curl = pycurl.Curl()
curl.setopt(curl.URL, "$url/failing/3/503//u")
with retry_plan(RetryPlan.immediate().count(2).and_then(RetryPlan.fibonacci(0.002)).statuses(503)):
    curl.perform()
END
  run_durable --id u -- /usr/bin/python3 job.py
  assert_output --regexp '^GET '
  assert_equal "$(measured u)" '0 ms,2 ms,2 ms,'
}

@test "--retry-policy: Retry-After is waited for within a clamp; a total time ends the tries" {
  printf '%s\n' 'policy a = periodic 1ms clamp 1ms 2s' 'policy b = periodic 1ms clamp 1ms 500ms' 'policy c = periodic 50ms total 1s' \
    'on request path */a use a' 'on request path */b use b' 'on request path */c use c' > rules
  run_durable --id a --retry-policy rules -- curl -sS "$url/failing/1/503/1/a"
  assert_output --regexp '^GET '
  assert_equal "$(measured a)" '1 s,'
  run_durable --retry-policy rules -- curl -sS "$url/failing/1/503/1/b"
  assert_output 'not now'
  run_durable --id c --retry-policy rules -- curl -sS "$url/failing/999/503//c"
  assert_output 'not now'
  [ "$(came /failing/999/503//c)" -gt 1 ]
  [ "$(came /failing/999/503//c)" -le 21 ]
}

@test "transfers of a multi handle: tried again before the program is told, whichever way it waits, as one exchange with one key" {
  multi="$(realpath "${PERDURE_BUILD:-$BATS_TEST_DIRNAME/../../build}")/tests/programs/curl_multi"
  for how in poll wait fdset epoll; do
    : > "$requests"
    run_durable --id "$how" -- "$multi" "$how" "$url" retried
    assert_success
    assert_output "$(printf '%s\n' '0.0: 0 200' '0.1: 0 200' '0.2: 0 200' '0.3: 0 200' '1.0: 0 404' '1.1: 0 200' '1.2: 0 200' '1.3: 18 200')"
    assert_equal "$(came "/failing/1/503//get?$how") $(came "/failing/2/503//post?$how") $(came "/failing/1/503//put?$how")" '2 3 2'
    assert_equal "$(came "/breaking/1/get?$how") $(came "/breaking/2/again?$how") $(came "/failing/1/503//put-again?$how")" '2 3 2'
    assert_equal "$(came "/status/404?$how") $(came "/truncated/500?$how")" '1 1'
    # libcurl itself sends again what a reused connection had broken under.
    assert_equal "$(perdure log "$how" | grep -c 'tried again, after [12] ms: status 503')" 5
    run -0 perdure http "$how"
    assert_line --regexp ' POST .* 3 +live +ok .*/failing/2/503//post'
  done
}

@test "killed between tries by a rule: they are counted on, and the policy ends where it would have" {
  printf '%s\n' 'policy a = immediate count 2' 'policy b = immediate count 2' 'policy c = a and-then b' 'on request use c' > rules
  perdure run -q --id whole --retry-policy rules -- curl -sS "$url/failing/999/503//t"
  points=$(perdure sql whole "select value from meta where key = 'crash_points'")
  before=$(came /failing/999/503//t)
  for back in {4..40..4}; do
    crash_at $((points - back)) --id "job$back" -q --retry-policy rules -- curl -sS "$url/failing/999/503//t"
    run_durable --id "job$back" -q --retry-policy rules -- curl -sS "$url/failing/999/503//t"
    assert_output 'not now'
    assert_equal "$(perdure log "job$back" | grep -c 'tried again')" 2
  done
  [ "$(came /failing/999/503//t)" -gt $((before + 30)) ]
}

@test "killed between tries, the next attempt sends it again, and the policy goes on" {
  mkdir inputs
  cat > inputs/job.py << END
import io, pycurl, sys
sys.dont_write_bytecode = True
sys.path.insert(0, "$(realpath "$BATS_TEST_DIRNAME/../..")/control-api")
import perdure
body, lines = io.BytesIO(), []
curl = pycurl.Curl()
curl.setopt(curl.URL, "$url/failing/2/503//l")
curl.setopt(curl.POSTFIELDS, "one=1")
curl.setopt(curl.WRITEDATA, body)
curl.setopt(curl.HEADERFUNCTION, lines.append)
with perdure.retry_policy(max_attempts=9, min_delay=0.001, statuses=(503,)):
    curl.perform()
with open("out", "wb") as out:
    out.write(body.getvalue())
print(curl.getinfo(curl.RESPONSE_CODE), lines[-3:])
END
  run --separate-stderr perdure check --points 60 --jobs 1 --from inputs -- /usr/bin/python3 job.py
  # shellcheck disable=SC2154 # bats sets stderr
  [ "$status" -eq 0 ] || printf '%s\n' "$output" "$stderr"
  assert_success
  assert_line --regexp ' 0 different$'
  [ "$(came /failing/2/503//l)" -gt 3 ]
}
