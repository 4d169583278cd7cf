"""jambonz's recording client and Debian's rtpengine hand a call of two phones over, which is recorded."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from vcond.sdk.contract import Dtmf
from vcond.testing.host import MemoryHost
from vcond.testing.sounds import find, voice

HERE = Path(__file__).parent
for folder in (HERE, HERE.parents[2] / "adapters" / "siprec" / "tests"):
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
from rtpengine_kit import CALLEE, CALLER, connect, jambonz, rtpengine  # noqa: E402 - after the path is set
from siprec_client import Leg, attached, facts, sip_port, warnings  # noqa: E402 - likewise

pytestmark = pytest.mark.peer
PAUSE = np.zeros(2400, np.int16)
"""0.3 s in which nothing is said, and all that was said before arrives."""
CLOSE = 320
"""40 ms."""


async def talk(phones, *seeds, seconds=2.0) -> list[int]:
    """Each says something of its own; the timestamps at which they began."""
    began = [phone.stamp for phone in phones]
    words = [np.concatenate([voice(seed, seconds), PAUSE]) for seed in seeds]
    await asyncio.gather(*(phone.speak(said) for phone, said in zip(phones, words, strict=True)))
    return began


@pytest.mark.parametrize(
    ("suite", "protocol"),
    [
        ("", "RTP/AVP"),
        ("AES_CM_128_HMAC_SHA1_80", "RTP/SAVP"),
        ("AES_256_CM_HMAC_SHA1_80", "RTP/SAVP"),
        ("", "UDP/TLS/RTP/SAVP"),
    ],
    ids=["plain", "sdes", "sdes of 256 bits", "dtls"],
)
async def test_both_phones_are_recorded_what_is_said_in_a_pause_is_not_and_keys_are_known(tmp_path, suite, protocol):
    phones = [Leg(None, suite=suite, burst=1) for _ in range(2)]
    for phone in phones:
        phone.direction = "sendrecv"
    try:
        async with rtpengine(tmp_path) as ng, MemoryHost("siprec") as host, attached(host, join_wait=0):
            await connect(ng, *phones)
            async with jambonz(ng, sip_port(host), protocol) as recorder:
                await recorder.do("start")
                for _ in range(20):  # rtpengine sends what a phone says once it knows where that phone sends from
                    await talk(phones, 7, 8, seconds=0.2)
                    if host.calls and all(host.audio(host.calls[0], party, rate=8000).any() for party in range(2)):
                        break
                first = await talk(phones, 1, 2)
                await recorder.do("pause")
                await talk(phones, 3, 4, seconds=0.5)
                await recorder.do("resume")
                second = await talk(phones, 5, 6)
                await phones[1].press("5")
                await recorder.do("stop")
                await host.until(lambda: host.calls and host.calls[0].over, within=30, what="the end")
    finally:
        for phone in phones:
            await phone.stop()
    (call,) = host.calls
    assert re.findall(r"^m=audio \d+ (\S+)", recorder.answers[0], re.MULTILINE) == [protocol] * 2
    assert re.findall(r"^a=crypto:\d+ (\S+)", recorder.answers[0], re.MULTILINE) == [suite] * 2 * bool(suite)
    assert [party.told.tel or party.told.sip for party in call.state.parties] == ["+15550100", "+15550199"]
    lines = [(CALLER, CALLEE).index(tag) for tag in recorder.tags]
    assert sorted(lines) == [0, 1]
    assert [(event.party, event.button) for event in call.events if isinstance(event, Dtmf)] == [(lines.index(1), "5")]
    assert facts(call)["siprec.extension.callsid"] == "call-sid-1"
    assert len(call.state.pauses) == 1
    assert {*warnings(call)} <= {"audio-while-inactive"}, "jambonz lets audio through before it says so"
    for party, phone in enumerate(lines):
        sound = host.audio(call, party, rate=8000)
        (own, began), (other, _), (secret, _), (later, ended) = (
            find(voice(seed, seconds), sound)
            for seed, seconds in ((1 + phone, 2.0), (2 - phone, 2.0), (3 + phone, 0.5), (5 + phone, 2.0))
        )
        print(f"party {party}: own {own:.3f} {later:.3f}, other {other:.3f}, paused {secret:.3f}")
        assert min(own, later) >= 0.95
        assert max(other, secret) <= 0.2
        assert abs((ended - began) - (second[phone] - first[phone])) <= CLOSE
