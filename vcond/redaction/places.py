"""Where secrets stand: which words of which turn, which keys, and which stretches of sound."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final

from vcond.redaction.contract import Secret
from vcond.redaction.transcribed import LONGEST, Line, Reading, plain

MARGIN: Final = 0.5
"""Seconds before the first and after the last word. Measured: with 0.25 s a digit was recognised in 1 of 62, with 0.5 in none."""
UNSURE: Final = 0.5
"""Seconds more when the engine, or the finder, is not sure at all: its times lie then."""
_GAP: Final = 3
"""Words between two of a secret that go with it."""
_KIND: Final = re.compile(r"[a-z0-9-]{1,40}")
FEWEST: Final = 3
"""Digits that are looked for elsewhere."""
LONG: Final = 12
"""Characters of several words that are."""
OTHER: Final = "other"
"""A kind whose name cannot be written."""


@dataclass(frozen=True, slots=True)
class Place:
    """A stretch of sound that goes."""

    kind: str
    dialog: int
    party: int
    clock: int
    """See ``transcribed.Dialogs``."""
    start: float
    """Seconds on that clock, with the margin."""
    end: float


@dataclass(slots=True)
class Places:
    """All of them."""

    sound: list[Place] = field(default_factory=list)
    words: dict[int, dict[int, str]] = field(default_factory=dict)
    """By number of the turn and place of the word, its kind."""
    turns: dict[int, str] = field(default_factory=dict)
    """Turns that go whole, with the kind."""
    keys: dict[tuple[int, int], str] = field(default_factory=dict)
    """By party and place."""
    surfaces: dict[str, str] = field(default_factory=dict)
    """What the secrets look like in a text, with the kind of each: they are looked for wherever a text is. Never written."""
    unplaced: bool = False
    """A key was pressed that cannot be placed: no sound can be kept."""


def places(reading: Reading, secrets: Iterable[Secret]) -> Places:
    """Of all secrets, which are of the conversation (``finding.found``)."""
    made = Places()
    for secret in secrets:
        kind = secret.kind if _KIND.fullmatch(secret.kind) else OTHER
        _turns(made, reading, secret, kind)
        _words(made, reading, secret, kind)
        _keys(made, reading, secret, kind)
    repeated(made, reading)
    return made


def _turns(made: Places, reading: Reading, secret: Secret, kind: str) -> None:
    for number in secret.turns:
        made.turns.setdefault(number, kind)
        made.sound.append(whole_turn(reading.lines[number], kind, secret.certainty))


def _words(made: Places, reading: Reading, secret: Secret, kind: str) -> None:
    by_turn: dict[int, set[int]] = {}
    for word in secret.words:
        by_turn.setdefault(word.turn, set()).add(word.index)
    for number, indices in by_turn.items():
        line = reading.lines[number]
        kinds = made.words.setdefault(number, {})
        for group in _groups(sorted(indices)):
            for index in range(group[0], group[-1] + 1):
                kinds.setdefault(index, kind)
            made.sound.append(run_of_words(line, group, kind, secret.certainty))
    every = [(number, index) for number in sorted(by_turn) for index in sorted(by_turn[number])]
    _surface(made, [reading.lines[number].turn.words[index].text for number, index in every], kind)


def _groups(indices: list[int]) -> Iterator[list[int]]:
    group = indices[:1]
    for index in indices[1:]:
        if index - group[-1] > _GAP + 1:
            yield group
            group = []
        group.append(index)
    yield group


def whole_turn(line: Line, kind: str, certainty: float) -> Place:
    """All of a turn."""
    wide = _margin([0.0], certainty)
    turn = line.turn
    return Place(kind, turn.dialog, turn.party, line.clock, turn.start - wide, turn.end + wide)


def run_of_words(line: Line, group: list[int], kind: str, certainty: float) -> Place:
    """From the first to the last of them; the whole turn when the time of one is not known."""
    turn = line.turn
    words = [turn.words[index] for index in range(group[0], group[-1] + 1)]
    starts = [word.start for word in words if word.start is not None]
    ends = [word.end for word in words if word.end is not None]
    if len(starts) < len(words) or len(ends) < len(words):
        return whole_turn(line, kind, certainty)
    wide = _margin(line.confidences[group[0] : group[-1] + 1], certainty)
    start, end = line.origin + min(starts), line.origin + max(ends)
    if group[0] == 0:  # engines put the first and the last word of a turn too far inside
        start = min(start, turn.start)
    if group[-1] == len(turn.words) - 1:
        end = max(end, turn.end)
    return Place(kind, turn.dialog, turn.party, line.clock, start - wide, end + wide)


def _margin(confidences: Iterable[float], certainty: float) -> float:
    """Seconds on each side."""
    return MARGIN + UNSURE * (1 - min([*confidences, min(max(certainty, 0.0), 1.0)]))


def _keys(made: Places, reading: Reading, secret: Secret, kind: str) -> None:
    """The tones of keys are in the sound too, and platforms tell keys late."""
    digits = ""
    for key in secret.keys:
        dialog, down, up = reading.moments[key.party, key.index]
        made.keys.setdefault((key.party, key.index), kind)
        digits += key.digit
        if down < 0:
            made.unplaced = True
            continue
        end = up if up is not None and down <= up <= down + LONGEST else down
        clock = reading.dialogs.clock(dialog)
        made.sound.append(Place(kind, dialog, key.party, clock, down - MARGIN, end + MARGIN))
    _surface(made, [digits], kind)


def _surface(made: Places, texts: list[str], kind: str) -> None:
    """The digits of a secret, and its words, as a text may repeat them."""
    digits = "".join(char for text in texts for char in text if char.isdigit())
    if len(digits) >= FEWEST:
        made.surfaces.setdefault(digits, kind)
    words = plain(" ".join(texts))
    if len(words) >= LONG and " " in words:
        made.surfaces.setdefault(words, kind)


def pattern(surface: str) -> re.Pattern[str]:
    """Finds a surface: digits however they are grouped, words with whatever stands between them."""
    if surface.isdigit():
        inside = r"[\s.,\-/()]{0,3}".join(surface)
        short = len(surface) < 6  # such a number may be a part of many others
        return re.compile(rf"(?<!\d){inside}(?!\d)" if short else inside)
    return re.compile(r"[\W_]{1,4}".join(map(re.escape, surface.split())), re.IGNORECASE)


def repeated(made: Places, reading: Reading) -> None:
    """What is secret once is secret wherever it is said: read back, or said again without the question."""
    texts = [
        (
            line,
            list(accumulate(len(word.text) + 1 for word in line.turn.words)),
            " ".join(w.text for w in line.turn.words),
        )
        for line in reading.lines
    ]
    for surface, kind in list(made.surfaces.items()):
        wanted = pattern(surface)
        for line, ends, text in texts:
            for match in wanted.finditer(text):
                first, last = bisect_right(ends, match.start()), bisect_right(ends, match.end() - 1)
                kinds = made.words.setdefault(line.turn.number, {})
                if all(index in kinds for index in range(first, last + 1)):
                    continue
                kinds.update((index, kind) for index in range(first, last + 1) if index not in kinds)
                made.sound.append(run_of_words(line, list(range(first, last + 1)), kind, 1.0))


def cover(made: Places, reading: Reading, also: Iterable[Place]) -> None:
    """Places that go besides, with the words that are said there."""
    for place in also:
        made.sound.append(place)
        for line in reading.lines:
            if line.clock != place.clock:
                continue
            for word in line.turn.words:
                start, end = word.start, word.end
                if (
                    start is not None
                    and end is not None
                    and line.origin + start < place.end
                    and line.origin + end > place.start
                ):
                    made.words.setdefault(line.turn.number, {}).setdefault(word.index, place.kind)


def uncovered(found: Iterable[Place], by: Iterable[Place]) -> list[Place]:
    """Those of which more than the margin lies outside of what is silent already."""
    silent = [(one.clock, one.start, one.end) for one in merged(by)]
    return [
        one
        for one in found
        if not any(
            clock == one.clock and start <= one.start + MARGIN and one.end - MARGIN <= end
            for clock, start, end in silent
        )
    ]


def merged(found: Iterable[Place]) -> list[Place]:
    """By time; what overlaps, of one kind and party, is one."""
    made: list[Place] = []
    for one in sorted(found, key=lambda place: (place.clock, place.dialog, place.party, place.kind, place.start)):
        last = made[-1] if made else None
        if last is not None and (last.clock, last.dialog, last.party, last.kind) == (
            one.clock, one.dialog, one.party, one.kind,
        ) and one.start <= last.end:  # fmt: skip
            made[-1] = Place(last.kind, last.dialog, last.party, last.clock, last.start, max(last.end, one.end))
        else:
            made.append(one)
    return sorted(made, key=lambda place: (place.clock, place.start))
