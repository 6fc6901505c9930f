# SPDX-License-Identifier: Apache-2.0
"""A replicated store to measure against: real redis-server processes."""
import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import threading

from measure import NotMeasured


class Servers:
    """A primary and three replicas on 127.0.0.1, which keep nothing on disk."""
    def __init__(self, folder):
        self.folder, self.pids, self.port = folder, [], 0

    @staticmethod
    def free_port():
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            return taken.getsockname()[1]

    def start_one(self, *options):
        port = self.free_port()
        folder = os.path.join(self.folder, str(port))
        os.mkdir(folder)
        server = subprocess.Popen(["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder,
                                   "--repl-diskless-sync-delay", "0", "--client-output-buffer-limit", "replica 0 0 0", *options],
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.pids.append(server)
        awaited = b"Finished with success" if options else b"Ready to accept connections"
        for line in server.stdout:
            if awaited in line:
                break
        else:
            raise NotMeasured("a redis-server did not start")
        threading.Thread(target=server.stdout.read, daemon=True).start()  # its log must not block it
        return port

    def __enter__(self):
        if not shutil.which("redis-server"):
            raise NotMeasured("redis-server is not installed")
        self.port = self.start_one()
        for _ in range(3):
            self.start_one("--replicaof", f"127.0.0.1 {self.port}")
        return self

    def __exit__(self, *ignored):
        for server in self.pids:
            server.kill()
            server.wait()

    def memory_bytes(self):
        """What the primary's data takes."""
        said = subprocess.run(["redis-cli", "-p", str(self.port), "INFO", "memory"], stdout=subprocess.PIPE, check=True, text=True)
        fields = dict(line.split(":", 1) for line in said.stdout.splitlines() if ":" in line)
        return int(fields["used_memory_dataset"])

    def url(self):
        return f"redis://127.0.0.1:{self.port}"


@contextlib.contextmanager
def replicated():
    with tempfile.TemporaryDirectory() as folder, Servers(folder) as servers:
        yield servers
