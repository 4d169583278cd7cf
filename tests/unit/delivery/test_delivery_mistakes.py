"""A mistake, of a sink of others or of ours, costs a try: no other delivery, and never the daemon that records calls."""

from __future__ import annotations

import asyncio

import pytest
from delivery_kit import MemorySink, body_of, state, uuid_of
from test_delivery_sink_worker import now, running

from vcond.delivery.circuit_breaker import CircuitBreaker
from vcond.delivery.store import OutboxStore
from vcond.sdk.sink import Receipt, Refused, Retry
from vcond.testing.time import run_virtual

HALF_AN_HOUR = 1800
NOT_SOUND = {
    "nothing": (lambda: None, "pending"),
    "text": (lambda: "204 No Content", "pending"),
    "retry after nobody knows when": (lambda: Retry("later", after=float("nan")), "pending"),
    "retry of no Unicode": (lambda: Retry("later\udcff", answer="\ud800", detail="\udcff"), "pending"),
    "retry of numbers": (lambda: Retry(5, answer=6, status="503"), "pending"),
    "receipt without a status": (lambda: Receipt(None, "memory"), "delivered"),
    "receipt of a status that is none": (lambda: Receipt(10**30, "memory"), "delivered"),
    "receipt of bytes": (lambda: Receipt(204, b"memory", b"taken"), "delivered"),
    "receipt of no Unicode": (lambda: Receipt(204, "mem\udcff", "taken \ud800"), "delivered"),
    "refusal of bytes": (lambda: Refused(b"no", answer=b"never", status="422"), "dead"),
}


@pytest.mark.parametrize(("said", "becomes"), NOT_SOUND.values(), ids=NOT_SOUND)
def test_whatever_a_sink_says_it_is_tried_seldom_and_other_sinks_go_on(tmp_path, said, becomes):
    async def main():
        async def odd(_record):
            times.append(now())
            if isinstance(answer := said(), Exception):
                raise answer
            return answer

        times = []
        bad, good = MemorySink("bad", answer=odd), MemorySink("good")
        async with running(tmp_path, bad, good) as it:
            await it.outbox.publish(uuid_of(1), body_of(1))
            await asyncio.sleep(HALF_AN_HOUR)
            assert (await state(it.outbox, 1, "bad")).state == becomes
            assert not it.outbox.trouble
            assert len(times) < HALF_AN_HOUR / 290 + 10
            await it.outbox.publish(uuid_of(2), body_of(2))
            await good.wait_for(lambda: uuid_of(2) in good.got)
            assert not it._task.done()

    run_virtual(main())


@pytest.mark.parametrize("job", ["read", "due", "record", "done", "expire", "ask"])
def test_what_fails_in_the_middle_is_begun_again_and_all_is_delivered(tmp_path, monkeypatch, job):
    done, failed = getattr(OutboxStore, job), []

    def sometimes(*args, **more):
        if len(failed) < 3:
            failed.append(job)
            raise MemoryError
        return done(*args, **more)

    async def main():
        sink = MemorySink()
        async with running(tmp_path, sink) as it:
            monkeypatch.setattr(OutboxStore, job, sometimes)
            for n in range(5):
                await it.outbox.publish(uuid_of(n), body_of(n))
            await asyncio.sleep(120)
            await it.wait_for(5)
            assert len(failed) == 3
            assert not it._task.done()
        assert {uuid: set(bodies) for uuid, bodies in sink.got.items()} == {uuid_of(n): {body_of(n)} for n in range(5)}

    run_virtual(main())


def test_a_try_that_was_cancelled_before_its_first_step_is_made_again(tmp_path, monkeypatch):
    """It was under way for ever: nobody tried that vCon again before the next start."""
    due, right, begun, broken = OutboxStore.due, CircuitBreaker.begins, [], []

    def all_at_once(store, *args, **more):
        jobs, next_at = due(store, *args, **more)
        return (jobs, next_at) if broken or len(jobs) == 2 else ([], None)

    def breaks(breaker, seq):
        begun.append(seq)
        if len(begun) == 2:
            broken.append(seq)
            raise MemoryError
        right(breaker, seq)

    monkeypatch.setattr(OutboxStore, "due", all_at_once)
    monkeypatch.setattr(CircuitBreaker, "begins", breaks)

    async def main():
        sink = MemorySink(concurrency=2)
        async with running(tmp_path, sink) as it:
            for n in range(2):
                await it.outbox.publish(uuid_of(n), body_of(n))
            await it.wait_for(2)
            assert broken == begun[1:2]
        assert set(sink.got) == {uuid_of(0), uuid_of(1)}

    run_virtual(main())


def test_a_stop_while_a_part_waits_to_begin_again_begins_nothing(tmp_path, monkeypatch):
    async def main():
        def never(*_args, **_more):
            raise MemoryError

        sink = MemorySink()
        async with running(tmp_path, sink) as it:
            monkeypatch.setattr(OutboxStore, "due", never)
            await it.outbox.publish(uuid_of(1), body_of(1))
            await asyncio.sleep(30)
            monkeypatch.undo()
            it._task.cancel()
            await asyncio.wait({it._task})
        assert sink.tried == []

    run_virtual(main())
