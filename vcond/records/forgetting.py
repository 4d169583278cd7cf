"""A conversation is forgotten in every place where something of it is, and each place says how far it is. Decision 0034.

What is asked for is durable before anything is touched; every step can be done again. So whatever interrupts it, it goes on
at the next start, and nothing is left half done. A place that fails is tried again, with pauses that grow to a day.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final, Literal, Protocol
from uuid import uuid4

import msgspec
import structlog

from vcond.base.backoff import Backoff
from vcond.base.errors import StorageError
from vcond.base.time import SECOND, Instant, rfc3339
from vcond.records.record_files import RecordFiles
from vcond.records.tombstones import AS_LONG, Tombstones, of_call

log = structlog.get_logger()

AGAIN: Final = Backoff(10.0, 86_400.0)
"""Seconds before a place is tried again."""
ANSWER: Final = 15.0
"""Seconds after which who asked is told how far it is."""
LOOK: Final = 600.0
"""Seconds between two looks at most: no clock that steps costs more."""
HELD: Final = "on legal hold: it goes on when that is released"
State = Literal["pending", "done", "refused", "given-up"]
"""Of one place. refused: it will not by itself; the next start, or whoever asks again, has it tried again."""


class NotYetError(Exception):
    """A place cannot forget now. Its text is the reason, for operators: nothing of anybody."""


class NeverError(Exception):
    """A place cannot forget as things are. Its text is the reason, and what to do."""


class Place(Protocol):
    """Where something of a call may be."""

    name: str
    """As operators know it: ``journal``, ``sinks.archive``."""
    after: str
    """The place that must be done before, as it would bring here again what is gone; empty = none."""

    async def erase(self, uuid: str) -> None:
        """Nothing of a call, or of one of its vCons, is left there. Again is fine. Raises NotYetError, NeverError."""


class Named(msgspec.Struct, frozen=True):
    """A conversation by its names: no other is told of it."""

    call: str
    vcons: list[str]
    merged: list[str] = []
    instead: str = ""
    """The vCon that stays of it, where only one party was to be forgotten. It has no other name in common with it."""

    @property
    def uuids(self) -> list[str]:
        """All of them."""
        return list(dict.fromkeys([self.call, *self.vcons, *self.merged]))


class Step(msgspec.Struct):
    """One place."""

    place: str
    left: list[str]
    """Names under which something may still be there."""
    state: State = "pending"
    reason: str = ""
    tries: int = 0
    at: int = 0
    """When it was last tried, nanoseconds since the epoch."""
    next_at: int = 0


class Forgetting(msgspec.Struct):
    """What was asked for, and how far it is."""

    id: str
    asked_at: int
    conversations: list[Named]
    steps: list[Step]
    ended_at: int = 0
    """When no place was pending any more."""

    @property
    def state(self) -> Literal["open", "complete", "incomplete"]:
        """open: some place is tried again. complete: all have done it."""
        if any(step.state == "pending" for step in self.steps):
            return "open"
        return "complete" if all(step.state == "done" for step in self.steps) else "incomplete"


class Forgetter:
    """Owns all that is being forgotten."""

    def __init__(
        self,
        places: Sequence[Place],
        files: RecordFiles[Forgetting],
        tombstones: Tombstones,
        *,
        now: Callable[[], int],
        receipt: Callable[[Forgetting], Awaitable[None]],
        held: Callable[[str], bool] = lambda _: False,
    ) -> None:
        """``receipt`` keeps the receipt of one that has ended. Nothing goes of a call that came to be ``held`` meanwhile. Raises StorageError."""
        self._places = {place.name: place for place in places}
        self._files, self._tombstones, self._now, self._receipt, self._held = files, tombstones, now, receipt, held
        self._wake, self._saving = asyncio.Event(), asyncio.Lock()
        self._busy: set[str] = set()
        self._unsaved: set[str] = set()
        """Those of which the disk did not take how far they are, or the receipt."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._open, _ = read(files)  # what is damaged: see salvage
        for one in self._open.values():
            if not tombstones.trouble:  # between the two writes of ``ask`` there may have been a crash
                tombstones.add(of_call(uuid) for named in one.conversations for uuid in named.uuids)
            for step in one.steps:
                if step.state == "refused" and step.place in self._places:
                    step.state, step.next_at = "pending", 0

    def all(self) -> list[Forgetting]:
        """All that is not complete, the oldest first."""
        return sorted(self._open.values(), key=lambda one: one.asked_at)

    def stays(self, uuid: str) -> bool:
        """What is left of a conversation that came to be held while it was being forgotten."""
        return any(
            uuid in named.uuids and self._is_held(named) for one in self._open.values() for named in one.conversations
        )

    async def ask(
        self, conversations: Sequence[Named], elsewhere: Mapping[str, Sequence[str]], going_on: Sequence[str] = ()
    ) -> Forgetting:
        """Conversations are to be forgotten, durably; nothing is touched before ``again``.

        ``elsewhere``: places that vcond cannot reach, and what they have; ``going_on``: tombstones of calls that go on. Raises StorageError: nothing was touched then.
        """
        uuids = list(dict.fromkeys(uuid for one in conversations for uuid in one.uuids))
        steps = [Step(name, list(uuids)) for name in self._places]
        steps += [Step(name, list(left), "refused", _UNKNOWN) for name, left in elsewhere.items()]
        made = Forgetting(str(uuid4()), self._now(), list(conversations), steps)
        try:
            await self._kept(made)
        except StorageError as why:
            raise StorageError(f"{why}; nothing was forgotten") from None
        try:
            await asyncio.to_thread(self._tombstones.add, going_on, self._now() + AS_LONG)
            await asyncio.to_thread(self._tombstones.add, [of_call(uuid) for uuid in uuids])
        except StorageError as why:
            try:
                await _write(self._files, partial(self._files.remove, made.id))
            except StorageError as stays:
                raise StorageError(
                    f"{why} now, but the request stays ({stays}): the next start goes on with it"
                ) from None
            raise
        self._open[made.id] = made
        return made

    async def again(self, one: Forgetting) -> Forgetting:
        """Try all that is not done now; how far it is when all places were tried, or after some seconds."""
        for step in one.steps:
            if step.state in {"pending", "refused"} and step.place in self._places:
                step.state, step.next_at = "pending", 0
        await self._begin(one)
        return one

    async def give_up(self, one: Forgetting, place: str) -> bool:
        """An operator has a place left as it is, which the receipt says; False when it is not waited for."""
        found = next((s for s in one.steps if s.place == place and s.state in {"pending", "refused"}), None)
        if found is None:
            return False
        found.state = "given-up"
        await self._saved(one)
        return True

    async def run(self) -> None:
        """Try again what is due, until cancelled."""
        while True:
            self._wake.clear()
            for one in self.all():
                if (_due(one, self._now()) or one.id in self._unsaved) and one.id not in self._busy:
                    await self._pass(one)
            waits = [s.next_at - self._now() for one in self._open.values() for s in one.steps if s.state == "pending"]
            waits += [round(AGAIN.first * SECOND)] if self._unsaved else []
            pause = min([LOOK, *(max(1.0, wait / SECOND) for wait in waits)])
            try:
                async with asyncio.timeout(pause):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def close(self) -> None:
        """What is under way goes on at the next start."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # Inside.

    async def _begin(self, one: Forgetting) -> None:
        task = asyncio.create_task(self._pass(one), name="forget")
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        await asyncio.wait({task}, timeout=ANSWER)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._wake.set()

    async def _pass(self, one: Forgetting) -> None:
        """Every place that is due, once."""
        if one.id in self._busy:
            return
        self._busy.add(one.id)
        try:
            if one.id in self._unsaved:
                await self._saved(one)
            for step in _due(one, self._now()):
                place = self._places.get(step.place)
                if place is None:
                    step.state, step.reason = "refused", _UNKNOWN
                else:
                    await self._try(one, step, place)
                await self._saved(one)
        except StorageError as why:
            log.error("cannot note how far forgetting is; it is tried again", error=str(why))  # noqa: TRY400 - it says it all
            self._unsaved.add(one.id)
        except Exception:  # likewise, and capture goes on
            log.exception("internal error in forgetting; it is tried again, please report it")
            self._unsaved.add(one.id)
        finally:
            self._busy.discard(one.id)

    async def _try(self, one: Forgetting, step: Step, place: Place) -> None:
        step.at, step.tries, left = self._now(), step.tries + 1, []
        before = next((each for each in one.steps if each.place == place.after), None)
        if before is not None and before.state != "done":
            step.reason, left = f"waits for {place.after}", step.left
        else:
            step.reason = ""
            named = {uuid: each for each in one.conversations for uuid in each.uuids}
            for uuid in step.left:
                if self._is_held(named[uuid]):
                    left.append(uuid)
                    step.reason = HELD
                    continue
                try:
                    await place.erase(uuid)
                except (NotYetError, NeverError) as why:
                    left.append(uuid)
                    step.reason = str(why)
                    step.state = "refused" if isinstance(why, NeverError) else step.state
                except Exception as why:  # a mistake in one place must not keep the others from forgetting
                    log.exception("internal error in forgetting; it is tried again, please report it", place=place.name)
                    left.append(uuid)
                    step.reason = f"error: {type(why).__name__}"
        step.left = left
        step.next_at = self._now() + round(AGAIN.wait(step.tries) * SECOND)
        if not left:
            step.state, step.next_at = "done", 0

    def _is_held(self, named: Named) -> bool:
        return any(map(self._held, named.uuids))

    async def _saved(self, one: Forgetting) -> None:
        """Durable; when no place is pending any more the receipt is made, and what is complete is no longer kept."""
        async with self._saving:  # an operator may give up a place while another one is being tried
            if one.id in self._open:  # else it ended meanwhile
                await self._written(one)
            self._unsaved.discard(one.id)

    async def _written(self, one: Forgetting) -> None:
        if one.state == "open":
            await self._kept(one)
            return
        one.ended_at = one.ended_at or self._now()
        await self._receipt(one)
        if any(step.state == "refused" for step in one.steps):
            await self._kept(one)
            return
        await _write(self._files, partial(self._files.remove, one.id))
        self._open.pop(one.id, None)
        log.info("request to forget carried out", receipt=one.id, state=one.state, calls=len(one.conversations))

    async def _kept(self, one: Forgetting) -> None:
        await _write(self._files, partial(self._files.put, one.id, one))


async def _write(files: RecordFiles[Forgetting], what: Callable[[], None]) -> None:
    try:
        await asyncio.to_thread(what)
    except OSError as why:
        raise StorageError(f"cannot write {files.folder}: {why.strerror}") from None


def read(files: RecordFiles[Forgetting]) -> tuple[dict[str, Forgetting], dict[str, str]]:
    """What is being forgotten, and why some of it cannot be read: see ``RecordFiles.read``. Raises StorageError."""
    try:
        return files.read()
    except OSError as why:
        raise StorageError(f"cannot read what is being forgotten in {files.folder}: {why.strerror}") from None


def _due(one: Forgetting, now: int) -> list[Step]:
    """A moment further away than the longest pause was written before the clock was set back: it is now."""
    return [
        step
        for step in one.steps
        if step.state == "pending" and not now < step.next_at <= now + round(AGAIN.most * SECOND)
    ]


_UNKNOWN: Final = "it is not in the configuration: configure it again and restart, or erase it there yourself"


def row(one: Forgetting) -> dict[str, Any]:
    """For JSON."""
    return {
        "receipt": one.id,
        "state": one.state,
        "asked_at": rfc3339(Instant(one.asked_at)),
        "ended_at": rfc3339(Instant(one.ended_at)) if one.ended_at else "",
        "conversations": [
            {"call": each.call, "vcons": each.vcons, "merged": each.merged}
            | ({"stays_without_the_party": each.instead} if each.instead else {})
            for each in one.conversations
        ],
        "places": list(_places(one.steps)),
    }


def _places(steps: Iterable[Step]) -> Iterable[dict[str, Any]]:
    for step in steps:
        yield {
            "place": step.place,
            "state": step.state,
            "reason": step.reason,
            "left": len(step.left),
            "tries": step.tries,
            "at": rfc3339(Instant(step.at)) if step.at else "",
            "next_try": rfc3339(Instant(step.next_at)) if step.state == "pending" and step.next_at else "",
        }
