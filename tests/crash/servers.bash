# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Servers on 127.0.0.1 that outlive the kill points of a sweep. Whoever starts one calls stop_servers in
# teardown: it ends them by their own pids.

servers=()

# start_counting_server [PORT]: its port in $port, its log in $requests.
start_counting_server() {
  local build
  build=$(realpath "${PERDURE_BUILD:-$BATS_TEST_DIRNAME/../../build}")
  requests="$BATS_TEST_TMPDIR/requests"
  rm -f "$BATS_TEST_TMPDIR/ready"
  mkfifo "$BATS_TEST_TMPDIR/ready"
  "$build/tests/programs/counting_server" "$requests" "$BATS_TEST_TMPDIR/ready" "$@" 3>&- &
  servers+=($!)
  read -r port < "$BATS_TEST_TMPDIR/ready"
}

stop_servers() {
  local server
  for server in "${servers[@]}"; do
    kill "$server" 2> /dev/null || true
    wait "$server" 2> /dev/null || true
  done
  servers=()
}
