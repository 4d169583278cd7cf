from __future__ import annotations

import errno
import resource

import pytest

from vcond.journal.fd_cache import FdCache, fair_share
from vcond.storage.files import Files


def test_the_least_recently_used_is_closed(tmp_path, disk):
    fds = FdCache(disk, 2)
    a = fds.get(str(tmp_path / "a"), create=True)
    fds.get(str(tmp_path / "b"), create=True)
    assert fds.get(str(tmp_path / "a")) == a
    fds.get(str(tmp_path / "c"), create=True)
    assert (len(fds), disk.open_now, disk.most_open) == (2, 2, 2)
    assert fds.get(str(tmp_path / "a")) == a
    fds.close()
    assert (len(fds), disk.open_now) == (0, 0)


def test_files_of_a_folder_are_forgotten_together(tmp_path, disk):
    fds = FdCache(disk, 9)
    for folder in ("f", "f2"):
        (tmp_path / folder).mkdir()
        fds.get(str(tmp_path / folder / "x"), create=True)
    fds.forget_folder(str(tmp_path / "f"))
    fds.forget(str(tmp_path / "unknown"))
    assert len(fds) == 1
    fds.close()


def test_an_error_of_close_is_not_the_end(tmp_path):
    class LateErrors(Files):
        def close(self, fd: int) -> None:
            super().close(fd)
            raise OSError(errno.EDQUOT, "")

    fds = FdCache(LateErrors(), 1)
    fds.get(str(tmp_path / "a"), create=True)
    fds.get(str(tmp_path / "b"), create=True)
    fds.close()
    assert len(fds) == 0


def test_a_file_that_cannot_be_opened_is_not_remembered(tmp_path, disk):
    fds = FdCache(disk, 1)
    with pytest.raises(FileNotFoundError):
        fds.get(str(tmp_path / "a"))
    assert len(fds) == 0


def test_when_no_descriptor_is_left_one_of_ours_is_given_up(tmp_path):
    class Few(Files):
        left = 2

        def open(self, path: str, **more) -> int:
            if not self.left:
                raise OSError(errno.EMFILE, "")
            self.left -= 1
            return super().open(path, **more)

        def close(self, fd: int) -> None:
            self.left += 1
            super().close(fd)

    files = Few()
    fds = FdCache(files, 9)
    for name in "abc":
        fds.get(str(tmp_path / name), create=True)
    assert (len(fds), files.left) == (2, 0)
    fds.close()
    files.left = 0
    with pytest.raises(OSError, match="Errno 24"):
        fds.get(str(tmp_path / "a"))


@pytest.mark.parametrize(("soft", "share"), [(1024, 256), (20, 16), (1 << 20, 1024), (resource.RLIM_INFINITY, 1024)])
def test_a_quarter_of_what_the_process_may_open(monkeypatch, soft, share):
    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, soft))
    assert fair_share() == share
