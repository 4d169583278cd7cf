"""Rooms to calls: what two looks at a room tell that happened in between. No sockets, no timers.

Nobody in a room is told that somebody publishes or leaves without being in the room too, seen by all. So vcond looks
at the list of participants several times a second instead. That misses nothing for good: whatever happened while
nobody looked (Janus was away, vcond was restarted) shows in the next look.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol
from urllib.parse import quote

from vcond.sdk.contract import (
    SECOND,
    AdapterHost,
    CallAttribute,
    Cause,
    Instant,
    LiveCall,
    PartyInfo,
    PartyLeft,
    Warned,
)
from vcond_webrtc.janus.config import JanusConfig
from vcond_webrtc.janus.wire import Id, Participant, clean

LEFT: Final = Cause(q850=16, text="left the room")
LOST: Final = Cause(text="lost")
EARLIEST: Final = 10 * SECOND
"""So long before its first publisher publishes a call may begin: from when that one came into the room."""
CLOSE: Final = SECOND
"""Looks that are further apart do not tell when something happened in between."""


class Tap(Protocol):
    """The audio of one publisher on its way into a call."""

    @property
    def heard(self) -> Instant | None:
        """When the latest packet came, read or not."""

    def end(self, at: Instant, *, gone: bool) -> None:
        """No more is wanted from ``at`` on. ``gone``: the publisher stopped, and Janus removed the forwards itself."""


class Taps(Protocol):
    """Makes them."""

    def open(self, room: Id, publisher: Id, call: LiveCall, party: int) -> Tap:
        """Have a publisher's audio sent to us, now or as soon as that is possible."""


@dataclass(slots=True, eq=False)
class Member:
    """Who is in a room now."""

    id: Id
    name: str
    seen: Instant
    publishing: bool = False
    party: int = -1
    tap: Tap | None = None


@dataclass(slots=True, eq=False)
class Room:
    """One room: who is in it, and the call that goes on there, if any."""

    id: Id
    members: dict[Id, Member] = field(default_factory=dict)
    crowd: set[Id] = field(default_factory=set)
    """Who is in it and is one too many."""
    call: LiveCall | None = None
    looked: Instant | None = None
    """When it was looked at last; None = never."""
    left: Instant = Instant(0)  # noqa: RUF009 - a plain int
    """When the latest publisher stopped."""
    quiet: Instant | None = None
    """Since when we know that nobody publishes; None = somebody does."""
    refused: bool = False
    """The core ended the call: what is said until nobody publishes is not wanted."""
    late: bool = False
    """The core cut the call off: the next one begins in the middle of it."""
    key: str = ""
    """Of the call that was cut off: the next one has it, too."""

    @property
    def publishers(self) -> list[Member]:
        """Who publishes, in the order in which they came."""
        return sorted((m for m in self.members.values() if m.publishing), key=lambda m: m.seen)

    def leave_call(self, at: Instant) -> None:
        """The call is over: nobody is a party any more, and no audio is wanted."""
        self.call = None
        for member in self.members.values():
            member.party = -1
            if member.tap is not None:
                member.tap.end(at, gone=not member.publishing)
                member.tap = None


class RoomTracker:
    """All rooms, and the calls of an earlier run that nobody took up yet."""

    def __init__(self, host: AdapterHost, config: JanusConfig, taps: Taps) -> None:
        self._host = host
        self._config = config
        self._taps = taps
        self._grace = round(config.grace * SECOND)
        self.rooms: dict[Id, Room] = {}
        self._deadline: Instant | None = None
        self._round: Instant | None = None
        self._full: set[Id] = set()
        self._full_now: set[Id] = set()
        """Rooms that are one too many: of the round before, and of this one."""

    def close(self) -> None:
        """The adapter goes: calls are left as they are, for the core to end or for the next run to take up."""
        for room in self.rooms.values():
            for member in room.members.values():
                if member.tap is not None:
                    member.tap.end(self._host.clock.now(), gone=False)
        self.rooms.clear()

    def look(self, which: Id, people: Sequence[Participant], at: Instant) -> None:
        """Take what a room is like at ``at``."""
        room = self.rooms.get(which)
        if room is None:
            if not people:
                return
            if len(self.rooms) >= self._config.max_rooms:
                if which not in self._full:
                    self._host.dropped("room", "limit")
                self._full_now.add(which)
                return
            room = self.rooms[which] = Room(which, looked=self._round)
        now = {person.id: person for person in people if not person.dummy}
        self._end_if_core_did(room, at)
        self._went(room, now, at)
        self._came(room, now.values(), at)
        self._settle(room, at)
        room.looked = at
        if not room.members and not room.crowd and room.call is None:
            del self.rooms[which]

    def round_ends(self, at: Instant) -> None:
        """All rooms were looked into; calls of an earlier run whose people did not come back in ``grace`` are over."""
        self._round = at
        self._full, self._full_now = self._full_now, set()
        if self._deadline is None:
            self._deadline = Instant(at + self._grace)
        if at < self._deadline:
            return
        for call in self._leftovers():
            last = call.state.known_until
            text = "the call ended while vcond was disconnected; its end is that of the recorded audio"
            call.emit(Warned(at=last, code="ended-unseen", text=text))
            call.end(at=last, cause=LOST)

    # Who went, who came.

    def _went(self, room: Room, now: Mapping[Id, Participant], at: Instant) -> None:
        room.crowd &= now.keys()
        for member in list(room.members.values()):
            person = now.get(member.id)
            if person is not None and (person.publisher or not member.publishing):
                continue
            when = _when(room, at, member)
            if member.publishing:
                self._unpublished(room, member, when)
            if person is None:
                del room.members[member.id]
                if room.call is not None and member.party >= 0:
                    room.call.emit(PartyLeft(at=when, party=member.party, cause=LEFT))
                    self._host.log.info("participant left", call=room.call.uuid, present=len(room.members))

    def _unpublished(self, room: Room, member: Member, when: Instant) -> None:
        member.publishing = False
        room.left = max(room.left, when)
        if member.tap is not None:
            member.tap.end(when, gone=True)

    def _came(self, room: Room, people: Iterable[Participant], at: Instant) -> None:
        for person in people:
            member = room.members.get(person.id)
            if member is None:
                if len(room.members) >= self._config.max_parties:
                    self._turn_away(room, person.id)
                    continue
                room.crowd.discard(person.id)
                member = room.members[person.id] = Member(person.id, clean(person.display), _when(room, at))
                if room.call is not None:
                    self._join(room, member, member.seen)
            elif member.name != (name := clean(person.display)):
                member.name = name
                if room.call is not None:
                    self._join(room, member, at)
            if person.publisher and not member.publishing:
                member.publishing = True
                member.tap = None

    def _turn_away(self, room: Room, who: Id) -> None:
        if who not in room.crowd:
            room.crowd.add(who)
            self._host.dropped("party", "too-many")

    # The call.

    def _settle(self, room: Room, at: Instant) -> None:
        publishers = room.publishers
        room.quiet = None if publishers else room.quiet or at
        if room.refused:
            room.refused = bool(publishers)
            return
        if room.call is None and room.members:
            self._open(room, publishers, at)
        if room.call is None:
            return
        for member in publishers:
            if member.tap is None:
                member.tap = self._taps.open(room.id, member.id, room.call, member.party)
        if room.quiet is not None and at - room.quiet >= self._grace:
            self._end(room)

    def _open(self, room: Room, publishers: Sequence[Member], at: Instant) -> None:
        """Take up an earlier run's call whose people are here, else begin one with the first publisher."""
        earlier = next((call for call in self._leftovers() if self._is_of(call, room)), None)
        if earlier is not None:
            room.call = self._host.call(earlier.key, at=at)
            self._host.log.info("recording resumed after restart", call=room.call.uuid)
        elif publishers:
            first = publishers[0]
            opened = max(first.seen, Instant(at - EARLIEST))
            key, room.key = room.key or f"{_prefix(room.id)}{quote(str(first.id), safe='')}", ""
            room.call = self._host.call(key, at=opened)
            room.call.emit(CallAttribute(at=opened, name="janus.room", value=str(room.id)))
            if room.late:
                text = "the call was there before capture began"
                room.call.emit(Warned(at=opened, code="joined-late", text=text))
            room.late = False
            self._host.log.info("call opened", call=room.call.uuid, present=len(room.members))
        else:
            return
        room.left = at
        call = room.call
        for member in sorted(room.members.values(), key=lambda m: m.seen):
            self._join(room, member, at if earlier is not None else max(member.seen, call.state.opened))
        here = {member.party for member in room.members.values()}
        for party in call.state.parties:
            if party.here and party.index not in here:
                call.emit(
                    PartyLeft(at=max(call.state.known_until, party.presences[-1].joined), party=party.index, cause=LOST)
                )

    def _join(self, room: Room, member: Member, at: Instant) -> None:
        """The member is a party of the room's call: one that was there before, or a new one."""
        call = room.call
        assert call is not None
        key = str(member.id)
        if member.party >= 0 and member.party < len(call.state.parties):
            key = call.state.parties[member.party].key
        elif call.state.party_by_key(key) is None and self._config.returns == "name" and member.name:
            taken = {other.party for other in room.members.values() if other is not member}
            ids = {str(other) for other in room.members}
            for party in call.state.parties:
                if party.who.name == member.name and party.index not in taken and party.key not in ids:
                    key = party.key
                    break
        who = PartyInfo(name=member.name, validation="none" if member.name else "")
        member.party = call.party(key, at=at, who=who)

    def _end_if_core_did(self, room: Room, at: Instant) -> None:
        """It could not be heard for long, or went on for too long: a new call begins. Else it is not wanted any more."""
        if room.call is None or room.call.state.ended is None:
            return
        room.late = room.call.state.cause.cut_off
        room.refused = not room.late
        room.key = room.call.key if room.late else ""
        for member in room.members.values():
            member.seen = at
        room.leave_call(at)

    def _end(self, room: Room) -> None:
        assert room.call is not None
        # who came in to listen after the last one had spoken was there too
        at = max(room.left, *(party.presences[-1].joined for party in room.call.state.parties))
        room.call.end(at=at, cause=LEFT)
        room.leave_call(at)

    def _leftovers(self) -> list[LiveCall]:
        ours = {room.call.uuid for room in self.rooms.values() if room.call is not None}
        calls = [*self._host.unfinished(), *self._host.open_calls()]
        return [call for call in calls if call.uuid not in ours]

    def _is_of(self, call: LiveCall, room: Room) -> bool:
        """Whether a call is this room's, and somebody of it is still (or again) here."""
        if not call.key.startswith(_prefix(room.id)):
            return False
        ids = {str(member.id) for member in room.members.values()}
        names = {member.name for member in room.members.values()} if self._config.returns == "name" else set()
        return any(party.key in ids or (party.who.name and party.who.name in names) for party in call.state.parties)


def _prefix(room: Id) -> str:
    """How the keys of a room's calls begin."""
    return f"{quote(str(room), safe='')}/"


def _when(room: Room, at: Instant, member: Member | None = None) -> Instant:
    """When something happened that the look at ``at`` shows and the one before did not.

    Half way between the two; for who sent audio after the last look, when the last of it came. After a time without
    looks: when the one who went was heard last, else now.
    """
    before = room.looked
    heard = member.tap.heard if member is not None and member.tap is not None else None
    if before is None or at - before > CLOSE:
        return min(max(heard, before or heard), at) if heard is not None else at
    if heard is not None and heard >= before:
        return min(heard, at)
    return Instant(before + (at - before) // 2)
