"""An outbox to look into, a finisher over a house, and calls that have ended."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np

from vcond.base.errors import StorageError
from vcond.call import events as ev
from vcond.config import RecordConfig
from vcond.delivery import ConflictError, Entry
from vcond.publish.finisher import Finisher
from vcond.sdk.contract import ArrivalClock, Cause, Codec

FRAME = (np.sin(np.arange(160) / 3) * 8000).astype("<i2").tobytes()


class Shelf:
    """An outbox, with a disk that fails so many times."""

    def __init__(self, failures: int = 0, before: Entry | None = None) -> None:
        self.failures, self.taken, self.before = failures, {}, before
        self.unmatched = {}

    async def publish(self, uuid: str, body: bytes, facts: dict[str, str], unmatched=()) -> str:
        if self.failures:
            self.failures -= 1
            raise StorageError("no space left on device")
        if self.before is not None:
            raise ConflictError("other bytes")
        self.taken[uuid], self.unmatched[uuid] = body, unmatched
        return "ab" * 64

    async def get(self, uuid: str) -> Entry | None:
        return self.before


async def at_once(_: float) -> None:
    await asyncio.sleep(0)


class Reopened:
    """The store of a house, which may open another."""

    def __init__(self, house) -> None:
        self.house = house

    async def reopen(self, uuid: str):
        return await self.house.store.reopen(uuid)


@asynccontextmanager
async def finishing(house, outbox, tmp_path: Path, **record):
    finisher = Finisher(
        RecordConfig(**record),
        speech=house.speech,
        outbox=outbox,
        store=Reopened(house),
        take=lambda journal: house.registry.recovery.take_to_amend(journal),  # noqa: PLW0108 - a house may open another
        mint=lambda at: house.registry.mint(at),  # noqa: PLW0108 - a house may open another
        quarantine=tmp_path / "quarantine",
        now=house.clock.now,
        bus=house.bus,
        forget=lambda uuid: house.store.remove(uuid),  # noqa: PLW0108 - a house may open another store
        wait=at_once,
    )
    task = asyncio.create_task(finisher.run())
    yield finisher
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def idle(finisher: Finisher) -> None:
    await finisher.idle()


def ended(house, *, answered: bool = True):
    call = house.host.call("k", at=house.now(0))
    for key in ("a", "b"):
        party = call.party(key, at=house.at(0), who=ev.PartyInfo(name=key.upper(), validation="none"))
        track = call.track(party, at=house.at(0), codec=Codec.L16, rate=8000, clock=ArrivalClock())
        for i in range(100 if answered else 0):
            track.write(FRAME, arrived=house.now((i + 1) * 0.02))
    if answered:
        call.emit(ev.Answered(at=house.at(0)))
    call.end(at=house.now(2), cause=Cause(q850=17))
    return house.finished[-1]
