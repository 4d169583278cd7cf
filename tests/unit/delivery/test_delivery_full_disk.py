"""A disk that is really full: a small tmpfs of our own. Injected faults are in the tests of the store."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time

import pytest
from delivery_kit import MemorySink, Running, body_of, make_outbox, uuid_of

from vcond.base.errors import StorageError
from vcond.delivery import OutboxConfig
from vcond.delivery.sinks.folder import FolderConfig, FolderSink

SIZE = 100_000

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")


class WallClock:
    now = staticmethod(time.time_ns)


@pytest.fixture
def disk(tmp_path):
    path = tmp_path / "disk"
    path.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=5m", "vcond-test", path], check=False)
    if mounted.returncode:
        pytest.skip("mounting is not allowed here")
    yield path
    subprocess.run(["umount", path], check=True)


async def fill(outbox, start=0):
    """Publish until it is full; how many were taken."""
    for n in range(start, 10_000):
        try:
            await outbox.publish(uuid_of(n), body_of(n, size=SIZE))
        except StorageError:
            return n
    raise AssertionError


def fill_up(disk):
    """Somebody else takes the rest, to the last byte."""
    with (disk / "others").open("wb", buffering=0) as handle:
        for size in (65536, 1):
            try:
                while True:
                    handle.write(b"x" * size)
            except OSError:
                continue


def files(disk):
    return {path.name for path in (disk / "outbox" / "pending").iterdir()}


def names(count):
    return {f"{uuid_of(n)}.vcon.json" for n in range(count)}


async def test_what_was_taken_is_whole_and_what_was_not_left_nothing(disk):
    async with make_outbox(disk, MemorySink(), clock=WallClock()) as outbox:
        taken = await fill(outbox)
        assert taken > 5
        assert files(disk) == names(taken)
        assert len(await outbox.list(limit=1000)) == taken
        assert outbox.trouble
    assert (disk / "vcond.db.reserve").exists()


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("others", [False, True])
async def test_a_full_disk_does_not_stop_the_deliveries_that_free_it(disk, restart, others, capsys):
    """Otherwise nothing would ever free it: the reserve pays for the records, even when the daemon starts so."""
    sink = MemorySink(concurrency=2)
    go = asyncio.Event()

    async def answer(record, take=sink.answer):
        await go.wait()
        return await take(record)

    sink.answer = answer
    running = Running(
        disk,
        sink,
        clock=WallClock(),
        config=OutboxConfig(keep_days=0, backoff_min=0.01, backoff_max=0.02, drain=0 if restart else 5),
    )
    async with running as it:
        taken = await fill(it.outbox)
        if others:
            fill_up(disk)
        if not restart:
            go.set()
            await it.wait_for(taken)
    if restart:
        if others:
            fill_up(disk)
        go.set()
        running = Running(disk, sink, clock=WallClock())
        async with running as it:
            await it.wait_for(taken)
    assert set(running.delivered) == {uuid_of(n) for n in range(taken)}
    assert {uuid: len(bodies) for uuid, bodies in sink.got.items()} == {uuid_of(n): 1 for n in range(taken)}
    assert all(bodies == [body_of(n, size=SIZE)] for n, bodies in enumerate(sink.got[uuid_of(n)] for n in range(taken)))
    assert files(disk) == set()
    if restart and others:
        assert "uses its reserve" in capsys.readouterr().out
    (disk / "others").unlink(missing_ok=True)
    async with make_outbox(disk, sink, clock=WallClock()) as outbox:
        await outbox.publish(uuid_of(taken), body_of(taken))
    assert (disk / "vcond.db.reserve").exists()


async def test_a_full_folder_is_tried_again_and_leaves_nothing_half_written(tmp_path, disk):
    fill_up(disk)
    folder = FolderSink(FolderConfig(path=str(disk / "out")))
    tried = asyncio.Event()
    deliver = folder.deliver

    async def watched(record):
        try:
            return await deliver(record)
        finally:
            tried.set()

    folder.deliver = watched
    async with Running(tmp_path, folder, clock=WallClock()) as it:
        await it.outbox.publish(uuid_of(1), body_of(1, size=SIZE))
        await tried.wait()
        (disk / "others").unlink()
        await it.wait_for(1)
    assert [path.name for path in (disk / "out").iterdir()] == [f"{uuid_of(1)}.vcon.json"]
    assert (disk / "out" / f"{uuid_of(1)}.vcon.json").read_bytes() == body_of(1, size=SIZE)
