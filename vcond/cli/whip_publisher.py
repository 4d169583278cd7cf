"""Publishers of ``vcond check --loopback``: two who speak by WHIP (RFC 9725) on this machine."""

from __future__ import annotations

import asyncio
import fractions
from contextlib import suppress

import aiohttp
import numpy as np
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from av import AudioFrame
from yarl import URL

from vcond.base.errors import UnreachableError
from vcond_webrtc import ports

RATE = 48_000
FRAME = RATE // 50
CONNECT_LIMIT = 15.0
CLOSE_LIMIT = 5.0
REFUSED = 400


class Tone(MediaStreamTrack):
    """A tone, mono, 20 ms a frame, until it has lasted long enough."""

    kind = "audio"

    def __init__(self, hertz: float, seconds: float) -> None:
        super().__init__()
        self._hertz, self._left, self._frames, self._begun = hertz, round(seconds * 50), 0, 0.0
        self.over = asyncio.Event()

    async def recv(self) -> AudioFrame:
        """The next frame, when it is time."""
        loop = asyncio.get_running_loop()
        self._begun = self._begun or loop.time()
        await asyncio.sleep(max(0.0, self._begun + self._frames / 50 - loop.time()))
        if self._frames == self._left:
            self.over.set()
            raise MediaStreamError
        at = (np.arange(FRAME) + self._frames * FRAME) / RATE
        frame = AudioFrame(format="s16", layout="mono", samples=FRAME)
        frame.planes[0].update((8000 * np.sin(2 * np.pi * self._hertz * at)).astype(np.int16).tobytes())
        frame.sample_rate, frame.pts, frame.time_base = RATE, self._frames * FRAME, fractions.Fraction(1, RATE)
        self._frames += 1
        return frame


async def publish(url: str, token: str, seconds: float) -> None:
    """Two publish into one call for so long, and hang up. Raises UnreachableError when they cannot."""
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as http:
        try:
            async with asyncio.TaskGroup() as tasks:
                for party, hertz in (("caller", 300.0), ("agent", 500.0)):
                    tasks.create_task(_one(http, url, party, Tone(hertz, seconds)))
        except* (OSError, TimeoutError, aiohttp.ClientError) as why:
            raise UnreachableError(
                f"a publisher was not connected: {str(why.exceptions[0]) or 'no answer in time'}"
            ) from why


async def _one(http: aiohttp.ClientSession, url: str, party: str, tone: Tone) -> None:
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    try:
        transceiver = connection.addTransceiver(tone, direction="sendonly")
        ports.use(transceiver.sender.transport.transport.iceGatherer, ["127.0.0.1"], ports.ANY)
        await connection.setLocalDescription(await connection.createOffer())
        offer = connection.localDescription.sdp
        query = {"call": "vcond-check", "party": party}
        async with http.post(url, params=query, data=offer, headers={"Content-Type": "application/sdp"}) as answer:
            if answer.status >= REFUSED:
                raise OSError(f"the offer was answered with {answer.status}")
            location, sdp = answer.headers["Location"], await answer.text()
        await connection.setRemoteDescription(RTCSessionDescription(sdp, "answer"))
        async with asyncio.timeout(CONNECT_LIMIT):
            await tone.over.wait()
        async with http.delete(URL(url).join(URL(location))):
            pass
    finally:
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_LIMIT):
                await connection.close()
        tone.stop()
