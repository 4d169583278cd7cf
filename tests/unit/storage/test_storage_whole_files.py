"""Files that are there completely or not at all."""

from __future__ import annotations

import errno
import os
import stat

import pytest

from vcond.storage.files import Files
from vcond.storage.whole_files import WholeFiles


class Told(Files):
    """Notes what is asked of the disk; ``fails`` is what it then refuses, ``at_most`` what one write takes."""

    def __init__(self, *, fails: str = "", at_most: int = 1 << 30) -> None:
        self.steps, self.fails, self.at_most = [], fails, at_most

    def step(self, name):
        self.steps.append(name)
        if name == self.fails:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def open(self, path, **options):
        self.step("open")
        return super().open(path, **options)

    def close(self, fd):
        self.step("close")
        super().close(fd)

    def pwrite(self, fd, data, offset):
        self.step("pwrite")
        return super().pwrite(fd, data[: self.at_most], offset)

    def pread(self, fd, count, offset):
        return super().pread(fd, min(count, self.at_most), offset)

    def read_into(self, fd, view, offset):
        return super().read_into(fd, view[: self.at_most], offset)

    def sync(self, fd):
        self.step("sync")
        super().sync(fd)

    def rename(self, old, new):
        self.step("rename")
        super().rename(old, new)

    def sync_folder(self, path):
        self.step("sync_folder")
        super().sync_folder(path)


@pytest.fixture
def whole():
    return WholeFiles(Files())


def names(folder):
    return [path.name for path in folder.iterdir()]


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_publish_is_private_complete_and_durable_in_order(tmp_path):
    disk = Told()
    WholeFiles(disk).publish(tmp_path / "a", b"hello")
    assert disk.steps == ["open", "pwrite", "sync", "close", "rename", "sync_folder"]
    assert (tmp_path / "a").read_bytes() == b"hello"
    assert mode(tmp_path / "a") == 0o600
    assert names(tmp_path) == ["a"]


def test_what_comes_in_pieces_is_one_file(tmp_path, whole):
    whole.publish(tmp_path / "a", iter([b"one ", b"", b"two"]))
    assert (tmp_path / "a").read_bytes() == b"one two"


@pytest.mark.parametrize("umask", [0o077, 0o000])
def test_the_mode_does_not_depend_on_the_umask_nor_on_what_was_left(tmp_path, umask, whole):
    (tmp_path / ".a.tmp").touch(0o666)
    before = os.umask(umask)
    try:
        whole.publish(tmp_path / "a", b"", mode=0o640, owner=(-1, os.getegid()))
        whole.make_folder(tmp_path / "f" / "g", 0o750)
    finally:
        os.umask(before)
    assert (mode(tmp_path / "a"), mode(tmp_path / "f"), mode(tmp_path / "f" / "g")) == (0o640, 0o750, 0o750)


def test_short_writes_and_reads_are_continued(tmp_path):
    whole = WholeFiles(Told(at_most=7))
    whole.publish(tmp_path / "a", b"0123456789" * 10)
    assert (tmp_path / "a").read_bytes() == whole.read(tmp_path / "a", 100) == b"0123456789" * 10
    view = bytearray(b"x" * 30)
    whole.read_part(str(tmp_path / "a"), memoryview(view), 80)
    assert view == b"0123456789" * 2 + b"x" * 10


def test_no_more_is_read_than_was_to_be_expected(tmp_path, whole):
    (tmp_path / "a").write_bytes(b"12345")
    assert whole.read(tmp_path / "a", 5) == b"12345"
    with pytest.raises(OSError, match="too large"):
        whole.read(tmp_path / "a", 4)


@pytest.mark.parametrize("step", ["open", "pwrite", "sync", "rename"])
def test_an_error_leaves_what_was_there(tmp_path, step, whole):
    whole.publish(tmp_path / "a", b"old")
    with pytest.raises(OSError, match="No space"):
        WholeFiles(Told(fails=step)).publish(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"old"
    assert names(tmp_path) == ["a"]


def test_pieces_that_cannot_be_made_leave_what_was_there(tmp_path, whole):
    def pieces():
        yield b"new"
        raise ZeroDivisionError

    whole.publish(tmp_path / "a", b"old")
    with pytest.raises(ZeroDivisionError):
        whole.publish(tmp_path / "a", pieces())
    assert (tmp_path / "a").read_bytes() == b"old"
    assert names(tmp_path) == ["a"]


def test_what_an_interrupted_publish_left_is_replaced_and_cleared(tmp_path, whole):
    (tmp_path / ".a.tmp").write_bytes(b"much longer than the new one")
    whole.publish(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"new"
    (tmp_path / ".b.tmp").write_bytes(b"half")
    whole.clear(tmp_path)
    assert names(tmp_path) == ["a"]


def test_a_link_in_the_place_of_a_file_is_not_followed(tmp_path, whole):
    (tmp_path / "elsewhere").write_bytes(b"keep")
    (tmp_path / ".a.tmp").symlink_to(tmp_path / "elsewhere")
    whole.publish(tmp_path / "a", b"new")
    assert (tmp_path / "elsewhere").read_bytes() == b"keep"
    (tmp_path / "b").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic"):
        whole.read(tmp_path / "b", 100)


def test_folders_are_made_with_parents_once(tmp_path):
    disk = Told()
    whole = WholeFiles(disk)
    whole.make_folder(tmp_path / "a" / "b" / "c")
    assert disk.steps == ["sync_folder"] * 3
    whole.make_folder(tmp_path / "a" / "b" / "c")
    assert disk.steps == ["sync_folder"] * 3
    assert mode(tmp_path / "a") == 0o700
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError, match=r"exists|directory"):
        whole.make_folder(tmp_path / "file" / "x")


def test_move_and_remove_do_not_mind_what_is_gone(tmp_path, whole):
    (tmp_path / "to").mkdir()
    whole.publish(tmp_path / "a", b"x")
    whole.move(tmp_path / "a", tmp_path / "to")
    whole.move(tmp_path / "a", tmp_path / "to")
    assert (tmp_path / "to" / "a").read_bytes() == b"x"
    whole.remove(tmp_path / "to" / "a")
    whole.remove(tmp_path / "to" / "a")
    assert names(tmp_path / "to") == []
