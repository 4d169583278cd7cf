"""Participants of one session as parties of its record: who joins, who leaves, who stood in for whom, whose a line is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from vcond.sdk.contract import Instant, PartyInfo
from vcond_siprec.lines import AudioLine
from vcond_siprec.participants import Participants, Speakers
from vcond_siprec.recordings import Person, Recording
from vcond_siprec.who import same, who

MAX_KEY: Final = 512


class People:
    """Of one session."""

    def __init__(self, recording: Recording, session: object, name: str) -> None:
        """``name``: of the session, for keys of parties; the same after a restart."""
        self._recording = recording
        self._session = session
        self._name = name
        self._named: dict[str, Person] = {}
        """By participant id."""
        self._unnamed: dict[str, Person] = {}
        """By ``_line`` of a line of which nobody says whose it is."""

    def tell(self, known: Participants, lines: Sequence[AudioLine], at: Instant) -> list[Speakers]:
        """Make the record say who is there and whose each line is; who is heard on each is returned."""
        here = known.here
        gone = {place: person for place, person in self._named.items() if place not in here}
        speakers = known.speakers([line.offered.label for line in lines])
        for place in here:
            participant = known.people[place]
            told = who(participant)
            person = self._named.get(place)
            if person is None:
                person = self._whose(place, same(participant.aor), lines, speakers, gone)
                person = person or Person(f"{self._name} {place}"[:MAX_KEY], told)
                self._named[place] = person
            person.provisional = known.stands_in(place)
            self._recording.describe(person, told, participant.aor, at)
            self._recording.join(person, (self._session, place), at)
        for place, person in gone.items():
            del self._named[place]
            self._recording.leave(person, (self._session, place), at)
        for number, (line, heard) in enumerate(zip(lines, speakers, strict=True)):
            line.belongs_to([self._named[one] for one in heard.participants] or [self._stranger(number, at)], at)
        used = {id(line.person) for line in lines}
        for place, person in list(self._unnamed.items()):
            if id(person) not in used:
                del self._unnamed[place]
                self._recording.leave(person, (self._session, place), at)
        return speakers

    def leave(self, at: Instant) -> None:
        """The session is over."""
        for place, person in (self._named | self._unnamed).items():
            self._recording.leave(person, (self._session, place), at)

    def _whose(
        self,
        place: str,
        address: str,
        lines: Sequence[AudioLine],
        speakers: Sequence[Speakers],
        gone: dict[str, Person],
    ) -> Person | None:
        """The party that a new participant is: what stood in for it, or who has its address in another session."""
        for line, heard in zip(lines, speakers, strict=True):
            if place in heard.participants and line.person is not None and self._takes_over(line.person, gone):
                return line.person
        for person in gone.values():
            if self._takes_over(person, gone):
                return person
        known = self._recording.by_address(address)
        return known if known is not None and all(session is not self._session for session, _ in known.places) else None

    def _takes_over(self, person: Person, gone: dict[str, Person]) -> bool:
        """Whether a party only stood in, and is nobody else now: then it is freed of what it was."""
        if not person.provisional:
            return False
        for places in (gone, self._unnamed):
            for place in [place for place, one in places.items() if one is person]:
                del places[place]
                self._named.pop(place, None)
                person.places.discard((self._session, place))
                return True
        return False

    def _stranger(self, number: int, at: Instant) -> Person:
        """Somebody of whom nothing is known but the line."""
        place = _line(number)
        person = self._unnamed.get(place)
        if person is None:
            person = self._unnamed[place] = Person(f"{self._name} {place}"[:MAX_KEY], PartyInfo(), provisional=True)
            self._recording.join(person, (self._session, place), at)
        return person


def _line(number: int) -> str:
    """What the participant of a line is called whom nobody names; no id of a client's, because of the space."""
    return f"line {number}"
