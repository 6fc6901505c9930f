#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Another store by TLS (rediss://): who is trusted, and what is said where nobody is.

bats_require_minimum_version 1.5.0

setup() {
  load domain.bash
  load redis.bash
  load tls.bash
  load payments.bash
  set_up_place
  make_authority authority
  make_certificate server authority IP:127.0.0.1
}

teardown() {
  [ -z "${supervisor-}" ] || kill -9 -- "-$supervisor" 2> /dev/null || true
  [ -z "${counting-}" ] || kill "$counting"
  stop_redis
}

# is_refused_with TEXT URL: in one line, and nothing was run.
is_refused_with() {
  run_durable --id refused --store "$2" -- touch touched
  assert_equal "$status" 125
  assert_clear_line
  [[ $stderr == *"$1"* ]] || fail "$stderr"
  assert_not_exist touched
}

@test "by TLS a run whose machine is gone goes on elsewhere, and each payment is made once" {
  redis_start_tls primary server
  store="rediss://127.0.0.1:$redis_port/?ca=$PWD/authority.pem"
  write_payments
  start_payments --lease 500ms --min-replicas 0
  kill -9 -- "-$supervisor"
  wait "$supervisor" 2> /dev/null || true
  rm go
  run --separate-stderr on_another_machine run --id job --store "$store" -- bash pay.sh
  assert_equal "$status" 0
  assert_paid_once
  assert_only_the_last_again
  assert_equal "$(redis_ask_tls "$redis_port" HGET 'perdure:{job}:run' state)" finished
}

@test "a run remembers its store with its files: it goes on, resumed from another directory" {
  redis_start_tls primary server
  PERDURE_CRASH_AT=20 run perdure run -q --id job --store "rediss://127.0.0.1:$redis_port/?ca=$PWD/authority.pem" -- sh -c 'cat /etc/hostname; exit 4'
  mkdir elsewhere
  cd elsewhere
  run --separate-stderr perdure resume job
  assert_equal "$status" 4
  cd ..
  assert_equal "$(redis_ask_tls "$redis_port" HGET 'perdure:{job}:run' state)" finished
}

@test "who needs a certificate of the client's gets it, and who gets none says so" {
  make_certificate client authority DNS:client
  make_authority others
  make_certificate stranger others DNS:stranger
  redis_start_tls primary server --tls-auth-clients yes
  store="rediss://127.0.0.1:$redis_port/?ca=$PWD/authority.pem"
  run_durable --id job --store "$store&cert=$PWD/client.pem&key=$PWD/client.key" -- sh -c 'exit 3'
  assert_equal "$status" 3
  cat client.pem client.key > both.pem
  run_durable --id other --store "$store&cert=$PWD/both.pem" -- sh -c 'exit 5'
  assert_equal "$status" 5
  is_refused_with 'does not take connections without a certificate' "$store"
  is_refused_with 'does not take the certificate of yours' "$store&cert=$PWD/stranger.pem&key=$PWD/stranger.key"
  is_refused_with "cannot use the store's key of yours $PWD/stranger.key" "$store&cert=$PWD/client.pem&key=$PWD/stranger.key"
  is_refused_with "cannot use the store's certificate of yours $PWD/none.pem: No such file" "$store&cert=$PWD/none.pem"
}

@test "a certificate that nobody here trusts, that has expired, or is another host's is refused, each in one line" {
  redis_start_tls primary server
  is_refused_with 'is not trusted: ' "rediss://127.0.0.1:$redis_port"
  is_refused_with 'is not trusted: ' "rediss://:secret@127.0.0.1:$redis_port"
  [[ $stderr != *secret* ]]
  make_authority others
  is_refused_with 'is not trusted: ' "rediss://127.0.0.1:$redis_port/?ca=$PWD/others.pem"
  is_refused_with "it is not localhost's" "rediss://localhost:$redis_port/?ca=$PWD/authority.pem"
  is_refused_with "it is not elsewhere's" "rediss://127.0.0.1:$redis_port/?ca=$PWD/authority.pem&name=elsewhere"
  is_refused_with "cannot use the store's authority $PWD/none.pem: No such file" "rediss://127.0.0.1:$redis_port/?ca=$PWD/none.pem"
  make_certificate old authority IP:127.0.0.1 0
  redis_start_tls outdated old
  is_refused_with 'is not trusted: certificate has expired' "rediss://127.0.0.1:$redis_port/?ca=$PWD/authority.pem"
  make_certificate named authority DNS:store.example
  redis_start_tls called named
  run_durable --id named --store "rediss://127.0.0.1:$redis_port/?ca=$PWD/authority.pem&name=store.example" -- sh -c 'exit 6'
  assert_equal "$status" 6
}

@test "a server without TLS, and TLS where it was not asked for, are said" {
  redis_start plain
  is_refused_with 'does not begin TLS: no answer in time; look whether it lives, and whether that port is its one for TLS' "rediss://127.0.0.1:$redis_port/?ca=$PWD/authority.pem"
  python3 -c 'import socket
s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen(); print(s.getsockname()[1], flush=True)
c, _ = s.accept(); c.recv(1); c.sendall(b"-ERR what is that\r\n"); c.recv(99999)' > port &
  until [ -s port ]; do :; done
  is_refused_with 'does not begin TLS: wrong version number; name its port for TLS' "rediss://127.0.0.1:$(cat port)/?ca=$PWD/authority.pem"
  redis_start_tls primary server
  is_refused_with 'does not answer' "redis://127.0.0.1:$redis_port"
}

@test "Sentinels are asked by TLS too" {
  redis_start_tls primary server
  primary_port=$redis_port
  redis_start_sentinel_tls one server "$primary_port"
  run_durable --id job --store "rediss-sentinel://127.0.0.1:1,127.0.0.1:$redis_port/ours?ca=$PWD/authority.pem" -- sh -c 'exit 4'
  assert_equal "$status" 4
  assert_equal "$(redis_ask_tls "$primary_port" HGET 'perdure:{job}:run' state)" finished
}

@test "a server that is killed and begins anew has all of a run by TLS at its end" {
  redis_start_tls primary server
  port=$redis_port
  write_payments
  store="rediss://127.0.0.1:$port/?ca=$PWD/authority.pem"
  start_payments --lease 500ms --min-replicas 0
  redis_kill primary
  redis_start_on primary "$port" --port 0 --tls-port "$port" --tls-cert-file "$PWD/server.pem" --tls-key-file "$PWD/server.key" \
    --tls-ca-cert-file "$PWD/authority.pem" --tls-auth-clients no
  echo > go
  wait "$supervisor"
  assert_paid_once
  assert_equal "$(redis_ask_tls "$port" HGET 'perdure:{job}:run' state)" finished
}
