"""Drives the phones of the bed: they call, answer, speak, press keys, hold, transfer and hang up. Loaded by path."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import uuid
import wave
from collections.abc import Callable
from typing import Any, Self

import aiohttp
import numpy as np
from numpy.typing import NDArray

APP = "phones"
WITHIN = 120.0
"""Seconds within which a phone must do what it is told, on a machine that has others to serve."""


class Ari:
    """Requests and events of one Asterisk, for tests."""

    def __init__(self, url: str, user: str, password: str, app: str = "") -> None:
        self._url = f"{url}/ari"
        self._app = app
        login = base64.b64encode(f"{user}:{password}".encode()).decode()
        self._headers = {"Authorization": f"Basic {login}"}
        self.events: list[dict[str, Any]] = []
        self._news = asyncio.Condition()
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        self._http = await self._stack.enter_async_context(aiohttp.ClientSession(headers=self._headers))
        if self._app:
            self._socket = await self._http.ws_connect(f"{self._url}/events", params={"app": self._app})
            self._reader = asyncio.create_task(self._read())
            self._stack.push_async_callback(self._close)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _close(self) -> None:
        await self._socket.close()
        self._reader.cancel()
        await asyncio.wait([self._reader])

    async def _read(self) -> None:
        async for message in self._socket:
            self.events.append(json.loads(message.data))
            async with self._news:
                self._news.notify_all()

    async def ask(self, method: str, path: str, *, body: Any = None, **query: str) -> Any:
        """A request; its decoded answer."""
        async with self._http.request(method, self._url + path, params=query, json=body) as answer:
            text = await answer.text()
            if answer.status >= 300:
                raise RuntimeError(f"{method} {path}: {answer.status} {text}")
            return json.loads(text) if text else None

    async def until(self, wanted: Callable[[dict[str, Any]], bool], what: str, *, since: int = 0) -> dict[str, Any]:
        """The first event, from ``since`` on, that is wanted."""
        try:
            async with asyncio.timeout(WITHIN):
                while True:
                    while since < len(self.events):
                        if wanted(self.events[since]):
                            return self.events[since]
                        since += 1
                    async with self._news:
                        if since >= len(self.events):
                            await self._news.wait()
        except TimeoutError:
            raise TimeoutError(f"never came: {what}") from None


class Farm:
    """The phones: those that call and those that are called."""

    def __init__(self, bed: Any, user: str, password: str) -> None:
        self._bed = bed
        self.ari = Ari(bed.phones.url, user, password, APP)
        self._taken: set[str] = set()
        self._phones: list[Phone] = []

    async def __aenter__(self) -> Self:
        await self.ari.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        for phone in self._phones:
            with contextlib.suppress(RuntimeError):
                await phone.hang_up()
        await self.ari.__aexit__()

    def voice(self, name: str, pcm: NDArray[np.int16]) -> str:
        """Something to say: 8 kHz samples under a name, which is returned."""
        with wave.open(str(self._bed.phones.sounds / f"{name}.wav"), "wb") as file:
            file.setparams((1, 2, 8000, len(pcm), "NONE", ""))
            file.writeframes(pcm.astype("<i2").tobytes())
        return name

    async def dial(self, extension: str, number: str, name: str = "Carol Caller") -> Phone:
        """Call an extension of the PBX; returns at once. ``up`` waits for the answer."""
        phone = Phone(self, uuid.uuid4().hex)
        self._phones.append(phone)
        await self.ari.ask(
            "POST", "/channels", endpoint=f"PJSIP/{extension}@trunk", app=APP, appArgs="caller",
            channelId=phone.channel, callerId=f"{name} <{number}>", timeout="60",
        )  # fmt: skip
        return phone

    async def ringing(self, who: str, number: str) -> Phone:
        """The phone of ``who`` that rings because ``number`` calls."""

        def rings(event: dict[str, Any]) -> bool:
            return (
                event["type"] == "StasisStart"
                and event["args"] == [who]
                and event["channel"]["caller"]["number"] == number
                and event["channel"]["id"] not in self._taken
            )

        channel = (await self.ari.until(rings, f"{who} rings for {number}"))["channel"]["id"]
        self._taken.add(channel)
        phone = Phone(self, channel)
        self._phones.append(phone)
        return phone


class Phone:
    """One phone in one call."""

    def __init__(self, farm: Farm, channel: str) -> None:
        self.channel = channel
        self._ari = farm.ari

    async def up(self) -> None:
        """Wait until the call that it placed is answered."""
        await self._event("StasisStart")

    async def gone(self) -> None:
        """Wait until its call is over for it."""
        await self._event("StasisEnd", "ChannelDestroyed")

    async def answer(self) -> None:
        """Pick up."""
        await self._do("POST", "/answer")

    async def say(self, voice: str) -> None:
        """Say something made with ``Farm.voice``, to its end."""
        since = len(self._ari.events)
        playback = uuid.uuid4().hex
        await self._do("POST", "/play", media=f"sound:test/{voice}", playbackId=playback)
        await self._ari.until(
            lambda e: e["type"] == "PlaybackFinished" and e["playback"]["id"] == playback, "end of speech", since=since
        )

    async def press(self, digits: str, ms: int = 120) -> None:
        """Press keys (RFC 4733), one after the other; returns before the last is released."""
        await self._do("POST", "/dtmf", dtmf=digits, duration=str(ms), between="80")

    async def hold(self, *, on: bool) -> None:
        """Hold the others, by a re-INVITE, or take them back."""
        await self._do("POST" if on else "DELETE", "/hold")

    async def refer(self, extension: str) -> None:
        """Transfer the other side blindly, by a REFER."""
        await self._do("POST", "/continue", context="xfer", extension=extension, priority="1")

    async def hang_up(self) -> None:
        """Hang up."""
        await self._do("DELETE", "")

    async def _do(self, method: str, what: str, **query: str) -> None:
        await self._ari.ask(method, f"/channels/{self.channel}{what}", **query)

    async def _event(self, *kinds: str) -> None:
        await self._ari.until(
            lambda e: e["type"] in kinds and e["channel"]["id"] == self.channel, f"{kinds[0]} of a phone"
        )
