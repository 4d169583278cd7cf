"""WHIP clients that encoders are built on speak a part of the demo call into a running vcond."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import os
import shutil
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile
import soxr
from daemon_kit import LIMIT, TOKEN, House

from vcond.demo.call import RATE, demo_call
from vcond.media.codecs import Codec, decode
from vcond.testing.needs import needs
from vcond.testing.sounds import find

pytestmark = pytest.mark.peer
TOP = Path(__file__).parents[3]
CLIENTS = TOP / "tests" / "peers" / "whip"
INSTALLED = TOP / ".peers" / "whip"
ADAPTER = """
[adapters.webrtc]
grace = 1
"""
SECONDS = 12
"""What is sent; the last three seconds are silent, so that no word is on its way when the client hangs up."""
WORDS = np.arange(4.0, 8.5, 0.5)
"""When the caller speaks: the beginnings of pieces of half a second."""
FRAME = 960
"""Samples of 20 ms."""


def spoken(since: float, until: float, rate: int) -> np.ndarray:
    """What the caller of the demo call says."""
    pcm = decode(Codec.PCMU, demo_call().tracks[0])[round(since * RATE) : round(until * RATE)]
    return np.clip(soxr.resample(pcm.astype(np.float64), RATE, rate), -32768, 32767).astype(np.int16)


def opus(pcm: np.ndarray) -> bytes:
    """Packets of 20 ms, each behind its length in two bytes. ``pcm``: 48 kHz mono."""
    encoder = av.CodecContext.create("libopus", "w")
    encoder.sample_rate, encoder.layout, encoder.format = 48_000, "mono", "s16"
    packets = []
    for at in range(0, len(pcm), FRAME):
        frame = av.AudioFrame.from_ndarray(pcm[np.newaxis, at : at + FRAME], format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 48_000, at, Fraction(1, 48_000)
        packets += map(bytes, encoder.encode(frame))
    return b"".join(len(packet).to_bytes(2, "big") + packet for packet in packets)


def libdatachannel(folder: Path) -> list[str]:
    """Its program, as far as the address; the library is that of npm's node-datachannel."""
    needs((INSTALLED / ".ready").exists(), "libdatachannel is not installed in .peers/whip: tools/setup.sh test")
    (folder / "opus").write_bytes(opus(spoken(0, SECONDS, 48_000)))
    return [str(shutil.which("node")), str(CLIENTS / "libdatachannel.mjs"), str(folder / "opus")]


def ffmpeg(folder: Path) -> list[str]:
    needs("whip" in av.formats_available, "PyAV's FFmpeg has no whip muxer: FFmpeg 8 is needed")
    needs(shutil.which("openssl"), "openssl is missing: apt-get install openssl")
    (folder / "pcm").write_bytes(spoken(0, SECONDS, 48_000).tobytes())
    return [sys.executable, str(CLIENTS / "ffmpeg_whip.py"), str(folder / "pcm")]


async def published(command: list[str], url: str) -> dict[str, Any]:
    """What the client says that it did, once it has ended."""
    client = await asyncio.create_subprocess_exec(
        *command, url, env={**os.environ, "WHIP_PEER": str(INSTALLED), "WHIP_TOKEN": TOKEN},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(SECONDS + LIMIT):
            said, complaints = await client.communicate()
    except TimeoutError:
        client.kill()
        await client.communicate()
        raise
    assert client.returncode == 0, complaints.decode()
    told = json.loads(said)
    print(told)
    return told


def heard(document: dict[str, Any]) -> np.ndarray:
    """The one party's audio, 16 kHz."""
    (dialog,) = document["dialog"]
    body = dialog["body"]
    pcm, rate = soundfile.read(io.BytesIO(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))), dtype="int16")
    assert (rate, pcm.ndim) == (16_000, 1)
    return pcm


def report(document: dict[str, Any]) -> dict[str, Any]:
    body = next(one for one in document["attachments"] if one.get("purpose") == "vcond-capture-report")["body"]
    return json.loads(body) if isinstance(body, str) else body


@pytest.mark.parametrize("client", [libdatachannel, ffmpeg], ids=lambda client: client.__name__)
async def test_what_a_client_sends_is_what_is_recorded_and_its_delete_ends_the_call(tmp_path: Path, client):
    command = client(tmp_path)
    house = House(tmp_path, extra=ADAPTER)
    async with house.running() as vcond:
        told = await published(command, f"{vcond.base}/whip?call=harbor&name=Rita&role=customer")
        (document,) = await vcond.delivered(1)
        assert await vcond.ask("calls") == []
    assert told["sent"] >= SECONDS * 50
    assert told.get("deleted", 200) == 200
    sound = heard(document)
    found = [find(spoken(at, at + 0.5, 16_000), sound) for at in WORDS]
    print([f"{match:.3f} at {lag / 16_000:.3f}" for match, lag in found])
    # a correction of the clocks may fall into a piece when the machine stands still for seconds
    assert sum(match >= 0.9 for match, _ in found) >= len(WORDS) - 2
    lags = [lag for match, lag in found if match >= 0.9]
    assert lags == sorted(lags)
    (dialog,) = document["dialog"]
    assert (dialog["type"], dialog.get("disposition")) == ("recording", None)
    assert [(one["party"], one["event"]) for one in dialog["party_history"]] == [(0, "join"), (0, "drop")]
    assert (document["parties"][0]["name"], document["parties"][0]["role"]) == ("Rita", "customer")
    assert report(document)["warnings"] == [], "publisher-lost would say that there was no DELETE"
    assert '"publisher left"' in house.log
    assert '"outcome": "answered"' in house.log
    assert TOKEN not in house.log
