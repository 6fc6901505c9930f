# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What the runs of examples share; sourced with the build folder, or nothing. $here is the example's folder.
# shellcheck disable=SC2034,SC2154

build=$(cd "${1:-$here/../../build}" && pwd)
scratch=$(mktemp -d)
export PERDURE_DIR="$scratch/perdure"
shop_pid=

case ${POINTS:-all} in
  all | [1-9]*) ;;
  *)
    echo "POINTS=$POINTS: a number from 1, or all" >&2
    exit 2
    ;;
esac

clean_up() {
  [ -z "$shop_pid" ] || kill "$shop_pid"
  rm -rf "$scratch"
}
trap clean_up EXIT

perdure() {
  "$build/perdure" "$@"
}

compile() {
  "${CC:-cc}" -Wall -Wextra -I "$here/../../control-api" -o "$scratch/$1" "$here/$1.c" -lcurl
}

# Its address in $shop, what it has done in $ledger.
start_shop() {
  local port
  ledger="$scratch/ledger"
  : > "$ledger"
  mkfifo "$scratch/port"
  "$here/../shop.py" "$ledger" > "$scratch/port" &
  shop_pid=$!
  read -r port < "$scratch/port"
  shop="http://127.0.0.1:$port"
}

# last_point NAME COMMAND...: how many kill points an undisturbed run of it has.
last_point() {
  local name=$1 place
  shift
  place="$scratch/undisturbed-$name"
  mkdir "$place"
  (cd "$place" && PERDURE_CRASH_AT=$((2 ** 62)) perdure run -q --id "$name" -- "$@" > output)
  sqlite3 "$PERDURE_DIR/runs/$name/run.db" "select value from meta where key = 'crash_points'"
}

# The numbers up to the last; with POINTS, where there are more, that many of them, spread evenly.
points() {
  local wanted=${POINTS:-all}
  if [ "$wanted" = all ] || [ "$wanted" -gt "$1" ]; then
    wanted=$1
  fi
  seq 1 "$1" | awk -v wanted="$wanted" -v all="$1" 'int(NR * wanted / all) > int((NR - 1) * wanted / all)'
}

# killed_at POINT ID COMMAND...: the whole tree, as by kill -9.
killed_at() {
  local point=$1 id=$2 status=0
  shift 2
  # The shell says that it was killed; so it should be.
  { PERDURE_CRASH_AT=$point "$build/perdure" run -q --id "$id" -- "$@" > output; } 2> errors || status=$?
  [ $status -eq 137 ] || { cat errors >&2; return 1; }
}

# resume ID COMMAND...
resume() {
  local id=$1
  shift
  perdure run -q --id "$id" -- "$@" > output 2> errors
}
