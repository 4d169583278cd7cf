"""The subject index: found in any spelling, forgotten without a trace."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from vcond.base.errors import StorageError
from vcond.records.database import NAME, open_records, wiped
from vcond.records.subjects import Forgotten, SubjectIndex

KEY = bytes(range(32))
ANN, BOB = "tel:+12125550143", "sip:1001@pbx.example"


def uuid(number: int) -> str:
    return str(UUID(int=number))


@pytest.fixture
def db(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    db = open_records(tmp_path / NAME)
    yield db
    db.close()


@pytest.fixture
def index(db: sqlite3.Connection) -> SubjectIndex:
    return SubjectIndex(db, KEY, region="US")


def test_who_is_in_a_vcon_is_found_with_call_time_and_party(index: SubjectIndex) -> None:
    index.note(uuid(1), uuid(1), [[ANN, "name:Ann"], [BOB]], 5)
    index.note(uuid(2), uuid(1), [[BOB], [ANN]], 6)
    index.note(uuid(3), uuid(3), [[BOB], [BOB]], 4)
    found = index.find("(212) 555-0143")
    assert [(one.vcon, one.call, one.at, one.parties) for one in found] == [
        (uuid(1), uuid(1), 5, (0,)),
        (uuid(2), uuid(1), 6, (1,)),
    ]
    assert [(one.vcon, one.parties) for one in index.find(BOB)] == [(uuid(3), (0, 1)), (uuid(1), (1,)), (uuid(2), (0,))]
    assert index.find("tel:+12125550199") == []
    assert index.size() == (3, 3)


def test_noting_twice_is_noting_once(index: SubjectIndex) -> None:
    index.note(uuid(1), uuid(1), [[ANN]], 5)
    index.note(uuid(1), uuid(1), [[ANN]], 9)
    assert [one.at for one in index.find(ANN)] == [5]


def test_the_file_names_nobody(db: sqlite3.Connection, index: SubjectIndex, tmp_path: Path) -> None:
    index.note(uuid(1), uuid(1), [[ANN, "name:Ann Lee"], ["mailto:ann@x.example"]], 5)
    wiped(db)
    content = (tmp_path / NAME).read_bytes()
    assert all(word not in content for word in (b"2125550143", b"ann", b"Ann", b"x.example"))


def test_a_token_is_the_same_for_a_person_in_a_vcon_and_another_in_the_next(index: SubjectIndex) -> None:
    index.note(uuid(1), uuid(1), [[ANN], [BOB]], 5)
    index.note(uuid(2), uuid(2), [[ANN]], 5)
    first, second = index.tokens(uuid(1)), index.tokens(uuid(2))
    assert first[0] == [index.token("+1 212 555 0143", uuid(1))]
    assert first.keys() == {0, 1}
    assert len({*first[0], *first[1], *second[0]}) == 3
    assert all(len(one) == 32 for one in first[0])


def test_forgetting_leaves_neither_secret_nor_mention_in_any_file(
    db: sqlite3.Connection, index: SubjectIndex, tmp_path: Path
) -> None:
    for number in range(1, 30):
        index.note(uuid(number), uuid(number), [[ANN], [BOB]], number)
    index.note(uuid(30), uuid(30), [[BOB]], 30)
    token = index.token(ANN, uuid(7))
    (subject,) = db.execute("SELECT subject FROM mentions WHERE party = 0 LIMIT 1").fetchone()
    (secret,) = db.execute("SELECT secret FROM subjects WHERE id = ?", (subject,)).fetchone()
    gone = [index.forget_vcon(uuid(number)) for number in range(1, 30)]
    assert gone == [Forgotten(0, wiped=True)] * 28 + [Forgotten(1, wiped=True)], "with the last vCon that she is in"
    assert index.find(ANN) == []
    assert index.token(ANN, uuid(7)) is None
    assert [one.vcon for one in index.find(BOB)] == [uuid(30)]
    for file in tmp_path.iterdir():
        content = file.read_bytes()
        assert secret not in content
        assert subject.to_bytes(8) not in content
    index.note(uuid(7), uuid(7), [[ANN]], 7)
    assert index.token(ANN, uuid(7)) != token, "a secret that was destroyed is not made again"
    assert index.forget_vcon(uuid(7)) == Forgotten(1, wiped=True)
    assert index.forget_vcon(uuid(7)) == Forgotten(0, wiped=True)


def test_a_reader_keeps_the_wal_and_it_is_said(db: sqlite3.Connection, index: SubjectIndex, tmp_path: Path) -> None:
    index.note(uuid(1), uuid(1), [[ANN]], 5)
    db.execute("PRAGMA busy_timeout=0")
    reader = open_records(tmp_path / NAME)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM subjects").fetchall()
    assert not index.forget_vcon(uuid(1)).wiped
    reader.execute("COMMIT")
    assert wiped(db)
    reader.close()


def test_a_vcon_that_is_forgotten_takes_those_who_are_in_no_other_one(index: SubjectIndex) -> None:
    index.note(uuid(1), uuid(1), [[ANN], [BOB]], 5)
    index.note(uuid(2), uuid(2), [[BOB]], 5)
    assert index.forget_vcon(uuid(1)) == Forgotten(1, wiped=True)
    assert index.token(ANN, uuid(1)) is None
    assert [one.vcon for one in index.find(BOB)] == [uuid(2)]
    assert index.forget_vcon(uuid(9)) == Forgotten(0, wiped=True)
    assert index.size() == (1, 1)


def test_another_index_key_finds_nobody(db: sqlite3.Connection, index: SubjectIndex) -> None:
    index.note(uuid(1), uuid(1), [[ANN]], 5)
    other = SubjectIndex(db, bytes(32))
    assert other.find(ANN) == []
    assert other.tokens(uuid(1)) != index.tokens(uuid(1)), "tokens need the index key too"


def test_a_file_of_a_newer_version_is_left_as_it_is(tmp_path: Path) -> None:
    db = open_records(tmp_path / NAME)
    db.execute("UPDATE records_schema SET version = 99")
    db.close()
    with pytest.raises(StorageError, match="newer vcond"):
        open_records(tmp_path / NAME)


def test_who_only_reads_makes_no_file(tmp_path: Path) -> None:
    with pytest.raises(StorageError):
        open_records(tmp_path / NAME, writes=False)
    assert not list(tmp_path.iterdir())
    db = open_records(tmp_path / NAME)
    reader = open_records(tmp_path / NAME, writes=False)
    with pytest.raises(sqlite3.OperationalError):
        reader.execute("DELETE FROM subjects")
    reader.close()
    db.close()
