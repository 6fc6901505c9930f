# SPDX-License-Identifier: Apache-2.0
"""What a Python program may say to perdure, and ask of it: control-api/perdure.h's words, by ctypes, in one file.

Without perdure the same program runs unchanged: scopes say nothing, a commit succeeds locally, keys are random,
fail() ends the program by SIGABRT. All errors are perdure.Error, an OSError; nothing else happened then.

    with perdure.atomically():              # unfinished when the program dies: its files go back, it runs again
        ...
    with perdure.idempotence(False):        # a request of unknown outcome stops the run, rather than being repeated
        ...
    with perdure.persistence(perdure.PERSIST_NOTHING):  # made in every attempt, and not journaled
        ...
    with perdure.retry_policy(max_attempts=5, min_delay=0.1, max_delay=10):
        ...

A scope belongs to the thread that began it. Leaving a block early, by an exception too, ends it: what an atomic region did so far is
final then; its abort() takes it back. For code that begins in one callback and ends in another each scope has begin() and end().
"""
import ctypes
import errno
import os
import signal
import uuid

__all__ = ['Error', 'atomically', 'idempotence', 'persistence', 'retry_policy', 'PERSIST_NOTHING', 'PERSIST_REMOTE', 'PERSIST_SMART',
           'idempotent', 'set_idempotent', 'persistence_level', 'set_persistence', 'set_retry_policy',
           'RetryPlan', 'retry_plan', 'set_retry_plan', 'current_retry_plan',
           'idempotency_key', 'commit', 'journal_index', 'is_replaying', 'note', 'fail']

PERSIST_NOTHING, PERSIST_REMOTE, PERSIST_SMART = 1, 2, 3
_IDEMPOTENCE, _RETRY, _REGION, _PERSISTENCE = 1, 2, 3, 4
_STATUSES = {429: 1, 502: 2, 503: 4, 504: 8}
_VALUES = ctypes.c_uint64 * 5
_shim = ctypes.CDLL(None)


class Error(OSError):
    """What was asked for did not happen; errno says why, as enum perdure_error has it."""


def _ask(name, *arguments):
    """The shim's answer; -ENOSYS: without perdure, or in a process that is not journaled."""
    try:
        function = getattr(_shim, name)
    except AttributeError:
        return -errno.ENOSYS
    return function(*arguments)


def _check(result):
    if result < 0 and result != -errno.ENOSYS:
        raise Error(-result, os.strerror(-result))
    return result


def _status_bits(statuses):
    listed = sum(_STATUSES.get(status, 16) for status in set(statuses))
    if listed > 15:
        raise Error(errno.EINVAL, 'a request is sent again after 429, 502, 503, 504')
    return listed


def _policy_values(max_attempts, min_delay, max_delay, multiplier, max_jitter_factor, statuses):
    """In nanoseconds and millionths. Not-a-number fails every comparison."""
    if not (1 <= max_attempts < 2**32 and 0 <= min_delay <= max_delay < 2**33 and 1 <= multiplier <= 1000
            and 0 <= max_jitter_factor <= 1):
        raise Error(errno.EINVAL, 'this retry policy means nothing')
    return _VALUES(max_attempts | _status_bits(statuses) << 32, round(min_delay * 1e9), round(max_delay * 1e9), round(multiplier * 1e6),
                   round(max_jitter_factor * 1e6))


def _level_values(level):
    if level not in (PERSIST_NOTHING, PERSIST_REMOTE, PERSIST_SMART):
        raise Error(errno.EINVAL, 'this persistence level means nothing')
    return _VALUES(level)


class _Scope:
    def __init__(self, kind, values):
        self._kind, self._values, self._token = kind, values, None

    def begin(self):
        """Returns itself. A scope is begun once."""
        if self._token is not None:
            raise Error(errno.EINVAL, 'this scope has been begun')
        token = ctypes.c_uint64(0)
        _check(_ask('perdure_shim_scope_begin', self._kind, self._values, ctypes.byref(token)))
        self._token = token
        return self

    def end(self):
        if self._token is None:
            raise Error(errno.ENOENT, 'this scope is not open')
        _check(_ask('perdure_shim_scope_end', self._kind, self._token))
        self._token = None

    def __enter__(self):
        return self.begin()

    def __exit__(self, *ignored):
        if self._token is not None:
            self.end()
        return False


class atomically(_Scope):
    """A region that is unfinished when the program dies is as if it had not begun."""

    def __init__(self):
        super().__init__(_REGION, _VALUES())

    def abort(self):
        """Gives the region up: fail(), so that all of it goes back, and it runs again as the retry policy says."""
        if self._token is None:
            raise Error(errno.ENOENT, 'this region is not open')
        fail('an atomic region is given up')


class idempotence(_Scope):
    """Whether a remote change whose outcome nobody knows is made again (True), or stops the run (False)."""

    def __init__(self, idempotent):
        super().__init__(_IDEMPOTENCE, _VALUES(1 if idempotent else 0))


class persistence(_Scope):
    """What of the thread's calls is in the journal: nothing, what goes out of the program, or all (PERSIST_SMART)."""

    def __init__(self, level):
        super().__init__(_PERSISTENCE, _level_values(level))


class retry_policy(_Scope):
    """How often and how late the supervisor starts the program again that dies in it, and libcurl's requests are sent again that
    fail or are answered with one of the statuses. Delays in seconds."""

    def __init__(self, max_attempts=3, min_delay=0.1, max_delay=1.0, multiplier=3.0, max_jitter_factor=0.15, statuses=()):
        super().__init__(_RETRY, _policy_values(max_attempts, min_delay, max_delay, multiplier, max_jitter_factor, statuses))


class _Limit(ctypes.Structure):
    _fields_ = [('kind', ctypes.c_uint32), ('unused', ctypes.c_uint32), ('value', ctypes.c_uint64), ('value2', ctypes.c_uint64)]


class _Part(ctypes.Structure):
    """As struct perdure_retry_part_ has it."""
    _fields_ = [('base', ctypes.c_uint32), ('unused', ctypes.c_uint32), ('delay_ns', ctypes.c_uint64), ('factor', ctypes.c_uint32),
                ('left', ctypes.c_uint32), ('right', ctypes.c_uint32), ('limit_count', ctypes.c_uint32), ('limits', _Limit * 8)]


class _Plan(ctypes.Structure):
    _fields_ = [('name', ctypes.c_char * 32), ('statuses', ctypes.c_uint32), ('part_count', ctypes.c_uint32), ('parts', _Part * 32)]


def _nonsense(what):
    raise Error(errno.EINVAL, what + ' means nothing')


def _nanoseconds(seconds, what):
    """Not-a-number fails every comparison."""
    return round(seconds * 1e9) if 0 <= seconds < 2**33 else _nonsense(what)


class RetryPlan:
    """A retry policy that is put together, as a value: each method gives another one. Times in seconds.

    RetryPlan.exponential(0.1, 2).count(5).and_then(RetryPlan.periodic(60).total(7200)).named('patient')
    """

    def __init__(self, base=0, delay=0, factor=1.0):
        """For the functions below."""
        if not 1 <= factor <= 1000:
            _nonsense('this factor')
        self._plan = _Plan(part_count=1)
        self._plan.parts[0] = _Part(base=base, delay_ns=_nanoseconds(delay, 'this delay'), factor=round(factor * 1e6))

    @classmethod
    def never(cls):
        """No further attempt."""
        return cls(0)

    @classmethod
    def immediate(cls):
        """At once, always."""
        return cls(1)

    @classmethod
    def periodic(cls, delay):
        """Always after that."""
        return cls(2, delay)

    @classmethod
    def exponential(cls, delay, factor=2.0):
        """After delay, delay * factor, delay * factor**2, ..."""
        return cls(3, delay, factor)

    @classmethod
    def fibonacci(cls, delay):
        """After 1, 1, 2, 3, 5, ... times delay."""
        return cls(4, delay)

    def _copy(self):
        copy = RetryPlan()
        copy._plan = _Plan.from_buffer_copy(self._plan)
        return copy

    def _with(self, base, other):
        mine, others = self._plan.part_count, other._plan.part_count
        if mine + others + 1 > 32:
            raise Error(errno.ENOSPC, 'a plan has at most 32 parts')
        both = RetryPlan(base)
        both._plan.part_count = mine + others + 1
        root = _Part(base=base, factor=1000000, left=mine - 1, right=mine + others - 1)
        for i in range(mine):
            both._plan.parts[i] = self._plan.parts[i]
        for i in range(others):
            both._plan.parts[mine + i] = other._plan.parts[i]
            both._plan.parts[mine + i].left += mine
            both._plan.parts[mine + i].right += mine
        both._plan.parts[mine + others] = root
        both._plan.statuses = self._plan.statuses | other._plan.statuses
        return both

    def and_then(self, other):
        """This one until it gives no further attempt, then the other one, which counts from there."""
        return self._with(6, other)

    def union(self, other):
        """As long as one of them gives an attempt, after the shorter delay."""
        return self._with(7, other)

    def intersect(self, other):
        """As long as both do, after the longer delay."""
        return self._with(8, other)

    def _limited(self, kind, value, value2=0):
        copy = self._copy()
        part = copy._plan.parts[copy._plan.part_count - 1]
        if part.limit_count == 8:
            raise Error(errno.ENOSPC, 'a part of a plan has at most 8 limits')
        part.limits[part.limit_count] = _Limit(kind=kind, value=value, value2=value2)
        part.limit_count += 1
        return copy

    def count(self, attempts):
        """At most so many attempts, the first included."""
        return self._limited(0, attempts) if 1 <= attempts < 2**32 else _nonsense('this count')

    def total(self, seconds):
        """None that would begin later than that after the first failure."""
        return self._limited(1, _nanoseconds(seconds, 'this time'))

    def clamp(self, min_delay, max_delay):
        """A delay of at least the one and at most the other."""
        if not min_delay <= max_delay:
            _nonsense('this clamp')
        return self._limited(2, _nanoseconds(min_delay, 'this delay'), _nanoseconds(max_delay, 'this delay'))

    def add(self, delay):
        """That much longer."""
        return self._limited(3, _nanoseconds(delay, 'this delay'))

    def jitter(self, factor):
        """By chance up to that part of it longer."""
        return self._limited(4, round(factor * 1e6)) if 0 <= factor <= 1 else _nonsense('this jitter')

    def statuses(self, *statuses):
        """After which of 429, 502, 503, 504 a request is sent again."""
        copy = self._copy()
        copy._plan.statuses = _status_bits(statuses)
        return copy

    def named(self, name):
        """What people read in `perdure retries`: up to 31 bytes."""
        copy = self._copy()
        if len(name.encode()) > 31:
            raise Error(errno.ENOSPC, 'the name of a plan has at most 31 bytes')
        copy._plan.name = name.encode()
        return copy

    def __eq__(self, other):
        return isinstance(other, RetryPlan) and bytes(self._plan) == bytes(other._plan)

    def _values(self):
        size = _Plan.parts.offset + self._plan.part_count * ctypes.sizeof(_Part)
        number = ctypes.c_uint64(1)
        _check(_ask('perdure_shim_retry_plan', ctypes.byref(self._plan), ctypes.c_size_t(size), ctypes.byref(number)))
        return _VALUES(0, number.value)


class retry_plan(_Scope):
    """A scope in which a RetryPlan holds, as retry_policy has it of numbers."""

    def __init__(self, plan):
        super().__init__(_RETRY, None)
        self._plan = plan

    def begin(self):
        """Returns itself. A scope is begun once."""
        self._values = self._plan._values()
        return super().begin()


def set_retry_plan(plan):
    """For this thread, from here on, outside of scopes. None: what was set holds no more."""
    _check(_ask('perdure_shim_scope_set', _RETRY, None if plan is None else plan._values()))


def current_retry_plan():
    """The RetryPlan that the program has said for now, or None."""
    values, plan = _VALUES(), RetryPlan()
    if _ask('perdure_shim_scope_get', _RETRY, values) != 1 or values[0] != 0:
        return None
    found = _ask('perdure_shim_retry_plan_get', ctypes.c_uint64(values[1]), ctypes.byref(plan._plan),
                 ctypes.c_size_t(ctypes.sizeof(_Plan)))
    return plan if found == 0 else None


def idempotent():
    """What the program has said for now; True where it has said nothing."""
    values = _VALUES()
    return _ask('perdure_shim_scope_get', _IDEMPOTENCE, values) != 1 or values[0] != 0


def set_idempotent(value):
    """For this thread, from here on, outside of scopes."""
    _check(_ask('perdure_shim_scope_set', _IDEMPOTENCE, _VALUES(1 if value else 0)))


def persistence_level():
    """What the program has said for now; PERSIST_SMART where it has said nothing."""
    values = _VALUES()
    return values[0] if _ask('perdure_shim_scope_get', _PERSISTENCE, values) == 1 else PERSIST_SMART


def set_persistence(level):
    """For this thread, from here on, outside of scopes."""
    _check(_ask('perdure_shim_scope_set', _PERSISTENCE, _level_values(level)))


def set_retry_policy(max_attempts=3, min_delay=0.1, max_delay=1.0, multiplier=3.0, max_jitter_factor=0.15, statuses=()):
    """For this thread, from here on, outside of scopes. max_attempts None: the command line's holds again."""
    values = None
    if max_attempts is not None:
        values = _policy_values(max_attempts, min_delay, max_delay, multiplier, max_jitter_factor, statuses)
    _check(_ask('perdure_shim_scope_set', _RETRY, values))


def idempotency_key():
    """A UUID: of version 5, the same in every attempt and another for every call; without perdure of version 4."""
    key = ctypes.create_string_buffer(37)
    if _check(_ask('perdure_shim_key', key)) < 0:
        return str(uuid.uuid4())
    return key.value.decode('ascii')


def commit(replicas=0, timeout=0):
    """Everything so far is on disk, and on at least so many replicas of the run's other store; returns how many there were.

    timeout: seconds to wait for replicas, 0: without a bound. Error ETIMEDOUT: fewer have it by then; ENOTCONN: there is no such store.
    """
    count = ctypes.c_uint(0)
    nanoseconds = ctypes.c_uint64(round(timeout * 1e9))
    if _check(_ask('perdure_shim_commit', ctypes.c_uint(replicas), nanoseconds, ctypes.byref(count))) < 0 and replicas:
        raise Error(errno.ENOTCONN, 'there are no replicas without perdure')
    return count.value


def journal_index():
    """Where the journal stands, in bytes: the same in every attempt. Without perdure 0."""
    index = ctypes.c_uint64(0)
    _check(_ask('perdure_shim_index', ctypes.byref(index)))
    return index.value


def is_replaying():
    """Does the program repeat what an earlier attempt did? For what people see, never for what the program does."""
    return _ask('perdure_shim_is_replaying') == 1


def note(text):
    """A line in the journal, which `perdure log` shows."""
    _check(_ask('perdure_shim_note', text.encode()))


def fail(why=None):
    """The program dies here, and is started again as the retry policy says."""
    _ask('perdure_shim_fail', None if why is None else why.encode())
    signal.signal(signal.SIGABRT, signal.SIG_DFL)
    os.abort()
