"""A power failure at any moment of a call's way: it is in its journal, in the outbox, or with its receiver, whatever was kept.

The log is of the disk as all rooms see it, journal and outbox together; the database is lost altogether.
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from random import Random

import pytest
from capture_kit import ended, finishing, idle

from vcond.base.errors import JournalError
from vcond.call import events as ev
from vcond.journal.recovery import examine

for kit in ("delivery", "storage"):
    sys.path.append(str(Path(__file__).resolve().parents[1] / kit))

from delivery_kit import HandClock, MemorySink, Running, take  # noqa: E402 - found by the path above
from power_log import PowerLog  # noqa: E402 - as above

SEEDS = int(os.environ.get("VCOND_POWER", "3"))
FAILURES = 60
"""Of each way."""


class Shared(PowerLog):
    """The log of a disk on which several threads work."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.RLock()


def _one_at_a_time(name):
    def alone(self, *args, **more):
        with self.lock:
            return getattr(super(Shared, self), name)(*args, **more)

    return alone


for _name in (
    "open",
    "close",
    "pwrite",
    "truncate",
    "sync",
    "make_folder",
    "sync_folder",
    "link",
    "rename",
    "delete_one",
):
    setattr(Shared, _name, _one_at_a_time(_name))


def there(left: Path, uuid: str, body: bytes) -> str:
    """Where a call is after the failure; empty = nowhere."""
    if any(file.read_bytes() == body for file in (left / "outbox").rglob(f"*{uuid}*") if file.is_file()):
        return "outbox"
    try:
        found = examine(left / "journal" / uuid)
    except JournalError:
        return ""
    whole = any(isinstance(event, ev.CallEnded) for event in found.events)
    return "journal" if whole else "journal, cut short"


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_a_call_is_in_its_journal_in_the_outbox_or_with_its_receiver(house, tmp_path: Path, seed: int):
    chance, disk = Random(seed), Shared()
    await house.store.close()
    root = tmp_path / "state"
    root.mkdir()
    house.root, house.disk = root / "journal", disk
    house.open()
    answered: dict[str, int] = {}
    bodies: dict[str, bytes] = {}

    async def answer(record):
        answered[record.uuid] = disk.moment
        bodies[record.uuid] = record.body
        return await take(record)

    sink = MemorySink(answer=answer)
    async with (
        Running(root, sink, clock=HandClock(), files=disk) as it,
        finishing(house, it.outbox, tmp_path) as finisher,
    ):
        call, journal = ended(house)
        await journal.flush()
        safe = disk.moment
        finisher.submit(call, journal)
        await idle(finisher)
        await it.wait_for(1)
        house.store.remove(call.uuid)
        await house.store.close()
    seen: dict[str, int] = {}
    for n in range(FAILURES):
        moment, left = chance.randrange(safe, disk.moment + 1), tmp_path / f"left-{n}"
        disk.left(root, moment, left, Random(seed * 1000 + n))
        where = there(left, call.uuid, bodies[call.uuid])
        if moment > answered[call.uuid]:
            where = where or "receiver"
        assert where in {"journal", "outbox", "receiver"}, (moment, safe, answered, where)
        seen[where] = seen.get(where, 0) + 1
    print(seen)
    assert {"journal", "outbox"} <= seen.keys(), "else nothing was shown"
