"""How long what there is of a call stays in each place: ``[[retention]]``. Decision 0034.

Which rule a vCon is under is decided when it is made, and kept in the outbox (``facts.keep``: the rule's name; ``facts.expires``:
when the first of its lawful bases ends). So nothing of people is asked for later, and rules whose days are changed count at once.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, Literal, Protocol

import msgspec
import structlog

from vcond.base.errors import OperatorError, StorageError
from vcond.base.time import SECOND, Instant, parse_rfc3339
from vcond.delivery import rows
from vcond.records.config import Keep

log = structlog.get_logger()

DAY: Final = 86_400 * SECOND
EVERY: Final = 3_600.0
"""Seconds between two sweeps."""
PAGE: Final = 500
"""Rows that are read at a time."""
REST: Final = 3.0
"""Times as long as something took nothing is done: calls that go on have the disk first."""
STEP: Final = 3_600 * SECOND
"""A clock that moved so much against the time that passed is not believed for a day: what goes does not come back."""
LONGEST_QUIET: Final = 7 * DAY
"""No vCon for longer than this at a start: the clock is not believed for a day, either."""
ERASED: Final = "erased"
"""Why a delivery counts no more: the receiver was told to forget it."""
Place = Literal["edge", "media", "journal", "sinks", "everywhere"]


class Kept(msgspec.Struct, frozen=True):
    """What the outbox knows of a vCon."""

    seq: int
    uuid: str
    call: str
    made_at: int
    stage: str
    rule: str
    expires: str
    had: dict[str, str]
    """By sink that took it, why it has it no more; empty = it has."""


class Due(msgspec.Struct, frozen=True):
    """One thing that goes."""

    place: Place
    vcon: str
    call: str
    since: int
    """When it was due, nanoseconds since the epoch."""
    why: str
    sink: str = ""
    seq: int = 0

    @property
    def where(self) -> str:
        """The place as operators know it: ``journal``, ``sinks.archive``."""
        return f"sinks.{self.sink}" if self.sink else self.place


class Doing(Protocol):
    """What makes it go. All raise StorageError; all are fine when it is gone already."""

    async def edge(self, uuid: str) -> None:
        """The kept file of a vCon."""

    async def media(self, uuid: str) -> None:
        """Its recordings outside."""

    async def journal(self, uuid: str) -> None:
        """The journal of a call."""

    async def at_sink(self, sink: str, uuid: str) -> str:
        """What a sink has; why it is still there, or ""."""

    async def everywhere(self, call: str) -> None:
        """The whole conversation, for good."""


def page(db: sqlite3.Connection, after: int) -> list[Kept]:
    """VCons that are under a rule or end by themselves, in the order of ``seq``, of which only those after ``after``."""
    found = db.execute(
        f"SELECT seq, uuid, {rows.CALL}, published_at, stage, coalesce(json_extract(facts, '$.keep'), ''), "  # noqa: S608 - no input in it
        "coalesce(json_extract(facts, '$.expires'), ''), "
        "(SELECT json_group_object(sink, reason) FROM delivery_states AS s WHERE s.seq = v.seq AND s.state = 'delivered') "
        "FROM delivery_vcons AS v WHERE seq > ? AND stage != 'lost' "
        "AND (json_extract(facts, '$.keep') IS NOT NULL OR json_extract(facts, '$.expires') IS NOT NULL) ORDER BY seq LIMIT ?",
        (after, PAGE),
    )
    return [
        Kept(seq, uuid, call, made_at, stage, rule, expires, msgspec.json.decode(had))
        for seq, uuid, call, made_at, stage, rule, expires, had in found
    ]


def mark_erased(db: sqlite3.Connection, sink: str, seq: int, at: int) -> None:
    """A sink was told to forget what it had, and did."""
    db.execute(
        "UPDATE delivery_states SET reason = ?, last_at = ? WHERE sink = ? AND seq = ? AND state = 'delivered'",
        (ERASED, at, sink, seq),
    )


def due(one: Kept, keep: Keep | None, now: int, *, media: bool, journal: bool, sinks: Sequence[str]) -> list[Due]:
    """What of a vCon goes at a moment. ``media`` and ``journal``: whether it has some; ``sinks``: those that are configured."""
    if one.expires and (ends := _moment(one.expires)) <= now:
        return [Due("everywhere", one.uuid, one.call, ends, "its lawful basis has ended")]
    if keep is None:
        return []
    places: list[tuple[Place, float | None, bool, str]] = [
        ("edge", keep.edge, one.stage == "kept", ""),
        ("media", keep.media, media and one.stage in {"kept", "gone"}, ""),
        ("journal", keep.journal, journal and one.stage in {"kept", "gone"}, ""),
        *[
            ("sinks", keep.sinks[sink], sink in sinks and why != ERASED, sink)
            for sink, why in one.had.items()
            if sink in keep.sinks
        ],
    ]
    return [
        Due(
            place, one.uuid, one.call, one.made_at + round(days * DAY), f"rule {one.rule}: {days:g} days", sink, one.seq
        )
        for place, days, there, sink in places
        if days is not None and there and one.made_at + round(days * DAY) <= now
    ]


def _moment(text: str) -> int:
    """A date that cannot be read ends nothing."""
    try:
        return parse_rfc3339(text)
    except ValueError:
        return 2**63


class Retention:
    """Finds what is due, and has it go."""

    def __init__(
        self,
        rules: Mapping[str, Keep],
        doing: Doing,
        *,
        tell: Callable[[str, Callable[[sqlite3.Connection], Any]], Awaitable[Any]],
        names: Callable[[], tuple[set[str], set[str]]],
        sinks: Sequence[str],
        held: Callable[[str], bool],
        now: Callable[[], Instant],
    ) -> None:
        """``tell`` asks the outbox's database; ``names`` lists who has recordings outside, and a journal: it blocks."""
        self._rules, self._doing, self._tell, self._names = rules, doing, tell, names
        self._sinks, self._held, self._now = sinks, held, now
        self._seen: tuple[int, float] | None = None
        self._doubt = 0.0
        """Until then, by the loop's clock, the time of day is not believed."""
        self._said: set[str] = set()

    async def plan(self, ahead: int = 0) -> list[tuple[Due, bool]]:
        """What would go, and whether a legal hold keeps it; ``ahead``: nanoseconds from now. Raises StorageError."""
        found, after = [], 0
        try:
            media, journals = await asyncio.to_thread(self._names)
        except OSError as why:
            raise StorageError(f"cannot read {why.filename}: {why.strerror}; check that disk") from None
        while some := await self._tell("read the outbox", partial(page, after=after)):
            for one in some:
                found += due(
                    one, self._rules.get(one.rule), self._now() + ahead, media=one.uuid in media,
                    journal=one.call in journals and one.uuid == one.call, sinks=self._sinks,
                )  # fmt: skip
            after = some[-1].seq
            await asyncio.sleep(0)
        return [(one, self._held(one.call)) for one in found]

    async def run(self, every: float = EVERY) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(every)
            try:
                await self.sweep()
            except StorageError as why:
                log.error("retention cannot look for what is due; the next sweep tries again", error=str(why))  # noqa: TRY400 - it says it all
            except Exception:  # a mistake here must not take capture with it
                log.exception("internal error in retention; the next sweep tries again, please report it")

    async def sweep(self) -> int:
        """Have go what is due; how much that was. What fails is tried by the next one. Raises StorageError."""
        if self._seen is None:
            newest = await self._tell("read the outbox", rows.newest)
            self._doubted_at_start(newest)
        if self._doubted():
            return 0
        loop, gone, over = asyncio.get_running_loop(), 0, set[str]()
        for one, held in await self.plan():
            if held or self._held(one.call) or one.call in over:
                continue
            began = loop.time()
            why = await self._do(one)
            if one.place == "everywhere":
                over.add(one.call)
            gone += not why
            if why and why not in self._said:
                log.error(
                    "retention cannot delete something; each sweep tries again",
                    place=one.where,
                    call=one.call,
                    error=why,
                )
            self._said = self._said | {why} if why else self._said
            await asyncio.sleep(REST * (loop.time() - began))
        if gone:
            log.info("retention deleted what was due", things=gone)
        return gone

    async def _do(self, one: Due) -> str:
        """Why it is still there, or ""."""
        try:
            if one.place == "sinks":
                if why := await self._doing.at_sink(one.sink, one.vcon):
                    return why
                at = self._now()
                await self._tell("note what a sink forgot", lambda db: mark_erased(db, one.sink, one.seq, at))
            elif one.place == "everywhere":
                await self._doing.everywhere(one.call)
            elif one.place == "journal":
                await self._doing.journal(one.call)
            else:
                await getattr(self._doing, one.place)(one.vcon)
        except OperatorError as why:  # a disk, or a hold that came meanwhile
            return str(why)
        return ""

    def _doubted_at_start(self, newest: int) -> None:
        """A clock that is far from when the newest vCon was made may have been wrong since the machine began."""
        away = self._now() - newest
        if newest and not -STEP < away < LONGEST_QUIET:
            self._doubt = asyncio.get_running_loop().time() + DAY / SECOND
            log.warning(
                "the newest vCon and the system clock are far apart: retention deletes nothing for a day", days=round(away / DAY, 1),
                hint="check the clock; vcond retention plan shows what would go",
            )  # fmt: skip

    def _doubted(self) -> bool:
        """A clock that jumped, either way, deletes nothing for a day."""
        now, at = self._now(), asyncio.get_running_loop().time()
        if self._seen is not None:
            moved = now - self._seen[0] - round((at - self._seen[1]) * SECOND)
            if abs(moved) > STEP:
                self._doubt = at + DAY / SECOND
                log.warning(
                    "the system clock jumped: retention deletes nothing for a day", seconds=round(moved / SECOND),
                    hint="let NTP keep the clock; vcond retention plan shows what would go",
                )  # fmt: skip
        self._seen = now, at
        return at < self._doubt
