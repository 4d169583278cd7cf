"""Who is in which call, from above the connections."""

from __future__ import annotations

import asyncio

from vcond.call.events import PartyLeft, RecordingPaused, RecordingResumed
from vcond.sdk.contract import SECOND
from vcond.testing.desk import MemoryDesk
from vcond.testing.time import LoopClock, run_virtual
from vcond_webrtc.calls import Switchboard
from vcond_webrtc.claims import Claims
from vcond_webrtc.config import WebRtcConfig

CONFIG = WebRtcConfig(grace=5)


class Someone:
    """A session of which only the place counts."""

    def supersede(self) -> None:
        """Nobody publishes twice here."""
        raise AssertionError


def joins(board: Switchboard, desk: MemoryDesk, party: str):
    return board.join(Someone(), "a-session", Claims(call="c", party=party), at=desk.clock.now())


def test_the_timer_of_a_call_that_the_core_ended_does_not_outlive_it():
    async def main() -> None:
        desk = MemoryDesk("webrtc", clock=LoopClock())
        board = Switchboard(desk, CONFIG)
        someone = Someone()
        place = board.join(someone, "s", Claims(call="c", party="ann"), at=desk.clock.now())
        board.leave(place, someone, at=desk.clock.now(), lost=True)
        old = place.conversation
        assert old.timer is not None
        old.call.end(at=desk.clock.now())
        again = joins(board, desk, "ann")
        assert again.conversation is not old
        assert old.timer is None
        board.close()

    run_virtual(main())


def test_who_does_not_come_back_after_a_restart_has_left_and_pauses_nobody():
    async def main() -> None:
        async with MemoryDesk("webrtc", clock=LoopClock()) as first:
            board = Switchboard(first, CONFIG)
            for party in ("ann", "ben", "cleo"):
                joins(board, first, party)
            first.by_key("c").emit(RecordingPaused(at=first.clock.now(), by="party", party=1))
            board.close()
        async with MemoryDesk.after_crash(first) as desk:
            board = Switchboard(desk, CONFIG)
            back = desk.clock.now()
            ann = joins(board, desk, "ann")
            await asyncio.sleep(4)
            joins(board, desk, "cleo")
            call = desk.by_key("c")
            assert [one.here for one in call.state.parties] == [True, True, True], "Ben has time to come back"
            await asyncio.sleep(2)
            assert [one.here for one in call.state.parties] == [True, False, True]
            (left,) = [event for event in call.events if isinstance(event, PartyLeft)]
            assert (left.party, left.at) == (1, back)
            call.emit(RecordingResumed(at=desk.clock.now(), by="party", party=ann.party))
            assert not call.state.paused, "whoever is here may end the pause of one who has left"
            await asyncio.sleep(60)
            assert not call.over
            board.close()
            assert not desk.faults

    run_virtual(main())


def test_all_who_come_back_after_a_restart_stay():
    async def main() -> None:
        async with MemoryDesk("webrtc", clock=LoopClock()) as first:
            board = Switchboard(first, CONFIG)
            for party in ("ann", "ben"):
                joins(board, first, party)
            board.close()
            board = Switchboard(first, CONFIG)  # the adapter alone was cut off
            for party in ("ben", "ann"):
                joins(board, first, party)
            await asyncio.sleep(60)
            call = first.by_key("c")
            assert not any(isinstance(event, PartyLeft) for event in call.events)
            assert not call.over
            board.close()

    run_virtual(main())


def test_a_call_that_takes_no_more_parties_is_not_kept_open_by_one_who_wants_in(monkeypatch):
    async def main() -> None:
        async with MemoryDesk("webrtc", clock=LoopClock()) as desk:
            board = Switchboard(desk, CONFIG)
            ann, place = Someone(), None
            place = board.join(ann, "a-session", Claims(call="c", party="ann"), at=desk.clock.now())
            call = desk.by_key("c")
            board.leave(place, ann, at=desk.clock.now(), lost=True)
            monkeypatch.setattr(call, "party", lambda *_, **__: -1)
            assert joins(board, desk, "ben") is None
            await asyncio.sleep(6)
            assert call.over
            assert call.state.ended - call.state.opened < SECOND

    run_virtual(main())


def test_who_publishes_after_the_core_ended_a_call_begins_another_and_no_timer_of_the_old_one_is_left():
    async def main() -> None:
        async with MemoryDesk("webrtc", clock=LoopClock()) as desk:
            board, ann = Switchboard(desk, CONFIG), Someone()
            place = board.join(ann, "a-session", Claims(call="c", party="ann"), at=desk.clock.now())
            board.leave(place, ann, at=desk.clock.now(), lost=True)
            old = desk.calls[0]
            old.end(at=desk.clock.now())
            joins(board, desk, "ann")
            await asyncio.sleep(60)
            assert [call.over for call in desk.calls] == [True, False]
            assert desk.drops == {}
            board.close()

    run_virtual(main())


def test_a_call_that_the_core_ended_while_it_waited_is_not_ended_again():
    async def main() -> None:
        async with MemoryDesk("webrtc", clock=LoopClock()) as desk:
            board, ann = Switchboard(desk, CONFIG), Someone()
            place = board.join(ann, "a-session", Claims(call="c", party="ann"), at=desk.clock.now())
            board.leave(place, ann, at=desk.clock.now(), lost=True)
            desk.calls[0].end(at=desk.clock.now())
            await asyncio.sleep(60)
            assert desk.drops == {}
            board.close()

    run_virtual(main())
