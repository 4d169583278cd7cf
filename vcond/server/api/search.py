"""Ended calls by number, name, time and what was said in them.

Somebody is found by the subject index, whole, and words by the index of words, whole; of both only keyed hashes are on the disk. A part of a
word or number is found by looking into one vCon after another, the newest first, for as long as a request may take; then the answer
says where to go on. What was looked for is written down nowhere, only that somebody did and what was found.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any, Final, Protocol, TypeVar

import msgspec
from msgspec import Meta

from vcond.base.errors import ProtocolError, StorageError
from vcond.base.time import MILLI, Instant, dated, parse_rfc3339, rfc3339, seconds
from vcond.delivery import Entry, Outbox
from vcond.delivery.keeping import CREATED
from vcond.records.ledger import Ledger
from vcond.records.subjects import SubjectIndex
from vcond.records.words import words_in
from vcond.server.api.access import AccessRecord
from vcond.server.api.guard import RefusedHere
from vcond.server.api.model import Found, FoundLine, FoundParty, FoundVcon, Query
from vcond.server.api.routes import Asked, Route
from vcond.server.api.stored import HERE, Stored
from vcond.server.api.transcript import lines
from vcond.server.doors import moment
from vcond.vcon.glance import Glance, Person, Recorded, glance, text_of
from vcond.vcon.serialize import unpacked

T = TypeVar("T")
BUDGET: Final = 1.0
"""Seconds for which a request looks into vCons; at least one is looked at."""
PAGE: Final = 200
"""Rows of the outbox that are read at once."""
TOGETHER: Final = 20
"""vCons that a thread is handed at once: beside live calls a hand-over takes longer than a look."""
LARGEST: Final = 16 << 20
"""Bytes of a vCon that is looked into, as what reads JSON keeps all else from running meanwhile; and after which no more are handed over."""
WAITING: Final = 4
"""Searches at once; one looks, the others wait."""
INDEXED: Final = 60
"""vCons that the index of words is asked for at once: more than are shown, as some may be gone."""
MOST_WORDS: Final = 20
LINES: Final = 3
"""Lines of a vCon that are shown."""
LONGEST_LINE: Final = 200
"""Characters of one."""
_DATE: Final = "RFC 3339, as 2026-11-30T09:00:00Z. Empty = any."
_NUMBER: Final = frozenset("+0123456789 -().")


class _Search(Query, frozen=True):
    text: Annotated[
        str, Meta(max_length=200, description="In what was said, or in a name, number or address; case does not count.")
    ] = ""
    words: Annotated[
        str,
        Meta(
            max_length=200,
            description="Words, whole: all of them are somewhere in what was said, or in names, numbers and addresses. "
            "Found at once, however many vCons there are.",
        ),
    ] = ""
    of: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=512,
            description="Somebody, whole, as for `POST /erase`: found at once, however many vCons there are.",
        ),
    ] = ""
    since: Annotated[str, Meta(max_length=40, description=f"Only calls that began from then on: {_DATE}")] = ""
    until: Annotated[str, Meta(max_length=40, description=f"Only calls that began before: {_DATE}")] = ""
    before: Annotated[str, Meta(max_length=64, description="`next` of the answer before.")] = ""
    limit: Annotated[int, Meta(ge=1, le=50, description="So many at most.")] = 20


class Index(Protocol):
    """Who is in which vCon."""

    async def ask(self, question: Callable[[Ledger, SubjectIndex], T]) -> T:
        """Run where the index is. Raises StorageError, and what the question raises."""


class WordIndex(Protocol):
    """Which vCon has which words."""

    async def find(
        self, words: Sequence[str], limit: int, *, before: str = "", since: int = 0, until: int = 0
    ) -> list[str]:
        """Those with all of them, the newest first. Raises StorageError, and LookupError when ``before`` is not known."""

    async def lacks(self) -> int:
        """Of so many vCons it has no words. Raises StorageError."""


@dataclass(frozen=True)
class _Wanted:
    """What a vCon is to have: a text, and words of which the index says that they are in it."""

    text: str
    words: frozenset[str]

    def is_in(self, text: str) -> int:
        """How much of it is in a line."""
        if self.text:
            return int(self.text in text.casefold())
        return len(self.words & frozenset(words_in(text))) if self.words else 0


class Search:
    """Looks into what the outbox has."""

    def __init__(self, outbox: Outbox, stored: Stored, index: Index, words: WordIndex, access: AccessRecord) -> None:
        self._outbox, self._stored, self._access = outbox, stored, access
        self._index, self._words = index, words
        self._turn, self._waiting = asyncio.Semaphore(1), 0
        self.routes = [
            Route("POST", "/search", "read", _Search, Found, "Find vCons by number, name, time and what was said.", self._search)
        ]  # fmt: skip

    async def _search(self, asked: Asked) -> Any:
        if self._waiting >= WAITING:
            raise RefusedHere(429, "search", "others search: wait", 2)
        self._waiting += 1
        try:
            await self._access.add(asked.who.name, "search", "*", asked.request.remote or "")
            async with self._turn:
                found = await self._found(asked.values)
        finally:
            self._waiting -= 1
        await self._access.add_each(
            asked.who.name, "found", [one.uuid for one in found.vcons], asked.request.remote or ""
        )
        return found

    async def _found(self, query: _Search) -> Found:
        """Raises ValueError for what makes no sense, StorageError."""
        since = moment("since", query.since) if query.since else 0
        until = moment("until", query.until) if query.until else 0
        wanted, loop = _wanted(query), asyncio.get_running_loop()
        lacks = await self._words.lacks() if wanted.words else 0
        found: list[FoundVcon] = []
        last: Entry | None = None
        unread, end = 0, loop.time() + BUDGET
        async for entries in self._together(query, wanted):
            new = [one for one in entries if one.published_at >= since]  # no call begins after its vCon is made
            meant = [
                one
                for one in new
                if one.stage in HERE and since <= (began := _began(one)) and (not until or began < until)
            ]
            stopped: Entry | None = None
            if meant:
                hits, bad, stopped = await asyncio.to_thread(
                    self._look_into, meant, wanted, query.limit - len(found), lambda: loop.time() > end
                )
                found, unread = found + hits, unread + bad
            if stopped is None and len(new) == len(entries) and loop.time() > end:
                stopped = new[-1]
            if stopped is not None:
                return Found(found, stopped.uuid, rfc3339(Instant(stopped.published_at)), unread, lacks)
            last = new[-1] if new else last
            if len(new) < len(entries):
                break
        return Found(found, "", rfc3339(Instant(last.published_at)) if last else "", unread, lacks)

    async def _together(self, query: _Search, wanted: _Wanted) -> AsyncIterator[list[Entry]]:
        """What may be meant, so many at once."""
        entries: list[Entry] = []
        async for entry in self._with_words(query, wanted) if wanted.words else self._entries(query):
            entries.append(entry)
            if len(entries) >= TOGETHER or sum(one.bytes for one in entries) >= LARGEST:
                yield entries
                entries = []
        if entries:
            yield entries

    async def _entries(self, query: _Search) -> AsyncIterator[Entry]:
        """What may be meant, the newest first, from after ``before``."""
        if query.before and await self._outbox.get(query.before) is None:
            raise ValueError("before: this vCon is not known any more: begin again")
        if query.of:
            known = await self._index.ask(lambda _, index: index.find(query.of))
            uuids = [one.vcon for one in reversed(known)]
            if query.before:
                if query.before not in uuids:
                    raise ValueError("before: it is of another search: begin again")
                uuids = uuids[uuids.index(query.before) + 1 :]
            for uuid in uuids:
                if (entry := await self._outbox.get(uuid)) is not None:
                    yield entry
            return
        before = query.before or None
        while page := await self._outbox.list(before=before, limit=PAGE):
            for entry in page:
                yield entry
            before = page[-1].uuid

    async def _with_words(self, query: _Search, wanted: _Wanted) -> AsyncIterator[Entry]:
        """What the index knows, and is here."""
        before, words = query.before, sorted(wanted.words)
        since = moment("since", query.since) // MILLI if query.since else 0
        until = moment("until", query.until) // MILLI if query.until else 0
        while True:
            try:
                page = await self._words.find(words, INDEXED, before=before, since=since, until=until)
            except LookupError:
                raise ValueError("before: this vCon is not known any more: begin again") from None
            for uuid in page:
                if (entry := await self._outbox.get(uuid)) is not None:
                    yield entry
            if len(page) < INDEXED:
                return
            before = page[-1]

    def _look_into(
        self, entries: list[Entry], wanted: _Wanted, most: int, over: Callable[[], bool]
    ) -> tuple[list[FoundVcon], int, Entry | None]:
        """What is found, how many could not be read, and where it ended before the end, with ``most`` or as time is ``over``. Blocks."""
        found: list[FoundVcon] = []
        unread = 0
        for entry in entries:
            try:
                if hit := self._look(entry, wanted):
                    found.append(hit)
            except (LookupError, StorageError, ProtocolError, msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
                unread += 1
            if len(found) >= most or over():
                return found, unread, entry
        return found, unread, None

    def _look(self, entry: Entry, wanted: _Wanted) -> FoundVcon | None:
        """Blocks. Raises what reading raises."""
        if entry.bytes > LARGEST:
            raise LookupError("too large")
        vcon = glance(unpacked(self._stored.read(entry.uuid), LARGEST))
        parties = vcon.parties()
        persons = [one for one in parties if one.type != "bot"]  # the last one is vcond, by the name of the machine
        people = [FoundParty(text_of(one.name), _address(one)) for one in persons]
        said: list[FoundLine] = []
        if wanted.text or wanted.words:
            said = _said(vcon, parties, wanted)
            if not said and not any(_is(one, wanted) for one in persons):
                return None
        return FoundVcon(entry.uuid, rfc3339(_began(entry)), _seconds(vcon.dialogs()), people, said)


def _began(entry: Entry) -> Instant:
    """When the call of a vCon began; when it was made, where its uuid does not tell: at a hub as it says itself, not when it came."""
    at = dated(entry.uuid)
    return Instant(int(entry.facts.get(CREATED, entry.published_at))) if at is None else at


def _wanted(query: _Search) -> _Wanted:
    """Raises ValueError for what makes no sense."""
    words = frozenset(words_in(query.words))
    if query.words and not 0 < len(words) <= MOST_WORDS:
        raise ValueError(f"words: 1 to {MOST_WORDS} words, of letters and digits")
    if words and query.of:
        raise ValueError("words and of: one of them")
    return _Wanted(" ".join(query.text.casefold().split()), words)


def _seconds(dialogs: list[Recorded]) -> float:
    """From the first beginning to the last end."""
    starts, ends = [], []
    for one in dialogs:
        with suppress(ValueError):
            starts.append(seconds(parse_rfc3339(one.start)))
            ends.append(starts[-1] + min(max(one.duration, 0.0), 360_000.0))
    return round(min(max(ends) - min(starts), 360_000.0), 1) if starts else 0.0


def _said(vcon: Glance, parties: list[Person], wanted: _Wanted) -> list[FoundLine]:
    """The first lines that have the text, or the most of the words."""
    people = [msgspec.structs.asdict(one) for one in parties]
    hits = ((wanted.is_in(text), start, name, text) for start, _, name, text in lines(people, vcon.spoken()))
    best = sorted((one for one in hits if one[0]), key=lambda one: (-one[0], one[1]))[:LINES]
    return [
        FoundLine(round(start, 2), name[:LONGEST_LINE], _around(text, _first(text, wanted)))
        for _, start, name, text in sorted(best, key=lambda one: one[1])
    ]


def _first(text: str, wanted: _Wanted) -> str:
    """What of it is in a line."""
    return wanted.text or min(wanted.words & frozenset(words_in(text)), default="")


def _around(text: str, wanted: str) -> str:
    """Of a long line what is around the text."""
    start = max(text.casefold().find(wanted) - LONGEST_LINE // 4, 0) if len(text) > LONGEST_LINE else 0
    return ("\N{HORIZONTAL ELLIPSIS}" if start else "") + text[start : start + LONGEST_LINE]


def _address(party: Person) -> str:
    return text_of(party.tel) or text_of(party.sip) or text_of(party.mailto)


def _is(party: Person, wanted: _Wanted) -> bool:
    """Whether a name or address has of it; of numbers only the digits count."""
    names = [" ".join(text_of(one).split()) for one in (party.name, party.tel, party.sip, party.mailto)]
    if any(map(wanted.is_in, names)):
        return True
    numbers = [_digits(text_of(one).partition("@")[0]) for one in (party.tel, party.sip)]
    if wanted.words and not wanted.text:
        return not wanted.words.isdisjoint(numbers)
    digits = _digits(wanted.text) if set(wanted.text) <= _NUMBER else ""
    return len(digits) > 2 and any(digits in one for one in numbers)


def _digits(text: str) -> str:
    return "".join(char for char in text if char in "0123456789")
