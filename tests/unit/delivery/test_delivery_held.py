"""A sink that is held until somebody sets something right, and vCons too large for what is on the way; virtual time."""

from __future__ import annotations

import asyncio

from delivery_kit import MemorySink, body_of, take, uuid_of
from test_delivery_sink_worker import fails, now, running

from vcond.base import metrics
from vcond.sdk.sink import Retry
from vcond.testing.time import run_virtual


def too_large(limit):
    """Something on the way refuses bodies of so many bytes and more."""

    async def answer(record):
        if len(record.body) >= limit[0]:
            raise Retry("proxy:413", status=413, too_large=True, detail="nginx", hint="raise client_max_body_size")
        return await take(record)

    return answer


def test_what_a_proxy_finds_too_large_waits_and_everything_smaller_goes_on(tmp_path, capsys):
    async def main():
        limit = [5000]
        sink = MemorySink(answer=too_large(limit), concurrency=1)
        async with running(tmp_path, sink) as it:
            start = now()
            for n in range(20):  # more large ones than the streak that takes a sink down, all older than the small ones
                await it.outbox.publish(uuid_of(n), body_of(n, size=9000 if n < 10 else 10))
            await it.wait_for(10)
            assert now() - start < 1
            assert it.delivered == [uuid_of(n) for n in range(10, 20)]
            assert len(sink.tried) == 11
            [told] = it.outbox.sinks()
            assert (told.state, told.reason) == ("ok", "proxy:413")
            assert 9000 <= told.size_limit < 9500
            assert metrics.sink_held.labels("memory")._value.get() == 1
            await asyncio.sleep(6 * 3600)
            assert len(sink.tried) < 11 + 6 + 10  # about one an hour
            for n in range(20, 30):
                await it.outbox.publish(uuid_of(n), body_of(n))
            await it.wait_for(20)
            limit[0] = 1 << 30
            await it.outbox.retry()
            await it.wait_for(30)
            assert it.outbox.sinks()[0].size_limit == 0
            assert metrics.sink_held.labels("memory")._value.get() == 0

    run_virtual(main())
    printed = capsys.readouterr().out
    assert printed.count("large vCons queued") == 1
    assert "client_max_body_size" in printed


def test_a_limit_that_is_raised_is_found_without_the_operator(tmp_path):
    async def main():
        limit = [5000]
        async with running(tmp_path, MemorySink(answer=too_large(limit))) as it:
            for n in range(3):
                await it.outbox.publish(uuid_of(n), body_of(n, size=9000))
            await asyncio.sleep(60)
            limit[0] = 1 << 30
            await it.wait_for(3)
            assert now() < 2 * 3600

    run_virtual(main())


def test_one_vcon_that_a_firewall_refuses_does_not_hold_the_others_for_ever(tmp_path, capsys):
    async def main():
        async def answer(record):
            if record.uuid == uuid_of(0):
                raise Retry("refused:403", status=403, held=True, detail="a web page answers 403")
            return await take(record)

        sink = MemorySink(answer=answer, concurrency=1)
        async with running(tmp_path, sink) as it:
            for n in range(40):
                await it.outbox.publish(uuid_of(n), body_of(n))
            await it.wait_for(39)
            assert now() < 120
            await asyncio.sleep(3600)
            start = now()
            for n in range(40, 80):
                await it.outbox.publish(uuid_of(n), body_of(n))
            await it.wait_for(79)
            assert now() - start < 1  # it is known by then that it is this one
            assert it.outbox.sinks()[0].state == "ok"

    run_virtual(main())
    printed = capsys.readouterr().out
    assert printed.count("sink held") == 0  # another one shows at once that it is not the sink
    assert printed.count("but not this one") == 1


def test_a_sink_that_is_held_is_asked_seldom_and_new_vcons_are_no_reason(tmp_path, capsys):
    async def main():
        mended = asyncio.Event()

        async def answer(record):
            if not mended.is_set():
                raise Retry("unexpected:200", held=True, detail="a web page answers")
            return await take(record)

        sink = MemorySink(answer=answer)
        async with running(tmp_path, sink) as it:
            for n in range(72):
                await it.outbox.publish(uuid_of(n), body_of(n))
                await asyncio.sleep(100)  # two hours
            assert len(sink.tried) < 7200 / 300 + 10
            assert not await it.outbox.list(state="dead")
            mended.set()
            start = now()
            await it.wait_for(72)
            assert now() - start <= 300

    run_virtual(main())
    assert capsys.readouterr().out.count("sink held") in {2, 3}  # at once, and every hour


def test_another_reason_for_the_same_trouble_is_said(tmp_path, capsys):
    async def main():
        answer = fails(*[Retry("unreachable", whole_sink=True)] * 3, *[Retry("tls:expired", held=True)] * 2)
        async with running(tmp_path, MemorySink(answer=answer)) as it:
            await it.outbox.publish(uuid_of(1), body_of(1))
            await it.wait_for(1)

    run_virtual(main())
    printed = capsys.readouterr().out
    assert printed.count("sink down") == 1
    assert printed.count("sink held") == 1
