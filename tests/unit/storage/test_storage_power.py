"""What a power failure leaves of files that are there completely or not at all; and the disk that says what it may leave."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from power_log import PowerLog

from vcond.storage.whole_files import TEMPORARY, WholeFiles

TRIES = 40


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "disk"
    folder.mkdir()
    return folder


def each_failure(disk: PowerLog, root: Path, tmp_path: Path):
    """What may be left, at every moment, some ways each."""
    for moment in range(disk.moment + 1):
        for n in range(TRIES):
            place = tmp_path / f"left-{moment}-{n}"
            disk.left(root, moment, place, Random(1000 * moment + n))
            yield moment, place


def test_a_published_file_is_whole_once_it_was_published_and_old_or_new_before(root: Path, tmp_path: Path):
    disk = PowerLog()
    whole = WholeFiles(disk)
    whole.publish(root / "a", b"old" * 1000)
    first = disk.moment
    whole.publish(root / "a", b"new!" * 1000)
    seen = set()
    for moment, left in each_failure(disk, root, tmp_path):
        found = (left / "a").read_bytes() if (left / "a").exists() else None
        allowed = {b"old" * 1000, b"new!" * 1000} if moment >= first else {None, b"old" * 1000}
        if moment == disk.moment:
            allowed = {b"new!" * 1000}
        assert found in allowed, moment
        assert {path.name for path in left.iterdir()} <= {"a", f".a{TEMPORARY}"}
        seen.add((moment >= first, found))
    assert seen == {(False, None), (False, b"old" * 1000), (True, b"old" * 1000), (True, b"new!" * 1000)}


def test_a_moved_file_is_in_one_of_both_folders_at_least_and_a_removed_one_is_gone(root: Path, tmp_path: Path):
    disk = PowerLog()
    whole = WholeFiles(disk)
    for name in ("from", "to"):
        whole.make_folder(root / name)
    whole.publish(root / "from" / "a", b"x" * 700)
    begun = disk.moment
    whole.move(root / "from" / "a", root / "to")
    moved = disk.moment
    whole.remove(root / "to" / "a")
    for moment, left in each_failure(disk, root, tmp_path):
        found = [path.parent.name for path in left.rglob("a")]
        assert all(path.read_bytes() == b"x" * 700 for path in left.rglob("a"))
        if begun <= moment <= moved:
            assert len(found) == 1
        if moment == moved:
            assert found == ["to"]
        if moment == disk.moment:
            assert found == []


def test_what_was_not_synced_may_be_anything_and_what_was_is_there(root: Path, tmp_path: Path):
    """The disk itself: if it were kind, the tests on it would show nothing."""
    disk = PowerLog()
    fd = disk.open(str(root / "a"), create=True)
    disk.pwrite(fd, memoryview(b"1" * 1024), 0)
    disk.sync(fd)
    disk.sync_folder(str(root))
    disk.pwrite(fd, memoryview(b"2" * 1024), 512)
    disk.close(fd)
    left = [path for moment, path in each_failure(disk, root, tmp_path) if moment == disk.moment]
    assert {(path / "a").read_bytes() for path in left} == {
        b"1" * 1024,
        b"1" * 512 + b"2" * 1024,
        b"1" * 512 + b"2" * 512,
        b"1" * 1024 + b"2" * 512,
    }
    disk.rename(str(root / "a"), str(root / "b"))
    names = [
        tuple(sorted(entry.name for entry in path.iterdir()))
        for n in range(TRIES)
        for path in [tmp_path / f"named-{n}"]
        if disk.left(root, disk.moment, path, Random(n)) is None
    ]
    assert set(names) == {("a",), ("b",)}
