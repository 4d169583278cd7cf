"""Taps: what is never done, and what goes wrong with them."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from fslab import RATE, Lab, lab

from vcond.call import events as ev
from vcond.testing.sounds import voice

ANN, BEN = voice(1, 1.5), voice(2, 1.5)


def test_a_leg_that_rings_is_never_tapped():
    async def main(it: Lab) -> None:
        async with it.attached():
            one, two = it.switch.call(answered=False)
            await asyncio.sleep(5)
            assert not one.bugs
            assert not two.bugs
            it.switch.answer(two)
            await it.listened(two)
            assert not one.bugs

    lab(main)


def test_a_tap_that_never_delivers_is_reported():
    async def main(it: Lab) -> None:
        it.switch.deaf_taps = True
        async with it.attached():
            one, _two = it.switch.call()
            await it.until(lambda: it.warnings().count("no-audio") == 2)
            assert it.host.drops["tap", "no-audio"] == 2
            assert not it.host.by_key(one.uuid).over

    lab(main)


def test_bypassed_media_is_named():
    async def main(it: Lab) -> None:
        async with it.attached():
            one = it.switch.create()
            one.bypass = True
            it.switch.answer(one)
            await it.until(lambda: "no-audio" in it.warnings())
            texts = [event.text for event in it.host.calls[0].events if isinstance(event, ev.Warned)]
            assert "bypasses the switch" in texts[-1]
            assert not any("uuid_media" in line for line in it.switch.commands)

    lab(main)


def test_bypassed_media_is_pulled_back_where_the_operator_wants_it():
    async def main(it: Lab) -> None:
        async with it.attached():
            one = it.switch.create()
            one.bypass = True
            it.switch.answer(one)
            await it.listened(one)
            await it.speak((one, ANN))
            it.switch.hang_up(one)
            assert it.heard(await it.over(one.uuid), 0, ANN) > 0.95

    lab(main, pull_media=True)


def test_a_full_file_system_is_told_in_the_record():
    async def main(it: Lab) -> None:
        async with it.attached():
            one, two = it.switch.call()
            await it.listened(one, two)
            await asyncio.sleep(1)
            it.switch.full = it.switch.full_quietly = True
            await it.speak((one, ANN), (two, BEN))
            it.switch.end(one, two)
            call = await it.over(one.uuid)
            assert it.warnings(call).count("audio-missing") == 2
            assert it.host.drops["frame", "not-written"] > 100

    lab(main)


SETTINGS = {
    "record_stereo": "true",
    "RECORD_STEREO_SWAP": "true",
    "RECORD_WRITE_ONLY": "true",
    "Record_Append": "true",
    "record_min_sec": "60",
    "RECORD_INITIAL_TIMEOUT_MS": "200",
    "RECORD_BRIDGE_REQ": "true",
    "RECORD_ANSWER_REQ": "true",
    "RECORD_TOGGLE_ON_REPEAT": "true",
}


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_of_the_operators_own_recordings_change_nothing(name):
    async def main(it: Lab) -> None:
        async with it.attached():
            one, two = it.switch.call(answered=False)
            one.variables[name] = two.variables[name] = SETTINGS[name]
            it.switch.answer(two)
            it.switch.answer(one)
            it.switch.bridge(one, two)
            await it.listened(one, two)
            await asyncio.sleep(0.5)
            await it.speak((one, ANN), (two, BEN))
            it.switch.end(one, two)
            call = await it.over(one.uuid)
            assert it.heard(call, 0, ANN) > 0.95
            assert it.heard(call, 1, BEN) > 0.95
            assert it.warnings(call) == []

    lab(main)


def test_a_file_that_cannot_be_opened_never_ends_a_call():
    async def main(it: Lab) -> None:
        async with it.attached():
            it.switch.directory.rename(it.switch.directory.with_name(it.switch.directory.name + "-away"))
            one, two = it.switch.call(answered=False)
            one.variables["RECORD_HANGUP_ON_ERROR"] = two.variables["RECORD_HANGUP_ON_ERROR"] = "true"
            it.switch.answer(two)
            it.switch.answer(one)
            it.switch.bridge(one, two)
            await it.until(lambda: sum(" start " in line for line in it.switch.commands) >= 4)
            assert set(it.switch.channels) == {one.uuid, two.uuid}
            it.switch.directory.with_name(it.switch.directory.name + "-away").rename(it.switch.directory)

    lab(main)


def test_no_tap_is_started_for_a_leg_whose_end_was_told():
    async def main(it: Lab) -> None:
        async with it.attached():
            one, two = it.switch.call(answered=False)
            it.switch.answer(two)
            await it.listened(two)
            it.switch.answer(one)
            one.ended = True
            bridge = {"Bridge-A-Unique-ID": one.uuid, "Bridge-B-Unique-ID": two.uuid}
            it.switch.tell("CHANNEL_UNBRIDGE", one, **bridge, **{"Hangup-Cause": "NORMAL_CLEARING"})
            await asyncio.sleep(1)
            assert not one.bugs
            it.switch.end(one, two)
            await it.over(one.uuid)
            assert sum(" start " in line for line in it.switch.commands) == 1

    lab(main)


def test_a_start_that_hangs_stops_nothing_else():
    async def main(it: Lab) -> None:
        it.switch.hang_starts = True
        async with it.attached():
            one, two = it.switch.call()
            await asyncio.sleep(1)
            it.switch.press(one, "5")
            await it.until(lambda: any(isinstance(event, ev.Dtmf) for event in it.host.calls[0].events))
            it.switch.end(one, two)
            await it.over(one.uuid)

    lab(main)


def test_a_start_that_is_refused_is_tried_again():
    async def main(it: Lab) -> None:
        good = it.switch.directory
        async with it.attached():
            moved = good.with_name(good.name + "-away")
            good.rename(moved)
            one, two = it.switch.call()
            await asyncio.sleep(0.3)
            moved.rename(good)
            await it.listened(one, two)
            await it.speak((one, ANN), (two, BEN))
            it.switch.end(one, two)
            assert it.heard(await it.over(one.uuid), 0, ANN) > 0.95

    lab(main)


def test_a_tap_that_cannot_be_started_is_told_in_the_record():
    async def main(it: Lab) -> None:
        async with it.attached():
            it.switch._record = lambda channel, words: "-ERR Cannot record session!\n"
            it.switch.call()
            await it.until(lambda: it.warnings().count("tap-failed") == 2, within=1)
            assert it.host.drops["tap", "refused"] >= 2

    lab(main)


def test_a_tap_that_the_switch_moved_to_another_leg_is_made_anew():
    async def main(it: Lab) -> None:
        async with it.attached():
            one, two = it.switch.call()
            await it.listened(one, two)
            path = one.bugs[0].target
            bug = one.bugs.pop()
            two.bugs.append(bug)
            it.switch.tell("MEDIA_BUG_START", two, **{"Media-Bug-Function": "session_record", "Media-Bug-Target": path})
            await it.until(lambda: one.bugs and len(two.bugs) == 1)
            assert it.host.drops["tap", "moved"] == 1
            await it.speak((one, ANN), (two, BEN))
            it.switch.end(one, two)
            call = await it.over(one.uuid)
            assert it.heard(call, 0, ANN) > 0.95
            assert it.heard(call, 1, BEN) > 0.95
            assert it.heard(call, 0, BEN) < 0.3

    lab(main)


def test_a_leg_that_is_renamed_stays_the_same_party():
    async def main(it: Lab) -> None:
        async with it.attached():
            one, two = it.switch.call()
            await it.listened(one, two)
            old, one.uuid = one.uuid, "renamed-uuid"
            it.switch.channels[one.uuid] = it.switch.channels.pop(old)
            it.switch.tell("CHANNEL_UUID", one, **{"Old-Unique-ID": old})
            it.switch.press(one, "7")
            await it.speak((one, ANN), (two, BEN))
            it.switch.end(one, two)
            call = await it.over(old)
            assert len(call.state.parties) == 2
            assert it.heard(call, 0, ANN) > 0.95

    lab(main)


def test_recording_that_goes_on_while_the_event_socket_is_away_is_heard():
    async def main(it: Lab) -> None:
        async with it.attached():
            one, two = it.switch.call()
            await it.listened(one, two)
            await asyncio.sleep(0.5)
            it.host.calls[0].pause(it.host.clock.now())
            secret = voice(5, 1.0)
            await it.speak((one, secret))
            await it.switch.refuse()
            it.host.calls[0].pause(it.host.clock.now(), on=False)
            said = voice(6, 1.0)
            await it.speak((one, said))
            await it.switch.start()
            await it.until(lambda: it.host.is_attached)
            await it.speak((one, ANN), (two, BEN))
            it.switch.end(one, two)
            call = await it.over(one.uuid)
            assert it.heard(call, 0, secret) < 0.3
            assert min(it.heard(call, 0, said), it.heard(call, 0, ANN), it.heard(call, 1, BEN)) > 0.95
            assert not any("mask" in line for line in it.switch.commands)

    lab(main)


def test_a_lone_leg_and_what_it_hears_when_that_is_wanted():
    async def main(it: Lab) -> None:
        async with it.attached():
            one = it.switch.create()
            one.app = "ivr"
            it.switch.answer(one)
            await it.listened(one)
            assert one.bugs[0].variables["RECORD_STEREO"] == "true"
            await it.speak((one, ANN))
            it.switch.hang_up(one, variable_sip_hangup_disposition="recv_bye")
            call = await it.over(one.uuid)
            assert [party.who.name for party in call.state.parties] == ["Ann Example", "system"]
            assert it.heard(call, 0, ANN) > 0.95
            system = it.host.audio(call, 1)
            assert set(np.unique(system)) <= {0, 16}
            assert it.warnings(call) == []

    lab(main, system_audio=True)


def test_what_a_lone_leg_hears_is_no_longer_kept_once_it_hears_people():
    async def main(it: Lab) -> None:
        async with it.attached():
            one = it.switch.create()
            one.app = "ivr"
            it.switch.answer(one)
            await it.listened(one)
            await asyncio.sleep(0.5)
            two = it.switch.create(inbound=False, other=one.uuid)
            it.switch.answer(two)
            it.switch.bridge(one, two)
            bridged = it.host.clock.now()
            await it.listened(two)
            await it.speak((one, ANN), (two, BEN))
            it.switch.end(one, two)
            call = await it.over(one.uuid)
            system = next(party for party in call.state.parties if party.who.name == "system")
            assert not it.host.audio(call, system.index)[
                round((bridged - call.state.opened) / 1e9 * RATE) + 800 :
            ].any()
            assert it.heard(call, 0, ANN) > 0.95
            assert len(call.state.parties) == 3

    lab(main, system_audio=True)


def test_a_hundred_legs():
    async def main(it: Lab) -> None:
        async with it.attached():
            pairs = [it.switch.call() for _ in range(50)]
            await it.listened(*(channel for pair in pairs for channel in pair))
            said = [voice(n, 1.0) for n in range(100)]
            await it.speak(*((channel, said[n]) for n, channel in enumerate(c for pair in pairs for c in pair)))
            for one, two in pairs:
                it.switch.end(one, two)
            for n, (one, _) in enumerate(pairs):
                call = await it.over(one.uuid)
                assert it.heard(call, 0, said[2 * n]) > 0.95
                assert it.heard(call, 1, said[2 * n + 1]) > 0.95
            assert it.host.drops.total() == 0
        assert not list(it.switch.directory.iterdir())

    lab(main)
