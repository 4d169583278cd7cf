"""Recordings that the switch masks, and what its dial plan says of pauses: nothing of it is in ours.

The events are as FreeSWITCH's source has them (``vcond_freeswitch/masks.py`` names the places); no real one has sent them to us.
"""

from __future__ import annotations

import asyncio

import pytest
from fskit import Ears
from fslab import Lab, lab

from vcond.sdk.contract import SECOND
from vcond.testing.host import MemoryHost
from vcond.testing.sounds import voice
from vcond.testing.time import ManualClock
from vcond_freeswitch.config import Config
from vcond_freeswitch.events import Event
from vcond_freeswitch.tracker import ChannelTracker

OWN = "/var/lib/freeswitch/recordings/own.wav"


@pytest.mark.parametrize(("on", "off"), [("mask", "unmask"), ("pause", "resume"), ("MASK", "Unmask")])
def test_while_the_switch_masks_its_own_recording_nothing_is_kept_in_ours(on, off):
    async def main(it: Lab) -> None:
        async with it.attached():
            one, two = it.switch.call()
            await it.listened(one, two)
            said = [voice(seed, 2) for seed in range(3)]
            for number, action in enumerate([on, off, ""]):
                await it.speak((one, said[number]))
                await asyncio.sleep(1)
                if action:
                    it.switch.run(f"uuid_record {one.uuid} {action} {OWN}")
                    await asyncio.sleep(1)
                    assert it.host.calls[0].state.paused is (action == on)
            it.switch.end(one, two)
            call = await it.over(one.uuid)
            assert [it.heard(call, 0, one) > 0.9 for one in said] == [True, False, True]
            assert max(it.heard(call, party, said[1]) for party in (0, 1)) < 0.1
            assert [(pause.by, pause.reason) for pause in call.state.pauses] == [("platform", "mask")]

    lab(main)


def test_the_dial_plan_pauses_by_an_event_of_its_own_with_an_end():
    async def main(it: Lab) -> None:
        async with it.attached():
            one, two = it.switch.call()
            await it.listened(one, two)
            more = {"Event-Subclass": "vcond::pause", "Reason": "card", "Seconds": "90"}
            it.switch.tell("CUSTOM", one, **more)
            await it.until(lambda: it.host.calls[0].state.paused)
            (pause,) = it.host.calls[0].state.pauses
            assert (pause.by, pause.reason) == ("platform", "card")
            assert pause.until is not None
            assert abs(pause.until - pause.start - 90 * SECOND) < SECOND
            it.switch.tell("CUSTOM", one, **{"Event-Subclass": "vcond::resume"})
            await it.until(lambda: not it.host.calls[0].state.paused)
            it.switch.end(one, two)
            await it.over(one.uuid)

    lab(main)


# Whose pause is whose.


class Told:
    """Two channels of a call, and what is told of them."""

    def __init__(self) -> None:
        self.host = MemoryHost("freeswitch", clock=ManualClock())
        self.tracker = ChannelTracker(self.host, Config().checked(), Ears())
        self.event(Event(name="CHANNEL_CREATE", leg="a", channel="sofia/internal/1001@x", direction="inbound"))

    def event(self, event: Event) -> None:
        self.tracker.event(event, self.host.clock.now())

    def up(self) -> None:
        made = Event(name="CHANNEL_CREATE", leg="b", other="a", channel="sofia/internal/1002@x", direction="outbound")
        bridged = Event(name="CHANNEL_BRIDGE", leg="a", bridge_a="a", bridge_b="b")
        for event in (made, *(Event(name="CHANNEL_ANSWER", leg=leg) for leg in "ab"), bridged):
            self.event(event)

    def record(self, words: str) -> None:
        self.event(Event(name="API", api="uuid_record", api_argument=words))

    @property
    def paused(self) -> bool:
        (call,) = self.host.calls
        return call.state.paused


def test_recording_goes_on_when_the_last_of_those_who_paused_has_ended_it():
    told = Told()
    told.up()
    told.record("a mask /one.wav")
    told.record("b mask /two.wav")
    told.event(Event(name="CUSTOM", subclass="vcond::pause", leg="a"))
    for words in ("a unmask /one.wav", "a unmask /another.wav", "b unmask"):
        told.record(words)
        assert told.paused
    told.event(Event(name="CUSTOM", subclass="vcond::resume", leg="a"))
    assert told.paused
    told.event(Event(name="CHANNEL_HANGUP_COMPLETE", leg="b"))
    assert not told.paused


def test_a_mask_before_the_answer_is_of_the_call_from_its_beginning():
    told = Told()
    told.record("a mask /one.wav")
    assert told.host.calls == []
    told.up()
    assert told.paused
    assert told.host.calls[0].state.pauses[0].start == told.host.calls[0].state.opened
    told.record("a unmask /one.wav")
    assert not told.paused


@pytest.mark.parametrize(
    "event",
    [
        Event(name="API", api="uuid_record", api_argument=""),
        Event(name="API", api="uuid_record", api_argument="a mask"),
        Event(name="API", api="uuid_record", api_argument="a start /one.wav"),
        Event(name="API", api="uuid_record", api_argument="c mask /one.wav"),
        Event(name="API", api="uuid_record", api_argument="a mask /" + "x" * 1024),
        Event(name="API", api="uuid_kill", api_argument="a mask /one.wav"),
        Event(name="CUSTOM", subclass="vcond::pause", leg="c"),
        Event(name="CUSTOM", subclass="vcond::consent", leg="a"),
    ],
)
def test_what_is_no_pause_of_a_channel_that_is_there_pauses_nothing(event):
    told = Told()
    told.up()
    told.event(event)
    assert not told.paused


def test_more_masks_than_are_remembered_pause_all_the_same():
    told = Told()
    told.up()
    for number in range(100):
        told.record(f"a mask /{number}.wav")
    assert len(told.tracker.legs["a"].pausing) == 16
    for number in range(100):
        assert told.paused is (number < 16)
        told.record(f"a unmask /{number}.wav")
