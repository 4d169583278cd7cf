"""What the outbox holds: files and rows, and every crash between two steps."""

from __future__ import annotations

import hashlib
import stat
from contextlib import suppress
from itertools import count

import pytest
from crash_kit import Crash, Steps, open_counted
from delivery_kit import NOON, SECOND, body_of, make_store, uuid_of

from vcond.base.errors import StorageError
from vcond.delivery import ConflictError, rows
from vcond.delivery.backlog import Query
from vcond.delivery.database import transaction
from vcond.delivery.reconcile import reconcile
from vcond.delivery.rows import Outcome, Probe


def publish(store, n, **more):
    return store.publish(uuid_of(n), body_of(n, **more), {}, NOON + n)


def due(store, sink="a", now=NOON, limit=100, probe=None):
    return [job.uuid for job in store.due(sink, now, limit, probe=probe)[0]]


def entry(store, n):
    return store.get(uuid_of(n), {})


def seq_of(store, n):
    return next(job.seq for job in store.due("a", NOON * 2, 10_000, probe=Probe())[0] if job.uuid == uuid_of(n))


def every_step(tmp_path, **options):
    """A fresh folder and a fault for each step of what the caller does, until it does fewer steps than that."""
    for at in count(1):
        root = tmp_path / str(at)
        root.mkdir()
        steps = Steps(at, **options)
        yield root, steps
        if steps.count < at:
            assert at > 5  # something was counted at all
            return


def delivered(at=NOON):
    return Outcome("delivered", at, status=204, target="t")


def pending_files(root):
    return sorted(path.name for path in (root / "outbox" / "pending").iterdir())


@pytest.fixture
def store(tmp_path):
    made = make_store(tmp_path)
    yield made
    made.close()


def test_publish_keeps_the_bytes_privately_and_lists_them(store, tmp_path):
    assert publish(store, 1) == hashlib.sha512(body_of(1)).hexdigest()
    assert store.read(uuid_of(1)) == (body_of(1), hashlib.sha512(body_of(1)).hexdigest())
    assert pending_files(tmp_path) == [f"{uuid_of(1)}.vcon.json"]
    for path in tmp_path.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
    found = entry(store, 1)
    assert (found.stage, found.bytes, found.published_at) == ("open", len(body_of(1)), NOON + 1)
    assert [(each.sink, each.state, each.attempts) for each in found.sinks] == [("a", "pending", 0)]


def test_the_same_bytes_again_are_nothing_new(store):
    publish(store, 1)
    publish(store, 1)
    assert due(store) == [uuid_of(1)]


def test_other_bytes_of_the_same_uuid_are_set_aside(store, tmp_path):
    publish(store, 1)
    for _ in range(2):
        with pytest.raises(ConflictError) as caught:
            publish(store, 1, size=10)
    assert uuid_of(1) not in str(caught.value)
    [aside] = (tmp_path / "outbox" / "aside").iterdir()
    assert aside.read_bytes() == body_of(1, size=10)
    assert store.read(uuid_of(1))[0] == body_of(1)
    assert due(store) == [uuid_of(1)]


@pytest.mark.parametrize(
    ("uuid", "body"),
    [
        ("../../etc/passwd", b"{}"),
        (uuid_of(1).upper(), body_of(1)),
        (uuid_of(1).replace("-", ""), body_of(1)),
        ("", b"{}"),
        (uuid_of(1), body_of(2)),
        (uuid_of(1), b"[]"),
        (uuid_of(1), b""),
        (uuid_of(1), body_of(1)[:-1]),
        (uuid_of(1), b'{"uuid": 7}'),
    ],
)
def test_what_is_no_vcon_of_that_uuid_is_not_taken(store, tmp_path, uuid, body):
    with pytest.raises(ValueError, match=r"uuid|JSON"):
        store.publish(uuid, body, {}, NOON)
    assert pending_files(tmp_path) == []


def test_a_signed_form_says_no_uuid_and_is_taken(store):
    store.publish(uuid_of(1), b'{"payload": "e30", "signatures": []}', {}, NOON)


def test_oldest_first_and_waits_are_kept(store):
    for n in (3, 1, 2):
        publish(store, n)
    assert due(store) == [uuid_of(3), uuid_of(1), uuid_of(2)]
    assert due(store, limit=2) == [uuid_of(3), uuid_of(1)]
    store.record("a", seq_of(store, 3), Outcome("pending", NOON, NOON + 10 * SECOND, 500, "http:500", "why"))
    jobs, next_at = store.due("a", NOON, 10, probe=None)
    assert [job.uuid for job in jobs] == [uuid_of(1), uuid_of(2)]
    assert next_at == NOON + 10 * SECOND
    assert due(store, now=NOON + 10 * SECOND) == [uuid_of(3), uuid_of(1), uuid_of(2)]
    assert due(store, probe=Probe(), limit=1) == [uuid_of(1)]  # a sink in trouble is tried with what was tried least


@pytest.mark.parametrize("jump", [-(10**6), -4000, 4000, 10**6])
def test_a_clock_that_jumps_holds_nothing_back_for_long(store, jump):
    publish(store, 1)
    store.record("a", seq_of(store, 1), Outcome("pending", NOON, NOON + 3600 * SECOND, 429, "http:429"))
    assert due(store) == []
    assert due(store, now=NOON + jump * SECOND) == [uuid_of(1)]


def test_after_a_start_nothing_waits_longer_than_the_cap(store, tmp_path):
    publish(store, 1)
    store.record("a", seq_of(store, 1), Outcome("pending", NOON, NOON + 3600 * SECOND, 429, "http:429"))
    store.close()
    again = make_store(tmp_path, now=NOON - 86_400 * SECOND)
    assert due(again, now=NOON - 86_400 * SECOND + 300 * SECOND) == [uuid_of(1)]
    again.close()


def test_done_only_when_every_sink_has_it(tmp_path):
    store = make_store(tmp_path, ("a", "b"))
    publish(store, 1)
    seq = seq_of(store, 1)
    assert not store.record("a", seq, delivered())
    assert store.done() == []
    assert due(store, "a") == []
    assert store.record("b", seq, delivered())
    [vcon] = store.done()
    store.put_away(vcon, keep=False)
    assert store.done() == []
    assert pending_files(tmp_path) == []
    ledger = entry(store, 1)
    assert ledger.stage == "gone"
    assert [(each.sink, each.state, each.status, each.last_at, each.target) for each in ledger.sinks] == [
        ("a", "delivered", 204, NOON, "t"),
        ("b", "delivered", 204, NOON, "t"),
    ]
    store.close()


def test_publishing_what_was_delivered_tells_the_core_again_and_sends_nothing(store, tmp_path):
    publish(store, 1)
    store.record("a", seq_of(store, 1), delivered())
    store.put_away(store.done()[0], keep=False)
    publish(store, 1)
    [vcon] = store.done()
    assert due(store) == []
    store.put_away(vcon, keep=False)
    assert pending_files(tmp_path) == []
    with pytest.raises(ConflictError):
        publish(store, 1, size=1)


def test_kept_files_go_when_their_time_has_come(store, tmp_path):
    for n in (1, 2):
        publish(store, n)
        store.record("a", seq_of(store, n), delivered(NOON + n * SECOND))
    for vcon in store.done():
        store.put_away(vcon, keep=True)
    kept = tmp_path / "outbox" / "kept"
    assert len(list(kept.iterdir())) == 2
    assert store.expire(NOON + 2 * SECOND) == 1
    assert [path.name for path in kept.iterdir()] == [f"{uuid_of(2)}.vcon.json"]
    assert store.expire(NOON + 2 * SECOND) == 0
    assert [entry(store, n).stage for n in (1, 2)] == ["gone", "kept"]


def test_dead_letters_keep_their_answer_and_are_put_back(tmp_path):
    store = make_store(tmp_path, ("a", "b"))
    for n in (1, 2):
        publish(store, n)
        for sink in ("a", "b"):
            store.record(sink, n, Outcome("dead", NOON, 0, 403, "refused:403", "Invalid API Key"))
    assert due(store, "a") == []
    assert entry(store, 1).sinks[0].answer == "Invalid API Key"
    assert store.tell("", lambda db: rows.put_back(db, uuid_of(1), "a")) == 1
    assert store.tell("", lambda db: rows.put_back(db, uuid_of(1), None)) == 1
    assert store.tell("", lambda db: rows.put_back(db, None, "b")) == 1
    assert store.tell("", lambda db: rows.put_back(db, None, None)) == 1
    assert store.tell("", lambda db: rows.put_back(db, None, None)) == 0
    assert store.tell("", lambda db: rows.put_back(db, uuid_of(9), None)) == 0
    assert due(store, "a") == due(store, "b") == [uuid_of(1), uuid_of(2)]
    store.close()


def test_retry_makes_what_waits_due(store):
    publish(store, 1)
    store.record("a", seq_of(store, 1), Outcome("pending", NOON, NOON + 300 * SECOND, 500, "http:500"))
    assert store.tell("", lambda db: rows.put_back(db, None, None)) == 0
    assert due(store) == [uuid_of(1)]


def test_a_file_that_vanishes_is_said_and_can_come_back(store, tmp_path):
    publish(store, 1)
    (tmp_path / "outbox" / "pending" / f"{uuid_of(1)}.vcon.json").unlink()
    store.lose(seq_of(store, 1), uuid_of(1), NOON)
    found = entry(store, 1)
    assert (found.stage, found.sinks[0].state, found.sinks[0].reason) == ("lost", "dead", "file-missing")
    assert store.tell("", lambda db: rows.put_back(db, None, None)) == 0
    publish(store, 1)
    assert (entry(store, 1).stage, due(store)) == ("open", [uuid_of(1)])


def test_lists_are_paged_and_filtered(store):
    for n in range(1, 6):
        publish(store, n)
    store.record("a", seq_of(store, 2), Outcome("dead", NOON, 0, 422, "refused:422"))
    pages = store.page(Query(limit=2), {})
    assert [each.uuid for each in pages] == [uuid_of(5), uuid_of(4)]
    assert [each.uuid for each in store.page(Query(limit=2, before=uuid_of(4)), {})] == [uuid_of(3), uuid_of(2)]
    assert [each.uuid for each in store.page(Query(state="dead"), {})] == [uuid_of(2)]
    store.record("a", seq_of(store, 4), delivered())
    left = store.page(Query(undelivered=True), {})
    assert [each.uuid for each in left] == [uuid_of(n) for n in (5, 3, 2, 1)]
    assert [each.uuid for each in store.page(Query(state="dead", sink="b"), {})] == []
    under_way = store.get(uuid_of(1), {"a": {seq_of(store, 1)}})
    assert under_way.sinks[0].state == "sending"


def test_figures_count_what_is_open(store):
    for n in range(1, 4):
        publish(store, n)
    store.record("a", seq_of(store, 1), delivered())
    store.record("a", seq_of(store, 2), Outcome("dead", NOON, 0, 422, "refused:422"))
    assert sorted(store.ask(rows.figures)) == [("a", "dead", 1, NOON + 2), ("a", "pending", 1, NOON + 3)]


def test_killed_at_any_step_of_publish(tmp_path):
    for root, steps in every_step(tmp_path):
        store = open_counted(lambda root=root: make_store(root))
        published = False
        with steps.watch(), suppress(Crash):
            publish(store, 1)
            published = True
        store.close()
        again = make_store(root)
        if published:
            assert due(again) == [uuid_of(1)]
        publish(again, 1)
        assert due(again) == [uuid_of(1)]
        assert again.read(uuid_of(1))[0] == body_of(1)
        assert pending_files(root) == [f"{uuid_of(1)}.vcon.json"]
        again.close()


def test_full_from_any_step_of_publish_on_leaves_nothing_half_done(tmp_path):
    failures = set()
    for root, steps in every_step(tmp_path, full=True):
        store = open_counted(lambda root=root: make_store(root))
        publish(store, 1)
        with steps.watch(), suppress(StorageError):
            failed = True
            publish(store, 2)
            failed = False
        if failed:
            failures.add(steps.names[-1])
            assert pending_files(root) == [f"{uuid_of(1)}.vcon.json"]
            assert entry(store, 2) is None
        publish(store, 2)
        assert due(store) == [uuid_of(1), uuid_of(2)]
        store.close()
    assert len(failures) > 1


@pytest.mark.parametrize("keep", [False, True])
def test_killed_at_any_step_after_the_delivery(tmp_path, keep):
    """Recorded, told, put away: whatever is cut off is done again, and the core is told before the file goes."""
    for root, steps in every_step(tmp_path):
        store = open_counted(lambda root=root: make_store(root))
        publish(store, 1)
        seq = seq_of(store, 1)
        told = recorded = False
        with steps.watch(), suppress(Crash):
            recorded = store.record("a", seq, delivered())
            for vcon in store.done():
                told = True
                store.put_away(vcon, keep=keep)
        store.close()
        again = make_store(root)
        assert not recorded or due(again) == []
        assert told or entry(again, 1).stage in {"open", "done"}
        if entry(again, 1).stage == "open":
            again.record("a", seq_of(again, 1), delivered())
        for vcon in again.done():
            again.put_away(vcon, keep=keep)
        assert entry(again, 1).stage == ("kept" if keep else "gone")
        assert pending_files(root) == []
        assert len(list((root / "outbox" / "kept").iterdir())) == keep
        again.close()


@pytest.mark.parametrize("database", ["kept", "lost"])
def test_killed_at_any_step_of_a_start(tmp_path, database):
    for root, steps in every_step(tmp_path):
        store = make_store(root)
        for n in (1, 2):
            publish(store, n)
        store.close()
        if database == "lost":
            (root / "vcond.db").unlink()
        (root / "outbox" / "pending" / ".x.tmp").write_bytes(b"half")
        with steps.watch(), suppress(Crash):
            make_store(root, ("a", "b")).close()
        again = make_store(root, ("a", "b"))
        assert sorted(due(again)) == sorted(due(again, "b")) == [uuid_of(1), uuid_of(2)]
        assert len(pending_files(root)) == 2
        again.close()


def test_a_ledger_of_years_is_not_read_through(tmp_path):
    """Counted in SQLite's own instructions, so that it holds on any machine."""
    store = make_store(tmp_path, ("a", "b"))
    with transaction(store._db):
        for n in range(1, 5001):
            rows.insert(store._db, uuid_of(n), "0", 1, NOON, {}, "gone")
            rows.add_states_of(store._db, n, ("a", "b"))
        store._db.execute("UPDATE delivery_states SET state = 'delivered'")
    for n in (6001, 6002, 6003):
        publish(store, n)
    store.record("a", seq_of(store, 6001), Outcome("dead", NOON, 0, 422, "refused:422"))

    def cost(work):
        spent = [0]

        def count_up():
            spent[0] += 100

        store._db.set_progress_handler(count_up, 100)
        work()
        store._db.set_progress_handler(None, 0)
        return spent[0]

    assert cost(lambda: list(store._db.execute("SELECT * FROM delivery_states WHERE target = 'x'"))) > 20_000
    for work in (
        lambda: store.due("a", NOON, 10, probe=None),
        lambda: store.due("a", NOON, 10, probe=Probe()),
        lambda: store.record("a", seq_of(store, 6002), delivered()),
        lambda: store.get(uuid_of(7), {}),
        lambda: store.page(Query(state="dead"), {}),
        lambda: store.page(Query(undelivered=True), {}),
        lambda: store.page(Query(state="pending", sink="b"), {}),
        lambda: store.page(Query(limit=10), {}),
        lambda: store.page(Query(limit=10, sink="a", state="delivered"), {}),
        lambda: store.tell("", lambda db: rows.put_back(db, None, None)),
        lambda: store.tell("", lambda db: rows.put_back(db, uuid_of(6001), "a")),
        lambda: publish(store, 6004),
        lambda: store.ask(rows.figures),
        store.done,
        lambda: store.expire(NOON),
        lambda: reconcile(store._db, store._files, ("a", "b"), now=NOON, latest=NOON),
    ):
        assert cost(work) < 3000
    store.close()
