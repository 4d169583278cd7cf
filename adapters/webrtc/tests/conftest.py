"""A WHIP client of aiortc on loopback, which speaks what it is given and is silent otherwise, like a microphone."""

from __future__ import annotations

import asyncio
import fractions
import sys
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp
import numpy as np
import pytest
import soxr
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.codecs import get_capabilities
from aiortc.mediastreams import MediaStreamTrack
from av import AudioFrame

from vcond.testing.host import MemoryHost
from vcond_webrtc import WebRtcAdapter, WebRtcConfig, ports
from vcond_webrtc.limits import Rate

sys.path.insert(0, str(Path(__file__).parent))  # for janus_fake: test folders are no packages


class Microphone(MediaStreamTrack):
    """Mono, 20 ms a frame, at the speed of the loop's time."""

    kind = "audio"

    def __init__(self, rate: int) -> None:
        super().__init__()
        self.rate, self.size = rate, rate // 50
        self.frames = 0
        self.words = np.zeros(0, np.int16)
        self.said = asyncio.Event()
        self.begun = 0.0

    async def speak(self, pcm, rate=8000) -> None:
        """Returns when the last sample was put on the wire."""
        same = pcm if rate == self.rate else soxr.resample(pcm.astype(np.float64), rate, self.rate)
        self.words = np.clip(same, -32768, 32767).astype(np.int16)
        self.said.clear()
        await self.said.wait()

    async def recv(self) -> AudioFrame:
        loop = asyncio.get_running_loop()
        self.begun = self.begun or loop.time()
        await asyncio.sleep(max(0.0, self.begun + self.frames * self.size / self.rate - loop.time()))
        part, self.words = self.words[: self.size], self.words[self.size :]
        if not len(part):
            self.said.set()
        # never digital silence: a microphone has noise
        samples = np.random.default_rng(self.frames).integers(-2, 3, self.size).astype(np.int16)
        samples[: len(part)] += part
        frame = AudioFrame(format="s16", layout="mono", samples=self.size)
        frame.planes[0].update(samples.tobytes())
        frame.sample_rate, frame.pts = self.rate, self.frames * self.size
        frame.time_base = fractions.Fraction(1, self.rate)
        self.frames += 1
        return frame


class Publisher:
    """One WHIP client."""

    def __init__(self, base: str, token: str, codec: str = "audio/opus") -> None:
        self.http = aiohttp.ClientSession(base, headers={"Authorization": f"Bearer {token}"})
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.microphone = Microphone(48_000 if codec == "audio/opus" else 8_000)
        self.codec = codec
        self.location = self.tag = ""
        self.connected = asyncio.Event()

    async def offer(self) -> str:
        transceiver = self.connection.addTransceiver(self.microphone, direction="sendonly")
        wanted = [codec for codec in get_capabilities("audio").codecs if codec.mimeType == self.codec]
        transceiver.setCodecPreferences(wanted)
        ports.use(transceiver.sender.transport.transport.iceGatherer, ["127.0.0.1"], ports.ANY)
        await self.connection.setLocalDescription(await self.connection.createOffer())
        return self.connection.localDescription.sdp

    async def post(self, body: str, **query) -> aiohttp.ClientResponse:
        headers = {"Content-Type": "application/sdp"}
        return await self.http.post("/whip", params=query, data=body, headers=headers)

    def watch(self) -> None:
        """Set ``connected`` when it is."""

        @self.connection.on("connectionstatechange")
        def changed() -> None:
            if self.connection.connectionState == "connected":
                self.connected.set()

    async def publish(self, **query) -> None:
        """Connected when it returns."""
        self.watch()
        answer = await self.post(await self.offer(), **query)
        assert answer.status == 201, await answer.text()
        self.location, self.tag = answer.headers["Location"], answer.headers["ETag"]
        await self.connection.setRemoteDescription(RTCSessionDescription(await answer.text(), "answer"))
        await self.connected.wait()

    async def hang_up(self) -> int:
        async with self.http.delete(self.location) as answer:
            return answer.status

    async def cut(self) -> None:
        """The network is gone: not a packet leaves any more, in no direction."""
        for sender in self.connection.getSenders():
            for protocol in sender.transport.transport._connection._protocols:
                protocol.transport.abort()

    async def close(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(5):
                await self.connection.close()
        self.microphone.stop()
        await self.http.close()


@pytest.fixture
def publisher():
    return Publisher


@pytest.fixture
def one_moment(monkeypatch):
    """However long the test takes, for a rate it is one moment."""
    wait = Rate.wait

    def at_once(rate, who, _now):
        return wait(rate, who, 0)

    monkeypatch.setattr(Rate, "wait", at_once)


@pytest.fixture
def serving():
    """A host with the adapter, and a factory of publishers: ``async with serving(grace=0) as (host, person)``."""
    return _serving


@asynccontextmanager
async def _serving(*, clock=None, **config):
    people = []
    async with MemoryHost("webrtc", clock=clock) as host:
        task = asyncio.create_task(WebRtcAdapter(WebRtcConfig(**config)).run(host))
        await host.until(lambda: host.is_attached)

        def person(given=host.ingress.token, codec="audio/opus"):
            people.append(Publisher(host.ingress.bound_url, given, codec))
            return people[-1]

        try:
            yield host, person
        finally:
            for one in people:
                await one.close()
            task.cancel()
            await asyncio.wait([task])
    assert not host.faults
