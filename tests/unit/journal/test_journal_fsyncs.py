"""An fsync that takes long: what comes meanwhile is written, so that a process that is killed then has lost moments."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from vcond.base.time import Instant
from vcond.call import events as ev
from vcond.journal import Store, read_folder
from vcond.journal.fd_cache import FdCache

WITHIN = 30.0


async def until(disk, true: Callable[[], bool]) -> None:
    """Looked at whenever something was written."""

    def wait() -> bool:
        with disk.wrote:
            return disk.wrote.wait_for(true, WITHIN)

    assert await asyncio.to_thread(wait)


async def asked(disk) -> None:
    assert await asyncio.to_thread(disk.asked.wait, WITHIN)


def tag(number: int) -> ev.Tagged:
    return ev.Tagged(at=Instant(number), name=f"n{number}")


def events(folder: Path) -> list[object]:
    return read_folder(folder)[0] if (folder / "events.log").exists() else []


async def test_a_call_that_comes_while_an_fsync_takes_long_is_written(stores, disk, call):
    store: Store = stores(sync_interval=0.0)
    disk.hangs = lambda path: call(1).call in path
    first = store.open(call(1))
    await asked(disk)
    second = store.open(call(2))
    second.append(tag(1))
    second.write("0.pcm", 0, np.ones(1600, np.int16))
    await until(disk, lambda: (second.folder / "0.pcm").exists() and (second.folder / "0.pcm").stat().st_size == 3200)
    assert events(second.folder) == second.events
    first.append(tag(2))
    second.append(tag(3))
    await until(disk, lambda: events(second.folder) == second.events)
    disk.answers.set()
    await first.flush()
    assert events(first.folder) == first.events


@pytest.mark.parametrize("what", ["events.log", ""])
async def test_the_end_of_a_call_does_not_keep_others_waiting(stores, disk, call, what):
    """Whoever asks for a call to be on the disk waits for its files and names; nobody else does."""
    store: Store = stores(sync_interval=1000.0)
    first, second = store.open(call(1)), store.open(call(2))
    await first.flush()
    disk.hangs = lambda path: path.endswith(f"{call(1).call}/{what}" if what else store.root.name)
    first.append(tag(1))
    third = store.open(call(3))
    flushed = asyncio.create_task(third.flush() if not what else first.flush())
    await asked(disk)
    second.append(tag(2))
    await until(disk, lambda: events(second.folder) == second.events)
    assert not flushed.done()
    disk.answers.set()
    await flushed


async def test_a_name_that_is_made_while_its_folder_is_synced_is_synced_after_it(stores, disk, call):
    store: Store = stores(sync_interval=0.0)
    root = store.root.name
    disk.hangs = lambda path: path.endswith(root)
    store.open(call(1))
    await asked(disk)
    second = store.open(call(2))
    await until(disk, lambda: events(second.folder) == second.events)
    disk.answers.set()
    await second.flush()
    assert len([path for what, path in disk.calls if what == "sync_folder" and path.endswith(root)]) == 2


async def test_what_is_kept_for_an_fsync_that_may_fail_is_bounded_and_all_is_written_again(stores, disk, call):
    limit = 1 << 16
    store: Store = stores(sync_interval=0.0, max_pending=limit)
    disk.hangs = lambda path: call(1).call in path
    store.open(call(1))
    await asked(disk)
    disk.sync_error, disk.only = errno.EIO, call(2).call
    calls = [store.open(call(2)), *(store.open(call(n)) for n in range(3, 9))]
    for second in range(100):
        for one in calls:
            one.write("0.pcm", 800 * second, np.full(800, 7, np.int16))
        if not second % 10:
            await until(disk, lambda: True)
    held = sum(file.stat().st_size for file in store.root.glob("*/0.pcm")) + store.queue.waiting
    assert held <= 2 * limit + (1 << 15), "once as much again as may wait, and a block"
    assert store.queue.waiting <= limit + 4096
    disk.answers.set()
    disk.sync_error = 0
    for one in calls:
        await one.flush()
    for one in calls:
        assert set(np.fromfile(one.folder / "0.pcm", np.int16)) <= {0, 7}


async def test_the_file_that_is_synced_is_not_closed_for_others(stores, disk, call):
    store: Store = stores(sync_interval=0.0, max_open=2)
    disk.hangs = lambda path: call(1).call in path and path.endswith("events.log")
    first = store.open(call(1))
    await asked(disk)
    calls = [store.open(call(n)) for n in range(2, 9)]
    await until(disk, lambda: all(events(one.folder) == one.events for one in calls))
    assert not any(what == "close" and call(1).call in path for what, path in disk.calls)
    assert disk.most_open <= 3
    disk.answers.set()
    await first.flush()


def test_what_is_pinned_is_given_up_for_nobody(tmp_path, disk):
    fds = FdCache(disk, 1)
    fds.get(str(tmp_path / "a"), create=True)
    with fds.pinned(str(tmp_path / "a")) as kept:
        fds.get(str(tmp_path / "b"), create=True)
        fds.get(str(tmp_path / "c"), create=True)
        assert fds.get(str(tmp_path / "a")) == kept
    assert disk.most_open == 2, "the one that is pinned, and one"
    fds.close()
