"""Where holds, tombstones and receipts lie: with the keys, and never with those of another daemon."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from records_kit import config, edge

from vcond.app import remembered
from vcond.base.errors import ConfigError, StorageError
from vcond.records.tombstones import Tombstones


def test_they_lie_with_the_keys_when_these_have_a_folder_and_stay_where_they_are(tmp_path: Path):
    made = config(tmp_path)
    assert remembered.folder(made) == tmp_path / "state/records"
    (tmp_path / "keys").mkdir()
    assert remembered.folder(made) == tmp_path / "keys/records"
    (tmp_path / "state/records").mkdir(parents=True)
    assert remembered.folder(made) == tmp_path / "state/records", "what is held there is held"
    (tmp_path / "keys/records").mkdir()
    assert remembered.folder(made) == tmp_path / "keys/records"


def test_a_daemon_beside_the_installed_one_does_not_read_its_records(tmp_path: Path, monkeypatch):
    default = tmp_path / "installed"
    (default / "records").mkdir(parents=True)
    made = config(tmp_path)
    monkeypatch.setattr(remembered, "KeysConfig", lambda: msgspec.structs.replace(made.keys, store=str(default)))
    beside = msgspec.structs.replace(made, keys=msgspec.structs.replace(made.keys, store=str(default)))
    assert remembered.folder(beside) == tmp_path / "state/records"


async def test_a_folder_of_keys_that_is_not_mounted_is_not_taken_for_one_without_holds(tmp_path: Path):
    made, keys = config(tmp_path), tmp_path / "keys"
    keys.mkdir()
    async with edge(made) as it:
        call = await it.ended()
        await it.write("hold", call=call, reason="case 7")
    keys.rename(tmp_path / "elsewhere")
    for mount_point in (False, True):  # of systemd, which makes the folder
        if mount_point:
            keys.mkdir()
        with pytest.raises(ConfigError, match="mount that folder"):
            async with edge(made):
                pass
    keys.rmdir()
    (tmp_path / "elsewhere").rename(keys)
    async with edge(made) as it:
        assert [one["call"] for one in await it.read("holds")] == [call]
    keys.rename(tmp_path / "elsewhere")
    (tmp_path / "state" / remembered.MARK).unlink()  # as an operator who has nothing else
    async with edge(made) as it:
        assert await it.read("holds") == []


async def test_those_in_the_state_folder_go_with_it_wherever_it_is(tmp_path: Path):
    async with edge(config(tmp_path)) as it:
        call = await it.ended()
        await it.write("hold", call=call, reason="case 7")
    other = tmp_path / "other"
    other.mkdir()
    (tmp_path / "state").rename(other / "state")
    async with edge(config(other)) as it:
        assert [one["call"] for one in await it.read("holds")] == [call]


def test_tombstones_without_their_key_are_not_taken_for_none(tmp_path: Path, capsys, monkeypatch):
    def made() -> Tombstones:
        return Tombstones(tmp_path, lambda: 0)

    made().add(["a", "b"])
    key = tmp_path / "tombstones.key"
    good = key.read_bytes()
    for bad in (None, b"", b"short"):
        key.unlink(missing_ok=True)
        if bad is not None:
            key.write_bytes(bad)
        lost = made()
        assert "nobody knows what was forgotten" in lost.trouble
        with pytest.raises(StorageError, match="nothing was forgotten"):
            lost.add(["c"])
    key.write_bytes(good)
    load, seen = lost._load, list[str]()

    def looked() -> None:
        seen.append(lost.trouble)
        load()

    monkeypatch.setattr(lost, "_load", looked)
    lost.load()
    assert "nobody knows" in seen[0], "until it is read, nothing is added and no other key is made"
    assert (lost.trouble, "a" in lost) == ("", True)
    file = tmp_path / "tombstones"
    file.write_bytes(bytes([file.read_bytes()[0] ^ 1]) + file.read_bytes()[1:])
    again = made()
    assert ("a" in again, "b" in again) == (False, True)
    assert "an old backup would bring it back" in capsys.readouterr().out
