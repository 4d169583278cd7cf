"""A scripted Twilio: the messages of a media stream, and a client that sends them."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace

import aiohttp
import numpy as np
import pytest

from vcond.media.codecs import Codec, Pcm, encode

sys.path.insert(0, str(Path(__file__).parent))  # the helpers beside the tests: test folders are no packages

FRAME, FRAME_MS = 160, 20
CALL, STREAM = "CA" + "1" * 32, "MZ" + "2" * 32
ACCOUNT = "AC" + "3" * 32
TRACKS = ("inbound", "outbound")


def connected():
    return {"event": "connected", "protocol": "Call", "version": "1.0.0"}


def start(call=CALL, stream=STREAM, tracks=TRACKS, parameters=None, **media_format):
    """A ``start`` as Twilio documents it."""
    announced = {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1} | media_format
    body = {
        "accountSid": ACCOUNT,
        "streamSid": stream,
        "callSid": call,
        "tracks": list(tracks),
        "mediaFormat": announced,
        "customParameters": parameters or {},
    }
    return {"event": "start", "sequenceNumber": "1", "start": body, "streamSid": stream}


def media(track, chunk, timestamp, payload=b"\xff" * FRAME, *, seq=0, stream=STREAM):
    body = {
        "track": track,
        "chunk": str(chunk),
        "timestamp": str(timestamp),
        "payload": base64.b64encode(payload).decode(),
    }
    return {"event": "media", "sequenceNumber": str(seq), "media": body, "streamSid": stream}


def dtmf(digit, track="inbound_track", seq=0, stream=STREAM):
    return {"event": "dtmf", "sequenceNumber": str(seq), "dtmf": {"track": track, "digit": digit}, "streamSid": stream}


def stop(call=CALL, stream=STREAM, seq=0):
    return {
        "event": "stop",
        "sequenceNumber": str(seq),
        "stop": {"accountSid": ACCOUNT, "callSid": call},
        "streamSid": stream,
    }


def raw(message) -> bytes:
    return json.dumps(message).encode()


class Client:
    """One stream: sends messages, numbers them as Twilio does, paces audio in the loop's time."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, call: str, stream: str) -> None:
        self.socket, self.call, self.stream = socket, call, stream
        self.seq = 1
        self.chunks = dict.fromkeys(TRACKS, 0)
        self.reader = asyncio.create_task(self.read())
        self.position = 0
        """Milliseconds of audio sent so far."""

    async def send(self, message) -> None:
        await self.socket.send_str(message if isinstance(message, str) else json.dumps(message))

    async def start(self, parameters=None, tracks=TRACKS, **media_format) -> None:
        await self.send(connected())
        await self.send(start(self.call, self.stream, tracks, parameters, **media_format))

    def next_seq(self) -> int:
        self.seq += 1
        return self.seq

    async def play(self, inbound: Pcm | None, outbound: Pcm | None = None) -> None:
        """Both parties speak, in the loop's time; None = that track sends nothing."""
        said = {"inbound": inbound, "outbound": outbound}
        length = max(len(pcm) for pcm in said.values() if pcm is not None)
        loop, first = asyncio.get_running_loop(), self.position
        begun = loop.time() - first / 1000
        for at in range(0, length, FRAME):
            self.position = first + at * 1000 // 8000
            await asyncio.sleep(max(0.0, begun + (self.position + FRAME_MS) / 1000 - loop.time()))
            for track, pcm in said.items():
                if pcm is not None:
                    await self.frame(track, pcm[at : at + FRAME])
        self.position += FRAME_MS

    async def frame(self, track: str, pcm: Pcm) -> None:
        self.chunks[track] += 1
        payload = encode(Codec.PCMU, np.asarray(pcm, np.int16))
        await self.send(
            media(track, self.chunks[track], self.position, payload, seq=self.next_seq(), stream=self.stream)
        )

    async def press(self, digit: str, track="inbound_track") -> None:
        await self.send(dtmf(digit, track, self.next_seq(), self.stream))

    async def stop(self) -> int:
        """Say stop; returns the close code of the server."""
        await self.send(stop(self.call, self.stream, self.next_seq()))
        return await self.close_code()

    async def read(self) -> int | None:
        """Read until the server closes, as a peer does all the time; returns its close code."""
        async for _ in self.socket:
            pass
        return self.socket.close_code

    async def close_code(self) -> int | None:
        """The server's close code, once it has closed."""
        return await self.reader

    async def cut(self) -> None:
        """The connection is torn, without a close frame."""
        self.socket._response.connection.transport.abort()
        await self.reader


@asynccontextmanager
async def dial(url: str, call: str = CALL, stream: str = STREAM) -> AsyncIterator[Client]:
    async with aiohttp.ClientSession() as session, session.ws_connect(url, autoping=True) as socket:
        client = Client(socket, call, stream)
        yield client
        await socket.close()
        await client.reader


@pytest.fixture(scope="session")
def twilio():
    """The scripted Twilio: message builders and ``dial``."""
    return SimpleNamespace(
        connected=connected, start=start, media=media, dtmf=dtmf, stop=stop, raw=raw, dial=dial, Client=Client,
        CALL=CALL, STREAM=STREAM, ACCOUNT=ACCOUNT, data=Path(__file__).parent / "data",
    )  # fmt: skip
