# SPDX-License-Identifier: Apache-2.0
"""Machines, a replicated store and a ledger for tests of runs that go on elsewhere. All is real, and ends with the test."""
import contextlib
import ctypes
import http.server
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time

LIMIT_S = 30  # whatever has not happened by then will not
REPLICAS = 3
WITH_US = ("setpriv", "--pdeathsig", "KILL")  # what serves does not outlive the test, however that ends
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
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # a test that takes too long leaves nothing behind either
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

    def link(self, which, state):
        subprocess.run(["ip", "-n", self.names[which], "link", "set", "pair", state], check=True)

    def on(self, which, command):
        return ["ip", "netns", "exec", self.names[which], *command] if which else command


class Ledger:
    """Payments, one line each, in a namespace of its own process."""
    def __init__(self, machines, path, honours):
        self.path = path
        open(path, "w", encoding="ascii").close()
        ready, said = os.pipe()
        self.process = subprocess.Popen(machines.on(0, [*WITH_US, sys.executable, os.path.realpath(__file__), path, str(int(honours)), str(said)]),
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


def answer_from(stream):
    line = stream.readline().decode()
    if line.startswith("-"):
        raise Failed(line)
    if line.startswith("*"):
        return [answer_from(stream) for _ in range(int(line[1:]))]
    if line.startswith("$-"):
        return None
    return stream.read(int(line[1:]) + 2).decode()[:-2] if line.startswith("$") else line


def ask(port, *words):
    """One command to a server, by its protocol; of the answer the first line, or its bytes, or its parts."""
    with socket.create_connection((FIRST, port), LIMIT_S) as connection:
        connection.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in map(str.encode, words)))
        return answer_from(connection.makefile("rb"))


class Servers:
    def __init__(self, machines, folder):
        self.machines, self.folder, self.running = machines, folder, {}

    def start_by(self, port, options):
        folder = os.path.join(self.folder, str(port))
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, "log"), "w", encoding="ascii") as log:
            self.running[port] = subprocess.Popen(self.machines.on(0, [*WITH_US, "redis-server", *options]), stdout=log, stderr=log, cwd=folder)

    def start(self, port, *options):
        self.start_by(port, ["--port", str(port), "--bind", FIRST, "--protected-mode", "no", "--save", "",
                             "--repl-diskless-sync-delay", "0", "--repl-timeout", "60", *options])

    def start_all(self, first_port):
        self.start(first_port)
        for port in range(first_port + 1, first_port + 1 + REPLICAS):
            self.start(port, "--replicaof", f"{FIRST} {first_port}")
        self.await_replicas(first_port, REPLICAS)

    def await_replicas(self, port, count):
        """What is written there comes to so many others: a primary calls a replica online before it sends that."""
        def have(value):
            with contextlib.suppress(OSError, Failed):
                ask(port, "SET", "written", value)
                return sum(ask(other, "GET", "written") == value for other in self.running if other != port) >= count
            return False
        value = str(time.monotonic())
        until(lambda: have(value), "replicas of the primary")

    @staticmethod
    def has_all(port):
        with contextlib.suppress(OSError):
            return "master_link_status:up" in ask(port, "INFO", "replication")
        return False

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


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2] == "1", int(sys.argv[3]))
