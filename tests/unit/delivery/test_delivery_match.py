"""A sink gets the vCons that its ``match`` takes; what nobody gets stays."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from delivery_kit import NOON, HandClock, MemorySink, Running, body_of, make_store, uuid_of

from vcond.base import metrics
from vcond.cli import render
from vcond.delivery import Again, facts, nobodys, rows
from vcond.delivery.dead_letters import discard
from vcond.delivery.rows import Outcome
from vcond.server.again import AgainAnswers
from vcond.server.dead_letters import DeadLetters
from vcond.testing.time import run_virtual

SINKS = ("all", "sales", "support")


def states(store, n: int) -> dict[str, str]:
    return {one.sink: one.state for one in store.get(uuid_of(n), {}).sinks}


def publish(store, n: int, *unmatched: str, **told: str) -> None:
    store.publish(uuid_of(n), body_of(n), told, NOON + n, unmatched)


def deliver(store, sink: str) -> list[str]:
    found, _ = store.due(sink, NOON * 2, 100, probe=None)
    for job in found:
        store.record(sink, job.seq, Outcome("delivered", NOON))
    return [job.uuid for job in found]


def put_away(store) -> list[str]:
    done = store.done()
    for vcon in done:
        store.put_away(vcon, keep=True)
    return [vcon.uuid for vcon in done]


def test_a_vcon_is_done_when_those_it_is_for_have_it_and_nobody_else_was_handed_it(tmp_path, capsys):
    async def main():
        sinks = [MemorySink(name) for name in SINKS]
        async with Running(tmp_path, *sinks, clock=HandClock(), matched=SINKS[1:]) as it:
            await it.outbox.publish(uuid_of(1), body_of(1), {}, ["support"])
            await it.outbox.publish(uuid_of(2), body_of(2), {}, ["sales"])
            await it.wait_for(2)
            assert [sorted(one.got) for one in sinks] == [[uuid_of(1), uuid_of(2)], [uuid_of(1)], [uuid_of(2)]]
            assert {(one.sink, one.state, one.reason, one.answer) for one in (await it.outbox.get(uuid_of(1))).sinks} == {
                ("all", "delivered", "", "taken"), ("sales", "delivered", "", "taken"), ("support", "unmatched", "", "")
            }  # fmt: skip
            told = await it.outbox.tell("", lambda db: [(one.kind, one.sink) for one in facts.waiting(db, 100)])
            assert "discarded" not in {kind for kind, _ in told}, "nobody gave anything up"

    run_virtual(main())
    assert "no sink's match" not in capsys.readouterr().out


def test_what_no_match_takes_is_said_once_counted_and_stays_over_starts_until_the_operator_decides(tmp_path, capsys):
    async def main():
        sinks = [MemorySink(name) for name in SINKS[1:]]
        async with Running(tmp_path, *sinks, clock=HandClock(), matched=SINKS[1:]) as it:
            for n in (1, 2):
                await it.outbox.publish(uuid_of(n), body_of(n), {}, SINKS[1:])
            await it.outbox.publish(uuid_of(1), body_of(1), {}, SINKS[1:])
            await it.outbox.measure()
            assert metrics.outbox_unmatched._value.get() == 2
        async with Running(tmp_path, *sinks, clock=HandClock(), matched=SINKS[1:]) as it:
            assert [one.uuid for one in await it.outbox.list(undelivered=True)] == [uuid_of(2), uuid_of(1)]
            assert await it.outbox.list(state="dead") == []
            assert (
                await it.outbox.retry() == await it.outbox.retry(uuid_of(1)) == await it.outbox.retry(sink="sales") == 0
            )
            assert await it.outbox.retry(uuid_of(1), "sales") == 1
            await it.wait_for(1)
            assert await discard(it.outbox, uuid_of(2), 5) == list(SINKS[1:])
            await it.wait_for(2)
            await it.outbox.measure()
            assert metrics.outbox_unmatched._value.get() == 0
            assert [sorted(one.got) for one in sinks] == [[uuid_of(1)], []]
            told = await it.outbox.tell(
                "", lambda db: [(one.kind, one.sink, one.uuid) for one in facts.waiting(db, 100)]
            )
            assert {one for one in told if one[0] == "discarded"} == {
                ("discarded", sink, uuid_of(2)) for sink in SINKS[1:]
            }

    run_virtual(main())
    assert capsys.readouterr().out.count("no sink's match takes this vCon") == 2, "of each once"


def test_the_operator_decides_of_all_that_is_for_no_sink_at_once(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(nobodys, "AT_ONCE", 2)

    async def main():
        sinks = [MemorySink(name) for name in SINKS[1:]]
        async with Running(tmp_path, *sinks, clock=HandClock(), matched=SINKS[1:]) as it:
            letters = DeadLetters(it.outbox, lambda: NOON)
            again = AgainAnswers(SimpleNamespace(outbox=it.outbox))
            assert await letters.reads["unmatched"]({}) == {"vcons": 0, "oldest": "", "last": 0}
            await it.outbox.publish(uuid_of(9), body_of(9), {}, ["support"])
            for n in range(1, 6):
                await it.outbox.publish(uuid_of(n), body_of(n), {}, SINKS[1:])
            asked = await letters.reads["unmatched"]({})
            assert (asked["vcons"], asked["oldest"][:4]) == (5, "2026")
            assert len([*render.nobodys(asked)]) == 2
            await it.outbox.publish(uuid_of(6), body_of(6), {}, SINKS[1:])
            assert await letters.writes["discard-unmatched"]({"last": str(asked["last"])}) == {"discarded": 5}
            assert (await letters.reads["unmatched"]({}))["vcons"] == 1, "not what came after the question"
            told = await it.outbox.tell(
                "", lambda db: [one.uuid for one in facts.waiting(db, 100) if one.kind == "discarded"]
            )
            assert sorted(told) == sorted([uuid_of(n) for n in range(1, 6)] * 2)

            for n in (7, 8):
                await it.outbox.publish(uuid_of(n), body_of(n), {}, SINKS[1:])
            for wrong in ({}, {"sink": "nowhere"}):
                with pytest.raises(LookupError):
                    await again.writes["send-unmatched"](wrong)
            assert await again.writes["send-unmatched"]({"sink": "support"}) == {"retried": 3}
            await it.wait_for(9)
            assert [sorted(one.got) for one in sinks] == [[uuid_of(9)], [uuid_of(6), uuid_of(7), uuid_of(8)]]
            assert (await letters.reads["unmatched"]({}))["vcons"] == 0
            for wrong in ({}, {"last": "-1"}, {"last": "9" * 30}):
                with pytest.raises(ValueError, match="last"):
                    await letters.writes["discard-unmatched"](wrong)

    run_virtual(main())
    assert capsys.readouterr().out.count("discarded by the operator") == 1


def test_its_rows_are_read_as_given_up_by_earlier_versions(tmp_path):
    store = make_store(tmp_path, SINKS)
    publish(store, 1, "sales", "support")
    kept = store.ask(lambda db: db.execute("SELECT sink, state, reason FROM delivery_states ORDER BY sink").fetchall())
    assert kept == [("all", "pending", ""), ("sales", "dead", "discarded"), ("support", "dead", "discarded")]
    assert [row[:2] for row in store.ask(rows.figures)] == [("all", "pending")], "no dead letter to look at"
    store.close()


def test_what_follows_goes_where_the_original_went_whatever_the_configuration_says_meanwhile(tmp_path):
    store = make_store(tmp_path, SINKS, matched=SINKS[1:])
    publish(store, 1, "support")
    publish(store, 2, "all", call=uuid_of(1))
    assert states(store, 2) == {"all": "pending", "sales": "pending", "support": "unmatched"}
    store.tell("", lambda db: rows.put_back(db, uuid_of(1), "support"))
    publish(store, 3, call=uuid_of(1))
    assert states(store, 3) == dict.fromkeys(SINKS, "pending"), "the operator sent the original there"
    store.close()


def test_sending_again_in_a_time_keeps_to_the_match_and_to_one_sink_by_name_does_not(tmp_path):
    store = make_store(tmp_path, SINKS, matched=SINKS[1:])
    for n in (1, 2):
        publish(store, n, "support")
    for sink in SINKS:
        deliver(store, sink)
    assert put_away(store) == [uuid_of(1), uuid_of(2)]
    assert store.resend(Again(sink="support", since=1), 0) == [(1, False), (2, False)]
    assert store.get(uuid_of(1), {}).stage == "kept", "and waits for nobody"
    store.resend(Again(), 0)
    assert deliver(store, "support") == []
    assert deliver(store, "all") == deliver(store, "sales") == [uuid_of(1), uuid_of(2)]
    put_away(store)
    assert store.resend(Again(uuid=uuid_of(2), sink="support"), 0) == [(2, True)]
    assert deliver(store, "support") == [uuid_of(2)]
    assert put_away(store) == [uuid_of(2)]
    store.close()


def test_a_new_sink_gets_what_is_open_only_without_a_match(tmp_path):
    store = make_store(tmp_path, ("sales",), matched=("sales",))
    publish(store, 1, "sales")
    publish(store, 2)
    store.close()
    store = make_store(tmp_path, SINKS, matched=SINKS[1:])
    assert states(store, 1) == {"all": "pending", "sales": "unmatched", "support": "unmatched"}
    assert states(store, 2) == {"all": "pending", "sales": "pending", "support": "unmatched"}
    assert deliver(store, "all") == [uuid_of(1), uuid_of(2)]
    assert put_away(store) == [uuid_of(1)]
    store.close()


@pytest.mark.parametrize("given", ["retry", "discard"])
def test_where_the_rows_are_lost_the_operator_says_who_gets_it(tmp_path, given, capsys):
    store = make_store(tmp_path, SINKS, matched=SINKS[1:])
    publish(store, 1, "support")
    store.close()
    for path in tmp_path.glob("vcond.db*"):
        path.unlink()
    store = make_store(tmp_path, SINKS, matched=SINKS[1:])
    assert "for sinks that have a match they are dead letters" in capsys.readouterr().out
    assert states(store, 1) == {"all": "pending", "sales": "dead", "support": "dead"}
    assert deliver(store, "all") == [uuid_of(1)]
    assert put_away(store) == [], "nothing is given up by itself"
    store.tell("", lambda db: rows.put_back(db, uuid_of(1), "sales"))
    assert deliver(store, "sales") == [uuid_of(1)]
    if given == "discard":
        assert store.tell("", lambda db: rows.discard(db, uuid_of(1), SINKS, NOON)) == ["support"]
    else:
        store.tell("", lambda db: rows.put_back(db, None, None))
        assert deliver(store, "support") == [uuid_of(1)]
    assert put_away(store) == [uuid_of(1)]
    store.close()


def test_a_lost_file_that_is_found_again_is_still_for_those_it_was_for(tmp_path):
    store = make_store(tmp_path, SINKS, matched=SINKS[1:])
    publish(store, 1, "support")
    (tmp_path / "outbox" / "pending" / f"{uuid_of(1)}.vcon.json").unlink()
    store.lose(1, uuid_of(1), NOON)
    publish(store, 1)
    assert states(store, 1) == {"all": "pending", "sales": "pending", "support": "unmatched"}
    store.close()


def test_what_was_cut_off_between_file_and_row_goes_where_it_is_for_when_it_comes_again(tmp_path):
    store = make_store(tmp_path, SINKS, matched=SINKS[1:])
    publish(store, 1, "support", call=uuid_of(1), queue="sales")
    store.close()
    for path in tmp_path.glob("vcond.db*"):
        path.unlink()
    store = make_store(tmp_path, SINKS, matched=SINKS[1:])
    assert states(store, 1) == {"all": "pending", "sales": "dead", "support": "dead"}
    publish(store, 1, "support", call=uuid_of(1), queue="sales")
    assert states(store, 1) == {"all": "pending", "sales": "pending", "support": "unmatched"}
    assert store.get(uuid_of(1), {}).facts == {"call": uuid_of(1), "queue": "sales"}
    publish(store, 1, "sales", queue="other")
    assert states(store, 1) == {"all": "pending", "sales": "pending", "support": "unmatched"}
    assert deliver(store, "all") == deliver(store, "sales") == [uuid_of(1)]
    assert put_away(store) == [uuid_of(1)]
    store.close()
