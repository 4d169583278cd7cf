"""What every sink had is sent once more while its file is kept: a receiver said yes and lost it."""

from __future__ import annotations

import pytest
from delivery_kit import NOON, SECOND, HandClock, MemorySink, Running, body_of, make_store, state, until, uuid_of

from vcond.base.errors import StorageError
from vcond.delivery import Again, OutboxConfig
from vcond.delivery import store as module
from vcond.delivery.rows import Outcome
from vcond.sdk.sink import Receipt, Refused
from vcond.storage.files import Files
from vcond.testing.time import run_virtual

KEPT = OutboxConfig(keep_days=1, backoff_min=0.01, backoff_max=0.02)


async def everywhere(it, *numbers):
    """Published a second apart, delivered, and put away."""
    for n in numbers:
        await it.outbox.publish(uuid_of(n), body_of(n))
        it.clock.pass_seconds(1)
    await until(lambda: kept(it, *numbers))


async def kept(it, *numbers):
    return all([(await it.outbox.get(uuid_of(n))).stage == "kept" for n in numbers])


def running(tmp_path, *sinks):
    clock = HandClock()
    it = Running(tmp_path, *sinks, clock=clock, config=KEPT)
    it.clock = clock
    return it


@pytest.mark.parametrize(
    ("again", "first", "second"),
    [
        (Again(uuid_of(1)), [1], [1]),
        (Again(uuid_of(1), "a"), [1], []),
        (Again(since=NOON + SECOND), [1, 2, 3], [1, 2, 3]),
        (Again(since=NOON + SECOND, until=NOON + 3 * SECOND), [1, 2], [1, 2]),
        (Again(sink="b", until=NOON + SECOND), [], [0]),
        (Again(uuid_of(9)), [], []),
    ],
)
def test_those_that_are_meant_go_once_more_to_the_sinks_that_are_meant(tmp_path, monkeypatch, again, first, second):
    monkeypatch.setattr(module, "BATCH", 2)  # three take two rounds

    async def main():
        a, b = MemorySink("a"), MemorySink("b")
        async with running(tmp_path, a, b) as it:
            await everywhere(it, 0, 1, 2, 3)
            it.delivered.clear()
            assert await it.outbox.resend(again) == len({*first, *second})
            await until(lambda: kept(it, 0, 1, 2, 3))
            for sink, numbers in ((a, first), (b, second)):
                assert sink.got == {uuid_of(n): [body_of(n)] * (2 if n in numbers else 1) for n in range(4)}
            assert sorted(it.delivered) == [uuid_of(n) for n in sorted({*first, *second})]

    run_virtual(main())


def test_until_a_receiver_has_it_again_it_waits_as_a_new_one_does(tmp_path):
    async def refuse(_):
        raise Refused("refused:422", answer="{}")

    async def main():
        sink = MemorySink("a")
        async with running(tmp_path, sink) as it:
            await everywhere(it, 0)
            sink.answer = refuse
            await it.outbox.resend(Again(uuid_of(0)))
            await until(lambda: dead(it))
            assert (await it.outbox.get(uuid_of(0))).stage == "open"
            assert (await state(it.outbox, 0, "a")).target == "memory", "who had it once stays written"

    async def dead(it):
        return (await state(it.outbox, 0, "a")).state == "dead"

    run_virtual(main())


def test_dead_letters_stay_dead(tmp_path):
    async def refuse(record):
        if record.uuid == uuid_of(1):
            raise Refused("refused:422", answer="{}")
        return Receipt(204, "memory")

    async def dead(it):
        return (await state(it.outbox, 1, "a")).state == "dead"

    async def main():
        sink = MemorySink("a", answer=refuse)
        async with running(tmp_path, sink) as it:
            await everywhere(it, 0)
            await it.outbox.publish(uuid_of(1), body_of(1))
            await until(lambda: dead(it))
            assert await it.outbox.resend(Again(since=NOON)) == 1
            await until(lambda: kept(it, 0))
            assert await dead(it)
            assert (await state(it.outbox, 1, "a")).attempts == 1
            assert sink.tried.count(uuid_of(1)) == 1, "nobody asked for this one"

    run_virtual(main())


def delivered(store, *numbers):
    for n in numbers:
        store.publish(uuid_of(n), body_of(n), {}, NOON)
        (job,), _ = store.due("a", NOON, 1, probe=None)
        store.record("a", job.seq, Outcome("delivered", NOON))
        for vcon in store.done():
            store.put_away(vcon, keep=True)


class Immovable(Files):
    """A disk that moves nothing any more."""

    stuck = False

    def rename(self, old, new):
        if self.stuck:
            raise OSError(5, "Input/output error")
        super().rename(old, new)


def test_a_disk_that_refuses_changes_nothing(tmp_path):
    files = Immovable()
    store = make_store(tmp_path, files=files)
    delivered(store, 0)
    files.stuck = True
    with pytest.raises(StorageError):
        store.resend(Again(), 0)
    assert store.get(uuid_of(0), {}).stage == "kept"
    assert store.due("a", NOON, 1, probe=None) == ([], None)
    files.stuck = False
    assert store.resend(Again(), 0) == [(1, True)]
    assert store.read(uuid_of(0))[0] == body_of(0)
    store.close()


@pytest.mark.parametrize("half", ["moved, not written", "written, not moved"])
def test_a_crash_in_between_loses_nothing(tmp_path, half):
    store = make_store(tmp_path)
    delivered(store, 0)
    pending, kept = (tmp_path / "outbox" / name / f"{uuid_of(0)}.vcon.json" for name in ("pending", "kept"))
    if half == "moved, not written":
        kept.rename(pending)
    else:
        store.resend(Again(), 0)
        pending.rename(kept)
    store.close()
    store = make_store(tmp_path)
    stage = store.get(uuid_of(0), {}).stage
    assert stage == ("done" if half == "moved, not written" else "open")
    assert store.read(uuid_of(0))[0] == body_of(0)
    store.close()
