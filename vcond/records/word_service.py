"""The index of words of a running daemon, beside everything else: it follows the outbox, and nobody waits for it.

Which vCons are here the outbox says; the index is compared with that. So a vCon that was published as vcond was killed, one whose file went
after its days, an index that was lost and an outbox that began anew are one case, and what is half done goes on where it was.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

import msgspec
import structlog

from vcond.base.errors import ProtocolError, StorageError
from vcond.delivery.database import is_damage
from vcond.records.following import Follower, Telling
from vcond.records.words import END, NAME, WordIndex, Words, delete, words_of
from vcond.vcon.glance import glance
from vcond.vcon.serialize import unpacked

T = TypeVar("T")
log = structlog.get_logger()

LOOK: Final = 5.0
"""Seconds between two looks at the outbox."""
PAGE: Final = 500
"""vCons that are compared at once."""
TOGETHER: Final = 20
"""vCons that are read and written at once."""
LARGEST: Final = 16 << 20
"""Bytes of a vCon that is read, as what reads JSON keeps all else from running meanwhile; and after which no more are read at once."""
REST: Final = 3.0
"""How much longer it rests than it worked."""
_HERE: Final = "stage IN ('open', 'done', 'kept')"
Here = tuple[int, str, int]
"""Place, uuid and bytes of a vCon whose file is here."""


class WordService(Follower):
    """Opens its database when it is first asked for it, as often as it takes. Raises StorageError."""

    CANNOT = "cannot write the index of words; it is tried again, and nothing is lost meanwhile"
    MISTAKE = "internal error in the index of words; it is tried again, please report it"

    def __init__(
        self,
        state_dir: Path,
        outbox: Telling,
        *,
        key: Callable[[], bytes],
        read: Callable[[str], bytes],
        forgotten: Callable[[str], bool],
    ) -> None:
        """``key``: see ``index_key``; ``read``: the bytes of a vCon, which blocks, and raises LookupError and StorageError."""
        super().__init__()
        self._path, self._outbox = state_dir / NAME, outbox
        self._key, self._read, self._forgotten = key, read, forgotten
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="words")
        self._index: WordIndex | None = None
        self._compared = False
        """Whether all was compared since the index was opened."""
        self._settled: tuple[int, int] | None = None
        """The last place that both had when they were found alike, and how many up to it have no words; None while that changes."""

    async def run(self) -> None:
        """Follow the outbox until cancelled."""
        await self._keep(self._outbox, self.follow, LOOK)

    async def follow(self, *, rest: float = REST) -> None:
        """What is new is added; where the outbox has others than the index, all is compared. ``rest``: of the time that work took."""
        has, worded, last = await self._call(WordIndex.count)
        if self._compared:
            if await self._outbox.tell("look what is new", _counted) == (has, last):
                self._settled = last, has - worded
                return
            self._settled = None
            await self._compare(last, rest)
            has, _, last = await self._call(WordIndex.count)
        if not self._compared or await self._outbox.tell("look what is new", _counted) != (has, last):
            await self._compare(0, rest)
        self._compared = True

    async def find(
        self, words: Sequence[str], limit: int, *, before: str = "", since: int = 0, until: int = 0
    ) -> list[str]:
        """See ``WordIndex.find``."""
        return await self._call(lambda index: index.find(words, limit, before=before, since=since, until=until))

    async def lacks(self) -> int:
        """Of so many vCons that are here no words are in the index: not yet, or they are too large or cannot be read.

        To count all takes as long as a search: what has come since they were found alike is enough.
        """
        if self._settled is not None:
            last, without = self._settled
            return without + await self._outbox.tell("count", lambda db: _after(db, last))
        _, has, _ = await self._call(WordIndex.count)
        there, _ = await self._outbox.tell("count", _counted)
        return max(there - has, 0)

    async def remove(self, uuid: str) -> bool:
        """Nothing of a vCon is in the index any more; False: ask again."""
        self._settled = None
        return await self._call(lambda index: index.remove([uuid]))

    async def close(self) -> None:
        """Let go of the database."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown(wait=False)

    # Inside.

    async def _compare(self, after: int, rest: float) -> None:
        """The vCons of the outbox with those of the index, from a place on."""
        while after < END:
            start = after
            here = await self._outbox.tell("look what is new", lambda db: _page(db, start))  # noqa: B023 - it has run when the loop goes on
            after = here[-1][0] if len(here) == PAGE else END
            has = await self._call(lambda index: index.between(start, after))  # noqa: B023 - likewise
            wanted = {seq: uuid for seq, uuid, _ in here}
            gone = [uuid for seq, uuid in has.items() if wanted.get(seq) != uuid]
            if gone:
                await self._call(lambda index: index.remove(gone))  # noqa: B023 - likewise
            await self._add([one for one in here if has.get(one[0]) != one[1]], rest)

    async def _add(self, vcons: list[Here], rest: float) -> None:
        loop = asyncio.get_running_loop()
        while vcons:
            began, batch = loop.time(), [vcons.pop(0)]
            while vcons and len(batch) < TOGETHER and sum(one[2] for one in batch) < LARGEST:
                batch.append(vcons.pop(0))
            words = await asyncio.to_thread(lambda: [self._words(*one) for one in batch])  # noqa: B023 - likewise
            await self._call(lambda index: index.add(words, self._forgotten))  # noqa: B023 - likewise
            still = await self._outbox.tell("look what is here", lambda db: _still(db, batch))  # noqa: B023 - likewise
            left = [uuid for seq, uuid, _ in batch if seq not in still]  # its file went meanwhile
            if left:
                await self._call(lambda index: index.remove(left))  # noqa: B023 - likewise
            await asyncio.sleep(rest * (loop.time() - began))

    def _words(self, seq: int, uuid: str, size: int) -> Words:
        """Blocks."""
        try:
            if size <= LARGEST:
                return Words(seq, uuid, words_of(glance(unpacked(self._read(uuid), LARGEST))))
        except (LookupError, StorageError, ProtocolError, msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            pass  # it is counted as one that lacks
        return Words(seq, uuid, None)

    async def _call(self, job: Callable[[WordIndex], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._run, job)

    def _run(self, job: Callable[[WordIndex], T]) -> T:
        if self._index is None:
            self._index, self._compared, self._settled = WordIndex(self._path, self._key()), False, None
        try:
            return job(self._index)
        except StorageError as why:
            if isinstance(why.__cause__, sqlite3.Error) and is_damage(why.__cause__):
                self._close()
                delete(self._path)
                log.warning(
                    "the index of words is damaged: it is made again of the vCons, and search finds them as they come back"
                )
            raise

    def _close(self) -> None:
        index, self._index = self._index, None
        if index is not None:
            index.close()


def _counted(db: sqlite3.Connection) -> tuple[int, int]:
    """How many vCons are here, and the last place."""
    found: tuple[int, int] = db.execute(
        f"SELECT count(*), coalesce(max(seq), 0) FROM delivery_vcons WHERE {_HERE}"  # noqa: S608 - no input in it
    ).fetchone()
    return found


def _after(db: sqlite3.Connection, last: int) -> int:
    """How many vCons are here whose place is after another."""
    found: int = db.execute(f"SELECT count(*) FROM delivery_vcons WHERE seq > ? AND +{_HERE}", (last,)).fetchone()[0]  # noqa: S608 - no input in it
    return found


def _page(db: sqlite3.Connection, after: int) -> list[Here]:
    """By place: the plus keeps SQLite from going by stage, and sorting all of them."""
    return db.execute(
        f"SELECT seq, uuid, bytes FROM delivery_vcons WHERE seq > ? AND +{_HERE} ORDER BY seq LIMIT {PAGE}",  # noqa: S608 - no input in it
        (after,),
    ).fetchall()


def _still(db: sqlite3.Connection, vcons: Sequence[Here]) -> set[int]:
    """The places of those that are still here."""
    return {
        seq
        for seq, uuid, _ in vcons
        if db.execute(f"SELECT 1 FROM delivery_vcons WHERE seq = ? AND uuid = ? AND {_HERE}", (seq, uuid)).fetchone()  # noqa: S608 - no input in it
    }
