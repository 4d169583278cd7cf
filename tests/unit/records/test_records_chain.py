"""A chain of rows: whatever is changed, removed, moved or added is found."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from vcond.delivery.database import transaction
from vcond.records import chain
from vcond.records.database import NAME, open_records

ROWS = 50


@pytest.fixture
def db(tmp_path: Path):
    db = open_records(tmp_path / NAME)
    with transaction(db):
        chain.append(db, [(bytes([n]) * 16, f'"event":"e{n}"}}') for n in range(ROWS)])
    yield db
    db.close()


def heads(db: sqlite3.Connection, *rows: int) -> dict[int, bytes]:
    return {row: db.execute("SELECT hash FROM ledger WHERE seq = ?", (row,)).fetchone()[0] for row in rows}


def rewritten(db: sqlite3.Connection, change: Callable[[list[str]], list[str]]) -> None:
    """As somebody who knows how hashes are made: all of them anew."""
    rows = change([row for _, row, _ in chain.stored(db)])
    db.execute("DELETE FROM ledger")
    with transaction(db):
        chain.append(db, [(n.to_bytes(16), row.partition(",")[2]) for n, row in enumerate(rows)])


def test_a_whole_chain_has_no_fault_and_says_how_far_it_reaches(db: sqlite3.Connection) -> None:
    end, faults = chain.verify(chain.stored(db), heads(db, 1, 20, ROWS))
    assert (end, faults) == (chain.end(db), [])
    assert end.rows == ROWS


def test_a_fact_that_is_told_again_is_not_written_again(db: sqlite3.Connection) -> None:
    before = chain.end(db)
    with transaction(db):
        assert chain.append(db, [(bytes([7]) * 16, '"event":"other"}')]) == before


CHANGES = {
    "changed": "UPDATE ledger SET row = replace(row, 'e19', 'e20') WHERE seq = 20",
    "one letter of a hash": "UPDATE ledger SET hash = randomblob(32) WHERE seq = 20",
    "removed": "DELETE FROM ledger WHERE seq = 20",
    "removed at the beginning": "DELETE FROM ledger WHERE seq = 1",
    "removed and numbered anew": "DELETE FROM ledger WHERE seq = 20; UPDATE ledger SET seq = seq - 1 WHERE seq > 20",
    "moved": "UPDATE ledger SET seq = 99 WHERE seq = 20; UPDATE ledger SET seq = 20 WHERE seq = 21; UPDATE ledger SET seq = 21 WHERE seq = 99",
    "added": 'INSERT INTO ledger VALUES (51, x\'ff\', \'{"seq":51,"event":"e"}\', randomblob(32))',
    "doubled": "INSERT INTO ledger SELECT 51, x'ff', row, hash FROM ledger WHERE seq = 50",
    "cut off": "DELETE FROM ledger WHERE seq > 40",
    "all gone": "DELETE FROM ledger",
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_in_the_database_is_found(db: sqlite3.Connection, change: str) -> None:
    known = heads(db, 10, ROWS)
    for statement in change.split(";"):
        db.execute(statement)
    assert chain.verify(chain.stored(db), known)[1]


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: rows[:19] + rows[20:],
        lambda rows: [*rows[:19], rows[20], rows[19], *rows[21:]],
        lambda rows: [*rows[:20], rows[5], *rows[20:]],
        lambda rows: [row.replace("e19", "e9") for row in rows],
        lambda rows: rows[:30],
    ],
    ids=["removed", "moved", "added", "changed", "cut off"],
)
def test_a_chain_that_was_made_anew_is_found_by_its_heads(db: sqlite3.Connection, change) -> None:
    known = heads(db, 40)
    rewritten(db, change)
    assert chain.verify(chain.stored(db), {})[1] == [], "without a head nobody can tell"
    assert chain.verify(chain.stored(db), known)[1]


def test_the_row_that_was_changed_is_named_and_only_that(db: sqlite3.Connection) -> None:
    db.execute("UPDATE ledger SET row = replace(row, 'e19', 'e20') WHERE seq = 20")
    (fault,) = chain.verify(chain.stored(db), heads(db, ROWS))[1]
    assert fault.row == 20


def test_a_ledger_of_nothing_but_faults_is_told_of_with_an_end(db: sqlite3.Connection) -> None:
    db.execute("UPDATE ledger SET hash = randomblob(32)")
    assert len(chain.verify(chain.stored(db), {})[1]) == chain.MOST_FAULTS
