"""An adapter for a made-up system: each call is one TCP connection that carries raw PCM of both parties.

The peer sends one JSON line, ``{"call": "7", "caller": "1001", "callee": "1002"}``, and then frames: one byte that
says who speaks (0 caller, 1 callee), two bytes of length (network order), 16-bit little-endian samples at 8 kHz.
A frame of 0xFF and no length is the end of the call.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from vcond.sdk.contract import (
    NORMAL,
    AdapterHost,
    Answered,
    ArrivalClock,
    Cause,
    Codec,
    Finding,
    LiveCall,
    PartyInfo,
    Track,
)

MAX_FRAME = 3840
HANG_UP = 0xFF


class PcmLineConfig(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """``[adapters.pcmline]``."""

    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65_535)] = 9092
    """Where the peers connect to; 0 = any free port."""
    patience: Annotated[float, Meta(gt=0, le=3600)] = 30
    """Seconds that a peer may say nothing."""


class Hello(msgspec.Struct):
    """The first line of a connection."""

    call: Annotated[str, Meta(min_length=1, max_length=64)]
    caller: Annotated[str, Meta(max_length=64)] = ""
    callee: Annotated[str, Meta(max_length=64)] = ""


class PcmLineAdapter:
    """Listens for lines."""

    name: ClassVar[str] = "pcmline"
    Config: ClassVar[type[PcmLineConfig]] = PcmLineConfig

    def __init__(self, config: PcmLineConfig) -> None:
        self.config = config
        self.port = config.port

    async def check(self) -> AsyncIterator[Finding]:
        """Nothing can be wrong but the address, which the daemon finds out at its start."""
        yield Finding("ok", "address of the lines", f"{self.config.host}:{self.config.port}")

    async def run(self, host: AdapterHost) -> None:
        """Serve until cancelled; the group cancels every line then, and each closes its socket."""
        async with asyncio.TaskGroup() as group:

            def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                group.create_task(self.serve(host, reader, writer))

            server = await asyncio.start_server(connected, self.config.host, self.config.port, limit=4096)
            try:
                self.port = server.sockets[0].getsockname()[1]
                host.attached(True, f"listening on port {self.port}")
                await asyncio.Event().wait()
            finally:
                server.close()  # no waiting: since Python 3.12 that is for the lines too, which end when the group does

    async def serve(self, host: AdapterHost, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One line, from its first byte to its last."""
        try:
            async with asyncio.timeout(self.config.patience):
                hello = msgspec.json.decode(await reader.readline(), type=Hello)
            call, tracks = self.open(host, hello)
            cause = await self.listen(host, reader, tracks)
            call.end(at=host.clock.now(), cause=cause)
        except (msgspec.DecodeError, UnicodeDecodeError, ValueError, TimeoutError, OSError):
            host.dropped("line", "no-hello")
            host.log.warning("a line did not say which call it is")
        finally:
            writer.close()

    def open(self, host: AdapterHost, hello: Hello) -> tuple[LiveCall, list[Track]]:
        """The call of a line, new or taken up again, with a fresh track for each party."""
        now = host.clock.now()
        call = host.call(hello.call, at=now)
        tracks = []
        for key, number in (("caller", hello.caller), ("callee", hello.callee)):
            party = call.party(key, at=now, who=PartyInfo(tel=number))
            tracks.append(call.track(party, at=now, codec=Codec.L16, rate=8000, clock=ArrivalClock()))
        call.emit(Answered(at=now))
        return call, tracks

    async def listen(self, host: AdapterHost, reader: asyncio.StreamReader, tracks: list[Track]) -> Cause:
        """Read frames to the end and say how it ended."""
        try:
            while True:
                async with asyncio.timeout(self.config.patience):
                    who = (await reader.readexactly(1))[0]
                    if who == HANG_UP:
                        return NORMAL
                    length = int.from_bytes(await reader.readexactly(2))
                    if who >= len(tracks) or length > MAX_FRAME:
                        host.dropped("frame", "malformed")
                        return Cause(text="protocol-error")
                    payload = await reader.readexactly(length)
                tracks[who].write(payload, arrived=host.clock.now())
        except (asyncio.IncompleteReadError, TimeoutError, OSError):
            return Cause(text="cut")
