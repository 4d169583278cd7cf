"""Plivo ``<Stream>``, and Vobiz, which speaks the same.

Source: Plivo, "Stream Event Protocol"; Vobiz, its serializer. No ``connected``, no ``stop``: closing is the end. Times are
milliseconds since 1970. Neither numbers of caller and callee nor parameters but ``extra_headers``, ``name=value;name=value``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from vcond.sdk.media_stream import Parameters, understand
from vcond_stream import fields
from vcond_stream.clone import Clone
from vcond_stream.handshake import Handshake


class Plivo(Clone):
    """One socket."""

    name: ClassVar[str] = "plivo"
    encoding: ClassVar[str] = "L16"
    ends_by_closing: ClassVar[bool] = True

    def __init__(self, handshake: Handshake) -> None:
        super().__init__(handshake)
        self._first: int | None = None

    def stamp(self, body: Mapping[str, Any]) -> int:
        """Milliseconds from the first frame, and a minute for frames that come after a later one."""
        stamp = fields.number(body, "timestamp")
        if self._first is None:
            self._first = max(stamp - 60_000, 0)
        return max(stamp - self._first, 0)

    def told(self, said: Mapping[str, Any], body: Mapping[str, Any]) -> Parameters:
        """What the application put into ``extraHeaders``."""
        del body
        pairs = (pair.partition("=") for pair in fields.word(said, "extra_headers").split(";"))
        return understand({name.strip(): value for name, _, value in pairs if name.strip()})


class Vobiz(Plivo):
    """The same, with L16 that its own serializer reads as big endian."""

    name: ClassVar[str] = "vobiz"
    big_endian: ClassVar[bool] = True
