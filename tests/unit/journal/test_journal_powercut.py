"""A power cut: only what was synced, under names that were synced, is there afterwards."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from vcond.base.time import Instant
from vcond.call import events as ev
from vcond.journal import Store
from vcond.storage.encrypted_files import EncryptedFiles
from vcond.storage.files import Files, put
from vcond.storage.whole_files import WholeFiles


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


class Keys(dict[bytes, bytes]):
    """In memory: what a power cut leaves of the key store is the key store's affair."""

    def make(self, of: bytes) -> bytes:
        return self.setdefault(of, os.urandom(32))


@pytest.fixture(params=["plain", "encrypted"])
def over(request) -> Callable[[Files, Path], Files]:
    """Lays what keeps calls over a disk, for a state folder."""
    keys = Keys()
    return lambda disk, root: disk if request.param == "plain" else EncryptedFiles(disk, keys, root)


@pytest.fixture
async def platter(tmp_path, over):
    disk = Platter()
    disk.over = over
    store = Store(tmp_path / "journal", files=over(disk, tmp_path), sync_interval=1e9)
    yield disk, store
    await store.close()


def after_the_cut(disk: Platter, store: Store, into: Path) -> Store:
    into.mkdir()
    disk.cut().left(str(store.root), into / "journal")
    return Store(into / "journal", files=disk.over(Files(), into))


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
    log, files = journal.folder / "events.log", disk.over(Files(), tmp_path)
    fd = files.open(str(log))
    put(files, fd, b"damage", files.size(fd))
    files.close(fd)
    store = Store(tmp_path / "journal", files=disk.over(disk, tmp_path))
    (journal,) = store.recover()
    journal.append(ev.Answered(at=Instant(1)))
    await journal.flush()
    (tmp_path / "left").mkdir()
    disk.cut().left(str(store.root), tmp_path / "left" / "journal")
    folder, left = tmp_path / "left" / "journal" / journal.uuid, WholeFiles(disk.over(Files(), tmp_path / "left"))
    assert left.read(folder / "events.damaged-1", 100) == b"damage"
    assert b"damage" not in left.read(folder / "events.log", 1 << 20)
    await store.close()
