"""Where commands find the ledger and the subject index: in the state folder, also while the daemon runs."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from vcond.app import encryption
from vcond.base.errors import ConfigError, StorageError
from vcond.config import Config, load
from vcond.delivery import facts
from vcond.delivery.database import storage_errors
from vcond.records.database import NAME, open_records
from vcond.records.heads import NAME as HEADS
from vcond.records.heads import Heads
from vcond.records.ledger import Ledger
from vcond.records.subjects import SubjectIndex
from vcond.records.subjects_key import read_index_key
from vcond.storage.columns import Columns
from vcond.storage.files import Files


@dataclass(frozen=True)
class Opened:
    """What a command reads."""

    config: Config
    db: sqlite3.Connection
    ledger: Ledger
    index: SubjectIndex
    files: Files
    """On which what is kept of calls is read."""
    columns: Columns
    found: bool
    """Whether there is an index key: without one nobody is in the index yet."""

    @property
    def heads(self) -> Heads:
        """The file that tells how far the ledger reached."""
        config = self.config
        return Heads(Path(config.records.heads or Path(config.vcond.state_dir) / HEADS))

    def outbox(self) -> sqlite3.Connection | None:
        """The outbox's database, to be read only; None when there is none. Raises StorageError."""
        path = Path(self.config.vcond.state_dir) / "vcond.db"
        if not path.exists():
            return None
        with storage_errors("open the outbox's database"):
            db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
        self.columns.install(db)
        return db


@contextmanager
def records(config: Path) -> Iterator[Opened]:
    """The records of a configuration. Raises OperatorError."""
    loaded = load(config, os.environ).config
    state_dir = Path(loaded.vcond.state_dir)
    if not (state_dir / NAME).exists():
        raise StorageError(f"there is no ledger in {state_dir} yet, or it cannot be seen: be root or vcond's user")
    keys = encryption.key_store(loaded.keys, state_dir, writes=False)
    try:
        key = read_index_key(state_dir, keys)
        db = open_records(state_dir / NAME, writes=False)
        try:
            index = SubjectIndex(db, key or bytes(32), region=loaded.records.region, domain=loaded.record.sip_domain)
            files = encryption.disk(loaded.keys, keys, state_dir)
            columns = encryption.columns(loaded.keys, keys)
            yield Opened(loaded, db, Ledger(db, index), index, files, columns, key is not None)
        finally:
            db.close()
    finally:
        if keys is not None:
            keys.close()


def not_told(opened: Opened) -> tuple[dict[tuple[str, str], int], set[tuple[str, str]]]:
    """By vCon and sink, when the outbox says that it was delivered, and which of them its queue still has."""
    db = opened.outbox()
    if db is None:
        return {}, set()
    try:
        with storage_errors("read the outbox's database"):
            delivered = facts.delivered(db)  # first: what is delivered and dropped from the queue meanwhile has its row
            return delivered, {(one.uuid, one.sink) for one in facts.waiting(db, 1 << 30)}
    except StorageError as why:
        with suppress(sqlite3.Error):
            if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'delivery_facts'").fetchone():
                raise ConfigError("the outbox was last opened by an earlier vcond: start this one once") from why
        raise
    finally:
        db.close()
