"""Texts in columns: readable with the key of their row's id only, and as they were where nothing is encrypted."""

import errno
import os
import sqlite3
from uuid import UUID

import pytest

from vcond.storage.columns import MARK, Columns
from vcond.storage.key_store import KeyStore

ONE, TWO = "019f155a-5131-8000-8000-000000000001", "019f155a-5131-8000-8000-000000000002"
TEXT = "422: +12125550143 is no number\né"


@pytest.fixture
def store(tmp_path):
    made = KeyStore(tmp_path / "keys", bytes(32))
    yield made
    made.close()


def test_a_text_is_opened_with_the_key_of_its_id_in_its_place_and_nowhere_else(store):
    columns = Columns(store)
    sealed = columns.sealed(ONE, "answer", TEXT)
    assert sealed.startswith(MARK)
    assert "2125550143" not in sealed
    assert sealed != columns.sealed(ONE, "answer", TEXT)
    assert columns.opened(ONE, "answer", sealed) == TEXT
    columns.sealed(TWO, "answer", TEXT)
    assert columns.opened(TWO, "answer", sealed) == ""
    assert columns.opened(ONE, "target", sealed) == ""


def test_whoever_erases_the_key_erases_the_text(store):
    columns = Columns(store)
    sealed, other = (columns.sealed(uuid, "answer", TEXT) for uuid in (ONE, TWO))
    store.erase([UUID(ONE).bytes])
    assert columns.opened(ONE, "answer", sealed) == ""
    assert columns.opened(TWO, "answer", other) == TEXT


@pytest.mark.parametrize("change", [lambda s: s[:-4], lambda s: s[:20] + ("A" if s[20] != "A" else "B") + s[21:],
                                    lambda s: MARK, lambda s: MARK + "?", lambda s: MARK + "AAAA"])  # fmt: skip
def test_a_text_that_was_changed_is_read_as_none(store, change):
    columns = Columns(store)
    assert columns.opened(ONE, "answer", change(columns.sealed(ONE, "answer", TEXT))) == ""


def test_without_keys_texts_are_as_ever_and_sealed_ones_read_as_none(store):
    sealed, off = Columns(store).sealed(ONE, "answer", TEXT), Columns()
    assert off.sealed(ONE, "answer", TEXT) == off.opened(ONE, "answer", TEXT) == TEXT
    assert off.opened(ONE, "answer", sealed) == ""


def test_with_encryption_off_and_keys_there_new_texts_are_plain_and_sealed_ones_are_opened(store):
    sealed, off = Columns(store).sealed(ONE, "answer", TEXT), Columns(store, encrypt=False)
    assert off.sealed(TWO, "answer", TEXT) == TEXT
    assert off.opened(ONE, "answer", sealed) == TEXT
    assert UUID(TWO).bytes not in store.ids()


def test_a_text_that_was_plain_before_is_read(store):
    assert Columns(store).opened(ONE, "answer", TEXT) == TEXT


def test_a_text_that_nothing_can_encrypt_is_not_kept_in_plain():
    class Full:
        def get(self, of):
            return None

        def make(self, of):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    assert Columns(Full()).sealed(ONE, "answer", TEXT) == ""


def test_nothing_is_sealed_of_an_empty_text_and_no_key_is_made_for_it(store):
    assert Columns(store).sealed(ONE, "answer", "") == ""
    assert store.ids() == []


def test_statements_of_a_connection_seal_and_open(store):
    db = sqlite3.connect(":memory:")
    Columns(store).install(db)
    assert db.execute("SELECT opened(?1, 'a', sealed(?1, 'a', ?2))", (ONE, TEXT)).fetchone() == (TEXT,)
    db.close()
