# SPDX-License-Identifier: Apache-2.0
"""Measuring one command, bare and under perdure."""
import os
import shutil
import subprocess
import time


class NotMeasured(Exception):
    pass


class Bench:
    def __init__(self, build, scratch, rounds):
        self.perdure = os.path.join(build, "perdure")
        self.programs = os.path.join(build, "bench")
        self.scratch = scratch
        self.rounds = rounds
        self.runs = 0
        self.printed = b""  # by the program that ran last
        self.said = ""      # by perdure
        self.strace = shutil.which("strace")
        self.environment = dict(os.environ, PERDURE_DIR=os.path.join(scratch, "runs"))
        for name in ("PERDURE_CRASH_AT", "LD_PRELOAD"):
            self.environment.pop(name, None)

    def program(self, name, *arguments):
        return [os.path.join(self.programs, "bench-" + name), *map(str, arguments)]

    def file(self, name):
        return os.path.join(self.scratch, name)

    def wait_ms(self, command, expected=0, **variables):
        """How long `command` takes from its start to its end, in ms."""
        began = time.perf_counter()
        done = subprocess.run(command, env=dict(self.environment, **variables), cwd=self.scratch,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, check=False)
        ended = time.perf_counter()
        self.printed = done.stdout
        self.said = done.stderr.decode(errors="replace")
        if done.returncode != expected:
            said = self.said.strip().splitlines()
            raise NotMeasured(f"{os.path.basename(command[0])} ended with {done.returncode}"
                              + (f": {said[-1]}" if said else ""))
        return (ended - began) * 1e3

    def new_id(self):
        self.runs += 1
        return f"bench-{self.runs}"

    def run_command(self, name, command, *options):
        return [self.perdure, "run", "-q", *options, "--id", name, "--", *command]

    def remove(self, name):
        self.wait_ms([self.perdure, "rm", name])

    def settle(self):
        """What earlier measurements wrote is removed, and on its way to the disk no more."""
        for name in os.listdir(self.scratch):
            if os.path.isfile(self.file(name)):
                os.unlink(self.file(name))
        os.sync()

    def bare_ms(self, command):
        self.settle()
        return self.wait_ms(command)

    def perdure_ms(self, command, *options):
        self.settle()
        name = self.new_id()
        taken = self.wait_ms(self.run_command(name, command, *options))
        printed = self.printed
        self.remove(name)
        self.printed = printed
        return taken

    def strace_ms(self, command):
        if not self.strace:
            raise NotMeasured("not installed")
        self.settle()
        return self.wait_ms([self.strace, "-f", "-o", self.file("strace.log"), *command])

    def by_turns(self, *measures):
        """The measures' results, after one round that only warms up: a list for each."""
        for measure in measures:
            measure()
        results = [[] for _ in measures]
        for _ in range(self.rounds):
            for result, measure in zip(results, measures):
                result.append(measure())
        return results
