"""vCons that a sink refuses although it takes others: whose fault it is is found out fast, and costs little; virtual time."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from delivery_kit import NOON, SECOND, MemorySink, body_of, make_store, take, uuid_of
from test_delivery_sink_worker import fails, now, running

from vcond.base import metrics
from vcond.delivery.rows import Outcome, Probe
from vcond.sdk.sink import Refused, Retry
from vcond.testing.time import run_virtual

HOURS = 6
"""Of each at most as many tries, and twelve more for the beginning."""


def firewall(
    bad, why=lambda: Retry("refused:403", status=403, held=True, detail="nginx answers 403", hint="look there")
):
    """Refuses some vCons, by their number."""
    refused = {uuid_of(n) for n in bad}

    async def answer(record):
        if record.uuid in refused:
            raise why()
        return await take(record)

    return answer


@pytest.mark.parametrize("bad", [range(20), range(24, 44), range(12, 32), range(0, 44, 2)], ids=str)
@pytest.mark.parametrize("concurrency", [2])
def test_good_ones_do_not_wait_behind_refused_ones(tmp_path, capsys, bad, concurrency):
    async def main():
        sink = MemorySink(answer=firewall(bad), concurrency=concurrency)
        async with running(tmp_path, sink) as it:
            start = now()
            for n in range(44):
                await it.outbox.publish(uuid_of(n), body_of(n))
            await it.wait_for(44 - len(bad))
            assert now() - start < 400  # the first may be tried before there is another one to ask
            for n in range(200, 203):  # where only refused ones are left the sink held, until others are taken again
                await it.outbox.publish(uuid_of(n), body_of(n))
                await it.wait_for(n - 155 - len(bad))
            assert now() - start < 1500
            await asyncio.sleep(600)
            assert it.outbox.sinks()[0].state == "ok"
            assert await it.outbox.list(state="dead") == []

    run_virtual(main())
    printed = capsys.readouterr().out
    assert printed.count("sink held") <= 3
    assert printed.count("but not this one") == len(bad)


@pytest.mark.parametrize("bad", [4, 5])
def test_refused_ones_are_tried_once_an_hour_and_said_once(tmp_path, capsys, bad):
    async def main():
        sink = MemorySink(answer=firewall(range(bad)))
        async with running(tmp_path, sink) as it:
            for n in range(bad + 1):
                await it.outbox.publish(uuid_of(n), body_of(n))
            await it.wait_for(1)
            sink.tried.clear()
            await asyncio.sleep(HOURS * 3600)
            assert max(Counter(sink.tried).values()) <= HOURS + 12
            assert len(sink.tried) <= (HOURS + 12) * bad
            assert it.outbox.sinks()[0].state == "ok"  # five of them are not the sink
            assert metrics.sink_up.labels("memory")._value.get() == 1
            start = now()
            await it.outbox.publish(uuid_of(99), body_of(99))
            await it.wait_for(2)
            assert now() - start < 1

    run_virtual(main())
    printed = capsys.readouterr().out
    assert printed.count("but not this one") == bad
    assert printed.count("sink held") <= 1  # at the beginning, when there were no others as yet
    assert printed.count("sink down") == 0


def test_a_sink_that_is_really_held_is_held_and_said_so_with_vcons_alone_too(tmp_path, capsys):
    async def main():
        broken = asyncio.Event()
        refuse = firewall([0])

        async def answer(record):
            if broken.is_set():
                raise Retry("refused:401", status=401, held=True, detail="the key", hint="correct `token`")
            return await refuse(record)

        sink = MemorySink(answer=answer, concurrency=1)
        async with running(tmp_path, sink) as it:
            for n in range(3):
                await it.outbox.publish(uuid_of(n), body_of(n))
            await it.wait_for(2)
            await asyncio.sleep(600)
            broken.set()
            sink.tried.clear()
            for n in range(3, 9):
                await it.outbox.publish(uuid_of(n), body_of(n))
            await sink.wait_for(lambda: len(sink.tried) >= 2)
            await asyncio.sleep(1)
            [told] = it.outbox.sinks()
            assert (told.state, told.reason) == ("held", "refused:401")
            assert len(sink.tried) == 2  # one more than the first was tried to know it
            broken.clear()
            await it.wait_for(8)

    run_virtual(main())
    printed = capsys.readouterr().out
    assert printed.count("sink held") == 1
    assert printed.count("sink up again") == 1


@pytest.mark.parametrize("why", [Retry("unreachable", whole_sink=True), Retry("tls:expired", held=True)])
def test_what_no_vcon_brings_about_is_the_sinks_whatever_else_it_refused(tmp_path, why):
    async def main():
        away = asyncio.Event()
        refuse = firewall([0])

        async def answer(record):
            if away.is_set():
                raise why
            return await refuse(record)

        async with running(tmp_path, MemorySink(answer=answer, concurrency=1)) as it:
            for n in range(2):
                await it.outbox.publish(uuid_of(n), body_of(n))
            await it.wait_for(1)
            away.set()
            await asyncio.sleep(2 * 3600)  # only the refused one is tried
            assert it.outbox.sinks()[0].reason == why.reason

    run_virtual(main())


def test_one_vcon_that_breaks_the_receiver_each_time_is_known_after_a_while(tmp_path, capsys):
    async def main():
        sink = MemorySink(answer=firewall([0], lambda: Retry("http:502", status=502, whole_sink=True)), concurrency=1)
        async with running(tmp_path, sink) as it:
            for n in range(20):
                await it.outbox.publish(uuid_of(n), body_of(n))
                await asyncio.sleep(60)
            await it.wait_for(19)
            sink.tried.clear()
            await asyncio.sleep(HOURS * 3600)
            assert len(sink.tried) <= HOURS + 12

    run_virtual(main())
    assert capsys.readouterr().out.count("sink down") <= 4


def test_what_was_not_asked_says_nothing_about_the_sink(tmp_path, capsys):
    async def main():
        answer = firewall(range(10), lambda: Retry("refused:401", status=401, held=True))

        async def local(record):
            if record.uuid == uuid_of(10):
                raise Refused("too-large", asked=False)
            return await answer(record)

        async with running(tmp_path, MemorySink(answer=local, concurrency=1)) as it:
            for n in range(11):
                await it.outbox.publish(uuid_of(n), body_of(n))
            await asyncio.sleep(3600)
            assert it.outbox.sinks()[0].state == "held"
            assert len(await it.outbox.list(state="dead")) == 1

    run_virtual(main())
    assert "sink up again" not in capsys.readouterr().out


def test_the_operators_retry_tries_refused_ones_now_and_says_it_again(tmp_path, capsys):
    async def main():
        sink = MemorySink(answer=firewall([0]))
        async with running(tmp_path, sink) as it:
            for n in range(2):
                await it.outbox.publish(uuid_of(n), body_of(n))
            await it.wait_for(1)
            await asyncio.sleep(3 * 3600)
            sink.tried.clear()
            await it.outbox.retry()
            await sink.wait_for(lambda: sink.tried == [uuid_of(0)])
            await asyncio.sleep(1)

    run_virtual(main())
    assert capsys.readouterr().out.count("but not this one") == 2


def test_one_refusal_with_nobody_else_to_ask_holds_the_sink_at_once(tmp_path):
    async def main():
        answer = fails(Retry("refused:403", status=403, held=True))
        async with running(tmp_path, MemorySink(answer=answer)) as it:
            await it.outbox.publish(uuid_of(1), body_of(1))
            await asyncio.sleep(1)
            assert it.outbox.sinks()[0].state == "held"
            await it.wait_for(1)
            assert answer.times[1] - answer.times[0] >= 15

    run_virtual(main())


def test_probes_are_the_oldest_the_newest_or_any_and_not_those_that_are_known(tmp_path):
    store = make_store(tmp_path)
    for n in range(1, 10):
        store.publish(uuid_of(n), body_of(n), {}, NOON)

    def first(**probe):
        jobs, _ = store.due("a", NOON, 1, probe=Probe(**probe))
        return [job.uuid for job in jobs]

    assert first() == [uuid_of(1)]
    assert first(order="newest") == [uuid_of(9)]
    assert first(order="any")[0] not in {uuid_of(1), uuid_of(9)}
    seqs = {job.uuid: job.seq for job in store.due("a", NOON, 9, probe=Probe())[0]}
    store.record("a", seqs[uuid_of(9)], Outcome("pending", NOON, NOON + 9 * SECOND))
    assert first(order="newest") == [uuid_of(8)]  # not tried as yet
    known = frozenset(seqs.values()) - {seqs[uuid_of(4)]}
    assert first(known=known) == [uuid_of(4)]
    assert first(known=frozenset(seqs.values())) == [uuid_of(1)]
    assert first(known=frozenset(seqs.values()), only=True) == []
    store.close()
