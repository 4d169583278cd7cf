"""``records.db``: the ledger and the subject index, in a SQLite file that keeps nothing of what is deleted from it.

Trust 6.7, measured with SQLite 3.40: a deleted row stays in the WAL until it is truncated, and in free pages without
``secure_delete``. So both: ``secure_delete`` is on for every connection, and ``wiped`` ends each deletion.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

from vcond.base.errors import StorageError
from vcond.delivery.database import small_cache, storage_errors, transaction
from vcond.storage.files import Files

NAME: Final = "records.db"
VERSION: Final = 1
BUSY_SECONDS: Final = 10.0
_SCHEMA: Final = """
CREATE TABLE records_schema (version INTEGER NOT NULL, id BLOB NOT NULL);
CREATE TABLE subjects (id INTEGER PRIMARY KEY, secret BLOB NOT NULL);
CREATE TABLE mentions (
  subject INTEGER NOT NULL, conversation INTEGER NOT NULL, party INTEGER NOT NULL, PRIMARY KEY (subject, conversation, party)
) WITHOUT ROWID;
CREATE INDEX mentions_of ON mentions (conversation);
CREATE TABLE conversations (
  id INTEGER PRIMARY KEY, vcon BLOB NOT NULL UNIQUE, call BLOB, at INTEGER NOT NULL, made TEXT
);
CREATE TABLE ledger (seq INTEGER PRIMARY KEY, fact BLOB NOT NULL UNIQUE, row TEXT NOT NULL, hash BLOB NOT NULL);
CREATE INDEX ledger_vcon ON ledger (json_extract(row, '$.vcon'));
CREATE INDEX ledger_call ON ledger (json_extract(row, '$.call'));
CREATE INDEX ledger_sink ON ledger (json_extract(row, '$.sink'))
"""


def open_records(path: Path, *, writes: bool = True) -> sqlite3.Connection:
    """A connection in autocommit, for one thread. ``writes``: it is made when it is not there. Raises StorageError."""
    with storage_errors("open the ledger"):
        if writes:
            files = Files()
            files.close(files.open(str(path), create=True))
        db = sqlite3.connect(
            path if writes else f"{path.absolute().as_uri()}?mode=ro",
            timeout=BUSY_SECONDS, isolation_level=None, uri=not writes, check_same_thread=False,
        )  # fmt: skip
        try:
            small_cache(db)
            if writes:
                db.execute("PRAGMA journal_mode=WAL")
                db.execute("PRAGMA synchronous=FULL")
                db.execute("PRAGMA secure_delete=ON")
                _prepare(db)
            version = db.execute("SELECT version FROM records_schema").fetchone()[0]
        except BaseException:
            db.close()
            raise
    if version > VERSION:
        db.close()
        raise StorageError(f"{path} was written by a newer vcond: install that version again")
    return db


def wiped(db: sqlite3.Connection) -> bool:
    """What was deleted is in no file any more; False while somebody reads: ask again. Outside a transaction."""
    return bool(db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0)


def _prepare(db: sqlite3.Connection) -> None:
    with transaction(db):
        if db.execute("SELECT 1 FROM sqlite_master WHERE name = 'records_schema'").fetchone():
            return
        for statement in _SCHEMA.split(";"):
            db.execute(statement)
        db.execute("INSERT INTO records_schema VALUES (?, randomblob(16))", (VERSION,))
