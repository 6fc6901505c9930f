# SPDX-License-Identifier: Apache-2.0
# python3 and perl, killed at their kill points.
load sweeps

setup() {
  check_options=()
  set_up_inputs
}

@test "python3: files, json, tempfile, rename, a directory tree" {
  cat > "$inputs/job.py" << 'END'
import json, os, shutil, tempfile
folder = tempfile.mkdtemp(dir=".")
with tempfile.NamedTemporaryFile("w", dir=folder, delete=False) as file:
    for number in range(60):
        file.write(json.dumps({"number": number}) + "\n")
with open("log.txt", "a") as log:
    for number in range(8):
        log.write(f"line {number}\n")
        log.flush()
with tempfile.TemporaryFile(dir=".") as file:
    file.write(b"x" * 5000)
    file.seek(100)
    print(len(file.read()))
os.rename(file.name if isinstance(file.name, str) else os.path.join(folder, os.listdir(folder)[0]), "final.json")
os.rmdir(folder)
shutil.copytree("tree", "copy", symlinks=True)
print(sum(1 for _ in open("final.json")), sorted(os.listdir("copy")))
END
  assert_survives /usr/bin/python3 job.py
}

@test "python3: the time and random numbers that it saw stay as they were" {
  cat > "$inputs/job.py" << 'END'
import os, random, time, uuid
seen = []
with open("seen.txt", "a") as file:
    for number in range(25):
        seen.append(f"{time.time_ns()} {random.random()} {uuid.uuid4()} {os.urandom(4).hex()} {os.getpid()}")
        file.write(seen[-1] + "\n")
        file.flush()
        if number % 10 == 0:
            time.sleep(0.001)
print("same" if open("seen.txt").read().splitlines() == seen else "different", len(seen))
END
  # What it prints says whether the file agrees with what the program saw; the numbers differ in each run.
  check_options=(--compare 'wc -l < seen.txt')
  assert_survives /usr/bin/python3 job.py
}

@test "perl: append, rename, directories" {
  # shellcheck disable=SC2016  # perl's
  assert_survives perl -e 'open my $f, ">>", "log" or die; $f->autoflush(1) for $f; print $f "line $_\n" for 1 .. 6;
    close $f; rename "log", "old"; mkdir "d"; open $f, "<", "numbers"; my $sum = 0; $sum += (split)[0] while <$f>;
    open my $o, ">", "d/sum"; print $o "$sum\n"; close $o; print "$sum\n"; unlink "numbers"'
}
