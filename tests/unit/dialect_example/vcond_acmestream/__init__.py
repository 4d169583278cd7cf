"""A dialect as a third party would write it: a made-up platform, Acme, that opens a WebSocket for each call.

It sends ``{"do": "begin", "call": "7", "from": "+15550100", "to": "+15550199"}``, then binary messages: one byte that says
who speaks (0 caller, 1 callee), four bytes of milliseconds since the beginning (network order), mu-law at 8 kHz; keys as
``{"do": "key", "button": "5"}``; and at the end ``{"do": "end"}``.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from vcond.sdk.contract import AdapterHost, Button, Finding, ProtocolError
from vcond.sdk.media_stream import (
    LARGEST_NUMBER,
    Batch,
    Began,
    Ended,
    Format,
    Frame,
    Limits,
    MediaStreams,
    Name,
    Pressed,
    Pulse,
    Said,
    Stream,
    StreamedCalls,
    StreamSettings,
    understand,
)

SIDES = ("caller", "callee")
HEADER = 5


class AcmeStreamConfig(StreamSettings, forbid_unknown_fields=True, frozen=True):
    """``[adapters.acmestream]``. Times are seconds."""

    path: Annotated[str, Meta(pattern=r"^(/[A-Za-z0-9._~-]+)+\Z", max_length=200)] = "/acme"
    """Where on the daemon's HTTP port the streams arrive; the ingress token follows it."""


class Message(msgspec.Struct):
    """A text."""

    do: str
    call: Name = "-"
    caller: Annotated[str, Meta(max_length=64)] = msgspec.field(default="", name="from")
    callee: Annotated[str, Meta(max_length=64)] = msgspec.field(default="", name="to")
    button: Button = "0"


class AcmeDialect:
    """One socket of Acme's."""

    audio = ()
    ends_by_closing = False

    def text(self, raw: bytes) -> Said | None:
        """What a text says. Raises ProtocolError when it makes no sense."""
        try:
            message = msgspec.json.decode(raw, type=Message)
        except (msgspec.DecodeError, UnicodeDecodeError) as why:
            raise ProtocolError("no message of Acme") from why
        match message.do:
            case "begin":
                told = understand({"from": message.caller, "to": message.callee})
                tracks = {side: Format(side) for side in SIDES}
                return Began(call=message.call, stream=message.call, tracks=tracks, announced=SIDES, told=told)
            case "key":
                return Pressed(message.button, SIDES[0])
            case "end":
                return Ended()
        return None

    def binary(self, raw: bytes) -> Said:
        """Audio. Raises ProtocolError when it makes no sense."""
        if len(raw) < HEADER or raw[0] >= len(SIDES):
            raise ProtocolError("no audio of Acme")
        return Frame(SIDES[raw[0]], 0, min(int.from_bytes(raw[1:HEADER]), LARGEST_NUMBER), raw[HEADER:])


class AcmeStreamAdapter:
    """Serves the route that Acme's account names."""

    name: ClassVar[str] = "acmestream"
    Config: ClassVar[type[AcmeStreamConfig]] = AcmeStreamConfig

    def __init__(self, config: AcmeStreamConfig) -> None:
        self._config = config

    async def run(self, host: AdapterHost) -> None:
        """Serve until cancelled. Calls that go on then are left for the core."""
        calls, pulse = StreamedCalls(host, self._config), Pulse()
        streams = MediaStreams(
            host,
            Limits.of(self._config),
            lambda request, _: Batch(Stream(host, calls, AcmeDialect()), pulse, request.transport),
        )
        host.ingress.route("GET", self._config.path, streams.answer)
        host.attached(True, f"waiting for streams at {host.ingress.base_url}{self._config.path}")
        try:
            await asyncio.Event().wait()
        finally:
            calls.close()
            await streams.close()

    async def check(self) -> AsyncIterator[Finding]:
        """Tell where it listens."""
        yield Finding("ok", "path of Acme's streams", self._config.path)
