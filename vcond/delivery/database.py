"""The daemon's SQLite file, as this room opens it: WAL, every commit on disk, and set aside when it is damaged."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog

from vcond.base.errors import StorageError
from vcond.delivery import facts
from vcond.storage.columns import Columns

log = structlog.get_logger()

VERSION = 1
BUSY_SECONDS = 10.0
"""How long another connection of the daemon may hold the write lock."""
CACHE_KB = 256
"""Of pages that a connection keeps. SQLite's own 2,000 each fill as the files grow, over weeks, and then it looks as if memory
leaked; what is read again is in the system's cache."""
CHECKPOINT_PAGES = 256
"""WAL pages (4 KiB) after which it is folded back; keeps the WAL smaller than the reserve."""

_SCHEMA = """
CREATE TABLE delivery_schema (version INTEGER NOT NULL);
CREATE TABLE delivery_vcons (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  uuid TEXT NOT NULL UNIQUE,
  sha512 TEXT NOT NULL,
  bytes INTEGER NOT NULL,
  published_at INTEGER NOT NULL,
  closed_at INTEGER NOT NULL DEFAULT 0,
  stage TEXT NOT NULL,
  facts TEXT NOT NULL
);
CREATE INDEX delivery_vcons_stage ON delivery_vcons (stage, seq);
CREATE TABLE delivery_states (
  sink TEXT NOT NULL,
  seq INTEGER NOT NULL REFERENCES delivery_vcons (seq),
  state TEXT NOT NULL,
  attempts INTEGER NOT NULL DEFAULT 0,
  next_at INTEGER NOT NULL DEFAULT 0,
  last_at INTEGER NOT NULL DEFAULT 0,
  status INTEGER NOT NULL DEFAULT 0,
  reason TEXT NOT NULL DEFAULT '',
  answer TEXT NOT NULL DEFAULT '',
  target TEXT NOT NULL DEFAULT '',
  PRIMARY KEY (sink, seq)
) WITHOUT ROWID;
CREATE INDEX delivery_states_of ON delivery_states (seq);
CREATE INDEX delivery_states_pending ON delivery_states (sink, seq) WHERE state = 'pending';
CREATE INDEX delivery_states_dead ON delivery_states (sink, seq) WHERE state = 'dead';
"""

_LATER = """
CREATE INDEX IF NOT EXISTS delivery_vcons_kept ON delivery_vcons (closed_at) WHERE stage = 'kept';
CREATE TABLE IF NOT EXISTS delivery_confirmations (
  sink TEXT NOT NULL,
  seq INTEGER NOT NULL,
  answer TEXT NOT NULL,
  asked_at INTEGER NOT NULL,
  times INTEGER NOT NULL,
  PRIMARY KEY (sink, seq)
) WITHOUT ROWID
"""
"""What a database of an earlier version lacks, and that version does not mind."""


def open_database(path: Path, now: int, columns: Columns | None = None) -> sqlite3.Connection:
    """A connection in autocommit, to be used by the calling thread only. ``columns``: how texts are encrypted in it.

    A file that is damaged is renamed to ``<name>.broken-<now>`` with its WAL, and a new one begun: other rooms must
    not have it open yet. Raises StorageError.
    """
    with storage_errors("open the database"):
        _touch(path)
        columns = columns or Columns()
        try:
            return _connect(path, columns)
        except sqlite3.DatabaseError as why:
            if not is_damage(why):
                raise
            _set_aside(path, now)
            _touch(path)
            return _connect(path, columns)


@contextmanager
def storage_errors(what: str) -> Iterator[None]:
    """Map what SQLite and the file system raise to StorageError, in one place."""
    try:
        yield
    except (sqlite3.ProgrammingError, sqlite3.InterfaceError):
        raise  # a mistake of ours
    except sqlite3.Error as why:
        name = getattr(why, "sqlite_errorname", type(why).__name__)
        hint = "restart vcond: the database is set aside and made again" if is_damage(why) else "check the disk"
        raise StorageError(f"cannot {what}: {name}; {hint}") from why
    except OSError as why:
        raise StorageError(f"cannot {what}: {why.strerror}; check the disk") from why


def is_damage(why: sqlite3.Error) -> bool:
    """Whether the file's content is broken, as opposed to a disk that is full or a folder that is read-only."""
    code = getattr(why, "sqlite_errorcode", 0) & 0xFF
    return code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def is_full(why: sqlite3.Error) -> bool:
    """Whether there was no room; for the WAL's index SQLite says so in its own way."""
    return getattr(why, "sqlite_errorcode", 0) in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE}


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """All or nothing; on disk when it is left."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def small_cache(db: sqlite3.Connection) -> None:
    """Bound what a connection keeps in memory."""
    db.execute(f"PRAGMA cache_size=-{CACHE_KB}")


def _connect(path: Path, columns: Columns) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
    try:
        columns.install(db)
        small_cache(db)
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        db.execute("PRAGMA secure_delete=ON")  # what is deleted is overwritten, not only given back
        db.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")
        _check(db)
        _prepare(db)
    except BaseException:
        db.close()
        raise
    return db


def _prepare(db: sqlite3.Connection) -> None:
    with transaction(db):
        if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'delivery_schema'").fetchone():
            for statement in _SCHEMA.split(";"):
                db.execute(statement)
            db.execute("INSERT INTO delivery_schema VALUES (?)", (VERSION,))
        for statement in _LATER.split(";"):
            db.execute(statement)
        facts.prepare(db)
        row = db.execute("SELECT version FROM delivery_schema").fetchone()
    if row is not None and row[0] > VERSION:
        raise StorageError(
            f"the database was written by a newer vcond (delivery tables {row[0]}, this version knows {VERSION}): "
            "install that version again, or move the file away (vCons in the outbox are then sent again)"
        )


def _check(db: sqlite3.Connection) -> None:
    """What SQLite finds only when it is asked is damage like any other."""
    if db.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
        why = sqlite3.DatabaseError("damaged")
        why.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        why.sqlite_errorname = "SQLITE_CORRUPT"
        raise why


def _touch(path: Path) -> None:
    """SQLite would follow the umask; the WAL gets the mode of this file."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.fchmod(handle, 0o600)
    finally:
        os.close(handle)


def _set_aside(path: Path, now: int) -> None:
    for ending in ("-wal", "-shm", ""):  # the file itself last: a WAL must never meet a new file
        part = path.with_name(path.name + ending)
        if part.exists():
            part.rename(path.with_name(f"{path.name}.broken-{now}{ending}"))
    log.error(
        "database damaged; moved it aside and sending everything in the outbox again",
        file=str(path.with_name(f"{path.name}.broken-{now}")),
        hint="records of earlier deliveries can be read from it with: sqlite3 FILE .recover",
    )
