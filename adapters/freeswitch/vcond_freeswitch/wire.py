"""FreeSWITCH's event socket on the wire: bytes in, frames out. No sockets, no clock.

A frame is ``Name: value`` lines, an empty line, and exactly as many bytes as its ``Content-Length`` says. A body need
not end in a newline and the next frame starts at once, so nothing here ever looks for the next line to get in step
again. Measured on 1.10.12; mod_event_socket.c is the source.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from vcond.sdk.contract import ProtocolError

MAX_HEAD: Final = 64 << 10
"""Bytes of the header lines of one frame; the largest real ones (``userauth``) have a few hundred."""
MAX_BODY: Final = 32 << 20
"""Bytes of one body: events have 12 kB, ``show channels as json`` has 1 kB a channel."""
MAX_LINES: Final = 200
"""Header lines of one frame."""


class Frame(NamedTuple):
    """One frame, its values as they came."""

    headers: dict[str, str]
    body: bytes

    @property
    def kind(self) -> str:
        """Its content type: ``auth/request``, ``command/reply``, ``api/response``, ``text/event-json``, ..."""
        return self.headers.get("Content-Type", "")

    @property
    def reply(self) -> str:
        """``+OK accepted`` or ``-ERR ...``; empty when it is no reply to a command."""
        return self.headers.get("Reply-Text", "")


class Decoder:
    """Cuts a stream into frames, however its bytes arrive."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._headers: dict[str, str] | None = None
        self._wanted = 0
        self._searched = 0
        self.broken: ProtocolError | None = None
        """Why no frame can be found any more, when whole ones came before that in the same bytes."""

    def feed(self, data: bytes) -> list[Frame]:
        """Take bytes, return the frames that are whole now. Raises ProtocolError when no frame can be found any more."""
        if self.broken is not None:
            raise self.broken
        self._buffer += data
        frames: list[Frame] = []
        start = 0
        while True:
            if self._headers is None:
                try:
                    start = self._head(start)
                except ProtocolError as why:
                    self.broken = why
                    if not frames:
                        raise
                    break
                if self._headers is None:
                    break
            stop = start + self._wanted
            if len(self._buffer) < stop:
                break
            frames.append(Frame(self._headers, bytes(self._buffer[start:stop])))
            self._headers, self._wanted, self._searched = None, 0, 0
            start = stop
        if start:
            del self._buffer[:start]
        return frames

    @property
    def idle(self) -> bool:
        """Whether the stream stands between two frames: an end here cuts nothing."""
        return self._headers is None and not self._buffer

    def _head(self, start: int) -> int:
        """Look for a whole block of header lines at ``start``; where its body begins, or ``start``."""
        buffer = self._buffer
        while start < len(buffer) and buffer[start] == 10:  # empty lines between frames say nothing
            start += 1
            self._searched = 0
        stop = buffer.find(b"\n\n", start + max(0, self._searched - 1))
        if stop < 0:
            self._searched = len(buffer) - start
            if self._searched > MAX_HEAD:
                raise ProtocolError("header lines do not end")
            return start
        if stop - start > MAX_HEAD:
            raise ProtocolError("too many header lines")
        self._headers = headers(bytes(buffer[start:stop]))
        self._wanted = _length(self._headers)
        return stop + 2


def headers(block: bytes) -> dict[str, str]:
    """Header lines as a map. Raises ProtocolError when a line is none."""
    lines = block.decode("utf-8", "replace").split("\n")
    if len(lines) > MAX_LINES:
        raise ProtocolError("too many header lines")
    found: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            raise ProtocolError("header line without a colon")
        found[name] = value.strip()
    return found


def _length(found: dict[str, str]) -> int:
    text = found.get("Content-Length", "0")
    if not (text.isascii() and text.isdigit() and len(text) < 12) or int(text) > MAX_BODY:
        raise ProtocolError("invalid body length")
    return int(text)
