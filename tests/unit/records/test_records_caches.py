"""What SQLite keeps in memory is bounded, however large the files of years are."""

from __future__ import annotations

import ctypes
import ctypes.util

import pytest

from vcond.delivery.database import CACHE_KB, open_database
from vcond.records.database import open_records
from vcond.records.words import _opened
from vcond.testing.needs import needs


def used() -> int:
    """Bytes that SQLite has of this process; https://sqlite.org/c3ref/memory_highwater.html."""
    name = ctypes.util.find_library("sqlite3")
    needs(name, "SQLite's library is missing: apt-get install libsqlite3-0")
    library = ctypes.CDLL(name)
    library.sqlite3_memory_used.restype = ctypes.c_int64
    return int(library.sqlite3_memory_used())


@pytest.mark.parametrize(
    "opened",
    [lambda path: open_database(path, 0), open_records, lambda path: _opened(path, bytes(32))],
    ids=["outbox", "ledger", "words"],
)
def test_a_connection_keeps_a_bounded_part_of_its_file_in_memory(tmp_path, opened):
    db = opened(tmp_path / "it.db")
    try:
        db.execute("CREATE TABLE filler (id INTEGER PRIMARY KEY, body BLOB)")
        before = used()
        for _ in range(1000):
            db.execute("INSERT INTO filler (body) VALUES (randomblob(4000))")
        assert db.execute("SELECT sum(length(body)) FROM filler").fetchone() == (4_000_000,)
        assert used() - before < 2 * CACHE_KB * 1024
    finally:
        db.close()
