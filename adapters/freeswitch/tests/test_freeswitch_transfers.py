"""Transfers are told once, in whatever order the switch tells its parts."""

from __future__ import annotations

from itertools import permutations

import pytest
from fskit import Ears, events

from vcond.testing.host import MemoryHost
from vcond.testing.time import ManualClock
from vcond_freeswitch.config import Config
from vcond_freeswitch.events import Event, number
from vcond_freeswitch.tracker import ChannelTracker

BLIND = "1795947558:9b85a46b-2892:bl_xfer:1003/default/XML"


class AdapterHost:
    """A tracker in which A (1001) talks to B (1002)."""

    def __init__(self) -> None:
        self.host = MemoryHost("freeswitch", clock=ManualClock())
        self.tracker = ChannelTracker(self.host, Config().checked(), Ears())

    def call(self) -> None:
        self.tell("CHANNEL_CREATE", "a")
        self.tell("CHANNEL_CREATE", "b", other="a")
        self.answered("a", "b")

    def answered(self, one: str, two: str, **more: str) -> None:
        self.tell("CHANNEL_ANSWER", two)
        self.tell("CHANNEL_ANSWER", one)
        self.tell("CHANNEL_BRIDGE", one, bridge_a=one, bridge_b=two, answered="1", **more)

    def tell(self, name: str, leg: str, **more: str) -> None:
        self.host.clock.advance(10_000_000)
        channel = f"sofia/internal/{leg}@pbx.example.com"
        self.tracker.event(Event(name=name, leg=leg, channel=channel, **more), self.host.clock.now())

    def transfers(self) -> list[tuple]:
        assert self.host.faults == []
        (call,) = [call for call in self.host.calls if not call.state.merged_into]
        names = [party.key for party in call.state.parties] + [None]
        return [
            (e.kind, *(names[-1 if i is None else i] for i in (e.transferor, e.transferee, e.target)))
            for e in call.state.transfers
        ]


@pytest.mark.parametrize("by", ["b", None])
@pytest.mark.parametrize("order", list(permutations(("hangup", "unbridge", "update"))))
@pytest.mark.parametrize(
    "seen", [{"hangup", "unbridge", "update"}, {"hangup", "unbridge"}, {"hangup", "update"}, {"hangup"}]
)
def test_a_blind_transfer_is_one_in_any_order(order, by, seen):
    """Captures follow_b and park_fifo: HANGUP_COMPLETE first; late_after_xfer: UNBRIDGE first; _bleg: CALL_UPDATE first."""
    it = AdapterHost()
    it.call()
    does = {"transfer_to": "blind:a", "transfer_destination": "blind:1003"} if by else {}
    for part in order:
        if part == "hangup":
            it.tell("CHANNEL_HANGUP_COMPLETE", "b", cause="NORMAL_CLEARING", **does)
        elif part == "unbridge" and part in seen:
            it.tell("CHANNEL_UNBRIDGE", "a", bridge_a="a", bridge_b="b", transfer_source=BLIND)
        elif part in seen:
            it.tell("CALL_UPDATE", "a", transfer_source=BLIND)
    it.tell("CHANNEL_CREATE", "c", other="a")
    it.answered("a", "c", transfer_source=BLIND)
    it.tell("CHANNEL_UNBRIDGE", "a", bridge_a="a", bridge_b="c", transfer_source=BLIND)
    for leg in "ca":
        it.tell("CHANNEL_HANGUP_COMPLETE", leg, cause="NORMAL_CLEARING", transfer_source=BLIND if leg == "a" else "")
    assert it.transfers() == [("blind", by, "a", "c")]


def test_two_transfers_to_the_same_place_are_two():
    it = AdapterHost()
    it.call()
    for n in range(2):
        source = BLIND.replace("9b85", f"000{n}")
        it.tell("CHANNEL_UNBRIDGE", "a", bridge_a="a", bridge_b="b" if n == 0 else "c0", transfer_source=source)
        it.tell("CHANNEL_HANGUP_COMPLETE", "b" if n == 0 else "c0", cause="NORMAL_CLEARING")
        it.tell("CHANNEL_CREATE", f"c{n}", other="a")
        it.answered("a", f"c{n}", transfer_source=source)
    assert it.transfers() == [("blind", None, "a", "c0"), ("blind", None, "a", "c1")]


def test_who_did_it_may_stay():
    """``uuid_transfer -both`` and parked legs: the one who was left is not hung up before the target answers."""
    it = AdapterHost()
    it.call()
    it.tell("CALL_UPDATE", "a", transfer_source=BLIND)
    it.tell("CHANNEL_CREATE", "c", other="a")
    it.answered("a", "c", transfer_source=BLIND)
    assert it.transfers() == [("blind", None, "a", "c")]
    it.tell(
        "CHANNEL_HANGUP_COMPLETE",
        "b",
        cause="NORMAL_CLEARING",
        transfer_to="blind:a",
        transfer_destination="blind:1003",
    )
    assert it.transfers() == [("blind", None, "a", "c")]


@pytest.mark.parametrize("order", [("unbridge", "hangup"), ("hangup", "unbridge")])
def test_the_application_att_xfer_is_an_attended_transfer_in_any_order(order):
    """Capture att_xfer."""
    it = AdapterHost()
    it.call()
    it.tell("CHANNEL_CREATE", "c", other="b")
    it.tell("CHANNEL_ANSWER", "c")
    it.tell("CHANNEL_BRIDGE", "b", bridge_a="b", bridge_b="c", answered="1", app="att_xfer")
    it.tell("CHANNEL_UNBRIDGE", "b", bridge_a="b", bridge_b="c", app="att_xfer")
    for part in order:
        if part == "unbridge":
            it.tell("CHANNEL_UNBRIDGE", "a", bridge_a="a", bridge_b="b", transfer_source="1:2:uuid_br:c")
        else:
            it.tell("CHANNEL_HANGUP_COMPLETE", "b", cause="NORMAL_CLEARING", app="att_xfer")
    it.tell("CHANNEL_BRIDGE", "c", bridge_a="c", bridge_b="a", answered="1", transfer_source="1:3:uuid_br:a")
    for leg in "ac":
        it.tell("CHANNEL_HANGUP_COMPLETE", leg, cause="NORMAL_CLEARING")
    assert it.transfers() == [("attended", "b", "a", "c")]


def test_a_transfer_from_before_vcond_started_is_not_invented_at_the_end():
    """Capture late_after_xfer, seen from 5 s on: what is known of it comes from dumps."""
    host = MemoryHost("freeswitch", clock=ManualClock())
    tracker = ChannelTracker(host, Config().checked(), Ears())
    told = events("late_after_xfer")
    begun = number(told[0].stamp)
    legs = {
        event.leg: event for event in told if event.name == "CALL_UPDATE" and number(event.stamp) > begun + 2_700_000
    }
    assert len(legs) == 2
    for event in legs.values():
        tracker.found(event, host.clock.now())
    for conversation in tracker.conversations():
        conversation.settle(host.clock.now())
    for event in told:
        if number(event.stamp) > begun + 5_000_000:
            host.clock.advance(10_000_000)
            tracker.event(event, host.clock.now())
    (call,) = host.calls
    assert call.over
    assert call.state.transfers == []
