"""Real Chromium publishes a spoken call into a running vcond."""

from __future__ import annotations

import base64
import hmac
import io
import json
import time
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pytest
import soundfile
import soxr
from chromium_kit import Page, browser
from daemon_kit import TOKEN, House, Running
from heard import piecewise

from vcond.demo.accuracy import score
from vcond.demo.call import RATE, demo_call
from vcond.demo.summary import turns
from vcond.media.codecs import Codec, decode
from vcond.testing.sounds import find

pytestmark = pytest.mark.peer
SECRET = "a secret of the tests that has 32 bytes and more"
ADAPTER = f"""
[adapters.webrtc]
secret = "{SECRET}"
media_timeout = 2
grace = 1
"""
NAMES = ("Rita", "Marcus")


def said(party: int, since: float, until: float, rate: int) -> np.ndarray:
    pcm = decode(Codec.PCMU, demo_call().tracks[party])[round(since * RATE) : round(until * RATE)]
    return np.clip(soxr.resample(pcm.astype(np.float64), RATE, rate), -32768, 32767).astype(np.int16)


def microphone(folder: Path, party: int, until: float) -> Path:
    """What a party says in the demo call from its beginning, as Chromium takes it: 48 kHz mono."""
    file = folder / f"{NAMES[party]}.wav"
    soundfile.write(file, said(party, 0, until, 48_000), 48_000, subtype="PCM_16")
    return file


def link(vcond: Running, token: str = TOKEN, **words: str) -> str:
    return f"{vcond.base}/webrtc#" + urlencode({"token": token, "processing": "off", **words})


async def start(page: Page) -> None:
    await page.run("document.getElementById('consent').click()")
    await page.run("document.getElementById('start').click()")


async def connected(page: Page) -> None:
    await page.until("document.getElementById('status').textContent.startsWith('Connected.')")


async def spoken(page: Page, seconds: float) -> None:
    """So much time passes in the page."""
    await page.run(f"new Promise((done) => setTimeout(done, {seconds * 1000}))")


async def hang_up(page: Page) -> None:
    await page.run("document.getElementById('hangup').click()")
    await page.until("document.getElementById('status').textContent === 'You hung up. You may close this page.'")


def channels(document: dict) -> list[np.ndarray]:
    """The audio of each party, in the order of the one recording's channels; 16 kHz."""
    (dialog,) = document["dialog"]
    body = dialog["body"]
    data = base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))
    pcm, rate = soundfile.read(io.BytesIO(data), dtype="int16", always_2d=True)
    assert rate == 16_000
    return [pcm[:, channel] for channel in range(pcm.shape[1])]


def token(**claims: object) -> str:
    """A JWT as an application makes it."""
    parts = [{"alg": "HS256", "typ": "JWT"}, {"exp": time.time() + 60, "call": "signed", **claims}]
    text = b".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in parts)
    mac = base64.urlsafe_b64encode(hmac.digest(SECRET.encode(), text, "sha256")).rstrip(b"=")
    return (text + b"." + mac).decode()


def attachment(document: dict, purpose: str) -> Any:
    body = next(one for one in document["attachments"] if one.get("purpose") == purpose)["body"]
    return json.loads(body) if isinstance(body, str) else body


def history(document: dict) -> list[tuple[int, str]]:
    return [(one["party"], one["event"]) for one in document["dialog"][0]["party_history"]]


def heard(document: dict, party: int, since: float, until: float) -> list[float]:
    """How well a party's words are found on each party's track: on its own piece by piece, however late, else as a whole."""
    words = said(party, since, until, 16_000)
    return [
        piecewise(words, pcm, 16_000) if channel == party else find(words, pcm)[0]
        for channel, pcm in enumerate(channels(document))
    ]


async def test_two_pages_are_two_parties_of_one_call(tmp_path: Path):
    house = House(tmp_path, extra=ADAPTER)
    wavs = [microphone(tmp_path, party, 9.5) for party in (0, 1)]
    async with house.running() as vcond, browser(wavs[0]) as rita, browser(wavs[1]) as marcus:
        await rita.open(link(vcond, call="harbor", name="Rita", role="customer", tel="+15550100"))
        await marcus.open(link(vcond, call="harbor", name="Marcus", role="agent"))
        await start(rita)
        await connected(rita)
        await start(marcus)
        await connected(marcus)
        await rita.until("document.getElementById('level').value > -45")
        await spoken(marcus, 12)
        await hang_up(rita)
        await spoken(marcus, 0.5)
        await hang_up(marcus)
        (document,) = await vcond.delivered(1)
    told = [(party.get("name"), party.get("role"), party.get("tel")) for party in document["parties"][:2]]
    assert told == [("Rita", "customer", "+15550100"), ("Marcus", "agent", None)]
    for party, (since, until) in enumerate(((4.0, 8.5), (0.6, 3.0))):
        found = heard(document, party, since, until)
        print(f"{NAMES[party]}: correlation {found[party]:.3f}, on the other's track {found[1 - party]:.3f}")
        assert found[party] >= 0.9
        assert found[1 - party] <= 0.3
    assert history(document) == [(0, "join"), (1, "join"), (0, "drop"), (1, "drop")]
    facts = {(fact["name"], fact.get("party")): fact["value"] for fact in attachment(document, "vcond-facts")}
    for party in (0, 1):
        assert "recorded" in facts["consent", party]
        agreed = datetime.fromisoformat(facts["consent.at", party])
        assert abs((agreed - datetime.fromisoformat(document["dialog"][0]["start"])).total_seconds()) < 30
    report = attachment(document, "vcond-capture-report")
    assert report["complete"] is True
    assert all(party["seconds"]["lost"] == 0 for party in report["parties"]), report
    assert NAMES[0] not in house.log
    assert TOKEN not in house.log


async def test_a_killed_browser_ends_the_call_where_it_was_heard_last(tmp_path: Path):
    house = House(tmp_path, extra=ADAPTER)
    async with house.running() as vcond, browser(microphone(tmp_path, 0, 9)) as rita:
        await rita.open(link(vcond, call="harbor"))
        await start(rita)
        await connected(rita)
        await spoken(rita, 3)
        rita.kill()
        killed = time.time()
        (document,) = await vcond.delivered(1)
    report = attachment(document, "vcond-capture-report")
    assert [warning["code"] for warning in report["warnings"]] == ["publisher-lost"]
    # 2 s until it is noticed and 1 s of grace are no part of the call
    call = document["dialog"][0]
    assert call["duration"] >= 2.5
    assert datetime.fromisoformat(call["start"]).timestamp() + call["duration"] <= killed + 0.5


async def test_a_reload_is_the_same_party_in_the_same_call(tmp_path: Path):
    house = House(tmp_path, extra=ADAPTER.replace("grace = 1", "grace = 30"))
    async with house.running() as vcond, browser(microphone(tmp_path, 0, 9)) as rita:
        await rita.open(link(vcond, call="harbor", name="Rita"))
        await start(rita)
        await connected(rita)
        await spoken(rita, 2)
        await rita.send("Page.reload")
        await rita.until("document.readyState === 'complete' && !document.getElementById('before').hidden")
        await start(rita)
        await connected(rita)
        await spoken(rita, 2)
        await hang_up(rita)
        (document,) = await vcond.delivered(1)
    report = attachment(document, "vcond-capture-report")
    (party,) = report["parties"]
    assert len(party["tracks"]) == 2
    assert history(document) == [(0, "join"), (0, "drop"), (0, "join"), (0, "drop")]


async def test_a_wrong_or_expired_token_and_a_denied_microphone_are_said_on_the_page(tmp_path: Path):
    house = House(tmp_path, extra=ADAPTER)
    refused = "Your link has expired or is not right."
    async with house.running() as vcond:
        async with browser(microphone(tmp_path, 0, 2)) as rita:
            for wrong in ("wrong", token(exp=time.time() - 1), token()[:-4] + "AAAA"):
                await rita.open("about:blank#")
                await rita.open(link(vcond, wrong))
                await start(rita)
                await rita.until(f"document.getElementById('problem').textContent.startsWith('{refused}')")
            await rita.open("about:blank#")
            await rita.open(link(vcond, token(name="Rita", sub="r1")))
            await start(rita)
            await connected(rita)
            await spoken(rita, 1)
            await hang_up(rita)
        async with browser(None, allowed=False) as marcus:
            await marcus.open(link(vcond, call="harbor"))
            await start(marcus)
            await marcus.until("document.getElementById('problem').textContent.includes('denied')")
            assert await marcus.focused() != "mute"
        (document,) = await vcond.delivered(1)
        assert await vcond.ask("calls") == []
    assert document["parties"][0]["name"] == "Rita"
    assert house.log.count("publisher refused") == 3


@pytest.mark.speech
async def test_what_two_browsers_say_is_transcribed(tmp_path: Path):
    house = House(tmp_path, extra=ADAPTER, engine="whisper")
    wavs = [microphone(tmp_path, party, 20) for party in (0, 1)]
    async with house.running() as vcond, browser(wavs[0]) as rita, browser(wavs[1]) as marcus:
        for page, name in ((rita, "Rita"), (marcus, "Marcus")):
            await page.open(link(vcond, call="harbor", name=name))
            await start(page)
        for page in (rita, marcus):
            await connected(page)
        await spoken(rita, 20)
        for page in (rita, marcus):
            await hang_up(page)
        (document,) = await vcond.delivered(1)
    names = [party.get("name") for party in document["parties"]]
    for who, name in enumerate(NAMES):
        spoken_words = " ".join(turn.text for turn in demo_call().turns if turn.party == who and turn.end <= 19.5)
        text = " ".join(turn.text for turn in turns(document) if turn.party == names.index(name))
        judged = score(spoken_words, text)
        print(f"{name}: {judged.right} of {judged.spoken} words, {judged.extra} others")
        assert judged.share >= 0.85, text
