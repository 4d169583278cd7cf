"""Room that is given up when the disk is full."""

from __future__ import annotations

import pytest

from vcond.delivery.reserve import Reserve
from vcond.storage.files import Files


def test_it_takes_real_room_once_and_gives_it_back(tmp_path):
    reserve = Reserve(tmp_path / "r", Files(), size=100_000)
    reserve.ensure()
    reserve.ensure()
    found = (tmp_path / "r").stat()
    assert found.st_size == 100_000
    assert found.st_blocks * 512 >= 100_000
    assert found.st_mode & 0o777 == 0o600
    assert reserve.release()
    assert not reserve.release()
    assert list(tmp_path.iterdir()) == []


class Full(Files):
    """There is no room."""

    def truncate(self, fd, length, *, room=False):
        raise OSError(28, "No space left on device")


def test_without_room_nothing_is_left_behind(tmp_path):
    with pytest.raises(OSError, match="No space"):
        Reserve(tmp_path / "r", Full()).ensure()
    assert list(tmp_path.iterdir()) == []
