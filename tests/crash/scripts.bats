# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Shell scripts and other programs that make processes, killed at their kill points: the commands that had
# ended have no second effect, those under way go on inside.
load sweeps

setup() {
  check_options=()
  sweep_points=60
  set_up_inputs
}

# A script, in $script.
write_script() {
  script="$BATS_TEST_TMPDIR/script"
  cat > "$script"
}

@test "dash: commands, loops, redirections, substitutions, a here-document, an exit trap" {
  write_script <<'END'
set -eu
trap 'echo trapped; rm -f scratch' EXIT
echo > scratch
mkdir work
for i in 1 2 3; do echo "line $i" >> work/log; done
n=0
while read -r word number; do n=$((n + number)); done < work/log
(cd work; cp log copy; sed -i s/line/word/ copy)
cat > here <<EOT
$n $(wc -l < work/log)
EOT
cat here
find work -type f -exec cksum {} \;
grep -c nothing work/log || echo none
END
  assert_survives dash "$script"
}

@test "bash: pipefail, arrays, functions, a read loop on a substitution, mktemp, flock" {
  write_script <<'END'
set -euo pipefail
lines=()
while read -r line; do lines+=("$line"); done < <(sort -n numbers | head -n 20)
total() { local sum=0 x; for x in "$@"; do sum=$((sum + ${x%% *})); done; echo "$sum"; }
echo "${#lines[@]} $(total "${lines[@]}")" > totals
made=$(mktemp)
cat totals > "$made"
( flock 9; cat "$made" >> kept ) 9> lock
rm "$made"
cat kept
END
  assert_survives bash "$script"
}

@test "several commands that write to one opening of a file write one behind the other" {
  write_script <<'END'
{ echo first; /bin/echo second; sh -c 'echo third; /bin/echo fourth'; } > all
exec 4>> all
/bin/echo fifth >&4
echo sixth >&4
exec 5< all
read -r one <&5
head -c 5 <&5 > rest
cat <&5 >> rest
END
  assert_survives bash "$script"
}

@test "a pipeline that moves more than a pipe holds loses nothing and has nothing twice" {
  assert_survives bash -c 'seq 1 60000 | gzip | gzip -d | tee copy | md5sum; head -c 1500000 /dev/zero | tail -c 700000 | wc -c'
}

# More than is recorded of a pipe.
write_flowing_script() {
  write_script <<'END'
seq 1 400000 | cat | gzip | gzip -d | md5sum
seq 1 300000 | head -n 250000 | tail -n 2
yes | head -c 3000000 | md5sum; x=$(seq 1 300000); echo ${#x}
{ seq 1 200000; seq 1 100000; } | { head -c 2000000 | cksum; cksum; }
END
}

@test "pipes of which no more than a part is recorded: what was read comes again from who had written it (bash)" {
  write_flowing_script
  sweep_within=100
  assert_survives bash "$script"
}

@test "pipes of which no more than a part is recorded: what was read comes again from who had written it (dash)" {
  write_flowing_script
  sweep_within=100
  assert_survives dash "$script"
}

@test "several that write into one pipe at a time: each line comes once, whoever was writing it" {
  write_script <<'END'
seq 1 6 | xargs -P2 -n1 echo got | sort
{ (echo a1; echo a2; /bin/echo a3) & (echo b1; /bin/echo b2; echo b3) & wait; } | sort
printf 'all: 1 2 3 4\n%%:\n\t@echo made $@; echo and $@\n' > rules
make -s -j2 -f rules | sort
END
  sweep_points=150
  assert_survives bash "$script"
}

@test "several that write more into one pipe than it holds, and one that is killed while it waits for room" {
  write_script <<'END'
{ seq 100000 130000 & seq 200000 230000 & wait; } | sort | cksum
# Until the pipe is full (FIONREAD).
full='$n = pack "i", 0; do { ioctl STDOUT, 0x541b, $n } until unpack("i", $n) >= 65536'
mkfifo begin
{ yes & pid=$!; perl -e "$full"; kill $pid; wait $pid 2> /dev/null; echo > begin; echo last; } | { read -r < begin; tail -n 1; }
END
  assert_survives bash "$script"
}

@test "several that write into one pipe and do not wait for room: each write comes once, and whole" {
  cat > "$inputs/job.py" <<'END'
import os, select
read, write = os.pipe()
for k in range(3):
    if os.fork() == 0:
        os.close(read)
        os.set_blocking(write, False)
        line, sent = b"%d" % k * 3999 + b"\n", 0
        while sent < 20:
            try:
                sent += os.write(write, line) == len(line)
            except BlockingIOError:
                select.select([], [write], [])
        os._exit(0)
os.close(write)
lines = b"".join(iter(lambda: os.read(read, 65536), b"")).split(b"\n")
print(len(lines), sorted(set(lines)) == [b""] + [b"%d" % k * 3999 for k in range(3)])
for k in range(3):
    os.wait()
END
  assert_survives /usr/bin/python3 job.py
}

@test "a reader that ends early ends its writer" {
  assert_survives sh -c 'yes | head -n 3 > three; seq 1 100000 | sed 5q; echo "$?"'
}

@test "background jobs, wait, the status of one that a signal ended" {
  write_script <<'END'
sleep 0.1 & first=$!
sh -c 'echo in background > made; exit 3' & second=$!
wait "$second"; echo "$?"
wait "$first"; echo "$?"
# dash says "Terminated" only where it had not heard of the end before it waited.
{ sleep 100 & kill "$!"; wait "$!"; echo "$?"; } 2> /dev/null
for i in 1 2 3 4; do (echo "$i" > "part$i") & done
wait
cat part1 part2 part3 part4
END
  assert_survives bash "$script"
  assert_survives dash "$script"
}

# stopped PID: waits until that process has stopped.
stopped='stopped() { until [ "$(sed "s/.*) //; s/ .*//" "/proc/$1/stat")" = T ]; do :; done; }'

@test "a process that stops itself, or that another stops, stops once, and goes on when it is continued" {
  write_script <<END
$stopped
bash -c 'echo before; kill -STOP \$\$; echo after' &
stopped \$!
kill -CONT \$!
wait \$!; echo "\$?"
sleep 100 & pid=\$!
kill -STOP \$pid; stopped \$pid; kill -CONT \$pid
kill \$pid; wait \$pid 2> /dev/null; echo "\$?"
END
  assert_survives bash "$script"
}

@test "a shell is told once that its job has stopped, and continues it" {
  write_script <<'END'
set -m
(echo before; kill -STOP $BASHPID; echo after) &
# Where it had stopped before the wait, bash warns.
wait %1 2> /dev/null; echo "$?"
fg %1; echo "$?"
END
  assert_survives bash "$script"
}

@test "a trap runs once for each signal, at the same place" {
  write_script <<'END'
n=0
trap 'n=$((n + 1)); echo "$n" >> trapped' USR1
kill -USR1 $$
(sleep 0.1; kill -USR1 $$) & wait
wait
sh -c 'kill -USR1 '$$
echo "$n"
END
  assert_survives bash "$script"
}

@test "a process substitution and a coprocess" {
  write_script <<'END'
diff <(seq 1 5) <(seq 2 6)
coproc sed -u 's/^/got /'
for i in 1 2 3; do
  echo "$i" >&"${COPROC[1]}"
  read -r -u "${COPROC[0]}" answer
  echo "$answer"
done
END
  assert_survives bash "$script"
}

@test "named pipes: both ends are open again, what was unread is there, and each end comes when it came" {
  write_script <<'END'
mkfifo p
seq 1 20000 > p &
sort -rn < p | md5sum > sum
wait
cat sum
exec 3<> p
echo one >&3; echo two >&3
read -r a <&3; read -r b <&3; echo "$a $b"
exec 3>&-
(for i in 1 2 3; do echo "line $i"; sleep 0.01; done) > p &
while read -r line; do echo "got $line"; done < p
cat p > late &
echo x > p
wait
cat late
END
  assert_survives bash "$script"
  assert_survives dash "$script"
}

@test "xargs with two at a time" {
  assert_survives sh -c 'seq 1 6 | xargs -P2 -n1 sh -c "echo \$0 > made\$0"; cat made*'
}

@test "python3: subprocess, system, popen, fork, posix_spawn, also of what is not there" {
  cat > "$inputs/job.py" <<'END'
import os, subprocess
print(subprocess.run(["sort"], input="b\na\n", capture_output=True, text=True).stdout)
print(subprocess.check_output("wc -l < numbers", shell=True, text=True))
try:
    subprocess.run(["/nowhere/program"])
except FileNotFoundError:
    print("not there")
child = subprocess.Popen(["sleep", "100"])
child.terminate()
print(child.wait())
print(os.waitstatus_to_exitcode(os.system("exit 3")), os.popen("echo by popen").read())
pid = os.fork()
if pid == 0:
    os._exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
pid = os.posix_spawn("/bin/echo", ["echo", "spawned"], os.environ)
os.waitpid(pid, 0)
try:
    os.posix_spawn("/nowhere/echo", ["echo"], os.environ)
except OSError as error:
    print(error.errno)
END
  assert_survives /usr/bin/python3 job.py
}

@test "what children have put into memory that they share with their parent is there" {
  cat > "$inputs/job.py" <<'END'
import mmap, os
shared = mmap.mmap(-1, 4096)
for i in range(3):
    pid = os.fork()
    if pid == 0:
        shared[i] = 65 + i
        os._exit(0)
    os.waitpid(pid, 0)
    print(shared[:i + 1])
END
  assert_survives /usr/bin/python3 job.py
}

@test "make with two jobs: a small C project is built" {
  mkdir "$inputs/project"
  cat > "$inputs/project/Makefile" <<'END'
sum: main.o parts.a
	gcc -o $@ $^
parts.a: one.o two.o
	ar rcs $@ $^
%.o: %.c
	gcc -O1 -c -o $@ $<
END
  echo 'int one(void), two(void); int main(void) { return one() + two(); }' > "$inputs/project/main.c"
  echo 'int one(void) { return 1; }' > "$inputs/project/one.c"
  echo 'int two(void) { return 2; }' > "$inputs/project/two.c"
  assert_survives make -C project -j2
}

@test "git: init, add, commit, branch, merge, gc" {
  write_script <<'END'
set -e
export GIT_AUTHOR_DATE=2020-01-01T00:00:00Z GIT_COMMITTER_DATE=2020-01-01T00:00:00Z
export GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
git init -q -b main work
cd work
for i in 1 2; do echo "$i" > "file$i"; git add "file$i"; git commit -qm "commit $i"; done
git checkout -qb side
echo 3 > file3; git add .; git commit -qm "on the side"
git checkout -q main
git merge -q side
git gc -q
git log --oneline
END
  assert_survives sh "$script"
}

@test "busybox: its shell and its commands" {
  write_script <<'END'
set -e
mkdir work
for i in 1 2 3; do echo "line $i" >> work/log; done
cp work/log work/copy
sort -r work/copy | head -n 2 > work/last
wc -l < work/log
find work -type f | sort | xargs md5sum > sums
END
  assert_survives busybox sh "$script"
}

@test "find, xargs, uniq and sort in one pipeline" {
  assert_survives sh -c 'find tree -type f | sort | xargs cut -d" " -f2 | sort | uniq -c | sort -rn > counts'
}

@test "a backup: tar, openssl, curl to a server, and cleaning up" {
  load servers
  start_counting_server
  write_script <<END
set -euo pipefail
tar cz tree | openssl enc -aes-256-cbc -pbkdf2 -pass pass:secret -out backup.enc
sum=\$(openssl dgst -sha256 -r backup.enc | cut -d' ' -f1)
curl -sS --fail -T backup.enc "http://127.0.0.1:$port/put" > answer
openssl enc -d -aes-256-cbc -pbkdf2 -pass pass:secret -in backup.enc | tar tz | sort > listed
[ "\$sum" = "\$(openssl dgst -sha256 -r backup.enc | cut -d' ' -f1)" ] && echo "the same" > checked
rm backup.enc answer
END
  # The salt is another one in each run.
  check_options=(--compare 'cat listed checked; ls')
  assert_survives bash "$script"
  stop_servers
  [ "$(grep -c executed "$requests")" -gt 60 ]
}

@test "ssh-keygen: the key that it said is the one that is there" {
  check_options=(--compare 'ssh-keygen -y -f key > again && cut -d" " -f1-2 key.pub > one && cut -d" " -f1-2 again > two && cmp one two && echo fits')
  assert_survives ssh-keygen -q -t ed25519 -N '' -C me -f key
}

@test "rsync between directories: three processes, socket pairs, signals" {
  assert_survives rsync -a tree/ copy
}
