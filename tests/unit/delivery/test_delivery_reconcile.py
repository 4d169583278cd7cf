"""After a start files and rows agree again, in both directions."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from delivery_kit import NOON, SECOND, body_of, make_store, uuid_of

from vcond.base import metrics
from vcond.delivery.backlog import Query
from vcond.delivery.rows import Outcome
from vcond.storage.files import Files


def publish(store, *numbers):
    for n in numbers:
        store.publish(uuid_of(n), body_of(n), {"adapter": "asterisk"}, NOON + n)


def delivered():
    return Outcome("delivered", NOON, status=204)


def due(store, sink="a"):
    return [job.uuid for job in store.due(sink, NOON, 100, probe=None)[0]]


def entry(store, n):
    return store.get(uuid_of(n), {})


def file_of(root, n, shelf="pending"):
    return root / "outbox" / shelf / f"{uuid_of(n)}.vcon.json"


def dropped():
    return metrics.dropped_total.labels("vcon", "file-missing")._value.get()


def test_files_without_rows_are_sent_oldest_first(tmp_path):
    store = make_store(tmp_path)
    publish(store, 1, 2, 3)
    store.record("a", 1, delivered())
    store.close()
    (tmp_path / "vcond.db").unlink()
    for age, n in enumerate((3, 1, 2)):
        os.utime(file_of(tmp_path, n), ns=(NOON + age * SECOND, NOON + age * SECOND))
    again = make_store(tmp_path)
    assert due(again) == [uuid_of(3), uuid_of(1), uuid_of(2)]
    assert (entry(again, 1).published_at, entry(again, 1).facts) == (NOON + SECOND, {})
    again.close()


def test_files_that_are_no_vcons_are_set_aside(tmp_path):
    make_store(tmp_path).close()
    pending = tmp_path / "outbox" / "pending"
    file_of(tmp_path, 1).write_bytes(body_of(2))  # says another uuid
    file_of(tmp_path, 2).write_bytes(b"")  # a disk that lost its bytes
    (pending / "notes.txt").write_bytes(b"x")
    (pending / "nonsense.vcon.json").write_bytes(body_of(1))
    (pending / f"{uuid_of(4)}.vcon.json").symlink_to("/etc/passwd")
    file_of(tmp_path, 3).write_bytes(body_of(3))
    store = make_store(tmp_path)
    assert due(store) == [uuid_of(3)]
    assert len(list((tmp_path / "outbox" / "aside").iterdir())) == 5
    store.close()


def test_rows_without_files_are_lost_loudly_once(tmp_path):
    store = make_store(tmp_path)
    publish(store, 1, 2)
    store.close()
    kept = file_of(tmp_path, 1).read_bytes()
    file_of(tmp_path, 1).unlink()
    before = dropped()
    for _ in range(2):
        store = make_store(tmp_path)
        assert (entry(store, 1).stage, entry(store, 1).sinks[0].reason) == ("lost", "file-missing")
        assert due(store) == [uuid_of(2)]
        store.close()
    assert dropped() == before + 1
    file_of(tmp_path, 1).write_bytes(kept)  # put back from a copy
    store = make_store(tmp_path, ("a", "b"))
    assert due(store) == due(store, "b") == [uuid_of(1), uuid_of(2)]
    store.close()


def test_a_new_sink_gets_what_is_not_done_yet(tmp_path):
    store = make_store(tmp_path)
    publish(store, 1, 2)
    store.record("a", 1, delivered())
    store.close()
    store = make_store(tmp_path, ("a", "b"))
    assert due(store, "b") == [uuid_of(2)]  # 1 was done
    assert due(store, "a") == [uuid_of(2)]
    store.close()


class BadSector(Files):
    """The first vCon's file cannot be read."""

    def open(self, path, **options):
        if Path(path).name.startswith(uuid_of(1)):
            raise OSError(5, "Input/output error")
        return super().open(path, **options)


def test_a_file_that_cannot_be_read_does_not_stop_the_start(tmp_path, capsys):
    make_store(tmp_path).close()
    for n in (1, 2):
        file_of(tmp_path, n).write_bytes(body_of(n))
    store = make_store(tmp_path, files=BadSector())
    assert due(store) == [uuid_of(2)]
    store.close()
    assert "cannot read a vCon" in capsys.readouterr().out
    store = make_store(tmp_path)
    assert sorted(due(store)) == [uuid_of(1), uuid_of(2)]
    store.close()


def test_a_kept_file_that_cannot_be_read_and_no_row_knows_does_not_stop_the_start(tmp_path, capsys):
    make_store(tmp_path).close()
    kept = file_of(tmp_path, 1, "kept")
    kept.write_bytes(body_of(1))
    make_store(tmp_path, files=BadSector()).close()
    assert "cannot read a vCon" in capsys.readouterr().out
    assert kept.read_bytes() == body_of(1)


def test_a_removed_sink_holds_nothing_back_and_is_told_of(tmp_path, capsys):
    store = make_store(tmp_path, ("a", "b"))
    publish(store, 1, 2)
    store.record("a", 1, delivered())
    store.close()
    capsys.readouterr()
    store = make_store(tmp_path)
    assert "queued for a removed sink" in capsys.readouterr().out
    assert store.page(Query(state="dead"), {}) == []  # no letter that the operator could do anything about
    [done] = store.done()
    assert done.uuid == uuid_of(1)
    states = {each.sink: each for each in entry(store, 1).sinks}
    assert (states["b"].state, states["b"].reason, states["b"].configured) == ("dead", "sink-removed", False)
    assert {each.sink: each.state for each in entry(store, 2).sinks} == {"a": "pending", "b": "pending"}
    store.close()
    store = make_store(tmp_path, ("a", "b"))  # and comes back
    assert due(store, "b") == [uuid_of(2)]
    store.close()


def test_rows_of_an_older_copy_of_the_database(tmp_path):
    """Restored from a backup: open there, delivered and kept, or gone, here."""
    store = make_store(tmp_path)
    publish(store, 1)
    store.close()
    backup = (tmp_path / "vcond.db").read_bytes()
    store = make_store(tmp_path)
    store.record("a", 1, delivered())
    store.put_away(store.done()[0], keep=True)
    store.close()
    (tmp_path / "vcond.db").write_bytes(backup)
    store = make_store(tmp_path)
    assert due(store) == [uuid_of(1)]
    assert store.read(uuid_of(1))[0] == body_of(1)
    store.close()


def test_a_delivered_one_whose_file_is_back_is_put_away_again(tmp_path):
    store = make_store(tmp_path)
    publish(store, 1, 2)
    for seq, keep in ((1, True), (2, False)):
        store.record("a", seq, delivered())
        store.put_away(store.done()[0], keep=keep)
    store.close()
    for n in (1, 2):
        file_of(tmp_path, n).write_bytes(body_of(n))
    store = make_store(tmp_path)
    assert {vcon.uuid for vcon in store.done()} == {uuid_of(1), uuid_of(2)}
    assert due(store) == []
    store.close()


def test_kept_files_survive_a_lost_database_and_are_not_sent_again(tmp_path):
    store = make_store(tmp_path)
    publish(store, 1, 2)
    for seq in (1, 2):
        store.record("a", seq, delivered())
    for vcon in store.done():
        store.put_away(vcon, keep=True)
    store.close()
    (tmp_path / "vcond.db").unlink()
    store = make_store(tmp_path)
    assert due(store) == []
    assert store.expire(NOON + 1) == 2
    assert not file_of(tmp_path, 1, "kept").exists()
    store.close()
    store = make_store(tmp_path)
    assert entry(store, 2).stage == "gone"
    store.close()


def test_a_kept_file_that_somebody_removed(tmp_path):
    store = make_store(tmp_path)
    publish(store, 1)
    store.record("a", 1, delivered())
    store.put_away(store.done()[0], keep=True)
    store.close()
    file_of(tmp_path, 1, "kept").unlink()
    store = make_store(tmp_path)
    assert entry(store, 1).stage == "gone"
    store.close()


def test_dead_letters_of_this_version_stay_dead_over_every_start(tmp_path):
    """What judges a vCon by such a word is a sink of somebody's own."""
    store = make_store(tmp_path)
    for n, reason in enumerate(["refused:404", "refused:403", "unexpected:200", "refused:422"], 1):
        publish(store, n)
        store.record("a", n, Outcome("dead", NOON, 0, 404, reason, "<html>"))
    for _ in range(3):
        store.close()
        store = make_store(tmp_path)
        assert due(store) == []
    store.close()


def test_dead_letters_of_earlier_versions_that_judged_the_way_are_taken_up_again(tmp_path, capsys):
    store = make_store(tmp_path)
    page, word = "<html>413</html>", '{"detail": "no"}'
    letters = [("refused:401", ""), ("refused:403", word), ("refused:404", page), ("unexpected:200", page)]
    letters += [("unexpected:302", ""), ("refused:413", page), ("refused:422", page)]
    stay = [("refused:422", word), ("refused:400", word), ("refused:413", word), ("preflight", ""), ("too-large", "")]
    for n, (reason, answer) in enumerate(letters + stay, 1):
        publish(store, n)
        store.record("a", n, Outcome("dead", NOON, 0, 0, reason, answer))
    store.close()
    with closing(sqlite3.connect(tmp_path / "vcond.db")) as db:
        db.execute("DROP TABLE delivery_taken_up")  # the mark that earlier versions did not make
    store = make_store(tmp_path)
    assert due(store) == [uuid_of(n) for n in range(1, len(letters) + 1)]
    left = {one.reason for entry in store.page(Query(state="dead"), {}) for one in entry.sinks if one.sink == "a"}
    assert left == {reason for reason, _ in stay}
    assert "dead letters of an earlier version are retried" in capsys.readouterr().out
    store.close()
