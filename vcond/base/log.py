"""Logs go to standard error: text for a terminal, else one JSON object a line; or to the journal of systemd when that is there.

Whoever logs never waits: a thread writes, and what it does not get rid of in time is counted and left out. Of an exception
only its type and its place are logged: its text may hold what was said or dialled.
"""

from __future__ import annotations

import atexit
import logging
import os
import queue
import select
import sys
import threading
import traceback
from types import TracebackType
from typing import Any, TextIO, cast

import structlog

from vcond.base import journald, metrics

MAX_LINES = 10_000
"""Lines that wait for whoever reads standard error."""
MAX_LINE = 16_384
"""Characters."""
MAX_FRAMES = 30
LAST_WORDS = 2.0
"""Seconds that the end of the process waits for its last lines."""


class Writer:
    """A text file for loggers whose ``write`` never waits."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.journal = ""
        """The socket that gets the lines instead of the stream while there is one."""
        self._lines: queue.SimpleQueue[bytes | threading.Event] = queue.SimpleQueue()
        self._dropped = 0
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    def write(self, text: str) -> int:
        """Take a line; leave it out when too many wait."""
        if self._lines.qsize() >= MAX_LINES:
            self._dropped += 1
            metrics.dropped_total.labels("log", "not-read").inc()
            return len(text)
        self._lines.put((text if len(text) <= MAX_LINE else text[:MAX_LINE] + "\n").encode("utf-8", "backslashreplace"))
        if not self._runs():  # the first line, or the first one after a fork
            self._start()
        return len(text)

    def flush(self) -> None:
        """Nothing: the thread does not keep lines back."""

    def drain(self, timeout: float = LAST_WORDS) -> bool:
        """Wait until all lines so far are written, for so many seconds; whether they are."""
        if self._thread is None:
            return True
        if not self._runs():
            return False
        written = threading.Event()
        self._lines.put(written)
        return written.wait(timeout)

    def forked(self) -> None:
        """In the child: another thread may have held the lock."""
        self._starting = threading.Lock()

    def _runs(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _start(self) -> None:
        """One thread, whoever asks for it at the same time: two would mix up the lines."""
        with self._starting:
            if self._runs():
                return
            thread = threading.Thread(target=self._work, name="vcond-log", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # the machine has no thread to give: the next line asks again
                return
            self._thread = thread

    def _work(self) -> None:
        while True:
            line = self._lines.get()
            if isinstance(line, threading.Event):
                line.set()
                continue
            self._put(line)
            if self._dropped and self._lines.qsize() < MAX_LINES // 2:
                count, self._dropped = self._dropped, 0
                structlog.get_logger().warning("log lines dropped: the log reader was too slow", count=count)

    def _put(self, line: bytes) -> None:
        if self.journal and journald.send(line, self.journal):
            return
        target = _descriptor(self.stream)
        if target < 0:
            try:
                self.stream.write(line.decode("utf-8"))
            except ValueError:
                metrics.dropped_total.labels("log", "closed").inc()
            return
        while line:
            try:
                line = line[os.write(target, line) :]
            except BlockingIOError:
                select.select([], [target], [], 1.0)
            except OSError:
                metrics.dropped_total.labels("log", "closed").inc()
                return


_writer: Writer | None = None


def _forked() -> None:
    if _writer is not None:
        _writer.forked()


os.register_at_fork(after_in_child=_forked)


def configure(level: str = "info", style: str = "auto") -> None:
    """Set up structlog, and the standard library's logging of the packages that we use."""
    global _writer  # noqa: PLW0603 - there is one standard error
    text = style == "text" or (style == "auto" and sys.stderr.isatty())
    number = logging.getLevelNamesMapping()[level.upper()]
    if _writer is None or _writer.stream is not sys.stderr:
        _writer = Writer(sys.stderr)
    native = style == "auto" and journald.is_journal(_descriptor(sys.stderr), os.environ)
    _writer.journal = journald.SOCKET if native else ""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _without_text,
    ]
    renderer: Any = (
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()) if text else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(cast("TextIO", _writer)),  # all that it uses of a file
        cache_logger_on_first_use=False,  # a reload changes the level
    )
    handler: logging.StreamHandler[Any] = logging.StreamHandler(_writer)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
            foreign_pre_chain=[*shared, _first_line],
        )
    )
    logging.basicConfig(level=max(number, logging.WARNING), handlers=[handler], force=True)


def _descriptor(stream: TextIO) -> int:
    try:
        return stream.fileno()
    except (OSError, ValueError):  # no file: a test's
        return -1


@atexit.register
def drain(timeout: float = LAST_WORDS) -> None:
    """Wait a moment for what was logged last; before ``os._exit`` too."""
    if _writer is not None:
        _writer.drain(timeout)


def place(why: BaseException) -> str:
    """Type and place of an exception, and of those that it came from: ``KeyError at call/recorder.py:107 emit < ...``."""
    parts: list[str] = []
    left: list[BaseException] = [why]
    while left and len(parts) < MAX_FRAMES:
        one = left.pop(0)
        frames = [_frame(*frame) for frame in _frames(one.__traceback__)]
        parts.append(f"{type(one).__name__} at {' < '.join(frames) or '?'}")
        if isinstance(one, BaseExceptionGroup):
            left.extend(one.exceptions)
        before = one.__cause__ if one.__cause__ is not None or one.__suppress_context__ else one.__context__
        if before is not None:
            left.append(before)
    return "; ".join(parts)


def _frames(trace: TracebackType | None) -> list[tuple[str, int, str]]:
    """File, line and function, innermost first."""
    found = [(frame.filename, frame.lineno or 0, frame.name) for frame in traceback.extract_tb(trace)]
    return found[::-1][:MAX_FRAMES]


def _frame(file: str, line: int, function: str) -> str:
    return f"{'/'.join(file.split('/')[-2:])}:{line} {function}"


def _without_text(_: Any, __: str, row: Any) -> Any:
    """Where an exception was, without what it says."""
    given = row.pop("exc_info", None)
    why = given[1] if isinstance(given, tuple) else given if isinstance(given, BaseException) else sys.exc_info()[1]
    if given and why is not None:
        row["exception"] = place(why)
    row.pop("stack_info", None)
    return row


def _first_line(_: Any, __: str, row: Any) -> Any:
    """Of others' messages: asyncio tells a failed task with its exception's text, from the second line on."""
    row["event"] = str(row.get("event", "")).partition("\n")[0]
    return row
