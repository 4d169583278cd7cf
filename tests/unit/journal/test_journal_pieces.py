"""Compressed pieces beside a journal: whole or not there, whatever stops the one who writes; gone with the journal."""

from __future__ import annotations

import contextlib
import os
import stat

import pytest

from vcond.journal.pieces import LARGEST, KeptPieces
from vcond.storage.files import Files
from vcond.storage.whole_files import WholeFiles

BODY = b"OggS" + bytes(range(256)) * 40
NAME = "ab" * 32


class KilledError(BaseException):
    """As kill -9: nothing that would tidy up runs, as far as Python lets us."""


class Dying(Files):
    """Does so many things and no more."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def step(self) -> None:
        if self.left <= 0:
            raise KilledError
        self.left -= 1

    def make_folder(self, path, mode=0o700):
        self.step()
        return super().make_folder(path, mode)

    def open(self, path, **options):
        self.step()
        return super().open(path, **options)

    def pwrite(self, fd, data, offset):
        self.step()
        return super().pwrite(fd, data[:4096], offset)

    def rename(self, old, new):
        self.step()
        super().rename(old, new)

    def delete_one(self, path, *, folder=False):
        self.step()
        return super().delete_one(path, folder=folder)


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "journal"
    made.mkdir()
    return made


@pytest.fixture
def pieces(folder):
    return KeptPieces(folder, WholeFiles(Files()))


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_piece_comes_back_and_only_the_journals_user_can_read_it(pieces, folder):
    assert pieces.get(NAME) is None
    pieces.put(NAME, BODY)
    pieces.put("cd" * 32, b"")
    assert (pieces.get(NAME), pieces.get("cd" * 32), pieces.get("ef" * 32)) == (BODY, b"", None)
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (folder / "pieces", folder / "pieces" / NAME)]
    assert modes == [0o700, 0o600]


def test_nothing_waits_for_the_disk_to_have_it(folder):
    class Unsynced(Files):
        def sync(self, fd):
            raise AssertionError("a piece can be made again")

        def sync_folder(self, path):
            raise AssertionError("a piece can be made again")

    pieces = KeptPieces(folder, WholeFiles(Unsynced()))
    pieces.put(NAME, BODY)
    assert pieces.get(NAME) == BODY


@pytest.mark.parametrize("steps", range(12))
def test_after_a_kill_at_any_step_a_piece_is_whole_or_not_there(folder, pieces, steps):
    dying = KeptPieces(folder, WholeFiles(Dying(steps)))
    with contextlib.suppress(KilledError):
        dying.put(NAME, BODY)
    assert pieces.get(NAME) in {None, BODY}
    pieces.put(NAME, BODY)
    assert pieces.get(NAME) == BODY
    pieces.keep_only({NAME})
    assert names(folder / "pieces") == [NAME]


@pytest.mark.parametrize("at", [0, 31, 32, 33, 500, len(BODY) + 31])
def test_a_damaged_piece_is_none(pieces, folder, at):
    pieces.put(NAME, BODY)
    file = folder / "pieces" / NAME
    data = bytearray(file.read_bytes())
    data[at] ^= 0x10
    file.write_bytes(data)
    assert pieces.get(NAME) is None


@pytest.mark.parametrize("left", [0, 1, 31, 32, 400])
def test_nor_is_one_that_was_cut_short_or_is_another_or_too_large(pieces, folder, left):
    pieces.put(NAME, BODY)
    file = folder / "pieces" / NAME
    (folder / "pieces" / ("cd" * 32)).write_bytes(file.read_bytes())
    os.truncate(file, left)
    os.truncate(folder / "pieces" / ("cd" * 32), len(BODY) + 32)
    (folder / "pieces" / ("ef" * 32)).write_bytes(bytes(LARGEST + 1))
    assert [pieces.get(name * 32) for name in ("ab", "cd", "ef")] == [None, None, None]


def test_what_is_not_wanted_any_more_is_deleted(pieces, folder):
    pieces.keep_only(())
    for name in ("1", "2", "3"):
        pieces.put(name, BODY)
    pieces.keep_only({"2", "4"})
    assert names(folder / "pieces") == ["2"]
    pieces.keep_only(())
    assert names(folder / "pieces") == []


def test_no_piece_makes_a_journal_that_is_gone(tmp_path):
    with pytest.raises(FileNotFoundError):
        KeptPieces(tmp_path / "gone", WholeFiles(Files())).put(NAME, BODY)
    assert names(tmp_path) == []
