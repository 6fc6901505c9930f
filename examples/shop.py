#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The other side of the examples: a server that does what it is asked for, and honours Idempotency-Key.

    shop.py LEDGER      prints its port, and serves on 127.0.0.1 until it is killed

POST /charge /book/X /cancel/X    one line of LEDGER: what, the body, the key; asked for again with that key, only the same answer
POST /flaky/N                     the same, but the first N times that a key comes there is only 503, with the time in LEDGER
Every line is in LEDGER before the answer leaves.
"""
import http.server
import sys
import threading
import time

ledger = open(sys.argv[1], "a", buffering=1, encoding="utf-8")
answers, refusals = {}, {}
lock = threading.Lock()


class Shop(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        key = self.headers.get("Idempotency-Key", "-")
        with lock:
            self.answer(*self.decide(self.path, body, key))

    @staticmethod
    def decide(path, body, key):
        if path.startswith("/flaky/") and refusals.setdefault(key, 0) < int(path.rsplit("/", 1)[1]):
            refusals[key] += 1
            ledger.write(f"refused {time.monotonic_ns()} {key}\n")
            return 503, "try again later\n"
        if key not in answers or key == "-":
            ledger.write(f"{path[1:]} {body} {key} {time.monotonic_ns()}\n")
            answers[key] = f"done: {path[1:]} {body}\n"
        return 200, answers[key]

    def answer(self, status, text):
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *ignored):
        pass


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        """A client was killed."""


server = Server(("127.0.0.1", 0), Shop)
print(server.server_port, flush=True)
server.serve_forever()
