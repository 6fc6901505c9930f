#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Faults of a replicated store in the middle of a run: store_faults.py BUILD [NAME].

Each payment of the run is executed once, whatever happens to its store; what happened is one line, and the run goes on when it
is over. TAP.
"""
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True  # the source folder stays as it is
from failover import PAYMENTS, Round, end_group  # noqa: E402
from machines import FIRST, LIMIT_S, Failed, Machines, Servers, ask, until  # noqa: E402

HALF = PAYMENTS // 2


class Fault(Round):
    """A run that waits behind its first half, while something happens to its store."""
    def __init__(self, build, machines, folder, port, gates):
        os.makedirs(folder)
        super().__init__(build, machines, folder, Servers(machines, folder), True)
        self.port, self.first, self.url = port, None, f"redis://{FIRST}:{port}"
        os.mkfifo(os.path.join(folder, "up"))
        os.mkfifo(os.path.join(folder, "go"))
        with open(self.script, "w", encoding="ascii") as script:
            script.write(f"for n in $(seq {PAYMENTS}); do\n  curl -sS -X POST http://{FIRST}:{self.ledger.port}/pay/$n\n"
                         f"  [[ ' {' '.join(map(str, gates))} ' != *\" $n \"* || ! -p go ]] || {{ echo > up; read -r _ < go; }}\ndone\n")
        self.servers.start_all(port)

    def arguments(self, *more):
        return ("run", "--id", "job", "--store", self.url, *more, "--", "bash", self.script)

    def start(self, which, *more):
        """Up to where it waits."""
        self.out, self.err = (os.path.join(self.folder, name) for name in ("out", "err"))
        command, options = self.perdure(which, *self.arguments(*more))
        with open(self.out, "wb") as out, open(self.err, "wb") as err:
            self.first = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True, **options)
        self.await_gate()
        if len(self.ledger.executed()) != HALF:
            raise Failed(f"executed at its half: {self.ledger.executed()}")

    def await_gate(self):
        with open(os.path.join(self.folder, "up"), encoding="ascii") as up:
            up.readline()

    def go(self):
        with open(os.path.join(self.folder, "go"), "w", encoding="ascii") as go:
            go.write("\n")

    def said(self):
        with open(self.err, encoding="utf-8") as lines:
            return lines.read()

    def await_line(self, words):
        until(lambda: re.search(words, self.said()) or self.first.poll() is not None, f"a line with {words}")
        if not re.search(words, self.said()):
            raise Failed(f"it has ended without a line with {words}")

    def finish(self, *words, status=0):
        """The run ends so, and has said each of these in one line, once."""
        ended = self.first.wait(LIMIT_S)
        if ended != status:
            raise Failed(f"the run has ended with {ended}")
        for word in words:
            lines = [line for line in self.said().splitlines() if re.search(word, line)]
            if len(lines) != 1:
                raise Failed(f"{len(lines)} lines with {word}")
        if status == 0:
            with open(self.out, encoding="utf-8") as receipts:
                self.check(receipts.read(), [])

    def second_goes_on_at(self, port):
        self.url = f"redis://{FIRST}:{port}"
        return self.finish_second(*self.arguments())

    def executed_is(self, count):
        if len(self.ledger.executed()) != count:
            raise Failed(f"{len(self.ledger.executed())} are executed, {count} should be: it must wait")

    def end(self):
        if self.first:
            end_group(self.first, signal.SIGKILL)
            self.first.wait()
        self.servers.close()
        self.close()


LACKS = r"the other store lacks \d+ entries that it had: they are sent again"
SHORT = r"2 of the 3 replicas that it waits for have its journal"


def replica_killed(fault):
    """a replica is killed: the run says how many there are, waits, and goes on when there is a new one"""
    fault.start(0, "--lease", "500ms", "--min-replicas", "3")
    fault.servers.kill(fault.port + 1)
    fault.go()
    fault.await_line(SHORT)
    fault.executed_is(HALF)
    fault.servers.start(fault.port + 1, "--replicaof", f"{FIRST} {fault.port}")
    fault.finish(SHORT, "enough replicas have the journal again")


def replica_slow(fault):
    """a replica does not answer: the same, until it does"""
    fault.start(0, "--lease", "500ms", "--min-replicas", "3")
    slow = fault.servers.running[fault.port + 1]
    slow.send_signal(signal.SIGSTOP)
    fault.go()
    fault.await_line(SHORT)
    fault.executed_is(HALF)
    slow.send_signal(signal.SIGCONT)
    fault.finish(SHORT, "enough replicas have the journal again")


def network_cut(fault):
    """the network between the run and its store is cut: its remote changes wait, and go on when it is back"""
    fault.start(1, "--lease", "1s", "--min-replicas", "1")
    fault.machines.link(0, "down")
    fault.go()
    fault.await_line("does not answer")
    fault.executed_is(HALF)
    fault.machines.link(0, "up")
    fault.finish("does not answer.*nothing is lost", "the other store works again")


def primary_empty(fault):
    """the primary begins anew with nothing: all is sent again"""
    fault.start(0, "--lease", "1s", "--min-replicas", "1")
    fault.servers.kill(fault.port)
    fault.await_line("does not answer")
    fault.servers.start(fault.port)
    fault.go()
    fault.finish("does not answer", "has lost it, or its owner: it is sent again")
    done = fault.second_goes_on_at(fault.port)
    if "has finished with status 0 already" not in done.stderr:
        raise Failed(f"elsewhere: {done.stderr}")


def replica_behind(fault):
    """a replica that lacks the last entries takes the primary's place: they are sent again"""
    fault.start(0, "--lease", "1s", "--min-replicas", "0")
    behind = fault.port + 1
    until(lambda: ask(behind, "EXISTS", "perdure:{job}:run").startswith(":1"), "the run's beginning at the replica")
    ask(behind, "REPLICAOF", "NO", "ONE")
    fault.go()
    fault.await_gate()  # behind a payment that the replica lacks
    fault.servers.kill(fault.port)
    for port in (fault.port + 2, fault.port + 3):
        fault.servers.kill(port)
    # The address goes to the one that is behind: it answers there, through a replica of its own that takes it.
    fault.servers.start(fault.port, "--replicaof", f"{FIRST} {behind}")
    until(lambda: fault.servers.has_all(fault.port), "the data of the one that is behind")
    ask(fault.port, "REPLICAOF", "NO", "ONE")
    fault.await_line(LACKS)
    fault.go()
    fault.finish(LACKS, "the other store works again")
    done = fault.second_goes_on_at(fault.port)
    if "has finished with status 0 already" not in done.stderr:
        raise Failed(f"elsewhere: {done.stderr}")


replica_behind.gates = (HALF, HALF + 1)


def memory_full(fault):
    """the store's memory is full: said with what to do, and nothing remote is done until there is some"""
    fault.start(0, "--lease", "500ms", "--min-replicas", "1")
    ask(fault.port, "CONFIG", "SET", "maxmemory", "1")
    fault.go()
    fault.await_line("give it more memory")
    fault.executed_is(HALF)
    ask(fault.port, "CONFIG", "SET", "maxmemory", "0")
    fault.finish("OOM.*give it more memory", "the other store works again")


def with_sentinel(fault):
    sentinel = fault.port + 9
    folder = os.path.join(fault.folder, "sentinel")
    os.makedirs(folder)
    path = os.path.join(folder, "sentinel.conf")
    with open(path, "w", encoding="ascii") as conf:
        conf.write(f"port {sentinel}\nbind {FIRST}\nprotected-mode no\ndir {folder}\nsentinel monitor ours {FIRST} {fault.port} 1\n"
                   "sentinel down-after-milliseconds ours 300\nsentinel failover-timeout ours 3000\n")
    fault.servers.start_by(sentinel, [path, "--sentinel"])

    def knows_all():
        with contextlib.suppress(OSError, Failed):
            return re.search(r"slaves=3", ask(sentinel, "INFO", "sentinel"))
        return None
    until(knows_all, "the Sentinel")
    fault.url = f"redis-sentinel://{FIRST}:{sentinel}/ours"


def sentinel(fault):
    """Sentinel promotes a replica: the run finds the new primary and goes on"""
    with_sentinel(fault)
    fault.start(0, "--lease", "1s", "--min-replicas", "2")
    fault.servers.kill(fault.port)
    fault.go()
    fault.finish("the other store works again")


def sentinel_frozen(fault):
    """an owner that was frozen while Sentinel promoted a replica, and another machine went on, does nothing when it wakes"""
    with_sentinel(fault)
    fault.start(0, "--lease", "1s", "--min-replicas", "2")
    end_group(fault.first, signal.SIGSTOP)
    fault.servers.kill(fault.port)
    go = os.path.join(fault.folder, "go")
    os.rename(go, go + "ne")
    until(lambda: int(ask(fault.port + 9, "SENTINEL", "get-master-addr-by-name", "ours")[1]) != fault.port, "the failover")
    done = fault.finish_second(*fault.arguments("--lease", "1s", "--min-replicas", "2"))
    if done.returncode != 0:
        raise Failed(f"the second machine: {done.returncode}: {done.stderr}")
    fault.check(done.stdout, [])
    end_group(fault.first, signal.SIGCONT)
    fault.finish("taken over by", status=125)
    fault.check(done.stdout, [])


FAULTS = [replica_killed, replica_slow, network_cut, primary_empty, replica_behind, memory_full, sentinel, sentinel_frozen]


def one_fault(number, which, build, machines, folder):
    fault = Fault(build, machines, folder, 8000 + number * 20, getattr(which, "gates", (HALF,)))
    try:
        which(fault)
        print(f"ok {number} - {which.__doc__}", flush=True)
        return True
    except (Failed, OSError, subprocess.TimeoutExpired) as why:
        print(f"not ok {number} - {which.__doc__}", flush=True)
        print("# " + str(why).strip().replace("\n", "\n# "))
        with contextlib.suppress(OSError):
            print("# said: " + fault.said().strip().replace("\n", "\n# said: "), flush=True)
        return False
    finally:
        fault.end()
        shutil.rmtree(folder, ignore_errors=True)


def main():
    build = os.path.realpath(sys.argv[1])
    faults = [fault for fault in FAULTS if sys.argv[2:] in ([], [fault.__name__])]
    with Machines() as machines, tempfile.TemporaryDirectory(prefix="store-faults-") as scratch:
        print(f"1..{len(faults)}", flush=True)
        held = [one_fault(number, fault, build, machines, os.path.join(scratch, fault.__name__))
                for number, fault in enumerate(faults, 1)]
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main())
