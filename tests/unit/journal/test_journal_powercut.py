"""A power cut: only what was synced, under names that were synced, is there afterwards."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from vcond.base.time import Instant
from vcond.call import events as ev
from vcond.journal import Store
from vcond.storage.files import Files


class Platter(Files):
    """Knows what a power cut would leave: contents by inode as of their last sync, names as of their folder's."""

    def __init__(self) -> None:
        self.contents: dict[int, bytes] = {}
        self.names: dict[str, dict[str, int]] = {}

    def sync(self, fd: int) -> None:
        self.contents[os.fstat(fd).st_ino] = os.pread(fd, os.fstat(fd).st_size, 0)

    def sync_folder(self, path: str) -> None:
        self.names[path] = {entry.name: entry.inode() for entry in os.scandir(path)}

    def cut(self) -> Platter:
        """What is known at this moment: the writer goes on with what nobody waited for."""
        now = Platter()
        now.names, now.contents = self.names.copy(), self.contents.copy()
        return now

    def left(self, root: str, into: Path) -> None:
        """Build what is left of ``root`` after a cut."""
        into.mkdir(mode=0o700)
        folders = {Path(path).stat().st_ino: path for path in self.names if Path(path).exists()}
        for name, inode in self.names.get(root, {}).items():
            if inode in folders:
                self.left(folders[inode], into / name)
            elif inode in self.contents:
                (into / name).write_bytes(self.contents[inode])
            elif not name.startswith("."):
                (into / name).touch() if "." in name else (into / name).mkdir()


@pytest.fixture
async def platter(tmp_path):
    disk = Platter()
    store = Store(tmp_path / "j", files=disk, sync_interval=1e9)
    yield disk, store
    await store.close()


def after_the_cut(disk: Platter, store: Store, into: Path) -> Store:
    disk.cut().left(str(store.root), into)
    return Store(into)


async def test_all_that_flush_acknowledged_is_there(platter, tmp_path, call):
    disk, store = platter
    journals = [store.open(call(n)) for n in range(3)]
    for i in range(5):
        for journal in journals:
            journal.append(ev.Tagged(at=Instant(i), name=f"n{i}"))
            journal.write("0.pcm", 160 * i, np.full(160, i, np.int16))
            journal.write("1.pcm", 160 * i, np.full(160, -i, np.int16))
    for journal in journals[:2]:
        await journal.flush()
    journals[0].append(ev.Answered(at=Instant(9)))
    again = after_the_cut(disk, store, tmp_path / "left")
    found = {journal.uuid: journal for journal in again.recover()}
    for journal in journals[:2]:
        there = found[journal.uuid]
        assert there.events == journal.events[:6]
        assert (there.read("0.pcm", 0, 800) == np.repeat(np.arange(5), 160)).all()
        assert (there.read("1.pcm", 0, 800) == -np.repeat(np.arange(5), 160)).all()
    await again.close()


async def test_a_merge_is_there_on_both_sides_or_not_at_all(platter, tmp_path, call):
    disk, store = platter
    into, other, bystander = (store.open(call(n)) for n in range(3))
    other.write("0.pcm", 0, np.full(160, 7, np.int16))
    await other.flush()
    into.adopt(other, {"0.pcm": "1.pcm"})
    into.append(ev.Merged(at=Instant(1), call=other.uuid))
    other.append(ev.MergedInto(at=Instant(1), call=into.uuid))
    other.remove()
    await bystander.flush()  # comes after the removal
    again = after_the_cut(disk, store, tmp_path / "left")
    found = {journal.uuid: journal for journal in again.recover()}
    assert set(found) == {into.uuid, bystander.uuid}
    assert found[into.uuid].events == into.events
    assert (found[into.uuid].read("1.pcm", 0, 160) == 7).all()
    await again.close()


async def test_a_removed_call_does_not_come_back(platter, tmp_path, call):
    disk, store = platter
    gone, bystander = store.open(call(1)), store.open(call(2))
    await gone.flush()
    gone.remove()
    await bystander.flush()
    again = after_the_cut(disk, store, tmp_path / "left")
    assert [journal.uuid for journal in again.recover()] == [bystander.uuid]
    await again.close()


async def test_a_repair_leaves_either_the_damage_or_the_copy(platter, tmp_path, call):
    disk, store = platter
    journal = store.open(call())
    await journal.flush()
    await store.close()
    log = journal.folder / "events.log"
    log.write_bytes(log.read_bytes() + b"damage")
    store = Store(tmp_path / "j", files=disk)
    (journal,) = store.recover()
    journal.append(ev.Answered(at=Instant(1)))
    await journal.flush()
    disk.cut().left(str(store.root), tmp_path / "left")
    folder = tmp_path / "left" / journal.uuid
    assert (folder / "events.damaged-1").read_bytes() == b"damage"
    assert b"damage" not in (folder / "events.log").read_bytes()
    await store.close()
