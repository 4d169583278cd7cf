"""Records, and which recording sessions are told in which: one call of vcond may have several, at once or one after another.

A session is joined to a record that is there by the first of these rules that applies, and the record names it:

``session``   the same communication session under another Call-ID: the client went over to another server and back
``group``     the same communication session group, and somebody who takes part in both: a transfer. Without that somebody
              a group is no more than a name (some installations write a department's into it)
``call-id``   the same ``sipSessionID``: the call of the phones
``vendor``    the same id of a vendor: ``Cisco-Guid``, ``Session-ID``, ``X-Audc-Call-Id``, UCID in ``User-to-User``, ...
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

from vcond.sdk import clean
from vcond.sdk.contract import (
    SECOND,
    AdapterHost,
    AdapterState,
    Answered,
    Call,
    CallAttribute,
    Direction,
    Instant,
    LiveCall,
    PartyDescribed,
    PartyInfo,
    PartyLeft,
    RecordingPaused,
    RecordingResumed,
    is_consent,
    refuses,
)
from vcond.sdk.mistakes import mistake
from vcond_siprec.who import same, same_as

Rule = Literal["session", "group", "call-id", "vendor"]
MOST_IDS: Final = 64
"""Ids of one session that are looked at."""
MOST_FACTS: Final = 200
"""That one record gets of its sessions."""
VENDOR_HEADERS: Final = frozenset(
    {"cisco-guid", "x-audc-call-id", "x-broadworks-correlation-info", "x-cisco-recording-id"}
)
_REFCI: Final = re.compile(r";\s*x-refci\s*=\s*([\w.-]{1,64})", re.IGNORECASE)
_CLUSTER: Final = re.compile(r";\s*x-nearendclusterid\s*=\s*([\w.-]{1,64})", re.IGNORECASE)
"""What both calls of a Cisco phone that is recorded have in common: the phone's leg, and its cluster."""
_UCID: Final = re.compile(r"\s*(00FA[0-9A-F]{16,60})\s*(?:;|$)", re.IGNORECASE)
"""An id of Avaya's in ``User-to-User``; what else is in there is the application's."""
START: Final = Instant(0)
_NO_UUID: Final = "0" * 32


class Id(NamedTuple):
    """Something that two sessions of one call have in common."""

    rule: Rule
    value: str


def sip_ids(text: str) -> list[str]:
    """The ids in a ``sipSessionID`` or ``Session-ID``: a Call-ID, or both halves of RFC 7989."""
    local, _, rest = text.partition(";")
    remote = rest.partition("remote=")[2].partition(";")[0]
    return [one for one in (local.strip(), remote.strip()) if one and one != _NO_UUID]


def vendor_ids(headers: Iterable[tuple[str, str]]) -> list[Id]:
    """Ids of the call in headers of the first INVITE; names in lower case."""
    found: list[Id] = []
    for name, value in headers:
        if name in VENDOR_HEADERS:
            found.append(Id("vendor", f"{name} {clean(value)}"))
        elif name == "session-id":
            found += [Id("vendor", f"session-id {clean(one)}") for one in sip_ids(value)]
        elif name == "from" and (leg := _REFCI.search(value)):
            cluster = _CLUSTER.search(value)
            found.append(Id("vendor", f"x-refci {leg[1]}@{cluster[1] if cluster else ''}"))
        elif name == "user-to-user" and (ucid := _UCID.match(value)):
            found.append(Id("vendor", f"ucid {ucid[1].upper()}"))
    return [one for one in found if one.value.partition(" ")[2]][:MOST_IDS]


@dataclass(slots=True, eq=False)
class Person:
    """A party of a record."""

    key: str
    """Of the party, for the core."""
    who: PartyInfo
    index: int = -1
    """In the call; -1 before it is open, and when it takes no more parties."""
    address: str = ""
    """What ``same`` makes of its address."""
    provisional: bool = False
    """A placeholder, or somebody of whom nothing is known but a line: another identity takes its place."""
    places: set[tuple[object, str]] = field(default_factory=set)
    """Session and participant id of everywhere it is now."""
    since: Instant = START


class Recording:
    """One record: a call of vcond from the first session that tells of it to the end of the last."""

    def __init__(self, host: AdapterHost, key: str, began: Instant, direction: Direction) -> None:
        self.key = key
        self.began = began
        self.direction: Direction = direction
        self.call: LiveCall | None = None
        """None until there is something to record."""
        self.sessions: set[object] = set()
        self.people: list[Person] = []
        self.ids: set[Id] = set()
        self.ended: Instant | None = None
        """When its last session ended, while others may still join."""
        self.refused = False
        """The core ended the call, and nothing more of it is wanted."""
        self._host = host
        self._facts: dict[str, str] = {}
        self._words: dict[object, set[tuple[str, str]]] = {}
        """What each session says of consent."""
        self._kept: dict[str, str] = {}
        self.pausing: set[object] = set()
        """Sessions whose lines are all inactive."""
        self._told_paused = False
        self._heard: set[object] = set()

    # Opening.

    def again(self, state: Call) -> None:
        """Be the record of a call that an earlier run left open."""
        self.people = [Person(party.key, party.told, address=same_as(party.told)) for party in state.parties]
        self._told_paused = any(pause.stop is None and pause.by == "platform" for pause in state.pauses)
        self._facts = {fact.name: fact.value for fact in state.facts if fact.name.startswith("sip")}
        self._kept = dict(state.adapter_state)

    def open(self) -> LiveCall | None:
        """The call, opened now at the latest; None when the core wants nothing of it."""
        call = self.call
        if call is not None and call.state.ended is None:
            return call
        if self.refused or (call is not None and not call.state.cause.cut_off):
            self.refused = True
            return None
        began = self.began if call is None else self._host.clock.now()
        self.call = call = self._host.call(self.key, at=began, direction=self.direction)
        self._heard.clear()
        for person in self.people:
            person.index = -1
            if person.places:
                person.index = call.party(person.key, at=Instant(max(person.since, began)), who=person.who)
        told = {fact.name: fact.value for fact in call.state.facts}
        for name, value in self._facts.items():
            if told.get(name) != value:
                call.emit(CallAttribute(at=began, name=name, value=value))
        for name, value in self._kept.items():
            if call.state.adapter_state.get(name, "") != value:
                call.emit(AdapterState(at=began, name=name, value=value))
        if self._told_paused:
            call.emit(RecordingPaused(at=began, by="platform", reason="inactive"))
        return call

    # Parties.

    def by_address(self, address: str) -> Person | None:
        """Who has an address."""
        return next((one for one in self.people if address and one.address == address), None)

    def by_key(self, key: str) -> Person | None:
        """Who has a key."""
        return next((one for one in self.people if one.key == key), None)

    def join(self, person: Person, place: tuple[object, str], at: Instant) -> None:
        """Somebody is there, perhaps again."""
        back = not person.places
        person.places.add(place)
        if back:
            person.since = at
        if person not in self.people:
            self.people.append(person)
        if back and self.call is not None:
            person.index = self.call.party(person.key, at=at, who=person.who)

    def describe(self, person: Person, who: PartyInfo, aor: str, at: Instant) -> None:
        """More, or something else, is known of somebody."""
        person.address = same(aor) or person.address
        if who == person.who:
            return
        person.who = who
        if self.call is not None and person.index >= 0:
            self.call.emit(PartyDescribed(at=at, party=person.index, who=who))

    def leave(self, person: Person, place: tuple[object, str], at: Instant) -> None:
        """Somebody is not in a session any more."""
        if place not in person.places:
            return
        person.places.discard(place)
        if not person.places and self.call is not None and person.index >= 0:
            self.call.emit(PartyLeft(at=at, party=person.index))

    # What sessions tell.

    def fact(self, at: Instant, name: str, value: str) -> None:
        """Something about the call, once."""
        most = 2 * MOST_FACTS if is_consent(name) else MOST_FACTS  # as much again: others leave no refusal out
        if not value or self._facts.get(name) == value or len(self._facts) >= most:
            return
        self._facts[name] = value
        if self.call is not None:
            self.call.emit(CallAttribute(at=at, name=name, value=value))

    def also(self, at: Instant, name: str, value: str) -> None:
        """One more value of a name: the second is called ``name.2``."""
        known = [told for given, told in self._facts.items() if given == name or given.startswith(f"{name}.")]
        if value and value not in known:
            self.fact(at, f"{name}.{len(known) + 1}" if known else name, value)

    def consent(self, at: Instant, session: object, words: Sequence[tuple[str, str]]) -> None:
        """All that a session says of consent now. A refusal that it says again, after something else, counts again; nothing else does."""
        before, self._words[session] = self._words.get(session), set(words)
        for name, value in words:
            known = [given for given, told in self._facts.items() if told == value and is_consent(given)]
            if known and before is not None and (name, value) not in before and refuses(value):
                if self.call is not None:
                    self.call.emit(CallAttribute(at=at, name=known[0], value=value))
            else:
                self.also(at, name, value)

    def keep(self, at: Instant, name: str, value: str) -> None:
        """Something to go on with after a restart; nothing, when it is over."""
        if self._kept.get(name, "") == value:
            return
        self._kept[name] = value
        if self.call is not None:
            self.call.emit(AdapterState(at=at, name=name, value=value))

    def pause(self, session: object, at: Instant, *, on: bool) -> None:
        """A session's client stopped all its audio, or sends it again."""
        (self.pausing.add if on else self.pausing.discard)(session)
        self.look(at)

    def look(self, at: Instant) -> None:
        """The record is paused while all its sessions are: what a paused one sends all the same is kept of none.

        The last one's pause lasts until it is joined by another one.
        """
        paused = bool(self.pausing) and self.sessions <= self.pausing
        if paused == self._told_paused:
            return
        self._told_paused = paused
        if self.call is not None:
            event = RecordingPaused(at=at, by="platform", reason="inactive")
            self.call.emit(event if paused else RecordingResumed(at=at, by="platform"))

    def heard(self, line: object, at: Instant, *, alone: bool) -> None:
        """A line is heard: two of them, or one that is ``alone`` and has all in it, are a conversation."""
        if line in self._heard or self.call is None:
            return
        self._heard.add(line)
        if (alone or len(self._heard) > 1) and self.call.state.answered is None:
            self.call.emit(Answered(at=at))

    def end(self, at: Instant) -> None:
        """It is over."""
        if self.call is not None:
            self.call.end(at=at)


class Recordings:
    """All that are open, by what may join others to them."""

    def __init__(self, host: AdapterHost, rules: Iterable[Rule], wait: float) -> None:
        """``wait``: seconds that a record stays open after its last session, for one that is joined to it."""
        self._host = host
        self._rules = tuple(rules)
        self._wait = round(wait * SECOND)
        self._by_id: dict[Id, list[Recording]] = {}
        self._open: dict[str, Recording] = {}

    def find(self, ids: Iterable[Id], addresses: Iterable[str]) -> tuple[Recording, Rule] | None:
        """The record that a session with these ids and people belongs to, and by which rule."""
        people = {address for address in addresses if address}
        told = list(ids)
        for rule in self._rules:
            for one in told:
                if one.rule != rule:
                    continue
                for recording in reversed(self._by_id.get(one, [])):
                    there = {person.address for person in recording.people}
                    if not recording.refused and (rule != "group" or not people.isdisjoint(there)):
                        return recording, rule
        return None

    def make(self, key: str, began: Instant, direction: Direction) -> Recording:
        """A new record. The key is that of an older one only if that is over."""
        made = Recording(self._host, key, began, direction)
        self._open[key] = made
        return made

    def again(self, state: Call) -> Recording:
        """The record of a call that an earlier run left open."""
        found = self._open.get(state.key)
        if found is None:
            found = self.make(state.key, self._host.clock.now(), state.direction)
            found.again(state)
        return found

    def has(self, key: str) -> bool:
        """Whether a record of that key is open."""
        return key in self._open

    def know(self, recording: Recording, ids: Iterable[Id]) -> None:
        """These ids are the record's too."""
        for one in ids:
            if one not in recording.ids and len(recording.ids) < MOST_IDS:
                recording.ids.add(one)
                self._by_id.setdefault(one, []).append(recording)

    def enter(self, recording: Recording, session: object) -> None:
        """A session belongs to a record."""
        recording.sessions.add(session)
        recording.ended = None
        recording.look(self._host.clock.now())

    def leave(self, recording: Recording, session: object, at: Instant) -> None:
        """A session is over."""
        recording.sessions.discard(session)
        recording.pausing &= {*recording.sessions, session}
        if not recording.sessions:
            recording.ended = at  # before anything is told, which may fail: else it would never end
            if recording.call is None:
                self._forget(recording)
        recording.look(at)

    def tick(self, now: Instant) -> None:
        """End what nobody joined."""
        for recording in list(self._open.values()):
            if recording.ended is not None and now - recording.ended >= self._wait:
                self._forget(recording)  # first: whatever happens, it is ended once, and the others have their turn
                try:
                    recording.end(recording.ended)
                except Exception as why:  # noqa: BLE001 - see above
                    mistake(self._host, "ending a call", why)

    def _forget(self, recording: Recording) -> None:
        self._open.pop(recording.key, None)
        for one in recording.ids:
            left = [other for other in self._by_id.get(one, []) if other is not recording]
            if left:
                self._by_id[one] = left
            else:
                self._by_id.pop(one, None)
