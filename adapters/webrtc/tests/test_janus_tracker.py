"""Looks at rooms to calls, in time that stands still until it is moved."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vcond.sdk.contract import MILLI, SECOND, Cause, Instant
from vcond.testing.checks import check_events
from vcond.testing.host import MemoryHost
from vcond.testing.time import ManualClock
from vcond_webrtc.janus.config import JanusConfig
from vcond_webrtc.janus.rooms import RoomTracker
from vcond_webrtc.janus.wire import Participant

ROOM = 1234


class Tap:
    def __init__(self, publisher, party) -> None:
        self.publisher, self.party = publisher, party
        self.heard = None
        self.ended: tuple[Instant, bool] | None = None

    def end(self, at, *, gone) -> None:
        self.ended = self.ended or (at, gone)


class Scene:
    """A tracker, and rooms that are looked at every 200 ms of a clock that is moved by hand."""

    def __init__(self, host: MemoryHost | None = None, **changes) -> None:
        self.clock = host.clock if host is not None else ManualClock()
        self.host = host or MemoryHost("janus", clock=self.clock)
        self.taps: list[Tap] = []
        self.tracker = RoomTracker(self.host, JanusConfig(**{"grace": 2.0, **changes}), self)
        self.people: dict = {}

    def open(self, room, publisher, call, party) -> Tap:
        self.taps.append(Tap(publisher, party))
        return self.taps[-1]

    def put(self, who, name="", *, publishes=True, room=ROOM, **more) -> None:
        self.people.setdefault(room, {})[who] = Participant(who, name, publishes, **more)

    def drop(self, who, room=ROOM) -> None:
        del self.people[room][who]

    def look(self, times: int = 1, *, after: float = 0.2) -> Instant:
        for _ in range(times):
            at = self.clock.advance(round(after * SECOND))
            for room, people in self.people.items():
                self.tracker.look(room, list(people.values()), at)
            self.tracker.round_ends(at)
        return at

    @property
    def call(self):
        return self.host.calls[-1]

    def history(self) -> list[tuple[str, str]]:
        names = [party.who.name for party in self.call.state.parties]
        return [(names[line.party], line.event) for line in self.call.state.history]


def ms(call, at: Instant) -> float:
    return (at - call.state.opened) / MILLI


def test_a_room_is_a_call_from_its_first_publisher_to_its_last():
    scene = Scene()
    scene.look()
    scene.put(1, "Rita", publishes=False)
    scene.look()
    assert scene.host.calls == [], "who is alone and silent is no call"
    scene.put(1, "Rita")
    scene.put(2, "Marcus")
    last = scene.look()
    call = scene.call
    assert call.key == "1234/1"
    assert call.state.opened == last - 300 * MILLI, "half way between the looks before and after she came"
    assert [tap.party for tap in scene.taps] == [0, 1]
    scene.drop(1)
    scene.look()
    scene.drop(2)
    gone = scene.look()
    assert scene.taps[1].ended == (gone - 100 * MILLI, True)
    scene.look(9)
    assert not call.over
    scene.look(2)
    assert call.over
    assert call.state.ended == gone - 100 * MILLI, "the wait is no part of the call"
    assert scene.history() == [("Rita", "join"), ("Marcus", "join"), ("Rita", "drop"), ("Marcus", "drop")]
    assert scene.tracker.rooms == {}


def test_a_leave_is_when_the_last_packet_came_if_that_was_after_the_look_before():
    scene = Scene()
    scene.put(1, "Rita")
    scene.put(2, "Marcus")
    before = scene.look(2)
    scene.taps[0].heard = Instant(before + 30 * MILLI)
    scene.taps[1].heard = Instant(before - 500 * MILLI)  # muted since
    scene.drop(1)
    scene.drop(2)
    after = scene.look()
    rita, marcus = scene.call.state.parties
    assert rita.presences[-1].left == before + 30 * MILLI
    assert marcus.presences[-1].left == after - 100 * MILLI


def test_who_left_while_nobody_could_look_left_when_heard_last():
    scene = Scene()
    scene.put(1, "Rita")
    scene.put(2, "Marcus")
    before = scene.look(2)
    scene.taps[0].heard = Instant(before + 4 * SECOND)
    scene.taps[1].heard = Instant(before - SECOND)
    for who in (1, 2):
        scene.drop(who)
    scene.put(3, "Pia")
    after = scene.look(after=60)
    rita, marcus, pia = scene.call.state.parties
    assert rita.presences[-1].left == before + 4 * SECOND
    assert marcus.presences[-1].left == before, "silent for longer, but seen then"
    assert pia.presences[-1].joined == after, "when she came is not known; she is here now"


def test_when_all_left_while_nobody_could_look_they_have_time_to_come_back():
    scene = Scene()
    scene.put(1, "Rita")
    scene.look()
    scene.drop(1)
    scene.look(after=60)
    assert not scene.call.over
    scene.put(5, "Rita")
    scene.look()
    assert scene.history() == [("Rita", "join"), ("Rita", "drop"), ("Rita", "join")]


def test_somebody_who_comes_back_is_the_same_party_by_id_or_by_name():
    scene = Scene()
    scene.put(1, "Rita")
    scene.put(2, "Marcus")
    scene.look()
    scene.drop(2)
    scene.look()
    scene.put(3, "Marcus")
    scene.look()
    assert [party.key for party in scene.call.state.parties] == ["1", "2"]
    scene.drop(3)
    scene.look()
    scene.put(2, "Mark")
    scene.look()
    assert [party.who.name for party in scene.call.state.parties] == ["Rita", "Mark"]


def test_two_who_are_here_with_one_name_are_two_parties_and_so_are_the_nameless():
    scene = Scene()
    scene.put(1, "Guest")
    scene.put(2, "Guest")
    scene.put(3)
    scene.look()
    scene.drop(3)
    scene.look()
    scene.put(4)
    scene.look()
    assert len(scene.call.state.parties) == 4
    ids = Scene(returns="id")
    ids.put(1, "Rita")
    ids.look()
    ids.drop(1)
    ids.look()
    ids.put(2, "Rita")
    ids.look()
    assert len(ids.call.state.parties) == 2


def test_a_new_name_is_of_the_same_party():
    scene = Scene()
    scene.put(1, "Rita")
    scene.put(2, "Marcus")
    scene.look()
    scene.put(1, "Rita (phone)\n")
    scene.look()
    assert [party.who.name for party in scene.call.state.parties] == ["Rita (phone)", "Marcus"]


def test_unpublished_is_still_here_and_publishes_again_on_another_tap():
    scene = Scene()
    scene.put(1, "Rita")
    scene.look()
    scene.put(1, "Rita", publishes=False)
    scene.look()
    assert scene.taps[0].ended is not None
    scene.put(1, "Rita")
    scene.look()
    assert [tap.party for tap in scene.taps] == [0, 0]
    assert scene.history() == [("Rita", "join")]


def test_who_only_listens_is_a_party_while_there_is_a_call():
    scene = Scene()
    scene.put(1, "Rita")
    scene.put(2, "Listener", publishes=False)
    scene.look()
    scene.drop(1)
    scene.look(12)
    assert scene.call.over
    assert not any(party.here for party in scene.call.state.parties)
    scene.put(2, "Listener")
    scene.look()
    assert [party.who.name for party in scene.call.state.parties] == ["Listener"]
    assert len(scene.host.calls) == 2


def test_the_stand_in_of_janus_is_nobody():
    scene = Scene()
    scene.put(9, "Dummy publisher", dummy=True)
    scene.look()
    assert scene.host.calls == []


def test_a_long_time_in_the_lobby_is_no_part_of_the_call():
    scene = Scene()
    scene.put(1, "Rita", publishes=False)
    scene.look(300)
    scene.put(1, "Rita")
    at = scene.look()
    assert scene.call.state.opened == at - 10 * SECOND


def test_rooms_and_people_have_their_bounds():
    scene = Scene(max_parties=2, max_rooms=1)
    for who in range(5):
        scene.put(who, f"n{who}")
    scene.put(1, "x", room=2)
    scene.look(3)
    assert len(scene.call.state.parties) == 2
    assert scene.host.drops == {("party", "too-many"): 3, ("room", "limit"): 1}
    for who in (0, 1):
        scene.drop(who)
    scene.look()
    assert len(scene.call.state.parties) == 4, "a place that is free is taken"


def test_a_call_that_the_core_ended_is_not_begun_again_while_they_go_on():
    scene = Scene()
    scene.put(1, "Rita")
    at = scene.look()
    scene.call.end(at=at)
    scene.look(5)
    assert len(scene.host.calls) == 1
    assert scene.taps[0].ended[1] is False, "its forward must be stopped"
    scene.put(1, "Rita", publishes=False)
    scene.look()
    scene.put(1, "Rita")
    scene.look()
    assert len(scene.host.calls) == 2


@pytest.mark.parametrize("why", ["adapter-gone", "limit"])
def test_a_call_that_the_core_cut_off_is_recorded_from_then_on(why):
    scene = Scene()
    scene.put(1, "Rita")
    at = scene.look(100)
    scene.call.end(at=at, cause=Cause(text=why))
    at = scene.look()
    assert (scene.call.over, scene.call.state.opened) == (False, at)
    assert [warning.code for warning in scene.call.state.warnings] == ["joined-late"]
    assert len(scene.taps) == 2
    assert scene.taps[1].ended is None
    scene.drop(1)
    scene.look(20)
    scene.put(2, "Ben")
    scene.look()
    assert scene.call.state.warnings == []


def restarted(scene: Scene, **changes) -> Scene:
    again = Scene(MemoryHost.after_crash(scene.host), **changes)
    again.people = {room: dict(people) for room, people in scene.people.items()}
    return again


def test_after_a_restart_the_call_goes_on_with_who_is_there():
    scene = Scene()
    for who, name in enumerate(("Rita", "Marcus", "Pia"), 1):
        scene.put(who, name)
    scene.look()
    scene.drop(2)
    scene.look()
    scene.put(7, "Marcus")
    scene.look()
    again = restarted(scene)
    again.drop(3)
    again.put(8, "Nora")
    again.look()
    call = again.call
    assert call.uuid == scene.call.uuid
    assert [party.who.name for party in call.state.parties] == ["Rita", "Marcus", "Pia", "Nora"]
    assert [party.here for party in call.state.parties] == [True, True, False, True]
    assert again.host.unfinished() == []
    assert {tap.party for tap in again.taps} == {0, 1, 3}


def test_after_a_restart_a_newcomer_of_the_same_name_is_not_taken_for_who_is_still_there():
    scene = Scene()
    scene.put(2, "Guest")
    scene.look()
    again = restarted(scene)
    again.people = {}
    again.put(9, "Guest")
    again.put(2, "Guest")
    again.look()
    assert [(party.key, party.here) for party in again.call.state.parties] == [("2", True), ("9", True)]


def test_after_a_restart_a_call_whose_people_are_gone_ends_where_it_was_captured_last():
    scene = Scene()
    scene.put(1, "Rita")
    scene.put(1, "Rita", room="other")
    scene.look(3)
    last = max(call.state.last for call in scene.host.calls)
    again = restarted(scene)
    again.people.clear()
    again.look(9)
    assert not any(call.over for call in again.host.calls)
    again.look(3)
    for call in again.host.calls:
        assert call.over
        assert call.state.ended <= last
        assert [warning.code for warning in call.state.warnings] == ["ended-unseen"]


def test_after_a_restart_others_in_the_same_room_have_a_call_of_their_own():
    scene = Scene()
    scene.put(1, "Rita")
    scene.look()
    again = restarted(scene)
    again.people = {ROOM: {}}
    again.put(2, "Marcus")
    again.look(20)
    assert [call.over for call in again.host.calls] == [True, False]


def test_a_room_whose_name_begins_like_another_has_other_calls():
    scene = Scene()
    scene.put(1, "Rita", room="a/b")
    scene.look()
    assert scene.call.key == "a%2Fb/1"
    again = restarted(scene)
    again.people = {"a": {1: Participant(1, "Rita", True)}}
    again.look()
    assert len(again.host.calls) == 2


def test_when_the_adapter_goes_calls_stay_and_taps_end():
    scene = Scene()
    scene.put(1, "Rita")
    scene.look()
    scene.tracker.close()
    assert not scene.call.over
    assert scene.taps[0].ended[1] is False


steps = st.lists(
    st.tuples(
        st.sampled_from(["put", "drop", "mute", "look", "late", "restart"]),
        st.integers(1, 4),
        st.sampled_from(["", "Rita", "Marcus"]),
    ),
    max_size=40,
)


@settings(deadline=None)
@given(steps, st.sampled_from(["name", "id"]))
def test_whatever_happens_the_record_is_lawful(acts: list[tuple[str, int, str]], returns: str):
    scene = Scene(returns=returns)
    for act, who, name in acts:
        if act == "put":
            scene.put(who, name)
        elif act == "mute":
            scene.put(who, name, publishes=False)
        elif act == "drop":
            scene.people.get(ROOM, {}).pop(who, None)
        elif act == "look":
            scene.look()
        elif act == "late":
            scene.look(after=5)
        else:
            scene = restarted(scene, returns=returns)
    scene.people = {ROOM: {}}
    scene.look(15)
    assert scene.host.faults == []
    for call in scene.host.calls:
        check_events(scene.host, call)
        assert call.over
        for party in call.state.parties:
            for stay in party.presences:
                assert stay.left is not None
                assert stay.joined <= stay.left
