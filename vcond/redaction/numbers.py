"""Numbers that are asked for or announced, and numbers that need no announcement: where they begin and where they end.

What an engine writes of a spoken number is seldom the number. So the rule is generous: what follows an announcement goes
until as many digits as such a number has went by, and where they do not, until the turn is over.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache

import msgspec

from vcond.redaction.contract import KeyPressed, Secret, SpokenWord
from vcond.redaction.reading import Part, Read, Sort, words_of

PAUSE = 8.0
"""Seconds after which a number that was begun is not gone on with."""
ANSWER = 15.0
"""Seconds in which a question is answered."""
ANSWERS = 3
"""Turns in which the digits of an answer may come."""
ECHO = 30.0
"""Seconds in which a number is repeated."""
APART = 3
"""Parts without digits that may stand between digits of one number."""
NEAR = 12
"""Parts after a hint among which digits must begin."""
PRICED = 7
"""Digits in amounts that follow one another which are taken for another number."""
SWALLOWED = 1.5
"""Seconds of a turn in which no word is, of which something may be missing."""
LONG = 9
"""Digits of a long number."""
READING = 3.0
"""Seconds that it takes at least to read a long number back."""
BEFORE = 8
"""Parts before digits that nobody announced."""
AROUND = 2
"""Parts before and after a short number that nobody announced."""
BESIDE = 60.0
"""Seconds after a number in which others that belong to it are said."""
KEYING = 30.0
"""Seconds after an announcement in which keys are the number, and between two keys of a number."""


class Kind(msgspec.Struct, frozen=True):
    """A kind of number."""

    name: str
    leads: Mapping[str, re.Pattern[str] | None]
    """By tag of a language: what announces it for certain."""
    hints: Mapping[str, re.Pattern[str] | None]
    """What may announce it."""
    asks: Mapping[str, re.Pattern[str] | None]
    """What asks for something."""
    least: int
    """Digits after a hint that make it one."""
    complete: Callable[[str], bool]
    """Whether these digits are all of such a number."""


class Run(msgspec.Struct, frozen=True):
    """Digits close to one another, said by one party, in one turn or several."""

    before: tuple[Part, ...]
    """A few parts before it, of the same sentence."""
    parts: tuple[Part, ...]
    """From the first that is a digit to the last, whatever is between."""
    digits: str
    """Those that are certain, and those among them that only sound alike."""
    certain: int
    """How many are certain."""


class _Found(msgspec.Struct):
    """A number while it is followed over turns."""

    words: list[SpokenWord] = []
    turns: list[int] = []
    digits: str = ""


@lru_cache(256)
def pattern(phrases: tuple[str, ...]) -> re.Pattern[str] | None:
    """Any of them, at a word's beginning."""
    return re.compile(rf"\b(?:{'|'.join(phrases)})(?!\S)") if phrases else None


def announced(reads: Sequence[Read], kind: Kind) -> Iterator[tuple[Secret, str]]:
    """Numbers of a kind that somebody announced or asked for, each with its digits."""
    for n, turn in enumerate(reads):
        at = 0
        for begin, strong in _leads(turn, kind):
            if begin < at:
                continue
            found = _Found()
            tail = turn.parts[begin:]
            first = _first(tail)
            if strong and first is None:
                asks = not tail or _asks(turn, kind)
                if _swallowed(turn) if not tail else not asks:
                    at = len(turn.parts)
                    found.words += words_of(tail)
                    found.turns.append(turn.turn.number)
                _answered(reads, n, kind, found, surely=asks)
            elif strong:
                at = begin + _take(turn, begin, kind, found)
                if not kind.complete(found.digits):
                    _gone_on(reads, n, kind, found)
            elif (first is not None and first < NEAR and _certain(tail[first:]) >= kind.least) or _priced(tail):
                at = begin + _take(turn, begin, kind, found)
                _gone_on(reads, n, kind, found)
            if found.words or found.turns:
                sure = 0.9 if found.digits else 0.5
                yield Secret(kind.name, tuple(found.words), (), tuple(found.turns), sure), found.digits


def _leads(turn: Read, kind: Kind) -> Iterator[tuple[int, bool]]:
    """After which parts something is announced, and whether that is certain; certain ones first."""
    for phrases, strong in ((kind.leads, True), (kind.hints, False)):
        wanted = phrases[turn.language.tag]
        for match in wanted.finditer(turn.text) if wanted is not None else ():
            yield turn.after(match.end()), strong


def _asks(turn: Read, kind: Kind) -> bool:
    wanted = kind.asks[turn.language.tag]
    return wanted is not None and wanted.search(turn.text) is not None


def _first(parts: Sequence[Part]) -> int | None:
    """Where digits begin: the first that is certain, or the first of two in a row that sound alike."""
    for at, part in enumerate(parts):
        if part.sort is Sort.DIGITS:
            return at
        if part.sort is Sort.SOUND and part.digits and at + 1 < len(parts) and parts[at + 1].digits:
            return at
    return None


def _certain(parts: Iterable[Part]) -> int:
    return sum(len(part.digits) for part in parts if part.sort is Sort.DIGITS)


def _priced(parts: Iterable[Part]) -> bool:
    """Whether it is a number that the engine took for prices or times: ``$1.02, $9.08, $2.01``."""
    return sum(len(part.digits) for part in parts if part.sort is Sort.AMOUNT) >= PRICED


def _swallowed(turn: Read) -> bool:
    """Whether the turn is longer than its words: the engine may have left a number out."""
    first, last = turn.turn.words[0].start, turn.turn.words[-1].end
    return first is None or last is None or turn.turn.end - turn.turn.start > last - first + SWALLOWED


def _take(turn: Read, begin: int, kind: Kind, found: _Found) -> int:
    """Take what follows, until the number is complete and no more digits are near, else all. Returns how many parts."""
    taken = apart = 0
    for at, part in enumerate(turn.parts[begin:], 1):
        sound = part.sort is Sort.SOUND and found.digits and not (apart and kind.complete(found.digits))
        if sound or part.sort in {Sort.DIGITS, Sort.AMOUNT}:
            found.digits += part.digits
            taken, apart = at, 0
        elif part.sort is Sort.OTHER:
            apart += 1
        if kind.complete(found.digits) and apart >= APART:
            break
    if not kind.complete(found.digits):
        taken = len(turn.parts) - begin
    found.words += words_of(turn.parts[begin : begin + taken])
    return taken


def _gone_on(reads: Sequence[Read], n: int, kind: Kind, found: _Found) -> None:
    """The party goes on after a pause, or after the other one said that it listens."""
    party, since = reads[n].turn.party, reads[n].turn.end
    for m in range(n + 1, len(reads)):
        turn = reads[m]
        if turn.turn.start > since + PAUSE or kind.complete(found.digits):
            return
        if turn.turn.party != party:
            since = max(since, turn.turn.end) if len(turn.parts) <= NEAR else since
            continue
        first = _first(turn.parts)
        if first is not None and first < NEAR:
            _take(turn, 0, kind, found)
        elif turn.parts:
            return
        else:
            found.turns.append(turn.turn.number)
        since = turn.turn.end


def _answered(reads: Sequence[Read], n: int, kind: Kind, found: _Found, *, surely: bool) -> None:
    """Whoever speaks next says the number: what has digits goes, and where it was asked for the first turn in any case."""
    asker, since, answers = reads[n].turn, reads[n].turn.end, 0
    for m in range(n + 1, len(reads)):
        turn = reads[m]
        if turn.turn.start > since + ANSWER or answers == ANSWERS:
            return
        first = _first(turn.parts)
        if turn.turn.party == asker.party and first is None:
            continue
        since = turn.turn.end
        if first is not None:
            _take(turn, 0, kind, found)
            if not kind.complete(found.digits):
                _gone_on(reads, m, kind, found)
            return
        if surely and not answers:
            found.words += words_of(turn.parts)
            found.turns.append(turn.turn.number)
        answers += 1


def runs(reads: Sequence[Read]) -> Iterator[Run]:
    """Digits that stand close together, each party by itself, over turns where one goes on soon."""
    parties: dict[int, list[Read]] = {}
    for turn in reads:
        parties.setdefault(turn.turn.party, []).append(turn)
    for turns in parties.values():
        yield from _runs(turns)


def _runs(turns: Sequence[Read]) -> Iterator[Run]:
    run: list[tuple[Part, Read, int]] = []
    last = apart = 0
    for turn in turns:
        if run and turn.turn.start > run[last - 1][1].turn.end + PAUSE:
            yield from _closed(run[:last])
            run, last, apart = [], 0, 0
        for n, part in enumerate(turn.parts):
            if part.sort is Sort.AMOUNT or apart >= APART:
                yield from _closed(run[:last])
                run, last, apart = [], 0, 0
            if part.sort is Sort.AMOUNT:
                continue
            if part.digits or run:
                run.append((part, turn, n))
            if part.sort is Sort.DIGITS or (part.digits and not apart):
                last, apart = len(run), 0
            elif run and part.sort is Sort.OTHER:
                apart += 1
    yield from _closed(run[:last])


def _closed(run: Sequence[tuple[Part, Read, int]]) -> Iterator[Run]:
    begin = next((at for at, (part, _, _) in enumerate(run) if part.sort is Sort.DIGITS), None)
    if begin is None:
        return
    while begin and run[begin - 1][0].sort is Sort.SOUND:
        begin -= 1
    parts = tuple(part for part, _, _ in run[begin:])
    _, turn, at = run[begin]
    since, first = at, max(_announcement(turn, at), at - BEFORE)
    while since > first and not turn.parts[since - 1].word.text.endswith((".", "?", "!")):
        since -= 1
    yield Run(turn.parts[since:at], parts, "".join(part.digits for part in parts), _certain(parts))


def _announcement(turn: Read, at: int) -> int:
    """Where what announces a number ends, of those before a part; 0 = nothing does."""
    of_language = turn.language
    phrases = (phrase for some in (of_language.leads, of_language.hints) for each in some.values() for phrase in each)
    wanted = pattern(tuple(phrases))
    text = turn.text[: turn.starts[at]].rstrip()
    return max((turn.after(match.end()) for match in wanted.finditer(text)), default=0) if wanted is not None else 0


def spoken(kind: str, run: Run, certainty: float) -> Secret:
    """A run as a secret. What is before it goes as well where digits are missing: the first ones may be in it."""
    parts = run.parts if certainty == 1.0 else run.before + run.parts
    return Secret(kind, words_of(parts), certainty=certainty)


def echoes(reads: Sequence[Read], found: Sequence[tuple[Secret, str]]) -> Iterator[Secret]:
    """What others, or the party itself, repeat of a number soon after it was said. Four digits are enough, also of words
    that only sound like some, and then the whole turn goes: whoever reads a number back says little else. So do turns of
    which nothing was understood, and those of others that begin as one who reads back does.
    """
    ends: dict[int, tuple[Secret, str]] = {}
    for secret, digits in found:
        if len(digits) >= 3:
            ends[max(word.turn for word in secret.words)] = secret, digits
    said: tuple[Secret, str] | None = None
    until = -1.0
    for n, turn in enumerate(reads):
        ahead = ends.get(n + 1)
        if ahead is not None and (len(ahead[1]) < LONG or reads[n + 1].turn.party == turn.turn.party):
            ahead = None
        near = said if said is not None and turn.turn.start <= until else ahead
        if near is not None and n not in ends and _repeats(turn, *near, follows=near is said):
            words = words_of(turn.parts)
            yield Secret(near[0].kind, words, (), () if words else (turn.turn.number,), 0.7)
        if n in ends:
            said, until = ends[n], turn.turn.end + ECHO


def _repeats(turn: Read, secret: Secret, digits: str, *, follows: bool) -> bool:
    if not turn.parts:
        return len(digits) >= LONG
    heard = "".join(part.digits for part in turn.parts if part.sort <= Sort.SOUND)
    if _certain(turn.parts) and (len(heard) >= 4 or (len(heard) >= 3 and heard in digits)):
        return True
    cue = pattern(turn.language.repeats)
    long = len(digits) >= LONG and turn.turn.end - turn.turn.start >= READING
    other = follows and turn.turn.party != secret.words[-1].party
    return long and other and cue is not None and cue.match(turn.text) is not None


def beside(reads: Sequence[Read], found: Sequence[tuple[Secret, str]], kind: str) -> Iterator[Secret]:
    """Short numbers that a party says soon after a long one: what a question asked for that the engine made nothing of."""
    until: dict[int, float] = {}
    ends: dict[int, list[SpokenWord]] = {}
    for secret, digits in found:
        if len(digits) >= LONG:
            word = max(secret.words, key=lambda word: (word.turn, word.index))
            ends.setdefault(word.turn, []).append(word)
    for n, turn in enumerate(reads):
        party = turn.turn.party
        first = _first(turn.parts)
        if first is not None and turn.turn.start <= until.get(party, -1.0) and n not in ends:
            last = max(at for at, part in enumerate(turn.parts) if part.digits)
            around = turn.parts[max(0, first - AROUND) : last + 1 + AROUND]
            yield Secret(kind, words_of(around), certainty=0.5)
        for word in ends.get(n, ()):
            until[word.party] = turn.turn.end + BESIDE


def keyed(keys: Sequence[KeyPressed]) -> Iterator[tuple[KeyPressed, ...]]:
    """The keys that a party pressed in one go."""
    parties: dict[int, list[KeyPressed]] = {}
    for key in keys:
        run = parties.setdefault(key.party, [])
        if run and key.at > run[-1].at + KEYING:
            yield tuple(run)
            run.clear()
        run.append(key)
    yield from (tuple(run) for run in parties.values() if run)


def keys_after(keys: Sequence[KeyPressed], since: float) -> tuple[KeyPressed, ...]:
    """Those pressed from then on, one soon after the other."""
    first = last = bisect_left(keys, since, key=lambda key: key.at)
    while last < len(keys) and keys[last].at <= (keys[last - 1].at if last > first else since) + KEYING:
        last += 1
    return tuple(keys[first:last])
