"""The outbox with the real sinks and the fake conserver: nothing lost, nothing changed, everything explained."""

from __future__ import annotations

import asyncio
import time
from random import Random

import pytest
from delivery_kit import HandClock, MemorySink, Running, body_of, make_outbox, state, until, uuid_of
from fake_conserver import Cut, FakeConserver, Hang, Slow, Status

from vcond.base import metrics
from vcond.base.errors import ConfigError, StorageError
from vcond.delivery import ConflictError, OutboxConfig
from vcond.delivery.sinks.conserver import ConserverConfig, ConserverSink
from vcond.delivery.sinks.folder import FolderConfig, FolderSink
from vcond.sdk.sink import Retry
from vcond.testing.time import LoopClock, run_virtual

KEY = "list-key"
COUNT = 12
JSON = {"Content-Type": "application/json"}


class WallClock:
    now = staticmethod(time.time_ns)


def serving():
    return FakeConserver(ingress_auth={"edge": KEY}, tokens=["api"])


@pytest.fixture
async def conserver():
    async with serving() as running:
        yield running


def sink_of(conserver, **options):
    base = {"url": conserver.url, "ingress_lists": ["edge"], "token": KEY, "total_timeout": 60}
    return ConserverSink(ConserverConfig(**(base | options)))


async def publish(outbox, *numbers):
    for n in numbers:
        await outbox.publish(uuid_of(n), body_of(n))


def expected(*numbers):
    return {uuid_of(n): {body_of(n)} for n in numbers}


@pytest.mark.parametrize(
    "fault",
    [
        Status(500, b'{"detail": "Failed to store vCon"}'),
        Status(500, store=True),
        Status(502),
        Status(503, headers={"Retry-After": "0"}),
        Status(429, headers={"Retry-After": "0"}),
        Status(408),
        Status(425),
        Cut("request"),
        Cut("answer"),
        Cut("answer", store=True),
        Cut("body"),
        Cut("body", store=True),
        Hang(),
        Hang(store=True),
    ],
    ids=repr,
)
@pytest.mark.parametrize("mode", ["external-ingress", "vcon"])
def test_what_passes_by_itself_loses_and_changes_nothing(tmp_path, fault, mode):
    async def main():
        async with serving() as conserver:
            conserver.next(*[fault, fault, None] * 2)
            token = KEY if mode == "external-ingress" else "api"
            async with Running(tmp_path, sink_of(conserver, mode=mode, token=token), clock=LoopClock()) as it:
                await publish(it.outbox, *range(COUNT))
                await it.wait_for(COUNT)
                assert sorted(it.delivered) == [uuid_of(n) for n in range(COUNT)]
                entry = await it.outbox.get(uuid_of(0))
                assert entry.sinks[0].status in {201, 204}
            return conserver

    conserver = run_virtual(main())
    assert conserver.bodies() == expected(*range(COUNT))
    repeats = len(conserver.received) - COUNT
    assert (repeats > 0) == fault.store  # at least once, and more than once only when the answer did not reach us


async def test_a_conserver_that_is_down_and_comes_back(tmp_path, conserver):
    await conserver.down()
    async with Running(tmp_path, sink_of(conserver), clock=WallClock()) as it:
        await publish(it.outbox, *range(COUNT))
        await conserver.up()
        await it.wait_for(COUNT)
    assert conserver.bodies() == expected(*range(COUNT))


async def test_a_slow_conserver_is_not_given_up(tmp_path, conserver):
    until_then = asyncio.Event()
    conserver.always = Slow(until_then)
    async with Running(tmp_path, sink_of(conserver), clock=WallClock()) as it:
        await publish(it.outbox, 1, 2, 3)
        await conserver.wait_for(tries=2)
        assert conserver.peak == 2
        until_then.set()
        await it.wait_for(3)
    assert len(conserver.received) == 3


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Status(422, b'{"detail": [{"loc": ["body", "uuid"]}]}', JSON), "refused:422"),
    ],
    ids=repr,
)
async def test_dead_letters_explain_themselves_and_retry_works(tmp_path, conserver, fault, reason, capsys):
    conserver.always = fault
    sink = sink_of(conserver)
    async with Running(tmp_path, sink, clock=WallClock()) as it:
        await publish(it.outbox, 1, 2)
        await conserver.wait_for(tries=2)
        await until(lambda: dead(it.outbox, 2))
        conserver.always = None
        for n in (1, 2):
            letter = await state(it.outbox, n, "conserver")
            assert (letter.reason, letter.status, letter.attempts) == (reason, fault.status, 1)
            assert letter.answer == fault.body.decode()
        assert (await it.outbox.list(state="dead", sink="conserver"))[0].uuid == uuid_of(2)
        assert conserver.received == []
        assert (tmp_path / "outbox" / "pending" / f"{uuid_of(1)}.vcon.json").read_bytes() == body_of(1)
        assert await it.outbox.retry(uuid_of(2)) == 1
        await it.wait_for(1)
        assert it.delivered == [uuid_of(2)]
        assert await it.outbox.retry(sink="nobody") == 0
        assert await it.outbox.retry(sink="conserver") == 1
        await it.wait_for(2)
    assert conserver.bodies() == expected(1, 2)
    logged = capsys.readouterr().out
    assert reason in logged
    assert "hint=" in logged
    for secret in (KEY, "15551230001", "login", "Invalid API Key"):
        assert secret not in logged


async def dead(outbox, count):
    return len(await outbox.list(state="dead")) >= count


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Status(403, b'{"detail": "Invalid API Key"}', JSON), "refused:403"),
        (Status(401), "refused:401"),
        (Status(404, b"404 page not found\n"), "refused:404"),
        (Status(405), "refused:405"),
        (Status(422, b"<html>blocked</html>"), "refused:422"),
        (Status(302, headers={"Location": "http://127.0.0.1:1/"}), "unexpected:302"),
        (Status(200, b"<html>login</html>"), "unexpected:200"),
    ],
    ids=repr,
)
async def test_what_judges_the_way_holds_the_sink_and_no_vcon_is_given_up(tmp_path, conserver, fault, reason, capsys):
    conserver.always = fault
    async with Running(tmp_path, sink_of(conserver), clock=WallClock()) as it:
        await publish(it.outbox, 1, 2, 3)
        await until(lambda: held(it.outbox))
        [told] = it.outbox.sinks()
        assert (told.state, told.reason, told.size_limit) == ("held", reason, 0)
        assert conserver.url in told.detail
        assert "vcond outbox retry" in told.hint
        assert told.next_at >= told.since > 0
        assert metrics.sink_held.labels("conserver")._value.get() == 1
        assert metrics.sink_up.labels("conserver")._value.get() == 0
        assert not await it.outbox.list(state="dead")
        conserver.always = None
        await it.outbox.retry()
        await it.wait_for(3)
        assert it.outbox.sinks()[0].state == "ok"
        assert metrics.sink_held.labels("conserver")._value.get() == 0
    assert conserver.bodies() == expected(1, 2, 3)
    logged = capsys.readouterr().out
    assert logged.count("sink held") == 1
    for secret in (KEY, "15551230001", "login", "Invalid API Key"):
        assert secret not in logged


async def held(outbox):
    return outbox.sinks()[0].state == "held"


async def test_a_wrong_key_is_set_right_by_a_new_configuration(tmp_path, conserver):
    async with Running(tmp_path, sink_of(conserver, token="wrong"), clock=WallClock()) as it:
        await publish(it.outbox, 1)
        await until(lambda: held(it.outbox))
    async with Running(tmp_path, sink_of(conserver), clock=WallClock()) as it:
        await it.wait_for(1)
    assert conserver.bodies() == expected(1)


async def test_conserver_and_folder_have_each_their_own_state(tmp_path, conserver):
    conserver.of[uuid_of(1)] = Status(422, b'{"detail": [{"loc": ["body", "uuid"]}]}', JSON)
    folder = FolderSink(FolderConfig(path=str(tmp_path / "out")))
    async with Running(tmp_path, sink_of(conserver), folder, clock=WallClock()) as it:
        await publish(it.outbox, 1, 2)
        await it.wait_for(1)
        await until(lambda: dead(it.outbox, 1))
        assert it.delivered == [uuid_of(2)]
        await until(lambda: taken(it.outbox, 1, "folder"))
        assert (await state(it.outbox, 1, "conserver")).state == "dead"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [f"{uuid_of(n)}.vcon.json" for n in (1, 2)]
    assert (tmp_path / "out" / f"{uuid_of(2)}.vcon.json").read_bytes() == conserver.received[0].body


async def taken(outbox, n, sink):
    return (await state(outbox, n, sink)).state == "delivered"


async def test_the_token_is_in_no_file_and_no_log(tmp_path, conserver, capsys):
    conserver.next(Cut("answer"), Status(500), Status(200, b"x"))
    async with Running(tmp_path, sink_of(conserver), clock=WallClock()) as it:
        await publish(it.outbox, 1, 2, 3)
        await conserver.wait_for(tries=3)
        await until(lambda: held(it.outbox))
        await it.outbox.retry()
        await it.wait_for(3)
    assert KEY not in capsys.readouterr().out
    for path in tmp_path.rglob("*"):
        assert path.is_dir() or KEY.encode() not in path.read_bytes()


async def test_the_core_is_told_until_it_has_understood(tmp_path):
    """A journal that cannot be removed now is removed later, and the file of the vCon stays until then."""
    told = []

    def deaf(uuid):
        told.append(uuid)
        raise StorageError("read-only")

    outbox = make_outbox(tmp_path, MemorySink(), clock=WallClock(), on_delivered=deaf)
    await outbox.open()
    task = asyncio.create_task(outbox.run())
    await publish(outbox, 1)
    await until(lambda: is_in(told))
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert (tmp_path / "outbox" / "pending" / f"{uuid_of(1)}.vcon.json").exists()
    await outbox.close()
    again = MemorySink()
    async with Running(tmp_path, again, clock=WallClock()) as it:
        await it.wait_for(1)
        assert again.got == {}
        await it.outbox.publish(uuid_of(1), body_of(1))  # a journal found again after the vCon was delivered
        await it.wait_for(2)
    assert not (tmp_path / "outbox" / "pending" / f"{uuid_of(1)}.vcon.json").exists()


async def is_in(told):
    return bool(told)


async def test_the_core_may_answer_without_a_coroutine(tmp_path):
    told = []
    outbox = make_outbox(tmp_path, MemorySink(), clock=WallClock(), on_delivered=told.append)
    async with outbox:
        task = asyncio.create_task(outbox.run())
        await publish(outbox, 1)
        await until(lambda: is_in(told))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert told == [uuid_of(1)]


async def test_published_at_the_same_time_and_while_nothing_runs(tmp_path):
    async with make_outbox(tmp_path, MemorySink(), clock=WallClock()) as outbox:
        numbers = [1, 2, 3, 1, 2, 3]
        await asyncio.gather(*(outbox.publish(uuid_of(n), body_of(n)) for n in numbers))
        assert len(await outbox.list()) == 3
        with pytest.raises(ConflictError):
            await outbox.publish(uuid_of(1), body_of(1, size=1))
        with pytest.raises(ValueError, match="uuid"):
            await outbox.publish("../x", b"{}")
        assert await outbox.get(uuid_of(9)) is None


async def test_facts_are_bounded(tmp_path):
    async with make_outbox(tmp_path, MemorySink(), clock=WallClock()) as outbox:
        await outbox.publish(uuid_of(1), body_of(1), {f"{n}" * 1000: "x" * 1000 for n in range(100)})
        facts = (await outbox.get(uuid_of(1))).facts
    assert len(facts) <= 32
    assert all(len(key) <= 256 and len(value) <= 256 for key, value in facts.items())


async def test_a_publish_that_is_cancelled_is_whole_or_not_there(tmp_path):
    async with make_outbox(tmp_path, MemorySink(), clock=WallClock()) as outbox:
        for n in range(20):
            task = asyncio.create_task(outbox.publish(uuid_of(n), body_of(n, size=100_000)))
            for _ in range(n % 5):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        entries = {entry.uuid for entry in await outbox.list()}
        files = {path.name.removesuffix(".vcon.json") for path in (tmp_path / "outbox" / "pending").iterdir()}
        assert entries == files


async def test_gauges_say_what_waits_and_how_long(tmp_path):
    def gauge(metric, *labels):
        return metric.labels(*labels)._value.get()

    clock = HandClock()
    sink = MemorySink("gauged")
    async with make_outbox(tmp_path, sink, clock=clock) as outbox:
        await publish(outbox, 1, 2)
        clock.pass_seconds(90)
        await outbox.measure()
        assert gauge(metrics.outbox_vcons, "gauged", "pending") == 2
        assert gauge(metrics.outbox_oldest_seconds, "gauged") == 90
        clock.pass_seconds(-1000)
        await outbox.measure()
        assert gauge(metrics.outbox_oldest_seconds, "gauged") == 0
    async with Running(tmp_path, MemorySink("gauged"), clock=clock) as it:
        await it.wait_for(2)
        await it.outbox.measure()
        assert [gauge(metrics.outbox_vcons, "gauged", each) for each in ("pending", "sending", "dead")] == [0, 0, 0]


def test_old_files_go_while_it_runs(tmp_path):
    async def main():
        config = OutboxConfig(keep_days=0.01)  # 864 s
        async with Running(tmp_path, MemorySink(), clock=LoopClock(), config=config) as it:
            await publish(it.outbox, 1)
            await it.wait_for(1)
            kept = tmp_path / "outbox" / "kept" / f"{uuid_of(1)}.vcon.json"
            await asyncio.sleep(800)
            assert kept.exists()
            await asyncio.sleep(100)
            assert not kept.exists()
            assert (await it.outbox.get(uuid_of(1))).stage == "gone"

    run_virtual(main())


def test_ten_thousand_in_the_outbox_and_the_first_goes_at_once(tmp_path):
    async def main():
        sink = MemorySink(answer=refuse_for_now)
        async with make_outbox(tmp_path, sink, clock=LoopClock()) as outbox:
            pass
        pending = tmp_path / "outbox" / "pending"
        for n in range(10_000):  # an outbox of an earlier run whose database was lost, which is the slowest start
            (pending / f"{uuid_of(n)}.vcon.json").write_bytes(body_of(n))
        sink = MemorySink(answer=refuse_for_now)
        async with make_outbox(tmp_path, sink, clock=LoopClock()) as outbox:
            assert len(await outbox.list(limit=10_000)) == 1000
        started = time.monotonic()
        sink = MemorySink(concurrency=1)
        async with Running(tmp_path, sink, clock=LoopClock()) as it:
            await it.wait_for(1)
            print(f"10,000 vCons: first delivered after {time.monotonic() - started:.2f} s")
            await it.wait_for(100)
        assert sink.tried[:100] == sorted(sink.tried)[:100]

    run_virtual(main())


async def refuse_for_now(_record):
    raise Retry("unreachable", whole_sink=True)


def test_it_wants_sinks_with_names_of_their_own(tmp_path):
    with pytest.raises(ConfigError, match="no sink"):
        make_outbox(tmp_path, clock=HandClock())
    with pytest.raises(ConfigError, match="same name"):
        make_outbox(tmp_path, MemorySink(), MemorySink(), clock=HandClock())


async def test_a_full_disk_is_told_and_forgotten(tmp_path, monkeypatch):
    import os

    async with make_outbox(tmp_path, MemorySink(), clock=WallClock()) as outbox:

        def full(*_a):
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(os, "pwrite", full)
            with pytest.raises(StorageError):
                await publish(outbox, 1)
            assert "No space" in outbox.trouble
        await publish(outbox, 1)
        assert outbox.trouble == ""


def test_chance_comes_from_the_callers_generator(tmp_path):
    outbox = make_outbox(tmp_path, MemorySink(), clock=HandClock())
    assert outbox._workers[0]._breaker.backoff(1) == round(Random(7).uniform(0, 0.01) * 1_000_000_000)


def test_one_file_that_cannot_be_put_away_keeps_no_other_from_being_reported(tmp_path):
    async def main():
        sink = MemorySink()
        async with Running(tmp_path, sink, clock=LoopClock()) as it:
            name = f"{uuid_of(1)}.vcon.json"
            (tmp_path / "outbox" / "kept" / name / "x").mkdir(parents=True)
            await publish(it.outbox, *range(1, 6))
            await until(lambda: reported(it, 5))
            await until(lambda: troubled(it.outbox))
            (tmp_path / "outbox" / "kept" / name / "x").rmdir()
            (tmp_path / "outbox" / "kept" / name).rmdir()
            await asyncio.sleep(60)
            assert it.outbox.trouble == ""
            assert {entry.stage for entry in await it.outbox.list()} == {"gone"}

    run_virtual(main())


async def reported(it, count):
    return len(set(it.delivered)) == count


async def troubled(outbox):
    return "remove a delivered vCon" in outbox.trouble


def test_the_ledger_forgets_after_its_days(tmp_path):
    async def main():
        config = OutboxConfig(keep_days=0.01, ledger_days=0.02)  # of 864 s
        async with Running(tmp_path, MemorySink(), clock=LoopClock(), config=config) as it:
            await publish(it.outbox, 1, 2)
            await it.wait_for(2)
            await asyncio.sleep(2400)
            await publish(it.outbox, 3)
            await it.wait_for(3)
            assert len(await it.outbox.list()) == 3
            await asyncio.sleep(300)
            assert [entry.uuid for entry in await it.outbox.list()] == [uuid_of(3)]
            assert await it.outbox.get(uuid_of(1)) is None

    run_virtual(main())
