"""The page, as people use it: driven by ChromeDriver, against a running vcond."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import soundfile
from aiohttp import web
from daemon_kit import TOKEN, House
from driver_kit import DRIVER, ENTER, SPACE, TAB, Browser, browser, driver
from test_webrtc_browser import attachment, channels, heard, history, link, said

from vcond.demo.accuracy import score, words
from vcond.demo.call import demo_call
from vcond.demo.summary import turns
from vcond.testing.needs import needs
from vcond.testing.sounds import find

pytestmark = pytest.mark.peer
ADAPTER = "[adapters.webrtc]\nmedia_timeout = 20\ngrace = 30\n"
TURNS = demo_call().turns
RITA, SECRET, LATER = TURNS[1], TURNS[3], TURNS[8]
MARCUS = TURNS[0]
RATE = 48_000
BEFORE, PAUSE, SPOKEN, RESUME, AFTER = 1.0, 7.5, 10.0, 15.0, 16.5
"""Seconds of Rita's microphone: her first words, the pause, her secret in it, the end of the pause, her last words."""
BEGAN = """const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
    navigator.mediaDevices.getUserMedia = async (wanted) => {
        const stream = await open(wanted); window.began = performance.now(); return stream; };"""


@pytest.fixture(autouse=True)
def chromedriver_is_here():
    needs(DRIVER.exists(), f"{DRIVER} is missing: apt-get install chromium-driver")


def microphone(file: Path, parts: list[tuple[float, int]], seconds: float) -> Path:
    """Turns of the demo call at seconds of a file, as Chromium takes it: 48 kHz mono."""
    pcm = np.random.default_rng(1).integers(-3, 4, round(seconds * RATE)).astype(np.int16)
    for at, number in parts:
        turn = TURNS[number]
        spoken = said(turn.party, turn.start, turn.end, RATE)
        pcm[round(at * RATE) : round(at * RATE) + len(spoken)] += spoken
    soundfile.write(file, pcm, RATE, subtype="PCM_16")
    return file


async def accessible(page: Browser, wanted: dict[str, tuple[str, str]]) -> None:
    """Every control says what it is and what it is called."""
    assert {name: await page.role_and_label(name) for name in wanted} == wanted


async def pressed(page: Browser, name: str) -> bool:
    return bool(await page.run("return document.getElementById(arguments[0]).classList.contains('on')", name))


async def passed(page: Browser, seconds: float) -> None:
    """Wait until the microphone has played so much."""
    await page.until(f"performance.now() - window.began > {seconds * 1000}")


@asynccontextmanager
async def serving(handler, port: int) -> AsyncIterator[None]:
    """A web server of somebody else."""
    app = web.Application()
    app.router.add_get("/", handler)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        yield
    finally:
        await runner.cleanup()


class FixedHouse(House):
    """Serves at the same port after every start."""

    port = 0

    def write(self) -> None:
        super().write()
        self.config.write_text(self.config.read_text().replace("127.0.0.1:0", f"127.0.0.1:{self.port}"))


def understood(turn, text: str) -> float:
    judged = score(turn.text, text)
    return judged.right / judged.spoken


@pytest.mark.speech
async def test_two_people_talk_pause_and_read_what_is_said(tmp_path: Path):
    house = House(tmp_path, extra=ADAPTER, engine="whisper")
    wavs = [
        microphone(tmp_path / "rita.wav", [(BEFORE, 1), (SPOKEN, 3), (AFTER, 8)], 60),
        microphone(tmp_path / "marcus.wav", [(BEFORE, 0)], 60),
    ]
    async with (
        house.running() as vcond,
        driver() as url,
        browser(url, wavs[0]) as rita,
        browser(url, wavs[1]) as marcus,
    ):
        await rita.open(link(vcond, call="harbor", role="customer"))
        await marcus.open(link(vcond, call="harbor", name="Marcus", role="agent"))
        await rita.run(BEGAN)

        # Rita has a keyboard only.
        await accessible(rita, {
            "name": ("textbox", "Your name"), "start": ("button", "Start"), "status": ("status", ""),
            "consent": ("checkbox", "I agree that this conversation is recorded and written down."),
        })  # fmt: skip
        await rita.keys(TAB)
        assert await rita.focused() == "name"
        await rita.keys(*"Rita")
        await rita.keys(TAB)
        assert await rita.focused() == "consent"
        await rita.keys(TAB)
        assert await rita.focused() == "start"
        await rita.keys(ENTER)  # and has not agreed
        assert await rita.run("return window.began") is None
        await rita.run("document.getElementById('consent').focus()")
        await rita.keys(SPACE, TAB, ENTER)
        await rita.says("status", "Connected.")
        assert await rita.focused() == "mute"
        await marcus.click("consent")
        await marcus.click("start")
        await marcus.says("status", "Connected.")
        await accessible(rita, {
            "mute": ("button", "Mute microphone"), "pause": ("button", "Pause recording"), "hangup": ("button", "Hang up"),
            "level": ("meter", "Your microphone"), "recording": ("status", ""), "problem": ("alert", ""),
        })  # fmt: skip
        await rita.until("document.getElementById('level').value > -45")
        assert await rita.text("recording") == "This call is being recorded."

        await passed(rita, PAUSE)
        await rita.keys(TAB)
        assert await rita.focused() == "pause"
        await rita.keys(ENTER)
        await rita.says("recording", "Recording is paused by you.")
        await marcus.says("recording", "Recording is paused by Rita.")
        assert (await pressed(rita, "pause"), await pressed(marcus, "pause")) == (True, False)
        assert (await rita.text("pause"), await marcus.text("pause")) == ("Resume recording", "Pause recording")
        assert await rita.text("title") == "In the call"
        for muted in (True, False):
            await marcus.click("mute")
            assert await pressed(marcus, "mute") is muted
            assert await marcus.text("mute") == ("Unmute microphone" if muted else "Mute microphone")
            await marcus.says("status", "muted" if muted else "open")
        # what was said before the pause is written down in it
        for page in (rita, marcus):
            await page.says("captions", "Rita: ")
            await page.says("captions", "Marcus: ")
        await accessible(rita, {"captions": ("log", "Captions")})
        picture = await rita.picture(tmp_path / "paused.png")
        assert picture.std() > 5, "the picture is blank"
        assert len(np.unique(picture)) > 20

        await passed(rita, RESUME)
        await rita.keys(SPACE)
        for page in (rita, marcus):
            await page.says("recording", "This call is being recorded.")
        await passed(rita, AFTER + LATER.end - LATER.start)
        for page in (rita, marcus):
            await page.until("(document.getElementById('captions').textContent.match(/Rita: /g) || []).length > 1")
        shown = [await page.text("captions") for page in (rita, marcus)]
        await rita.keys(TAB)
        assert await rita.focused() == "hangup"
        await rita.keys(ENTER)
        await rita.says("status", "You hung up. You may close this page.")
        await marcus.click("hangup")
        await marcus.says("status", "You hung up. You may close this page.")
        (document,) = await vcond.delivered(1)

    secrets = set(words(SECRET.text)) - {word for turn in (RITA, LATER, MARCUS) for word in words(turn.text)}
    assert {"thursday", "driver", "earlier"} <= secrets
    for text in shown:
        print("captions:", text.replace("\n", " / "))
        assert min(understood(turn, text) for turn in (RITA, MARCUS)) >= 0.8, text
        assert not {"thursday", "driver", "earlier"} & set(words(text))
    assert shown[0] == shown[1]
    _check_record(document, secrets)
    assert "Rita" not in house.log


def _check_record(document: dict, secrets: set[str]) -> None:
    assert [party.get("name") for party in document["parties"][:2]] == ["Rita", "Marcus"]
    assert sorted(history(document)) == [
        (0, "drop"),
        (0, "join"),
        *((1, what) for what in ("drop", "join", "mute", "unmute")),
    ]
    for turn in (RITA, LATER, MARCUS):
        text = " ".join(one.text for one in turns(document) if one.party == turn.party)
        found = heard(document, turn.party, turn.start, turn.end)
        print(f"{understood(turn, text):.2f} of the words, correlation {found[turn.party]:.3f}: {turn.text}")
        assert understood(turn, text) >= 0.85, text
        assert found[turn.party] >= 0.9
        assert not {"thursday", "driver", "earlier"} & secrets & set(words(text))
    assert find(said(0, SECRET.start, SECRET.end, 16_000), channels(document)[0])[0] <= 0.3
    report = attachment(document, "vcond-capture-report")
    (pause,) = report["pauses"]
    start, stop, zero = (datetime.fromisoformat(at) for at in (pause["start"], pause["stop"], report["start"]))
    length = (stop - start).total_seconds()
    assert (pause["by"], pause["party"]) == ("party", 0)
    assert SECRET.end - SECRET.start <= length <= 20
    for party, pcm in enumerate(channels(document)):
        since = round((start - zero).total_seconds() * 16_000)
        silent = pcm[since + 16 : since + round(length * 16_000) - 16]  # dates are whole milliseconds
        assert not silent.any()
        assert abs(report["parties"][party]["seconds"]["paused"] - length) < 0.01
    facts = {(fact["name"], fact.get("party")): fact["value"] for fact in attachment(document, "vcond-facts")}
    for party in (0, 1):
        assert "recorded" in facts["consent", party]
        assert -20 < (datetime.fromisoformat(facts["consent.at", party]) - zero).total_seconds() < 10


async def test_a_page_comes_back_by_itself_after_vcond_was_killed(tmp_path: Path, unused_tcp_port: int):
    house = FixedHouse(tmp_path, extra=ADAPTER, grace=60)
    house.port = unused_tcp_port
    wav = microphone(tmp_path / "rita.wav", [(0.5, 1)], 20)
    async with driver() as url, browser(url, wav) as rita:
        async with house.running() as vcond:
            await rita.open(link(vcond, call="harbor", name="Rita"))
            await rita.click("consent")
            await rita.click("start")
            await rita.says("status", "Connected.")
            await rita.click("pause")
            await rita.says("recording", "Recording is paused by you.")
            await rita.click("pause")
            await rita.says("recording", "This call is being recorded.")
            await vcond.kill()
        await rita.says("status", "Connecting again.")
        async with house.running() as vcond:
            await rita.says("status", "Connected.")
            await rita.until("document.getElementById('level').value > -45")
            await rita.click("pause")
            await rita.says("recording", "Recording is paused by you.")
            await rita.click("hangup")
            await rita.says("status", "You hung up. You may close this page.")
            (document,) = await vcond.delivered(1)
        await rita.click("start")
        await rita.says("problem", "The server cannot be reached.")
    report = attachment(document, "vcond-capture-report")
    assert [party.get("name") for party in document["parties"]] == ["Rita", "edge.example.com"]
    assert len(report["interruptions"]) == 1
    assert len(report["pauses"]) == 2
    assert len(report["parties"][0]["tracks"]) == 2


async def test_who_paused_and_comes_back_into_another_call_is_still_paused(tmp_path: Path, unused_tcp_port: int):
    house = FixedHouse(tmp_path, extra=ADAPTER)
    house.port = unused_tcp_port
    wav = microphone(tmp_path / "rita.wav", [(0.5, 1)], 20)
    async with driver() as url, browser(url, wav) as rita:
        async with house.running() as vcond:
            await rita.open(link(vcond, call="harbor", name="Rita"))
            await rita.click("consent")
            await rita.click("start")
            await rita.says("status", "Connected.")
            await rita.click("pause")
            await rita.says("recording", "Recording is paused by you.")
            await vcond.kill()
        shutil.rmtree(house.state)  # the call that was paused is no more
        await rita.says("status", "Connecting again.")
        async with house.running() as vcond:
            await rita.says("status", "Connected.")
            await rita.until("document.getElementById('level').value > -45")
            await rita.says("recording", "Recording is paused by you.")
            await rita.click("hangup")
            await rita.says("status", "You hung up. You may close this page.")
            (document,) = await vcond.delivered(1)
    assert len(attachment(document, "vcond-capture-report")["pauses"]) == 1
    assert not any("body" in dialog for dialog in document["dialog"]), "there is nothing that was kept"


PHONE = """<!doctype html><title>A softphone</title><script src="{base}/webrtc/publish.js"></script><script>
const audio = new AudioContext();
function sounding(hertz) {{
  const sound = audio.createOscillator(), out = audio.createMediaStreamDestination();
  sound.frequency.value = hertz;
  sound.connect(out);
  sound.start();
  return out.stream;
}}
let state = null;
const common = {{ endpoint: "{base}/whip", token: "{token}" }};
const mine = vcond.publish({{ ...common, stream: sounding(440), who: {{ call: "phone", party: "a", name: "Marcus" }} }});
const far = vcond.publish({{
  ...common, stream: sounding(880), who: {{ call: "phone", party: "b", tel: "+15550100" }}, captions: false,
}});
mine.addEventListener("call", (event) => {{ state = event.detail; }});
</script>"""


async def test_a_softphone_of_another_origin_publishes_both_sides(tmp_path: Path, unused_tcp_port: int):
    origin = f"http://127.0.0.1:{unused_tcp_port}"
    house = House(tmp_path, extra=f'{ADAPTER}origins = ["{origin}"]\n')
    wav = microphone(tmp_path / "nobody.wav", [], 2)
    async with house.running() as vcond, driver() as url, browser(url, wav) as phone:
        html = PHONE.format(base=vcond.base, token=TOKEN)

        async def page(_: web.Request) -> web.Response:
            return web.Response(text=html, content_type="text/html")

        async with serving(page, unused_tcp_port):
            await phone.open(origin)
            assert await phone.wait(
                "const done = arguments[0]; Promise.all([mine.ready, far.ready]).then(() => done(1))"
            )
            await phone.until("state && state.parties.filter((party) => party.here).length === 2")
            await phone.until(
                "window.since ? performance.now() - since > 1500 : (window.since = performance.now(), false)"
            )
            assert await phone.wait("const done = arguments[0]; mine.pause().then(done)")
            await phone.until("state.paused.length === 1 && state.resumable")
            assert await phone.wait("const done = arguments[0]; far.resume().then((done_) => done(!done_))")
            (call,) = await vcond.ask("calls")
            assert (await vcond.ask("pause", "POST", call=call["call"], reason="card"))["paused"] is True
            await phone.until("state.paused.length === 2 && !state.resumable")
            assert await phone.wait("const done = arguments[0]; mine.resume().then((done_) => done(!done_))")
            await phone.until("state.paused.length === 1 && state.paused[0] === null && !state.resumable")
            assert (await vcond.ask("resume", "POST", call=call["call"]))["paused"] is False
            await phone.until("state.paused.length === 0")
            assert await phone.run("return state.parties.map((party) => party.name).sort()") == ["", "Marcus"]
            await phone.run("mine.hangUp(); far.hangUp()")
            (document,) = await vcond.delivered(1)
    told = [(party.get("name"), party.get("tel")) for party in document["parties"][:2]]
    assert sorted(told, key=str) == [("Marcus", None), (None, "+15550100")]
    for (name, _), pcm in zip(told, channels(document), strict=True):
        spectrum = np.abs(np.fft.rfft(pcm[pcm.nonzero()]))
        hertz = spectrum.argmax() * 16_000 / np.count_nonzero(pcm)
        assert abs(hertz - (440 if name else 880)) < 10
