"""One party of a conversation made silent and nameless: what of it stands where. Pure. Decision 0034.

All that a party said goes, and whatever may have been said by it; its keys; what identifies it, and its name in what others say and in
every text. Nothing else is looked at: what the others said stays, but for moments in which it spoke too.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

from vcond.redaction.places import FEWEST, MARGIN, Place, Places, repeated, run_of_words, whole_turn
from vcond.redaction.texts import PARTY
from vcond.redaction.transcribed import LONGEST, Dialogs, Reading, plain
from vcond.vcon.validation.findings import indices

TYPE: Final = "party-removed"
"""Of ``redacted`` (core-04 section 4.1.8.1)."""
GONE: Final = "it is of the party that was forgotten, or may be, so it was left out"
OF_NOBODY: Final = frozenset({"vcond-facts", "sip-headers"})
"""Attachments that may identify any party, and do not say which."""
_IDENTIFIES: Final = ("tel", "sip", "mailto", "uuid", "did")
_LOCAL: Final = 7
"""Last digits of a number by which it is known without its country and area."""
_SHORTEST: Final = 3
"""Letters of a word of a name."""


def name_of(gone: frozenset[int]) -> str:
    """What tells the uuid of a vCon without these parties from those of other forms (``own_uuid``)."""
    return f"without {sorted(gone)}"


def same_person(people: Sequence[Collection[str]], chosen: Iterable[int]) -> frozenset[int]:
    """``chosen`` and all parties that share an identifier with them. ``people``: by party, its identifiers."""
    found = set(chosen)
    while True:
        known = {one for at in found for one in people[at]}
        more = {at for at, own in enumerate(people) if known & set(own)} - found
        if not more:
            return frozenset(found)
        found |= more


def take_out(found: Places, reading: Reading, parties: Sequence[Any], gone: frozenset[int]) -> frozenset[str]:
    """Put all that is of these parties into ``found``. Returns the words of their names, which nobody who stays has."""
    for line in reading.lines:
        if line.turn.party in gone or (line.turn.party < 0 and _may_be(reading.dialogs, line.turn.dialog, gone)):
            found.turns[line.turn.number] = PARTY
            found.sound.append(whole_turn(line, PARTY, 1.0))
    for (party, _), (dialog, down, up) in reading.moments.items():
        if party in gone and down >= 0:
            end = up if up is not None and down <= up <= down + LONGEST else down
            clock = reading.dialogs.clock(dialog)
            found.sound.append(Place(PARTY, dialog, party, clock, down - MARGIN, end + MARGIN))
    for at in sorted(gone):
        for text in _identifiers(parties[at]):
            found.surfaces.setdefault(text, PARTY)
    names = _names(parties[at] for at in gone) - _names(one for at, one in enumerate(parties) if at not in gone)
    for line in reading.lines:
        for word in line.turn.words:
            if names & set(plain(word.text).split()):
                found.words.setdefault(line.turn.number, {})[word.index] = PARTY
                found.sound.append(run_of_words(line, [word.index], PARTY, 1.0))
    repeated(found, reading)
    return names


def sent_by_others(dialog: Mapping[str, Any], gone: frozenset[int]) -> bool:
    """Whether a written message is of somebody else (core-04 section 4.3.5: of the first party where no originator is named)."""
    sender = dialog.get("originator", next(iter(indices(dialog.get("parties"))), None))
    return isinstance(sender, int) and sender not in gone


def _may_be(dialogs: Dialogs, dialog: int, gone: frozenset[int]) -> bool:
    """Whether a turn of nobody known may be theirs."""
    known = dialogs.parties(dialog)
    return not known or bool(gone & set(known))


def _identifiers(party: Any) -> Iterable[str]:
    """As ``Places.surfaces`` has them."""
    for name in _IDENTIFIES if isinstance(party, dict) else ():
        value = party.get(name)
        if not isinstance(value, str):
            continue
        runs = ["".join(re.findall(r"\d", value))] if name == "tel" else re.findall(r"\d+", value)
        for digits in runs if name != "uuid" else ():
            if len(digits) >= FEWEST:
                yield digits
            if len(digits) > _LOCAL:
                yield digits[-_LOCAL:]
        if " " in (words := plain(value.partition(":")[2] or value)):
            yield words


def _names(parties: Iterable[Any]) -> frozenset[str]:
    """The words of their names, in lower case."""
    texts = [str(one.get("name", "")) for one in parties if isinstance(one, dict)]
    return frozenset(word for text in texts for word in plain(text).split() if len(word) >= _SHORTEST)
