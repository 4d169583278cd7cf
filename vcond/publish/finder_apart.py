"""A finder of another package, in a process of its own: one that hangs is ended, and holds nothing else up.

A thread cannot be ended, and one that holds the interpreter stops capture with it. So what is not ours never looks in the
daemon's own process: ``finder_process`` makes it and shows it one conversation after another.
"""

from __future__ import annotations

import os
import pickle
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Final

import msgspec
import structlog

from vcond.redaction.config import RedactionConfig
from vcond.redaction.contract import Conversation, Finder, FinderOptions, Secret
from vcond.redaction.finding import FinderError, finders

log = structlog.get_logger()

LIMIT: Final = 120.0
"""Seconds that it may take for a conversation, its start included."""
LARGEST: Final = 1 << 28
"""Bytes of a message."""
KEPT_ENV: Final = ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "VIRTUAL_ENV", "LD_LIBRARY_PATH")
"""Nothing else of our environment goes to it: it may hold secrets."""


class Said(msgspec.Struct, frozen=True, array_like=True):
    """A secret, by places in the conversation."""

    kind: str
    words: list[tuple[int, int]]
    """Turn and index."""
    keys: list[int]
    turns: list[int]
    certainty: float


class Answer(msgspec.Struct, frozen=True, array_like=True):
    """What a process says of one conversation."""

    secrets: list[Said] = []
    error: str = ""
    """Why it found nothing; empty = it looked."""


class ApartFinder:
    """A finder (``vcond.redaction.contract.Finder``). May be asked from any thread, one at a time; ``close`` ends what is being looked at."""

    def __init__(self, target: str, options: FinderOptions, made: Finder, limit: float = LIMIT) -> None:
        """``made``: one of its class, which is asked for nothing but what it is."""
        self.name, self.kinds = made.name, made.kinds
        self._start, self._limit = pickle.dumps((target, options, limit)), limit
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None
        self._asking, self._lock, self._closed = threading.Lock(), threading.Lock(), False

    def find(self, conversation: Conversation) -> Iterator[Secret]:
        """What it finds. Raises FinderError."""
        with self._asking:
            answer = self._asked(pickle.dumps(conversation))
        if answer.error:
            raise FinderError(answer.error)
        for said in answer.secrets:
            yield Secret(
                said.kind,
                tuple(conversation.turns[turn].words[index] for turn, index in said.words),
                tuple(conversation.keys[at] for at in said.keys),
                tuple(said.turns),
                said.certainty,
            )

    def close(self) -> None:
        """Nothing is looked at any more."""
        with self._lock:
            self._closed = True
            if self._process is not None:
                self._process.kill()
            if self._channel is not None:
                with suppress(OSError):  # it is waited for no more, whoever else of the finder has its end
                    self._channel.shutdown(socket.SHUT_RDWR)
        with self._asking:
            self._end()

    def _asked(self, asked: bytes) -> Answer:
        """One question and its answer; the process is gone if there is none."""
        until, told = time.monotonic() + self._limit, b""
        try:
            channel = self._channel or self._started(until)
            _send(channel, asked, until)
            told = receive(channel, lambda: channel.settimeout(_left(until)))
            return msgspec.msgpack.decode(told, type=Answer)
        except TimeoutError:
            why = f"it took longer than {self._limit:g} s and was ended"
            log.error(  # noqa: TRY400 - its trace tells nothing
                "a finder takes too long and was ended: what it was shown is not delivered where its redacted form is to go",
                finder=self.name, seconds=self._limit, hint="ask its author; or take it out of redaction.finders, then vcond outbox retry",
            )  # fmt: skip
        except (OSError, EOFError, msgspec.DecodeError):
            why = "its process ended without an answer, or does not start"
        self._end()
        raise FinderError(f"finder {self.name!r} failed: {why}; nothing is taken for redacted")

    def _started(self, until: float) -> socket.socket:
        """Raises OSError, TimeoutError."""
        env = {name: os.environ[name] for name in KEPT_ENV if name in os.environ}
        env["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
        ours, theirs = socket.socketpair()
        with theirs, self._lock:
            if self._closed:
                ours.close()
                raise EOFError
            self._channel = ours
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "vcond.publish.finder_process"],
                env=env, stdin=theirs.fileno(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
        _send(ours, self._start, until)
        return ours

    def _end(self) -> None:
        with self._lock:
            process, self._process = self._process, None
            channel, self._channel = self._channel, None
        if channel is not None:
            channel.close()
        if process is not None:
            process.kill()
            process.wait()


def _left(until: float) -> float:
    """Seconds. Raises TimeoutError."""
    if (left := until - time.monotonic()) <= 0:
        raise TimeoutError
    return left


def _send(channel: socket.socket, body: bytes, until: float) -> None:
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


def close(those: Iterable[Finder]) -> None:
    """Their processes end."""
    for finder in those:
        if isinstance(finder, ApartFinder):
            finder.close()


def finders_apart(config: RedactionConfig) -> list[Finder]:
    """Those of the configuration. Raises ConfigError, MissingExtraError."""
    return finders(config, ApartFinder)
