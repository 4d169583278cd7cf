"""The record stream of an event log: bytes in, bytes out, no files.

One record is the msgpack list ``[crc32, payload]``; ``payload`` is the msgpack map of ``vcond.call.events.encode``
and ``crc32`` is over its bytes (zlib). The payload of the first record, which is always ``CallOpened``, carries the
version of the format as the extra key ``v``. There is nothing between records, so a log that was cut or damaged at
any byte still gives every record before that byte; what comes after it is not trusted.
"""

from __future__ import annotations

import zlib
from typing import Any, Final

import msgpack  # type: ignore[import-untyped] # it publishes no type information

from vcond.base.time import Instant
from vcond.call import events as ev

FORMAT: Final = 1
"""Version of the format written. Readers refuse to touch a newer one."""
MAX_RECORD: Final = 8 << 20
"""Largest payload of one record, in bytes."""
MAX_LOG: Final = 1 << 30
"""Largest event log, in bytes: millions of events, far beyond any call; a limit against runaway writers."""
CHUNK: Final = 1 << 16
"""How much of a log to read and feed at a time."""


def encode(event: ev.Event, *, first: bool = False) -> bytes:
    """One record. ``first`` adds the version of the format.

    Characters that have no UTF-8 form (lone surrogates from broken peers) become ``?``.
    Raises ValueError when the event is larger than ``MAX_RECORD`` or holds what msgpack cannot say (an integer of
    more than 64 bits, an unknown type).
    """
    try:
        payload = _pack(ev.encode(event) | ({"v": FORMAT} if first else {}))
    except (OverflowError, TypeError, ValueError) as why:
        raise ValueError(f"cannot write a {type(event).__name__}: {type(why).__name__}") from None
    if len(payload) > MAX_RECORD:
        raise ValueError(f"a {type(event).__name__} of {len(payload)} bytes; the limit is {MAX_RECORD}")
    packed: bytes = msgpack.packb([zlib.crc32(payload), payload])
    return packed


def _pack(plain: dict[str, Any]) -> bytes:
    try:
        payload: bytes = msgpack.packb(plain)
    except UnicodeEncodeError:
        payload = msgpack.packb(plain, unicode_errors="replace")
    return payload


class Reader:
    """Takes a log apart as its bytes come, up to the first damage.

    ``good`` is the length in bytes of what was understood; ``seen`` of what was fed; ``damage`` says why it stopped
    (empty = it did not); ``version`` is the format of the log (0 = no first record yet). A log of a newer format
    gives no events.
    """

    def __init__(self) -> None:
        self.good = 0
        self.seen = 0
        self.damage = ""
        self.version = 0
        self._unpacker = msgpack.Unpacker(
            max_buffer_size=MAX_RECORD + 4 * CHUNK,
            max_bin_len=MAX_RECORD,
            max_array_len=2,
            max_map_len=0,
            max_str_len=0,
            max_ext_len=0,
        )

    @property
    def newer(self) -> bool:
        """Whether a newer vcond wrote the log."""
        return self.version > FORMAT

    def feed(self, data: bytes) -> list[ev.Event]:
        """The events that ``data``, at most ``CHUNK`` bytes that follow those fed before, completes."""
        self.seen += len(data)
        events: list[ev.Event] = []
        if self.damage or self.newer:
            return events
        self._unpacker.feed(data)
        while not self.newer:
            try:
                record = self._unpacker.unpack()
            except msgpack.OutOfData:
                break
            except (ValueError, TypeError, msgpack.UnpackException):
                self.damage = f"byte {self.good}: not a record"
                break
            event = self._event(record)
            if event is None:
                break
            self.good = self._unpacker.tell()
            events.append(event)
        return events

    def close(self) -> None:
        """There are no more bytes: what is left over is damage."""
        if not self.damage and not self.newer and self.good < self.seen:
            self.damage = f"byte {self.good}: the last {self.seen - self.good} bytes are not a whole record"

    def _event(self, record: object) -> ev.Event | None:
        match record:
            case [int(crc), bytes(payload)] if crc == zlib.crc32(payload):
                plain = _unpack(payload)
            case _:
                self.damage = f"byte {self.good}: not a record"
                return None
        if plain is None or not self._opens(plain):
            self.damage = self.damage or f"byte {self.good}: a record is not an event"
            return None
        return None if self.newer else _event_of(plain)

    def _opens(self, plain: dict[str, Any]) -> bool:
        """Whether the record is right for its place: the first has a version and opens the call."""
        if self.version:
            return True
        version = plain.pop("v", None)
        if not isinstance(version, int) or version < 1:
            self.damage = "byte 0: the first record has no version"
            return False
        self.version = version
        if not self.newer and plain["t"] != "CallOpened":
            self.damage = "byte 0: the first record does not open a call"
            return False
        return True


def _unpack(payload: bytes) -> dict[str, Any] | None:
    """The map in a payload; None when it is none, or not of an event's shape."""
    try:
        plain = msgpack.unpackb(payload)
    except (ValueError, TypeError, msgpack.UnpackException):
        return None
    shaped = isinstance(plain, dict) and isinstance(plain.get("t"), str) and isinstance(plain.get("at"), int)
    return plain if shaped else None


def _event_of(plain: dict[str, Any]) -> ev.Event:
    """The event; one of a known name whose fields are of other types (a newer vcond wrote it) is kept as Unknown."""
    try:
        return ev.decode(plain)
    except ValueError:
        fields = {name: value for name, value in plain.items() if name not in {"t", "at"}}
        return ev.Unknown(at=Instant(plain["at"]), type=plain["t"], fields=fields)
