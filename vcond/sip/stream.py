"""A TCP or TLS stream cut into SIP messages by Content-Length. RFC 3261 section 18.3, RFC 5626 section 3.5.1."""

from __future__ import annotations

from typing import Final

from vcond.sip.messages import END_OF_HEAD, MAX_HEAD, Head, MalformedError, Message, read_head

PING: Final = b"\r\n\r\n"
PONG: Final = b"\r\n"
"""What a ping is answered with."""


class StreamReader:
    """Takes bytes however they arrive. Holds MAX_HEAD + MAX_BODY bytes and what one ``feed`` brought at most."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._head: Head | None = None
        self._wanted = 0
        self._searched = 0
        self.pinged = False
        """Whether a ping came since it was last set to False."""
        self.broken = False
        """Nothing can be found in this stream any more: close it."""

    def feed(self, data: bytes) -> list[Message | MalformedError]:
        """Messages that are whole now, and those that break the grammar, in their order."""
        out: list[Message | MalformedError] = []
        self._buffer += data
        start = 0
        while not self.broken:
            if self._head is None:
                start = self._blank(start)
                try:
                    after = self._find(start)
                except MalformedError as why:
                    self.broken = True  # where its body ends nobody knows
                    out.append(why)
                    break
                if after is None:
                    break
                start = after
            stop = start + self._wanted
            if len(self._buffer) < stop or self._head is None:
                break
            try:
                out.append(self._head.message(bytes(self._buffer[start:stop])))
            except MalformedError as why:
                out.append(why)
                self.broken = why.request is None  # no SIP at all: whoever speaks something else is not waited for
            self._head, self._searched = None, 0
            start = stop
        del self._buffer[: len(self._buffer) if self.broken else start]
        return out

    @property
    def idle(self) -> bool:
        """Whether the stream stands between two messages."""
        return self._head is None and not self._buffer.strip(b"\r\n")

    def _blank(self, start: int) -> int:
        """Where the next message begins, behind empty lines; two of them are a ping."""
        buffer = self._buffer
        if self._searched:
            return start
        while True:
            if buffer.startswith(PING, start):
                self.pinged = True
                start += 4
            elif buffer.startswith(b"\n", start):
                start += 1
            elif (buffer.startswith(PONG, start) and len(buffer) > start + 2 and buffer[start + 2] != 13) or (
                buffer.startswith(b"\r\n\r", start) and len(buffer) > start + 3
            ):
                start += 2
            else:
                return start

    def _find(self, start: int) -> int | None:
        """Read a head at ``start`` when it is whole; where its body begins. Raises MalformedError."""
        buffer = self._buffer
        if buffer.startswith(b"\r", start):
            if len(buffer) > start + 3:
                raise MalformedError("unexpected carriage return before a message")
            return None  # a ping that is not whole
        found = END_OF_HEAD.search(buffer, start + max(0, self._searched - 2))
        if found is None or found.start() - start > MAX_HEAD:
            self._searched = len(buffer) - start
            if self._searched > MAX_HEAD:
                raise MalformedError("header without an end", 513)
            return None
        head = read_head(bytes(buffer[start : found.start()]).removesuffix(b"\r"))
        length = head.length
        if length is None and "content-type" in head.headers:
            raise MalformedError("message without Content-Length on a stream transport", request=head.answerable())
        self._head, self._wanted, self._searched = head, length or 0, 0
        return found.end()
