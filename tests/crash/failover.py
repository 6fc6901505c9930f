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
import ctypes
import http.server
import mmap
import os
import random
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

PAYMENTS = 8
REPLICAS = 3
MIN_REPLICAS = 2
LIMIT_S = 60  # whatever has not happened by then will not
CLONE_NEWNET = 0x40000000
FIRST, SECOND = "198.51.100.1", "198.51.100.2"


class Failed(Exception):
    pass


def until(holds, what):
    end = time.monotonic() + LIMIT_S
    while True:
        value = holds()
        if value:
            return value
        if time.monotonic() > end:
            raise Failed(f"{what}: not within {LIMIT_S} s")
        os.sched_yield()


class Machines:
    """Two network namespaces, and what is run in them."""
    def __init__(self):
        self.names = [f"perdure-{os.getpid()}-{which}" for which in ("first", "second")]

    def __enter__(self):
        first, second = self.names
        commands = [["netns", "add", first], ["netns", "add", second],
                    ["-n", first, "link", "add", "pair", "type", "veth", "peer", "name", "pair", "netns", second]]
        for name, address in ((first, FIRST), (second, SECOND)):
            commands += [["-n", name, "addr", "add", address + "/24", "dev", "pair"], ["-n", name, "link", "set", "pair", "up"],
                         ["-n", name, "link", "set", "lo", "up"]]
        for command in commands:
            done = subprocess.run(["ip", *command], stderr=subprocess.PIPE, text=True, check=False)
            if done.returncode != 0:
                self.__exit__()
                print(f"1..0 # SKIP no right to make network namespaces: ip {' '.join(command)}: {done.stderr.strip()}")
                sys.exit(0)
        # This process, and so what it starts, is on the first one.
        with open(f"/run/netns/{first}", "rb") as namespace:
            if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), CLONE_NEWNET) != 0:
                raise Failed(f"setns: {os.strerror(ctypes.get_errno())}")
        return self

    def __exit__(self, *ignored):
        for name in self.names:
            subprocess.run(["ip", "netns", "del", name], stderr=subprocess.DEVNULL, check=False)

    def on(self, which, command):
        return ["ip", "netns", "exec", self.names[which], *command] if which else command


class Ledger:
    """Payments, one line each, in a namespace of its own process."""
    def __init__(self, machines, path, honours):
        self.path = path
        open(path, "w", encoding="ascii").close()
        ready, said = os.pipe()
        self.process = subprocess.Popen(machines.on(0, [sys.executable, __file__, "--serve", path, str(int(honours)), str(said)]),
                                        pass_fds=(said,))
        os.close(said)
        with os.fdopen(ready) as lines:
            self.port = int(lines.readline())

    def executed(self):
        with open(self.path, encoding="ascii") as lines:
            return [line.split()[1] for line in lines if line.startswith("executed ")]

    def close(self):
        self.process.kill()
        self.process.wait()


def serve(path, honours, said):
    answers, lock = {}, threading.Lock()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            number, key = self.path.rsplit("/", 1)[1], self.headers.get("Idempotency-Key")
            with lock, open(path, "a", encoding="ascii") as lines:
                repeated = honours and key in answers
                if not repeated:
                    answers[key] = f"receipt {number} {sum(1 for _ in answers)}\n".encode()
                lines.write(f"{'repeated' if repeated else 'executed'} {number} {key}\n")
                answer = answers[key]
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *ignored):
            pass

    server = http.server.ThreadingHTTPServer((FIRST, 0), Handler)
    os.write(said, b"%d\n" % server.server_port)
    os.close(said)
    server.serve_forever()


def ask(port, *words):
    """One command to a server, by its protocol; of the answer the first line, or its bytes."""
    with socket.create_connection((FIRST, port), LIMIT_S) as connection:
        connection.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in map(str.encode, words)))
        stream = connection.makefile("rb")
        line = stream.readline().decode()
        if line.startswith("-"):
            raise Failed(line)
        return stream.read(int(line[1:])).decode() if line.startswith("$") else line


class Servers:
    def __init__(self, machines, folder):
        self.machines, self.folder, self.running = machines, folder, {}

    def start(self, port, *options):
        folder = os.path.join(self.folder, str(port))
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, "log"), "w", encoding="ascii") as log:
            self.running[port] = subprocess.Popen(self.machines.on(0, [
                "redis-server", "--port", str(port), "--bind", FIRST, "--protected-mode", "no", "--save", "", "--dir", folder,
                "--repl-diskless-sync-delay", "0", "--repl-timeout", "60", *options]), stdout=log, stderr=log)

    def start_all(self, first_port):
        self.start(first_port)
        for port in range(first_port + 1, first_port + 1 + REPLICAS):
            self.start(port, "--replicaof", f"{FIRST} {first_port}")
        self.await_replicas(first_port, REPLICAS)

    def await_replicas(self, port, count):
        def online():
            with contextlib.suppress(OSError):
                return ask(port, "INFO", "replication").count("state=online") == count
            return False
        until(online, "replicas of the primary")

    def kill(self, port):
        server = self.running.pop(port)
        server.kill()
        server.wait()

    def promote(self, lost):
        """The one that has the most, as a Sentinel would; the others follow it."""
        def offset(port):
            return int(re.search(r"slave_repl_offset:(\d+)", ask(port, "INFO", "replication"))[1])
        new = max((port for port in self.running if port != lost), key=offset)
        ask(new, "REPLICAOF", "NO", "ONE")
        for port in self.running:
            if port != new:
                ask(port, "REPLICAOF", FIRST, str(new))
        self.await_replicas(new, len(self.running) - 1)
        return new

    def close(self):
        for port in list(self.running):
            self.kill(port)


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
    if sys.argv[1:2] == ["--serve"]:
        serve(sys.argv[2], sys.argv[3] == "1", int(sys.argv[4]))
    sys.exit(main())
