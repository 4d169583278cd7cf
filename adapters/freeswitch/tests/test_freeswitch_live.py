"""Captures of a FreeSWITCH with its shipped configuration (1.10.12, conf/vanilla), each with what its call was, by hand."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
from fskit import Ears, drive

from vcond.call import events as ev
from vcond.sdk.contract import Disposition
from vcond.testing.host import MemoryHost
from vcond.testing.time import ManualClock
from vcond_freeswitch.config import Config
from vcond_freeswitch.events import Event
from vcond_freeswitch.tracker import ChannelTracker

NEAR = 0.05
"""Seconds between two events of one moment."""
A, B, C = "1001@pbx.example.com", "1002@pbx.example.com", "1003@pbx.example.com"


class Call(NamedTuple):
    """What one vCon says."""

    parties: list[str]
    answered: float | None
    ended: float
    disposition: Disposition | None = None
    transfers: tuple[tuple[Any, ...], ...] = ()
    """kind, transferor, transferee, target, as the last word of it says; to, as dialled."""
    here: tuple[tuple[int, float], ...] = ()
    """Parties that came later than the call began, and when."""


LIVE = {
    "early": Call([A, B], 2.10, 5.14, here=((1, 2.10),)),
    "loopback": Call([A, B], 0.42, 4.46, here=((1, 0.38),)),
    "busy_vanilla": Call([A, B], 0.03, 1.44),
    "park_fifo": Call([A, B, C], 0.38, 8.24, None, (("blind", 1, 0, 2, "5900"),), ((2, 5.20),)),
    "follow_b": Call([A, B, C], 0.38, 7.92, None, (("blind", 1, 0, 2, "1003"),), ((2, 3.78),)),
    "late_after_xfer": Call([A, B, C], 0.36, 11.42, None, (("blind", 1, 0, 2, "1003"),), ((2, 2.76),)),
    "uuid_transfer_bleg": Call([A, B, C], 0.40, 6.92, None, (("blind", None, 1, 2, "1003"),), ((2, 3.28),)),
    "att_xfer": Call([A, B, C], 0.38, 11.36, None, (("attended", 1, 0, 2, ""),), ((2, 4.84),)),
    "early_busy": Call([A, B], None, 3.06, Disposition.BUSY),
}


@pytest.mark.parametrize("name", LIVE)
def test_a_capture_becomes_the_one_call_that_it_was(name):
    run, want = drive(name), LIVE[name]
    state = run.call.state
    assert [party.who.sip or party.who.tel or party.who.name for party in state.parties] == want.parties
    assert (state.answered is None) == (want.answered is None)
    assert want.answered is None or abs(run.seconds(state.answered) - want.answered) <= NEAR
    assert abs(run.seconds(state.ended) - want.ended) <= NEAR
    assert state.disposition == want.disposition
    told = tuple((e.kind, e.transferor, e.transferee, e.target, e.to) for e in state.transfers)
    assert told == want.transfers
    joined = {party: at for at, party, what in run.history() if what == "join"}
    assert all(abs(joined[party] - at) <= NEAR for party, at in want.here)
    assert bool(run.ears.started) == (want.answered is not None)
    assert not run.tracker.legs


def test_a_machine_behind_a_loopback_is_named_and_so_is_who_was_busy():
    run = drive("busy_vanilla")
    assert [fact.value for fact in run.call.state.facts if fact.name == "answered_by"] == ["voicemail"]
    assert [(party, what) for _, party, what in run.history()] == [(0, "join"), (0, "drop"), (1, "join"), (1, "drop")]
    assert len(run.ears.started) == 1


@pytest.mark.parametrize("first", ["a", "b"])
@pytest.mark.parametrize("bowout", [True, False])
def test_both_halves_of_a_loopback_are_nobody_in_any_order(first, bowout):
    """As in capture loopback, whose order of creation and bow-out are but one of several."""
    host, ears = MemoryHost("freeswitch", clock=ManualClock()), Ears()
    tracker = ChannelTracker(host, Config().checked(), ears)

    def tell(name: str, leg: str, **more: str) -> None:
        host.clock.advance(10_000_000)
        channel = f"loopback/1002-{leg}" if leg in "ab" else f"sofia/internal/{leg}@pbx.example.com"
        more |= {"loopback": "ab".replace(leg, "")} if leg in "ab" else {}
        tracker.event(Event(name=name, leg=leg, channel=channel, **more), host.clock.now())

    tell("CHANNEL_CREATE", "1001", direction="inbound", caller_number="1001")
    for half in sorted("ab", reverse=first == "b"):
        tell("CHANNEL_CREATE", half, **({"other": "1001"} if half == "a" else {}))
    tell("CHANNEL_CREATE", "1003", direction="outbound", other="b")
    tell("CHANNEL_HANGUP_COMPLETE", "1003", cause="USER_BUSY", q850="17")
    tell("CHANNEL_CREATE", "1002", direction="outbound", other="b", callee_number="1002")
    for leg in ("1002", "a", "b", "1001"):
        tell("CHANNEL_ANSWER", leg)
    tell("CHANNEL_BRIDGE", "1001", bridge_a="1001", bridge_b="a", answered="1")
    tell("CHANNEL_BRIDGE", "b", bridge_a="b", bridge_b="1002", answered="1")
    tell("DTMF", "a", digit="1", digit_samples="960")
    if bowout:
        source = {"transfer_source": "1795945744:0222105a:uuid_br:1002"}
        tell("CHANNEL_HANGUP_COMPLETE", "a", cause="NORMAL_CLEARING")
        tell("CHANNEL_UNBRIDGE", "1001", bridge_a="1001", bridge_b="a", **source)
        tell("CHANNEL_UNBRIDGE", "b", bridge_a="b", bridge_b="1002")
        tell("CHANNEL_HANGUP_COMPLETE", "b", cause="NORMAL_CLEARING")
        tell("CHANNEL_BRIDGE", "1001", bridge_a="1001", bridge_b="1002", answered="1", **source)
    for leg in ("1002", "1001"):
        tell("CHANNEL_HANGUP_COMPLETE", leg, cause="NORMAL_CLEARING", q850="16")
    (call,) = host.calls
    assert [party.key for party in call.state.parties] == ["1001", "1002"]
    assert call.over
    assert call.state.answered is not None
    assert not call.state.transfers
    assert sorted(ears.started) == ["1001", "1002"]
    if not bowout:
        tell("CHANNEL_HANGUP_COMPLETE", "a", cause="NORMAL_CLEARING")
        tell("CHANNEL_HANGUP_COMPLETE", "b", cause="NORMAL_CLEARING")
    assert not tracker.legs
    assert len(host.calls) == 1
    assert host.faults == []


def test_who_gives_up_during_early_media_reached_nobody():
    """Capture early_cancel, of which only the order of events was kept: 183 at 0.08 s, CANCEL at 3.02 s."""
    clock = ManualClock()
    host, ears = MemoryHost("freeswitch", clock=clock), Ears()
    tracker = ChannelTracker(host, Config().checked(), ears)

    def tell(name: str, leg: str, **more: str) -> None:
        tracker.event(Event(name=name, leg=leg, channel=f"sofia/internal/{leg}@pbx.example.com", **more), clock.now())

    tell("CHANNEL_CREATE", "1001", direction="inbound")
    tell("CHANNEL_CREATE", "1002", direction="outbound", other="1001")
    tell("CHANNEL_BRIDGE", "1001", bridge_a="1001", bridge_b="1002", answered="0", dialstatus="SUCCESS")
    clock.advance(3_000_000_000)
    over = {"cause": "ORIGINATOR_CANCEL", "q850": "487"}
    tell("CHANNEL_UNBRIDGE", "1001", bridge_a="1001", bridge_b="1002", hung_up="recv_cancel", **over)
    tell("CHANNEL_HANGUP_COMPLETE", "1002", hung_up="send_cancel", **over)
    tell("CHANNEL_HANGUP_COMPLETE", "1001", hung_up="recv_cancel", sip_status="487", dialstatus="SUCCESS", **over)
    (call,) = host.calls
    assert (call.state.answered, call.state.disposition) == (None, Disposition.HUNG_UP)
    assert ears.started == []
    (end,) = [event for event in call.events if isinstance(event, ev.CallEnded)]
    assert end.by == 0
