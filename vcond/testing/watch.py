"""What a plug-in does besides its work: what it logs, whether it blocks, which tasks it leaves."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import structlog


def tasks_of(plugin: object) -> list[str]:
    """Tasks that still run code of the plug-in's package."""
    module = sys.modules[type(plugin).__module__]
    home = Path(module.__file__ or "/nowhere").parent
    left = []
    for task in asyncio.all_tasks():
        code = getattr(task.get_coro(), "cr_code", None)
        if code is not None and home in Path(code.co_filename).parents and task is not asyncio.current_task():
            left.append(f"{task.get_name()}: {code.co_qualname}")
    return left


@contextmanager
def captured_logs() -> Iterator[list[str]]:
    """Every log line of the block as one text each, whichever way it was logged."""
    lines: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(self.format(record))

    def keep(_logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        lines.append(repr(event))
        raise structlog.DropEvent

    handler, root, before = Keep(), logging.getLogger(), structlog.get_config()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    everything = structlog.make_filtering_bound_logger(logging.DEBUG)
    structlog.configure(processors=[structlog.processors.format_exc_info, keep], wrapper_class=everything)
    try:
        yield lines
    finally:
        structlog.configure(**before)
        root.setLevel(level)
        root.removeHandler(handler)


@contextmanager
def nobody_sleeps() -> Iterator[list[str]]:
    """Notes whoever calls ``time.sleep`` in this thread: that stops every call at once."""
    sleepers: list[str] = []
    original, here = time.sleep, threading.get_ident()

    def noted(seconds: float, /) -> None:
        if threading.get_ident() == here:
            sleepers.append(f"time.sleep({seconds})")
        original(seconds)

    time.sleep = noted  # type: ignore[assignment] # only who sleeps is of interest, not how exactly
    try:
        yield sleepers
    finally:
        time.sleep = original


_opening: dict[int, list[str]] = {}
"""By thread, what was opened in it while somebody looks."""


@contextmanager
def nobody_opens() -> Iterator[list[str]]:
    """Notes every file that this thread opens, but for modules that are imported."""
    if not hasattr(nobody_opens, "hooked"):
        sys.addaudithook(_opened)  # for good: Python takes none away
        nobody_opens.hooked = True  # type: ignore[attr-defined] # once a process
    here = threading.get_ident()
    opened: list[str] = []
    before, _opening[here] = _opening.get(here), opened
    try:
        yield opened
    finally:
        if before is None:
            del _opening[here]
        else:
            _opening[here] = before


def _opened(event: str, args: tuple[Any, ...]) -> None:
    if event == "open" and (noted := _opening.get(threading.get_ident())) is not None:
        path = str(args[0])
        if not path.endswith((".py", ".pyc", ".so")):
            noted.append(path)
