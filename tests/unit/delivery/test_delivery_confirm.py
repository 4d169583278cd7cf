"""A receiver that says yes and loses what it took is found out, and gets it again."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass

import pytest
from delivery_kit import MemorySink, Running, body_of, make_store, state, until, uuid_of
from fake_conserver import FakeConserver

from vcond.base import metrics
from vcond.base.errors import ConfigError
from vcond.delivery import OutboxConfig, confirmations, confirmer, rows
from vcond.delivery.sinks.conserver import ConserverConfig, ConserverSink
from vcond.sdk.sink import OutgoingVcon, Refused, Retry
from vcond.testing.time import LoopClock, run_virtual

AFTER = 600
KEPT = OutboxConfig(backoff_min=0.01, backoff_max=0.02)


@dataclass
class Forgetful(MemorySink):
    """Can be asked; ``lost`` are gone from it, ``why`` is raised instead of an answer."""

    confirm_after: float = AFTER

    def __post_init__(self) -> None:
        super().__post_init__()
        self.asked: list[str] = []
        self.why: Exception | None = None

    async def has(self, uuid: str) -> bool:
        self.asked.append(uuid)
        if self.why is not None:
            raise self.why
        return bool(self.got.get(uuid))


def counted(sink, answer):
    return metrics.confirmations_total.labels(sink, answer)._value.get()


async def kept(it, *numbers):
    for n in numbers:
        await it.outbox.publish(uuid_of(n), body_of(n))
    await until(lambda: put_away(it, *numbers))


async def put_away(it, *numbers):
    return all([(await it.outbox.get(uuid_of(n))).stage == "kept" for n in numbers])


def test_what_is_gone_after_the_receivers_expiry_is_sent_again_to_it_alone(tmp_path, capsys):
    async def main():
        a, b = Forgetful("a"), MemorySink("b")
        async with Running(tmp_path, a, b, clock=LoopClock(), config=KEPT) as it:
            await kept(it, 1, 2, 3)
            del a.got[uuid_of(1)], a.got[uuid_of(2)]
            await asyncio.sleep(AFTER - 60)
            assert a.asked == [], "its expiry is waited for"
            assert await it.outbox.confirmations() == {"a": {"confirmed": 0, "gone": 0, "unknown": 3}}
            await asyncio.sleep(300)
            assert a.asked == [uuid_of(n) for n in (1, 2, 3)]
            assert set(a.got) == {uuid_of(n) for n in (1, 2, 3)}
            assert [b.tried.count(uuid_of(n)) for n in (1, 2, 3)] == [1, 1, 1]
            assert await it.outbox.confirmations() == {"a": {"confirmed": 1, "gone": 2, "unknown": 0}}
            assert (await state(it.outbox, 1, "a")).confirmed == "gone"
            await asyncio.sleep(AFTER + 300)
            assert await it.outbox.confirmations() == {"a": {"confirmed": 3, "gone": 0, "unknown": 0}}
            assert len(a.asked) == 5, "what is confirmed is not asked for again"

    before = [counted("a", answer) for answer in ("confirmed", "gone")]
    run_virtual(main())
    assert [counted("a", answer) for answer in ("confirmed", "gone")] == [before[0] + 3, before[1] + 2]
    assert capsys.readouterr().out.count("lost vCons that it had taken") == 1


def test_a_receiver_that_never_keeps_anything_gets_it_three_times_in_all(tmp_path):
    async def main():
        sink = Forgetful("a")
        async with Running(tmp_path, sink, clock=LoopClock(), config=KEPT) as it:
            await kept(it, 1)
            for _ in range(5):
                sink.got.clear()
                await asyncio.sleep(AFTER + 300)
            assert sink.tried == [uuid_of(1)] * 3
            assert await it.outbox.confirmations() == {"a": {"confirmed": 0, "gone": 1, "unknown": 0}}

    run_virtual(main())


@pytest.mark.parametrize("why", [Retry("unreachable"), Refused("refused:403"), KeyError("x")])
def test_one_that_does_not_say_is_asked_again_and_nothing_is_sent(tmp_path, capsys, why):
    async def main():
        sink = Forgetful("a")
        sink.why = why
        async with Running(tmp_path, sink, clock=LoopClock(), config=KEPT) as it:
            await kept(it, 1, 2)
            await asyncio.sleep(AFTER + 3000)
            assert 4 <= len(sink.asked) <= 6, "once in ten minutes"
            assert set(sink.asked) == {uuid_of(1)}
            assert len(sink.tried) == 2
            sink.why = None
            await asyncio.sleep(900)
            assert await it.outbox.confirmations() == {"a": {"confirmed": 2, "gone": 0, "unknown": 0}}

    run_virtual(main())
    assert capsys.readouterr().out.count("cannot ask the receiver") == 1


def test_not_more_than_two_a_second(tmp_path):
    async def main():
        sink = Forgetful("a", concurrency=8)
        async with Running(tmp_path, sink, clock=LoopClock(), config=KEPT) as it:
            await kept(it, *range(1, 7))
            await asyncio.sleep(AFTER - 60)
            assert sink.asked == []
            while not sink.asked:  # noqa: ASYNC110 - virtual time
                await asyncio.sleep(1)
            started = asyncio.get_running_loop().time()
            while len(sink.asked) < 6:  # noqa: ASYNC110 - virtual time
                await asyncio.sleep(confirmer.PACE / 5)
            assert asyncio.get_running_loop().time() - started >= 5 * confirmer.PACE - 1

    run_virtual(main())


def test_a_sink_that_is_not_to_be_asked_is_not(tmp_path):
    async def main():
        sink = Forgetful("a", confirm_after=0)
        async with Running(tmp_path, sink, clock=LoopClock(), config=KEPT) as it:
            await kept(it, 1)
            await asyncio.sleep(AFTER + 300)
            assert sink.asked == []
            assert await it.outbox.confirmations() == {}

    run_virtual(main())


def test_what_the_ledger_forgets_is_forgotten_here_too(tmp_path):
    store = make_store(tmp_path)
    seq = store.tell("", lambda db: rows.insert(db, uuid_of(1), "", 1, 0, {}, "gone"))
    store.tell("", lambda db: confirmations.answered(db, "a", seq, "gone", 1))
    store.tell("", lambda db: rows.prune(db, 1, 10))
    assert store.ask(lambda db: db.execute("SELECT count(*) FROM delivery_confirmations").fetchone()) == (0,)
    store.close()


async def test_a_conserver_that_answers_204_and_loses_it_says_so_when_it_is_asked():
    async with FakeConserver(ingress_auth={"edge": "key"}, tokens=["api"]) as conserver:
        options = {"ingress_lists": ["edge"], "token": "key", "admin_token": "api", "confirm_after": AFTER}
        sink = ConserverSink(ConserverConfig(url=conserver.url, **options))
        bodies = [body_of(1), body_of(2, 200_000)]
        for n, body in enumerate(bodies, 1):
            conserver.expires = n == 1  # the worker comes to the second one only
            record = OutgoingVcon(uuid_of(n), body, hashlib.sha512(body).hexdigest())
            assert (await sink.deliver(record)).status == 204
        conserver.expires = True
        conserver.an_hour_passes()
        assert [await sink.has(uuid_of(n)) for n in (1, 2)] == [False, True]
        conserver.tokens = ["another"]
        with pytest.raises(Retry, match="refused:403"):
            await sink.has(uuid_of(1))
        await sink.close()
        lost = ConserverSink(ConserverConfig(url=conserver.url.replace("/api", "/wrong"), **options))
        with pytest.raises(Retry, match="unexpected:404"):
            await lost.has(uuid_of(1))
        await lost.close()


def test_without_the_apis_token_a_conserver_cannot_be_asked():
    with pytest.raises(ConfigError, match=r"admin_token"):
        ConserverSink(ConserverConfig(url="https://c/api", ingress_lists=["a"], token="k", confirm_after=AFTER))
