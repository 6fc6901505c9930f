#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Two ordinary jobs, sqlite3's and python3's, each killed with -9 in the middle and run again, and the
# proof that nothing was lost or done twice. Usage: demo.sh BUILD_DIRECTORY
set -eu

build=$(cd "$1" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
perdure=$build/perdure
work=$(mktemp -d "${TMPDIR:-/tmp}/perdure-demo.XXXXXX")
trap 'rm -rf "$work"' EXIT
export PERDURE_DIR="$work/state"
cd "$work"

say() { printf '\n== %s\n' "$*"; }

# Runs the command in a process group of its own, shows its output, and ends the whole group with
# SIGKILL as soon as it has printed the line $1.
kill_at() {
  line=$1
  shift
  mkfifo output
  setsid "$@" >output &
  group=$!
  while read -r printed; do
    printf '   %s\n' "$printed"
    if [ "$printed" = "$line" ]; then
      kill -9 "-$group"
      break
    fi
  done <output
  wait "$group" 2>/dev/null || printf '   ... kill -9: exit status %s\n' $?
  rm output
}

expect() {
  if [ "$2" = "$3" ]; then
    printf '   %-52s %s\n' "$1" "$2"
  else
    printf '   %-52s %s, but it should be %s\n' "$1" "$2" "$3"
    exit 1
  fi
}

say "A bank: 1200 transfers by sqlite3, each in a transaction of its own"
awk -f "$here/transfers.awk" >transfers.sql
sqlite3 bank.db <"$here/bank.sql"
cp bank.db undisturbed.db
sqlite3 undisturbed.db '.read transfers.sql' >/dev/null
echo "   \$ perdure run -- sqlite3 bank.db '.read transfers.sql'"
kill_at "transfer 600" "$perdure" run -- sqlite3 bank.db '.read transfers.sql'
printf "   %-52s %s\n" "transfers in the book after the kill" "$(sqlite3 bank.db "select count(*) from book")"

say "The same command again"
echo "   \$ perdure run -- sqlite3 bank.db '.read transfers.sql'"
"$perdure" run -- sqlite3 bank.db '.read transfers.sql' | sed 's/^/   /'
expect "transfers in the book" "$(sqlite3 bank.db 'select count(*) from book')" 1200
expect "of them different" "$(sqlite3 bank.db 'select count(distinct number) from book')" 1200
expect "money in all accounts" "$(sqlite3 bank.db 'select sum(balance) from account')" 100000
expect "byte for byte what an undisturbed run leaves" "$(cmp bank.db undisturbed.db && echo yes)" yes

say "Pay slips: python3 appends to a file, with random numbers and the time of day"
echo "   \$ perdure run -- python3 payslips.py"
cp "$here/payslips.py" .
kill_at "slip 300" "$perdure" run -- /usr/bin/python3 payslips.py
cp slips.txt before.txt
expect "slips written when it was killed" "$(test "$(wc -l <before.txt)" -ge 300 && echo "at least 300")" "at least 300"

say "The same command again"
echo "   \$ perdure run -- python3 payslips.py"
"$perdure" run -- /usr/bin/python3 payslips.py | sed 's/^/   /'
expect "slips in the file" "$(wc -l <slips.txt)" 600
expect "of them different" "$(cut -d' ' -f2 slips.txt | sort -u | wc -l)" 600
expect "those from before the kill are still the first" "$(head -c "$(stat -c %s before.txt)" slips.txt | cmp - before.txt && echo yes)" yes
expect "random slip numbers, printed sum agrees with the file" \
  "$(awk '{s += $3} END {print s}' slips.txt)" "$(cat total.txt)"

say "What happened, from the journal"
"$perdure" ls
