"""How far the ledger reached, written down elsewhere: a line of JSON, signed where vcond has a key, in a file of its own.

A chain cannot tell that its end was cut off, or that all of it was made anew; a head can. So the file is worth most on another disk, and each
head is in the log too. Blocks.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from vcond.base.errors import VcondError
from vcond.base.time import Instant, parse_rfc3339, rfc3339
from vcond.records.chain import MOST_FAULTS, End, Fault
from vcond.storage.files import Files, put
from vcond.storage.whole_files import WholeFiles

NAME: Final = "ledger-heads.jsonl"
MOST: Final = 1 << 30
Sign = Callable[[bytes], bytes]
Opens = Callable[[dict[str, Any], Instant], bytes]
"""A signed head (JWS, general serialization) and when it says that it was made, to what was signed. Raises VcondError."""


class Head(msgspec.Struct, frozen=True):
    """Of so many rows, the hash of the last."""

    ledger: str
    """Its id: one that was begun anew has another."""
    rows: int
    hash: str
    at: str


class Heads:
    """In a file that only grows."""

    def __init__(self, path: Path, files: Files | None = None) -> None:
        self.path = path
        self._files = files or Files()

    def write(self, head: bytes) -> None:
        """One more line, durably; what a power loss left of the one before is cut off. Raises OSError."""
        WholeFiles(self._files).make_folder(self.path.parent)
        fd = self._files.open(str(self.path), create=True)
        try:
            size = self._files.size(fd)
            last = self._files.pread(fd, min(size, 1 << 16), max(0, size - (1 << 16)))
            whole = size - len(last) + last.rfind(b"\n") + 1
            if whole < size:
                self._files.truncate(fd, whole)
            put(self._files, fd, head + b"\n", whole)
            self._files.sync(fd)
            if not size:
                self._files.sync_folder(str(self.path.parent))
        finally:
            self._files.close(fd)

    def read(self, opens: Opens | None = None) -> tuple[list[Head], list[Fault]]:
        """All heads, and lines that are none. ``opens``: signatures are to hold, and each head to have one. Raises OSError."""
        if not self.path.exists():
            return [], []
        heads, faults = [], []
        lines = WholeFiles(self._files).read(self.path, MOST).split(b"\n")
        for number, line in enumerate(lines[:-1], 1):
            try:
                heads.append(opened(line, opens))
            except ValueError as why:
                faults.append(Fault(0, f"{self.path}, line {number}: {why}"))
        return heads, faults


def made(ledger: str, end: End, at: int, sign: Sign | None = None) -> bytes:
    """A head as a line."""
    head = msgspec.json.encode(Head(ledger, end.rows, end.hash.hex(), rfc3339(Instant(at))))
    return sign(head) if sign is not None else head


def opened(line: bytes, opens: Opens | None = None) -> Head:
    """A head of a line. Raises ValueError that says what is wrong with it."""
    import pybase64  # only commands read heads that are signed

    try:
        found = msgspec.json.decode(line, type=dict[str, Any])
        if "payload" in found:
            text = str(found["payload"])
            line = pybase64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        elif opens is not None:
            raise ValueError("it is not signed")
        head = msgspec.json.decode(line, type=Head)
        if opens is not None and opens(found, parse_rfc3339(head.at)) != line:
            raise ValueError("it is not what was signed")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise ValueError("no head of a ledger") from None
    except VcondError as why:
        raise ValueError(f"its signature does not hold: {why}") from None
    return head


def by_rows(heads: list[Head], ledger: str) -> tuple[dict[int, bytes], list[Fault]]:
    """Heads of one ledger by their rows; others, and those that contradict one another, are told of."""
    found: dict[int, bytes] = {}
    faults = []
    for head in heads:
        if head.ledger != ledger:
            faults.append(
                Fault(0, f"a head of {head.at} is of another ledger, of {head.rows} rows: this one was begun anew")
            )
        elif found.setdefault(head.rows, bytes.fromhex(head.hash)).hex() != head.hash:
            faults.append(Fault(head.rows, f"two heads of row {head.rows} contradict one another: it was rewritten"))
    return found, faults[:MOST_FAULTS]
