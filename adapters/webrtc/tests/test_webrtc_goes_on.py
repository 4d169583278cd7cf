"""The core cut a call off (a limit): who publishes into it is recorded on, in a call of its own, as paused as before."""

from __future__ import annotations

import asyncio

import pytest

from vcond.call.events import RecordingPaused
from vcond.media.codecs import Codec, encode
from vcond.sdk.contract import MILLI, SECOND, CallAttribute, Cause, Muted
from vcond.testing.host import MemoryHost
from vcond.testing.sounds import find, voice
from vcond.testing.time import ManualClock, run_virtual
from vcond_webrtc.calls import CallTracker
from vcond_webrtc.channel import Packet
from vcond_webrtc.claims import Claims
from vcond_webrtc.config import WebRtcConfig
from vcond_webrtc.session import HUNG_UP, Session

CUT = Cause(text="limit")
CONFIG = WebRtcConfig(grace=5, consent="I agree")


class House:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.host = MemoryHost("webrtc", clock=self.clock)
        self.tracker = CallTracker(self.host, CONFIG)

    def session(self, party: str) -> Session:
        claims = Claims(call="c", party=party, name=party.title())
        made = Session(f"s-{party}", self.host, self.tracker, CONFIG, claims, self.clock.now())
        made._join()
        return made

    def talk(self, session: Session, pcm, first: int = 0) -> None:
        for number, at in enumerate(range(0, len(pcm), 160), first):
            self.clock.advance(20 * MILLI)
            session._take(0, Packet("pcmu", number, number * 160, encode(Codec.PCMU, pcm[at : at + 160])))

    @property
    def call(self):
        return self.host.calls[-1]


def in_a_house(test):
    def run():
        async def main() -> None:
            house = House()
            await test(house)
            house.tracker.close()
            assert not house.host.faults

        run_virtual(main())

    run.__name__ = test.__name__
    return run


@in_a_house
async def test_publishers_of_a_call_that_was_cut_off_go_on_into_the_next_at_once(house):
    ann, ben = house.session("ann"), house.session("ben")
    house.talk(ann, voice(1, 1.0))
    house.talk(ben, voice(2, 1.0))
    ben.presence.mute(on=True)
    first = house.call
    first.end(at=house.clock.now(), cause=CUT)
    house.talk(ann, voice(3, 1.0), 50)
    second = house.call
    assert second is not first
    assert (second.key, second.over, second.state.answered is not None) == ("c", False, True)
    assert [(party.key, party.who.name, party.here) for party in second.state.parties] == [
        ("ann", "Ann", True), ("ben", "Ben", True),
    ]  # fmt: skip
    assert find(voice(3, 1.0)[160:], house.host.audio(second, 0))[0] > 0.95
    house.talk(ben, voice(4, 1.0), 50)
    assert len(house.host.calls) == 2
    assert find(voice(4, 1.0)[160:], house.host.audio(second, 1))[0] > 0.95
    agreed = [
        (one.party, one.value) for one in second.events if isinstance(one, CallAttribute) and one.name == "consent"
    ]
    assert agreed == [(0, "I agree"), (1, "I agree")]
    assert [one.party for one in second.events if isinstance(one, Muted)] == [1]
    assert [warned.code for warned in second.state.warnings] == ["joined-late"]
    for session in (ann, ben):
        session.end(HUNG_UP)
        session._leave()
    assert second.over
    assert house.host.drops == {}


@in_a_house
async def test_a_pause_between_the_cut_and_the_next_packet_pauses_the_next_call(house):
    ann = house.session("ann")
    house.talk(ann, voice(1, 1.0))
    house.call.end(at=house.clock.now(), cause=CUT)
    assert ann.presence.pause()
    assert len(house.host.calls) == 2
    assert [one.party for one in house.call.events if isinstance(one, RecordingPaused)] == [0]
    assert ann.presence.resume()


@in_a_house
async def test_who_comes_after_the_cut_meets_those_who_stayed(house):
    ann = house.session("ann")
    house.talk(ann, voice(1, 1.0))
    house.call.end(at=house.clock.now(), cause=CUT)
    ben = house.session("ben")
    house.talk(ben, voice(2, 1.0))
    house.talk(ann, voice(1, 1.0), 50)
    assert len(house.host.calls) == 2
    assert [party.key for party in house.call.state.parties] == ["ann", "ben"]


@in_a_house
async def test_a_call_that_was_ended_on_purpose_is_not_begun_again(house):
    ann = house.session("ann")
    house.talk(ann, voice(1, 1.0))
    house.call.end(at=house.clock.now())
    house.talk(ann, voice(1, 1.0), 50)
    house.clock.advance(SECOND)
    assert len(house.host.calls) == 1


class Creeping(ManualClock):
    """Each look at it takes a millisecond, as work between two looks does."""

    def now(self):
        self.advance(MILLI)
        return super().now()


def test_who_comes_back_paused_is_paused_from_the_moment_of_joining():
    house = House()
    house.host.clock = house.clock = Creeping()
    claims = Claims(call="c", party="ann", name="Ann")
    session = Session("s-ann", house.host, house.tracker, CONFIG, claims, None, paused=True)
    session._join()
    (pause,) = [event for event in house.call.events if isinstance(event, RecordingPaused)]
    assert pause.at == house.call.state.parties[0].presences[0].joined


@in_a_house
async def test_a_session_whose_end_fails_closes_its_connection_all_the_same(house):
    session, closed = house.session("ann"), asyncio.Event()

    async def close() -> None:
        closed.set()

    def fail(*_: object, **__: object) -> None:
        raise ValueError("a mistake")

    session.peer.close, house.tracker.leave = close, fail
    session.end(HUNG_UP)
    with pytest.raises(ValueError, match="a mistake"):
        await session.run()
    assert closed.is_set()
