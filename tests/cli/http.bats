#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Looking at a run's exchanges with servers, and what of them nobody sees unasked.

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

# field SEQ NAME: of that exchange in `http --json job`.
field() {
  perdure http --json job | python3 -c '
import json, sys
for exchange in json.load(sys.stdin):
    if exchange["seq"] == int(sys.argv[1]) or sys.argv[1] == "0":
        print(exchange[sys.argv[2]])' "$@"
}

@test "http lists each exchange with method, status, sizes, and how it ended" {
  run_durable --id job -- curl -sS -d one=1 "$url/a" --next -sS -L "$url/redirect/1" --next -sS "$url/status/404" --next -sS http://127.0.0.1:1/
  run -0 perdure http job
  assert_line --index 0 --regexp '^ +SEQ +TIME +METHOD +STATUS +REQUEST +RESPONSE +DURATION +SENT +BY +ENDED +URL$'
  assert_line --index 1 --regexp "^ +[0-9]+ +[0-9:.]+ +POST +200 +5 +27 +[0-9.]+ ms +1 +live +ok +$url/a$"
  assert_line --index 2 --regexp "^ +[0-9]+ +[0-9:.]+ +GET +200 .* live +ok +$url/redirect/1$"
  assert_line --index 3 --regexp "^ .* GET +404 .* ok +$url/status/404$"
  assert_line --index 4 --regexp '^ .* GET +- +0 +0 .* CURLE_COULDNT_CONNECT +http://127.0.0.1:1/$'
  assert_equal "${#lines[@]}" 5
}

@test "http --json, http and the table exchanges say the same" {
  run_durable --id job -- curl -sS -d one=1 "$url/a" --next -sS -o out "$url/bytes/30000"
  assert_equal "$(field 0 url)" "$(perdure sql job 'select url from exchanges')"
  assert_equal "$(field 0 response_size)" "$(perdure sql job 'select response_size from exchanges order by seq')"
  assert_equal "$(perdure sql job 'select method, status, code_name, request_size, response_size, sent, replayed, keyed from exchanges')" \
    "POST|200|CURLE_OK|5|27|1|0|1
GET|200|CURLE_OK|0|30000|1|0|0"
  assert_equal "$(perdure sql job 'select kind from entries join exchanges using (seq)')" "intent
intent"
}

# Is one exchange ended and one under way when the run is killed there?
killed_between_two() {
  rm -rf "$PERDURE_DIR"
  PERDURE_CRASH_AT=$1 "$PERDURE" run -q --id job -- curl -sS "$url/one" --next -sS -d two=2 "$url/two" > /dev/null 2>&1 && return
  case "$(field 0 state | paste -sd,)" in
  'ended,under way') echo there ;;
  '' | 'under way' | ended) echo before ;;
  esac
}

@test "after a resume, what was answered before is replayed, and what was sent again counts twice" {
  by_halves 2000 killed_between_two
  run_durable --id job -- curl -sS "$url/one" --next -sS -d two=2 "$url/two"
  assert_equal "$status" 0
  assert_equal "$(perdure sql job 'select replayed, sent, attempt from exchanges')" "1|1|1
0|2|2"
  run -0 perdure http job
  assert_line --index 1 --regexp ' 1 +replayed +ok '
  assert_line --index 2 --regexp ' 2 +live +ok '
}

@test "http works beside the live run" {
  start_waiting_run job
  run -0 perdure http job
  assert_output ''
  assert_equal "$(perdure http --json job)" '[]'
  let_go
  await_supervisor
}

@test "show gives an exchange whole, whichever of its entries is asked for" {
  run_durable --id job -- curl -sS -H 'X-One: 1' -d 'one=1' "$url/a"
  local first last
  first=$(perdure sql job "select seq from exchanges")
  last=$(perdure sql job "select max(seq) from entries where call = 'curl_easy_perform'")
  for seq in "$first" $((first + 1)) "$last"; do
    run -0 perdure show job "$seq"
    assert_line "> POST $url/a"
    assert_line '> X-One: 1'
    assert_line --regexp '^> Idempotency-Key: [0-9a-f-]{36}$'
    assert_line 'one=1'
    assert_line '< HTTP/1.1 200 Fine'
    assert_line '< Content-Length: 27'
    assert_line --regexp '^POST /a [0-9a-f]{16} 5$'
  done
  assert_equal "$(perdure show --json job "$first" | python3 -c '
import json, sys
exchange = json.load(sys.stdin)["exchange"]
print(exchange["request_body"], exchange["response_header"].splitlines()[0], exchange["response_body"].split()[0])')" \
    "one=1 HTTP/1.1 200 Fine POST"
}

@test "a program that wants no header lines has them in its journal all the same" {
  cat > get.py << END
import pycurl
easy = pycurl.Curl()
easy.setopt(easy.URL, "$url/bytes/10")
easy.setopt(easy.WRITEFUNCTION, lambda piece: None)
easy.perform()
END
  run_durable --id job -- /usr/bin/python3 get.py
  assert_equal "$status" 0
  run -0 perdure show job "$(perdure sql job 'select seq from exchanges')"
  assert_line '< HTTP/1.1 200 Fine'
}

@test "show prints 256 KiB of a body, and counts the rest" {
  run_durable --id job -- curl -sS -o out "$url/bytes/300000"
  run -0 perdure show job "$(perdure sql job 'select seq from exchanges')"
  assert_line --regexp '^\.\.\. 37856 more bytes$'
}

@test "header lines that come as body are shown as header lines alone" {
  run_durable --id job -- curl -sS -i "$url/a"
  run -0 perdure show job "$(perdure sql job 'select seq from exchanges')"
  refute_line 'HTTP/1.1 200 Fine'
  assert_line '< HTTP/1.1 200 Fine'
  assert_equal "$(field 0 response_size)" 26
}

# ---- secrets ----

# Looks in each way at all that the run `job` holds, with the OPTIONs given.
see_all() {
  perdure log "$@" job
  perdure log --json "$@" job
  perdure http "$@" job
  perdure http --json "$@" job
  perdure ls "$@"
  perdure ls --json "$@"
  perdure status "$@" job
  perdure sql "$@" job 'select * from entries'
  perdure sql "$@" job 'select hex(output), path from entries' | tr -d '\n' | python3 -c '
import re, sys
print("".join(bytes.fromhex(word).decode(errors="replace") for word in re.findall("[0-9A-F]{6,}", sys.stdin.read())[:] if len(word) % 2 == 0))'
  perdure sql --json "$@" job 'select * from exchanges'
  perdure sql "$@" job 'select value from argument'
  for seq in $(perdure sql job "select seq from entries where call like 'curl%' or call = 'write'"); do
    perdure show "$@" job "$seq"
    perdure show --json "$@" job "$seq"
  done
}

@test "credentials are seen by nobody without --secrets, in no way of looking" {
  secret_url="http://someone:hush-password@127.0.0.1:$port"
  run_durable --id job -- curl -sS -v -H 'Authorization: Bearer hush-token' -H 'Proxy-Authorization: Basic hush-proxy' \
    -H 'Cookie: c=hush-cookie' -e "$secret_url/referer" -d one=1 "$secret_url/a" --next -sS -i "$url/cookie/set-from-path"
  see_all > seen
  run grep -a -o 'hush-[a-z]*' seen
  assert_output ''
  run grep -a -o 'c=set-from-path' seen
  assert_output ''
  see_all --secrets > seen
  for secret in hush-cookie hush-password hush-proxy hush-token; do
    grep -a -q -e "$secret" seen
  done
  assert_equal "$(grep -a -o -m1 'c=set-from-path' seen | head -n 1)" c=set-from-path
}

@test "a redirect's password is hidden too, and error messages name no secret" {
  run_durable --id job -- curl -sS -L -w '%{url_effective} %{redirect_url}' "http://u:hush@127.0.0.1:$port/redirect/1"
  see_all > seen
  run grep -a -c hush seen
  assert_output 0
}

@test "store, tail and feed are their owner's alone, in a folder that is too" {
  umask 000
  PERDURE_CRASH_AT=100 run --separate-stderr "$PERDURE" run --id job -- curl -sS -o out "$url/bytes/3000"
  assert_equal "$status" 137
  # The second attempt makes the feed.
  PERDURE_CRASH_AT=20 run --separate-stderr "$PERDURE" run --id job -- curl -sS -o out "$url/bytes/3000"
  assert_equal "$(stat -c %a "$PERDURE_DIR/runs" "$PERDURE_DIR/runs/job" | sort -u)" 700
  for file in run.db tail feed; do
    assert_equal "$file $(stat -c %a "$PERDURE_DIR/runs/job/$file")" "$file 600"
  done
  assert_equal "$(find "$PERDURE_DIR/runs/job" -perm /077)" ""
}

# ---- bodies of many bytes ----

# kill_in_body: runs a download of 4 MB, killed in the middle of its body, when a blob holds a part of it.
kill_in_body() {
  run --separate-stderr "$PERDURE" run --id count -- curl -sS -o out "$url/bytes/4000000"
  local points
  points=$(perdure sql count "select value from meta where key = 'crash_points'")
  crash_at $((points * 3 / 4)) --id job -- curl -sS -o out "$url/bytes/4000000"
  [ -n "$(ls "$PERDURE_DIR/runs/job/blobs")" ]
}

@test "a long body lies in a file beside the store, which holds little" {
  run_durable --id job -- curl -sS -o out "$url/bytes/4000000"
  assert_equal "$status" 0
  assert_equal "$(stat -c %s out)" 4000000
  assert_equal "$(stat -c %a "$PERDURE_DIR"/runs/job/blobs/*)" 600
  [ "$(stat -c %s "$PERDURE_DIR"/runs/job/blobs/*)" -gt 2500000 ]
  [ "$(stat -c %s "$PERDURE_DIR"/runs/job/run.db)" -lt 2500000 ]
  assert_equal "$(field 0 response_size)" 4000000
  run -0 perdure verify job
  run -0 perdure verify --replay job
  perdure rm job
  assert_not_exists "$PERDURE_DIR/runs/job"
}

@test "a body of 4 MB is gone on with from its blob" {
  kill_in_body
  curl -sS -o whole "$url/bytes/4000000"
  run_durable --id job -- curl -sS -o out "$url/bytes/4000000"
  assert_equal "$status" 0
  cmp out whole
  assert_equal "$(field 0 sent)" 2
  run -0 perdure verify job
}

@test "a blob that is damaged or gone is found by verify, and a run does not go on with it" {
  kill_in_body
  local blob
  blob=$(echo "$PERDURE_DIR"/runs/job/blobs/*)
  # What the drain has stored names it.
  printf x | dd of="$blob" bs=1 seek=100000 conv=notrunc status=none
  run --separate-stderr "$PERDURE" run --id job -- curl -sS -o out "$url/bytes/4000000"
  assert_equal "$status" 125
  assert_regex "$stderr" 'perdure: run job cannot go on: its input is not what it was: the bytes of an answer are damaged: .*blobs/'
  run perdure verify job
  assert_equal "$status" 1
  assert_line --regexp 'entry [0-9]+: the bytes that it refers to in blobs/ are not what they were'
  rm "$blob"
  run perdure verify job
  assert_equal "$status" 1
  assert_line --regexp 'entry [0-9]+: the bytes that it refers to in blobs/ cannot be read'
}
