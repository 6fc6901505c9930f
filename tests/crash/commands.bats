# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Scripts around larger programs, and job control, killed at their kill points.
load sweeps
load servers

setup() {
  check_options=()
  sweep_points=60
  set_up_inputs
  script="$BATS_TEST_TMPDIR/script"
}

teardown() {
  stop_servers
  [ -z "${database-}" ] || rm -rf "$database"
}

# start_postgres: a server of a database cluster of its own on $port of 127.0.0.1, as a user who is not root.
start_postgres() {
  local bin as=()
  bin=$(echo /usr/lib/postgresql/*/bin)
  # The server's user must come to it, which the folder of a test does not allow.
  database=$(mktemp -d "${TMPDIR:-/tmp}/perdure-postgres.XXXXXX")
  if [ "$(id -u)" = 0 ]; then
    as=(setpriv --reuid=postgres --regid=postgres --clear-groups)
    chown postgres "$database"
  fi
  port=$(free_port)
  "${as[@]}" "$bin/initdb" -D "$database/cluster" -U me -A trust --no-sync > "$BATS_TEST_TMPDIR/initdb"
  (cd "$database" && exec "${as[@]}" "$bin/postgres" -D cluster -p "$port" -h 127.0.0.1 -k "" -F > "$BATS_TEST_TMPDIR/postgres" 2>&1 3>&-) &
  servers+=($!)
  timeout 30 tail -n +1 -F --retry "$BATS_TEST_TMPDIR/postgres" 2> "$BATS_TEST_TMPDIR/tail" | grep -m1 -q 'ready to accept connections'
}

@test "psql against a server: a script that asks again when its connection breaks has each row once" {
  sweep_within=200
  start_postgres
  cat > "$script" <<END
set -euo pipefail
export PGCONNECT_TIMEOUT=20 PGOPTIONS=--client-min-messages=warning
name=t\$(od -An -N8 -tx8 /dev/urandom | tr -d ' ')
echo "\$name" > name
ask() { psql -XqAt -h 127.0.0.1 -p $port -U me -v ON_ERROR_STOP=1 me 2>> refused; }
until ask <<SQL
create table if not exists \$name (number integer primary key, word text);
SQL
do :; done
for i in 1 2 3; do
  until echo "insert into \$name values (\$i, 'word \$i') on conflict do nothing;" | ask; do :; done
done
until echo "select count(*), sum(number) from \$name;" | ask > answer; do :; done
until echo "copy (select * from \$name order by number) to stdout;" | ask | sort -r > rows; do :; done
rm -f refused
END
  psql -XqAt -h 127.0.0.1 -p "$port" -U me -c 'create database me' postgres
  check_options=(--compare "cat answer rows; ls; psql -XqAt -h 127.0.0.1 -p $port -U me -c \"select * from \$(cat name) order by 1\" me")
  assert_survives bash "$script"
}

@test "tar cj, split, and what comes of putting the parts together" {
  cat > "$script" <<'END'
set -euo pipefail
tar cj tree | split -b 2000 - part.
cat part.* | tar tj | sort > listed
mkdir again
cat part.* | bzip2 -d | tar x -C again
diff -r tree again/tree && echo the same
END
  assert_survives bash "$script"
}

@test "job control: jobs are groups of their own, in the foreground and behind" {
  cat > "$script" <<'END'
set -m
trap 'echo chld >> chld' CHLD
sh -c 'sleep 0.05; echo first > first; exit 3' &
sh -c 'echo second > second' &
fg %1 > /dev/null; echo "fg: $?"
wait; echo "wait: $?"
(cat first | sort > third; exit 4) & pid=$!
kill -0 -$pid && echo "a group of its own"
wait $pid; echo "third: $?"
cat first second third
END
  # How often the trap ran depends on which children ended together.
  check_options=(--compare 'cat first second third')
  assert_survives bash "$script"
}
