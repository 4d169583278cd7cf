"""Files that are there completely or not at all."""

from __future__ import annotations

import os
import stat

import pytest

from vcond.base import atomic_files


def names(folder):
    return [path.name for path in folder.iterdir()]


def test_publish_is_private_complete_and_durable_in_order(tmp_path, monkeypatch):
    steps = []
    for name in ("open", "write", "fsync", "rename", "close"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *a, _n=name, _r=real, **k: (steps.append(_n), _r(*a, **k))[1])
    atomic_files.publish_file(tmp_path / "a", b"hello")
    assert steps == ["open", "write", "fsync", "close", "rename", "open", "fsync", "close"]
    assert (tmp_path / "a").read_bytes() == b"hello"
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o600
    assert names(tmp_path) == ["a"]


def test_the_mode_does_not_depend_on_the_umask(tmp_path):
    before = os.umask(0o077)
    try:
        atomic_files.publish_file(tmp_path / "a", b"", 0o640)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


def test_short_writes_are_continued(tmp_path, monkeypatch):
    real = os.write
    monkeypatch.setattr(os, "write", lambda handle, data: real(handle, bytes(data[:7])))
    atomic_files.publish_file(tmp_path / "a", b"0123456789" * 10)
    assert (tmp_path / "a").read_bytes() == b"0123456789" * 10


@pytest.mark.parametrize("step", ["write", "fsync", "rename"])
def test_an_error_leaves_what_was_there(tmp_path, monkeypatch, step):
    atomic_files.publish_file(tmp_path / "a", b"old")

    def fail(*_a, **_k):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, step, fail)
        with pytest.raises(OSError, match="No space"):
            atomic_files.publish_file(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"old"
    assert names(tmp_path) == ["a"]


def test_a_left_over_temporary_is_overwritten_and_found(tmp_path):
    left = tmp_path / ".a.tmp"
    left.write_bytes(b"much longer than the new one")
    assert list(atomic_files.leftovers(tmp_path)) == [left]
    atomic_files.publish_file(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"new"
    assert list(atomic_files.leftovers(tmp_path)) == []


def test_a_link_in_the_place_of_the_temporary_is_not_followed(tmp_path):
    (tmp_path / "elsewhere").write_bytes(b"keep")
    (tmp_path / ".a.tmp").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic"):
        atomic_files.publish_file(tmp_path / "a", b"new")
    assert (tmp_path / "elsewhere").read_bytes() == b"keep"


def test_folders_are_made_with_parents_once(tmp_path):
    atomic_files.make_folder(tmp_path / "a" / "b" / "c")
    atomic_files.make_folder(tmp_path / "a" / "b" / "c")
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o700
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError, match=r"exists|directory"):
        atomic_files.make_folder(tmp_path / "file" / "x")


def test_move_and_remove_do_not_mind_what_is_gone(tmp_path):
    (tmp_path / "to").mkdir()
    atomic_files.publish_file(tmp_path / "a", b"x")
    atomic_files.move_file(tmp_path / "a", tmp_path / "to")
    atomic_files.move_file(tmp_path / "a", tmp_path / "to")
    assert (tmp_path / "to" / "a").read_bytes() == b"x"
    atomic_files.remove_file(tmp_path / "to" / "a")
    atomic_files.remove_file(tmp_path / "to" / "a")
    assert names(tmp_path / "to") == []
