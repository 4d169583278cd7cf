"""A call of ``vcond check --loopback``: two channels of Asterisk that are nobody's phone, in a bridge, with a tone each.

Each is an externalMedia channel that connects to this process by AudioSocket; the dialplan is not touched, no phone
rings, nobody is dialled. A vcond with the application ``LOOPBACK`` takes them for parties, and no other channel.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, suppress
from typing import Any, Final
from uuid import UUID, uuid4

import msgspec
import numpy as np

from vcond.sdk.contract import ConfigError, PeerError, RefusedError, UnreachableError
from vcond_asterisk.client import Ari, AriError
from vcond_asterisk.config import LOOPBACK, LOOPBACK_PARTY, Config, split_advertised
from vcond_asterisk.framing import IDENTITY

BRIDGE: Final = f"{LOOPBACK}-bridge"
"""One id for all: what a check that was killed left is used again, and removed."""
RATE: Final = 8000
FRAME: Final = RATE // 50
TONES: Final = (300, 500)
SETTING_UP: Final = 2.0
"""Seconds that taps may take: the parties speak so much longer."""
CONNECT_LIMIT: Final = 5.0
TRIES: Final = 50
"""To put the channels into the bridge, a tenth of a second apart: they must be under our control first."""
NOT_YET: Final = {409, 422}


def section(configured: Mapping[str, Any]) -> dict[str, Any]:
    """``[adapters.asterisk]`` of a daemon that records nothing but such a call, beside the one that runs."""
    advertise = str(configured.get("advertise", ""))
    host = split_advertised(advertise, 1).rpartition(":")[0] if advertise else ""
    return {
        **{
            key: value for key, value in configured.items() if key in {"url", "ca", "user", "password", "password_file"}
        },
        **{key: value for key, value in configured.items() if key in {"bind", "rate", "timeout"}},
        **({"advertise": host} if host else {}),
        "app": LOOPBACK,
    }


async def place(configured: Mapping[str, Any], seconds: float) -> None:
    """Two speak for so long, and hang up. Raises PeerError or ConfigError when Asterisk does not let them."""
    config = msgspec.convert(configured, Config)
    phones = [_Phone(tone) for tone in TONES]
    async with AsyncExitStack() as stack:
        server = await asyncio.start_server(_Exchange(phones).connected, config.bind, 0)
        stack.callback(server.close)
        host, port = server.sockets[0].getsockname()[:2]
        address = split_advertised(config.advertise or (f"[{host}]" if ":" in host else host), port)
        ari = await stack.enter_async_context(Ari(config))
        for phone in phones:
            stack.push_async_callback(_quietly, ari.hang_up, phone.channel)
            await ari.external_media(phone.channel, app=LOOPBACK, address=address, token=str(phone.token), rate=RATE)
        try:
            async with asyncio.timeout(CONNECT_LIMIT):
                for phone in phones:
                    await phone.connected.wait()
        except TimeoutError:
            raise UnreachableError(f"Asterisk did not connect to {address} over TCP (bind, advertise)") from None
        await ari.create_bridge(BRIDGE)
        stack.push_async_callback(_quietly, ari.destroy_bridge, BRIDGE)
        await _bridged(ari, phones)
        await asyncio.sleep(seconds + SETTING_UP)
        if any(phone.gone for phone in phones):
            raise RefusedError("Asterisk hung up during the call")


async def _bridged(ari: Ari, phones: list[_Phone]) -> None:
    for left in reversed(range(TRIES)):
        try:
            await ari.add_channels(BRIDGE, *(phone.channel for phone in phones))
        except AriError as why:
            if not left or why.status not in NOT_YET:
                raise
            await asyncio.sleep(0.1)
        else:
            return


async def _quietly(removal: Callable[[str], Awaitable[None]], what: str) -> None:
    with suppress(PeerError, ConfigError):  # told by what was to be made
        await removal(what)


class _Phone:
    """One party: says a tone from when Asterisk connects until it hangs up."""

    def __init__(self, hertz: int) -> None:
        self.token = uuid4()
        self.channel = f"{LOOPBACK_PARTY}{self.token.hex}"
        self.connected = asyncio.Event()
        self.gone = False
        self._hertz = hertz

    async def speak(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """20 ms a frame; what is sent to it is read and forgotten."""
        self.connected.set()
        hearing = asyncio.create_task(_read(reader))
        loop = asyncio.get_running_loop()
        begun, count = loop.time(), 0
        while not hearing.done() and not writer.is_closing():
            at = (np.arange(FRAME) + count * FRAME) / RATE
            samples = (8000 * np.sin(2 * np.pi * self._hertz * at)).astype("<i2").tobytes()
            writer.write(bytes((0x10, *len(samples).to_bytes(2, "big"))) + samples)
            count += 1
            await asyncio.sleep(begun + count / 50 - loop.time())
        self.gone = True


class _Exchange:
    """Takes the connections of Asterisk."""

    def __init__(self, phones: list[_Phone]) -> None:
        self._phones = {phone.token: phone for phone in phones}

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One that introduces itself as a phone of ours speaks; any other is hung up on."""
        with suppress(OSError, EOFError, TimeoutError):
            async with asyncio.timeout(CONNECT_LIMIT):
                head = await reader.readexactly(19)
            phone = self._phones.pop(UUID(bytes=head[3:]), None) if head[:3] == bytes((IDENTITY, 0, 16)) else None
            if phone is not None:
                await phone.speak(reader, writer)
        writer.close()


async def _read(reader: asyncio.StreamReader) -> None:
    with suppress(OSError):
        while await reader.read(4096):
            pass
