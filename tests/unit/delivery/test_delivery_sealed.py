"""What receivers answer lies in the database encrypted under the key of its vCon, with keys; without, as ever."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from functools import partial
from uuid import UUID

import pytest
from delivery_kit import NOON, body_of, make_store, uuid_of

from vcond.delivery import facts, rows
from vcond.delivery.rows import Outcome
from vcond.storage.columns import MARK, Columns
from vcond.storage.key_store import KeyStore

ANSWER = '{"detail": "+15551230001 said ullapool"}'


@pytest.fixture
def keys(tmp_path):
    made = KeyStore(tmp_path / "keys", bytes(32))
    yield made
    made.close()


def delivered(store, n: int = 1) -> None:
    if store.get(uuid_of(n), {}) is None:
        store.publish(uuid_of(n), body_of(n), {}, NOON)
    store.record("a", n, Outcome("delivered", NOON, status=200, answer=ANSWER, target="memory"))


def raw(root) -> dict[str, str]:
    """As whoever opens the file without keys reads it."""
    with closing(sqlite3.connect(root / "vcond.db")) as db:
        return {table: db.execute(f"SELECT answer FROM {table}").fetchall()[-1][0]
                for table in ("delivery_states", "delivery_facts")}  # fmt: skip


def told(store) -> list[str]:
    return [one.answer for one in store.ask(partial(facts.waiting, limit=9)) if one.kind == "delivered"]


def test_an_answer_is_in_no_byte_of_the_database_and_who_asks_the_outbox_reads_it(tmp_path, keys):
    store = make_store(tmp_path, columns=Columns(keys))
    delivered(store)
    assert all(one.startswith(MARK) for one in raw(tmp_path).values())
    assert not any(
        word in path.read_bytes() for path in tmp_path.glob("vcond.db*") for word in (b"ullapool", b"555123")
    )
    assert store.get(uuid_of(1), {}).sinks[0].answer == ANSWER
    assert told(store) == [ANSWER], "the ledger hashes what the receiver said"
    store.close()


def test_the_answer_goes_with_the_key_of_its_vcon(tmp_path, keys):
    store = make_store(tmp_path, columns=Columns(keys))
    delivered(store)
    keys.erase([UUID(uuid_of(1)).bytes])
    entry = store.get(uuid_of(1), {})
    assert (entry.sinks[0].state, entry.sinks[0].answer) == ("delivered", "")
    assert told(store) == [""]
    store.close()


def test_an_answer_of_before_is_read_and_the_next_one_is_sealed(tmp_path, keys):
    before = make_store(tmp_path)
    before.publish(uuid_of(1), body_of(1), {}, NOON)
    before.record("a", 1, Outcome("pending", NOON, reason="http:500", answer=ANSWER))
    before.close()
    store = make_store(tmp_path, columns=Columns(keys))
    assert store.get(uuid_of(1), {}).sinks[0].answer == ANSWER
    delivered(store)
    assert all(one.startswith(MARK) for one in raw(tmp_path).values())
    assert store.get(uuid_of(1), {}).sinks[0].answer == ANSWER
    store.close()


def test_after_a_step_back_deliveries_go_on_and_only_the_words_of_the_answer_are_missing(tmp_path, keys):
    """A version before shows the text as it is; one without keys shows none. Rows and their states are whole."""
    store = make_store(tmp_path, columns=Columns(keys))
    store.publish(uuid_of(1), body_of(1), {}, NOON)
    store.record("a", 1, Outcome("dead", NOON, status=422, reason="refused:422", answer=ANSWER))
    store.close()
    back = make_store(tmp_path)
    one = back.get(uuid_of(1), {}).sinks[0]
    assert (one.state, one.reason, one.answer) == ("dead", "refused:422", "")
    assert isinstance(raw(tmp_path)["delivery_states"], str)
    assert back.tell("", lambda db: rows.put_back(db, None, None)) == 1
    delivered(back)
    back.close()
    again = make_store(tmp_path, columns=Columns(keys))
    assert again.get(uuid_of(1), {}).sinks[0].answer == ANSWER
    again.close()


def test_a_delivery_that_no_match_wants_is_known_with_keys_too(tmp_path, keys):
    store = make_store(tmp_path, ("a", "b"), columns=Columns(keys))
    store.publish(uuid_of(1), body_of(1), {}, NOON, ["b"])
    assert [one.state for one in store.get(uuid_of(1), {}).sinks] == ["pending", "unmatched"]
    store.close()
