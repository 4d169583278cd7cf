"""Parties whose codec has two channels (``opus@48000h@20i@2c``): mono per party, at the right speed, or said to be unheard."""

from __future__ import annotations

import asyncio

import pytest
from fskit import events
from fslab import Lab, lab

from vcond.testing.host import MemoryHost
from vcond.testing.sounds import voice

ANN, BEN, LATER = voice(1, 1.5), voice(2, 1.5), voice(3, 1.5)


@pytest.mark.parametrize("system_audio", [False, True])
def test_two_channels_of_a_party_are_one_track_at_the_right_speed(system_audio):
    async def main(it: Lab) -> None:
        async with it.attached():
            one = it.switch.create()
            two = it.switch.create(inbound=False, other=one.uuid)
            one.codec_channels = 2
            it.switch.answer(one)
            await it.listened(one)
            it.switch.answer(two)
            it.switch.bridge(one, two)
            await it.listened(two)
            await it.speak((one, ANN), (two, BEN))
            await asyncio.sleep(0.2)
            it.switch.end(one, two)
            call = await it.over(one.uuid)
            assert it.heard(call, 0, ANN) > 0.95
            assert it.heard(call, 1, BEN) > 0.95
            assert len(call.state.parties) == 2
            assert it.warnings(call) == []
            assert it.host.drops.total() == 0

    lab(main, system_audio=system_audio)


def test_a_codec_that_changes_in_the_call_is_listened_to_anew():
    async def main(it: Lab) -> None:
        async with it.attached():
            one, two = it.switch.call()
            await it.listened(one, two)
            await it.speak((one, ANN), (two, BEN))
            first = one.bugs[0]
            one.codec_channels = 2
            it.switch.hold(one, on=True)
            it.switch.hold(one, on=False)
            await it.until(lambda: one.bugs and one.bugs[0] is not first, within=2)
            await it.speak((one, LATER), (two, BEN))
            await asyncio.sleep(0.2)
            it.switch.end(one, two)
            call = await it.over(one.uuid)
            assert it.heard(call, 0, ANN) > 0.95
            assert it.heard(call, 0, LATER) > 0.95

    lab(main)


def test_a_file_of_two_channels_is_taken_up_by_the_next_run():
    async def main(it: Lab) -> None:
        async with it.attached():
            one = it.switch.create()
            two = it.switch.create(inbound=False, other=one.uuid)
            one.codec_channels = 2
            it.switch.answer(one)
            it.switch.answer(two)
            it.switch.bridge(one, two)
            await it.listened(one, two)
            await it.speak((one, ANN), (two, BEN))
            await asyncio.sleep(0.2)
            tap, file = one.bugs[0], one.bugs[0].file
            await it.switch.refuse()  # nobody can be told to stop
            await it.until(lambda: not it.host.is_attached)
        assert one.bugs == [tap]
        assert tap.file == file
        await it.switch.start()
        async with it.attached(MemoryHost.after_crash(it.host)):
            await it.speak((one, LATER), (two, BEN))
            await asyncio.sleep(0.2)
            assert one.bugs == [tap]
            it.switch.end(one, two)
            call = await it.over(one.uuid)
            assert it.heard(call, 0, LATER) > 0.95

    lab(main)


@pytest.mark.parametrize("kind", ["stream", "fork"])
def test_a_module_that_sends_half_of_it_is_not_asked_and_it_is_said(kind):
    async def main(it: Lab) -> None:
        async with it.attached():
            one = it.switch.create()
            two = it.switch.create(inbound=False, other=one.uuid)
            one.codec_channels = 2
            for channel in (two, one):
                it.switch.answer(channel)
            it.switch.bridge(one, two)
            await it.until(lambda: two.bugs and two.bugs[0].socket)
            await asyncio.sleep(5)
            assert not one.bugs
            it.switch.end(one, two)
            call = await it.over(one.uuid)
            assert it.warnings(call) == ["no-audio"]

    lab(main, tap=kind, url="yes")


def test_real_events_say_how_many_channels_a_codec_has():
    answers = [event for event in events("basic.json") if event.name == "CHANNEL_ANSWER"]
    assert [event.codec_channels for event in answers] == ["1", "1"]
