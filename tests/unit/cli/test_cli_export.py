"""vCons that the outbox holds, copied into a folder."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from vcond.base.errors import RefusedError, StorageError
from vcond.cli.export import export, lines
from vcond.config import DaemonConfig

NOON = "01a2272d-2600-8000-8000-000000000001"
"""2026-11-29T12:00:00Z."""
LATER = "01a22764-1480-8000-8000-000000000002"
"""An hour after."""


@pytest.fixture
def config(tmp_path: Path) -> DaemonConfig:
    for folder, uuid in (("pending", LATER), ("kept", NOON)):
        (tmp_path / "outbox" / folder).mkdir(parents=True)
        (tmp_path / "outbox" / folder / f"{uuid}.vcon.json").write_bytes(uuid.encode())
    (tmp_path / "outbox" / "pending" / "notes.txt").write_text("mine")
    return DaemonConfig(state_dir=str(tmp_path))


def test_all_that_is_held_byte_for_byte_once_and_for_its_owner_only(config: DaemonConfig, tmp_path: Path):
    to = tmp_path / "out" / "deep"
    rows = export(config, to)
    assert {row["uuid"]: row["began"][:16] for row in rows} == {NOON: "2026-11-29T12:00", LATER: "2026-11-29T13:00"}
    assert sorted(file.name for file in to.iterdir()) == [f"{NOON}.vcon.json", f"{LATER}.vcon.json"]
    file = to / f"{NOON}.vcon.json"
    assert file.read_bytes() == NOON.encode()
    assert stat.S_IMODE(file.stat().st_mode) & 0o077 == 0
    file.write_text("changed by hand")
    again = export(config, to)
    assert [row["new"] for row in again] == [False, False]
    assert lines(again) == ["0 exported, 2 were there before"]
    assert file.read_text() == "changed by hand"


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({"uuid": "01a2272d"}, [NOON]),
        ({"since": "2026-11-29T12:00:01Z"}, [LATER]),
        ({"until": "2026-11-29T14:00:00+01:00"}, [NOON]),
        ({"uuid": "ff"}, []),
    ],
)
def test_only_what_is_asked_for(config: DaemonConfig, tmp_path: Path, asked: dict[str, str], found: list[str]):
    rows = export(config, tmp_path / "out", **asked)
    assert [row["uuid"] for row in rows] == found
    assert ("keep_days" in lines(rows)[0]) == (not found)


def test_what_cannot_be_is_said(config: DaemonConfig, tmp_path: Path):
    with pytest.raises(RefusedError, match="--since must be a date"):
        export(config, tmp_path / "out", since="yesterday")
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot export"):
        export(config, tmp_path / "file" / "out")
    assert export(DaemonConfig(state_dir=str(tmp_path / "none")), tmp_path / "out") == []
