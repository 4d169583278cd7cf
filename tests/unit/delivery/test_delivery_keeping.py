"""What every sink has is kept for a while, and not at the cost of what is new; what is erased is erased there too."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest
from delivery_kit import HandClock, MemorySink, Running, body_of, make_store, state, until, uuid_of

from vcond.delivery import OutboxConfig
from vcond.delivery.erasing import kept
from vcond.sdk.sink import Refused, Retry
from vcond.testing.time import LoopClock, run_virtual

FAST = {"backoff_min": 0.01, "backoff_max": 0.02}


def files(tmp_path, folder):
    return {path.name[:36] for path in (tmp_path / "outbox" / folder).iterdir()}


async def delivered(it, *numbers):
    for n in numbers:
        await it.outbox.publish(uuid_of(n), body_of(n))
        await asyncio.sleep(1)
    await until(lambda: everywhere(it, *numbers))


async def everywhere(it, *numbers):
    return all([(await it.outbox.get(uuid_of(n))).stage in {"kept", "gone"} for n in numbers])


def test_a_week_unless_told_otherwise(tmp_path):
    async def main():
        clock = HandClock()
        async with Running(tmp_path, MemorySink(), clock=clock, config=OutboxConfig(**FAST)) as it:
            await delivered(it, 1)
            clock.pass_seconds(7 * 86_400 - 60)
            await asyncio.sleep(60)
            assert files(tmp_path, "kept") == {uuid_of(1)}
            clock.pass_seconds(120)
            await asyncio.sleep(60)
            assert files(tmp_path, "kept") == set()

    run_virtual(main())


def test_while_disk_space_is_low_the_oldest_go_and_nothing_that_a_sink_lacks(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("vcond.delivery.maintenance.SPARE", 2)
    low = False

    async def answer(record):
        if record.uuid == uuid_of(9):
            raise Refused("refused:422")
        return await MemorySink().deliver(record)

    async def main():
        nonlocal low
        config = OutboxConfig(**FAST)
        sink = MemorySink("a", answer=answer)
        async with Running(tmp_path, sink, clock=LoopClock(), config=config, disk_low=lambda: low) as it:
            await it.outbox.publish(uuid_of(9), body_of(9))
            await delivered(it, 1, 2, 3)
            assert files(tmp_path, "kept") == {uuid_of(n) for n in (1, 2, 3)}
            low = True
            await until(lambda: gone(it, 1, 2))
            assert files(tmp_path, "kept") == {uuid_of(3)}, "two at a time, the oldest first"
            await until(lambda: gone(it, 3))
            await delivered(it, 4)
            assert files(tmp_path, "kept") == set(), "nor is anything kept anew"
            assert files(tmp_path, "pending") == {uuid_of(9)}
            low = False
            await asyncio.sleep(30)
            await delivered(it, 5)
            assert files(tmp_path, "kept") == {uuid_of(5)}

    async def gone(it, *numbers):
        return all([(await it.outbox.get(uuid_of(n))).stage == "gone" for n in numbers])

    run_virtual(main())
    assert capsys.readouterr().out.count("no longer kept for keep_days") == 1


def test_of_those_kept_only_the_old_ones_are_read(tmp_path):
    store = make_store(tmp_path)
    plan = store._db.execute(
        "EXPLAIN QUERY PLAN SELECT seq FROM delivery_vcons INDEXED BY delivery_vcons_kept "
        "WHERE stage = 'kept' AND closed_at < 1 ORDER BY closed_at LIMIT 1"
    ).fetchall()
    assert "closed_at<?" in plan[0][-1]
    assert len(plan) == 1, "and none is sorted"
    store.close()


def test_what_is_erased_is_erased_here_and_at_every_sink(tmp_path):
    async def main():
        a, b = MemorySink("a"), MemorySink("b")
        async with Running(tmp_path, a, b, clock=LoopClock(), config=OutboxConfig(**FAST)) as it:
            await delivered(it, 1, 2)
            assert await it.outbox.eraser.kept(uuid_of(1)) == {"a": "", "b": ""}
            assert files(tmp_path, "kept") == {uuid_of(2)}
            assert set(a.got) == set(b.got) == {uuid_of(2)}
            assert (await state(it.outbox, 1, "a")).state == "delivered", "the ledger still says who had it"
            assert (await it.outbox.get(uuid_of(1))).stage == "gone"

    run_virtual(main())


@pytest.mark.parametrize(
    ("why", "said"),
    [(Retry("unreachable"), "unreachable"), (Refused("refused:403"), "refused:403"), (KeyError(), "error:KeyError")],
)
def test_a_sink_that_does_not_forget_is_named_and_the_others_forget(tmp_path, why, said):
    class Stubborn(MemorySink):
        async def erase(self, uuid):
            raise why

    async def main():
        a, b = Stubborn("a"), MemorySink("b")
        async with Running(tmp_path, a, b, clock=LoopClock(), config=OutboxConfig(**FAST)) as it:
            await delivered(it, 1)
            assert await it.outbox.eraser.kept(uuid_of(1)) == {"a": said, "b": ""}
            assert files(tmp_path, "kept") == set()
            assert b.got == {}

    run_virtual(main())


def test_what_a_sink_lacks_is_not_erased(tmp_path):
    store = make_store(tmp_path)
    store.publish(uuid_of(1), body_of(1), {}, 0)
    store.work("erase a vCon", partial(kept, uuid=uuid_of(1)))
    assert store.read(uuid_of(1))[0] == body_of(1)
    store.close()
