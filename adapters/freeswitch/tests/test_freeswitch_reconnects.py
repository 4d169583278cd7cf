"""Which connection of a module counts, when what is said of several comes in any order (taps ``stream`` and ``fork``)."""

from __future__ import annotations

import asyncio
import json

import aiohttp
import pytest
from fslab import Lab, lab

from vcond.testing.sounds import voice

ANN, BEN, LATER = voice(1, 1.5), voice(2, 1.5), voice(3, 1.5)


async def say(socket: aiohttp.ClientWebSocketResponse, value: int) -> None:
    """Frames that are known again."""
    for _ in range(20):
        if not socket.closed:
            await socket.send_bytes(value.to_bytes(2, "little") * 160)
        await asyncio.sleep(0.02)


def came(it: Lab, value: int) -> bool:
    return bool((it.host.audio(it.host.calls[0], 0, rate=8000) == value).any())


def starts(it: Lab, channel) -> list[list[str]]:
    return [line.split(" ") for line in it.switch.commands if " start " in line and channel.uuid in line]


async def both_connected(it: Lab, *channels) -> None:
    await it.until(lambda: all(c.bugs and c.bugs[0].socket and not c.bugs[0].stalled for c in channels), within=20)


@pytest.mark.parametrize(
    ("kind", "after", "slow"),
    [("stream", 0.0, 0.0), ("stream", 0.3, 0.8), ("stream", 0.7, 0.0), ("fork", 2.0, 0.8)],
)
def test_the_late_end_of_a_connection_that_was_replaced_costs_the_new_one_nothing(kind, after, slow):
    async def main(it: Lab) -> None:
        it.switch.late_goodbye, it.switch.slow_connect = after, slow
        async with it.attached():
            one, two = it.switch.call()
            await both_connected(it, one, two)
            await asyncio.sleep(0.2)
            one.bugs[0].stalled = True
            await asyncio.sleep(1)
            await both_connected(it, one)
            await asyncio.sleep(3 * after + 2)
            assert len(starts(it, one)) == 2, "one for the call, one for the connection that gave nothing"
            assert len(starts(it, two)) == 1
            await it.speak((one, LATER), (two, BEN))
            await asyncio.sleep(0.2)
            it.switch.end(one, two)
            call = await it.over(one.uuid)
            assert it.heard(call, 0, LATER) > 0.95
            assert it.warnings(call) == ["audio-stopped"]

    lab(main, tap=kind, url="yes", stall_seconds=1.0)


@pytest.mark.parametrize("word", ["disconnect", "error"])
def test_a_late_end_while_the_party_holds_is_not_taken_for_that_of_the_connection_there(word):
    async def main(it: Lab) -> None:
        async with it.attached():
            one, two = it.switch.call()
            await both_connected(it, one, two)
            it.switch.hold(one, on=True)
            for _ in range(3):
                it.switch.tell("CUSTOM", one, **{"Event-Subclass": f"mod_audio_stream::{word}"})
                await asyncio.sleep(0.7)
            it.switch.hold(one, on=False)
            await it.speak((one, LATER), (two, BEN))
            await asyncio.sleep(0.2)
            it.switch.end(one, two)
            call = await it.over(one.uuid)
            assert len(starts(it, one)) == 1
            assert it.heard(call, 0, LATER) > 0.95
            assert it.warnings(call) == []

    lab(main, tap="stream", url="yes")


@pytest.mark.parametrize("holds", [False, True])
def test_the_end_of_a_connection_that_is_forgotten_here_is_believed_when_nothing_comes(holds):
    async def main(it: Lab) -> None:
        async with it.attached():
            one, two = it.switch.call()
            await both_connected(it, one, two)
            await asyncio.sleep(0.2)
            if holds:
                it.switch.hold(one, on=True)
            dead = one.bugs[0]
            dead.stalled = True
            it.switch.tell("CUSTOM", one, **{"Event-Subclass": "mod_audio_stream::disconnect"})
            if holds:
                await asyncio.sleep(2)
                it.switch.hold(one, on=False)
            await it.until(lambda: one.bugs and one.bugs[0] is not dead, within=3 if holds else 1)
            it.switch.end(one, two)

    lab(main, tap="stream", url="yes", stall_seconds=2.0)


def test_a_connection_of_an_earlier_start_is_taken_when_there_is_none_and_not_before_a_later_one():
    async def main(it: Lab) -> None:
        it.switch.slow_connect = 1000.0  # the module's own never come to be
        async with it.attached():
            one, _ = it.switch.call()
            await it.until(lambda: len(starts(it, one)) == 2, within=20)
            first, second = starts(it, one)
            assert first[-1] != second[-1], "each start says its own"
            async with aiohttp.ClientSession() as client, client.ws_connect(first[4]) as early:
                await early.send_str(first[-1])
                await say(early, 1111)
                await it.until(lambda: came(it, 1111), within=2)
                async with client.ws_connect(first[4]) as late:
                    await late.send_str(second[-1])
                    await say(late, 2222)
                    assert (await early.receive(timeout=5)).type is aiohttp.WSMsgType.CLOSE
                    async with client.ws_connect(first[4]) as older:
                        await older.send_str(first[-1])
                        await older.send_bytes(b"\x05\x0d" * 160)
                        assert (await older.receive(timeout=5)).type is aiohttp.WSMsgType.CLOSE
                    await it.until(lambda: came(it, 2222), within=3)
            assert not came(it, 0x0D05)

    lab(main, tap="stream", url="yes", no_audio_seconds=0.5)


def test_garbage_of_a_connection_does_not_close_the_next():
    async def main(it: Lab) -> None:
        async with it.attached():
            one, two = it.switch.call()
            await both_connected(it, one, two)
            bad = one.bugs[0]
            for _ in range(20):
                await bad.socket.send_bytes(b"odd")
            await it.until(lambda: one.bugs and one.bugs[0] is not bad and one.bugs[0].socket, within=5)
            await asyncio.sleep(3)
            assert len(starts(it, one)) == 2
            it.switch.end(one, two)

    lab(main, tap="stream", url="yes")


def test_a_first_message_is_the_word_of_a_start():
    async def main(it: Lab) -> None:
        async with it.attached():
            one, two = it.switch.call()
            await both_connected(it, one, two)
            said = [json.loads(start[-1])["tap"] for channel in (one, two) for start in starts(it, channel)]
            assert len(set(said)) == 2
            it.switch.end(one, two)

    lab(main, tap="stream", url="yes")
