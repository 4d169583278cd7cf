"""Who takes part in a recording session and who is heard on which line: what becomes of one document after another. Pure.

RFC 7865 section 5 and RFC 7866 section 9.1: a complete document is the present state, a partial one changes the objects
that it names. Nobody is ever forgotten: who is not in a complete document has left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from vcond_siprec.metadata import Document, Participant, Sending, Stream

Rule = Literal["label", "order", "nobody"]
"""How it is known who is heard on a line: by its label, its place among the lines, or not at all."""
MOST_PEOPLE: Final = 500
"""Participants of one session, those who left too."""


@dataclass(frozen=True, slots=True)
class Speakers:
    """Who is heard on a line."""

    participants: tuple[str, ...]
    rule: Rule
    mixed: bool = False
    """Several are, or may be: who of them speaks when cannot be told."""


@dataclass(slots=True)
class Participants:
    """The state after all documents so far."""

    people: dict[str, Participant] = field(default_factory=dict)
    """All that ever were there, by id."""
    sessions: list[str] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    sip_sessions: list[str] = field(default_factory=list)
    extras: dict[str, str] = field(default_factory=dict)
    documents: int = 0
    refused: int = 0
    """People over ``MOST_PEOPLE``."""
    _here: dict[str, None] = field(default_factory=dict)
    """Ids of who is there, in the order of the latest complete document."""
    _streams: dict[str, Stream] = field(default_factory=dict)
    _sends: dict[str, frozenset[str]] = field(default_factory=dict)
    """Ids of the streams that a participant sends."""
    _sent: set[str] = field(default_factory=set)
    """Who ever sent anything."""

    @property
    def here(self) -> list[str]:
        """Ids of who is there now, the caller first: by a vendor's word for it, else in the order of the document."""
        return sorted(self._here, key=lambda one: not self.people[one].calling)

    def take(self, document: Document) -> None:
        """One more document. A complete one that names nobody and nothing changes nobody: some clients send such."""
        complete = (document.complete or not self.documents) and not document.empty
        self.documents += 1
        for known, told in (
            (self.sessions, document.sessions),
            (self.groups, document.groups),
            (self.sip_sessions, document.sip_sessions),
        ):
            known.extend(one for one in told if one not in known and len(known) < MOST_PEOPLE)
        self.extras |= document.extras
        if complete:
            self._here, self._streams, self._sends = {}, {}, {}
        self._streams |= {stream.id: stream for stream in document.streams}
        for participant in document.participants:
            self._add(participant)
        for presence in document.presences:
            if not self._know(presence.participant):
                continue
            if presence.until is None:
                self._here.setdefault(presence.participant)
            else:
                self._here.pop(presence.participant, None)
        self._associate(document.sendings)

    def speakers(self, labels: Sequence[str | None], before: Sequence[Speakers | None] = ()) -> list[Speakers]:
        """Who is heard on each audio line, by the labels of the lines in their order.

        A label leads to streams and these to whoever sends them. Where it leads nowhere (the document names other
        streams, or none; two lines have it) a line stays whose it was ``before``, in whatever order they come. Else the
        k-th line is the k-th participant's, if no other line is; a single line of which nothing is said, and to which all
        send the same or nothing, is everybody's.
        """
        here = self.here
        told = [self._senders(label if labels.count(label) == 1 else None) for label in labels]
        mixed = {stream.label for stream in self._streams.values() if stream.mixed}
        taken = {one for senders in told for one in senders}
        stays = {
            number: (was.participants[0], was.rule)
            for number, was in enumerate(before)
            if was is not None and len(was.participants) == 1 and not was.mixed and not told[number]
            and was.participants[0] in here and was.participants[0] not in taken
        }  # fmt: skip
        found: list[Speakers] = []
        for place, (label, senders) in enumerate(zip(labels, told, strict=True)):
            if senders:
                found.append(Speakers(tuple(senders), "label", mixed=len(senders) > 1 or label in mixed))
            elif place in stays and stays[place][1] == "label":
                found.append(Speakers((stays[place][0],), "label"))
            elif len(labels) == 1 and len({self._sends.get(one, frozenset()) for one in here}) == 1 < len(here):
                found.append(Speakers(tuple(here), "order", mixed=True))
            else:
                others = taken.union(one for number, (one, _) in stays.items() if number != place)
                wanted = [stays[place][0] if place in stays else "", *here[place : place + 1], *here]
                free = [one for one in wanted if one and one not in others][:1]
                taken.update(free)
                found.append(Speakers(tuple(free), "order" if free else "nobody"))
        return found

    def stands_in(self, participant: str) -> bool:
        """Whether it may be no more than a placeholder: others send something, and it never did."""
        return bool(self._sent) and participant not in self._sent

    def _senders(self, label: str | None) -> list[str]:
        if label is None:
            return []
        streams = {stream.id for stream in self._streams.values() if stream.label == label}
        return [one for one in self.here if not streams.isdisjoint(self._sends.get(one, ()))]

    def _know(self, participant: str) -> bool:
        return participant in self.people or self._add(Participant(participant))

    def _add(self, participant: Participant) -> bool:
        """Somebody is there, perhaps again; False when there are too many."""
        known = self.people.get(participant.id)
        if known is None and len(self.people) >= MOST_PEOPLE:
            self.refused += 1
            return False
        if known is not None and participant.calling is None and known.calling is not None:
            participant = Participant(participant.id, participant.aor, participant.name, known.calling)
        self.people[participant.id] = participant
        self._here.setdefault(participant.id)
        return True

    def _associate(self, sendings: Sequence[Sending]) -> None:
        """Who sends what: within one document all of a participant's associations count together."""
        told: dict[str, frozenset[str]] = {}
        for sending in sendings:
            if not self._know(sending.participant):
                continue
            streams = frozenset(sending.streams)
            if sending.over:
                before = told.get(sending.participant, self._sends.get(sending.participant, frozenset()))
                told[sending.participant] = before - streams if streams else frozenset()
            else:
                told[sending.participant] = told.get(sending.participant, frozenset()) | streams
                if streams:
                    self._sent.add(sending.participant)
        self._sends |= told
