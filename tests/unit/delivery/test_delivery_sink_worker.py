"""When what is tried, in virtual time: hours pass in milliseconds, and every wait is seen."""

from __future__ import annotations

import asyncio
from random import Random

from delivery_kit import MemorySink, Running, body_of, make_outbox, state, take, until, uuid_of

from vcond.base import metrics
from vcond.base.errors import StorageError
from vcond.delivery import OutboxConfig
from vcond.sdk.sink import Receipt, Refused, Retry
from vcond.testing.time import LoopClock, run_virtual

CONFIG = OutboxConfig(keep_days=0, backoff_min=5, backoff_max=300, drain=10, attempt_timeout=900)


class Most(Random):
    """Chance that always picks the bound."""

    def uniform(self, a, b):
        return b


def running(root, *sinks, **options):
    it = Running(root, *sinks, clock=LoopClock(), config=options.pop("config", CONFIG), **options)
    for worker in it.outbox._workers:
        worker._breaker.rng = Most()
    return it


def now():
    return round(asyncio.get_running_loop().time(), 3)


async def tried(it, tries):
    return (await state(it.outbox, 1, "memory")).attempts == tries


def fails(*outcomes):
    """Raises these in turn, then takes; ``times`` is when it was asked."""
    left = list(outcomes)
    times = []

    async def answer(record):
        times.append(now())
        if left:
            raise left.pop(0)
        return await take(record)

    answer.times = times
    return answer


def test_a_vcon_that_fails_waits_longer_each_time(tmp_path):
    async def main():
        answer = fails(*[Retry("http:500", status=500)] * 9)
        sink = MemorySink(answer=answer)
        async with running(tmp_path, sink) as it:
            start = now()
            await it.outbox.publish(uuid_of(1), body_of(1))
            await it.wait_for(1)
        waits = [round(b - a) for a, b in zip(answer.times, answer.times[1:], strict=False)]
        assert waits == [5, 10, 20, 40, 80, 160, 300, 300, 300]
        assert answer.times[0] == start
        assert sink.got == {uuid_of(1): [body_of(1)]}

    run_virtual(main())


def test_hours_without_the_sink_lose_nothing_and_asks_it_seldom(tmp_path):
    async def main():
        back = now() + 7200

        async def answer(record):
            if now() < back:
                raise Retry("unreachable", whole_sink=True)
            return await take(record)

        sink = MemorySink(answer=answer, concurrency=8)
        async with running(tmp_path, sink) as it:
            for n in range(100):
                await it.outbox.publish(uuid_of(n), body_of(n))
            await it.wait_for(100)
            assert now() - back <= 310
        assert len(sink.tried) < 100 + 7200 / 290 + 30
        assert sink.got == {uuid_of(n): [body_of(n)] for n in range(100)}

    run_virtual(main())


def test_a_sink_that_is_down_is_probed_with_one(tmp_path):
    async def main():
        async def answer(_record):
            await asyncio.sleep(1)
            raise Retry("timeout", whole_sink=True)

        sink = MemorySink(answer=answer, concurrency=4)
        async with running(tmp_path, sink) as it:
            for n in range(50):
                await it.outbox.publish(uuid_of(n), body_of(n))
            await sink.wait_for(lambda: len(sink.tried) >= 4)
            assert sink.peak == 4
            sink.peak = 0
            await sink.wait_for(lambda: len(sink.tried) >= 20)
        assert sink.peak == 1
        assert len(set(sink.tried)) == len(sink.tried)  # a different one each time

    run_virtual(main())


def test_one_sink_that_is_down_does_not_hold_up_another(tmp_path):
    async def main():
        async def hang(_record):
            await asyncio.sleep(10**9)
            raise AssertionError

        good, bad = MemorySink("good"), MemorySink("bad", answer=hang)
        async with running(tmp_path, good, bad) as it:
            start = now()
            for n in range(20):
                await it.outbox.publish(uuid_of(n), body_of(n))
            await good.wait_for(lambda: len(good.got) == 20)
            assert now() == start
            assert it.delivered == []
            assert (await state(it.outbox, 19, "good")).state == "delivered"
            assert {(await state(it.outbox, n, "bad")).state for n in range(20)} == {"sending", "pending"}

    run_virtual(main())


def test_one_poisonous_vcon_does_not_block_the_others(tmp_path):
    """Whatever it does to the receiver: an error, a hang, a dead connection that looks like the receiver's own death."""
    for i, why in enumerate(
        (
            lambda: Retry("http:500"),
            lambda: Retry("timeout", whole_sink=True),
            lambda: Retry("http:503", whole_sink=True),
            lambda: KeyError("bug"),
            lambda: Refused("refused:422"),
        )
    ):

        async def main(why=why, root=tmp_path / str(i)):
            async def answer(record):
                if record.uuid == uuid_of(0):
                    raise why()
                return await take(record)

            sink = MemorySink(answer=answer, concurrency=1)
            async with running(root, sink) as it:
                start = now()
                for n in range(40):
                    await it.outbox.publish(uuid_of(n), body_of(n))
                await it.wait_for(39)
                assert now() - start < 300
                assert it.delivered == [uuid_of(n) for n in range(1, 40)]  # oldest first

        run_virtual(main())


def test_a_sinks_own_mistake_is_logged_without_its_text(tmp_path, capsys):
    async def main():
        answer = fails(ValueError("+15551230001 said hello"))
        async with running(tmp_path, MemorySink(answer=answer)) as it:
            await it.outbox.publish(uuid_of(1), body_of(1))
            await it.wait_for(1)

    run_virtual(main())
    printed = capsys.readouterr().out
    assert "ValueError" in printed
    assert "hello" not in printed
    assert "+1555" not in printed


def test_retry_after_is_kept_for_the_whole_sink(tmp_path):
    async def main():
        answer = fails(Retry("http:429", status=429, after=600, whole_sink=True))
        sink = MemorySink(answer=answer, concurrency=1)
        async with running(tmp_path, sink) as it:
            start = now()
            await it.outbox.publish(uuid_of(1), body_of(1))
            await sink.wait_for(lambda: len(sink.tried) == 1)
            await it.outbox.publish(uuid_of(2), body_of(2))
            await it.wait_for(2)
            assert answer.times[1] - start >= 600
            assert now() - start < 900

    run_virtual(main())


def test_a_new_vcon_is_a_reason_to_look_whether_the_sink_is_back(tmp_path):
    async def main():
        back = asyncio.Event()

        async def answer(record):
            if not back.is_set():
                raise Retry("unreachable", whole_sink=True)
            return await take(record)

        sink = MemorySink(answer=answer)
        async with running(tmp_path, sink) as it:
            await it.outbox.publish(uuid_of(1), body_of(1))
            await sink.wait_for(lambda: len(sink.tried) >= 9)  # now it waits 300 s
            back.set()
            await asyncio.sleep(1)
            start = now()
            await it.outbox.publish(uuid_of(2), body_of(2))
            await it.wait_for(2)
            assert now() - start <= 40

    run_virtual(main())


def test_the_operators_retry_waits_for_nothing(tmp_path):
    async def main():
        answer = fails(*[Retry("unreachable", whole_sink=True, after=3600)] * 2)
        sink = MemorySink(answer=answer, concurrency=1)
        async with running(tmp_path, sink) as it:
            await it.outbox.publish(uuid_of(1), body_of(1))
            for tries in (1, 2, 3):
                await sink.wait_for(lambda tries=tries: len(sink.tried) == tries)
                if tries < 3:
                    await until(lambda tries=tries: tried(it, tries))
                await it.outbox.retry()
            assert now() < 10

    run_virtual(main())


def test_a_third_partys_sink_without_time_outs_is_cut_off(tmp_path):
    async def main():
        hung = []

        async def answer(record):
            if not hung:
                hung.append(record.uuid)
                await asyncio.sleep(10**9)
            return await take(record)

        async with running(tmp_path, MemorySink(answer=answer, concurrency=1)) as it:
            start = now()
            await it.outbox.publish(uuid_of(1), body_of(1))
            await it.wait_for(1)
            assert 900 <= now() - start <= 910

    run_virtual(main())


def test_a_stop_lets_what_is_under_way_end(tmp_path):
    async def main():
        async def answer(record):
            await asyncio.sleep(8)
            return await take(record)

        sink = MemorySink(answer=answer, concurrency=2)
        async with running(tmp_path, sink) as it:
            for n in range(5):
                await it.outbox.publish(uuid_of(n), body_of(n))
            await sink.begun(2)
        assert sorted(sink.got) == [uuid_of(0), uuid_of(1)]
        again = MemorySink()
        async with running(tmp_path, again) as it:
            await it.wait_for(5)  # those of the first run are told now at the latest
        assert sorted(again.got) == [uuid_of(2), uuid_of(3), uuid_of(4)]

    run_virtual(main())


def test_a_stop_waits_no_longer_than_drain_and_what_was_cut_off_is_sent_again(tmp_path):
    async def main():
        async def answer(_record):
            await asyncio.sleep(60)
            raise AssertionError

        sink = MemorySink(answer=answer)
        async with running(tmp_path, sink) as it:
            await it.outbox.publish(uuid_of(1), body_of(1))
            await sink.begun(1)
            start = now()
        assert now() - start <= 10.1
        assert sink.closed
        again = MemorySink()
        async with running(tmp_path, again) as it:
            await it.wait_for(1)

    run_virtual(main())


def test_every_outcome_is_counted(tmp_path):
    def count(outcome):
        return metrics.deliveries_total.labels("counted", outcome)._value.get()

    async def main():
        answer = fails(Retry("http:500"), Refused("refused:422"))
        sink = MemorySink("counted", answer=answer, concurrency=1)
        async with running(tmp_path, sink) as it:
            await it.outbox.publish(uuid_of(1), body_of(1))
            await sink.wait_for(lambda: len(sink.tried) == 2)
            await it.outbox.publish(uuid_of(2), body_of(2))
            await it.wait_for(1)
        assert [count(each) for each in ("retry", "refused", "delivered")] == [1, 1, 1]
        assert metrics.delivery_seconds.labels("counted")._sum.get() >= 0

    run_virtual(main())


def test_a_file_that_changed_or_vanished_is_never_sent_as_something_else(tmp_path):
    async def main():
        sink = MemorySink()
        outbox = make_outbox(tmp_path, sink, clock=LoopClock(), config=CONFIG)
        await outbox.open()
        for n in (1, 2, 3):
            await outbox.publish(uuid_of(n), body_of(n))
        pending = tmp_path / "outbox" / "pending"
        (pending / f"{uuid_of(1)}.vcon.json").write_bytes(body_of(1)[:-1] + b" ")
        (pending / f"{uuid_of(2)}.vcon.json").unlink()
        task = asyncio.create_task(outbox.run())
        await sink.wait_for(lambda: bool(sink.got))

        async def settled():
            return all([(await state(outbox, n, "memory")).state in {"dead", "delivered"} for n in (1, 2, 3)])

        await until(settled)
        assert sink.got == {uuid_of(3): [body_of(3)]}
        damaged, missing = await state(outbox, 1, "memory"), await state(outbox, 2, "memory")
        assert (damaged.state, damaged.reason) == ("dead", "damaged")
        assert (missing.state, missing.reason) == ("dead", "file-missing")
        (pending / f"{uuid_of(1)}.vcon.json").write_bytes(body_of(1))
        assert await outbox.retry(uuid_of(1)) == 1
        await sink.wait_for(lambda: len(sink.got) == 2)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await outbox.close()

    run_virtual(main())


def test_receipts_are_the_ledger(tmp_path):
    async def main():
        async def answer(_record):
            return Receipt(201, "https://conserver.example.com/vcon", "stored")

        async with running(tmp_path, MemorySink(answer=answer)) as it:
            await it.outbox.publish(uuid_of(1), body_of(1), {"adapter": "twilio"})
            await it.wait_for(1)
            entry = await it.outbox.get(uuid_of(1))
        [got] = entry.sinks
        assert (got.state, got.status, got.target, got.answer, got.attempts) == (
            "delivered",
            201,
            "https://conserver.example.com/vcon",
            "stored",
            1,
        )
        assert entry.facts == {"adapter": "twilio"}
        assert entry.closed_at >= entry.published_at

    run_virtual(main())


def failing(outbox, name, times):
    """Let a method of the outbox's store fail so often with what a broken disk makes of it."""
    store = outbox._thread._store
    real = getattr(store, name)
    left = [times]

    def method(*arguments, **options):
        if left[0]:
            left[0] -= 1
            raise StorageError("cannot: SQLITE_IOERR; look at the disk")
        return real(*arguments, **options)

    setattr(store, name, method)


def test_what_was_delivered_is_not_sent_again_because_it_cannot_be_recorded(tmp_path, capsys):
    async def main():
        sink = MemorySink()
        async with running(tmp_path, sink) as it:
            failing(it.outbox, "record", 100)
            await it.outbox.publish(uuid_of(1), body_of(1))
            await asyncio.sleep(60)
            assert "SQLITE_IOERR" in it.outbox.trouble
            await it.wait_for(1)
            assert it.outbox.trouble == ""
        assert sink.got == {uuid_of(1): [body_of(1)]}

    run_virtual(main())
    assert capsys.readouterr().out.count("cannot store the result of a delivery") == 1  # said once, not once per try


def test_an_outcome_that_a_stop_finds_unrecorded_costs_a_second_delivery(tmp_path):
    async def main():
        sink = MemorySink()
        async with running(tmp_path, sink) as it:
            failing(it.outbox, "record", 10**9)
            await it.outbox.publish(uuid_of(1), body_of(1))
            await sink.wait_for(lambda: bool(sink.got))
        async with running(tmp_path, sink) as it:
            await it.wait_for(1)
        assert sink.got == {uuid_of(1): [body_of(1)] * 2}

    run_virtual(main())


def test_a_database_that_cannot_be_read_for_a_while(tmp_path):
    async def main():
        async with running(tmp_path, MemorySink()) as it:
            for name in ("due", "done"):
                failing(it.outbox, name, 5)
            await it.outbox.publish(uuid_of(1), body_of(1))
            await asyncio.sleep(1)
            assert "SQLITE_IOERR" in it.outbox.trouble
            await it.wait_for(1)
            await asyncio.sleep(60)
            assert it.outbox.trouble == ""

    run_virtual(main())


def test_one_sink_that_cannot_be_closed_does_not_keep_the_others_open(tmp_path):
    class Stubborn(MemorySink):
        async def close(self):
            raise RuntimeError

    async def main():
        other = MemorySink("other")
        async with running(tmp_path, Stubborn(), other):
            pass
        assert other.closed

    run_virtual(main())
