from __future__ import annotations

import asyncio
import errno
import os
import stat
import threading
from pathlib import Path

import numpy as np
import pytest

from vcond.base.errors import OperatorError, StorageError
from vcond.base.time import Instant
from vcond.call import events as ev
from vcond.journal import Store, read_folder
from vcond.journal.commands import Flush
from vcond.storage.files import Files


def pcm(count: int) -> np.ndarray:
    return np.ones(count, np.int16)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


async def test_state_is_for_vcond_only_whatever_the_umask(stores, call, tmp_path):
    before = os.umask(0)
    try:
        store = stores(tmp_path / "deep" / "journal")
        journal = store.open(call())
        journal.write("0.pcm", 0, pcm(160))
        await journal.flush()
    finally:
        os.umask(before)
    files = [path for path in (tmp_path / "deep" / "journal").rglob("*") if path.is_file()]
    folders = [path for path in (tmp_path / "deep" / "journal").rglob("*") if path.is_dir()]
    assert {mode(path) for path in files} == {0o600}
    assert {mode(path) for path in [store.root, *folders]} == {0o700}


async def test_open_refuses_what_is_no_uuid_and_what_is_there(stores, call):
    store = stores()
    store.open(call(1))
    for bad in ("", "../x", call(1).call.upper(), call(1).call):
        with pytest.raises(ValueError, match="not a uuid"):
            store.open(ev.CallOpened(at=Instant(1), call=bad, adapter="a", key="k"))


async def test_one_daemon_a_store(stores, tmp_path):
    first = stores()
    with pytest.raises(OperatorError, match="in use by another vcond"):
        Store(tmp_path / "journal")
    await first.close()
    await first.close()
    stores()


async def test_a_root_that_cannot_be_is_the_operators_to_mend(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError):
        Store(tmp_path / "file" / "journal")
    (tmp_path / "j").mkdir()
    (tmp_path / "j" / ".trash").symlink_to("/tmp")
    with pytest.raises(StorageError, match="symbolic link"):
        Store(tmp_path / "j")


async def test_get_knows_open_journals_only(stores, call):
    store = stores()
    journal = store.open(call())
    assert store.get(journal.uuid) is journal
    journal.close()
    assert store.get(journal.uuid) is None
    assert store.get("unknown") is None


async def test_a_closed_journal_is_removed_by_its_uuid(stores, call):
    store = stores()
    journal, other = store.open(call(1)), store.open(call(2))
    journal.write("0.pcm", 0, pcm(160))
    journal.close()
    store.remove(journal.uuid)
    store.remove(journal.uuid)
    store.remove("unknown")
    await other.flush()
    assert not journal.folder.exists()
    assert store.trouble == ""
    with pytest.raises(RuntimeError, match="closed"):
        journal.append(ev.Answered(at=Instant(1)))


async def test_remove_of_an_open_journal(stores, call):
    store = stores()
    journal, other = store.open(call(1)), store.open(call(2))
    await journal.flush()
    journal.remove()
    journal.write("0.pcm", 0, pcm(160))
    await other.flush()
    assert not journal.folder.exists()
    assert store.get(journal.uuid) is None


async def test_what_a_dead_daemon_left_in_the_trash_is_deleted_at_start(stores, call, tmp_path):
    left = tmp_path / "journal" / ".trash" / "left"
    left.mkdir(parents=True)
    (left / "0.pcm").touch()
    deleted = threading.Event()

    class Watched(Files):
        def delete_one(self, path: str, *, folder: bool = False) -> bool:
            more = super().delete_one(path, folder=folder)
            if not more:
                deleted.set()
            return more

    store = stores(files=Watched())
    assert await asyncio.to_thread(deleted.wait, 60)
    assert not left.exists()
    assert store.recover() == []


async def test_a_disk_that_hangs_holds_up_nobody(stores, call, disk):
    """append, write, open, read, remove return while the writer is stuck in the kernel."""
    store = stores()
    journal = store.open(call(1))
    await journal.flush()
    disk.gate.clear()
    journal.append(ev.Answered(at=Instant(1)))
    assert await asyncio.to_thread(disk.stuck.wait, 60)
    for i in range(1000):
        journal.append(ev.Tagged(at=Instant(i), name="n"))
        journal.write("0.pcm", 160 * i, pcm(160))
    store.open(call(2)).remove()
    assert (journal.read("0.pcm", 0, 160_000) == 1).all()
    flush = asyncio.ensure_future(journal.flush())
    await asyncio.sleep(0)
    assert not flush.done()
    disk.gate.set()
    await flush
    assert read_folder(journal.folder) == (journal.events, "")
    assert (np.fromfile(journal.folder / "0.pcm", "<i2") == 1).all()


async def test_a_slow_disk_drops_the_newest_audio_with_everything_said(stores, call, disk):
    store = stores(max_pending=64_000)
    journal = store.open(call())
    told: list[tuple[str, int, int]] = []
    journal.on_lost = lambda *what: told.append(what)
    await journal.flush()
    disk.gate.clear()
    journal.append(ev.Answered(at=Instant(1)))
    assert await asyncio.to_thread(disk.stuck.wait, 60)
    for i in range(100):
        journal.write("0.pcm", 160 * i, pcm(160))
    assert "too slow" in store.trouble
    disk.gate.set()
    await journal.flush()
    assert told == [("0.pcm", 8000, 16000)]
    assert journal.length("0.pcm") == 8000
    assert (journal.read("0.pcm", 0, 8000) == 1).all()
    assert store.trouble == ""


async def test_losses_are_told_on_the_loop_before_flush_returns(stores, call, disk):
    store = stores(max_pending=0)
    journal = store.open(call())
    told: list[tuple[int, str, int, int]] = []
    journal.on_lost = lambda *what: told.append((threading.get_ident(), *what))
    journal.write("0.pcm", 5, pcm(160))
    assert told == []
    await journal.flush()
    assert told == [(threading.get_ident(), "0.pcm", 5, 165)]


def test_without_a_loop_the_writers_own_thread_calls_nobody(tmp_path, call, disk):
    store = Store(tmp_path / "j", files=disk)
    journal = store.open(call())
    journal.on_lost = lambda *_: pytest.fail("called in the writer's thread")
    disk.error, disk.only = errno.EFBIG, "0.pcm"
    journal.write("0.pcm", 0, pcm(160))
    assert disk.failed.wait(60)
    asyncio.run(store.close())


async def test_a_full_disk_heals_by_itself(stores, call, disk):
    store = stores()
    journal = store.open(call())
    await journal.flush()
    disk.error = errno.ENOSPC
    journal.append(ev.Answered(at=Instant(1)))
    journal.write("0.pcm", 0, pcm(160))
    with pytest.raises(StorageError, match="free space"):
        await journal.flush()
    assert "free space" in store.trouble
    disk.error = 0
    journal.append(ev.Answered(at=Instant(2)))
    await journal.flush()
    assert store.trouble == ""
    assert read_folder(journal.folder) == (journal.events, "")


async def test_a_flush_that_is_given_up_harms_nothing(stores, call, disk):
    store = stores()
    journal = store.open(call())
    disk.gate.clear()
    flush = asyncio.ensure_future(journal.flush())
    await asyncio.to_thread(disk.stuck.wait, 60)
    flush.cancel()
    with pytest.raises(asyncio.CancelledError):
        await flush
    disk.gate.set()
    await journal.flush()
    assert read_folder(journal.folder) == (journal.events, "")


async def test_close_writes_everything_and_later_flushes_fail(stores, call):
    store = stores()
    journals = [store.open(call(i)) for i in range(20)]
    for journal in journals:
        journal.write("0.pcm", 0, pcm(160))
        journal.append(ev.Answered(at=Instant(1)))
    await store.close()
    for journal in journals:
        assert read_folder(journal.folder) == (journal.events, "")
        assert (journal.folder / "0.pcm").stat().st_size == 320
    with pytest.raises(StorageError, match="closed"):
        await journals[0].flush()


async def test_close_says_what_was_not_written(tmp_path, call, disk):
    store = Store(tmp_path / "j", files=disk)
    store.open(call())
    disk.error = errno.EROFS
    with pytest.raises(StorageError, match=r"bytes could not be written: .*read-only"):
        await store.close()
    disk.error = 0
    await Store(tmp_path / "j").close()


async def test_close_does_not_wait_for_ever(tmp_path, call, disk):
    store = Store(tmp_path / "j", files=disk)
    disk.gate.clear()
    store.open(call())
    assert await asyncio.to_thread(disk.stuck.wait, 60)
    with pytest.raises(StorageError, match="did not answer"):
        await store.close(timeout=0)
    with pytest.raises(StorageError, match="in use"):
        Store(tmp_path / "j")
    disk.gate.set()


async def test_a_fault_of_ours_in_a_command_is_told_to_whoever_asked(stores, call):
    store = stores()

    class Faulty(Flush):
        def run(self, writer: object) -> None:
            raise ZeroDivisionError

    with pytest.raises(RuntimeError, match="internal error in the journal writer"):
        await store.ask(lambda done: Faulty([], done))
    journal = store.open(call())
    await journal.flush()


def test_a_store_without_a_loop_works_and_tells_losses_at_once(tmp_path, call, disk):
    store = Store(tmp_path / "j", files=disk, max_pending=0)
    journal = store.open(call())
    told: list[tuple[str, int, int]] = []
    journal.on_lost = lambda *what: told.append(what)
    journal.write("0.pcm", 0, pcm(160))
    journal.write("0.pcm", 900, pcm(160))
    assert told == [("0.pcm", 0, 160)]

    async def flush() -> None:
        await journal.flush()

    asyncio.run(flush())
    assert told == [("0.pcm", 0, 160), ("0.pcm", 900, 1060)]
    journal.write("0.pcm", 2000, pcm(160))
    journal.write("0.pcm", 4000, pcm(160))  # the loop is closed: nobody is told, nothing breaks
    asyncio.run(store.close())


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_few_files_are_open_however_many_calls(stores, call, disk):
    disk.lazy = True
    store = stores(max_open=16)
    before = open_files()
    journals = [store.open(call(i)) for i in range(500)]
    most = 0
    for i in range(4):
        for journal in journals:
            journal.write("0.pcm", 160 * i, pcm(160))
            journal.write("1.pcm", 160 * i, pcm(160))
            journal.append(ev.Tagged(at=Instant(i), name=f"n{i}"))
        await asyncio.gather(*(journal.flush() for journal in journals[::50]))
        most = max(most, open_files())
    assert most <= before + 24
    await store.close()
    assert all(read_folder(journal.folder) == (journal.events, "") for journal in journals)
    assert all((journal.folder / "1.pcm").stat().st_size == 4 * 320 for journal in journals)


async def test_a_closed_journal_can_be_opened_again_and_goes_on(stores, call):
    store = stores()
    journal = store.open(call(1))
    journal.write("0.pcm", 0, pcm(160))
    journal.append(ev.Answered(at=Instant(1)))
    assert await store.reopen(journal.uuid) is journal, "it is open"
    await journal.flush()
    journal.close()
    again = await store.reopen(journal.uuid)
    assert again is not None
    assert again is not journal
    assert again.events == [call(1), ev.Answered(at=Instant(1))]
    assert again.read("0.pcm", 0, 160).tolist() == pcm(160).tolist()
    again.append(ev.Held(at=Instant(2), party=0))
    await again.flush()
    again.close()
    third = await store.reopen(journal.uuid)
    assert third is not None
    assert len(third.events) == 3
    store.remove(journal.uuid)
    assert await store.reopen(journal.uuid) is None
    assert await store.reopen("unknown") is None
