from __future__ import annotations

import ctypes
import errno
import os
import stat
from pathlib import Path
from types import SimpleNamespace

import pytest

from vcond.storage import writeback
from vcond.storage.files import Files, put


@pytest.fixture(params=[0o000, 0o022, 0o777])
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_files_are_0600_and_folders_0700_whatever_the_umask(tmp_path, umask):
    files = Files()
    files.make_folder(str(tmp_path / "f"))
    files.close(files.open(str(tmp_path / "f" / "x"), create=True))
    assert (mode(tmp_path / "f"), mode(tmp_path / "f" / "x")) == (0o700, 0o600)


def test_a_folder_that_is_there_keeps_its_mode(tmp_path):
    (tmp_path / "f").mkdir(0o750)
    Files().make_folder(str(tmp_path / "f"))
    assert mode(tmp_path / "f") == 0o750


def test_a_file_is_made_only_when_asked_for(tmp_path):
    with pytest.raises(FileNotFoundError):
        Files().open(str(tmp_path / "x"), create=False)
    assert list(tmp_path.iterdir()) == []


def test_no_link_is_followed(tmp_path):
    (tmp_path / "target").write_bytes(b"precious")
    (tmp_path / "link").symlink_to("target")
    (tmp_path / "dangling").symlink_to("elsewhere")
    for name in ("link", "dangling"):
        with pytest.raises(OSError, match="symbolic"):
            Files().open(str(tmp_path / name), create=True)


def test_what_is_written_can_be_read_measured_and_cut(tmp_path):
    files = Files()
    fd = files.open(str(tmp_path / "x"), create=True)
    assert files.pwrite(fd, memoryview(b"abcd"), 2) == 4
    files.sync(fd)
    assert (files.size(fd), files.pread(fd, 10, 0)) == (6, b"\0\0abcd")
    files.truncate(fd, 3)
    assert files.pread(fd, 10, 0) == b"\0\0a"
    files.close(fd)
    files.sync_folder(str(tmp_path))
    files.link(str(tmp_path / "x"), str(tmp_path / "y"))
    files.rename(str(tmp_path / "x"), str(tmp_path / "z"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["y", "z"]


def test_a_folder_is_deleted_one_entry_at_a_time_and_links_are_not_followed(tmp_path):
    (tmp_path / "keep").mkdir()
    (tmp_path / "keep" / "precious").touch()
    folder = tmp_path / "f"
    (folder / "deep" / "deeper").mkdir(parents=True)
    (folder / "file").touch()
    (folder / "link").symlink_to(tmp_path / "keep")
    steps = 1
    while Files().delete_one(str(folder), folder=True):
        steps += 1
    assert steps == 4
    assert not folder.exists()
    assert (tmp_path / "keep" / "precious").exists()


def test_a_folder_that_was_not_meant_is_left_with_all_that_is_in_it(tmp_path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "precious").touch()
    with pytest.raises(IsADirectoryError):
        Files().delete_one(str(tmp_path / "kept"))
    assert (tmp_path / "kept" / "precious").exists()


def test_a_single_file_is_deleted_at_once(tmp_path):
    (tmp_path / "x").touch()
    assert not Files().delete_one(str(tmp_path / "x"))
    assert list(tmp_path.iterdir()) == []


def test_room_is_taken_and_told(tmp_path):
    files = Files()
    fd = files.open(str(tmp_path / "x"), create=True)
    files.truncate(fd, 100_000, room=True)
    files.close(fd)
    assert files.size(str(tmp_path / "x")) == 100_000
    assert (tmp_path / "x").stat().st_blocks * 512 >= 100_000
    assert files.free(str(tmp_path)) > 0


def test_a_file_is_opened_for_reading_by_who_may_only_read(tmp_path):
    (tmp_path / "x").write_bytes(b"abc")
    files = Files()
    fd = files.open(str(tmp_path / "x"), write=False)
    assert files.pread(fd, 10, 0) == b"abc"
    with pytest.raises(OSError, match="descriptor"):
        files.pwrite(fd, memoryview(b"x"), 0)
    files.close(fd)


def test_a_disk_that_takes_nothing_is_an_error(tmp_path):
    class Nothing(Files):
        def pwrite(self, fd, data, offset):
            return 0

    with pytest.raises(OSError, match="nothing written"):
        put(Nothing(), 0, b"x", 0)


def test_the_disk_is_told_to_begin_with_a_file_and_a_file_that_cannot_be_told_of_is_no_trouble(tmp_path):
    files = Files()
    fd = files.open(str(tmp_path / "file"), create=True)
    put(files, fd, b"some", 0)
    files.sync_soon(fd)
    files.sync(fd)
    files.close(fd)
    with pytest.raises(OSError, match="descriptor"):
        files.sync_soon(fd)
    read, write = os.pipe()
    files.sync_soon(write)  # ESPIPE
    os.close(read)
    os.close(write)


@pytest.mark.parametrize("code", ["ENOSYS", "EINVAL", "ESPIPE", "EOPNOTSUPP", "EPERM", "EACCES", "EIO", "ENOSPC"])
def test_a_disk_that_has_no_such_call_is_no_trouble_and_one_that_cannot_keep_what_was_written_is(code, monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **_more: SimpleNamespace(sync_file_range=Failing()))
    monkeypatch.setattr(ctypes, "get_errno", lambda: getattr(errno, code))
    start = writeback._found()
    assert start is not None
    if code in {"EIO", "ENOSPC"}:
        with pytest.raises(OSError, match=rf"\[Errno {getattr(errno, code)}\]"):
            start(0)
    else:
        start(0)


class Failing:
    """A system call that fails."""

    def __call__(self, *_):
        return -1
