# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Real Redis servers on 127.0.0.1, each on a free port, ended by their own process ids.

redis_pids=()

# redis_start NAME OPTION...: sets redis_port; its folder is NAME, its process id in redis_pid_NAME.
redis_start() {
  local name=$1 folder="$BATS_TEST_TMPDIR/redis-$1" try
  shift
  mkdir -p "$folder"
  for try in 1 2 3 4 5; do
    redis_port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    redis_start_on "$name" "$redis_port" "$@" && return
  done
  fail "no redis-server has started: $try tries"
}

# redis_start_on NAME PORT OPTION...
redis_start_on() {
  local name=$1 port=$2 folder="$BATS_TEST_TMPDIR/redis-$1" line
  shift 2
  mkdir -p "$folder"
  echo "$port" > "$folder/port"
  [ -p "$folder/log" ] || mkfifo "$folder/log"
  redis-server --port "$port" --bind 127.0.0.1 --save '' --dir "$folder" --repl-diskless-sync-delay 0 "$@" > "$folder/log" 3>&- &
  redis_pids+=($!)
  printf -v "redis_pid_$name" %s "$!"
  exec 5< "$folder/log"
  while read -r line <&5; do
    [[ $line != *"Ready to accept connections"* ]] || break
  done
  # Nobody reads on: the server's log must not block it.
  cat <&5 > "$folder/said" 3>&- &
  redis_pids+=($!)
  exec 5<&-
  [[ $line == *"Ready to accept connections"* ]]
}

# redis_start_sentinel NAME PRIMARY_PORT: sets redis_port; it calls that primary `ours`.
redis_start_sentinel() {
  local folder="$BATS_TEST_TMPDIR/redis-$1" try
  mkdir -p "$folder"
  redis_port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  printf 'port %s\nbind 127.0.0.1\nsentinel monitor ours 127.0.0.1 %s 1\n' "$redis_port" "$2" > "$folder/sentinel.conf"
  redis-server "$folder/sentinel.conf" --sentinel > "$folder/said" 3>&- &
  redis_pids+=($!)
  printf -v "redis_pid_$1" %s "$!"
  for try in $(seq 1000); do
    redis-cli -p "$redis_port" PING > "$folder/ping" 2>&1 && return
  done
  fail "no Sentinel has started: $try tries"
}

# redis_start_cluster COUNT: that many nodes with all slots, no replicas; redis_port is the first one's.
redis_start_cluster() {
  local nodes=() port i try
  for ((i = 0; i < $1; i++)); do
    # The bus has its port 10000 above.
    for try in $(seq 50); do
      port=$((RANDOM % 20000 + 20000))
      redis_start_on "node$i" "$port" --cluster-enabled yes --cluster-node-timeout 5000 && break
    done
    nodes+=("127.0.0.1:$port")
  done
  redis_port=${nodes[0]#*:}
  if [ "$1" = 1 ]; then
    redis-cli -p "$redis_port" CLUSTER ADDSLOTSRANGE 0 16383 > created
  else
    redis-cli --cluster create "${nodes[@]}" --cluster-yes > created
  fi
  for port in "${nodes[@]#*:}"; do
    until redis-cli -p "$port" CLUSTER INFO | grep -q cluster_state:ok; do :; done
  done
}

# redis_kill NAME: with all that it has.
redis_kill() {
  local pid="redis_pid_$1"
  kill -9 "${!pid}"
  wait "${!pid}" 2> /dev/null || true
}

stop_redis() {
  local pid
  for pid in "${redis_pids[@]}"; do
    kill -9 "$pid" 2> /dev/null || true
    wait "$pid" 2> /dev/null || true
  done
  redis_pids=()
}
