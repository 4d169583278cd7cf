"""The SQLite file: private, durable, set aside when it is damaged."""

from __future__ import annotations

import sqlite3
import stat

import pytest
from delivery_kit import NOON

from vcond.base.errors import StorageError
from vcond.delivery import database
from vcond.delivery.database import open_database, storage_errors, transaction


@pytest.fixture
def path(tmp_path):
    return tmp_path / "vcond.db"


def test_every_commit_is_on_disk_and_the_files_are_private(path):
    db = open_database(path, NOON)
    assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert db.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
    with transaction(db):
        db.execute("CREATE TABLE t (x)")
    for part in path.parent.iterdir():
        assert stat.S_IMODE(part.stat().st_mode) == 0o600, part
    db.close()


def test_a_file_that_others_could_read_is_made_private(path):
    path.touch(0o644)
    open_database(path, NOON).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_tables_of_other_rooms_are_left_alone(path):
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE calls (x)")
    other.execute("INSERT INTO calls VALUES (1)")
    other.commit()
    db = open_database(path, NOON)
    assert db.execute("SELECT x FROM calls").fetchone() == (1,)
    tables = {row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert {name for name in tables if not name.startswith("sqlite_")} == {
        "calls",
        "delivery_schema",
        "delivery_states",
        "delivery_confirmations",
        "delivery_facts",
        "delivery_vcons",
    }
    db.close()
    other.close()


def test_a_transaction_is_all_or_nothing(path):
    db = open_database(path, NOON)

    def half():
        db.execute("CREATE TABLE t (x)")
        raise KeyError

    with pytest.raises(KeyError), transaction(db):
        half()
    assert not db.in_transaction
    with pytest.raises(sqlite3.OperationalError):
        db.execute("SELECT * FROM t")
    db.close()


@pytest.mark.parametrize("damage", ["garbage", "zeros", "inside"])
def test_damage_is_set_aside_with_its_wal(path, damage):
    db = open_database(path, NOON)
    db.execute(
        "INSERT INTO delivery_vcons (uuid, sha512, bytes, published_at, stage, facts) VALUES ('u','',0,0,'open','')"
    )
    db.close()
    content = bytearray(path.read_bytes())
    if damage == "garbage":
        content[:] = b"not a database" * 1000
    elif damage == "zeros":
        content[:100] = bytes(100)
    else:
        content[4096:] = b"\xa5" * (len(content) - 4096)
    path.write_bytes(content)
    path.with_name("vcond.db-wal").write_bytes(b"its wal")
    again = open_database(path, NOON)
    assert again.execute("SELECT count(*) FROM delivery_vcons").fetchone() == (0,)
    again.close()
    assert path.with_name(f"vcond.db.broken-{NOON}").read_bytes() == bytes(content)
    assert not path.with_name("vcond.db-wal").exists()


def test_what_is_no_damage_is_not_set_aside(path, monkeypatch):
    open_database(path, NOON).close()

    def full(*_a, **_k):
        why = sqlite3.OperationalError("database or disk is full")
        why.sqlite_errorcode, why.sqlite_errorname = sqlite3.SQLITE_FULL, "SQLITE_FULL"
        raise why

    monkeypatch.setattr(sqlite3, "connect", full)
    with pytest.raises(StorageError, match="SQLITE_FULL; check the disk"):
        open_database(path, NOON)
    assert [part.name for part in path.parent.iterdir()] == ["vcond.db"]


def test_a_folder_in_its_place(path):
    path.mkdir()
    with pytest.raises(StorageError, match="directory"):
        open_database(path, NOON)


def test_tables_of_a_newer_vcond_are_not_touched(path):
    db = open_database(path, NOON)
    db.execute("UPDATE delivery_schema SET version = ?", (database.VERSION + 1,))
    db.close()
    before = path.read_bytes()
    with pytest.raises(StorageError, match="newer vcond"):
        open_database(path, NOON)
    assert path.read_bytes() == before


def test_damage_found_while_running_says_to_restart():
    why = sqlite3.DatabaseError("malformed")
    why.sqlite_errorcode, why.sqlite_errorname = sqlite3.SQLITE_CORRUPT_INDEX, "SQLITE_CORRUPT_INDEX"
    with pytest.raises(StorageError, match="cannot read: SQLITE_CORRUPT_INDEX; restart vcond"), storage_errors("read"):
        raise why


def test_another_connection_may_hold_the_lock_for_a_while(path, monkeypatch):
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.01)
    db = open_database(path, NOON)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageError, match="SQLITE_BUSY"), storage_errors("write"), transaction(db):
        pass
    other.execute("COMMIT")
    with transaction(db):
        pass
    db.close()
    other.close()
