#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A run with remote effects, whose store loses its primary at random moments: failover.py BUILD [SEED].

Two machines, each a network namespace with a directory of its own for runs, joined by a veth pair. On the first one: the
run, a Redis primary with three replicas, and a server that keeps a ledger. At a random moment (of the journal's length) the primary
is killed, and the first machine is killed too, or frozen, or left alone; the replica that has the most is promoted, and the
second machine goes on with the run. A server that honours keys executes each payment once. One that does not, and a run that is
not idempotent: where the run says that nobody can tell, the ledger can, and `perdure resolve` is told.

TAP. 6 moments, 100 with PERDURE_TEST_LONG. The same SEED has the same moments, as far as two runs are the same.
"""
import contextlib
import mmap
import os
import random
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True  # the source folder stays as it is
from machines import FIRST, LIMIT_S, Failed, Ledger, Machines, Servers, until  # noqa: E402

PAYMENTS = 8
MIN_REPLICAS = 2


class Round:
    def __init__(self, build, machines, folder, servers, honours):
        self.build, self.machines, self.folder, self.servers, self.honours = build, machines, folder, servers, honours
        self.ledger = Ledger(machines, os.path.join(folder, "ledger"), honours)
        self.script = os.path.join(folder, "pay.sh")
        with open(self.script, "w", encoding="ascii") as script:
            script.write(f"for n in $(seq {PAYMENTS}); do\n  curl -sS -X POST http://{FIRST}:{self.ledger.port}/pay/$n\ndone\n")

    def directory(self, which):
        return os.path.join(self.folder, ("first", "second")[which])

    def perdure(self, which, *arguments, **options):
        environment = dict(os.environ, PERDURE_DIR=self.directory(which))
        return self.machines.on(which, [os.path.join(self.build, "perdure"), *arguments]), dict(options, env=environment,
                                                                                               cwd=self.folder)

    def run_arguments(self, port, *more):
        return ("run", "--id", "job", "--store", f"redis://{FIRST}:{port}", "--lease", "500ms", "--min-replicas", str(MIN_REPLICAS),
                *(() if self.honours else ("--not-idempotent",)), *more, "--", "bash", self.script)

    def start_first(self, port):
        command, options = self.perdure(0, *self.run_arguments(port, "--on-store-loss", "stop"))
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                stderr=open(os.path.join(self.folder, "first.err"), "wb"), start_new_session=True, **options)

    def finish_second(self, *arguments):
        command, options = self.perdure(1, *arguments)
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=2 * LIMIT_S,
                              **options)

    def journal_end(self):
        done = self.finish_second("sql", "job", "select max(end_position) from chunk")
        return int(done.stdout)

    def await_position(self, wanted, first):
        """Walks the entries as they come into the tail (journal/entry.h)."""
        path = os.path.join(self.directory(0), "runs", "job", "tail")
        until(lambda: os.path.exists(path) or first.poll() is not None, "the tail")
        try:
            with open(path, "rb") as file:
                tail = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
        except FileNotFoundError:
            return
        header_size, ring_size, position = struct.unpack_from("<IQQ", tail, 12)
        while position < wanted and first.poll() is None:
            found, _, size = struct.unpack_from("<QII", tail, header_size + position % ring_size)
            if found == position and size >= 48:
                position += size
            else:
                os.sched_yield()

    def second_goes_on(self, port):
        """On the second machine, until it has finished: what nobody can tell, the ledger tells."""
        done = self.finish_second(*self.run_arguments(port))
        for _ in range(PAYMENTS):
            if done.returncode != 121:
                break
            unknown = re.search(r"entry (\d+) happened: .*/pay/(\d+)", done.stderr)
            if not unknown or self.honours:
                break
            seq, number = unknown.groups()
            how = ["--retry"]
            if number in self.ledger.executed():
                with open(os.path.join(self.folder, "response"), "w", encoding="ascii") as response:
                    response.write(f"receipt {number} told\n")
                how = ["--response", "response"]
            resolved = self.finish_second("resolve", "job", seq, *how)
            if resolved.returncode != 0:
                raise Failed(f"resolve: {resolved.stderr}")
            done = self.finish_second(*self.run_arguments(port))
        if done.returncode != 0:
            raise Failed(f"the second machine: {done.returncode}: {done.stderr}")
        return done.stdout

    def check(self, receipts, before):
        executed = self.ledger.executed()
        wanted = [str(n) for n in range(1, PAYMENTS + 1)]
        if sorted(executed, key=int) != wanted:
            raise Failed(f"executed: {executed}")
        if executed[:len(before)] != before:
            raise Failed(f"what was executed before the kill is gone: {before}, {executed}")
        if [line.split()[1] for line in receipts.splitlines()] != wanted:
            raise Failed(f"the program has these answers: {receipts}")

    def close(self):
        self.ledger.close()


def end_group(process, number):
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def one_moment(current, servers, port, wanted, fate):
    servers.start_all(port)
    first = current.start_first(port)
    try:
        current.await_position(wanted, first)
        servers.kill(port)
        if fate != "alone":
            end_group(first, signal.SIGKILL if fate == "killed" else signal.SIGSTOP)
        before = current.ledger.executed()
        receipts = current.second_goes_on(servers.promote(port))
        after = current.ledger.executed()
        end_group(first, signal.SIGCONT)
        status = first.wait(LIMIT_S)
        if fate != "killed" and status not in (0, 125):
            raise Failed(f"the first machine, {fate}, has ended with {status}")
        if current.ledger.executed() != after:
            raise Failed(f"the first machine, {fate}, has done more: {after}, {current.ledger.executed()}")
        current.check(receipts, before)
    finally:
        end_group(first, signal.SIGKILL)
        first.wait()
        servers.close()


def measured_length(build, machines, folder, honours, port):
    """The journal of a run that nobody disturbs."""
    os.makedirs(folder)
    servers = Servers(machines, folder)
    current = Round(build, machines, folder, servers, honours)
    try:
        servers.start_all(port)
        current.check(current.second_goes_on(port), [])
        return current.journal_end()
    finally:
        servers.close()
        current.close()


def main():
    build = os.path.realpath(sys.argv[1])
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(1 << 32)
    count = 100 if os.environ.get("PERDURE_TEST_LONG") else 6
    chance, failed = random.Random(seed), 0
    with Machines() as machines, tempfile.TemporaryDirectory(prefix="failover-") as scratch:
        print(f"1..{count}")
        print(f"# seed {seed}: {' '.join(sys.argv[:2])} {seed}", flush=True)
        lengths = [measured_length(build, machines, os.path.join(scratch, f"length-{honours}"), honours, 7000 + honours * 10)
                   for honours in (False, True)]
        for number in range(1, count + 1):
            honours, fate = bool(number % 2), chance.choice(("killed", "frozen", "alone"))
            wanted = chance.randrange(1, lengths[honours])
            folder = os.path.join(scratch, str(number))
            os.makedirs(folder)
            servers = Servers(machines, folder)
            current = Round(build, machines, folder, servers, honours)
            name = (f"the primary killed at {wanted} of {lengths[honours]} bytes, the first machine {fate}, "
                    f"{'a server that honours keys' if honours else 'not idempotent'}: each payment is executed once")
            try:
                one_moment(current, servers, 7100 + number % 100 * 10, wanted, fate)
                print(f"ok {number} - {name}", flush=True)
            except (Failed, OSError, subprocess.TimeoutExpired) as why:
                failed += 1
                print(f"not ok {number} - {name}", flush=True)
                print("# " + str(why).strip().replace("\n", "\n# "))
                with contextlib.suppress(OSError), open(os.path.join(folder, "first.err"), encoding="utf-8") as said:
                    print("# first: " + said.read().strip().replace("\n", "\n# first: "), flush=True)
            finally:
                current.close()
                shutil.rmtree(folder, ignore_errors=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
