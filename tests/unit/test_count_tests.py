#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""tests/count-tests on logs whose count is known."""
import json
import os
import subprocess
import sys
import tempfile

COUNT_TESTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'count-tests')

tests = []


def count(*entries, log=None):
    """(last line, exit status) for a log of (result, TAP output) entries."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, 'log.json')
        if entries or log is not None:
            with open(path, 'w', encoding='utf-8') as file:
                for result, output in entries:
                    json.dump({'name': 'x', 'result': result, 'returncode': 0, 'stdout': output}, file)
                    file.write('\n')
                file.write(log or '')
        done = subprocess.run([COUNT_TESTS, path], capture_output=True, text=True, check=False)
        return done.stdout.splitlines()[-1], done.returncode


def check(name, got, line, status):
    passed = got == (line, status)
    tests.append(passed)
    print(f'{"ok" if passed else "not ok"} {len(tests)} - {name}')
    if not passed:
        print(f'#   wanted {(line, status)}, got {got}')


check('every ok line of every program counts',
      count(('OK', '1..2\nok 1 - a\nok 2 - b\n'), ('OK', 'ok 1 c\n1..1\n')), '3 passed, 0 failed', 0)
check('a failed test counts, beside those that passed',
      count(('FAIL', 'ok 1\nnot ok 2 - b\n1..2\n')), '1 passed, 1 failed', 1)
check('a program that dies without a failed test is one failure',
      count(('ERROR', 'ok 1 - a\n')), '1 passed, 1 failed', 1)
check('a program that is out of time is one failure', count(('TIMEOUT', '')), '0 passed, 1 failed', 1)
check('a skipped test and a todo are not counted',
      count(('OK', 'ok 1 - a # SKIP no tty\nnot ok 2 - b # TODO later\nok 3 - c\n1..3\n')),
      '1 passed, 0 failed', 0)
check('what a test prints is not counted',
      count(('OK', '# ok 1 - a\n  ok 7\nokay\nok 1 - b\n1..1\n')), '1 passed, 0 failed', 0)
check('no tests at all are a failure', count(log=''), '0 passed, 1 failed', 1)
check('a missing log is a failure', count(), '0 passed, 1 failed', 1)
check('a torn log is a failure', count(('OK', 'ok 1\n1..1\n'), log='{"na'), '1 passed, 1 failed', 1)
print(f'1..{len(tests)}')
sys.exit(0 if all(tests) else 1)
