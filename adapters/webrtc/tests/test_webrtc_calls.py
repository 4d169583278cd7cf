"""Who is in which call, from above the connections."""

from __future__ import annotations

import asyncio

from vcond.call.events import PartyLeft, RecordingPaused, RecordingResumed
from vcond.sdk.contract import SECOND
from vcond.testing.host import MemoryHost
from vcond.testing.time import LoopClock, run_virtual
from vcond_webrtc.calls import CallTracker
from vcond_webrtc.claims import Claims
from vcond_webrtc.config import WebRtcConfig

CONFIG = WebRtcConfig(grace=5)


class Someone:
    """A session of which only the place counts."""

    def supersede(self) -> None:
        """Nobody publishes twice here."""
        raise AssertionError


def joins(tracker: CallTracker, host: MemoryHost, party: str):
    return tracker.join(Someone(), "a-session", Claims(call="c", party=party), at=host.clock.now())


def test_the_timer_of_a_call_that_the_core_ended_does_not_outlive_it():
    async def main() -> None:
        host = MemoryHost("webrtc", clock=LoopClock())
        tracker = CallTracker(host, CONFIG)
        someone = Someone()
        place = tracker.join(someone, "s", Claims(call="c", party="ann"), at=host.clock.now())
        tracker.leave(place, someone, at=host.clock.now(), lost=True)
        old = place.conversation
        assert old.timer is not None
        old.call.end(at=host.clock.now())
        again = joins(tracker, host, "ann")
        assert again.conversation is not old
        assert old.timer is None
        tracker.close()

    run_virtual(main())


def test_who_does_not_come_back_after_a_restart_has_left_and_pauses_nobody():
    async def main() -> None:
        async with MemoryHost("webrtc", clock=LoopClock()) as first:
            tracker = CallTracker(first, CONFIG)
            for party in ("ann", "ben", "cleo"):
                joins(tracker, first, party)
            first.by_key("c").emit(RecordingPaused(at=first.clock.now(), by="party", party=1))
            tracker.close()
        async with MemoryHost.after_crash(first) as host:
            tracker = CallTracker(host, CONFIG)
            back = host.clock.now()
            ann = joins(tracker, host, "ann")
            await asyncio.sleep(4)
            joins(tracker, host, "cleo")
            call = host.by_key("c")
            assert [one.here for one in call.state.parties] == [True, True, True], "Ben has time to come back"
            await asyncio.sleep(2)
            assert [one.here for one in call.state.parties] == [True, False, True]
            (left,) = [event for event in call.events if isinstance(event, PartyLeft)]
            assert (left.party, left.at) == (1, back)
            call.emit(RecordingResumed(at=host.clock.now(), by="party", party=ann.party))
            assert not call.state.paused, "whoever is here may end the pause of one who has left"
            await asyncio.sleep(60)
            assert not call.over
            tracker.close()
            assert not host.faults

    run_virtual(main())


def test_all_who_come_back_after_a_restart_stay():
    async def main() -> None:
        async with MemoryHost("webrtc", clock=LoopClock()) as first:
            tracker = CallTracker(first, CONFIG)
            for party in ("ann", "ben"):
                joins(tracker, first, party)
            tracker.close()
            tracker = CallTracker(first, CONFIG)  # the adapter alone was cut off
            for party in ("ben", "ann"):
                joins(tracker, first, party)
            await asyncio.sleep(60)
            call = first.by_key("c")
            assert not any(isinstance(event, PartyLeft) for event in call.events)
            assert not call.over
            tracker.close()

    run_virtual(main())


def test_a_call_that_takes_no_more_parties_is_not_kept_open_by_one_who_wants_in(monkeypatch):
    async def main() -> None:
        async with MemoryHost("webrtc", clock=LoopClock()) as host:
            tracker = CallTracker(host, CONFIG)
            ann, place = Someone(), None
            place = tracker.join(ann, "a-session", Claims(call="c", party="ann"), at=host.clock.now())
            call = host.by_key("c")
            tracker.leave(place, ann, at=host.clock.now(), lost=True)
            monkeypatch.setattr(call, "party", lambda *_, **__: -1)
            assert joins(tracker, host, "ben") is None
            await asyncio.sleep(6)
            assert call.over
            assert call.state.ended - call.state.opened < SECOND

    run_virtual(main())


def test_who_publishes_after_the_core_ended_a_call_begins_another_and_no_timer_of_the_old_one_is_left():
    async def main() -> None:
        async with MemoryHost("webrtc", clock=LoopClock()) as host:
            tracker, ann = CallTracker(host, CONFIG), Someone()
            place = tracker.join(ann, "a-session", Claims(call="c", party="ann"), at=host.clock.now())
            tracker.leave(place, ann, at=host.clock.now(), lost=True)
            old = host.calls[0]
            old.end(at=host.clock.now())
            joins(tracker, host, "ann")
            await asyncio.sleep(60)
            assert [call.over for call in host.calls] == [True, False]
            assert host.drops == {}
            tracker.close()

    run_virtual(main())


def test_a_call_that_the_core_ended_while_it_waited_is_not_ended_again():
    async def main() -> None:
        async with MemoryHost("webrtc", clock=LoopClock()) as host:
            tracker, ann = CallTracker(host, CONFIG), Someone()
            place = tracker.join(ann, "a-session", Claims(call="c", party="ann"), at=host.clock.now())
            tracker.leave(place, ann, at=host.clock.now(), lost=True)
            host.calls[0].end(at=host.clock.now())
            await asyncio.sleep(60)
            assert host.drops == {}
            tracker.close()

    run_virtual(main())
