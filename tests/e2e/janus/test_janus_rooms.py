"""A real Janus, three Chromium participants, a running vcond that is killed and stopped in the middle."""

from __future__ import annotations

import base64
import io
import json
import time
from datetime import datetime
from pathlib import Path

import janus_peer
import numpy as np
import pytest
import soundfile
import soxr
from chromium_kit import browser
from daemon_kit import House
from heard import piecewise
from room_kit import join, leave, served, spoken

from vcond.demo.call import RATE, demo_call
from vcond.media.codecs import Codec, decode
from vcond.testing.sounds import find
from vcond_webrtc.janus.client import Janus
from vcond_webrtc.janus.config import JanusConfig

pytestmark = pytest.mark.peer
NAMES = ("Rita", "Marcus", "Pia")
SPEECH = ((0, 3.5, 8.5), (1, 0.5, 3.5), (0, 20.0, 30.0))
"""Party of the demo call, from and until second: what each says again and again."""


def adapter(janus: janus_peer.Janus) -> str:
    return f"""
[adapters.janus]
url = "{janus.url}"
api_secret = "{janus_peer.API_SECRET}"
admin_key = "{janus_peer.ADMIN_KEY}"
secrets = {{ "{janus_peer.ROOM}" = "{janus_peer.ROOM_SECRET}" }}
pins = {{ "*" = "{janus_peer.ROOM_PIN}" }}
grace = 1
"""


def said(who: int, rate: int) -> np.ndarray:
    party, since, until = SPEECH[who]
    pcm = decode(Codec.PCMU, demo_call().tracks[party])[round(since * RATE) : round(until * RATE)]
    return np.clip(soxr.resample(pcm.astype(np.float64), RATE, rate), -32768, 32767).astype(np.int16)


def microphone(folder: Path, who: int) -> Path:
    file = folder / f"{NAMES[who]}.wav"
    soundfile.write(file, said(who, 48_000), 48_000, subtype="PCM_16")
    return file


def recordings(document: dict) -> list[np.ndarray]:
    """The audio of each party, in the order of the parties; 16 kHz."""
    found = {}
    for dialog in document["dialog"]:
        if dialog["type"] != "recording":
            continue
        data = base64.urlsafe_b64decode(dialog["body"] + "=" * (-len(dialog["body"]) % 4))
        pcm, rate = soundfile.read(io.BytesIO(data), dtype="int16")
        assert rate == 16_000
        (party,) = dialog["parties"]
        found[party] = pcm
    return [found[party] for party in sorted(found)]


async def test_three_participants_one_returns_and_vcond_is_killed_and_stopped_in_between(tmp_path: Path):
    wavs = [microphone(tmp_path, who) for who in range(3)]
    async with (
        janus_peer.running() as janus,
        served() as url,
        browser(wavs[0]) as rita,
        browser(wavs[1]) as marcus,
        browser(wavs[2]) as pia,
    ):
        pages = (rita, marcus, pia)
        for page in pages:
            await page.open(url)
        house = House(tmp_path, extra=adapter(janus), grace=30)
        keys = {"secrets": {"*": janus_peer.ROOM_SECRET}, "admin_key": janus_peer.ADMIN_KEY}
        other = JanusConfig(url=janus.url, api_secret=janus_peer.API_SECRET, **keys)

        async def forwards() -> set[int]:
            """SSRCs of all forwards in the room."""
            async with Janus(other) as ask:
                there = await ask.forwards(janus_peer.ROOM)
            return {forward.ssrc for publisher in there for forward in publisher.forwarders}

        told: list[tuple[str, str, float]] = []
        async with house.running() as vcond:
            for name, page in zip(NAMES, pages, strict=True):
                told.append((name, "join", await join(page, janus, name)))
                await spoken(page, 0.5)
            await spoken(rita, 4)
            told.append(("Marcus", "drop", await leave(marcus)))
            await spoken(marcus, 1)
            told.append(("Marcus", "join", await join(marcus, janus, "Marcus")))
            await spoken(marcus, 4)
            before = await forwards()
            await vcond.kill()
        assert len(before) == 3
        assert await forwards() == before, "the killed one could not remove them"
        async with house.running() as vcond:
            await vcond.until("calls", lambda calls: len(calls) == 1)
            await spoken(rita, 5)
            after = await forwards()
        assert len(after) == 3
        assert not after & before
        assert await forwards() == set(), "who is stopped in order leaves nothing behind"
        async with house.running() as vcond:
            await vcond.until("calls", lambda calls: len(calls) == 1)
            await spoken(rita, 2)
            for name, page in (("Rita", rita), ("Pia", pia)):
                told.append((name, "drop", await leave(page)))
                await spoken(page, 0.5)
            told.append(("Marcus", "drop", time.time()))
            marcus.kill()
            (document,) = await vcond.delivered(1)
        assert await forwards() == set()
    judge(document, told)
    assert not any(name in house.log for name in NAMES)
    assert not any(secret in house.log for secret in (janus_peer.API_SECRET, janus_peer.ADMIN_KEY))


def judge(document: dict, told: list[tuple[str, str, float]]) -> None:
    names = [party.get("name") for party in document["parties"]][:3]
    assert names == list(NAMES)
    dialog = document["dialog"][0]
    history = [
        (names[one["party"]], one["event"], datetime.fromisoformat(one["time"]).timestamp())
        for one in dialog["party_history"]
    ]
    assert [line[:2] for line in history] == [line[:2] for line in told]
    for (name, event, ours), (_, _, theirs) in zip(history, told, strict=True):
        print(f"{name} {event}: {ours - theirs:+.3f} s from what the page says")
        assert abs(ours - theirs) <= 0.3
    tracks = recordings(document)
    for who, name in enumerate(names):
        words = said(who, 16_000)[: 16_000 * 3]
        found = [
            piecewise(words, track, 16_000) if at == who else find(words, track)[0] for at, track in enumerate(tracks)
        ]
        print(f"{name}: correlation {found[who]:.3f}; on the others' tracks at most {max(np.delete(found, who)):.3f}")
        assert found[who] >= 0.9
        assert max(np.delete(found, who)) <= 0.4  # two of the three voices are one person's
    report = next(one["body"] for one in document["attachments"] if one.get("purpose") == "vcond-capture-report")
    report = json.loads(report) if isinstance(report, str) else report
    lost = [party["seconds"]["lost"] for party in report["parties"]]
    print(f"seconds lost: {lost}; interruptions: {[gap['reason'] for gap in report['interruptions']]}")
    assert max(lost) <= 0.5
    assert [gap["reason"] for gap in report["interruptions"]] == ["crash", "stop"]
