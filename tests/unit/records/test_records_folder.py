"""Where holds, tombstones and receipts lie: with the keys, and never with those of another daemon."""

from __future__ import annotations

from pathlib import Path

import msgspec
from records_kit import config

from vcond.app import remembered


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
