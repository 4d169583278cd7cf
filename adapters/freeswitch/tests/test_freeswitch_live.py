"""Captures of a FreeSWITCH with its shipped configuration (1.10.12, conf/vanilla), each with what its call was, by hand."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
from fskit import Ears, drive

from vcond.adapter import Disposition
from vcond.calls import events as ev
from vcond.testing.desk import MemoryDesk
from vcond.testing.time import ManualClock
from vcond_freeswitch.board import Switchboard
from vcond_freeswitch.config import Config
from vcond_freeswitch.events import Event

NEAR = 0.05
"""Seconds between two events of one moment."""
A, B = "1001@pbx.example.com", "1002@127.0.0.1"


class Call(NamedTuple):
    """What one vCon says."""

    parties: list[str]
    answered: float | None
    ended: float
    disposition: Disposition | None = None
    transfers: tuple[tuple[Any, ...], ...] = ()
    """kind, transferor, transferee, target: as the last word of it says."""
    here: tuple[tuple[int, float], ...] = ()
    """Parties that came later than the call began, and when."""


LIVE = {
    "early": Call([A, B], 2.10, 5.14, here=((1, 2.10),)),
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
    joined = {party: at for at, party, what in run.history() if what == "join"}
    assert all(abs(joined[party] - at) <= NEAR for party, at in want.here)
    assert bool(run.ears.started) == (want.answered is not None)
    assert not run.board.legs


def test_who_gives_up_during_early_media_reached_nobody():
    """Capture early_cancel, of which only the order of events was kept: 183 at 0.08 s, CANCEL at 3.02 s."""
    clock = ManualClock()
    desk, ears = MemoryDesk("freeswitch", clock=clock), Ears()
    board = Switchboard(desk, Config().checked(), ears)

    def tell(name: str, leg: str, **more: str) -> None:
        board.event(Event(name=name, leg=leg, channel=f"sofia/internal/{leg}@pbx.example.com", **more), clock.now())

    tell("CHANNEL_CREATE", "1001", direction="inbound")
    tell("CHANNEL_CREATE", "1002", direction="outbound", other="1001")
    tell("CHANNEL_BRIDGE", "1001", bridge_a="1001", bridge_b="1002", answered="0", dialstatus="SUCCESS")
    clock.advance(3_000_000_000)
    over = {"cause": "ORIGINATOR_CANCEL", "q850": "487"}
    tell("CHANNEL_UNBRIDGE", "1001", bridge_a="1001", bridge_b="1002", hung_up="recv_cancel", **over)
    tell("CHANNEL_HANGUP_COMPLETE", "1002", hung_up="send_cancel", **over)
    tell("CHANNEL_HANGUP_COMPLETE", "1001", hung_up="recv_cancel", sip_status="487", dialstatus="SUCCESS", **over)
    (call,) = desk.calls
    assert (call.state.answered, call.state.disposition) == (None, Disposition.HUNG_UP)
    assert ears.started == []
    (end,) = [event for event in call.events if isinstance(event, ev.CallEnded)]
    assert end.by == 0
