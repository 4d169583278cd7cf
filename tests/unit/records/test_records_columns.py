"""docs/privacy.md lists every column of every database, and says truly which of them are encrypted."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path

from vcond.base.time import Instant
from vcond.delivery.rows import Outcome
from vcond.delivery.store import OutboxStore
from vcond.records.database import NAME, open_records
from vcond.records.words import NAME as WORDS
from vcond.records.words import WordIndex
from vcond.storage.columns import MARK, Columns
from vcond.storage.key_store import KeyStore

PAGE = Path(__file__).parents[3] / "docs" / "privacy.md"
UUID = "019f155a-5131-8000-8000-000000000001"
Column = tuple[str, ...]
"""Database, table, column."""


def listed() -> dict[Column, str]:
    """What the last cell says of each."""
    lines = PAGE.read_text().partition("## Columns of the databases")[2].splitlines()
    found: dict[Column, str] = {}
    table: list[str] = []
    for line in lines:
        if line.startswith("| ") and "may hold" not in line:
            first, columns, _, state = (cell.strip() for cell in line.strip("|").split("|"))
            table = re.findall(r"`([^`]+)`", first) or table
            for column in re.findall(r"`([^`]+)`", columns):
                assert (*table, column) not in found
                found[*table, column] = state
    return found


def columns_of(path: Path) -> dict[Column, str]:
    """What they are: encrypted where a value is."""
    with closing(sqlite3.connect(path)) as db:
        tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        found: dict[Column, str] = {}
        for table in tables:
            rows = db.execute(f"SELECT * FROM {table}")
            values = rows.fetchall()
            for place, (column, *_) in enumerate(rows.description):
                sealed = any(isinstance(row[place], str) and row[place].startswith(MARK) for row in values)
                found[path.name, table, column] = "encrypted" if sealed else "plain"
    return {column: state for column, state in found.items() if not column[1].startswith("sqlite_")}


def test_the_page_lists_every_column_and_which_are_encrypted(tmp_path):
    keys = KeyStore(tmp_path / "keys", bytes(32))
    path = tmp_path / "vcond.db"
    store = OutboxStore(tmp_path / "outbox", path, ["a"], now=1, latest=1, columns=Columns(keys))
    store.publish(UUID, json.dumps({"vcon": "0.4.0", "uuid": UUID, "parties": []}).encode(), {"keep": "support"}, 1)
    store.record("a", 1, Outcome("delivered", Instant(1), 0, 200, "reason", "answer", "target", "plain 00"))
    open_records(tmp_path / NAME).close()
    WordIndex(tmp_path / WORDS, bytes(32)).close()
    assert listed() == columns_of(path) | columns_of(tmp_path / NAME) | columns_of(tmp_path / WORDS)
    store.close()
    keys.close()
