"""Code of another package, in a process of its own: what hangs is ended, and holds nothing else up.

A thread cannot be ended, and one that holds the interpreter stops capture with it. So what is not ours never works in the
daemon's own process: another one makes it and hands it one piece of work after another.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final, NoReturn

from vcond.base.no_core import no_core_files

LARGEST: Final = 1 << 28
"""Bytes of a message."""
GRACE: Final = 10
"""Seconds after its time is over, before a process that nobody can end any more ends itself."""
KEPT_ENV: Final = ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "VIRTUAL_ENV", "LD_LIBRARY_PATH")
"""Nothing else of our environment goes to it: it may hold secrets."""


class ApartError(Exception):
    """There is no answer; ``slow``: it did not come in time."""

    def __init__(self, why: str, *, slow: bool = False) -> None:
        super().__init__(why)
        self.slow = slow


class Apart:
    """One process, started when it is first asked and again when it is gone. May be asked from any thread, one at a time."""

    def __init__(self, module: str, start: bytes, limit: float) -> None:
        """``module`` is run, with a socket for stdin, and told ``start`` first; ``limit``: seconds for an answer, the start included."""
        self._module, self._start, self._limit = module, start, limit
        self.process: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None
        self._asking, self._lock, self._closed = threading.Lock(), threading.Lock(), False

    def asked(self, question: bytes) -> bytes:
        """Its answer. Raises ApartError; the process is gone then."""
        with self._asking:
            until = time.monotonic() + self._limit
            try:
                channel = self._channel or self._started(until)
                send(channel, question, until)
                return receive(channel, lambda: channel.settimeout(_left(until)))
            except TimeoutError:
                why = ApartError(f"it took longer than {self._limit:g} s and was ended", slow=True)
            except (OSError, EOFError):
                why = ApartError("its process ended without an answer, or does not start")
            self._end()
            raise why

    def end(self) -> None:
        """What it answers makes no sense: the next question starts another one."""
        with self._asking:
            self._end()

    def close(self) -> None:
        """Nothing is asked any more; what is being worked on ends."""
        with self._lock:
            self._closed = True
            if self.process is not None:
                _kill(self.process)
            if self._channel is not None:
                with suppress(OSError):  # it is waited for no more, whoever else has its end
                    self._channel.shutdown(socket.SHUT_RDWR)
        with self._asking:
            self._end()

    def _started(self, until: float) -> socket.socket:
        """Raises OSError, TimeoutError, EOFError."""
        env = {name: os.environ[name] for name in KEPT_ENV if name in os.environ}
        env["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
        ours, theirs = socket.socketpair()
        with theirs, self._lock:
            if self._closed:
                ours.close()
                raise EOFError
            self._channel = ours
            self.process = subprocess.Popen(  # noqa: S603 - our own module
                [sys.executable, "-P", "-m", self._module, str(self._limit)],
                env=env, stdin=theirs.fileno(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, process_group=0,
            )  # fmt: skip
        send(ours, self._start, until)
        return ours

    def _end(self) -> None:
        with self._lock:
            process, self.process = self.process, None
            channel, self._channel = self._channel, None
        if channel is not None:
            channel.close()
        if process is not None:
            _kill(process)
            process.wait()


def _kill(process: subprocess.Popen[bytes]) -> None:
    """With what it started itself. Nobody has waited for it yet, so the number is still its own."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _left(until: float) -> float:
    """Seconds. Raises TimeoutError."""
    if (left := until - time.monotonic()) <= 0:
        raise TimeoutError
    return left


def send(channel: socket.socket, body: bytes, until: float) -> None:
    """One message, its length before it. Raises OSError, TimeoutError."""
    channel.settimeout(_left(until))
    channel.sendall(len(body).to_bytes(4, "big") + body)


def receive(channel: socket.socket, before: Callable[[], None] = lambda: None) -> bytes:
    """One message, which its length goes before. Raises EOFError, OSError; ``before`` is called for each piece of it."""

    def some(size: int) -> bytes:
        found = bytearray()
        while len(found) < size:
            before()
            if not (piece := channel.recv(min(size - len(found), 1 << 20))):
                raise EOFError
            found += piece
        return bytes(found)

    size = int.from_bytes(some(4), "big")
    if size > LARGEST:
        raise EOFError
    return some(size)


def work(made: Callable[[bytes], Callable[[bytes], bytes]]) -> NoReturn:
    """The other side: what a module is that ``Apart`` runs. ``made`` makes of ``start`` what answers.

    What is printed goes nowhere. It ends with whoever started it, and where it hangs then, by an alarm.
    """
    try:
        _answer(socket.socket(fileno=0), made, int(float(sys.argv[1])) + GRACE)
    except EOFError:
        os._exit(0)  # threads of others are not waited for
    except BaseException:  # noqa: BLE001 - whatever it is, whoever asked sees that there is no answer
        os._exit(1)


def _answer(channel: socket.socket, made: Callable[[bytes], Callable[[bytes], bytes]], alarm: int) -> NoReturn:
    """Until nobody asks any more. Raises EOFError then."""
    no_core_files()
    for number in (signal.SIGINT, signal.SIGTERM):  # all of a terminal or service get it, and vcond still delivers then
        signal.signal(number, lambda *_: None)
    with suppress(OSError):  # who may not be polite works all the same
        os.nice(10)
    start = receive(channel)
    signal.alarm(alarm)
    answering = made(start)
    while True:
        signal.alarm(0)
        question = receive(channel)
        signal.alarm(alarm)
        body = answering(question)
        channel.sendall(len(body).to_bytes(4, "big") + body)
