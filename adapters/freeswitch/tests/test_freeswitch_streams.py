"""Audio over a WebSocket: mod_audio_stream, mod_audio_fork."""

from __future__ import annotations

import asyncio

import pytest
from fslab import Lab, lab

from vcond.testing.sounds import voice

ANN, BEN = voice(1, 1.5), voice(2, 1.5)


@pytest.mark.parametrize("kind", ["stream", "fork"])
def test_audio_over_a_websocket(kind):
    async def main(it: Lab) -> None:
        async with it.attached():
            one, two = it.switch.call()
            await it.until(lambda: all(c.bugs and c.bugs[0].socket for c in (one, two)))
            await asyncio.sleep(0.3)
            await it.speak((one, ANN), (two, BEN))
            await asyncio.sleep(0.2)
            it.switch.end(one, two)
            call = await it.over(one.uuid)
            assert it.heard(call, 0, ANN) > 0.95
            assert it.heard(call, 1, BEN) > 0.95
            assert it.heard(call, 0, BEN) < 0.3
            assert it.host.drops.total() == 0

    lab(main, tap=kind, url="yes")


@pytest.mark.parametrize("kind", ["stream", "fork"])
def test_a_websocket_that_breaks_is_stopped_and_started_again(kind):
    async def main(it: Lab) -> None:
        async with it.attached():
            one, two = it.switch.call()
            await it.until(lambda: all(c.bugs and c.bugs[0].socket for c in (one, two)))
            broken = one.bugs[0]
            await broken.socket.close()
            await it.until(lambda: one.bugs and one.bugs[0] is not broken and one.bugs[0].socket)
            await it.speak((one, ANN), (two, BEN))
            await asyncio.sleep(0.2)
            it.switch.end(one, two)
            assert it.heard(await it.over(one.uuid), 0, ANN) > 0.95

    lab(main, tap=kind, url="yes")


@pytest.mark.parametrize("kind", ["stream", "fork"])
def test_a_connection_of_which_the_network_forgot_the_other_end_is_made_again(kind):
    async def main(it: Lab) -> None:
        async with it.attached():
            one, two = it.switch.call()
            await it.until(lambda: all(c.bugs and c.bugs[0].socket for c in (one, two)))
            await it.speak((one, ANN), (two, BEN))
            one.bugs[0].stalled = True
            await it.until(lambda: one.bugs and not one.bugs[0].stalled and one.bugs[0].socket, within=10)
            later = voice(3, 1.5)
            await it.speak((one, later), (two, voice(4, 1.5)))
            await asyncio.sleep(0.2)
            it.switch.end(one, two)
            call = await it.over(one.uuid)
            assert it.heard(call, 0, later) > 0.95
            assert it.warnings(call) == ["audio-stopped"]

    lab(main, tap=kind, url="yes")


def test_a_module_that_connects_again_by_itself_is_taken():
    async def main(it: Lab) -> None:
        async with it.attached():
            one, two = it.switch.call()
            await it.until(lambda: all(c.bugs and c.bugs[0].socket for c in (one, two)))
            start = next(line for line in it.switch.commands if " start " in line and one.uuid in line).split(" ")
            old = one.bugs[0]
            old.stalled = True  # its other end is forgotten: no close comes
            socket, old.socket = old.socket, None
            it.switch._spawn(it.switch._connect(one, old, start[4], start[-1], fork=False))
            await it.until(lambda: old.socket not in {None, socket})
            old.stalled = False
            await it.speak((one, ANN), (two, BEN))
            await asyncio.sleep(0.2)
            it.switch.end(one, two)
            call = await it.over(one.uuid)
            assert it.heard(call, 0, ANN) > 0.95
            assert it.warnings(call) == []

    lab(main, tap="stream", url="yes")


@pytest.mark.parametrize("kind", ["stream", "fork"])
def test_audio_that_comes_before_it_is_said_whose_it_is(kind):
    async def main(it: Lab) -> None:
        it.switch.audio_first = True
        async with it.attached():
            one, two = it.switch.call()
            await it.until(lambda: all(c.bugs and c.bugs[0].socket for c in (one, two)))
            await it.speak((one, ANN), (two, BEN))
            await asyncio.sleep(0.2)
            it.switch.end(one, two)
            call = await it.over(one.uuid)
            assert it.heard(call, 0, ANN) > 0.95
            assert it.heard(call, 1, BEN) > 0.95
            assert it.host.audio(call, 0)[:6000].any(), "what came early is there too"
            assert it.host.drops.total() == 0

    lab(main, tap=kind, url="yes")


@pytest.mark.parametrize("kind", ["file", "stream", "fork"])
def test_a_start_that_is_taken_and_gives_nothing_is_tried_again(kind):
    async def main(it: Lab) -> None:
        it.switch.mute_starts = True
        async with it.attached():
            one, two = it.switch.call()
            await it.until(lambda: it.warnings().count("no-audio") == 2, within=5)
            it.switch.mute_starts = False
            await it.until(lambda: all(c.bugs and not c.bugs[0].stalled for c in (one, two)), within=10)
            await asyncio.sleep(0.5)
            await it.speak((one, ANN), (two, BEN))
            await asyncio.sleep(0.2)
            it.switch.end(one, two)
            call = await it.over(one.uuid)
            assert it.heard(call, 0, ANN) > 0.95
            assert it.heard(call, 1, BEN) > 0.95

    lab(main, tap=kind, **({} if kind == "file" else {"url": "yes"}))


@pytest.mark.parametrize(
    ("kind", "subclass"),
    [("stream", "mod_audio_stream::error"), ("fork", "mod_audio_fork::connect_failed")],
)
def test_a_module_that_says_that_it_cannot_connect_is_asked_again(kind, subclass):
    async def main(it: Lab) -> None:
        it.switch.mute_starts = True
        async with it.attached():
            one, two = it.switch.call()
            await it.listened(one, two)
            await it.until(lambda: it.host.calls)
            await asyncio.sleep(0.1)
            first = one.bugs[0]
            it.switch.mute_starts = False
            it.switch.tell("CUSTOM", one, **{"Event-Subclass": subclass})
            await it.until(lambda: one.bugs and one.bugs[0] is not first, within=2)

    lab(main, tap=kind, url="yes")


def test_taps_over_a_websocket_are_removed_when_we_leave():
    async def main(it: Lab) -> None:
        async with it.attached():
            one, two = it.switch.call()
            await it.until(lambda: all(c.bugs and c.bugs[0].socket for c in (one, two)))
        assert not one.bugs
        assert not two.bugs

    lab(main, tap="fork", url="yes")
