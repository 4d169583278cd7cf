"""The operator gives a dead letter up."""

from __future__ import annotations

from delivery_kit import HandClock, MemorySink, Running, body_of, make_store, until, uuid_of

from vcond.delivery import rows
from vcond.delivery.dead_letters import discard
from vcond.delivery.rows import Outcome
from vcond.sdk.sink import Refused
from vcond.testing.time import run_virtual


async def refuse(record):
    raise Refused("refused:422", status=422, answer='{"detail": "no"}')


async def dead(it, n: int) -> bool:
    return any(one.state == "dead" for one in (await it.outbox.get(uuid_of(n))).sinks)


def test_what_only_a_discarded_sink_lacks_is_closed_and_the_ledger_says_who_never_got_it(tmp_path):
    async def main():
        good, bad = MemorySink("good"), MemorySink("bad", answer=refuse)
        async with Running(tmp_path, good, bad, clock=HandClock()) as it:
            await it.outbox.publish(uuid_of(1), body_of(1))
            await until(lambda: dead(it, 1))
            assert await discard(it.outbox, uuid_of(1), 5) == ["bad"]
            await until(lambda: gone(it, 1))
            entry = await it.outbox.get(uuid_of(1))
            assert {one.sink: (one.state, one.reason) for one in entry.sinks} == {
                "good": ("delivered", ""), "bad": ("dead", "discarded"),
            }  # fmt: skip
            assert it.delivered == [uuid_of(1)], "the core removes the call's journal"
            assert await discard(it.outbox, uuid_of(1), 5) == [], "once is enough"

    async def gone(it, n):
        return (await it.outbox.get(uuid_of(n))).stage == "gone"

    run_virtual(main())


def test_what_waits_for_another_sink_goes_on_waiting_and_a_retry_of_all_does_not_bring_the_discarded_back(tmp_path):
    store = make_store(tmp_path, ("a", "b"))
    store.publish(uuid_of(1), body_of(1), {}, 0)
    (job,), _ = store.due("a", 1, 10, probe=None)
    store.record("a", job.seq, outcome("dead"))
    assert given_up(store, 1) == ["a"]
    assert store.tell("", lambda db: rows.put_back(db, None, None)) == 0
    assert {one.sink: one.state for one in store.get(uuid_of(1), {}).sinks} == {"a": "dead", "b": "pending"}
    assert store.record("b", job.seq, outcome("delivered"))
    assert [vcon.uuid for vcon in store.done()] == [uuid_of(1)]
    assert given_up(store, 2) == []
    store.close()


def given_up(store, n: int) -> list[str]:
    return store.tell("", lambda db: rows.discard(db, uuid_of(n), ("a", "b"), 5))


def outcome(what: str) -> Outcome:
    return Outcome(what, 3, reason="refused:422" if what == "dead" else "")
