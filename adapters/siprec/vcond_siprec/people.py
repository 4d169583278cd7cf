"""Participants of one session as parties of its record: who joins, who leaves, who stood in for whom, whose a line is."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Final

from vcond.sdk.contract import Instant, PartyInfo
from vcond_siprec.lines import AudioLine
from vcond_siprec.participants import Participants, Speakers
from vcond_siprec.recordings import Person, Recording
from vcond_siprec.saved import SavedPeople
from vcond_siprec.who import same, who

MAX_KEY: Final = 256
"""Characters, as the core keeps of it."""
NOBODYS: Final = "line"
MIXED: Final = "mixed line"
"""What the party of a line is called that is no participant's; no id of a client's, because of the space."""
EVERYBODY: Final = PartyInfo(name="everybody, mixed", validation="none", several=True)
"""Whose a line is that several are heard on: no word of it may be shown as one person's."""


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
        """Of lines that are no single participant's, by ``NOBODYS`` or ``MIXED`` and a number."""
        self._heard: dict[AudioLine, Speakers] = {}
        """Who was heard on each line by what was said until now."""

    def tell(self, known: Participants, lines: Sequence[AudioLine], at: Instant) -> list[Speakers]:
        """Make the record say who is there and whose each line is; who is heard on each is returned."""
        here = known.here
        gone = {place: person for place, person in self._named.items() if place not in here}
        speakers = known.speakers([line.offered.label for line in lines], [self._heard.get(line) for line in lines])
        for place in here:
            participant = known.people[place]
            told = who(participant)
            person = self._named.get(place)
            if person is None:
                person = self._whose(place, same(participant.aor), lines, speakers, gone)
                person = person or self._known(place, told) or Person(self._key(place), told)
                self._named[place] = person
            person.provisional = known.stands_in(place)
            self._recording.describe(person, told, participant.aor, at)
            self._recording.join(person, (self._session, place), at)
        for place, person in gone.items():
            del self._named[place]
            self._recording.leave(person, (self._session, place), at)
        for line, heard in zip(lines, speakers, strict=True):
            named = [self._named[one] for one in heard.participants]
            if heard.mixed:
                line.belongs_to(self._of_line(line, MIXED, at), named, at)
            else:
                line.belongs_to(named[0] if named else self._of_line(line, NOBODYS, at), [], at)
        self._heard = dict(zip(lines, speakers, strict=True))
        used = {id(line.person) for line in lines}
        for place, person in list(self._unnamed.items()):
            if id(person) not in used:
                del self._unnamed[place]
                self._recording.leave(person, (self._session, place), at)
        return speakers

    def saved(self, lines: Sequence[AudioLine]) -> SavedPeople:
        """As ``restore`` takes it."""
        named, unnamed = (
            {place: person.key for place, person in people.items()} for people in (self._named, self._unnamed)
        )
        heard = [("" if line.person is None else line.person.key, self._heard.get(line)) for line in lines]
        return SavedPeople(self._name, named, unnamed, heard)

    def restore(self, saved: SavedPeople, lines: Sequence[AudioLine]) -> None:
        """Be what another process wrote down, of the parties that the record has."""
        for people, keys in ((self._named, saved.named), (self._unnamed, saved.unnamed)):
            for place, key in keys.items():
                person = self._recording.by_key(key)
                if person is not None:
                    people[place] = person
                    person.places.add((self._session, place))
                    person.provisional = place.startswith(f"{NOBODYS} ")
        for line, (key, heard) in zip(lines, saved.heard, strict=False):
            line.person = self._recording.by_key(key)
            if heard is not None:
                self._heard[line] = heard

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
        """The party that a new participant is: what stood in for it, or who has its address, here until now or elsewhere."""
        for line, heard in zip(lines, speakers, strict=True):
            if place not in heard.participants or heard.mixed or line.person is None:
                continue
            if line.person.provisional and self._free(line.person, gone):
                return line.person
        for person in list(gone.values()):
            if (person.provisional or (address and person.address == address)) and self._free(person, gone):
                return person
        known = self._recording.by_address(address)
        return known if known is not None and all(session is not self._session for session, _ in known.places) else None

    def _free(self, person: Person, gone: dict[str, Person]) -> bool:
        """Have a party be nobody here any more, so that it can be somebody; False when it is somebody else."""
        for places in (gone, self._unnamed):
            for place in [place for place, one in places.items() if one is person]:
                del places[place]
                self._named.pop(place, None)
                person.places.discard((self._session, place))
                return True
        return False

    def _of_line(self, line: AudioLine, kind: str, at: Instant) -> Person:
        """The party of a line that is no single participant's: it stays with the line, wherever that stands in an offer.

        Who was heard on it when nobody was named yet was everybody too.
        """
        who = EVERYBODY if kind == MIXED else PartyInfo()
        held = next((place for place, person in self._unnamed.items() if person is line.person), "")
        if held.startswith(kind):
            return self._unnamed[held]
        place = next(one for number in count() if (one := f"{kind} {number}") not in self._unnamed)
        if held and kind == MIXED:
            person = self._unnamed.pop(held)
            person.places.discard((self._session, held))
            self._recording.describe(person, who, "", at)
        else:
            person = self._known(place, who) or Person(self._key(place), who)
        person.provisional = kind == NOBODYS
        self._unnamed[place] = person
        self._recording.join(person, (self._session, place), at)
        return person

    def _known(self, place: str, who: PartyInfo) -> Person | None:
        """The party of the same name in the record: of this session earlier, or of one that it takes the place of."""
        person = self._recording.by_key(self._key(place))
        here = [*self._named.values(), *self._unnamed.values()]
        return None if person is None or person.who != who or person in here else person

    def _key(self, place: str) -> str:
        return f"{self._name} {place}"[:MAX_KEY]
