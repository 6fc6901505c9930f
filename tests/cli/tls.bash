# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Certificates, and Redis servers that speak TLS alone (redis.bash).

# make_authority NAME: NAME.pem, which signs others.
make_authority() {
  openssl req -x509 -newkey rsa:2048 -nodes -keyout "$1.key" -out "$1.pem" -days 2 -subj "/CN=$1" 2> openssl-said
}

# make_certificate NAME AUTHORITY ALTERNATIVE_NAMES [DAYS]: NAME.pem and NAME.key.
make_certificate() {
  openssl req -newkey rsa:2048 -nodes -keyout "$1.key" -out "$1.csr" -subj "/CN=$1" 2> openssl-said
  openssl x509 -req -in "$1.csr" -CA "$2.pem" -CAkey "$2.key" -CAcreateserial -out "$1.pem" -days "${4-2}" \
    -extfile <(echo "subjectAltName=$3") 2> openssl-said
}

# redis_start_tls NAME CERTIFICATE OPTION...: sets redis_port; it takes connections by TLS alone.
redis_start_tls() {
  local name=$1 certificate=$2 try
  shift 2
  for try in 1 2 3 4 5; do
    redis_port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    redis_start_on "$name" "$redis_port" --port 0 --tls-port "$redis_port" --tls-cert-file "$PWD/$certificate.pem" \
      --tls-key-file "$PWD/$certificate.key" --tls-ca-cert-file "$PWD/authority.pem" --tls-auth-clients no "$@" && return
  done
  fail "no redis-server has started: $try tries"
}

# redis_ask_tls PORT WORD...
redis_ask_tls() {
  local port=$1
  shift
  redis-cli --tls --cacert authority.pem -h 127.0.0.1 -p "$port" "$@"
}

# redis_start_sentinel_tls NAME CERTIFICATE PRIMARY_PORT: sets redis_port; it calls that primary `ours`.
redis_start_sentinel_tls() {
  local folder="$BATS_TEST_TMPDIR/redis-$1" try
  mkdir -p "$folder"
  redis_port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  {
    printf 'port 0\ntls-port %s\nbind 127.0.0.1\ntls-replication yes\ntls-auth-clients no\n' "$redis_port"
    printf 'tls-cert-file %s\ntls-key-file %s\ntls-ca-cert-file %s\n' "$PWD/$2.pem" "$PWD/$2.key" "$PWD/authority.pem"
    printf 'sentinel monitor ours 127.0.0.1 %s 1\n' "$3"
  } > "$folder/sentinel.conf"
  redis-server "$folder/sentinel.conf" --sentinel > "$folder/said" 3>&- &
  redis_pids+=($!)
  printf -v "redis_pid_$1" %s "$!"
  for try in $(seq 1000); do
    redis_ask_tls "$redis_port" PING > "$folder/ping" 2>&1 && return
  done
  fail "no Sentinel has started: $try tries"
}
