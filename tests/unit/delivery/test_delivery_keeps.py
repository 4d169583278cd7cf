"""An outbox that keeps: without a sink, over lost rows and removed sinks, and only as long as it is told."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random

import pytest
from delivery_kit import NOON, HandClock, MemorySink, body_of, uuid_of

from vcond.base.errors import ConfigError
from vcond.delivery import Outbox, OutboxConfig, keeping
from vcond.delivery.model import ConflictError

DAY = 86_400


def outbox(root: Path, *sinks: MemorySink, clock: HandClock | None = None, days: float = 36_500, **more) -> Outbox:
    return Outbox(
        root / "outbox", sinks, database=root / "vcond.db", clock=clock or HandClock(), rng=Random(1),
        config=OutboxConfig(keep_days=days), keeps=True, **more,
    )  # fmt: skip


def kept(root: Path) -> list[str]:
    return sorted(path.name[:36] for path in (root / "outbox" / "kept").glob("*.json"))


def _lose_rows(root: Path) -> None:
    for path in root.glob("vcond.db*"):
        path.unlink()


async def listed(box: Outbox, **more: int) -> list[str]:
    asked = {"since": 0, "until": 2**62, "offset": 0, "limit": 10} | more
    return await box.tell("list", lambda db: keeping.listed(db, **asked))


async def test_without_a_sink_it_is_kept_at_once_and_again_is_the_same_once(tmp_path: Path):
    async with outbox(tmp_path) as box:
        for _ in range(2):
            await box.publish(uuid_of(1), body_of(1))
        assert kept(tmp_path) == [uuid_of(1)]
        entry = await box.get(uuid_of(1))
        assert (entry.stage, entry.closed_at, entry.sinks) == ("kept", NOON, ())
        with pytest.raises(ConflictError):
            await box.publish(uuid_of(1), body_of(1, subject="another"))
        assert await listed(box) == [uuid_of(1)]
    with pytest.raises(ConfigError, match="no sink"):
        Outbox(tmp_path / "o", [], database=tmp_path / "d", clock=HandClock(), rng=Random(1))


async def test_rows_that_are_lost_are_made_again_of_the_files(tmp_path: Path):
    async with outbox(tmp_path) as box:
        for number, created in ((1, 5), (2, 7), (3, 6)):
            await box.publish(uuid_of(number), body_of(number), {keeping.CREATED: keeping.moment(created)})
        assert await listed(box) == [uuid_of(2), uuid_of(3), uuid_of(1)]
        assert await listed(box, since=6, until=6) == [uuid_of(3)]
        assert await listed(box, offset=1, limit=1) == [uuid_of(3)]
    _lose_rows(tmp_path)
    async with outbox(tmp_path) as box:
        assert sorted(await listed(box)) == [uuid_of(1), uuid_of(2), uuid_of(3)]
        await box.publish(uuid_of(1), body_of(1))
        assert (await box.get(uuid_of(1))).stage == "kept"
    assert kept(tmp_path) == [uuid_of(1), uuid_of(2), uuid_of(3)]


async def test_what_waited_for_a_sink_that_is_configured_no_more_is_kept(tmp_path: Path):
    async with outbox(tmp_path, MemorySink()) as box:
        await box.publish(uuid_of(1), body_of(1))
        assert (await box.get(uuid_of(1))).stage == "open"
    async with outbox(tmp_path) as box:
        await box._maintenance._tell((await box._call(lambda store: store.done()))[0])
        assert (await box.get(uuid_of(1))).stage == "kept"
    assert kept(tmp_path) == [uuid_of(1)]


async def test_what_no_match_takes_is_kept_and_what_a_sink_has_as_well(tmp_path: Path):
    sink = MemorySink()
    async with outbox(tmp_path, sink, matched=["memory"]) as box:
        running = asyncio.create_task(box.run())
        await box.publish(uuid_of(1), body_of(1), unmatched=["memory"])
        await box.publish(uuid_of(2), body_of(2))
        await sink.wait_for(lambda: uuid_of(2) in sink.got)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert sink.tried == [uuid_of(2)]
        assert [(await box.get(uuid_of(n))).stage for n in (1, 2)] == ["kept", "kept"]
    assert kept(tmp_path) == [uuid_of(1), uuid_of(2)]


async def test_low_disk_space_deletes_nothing_and_the_days_do(tmp_path: Path):
    clock = HandClock()
    async with outbox(tmp_path, clock=clock, days=30, disk_low=lambda: True) as box:
        await box.publish(uuid_of(1), body_of(1))
        await box._maintenance._spare()
        await box._maintenance._expire()
        assert kept(tmp_path) == [uuid_of(1)]
        clock.pass_seconds(31 * DAY)
        await box._maintenance._expire()
        assert kept(tmp_path) == []
        assert (await box.get(uuid_of(1))).stage == "gone"
        assert await listed(box) == []
        await box.publish(uuid_of(1), body_of(1))
        assert (kept(tmp_path), (await box.get(uuid_of(1))).stage) == ([uuid_of(1)], "kept")
