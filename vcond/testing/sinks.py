"""The suite that every sink passes, ours and third parties'.

    class TestConformance(SinkConformance):
        @pytest.fixture
        def rig(self):
            return MyRig()

Each test hands vCons to the sink as the outbox does and looks at what the receiver has. After each call the rules that
hold always are checked: only Retry and Refused are raised, nothing private is said, nothing blocks the event loop. What
a rig cannot do (``SinkRig.can``) is skipped.
"""

# ruff: noqa: D102 - the name of a test says what it shows

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import msgspec
import pytest

from vcond.sdk.sink import MAX_ANSWER, OutgoingVcon, Receipt, Refused, Retry, SinkPlugin
from vcond.testing.sink_rig import SinkAbility, SinkRig
from vcond.testing.watch import captured_logs, nobody_opens, nobody_sleeps, tasks_of

T = TypeVar("T")
SPOKEN = "ultramarine elephants"
"""In every vCon of the suite, and in nothing that a sink says."""
LARGE = 12_000_000
"""Bytes of a large vCon, where the sink knows no limit."""
CUTS = (0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32)
"""Turns of the event loop after which a delivery is cancelled."""
TRIES = 20


def vcon(n: int, size: int = 0, *, text: str = SPOKEN) -> OutgoingVcon:
    """The n-th vCon of the suite, of ``size`` bytes where that is more than it needs."""
    uuid = f"019b8e4c-{n:04x}-8000-8000-{n:012x}"

    def body(filling: int) -> bytes:
        document = {
            "vcon": "0.4.0", "uuid": uuid, "created_at": "2026-01-05T12:00:00Z", "subject": text + "x" * filling,
            "parties": [{"tel": "+15551230001"}],
            "dialog": [
                {"type": "incomplete", "start": "2026-01-05T12:00:00Z", "parties": [0], "disposition": "no-answer"}
            ],
            "analysis": [], "attachments": [],
        }  # fmt: skip
        return json.dumps(document).encode()

    made = body(max(0, size - len(body(0))))
    return OutgoingVcon(uuid, made, hashlib.sha512(made).hexdigest())


class Watched:
    """A sink of the rig, each call of which is looked at."""

    def __init__(self, rig: SinkRig, sink: SinkPlugin) -> None:
        self.rig, self.sink = rig, sink

    async def deliver(self, record: OutgoingVcon) -> Receipt:
        """Raises Retry and Refused as the sink does; anything else fails the test."""
        return self._receipt(await self._call(self.sink.deliver(record)))

    async def erase(self, uuid: str) -> Receipt:
        """Like ``deliver``."""
        return self._receipt(await self._call(self.sink.erase(uuid)))

    async def look(self) -> list[str]:
        """The levels of what was found, which must be at least one."""
        found = await self._call(self.sink.look())
        assert found, "look() finds at least one thing: that all is well"
        for one in found:
            assert one.level in {"ok", "warning", "error"}
            assert one.text
            assert one.level == "ok" or one.fix, f"{one.text}: it must be said what to do"
            self.silent(one.text, one.fix)
        return [one.level for one in found]

    async def insist(self, record: OutgoingVcon) -> None:
        """As the outbox does: until it is taken."""
        for _ in range(TRIES):
            try:
                await self.deliver(record)
            except Retry:
                continue
            return
        pytest.fail(f"not taken in {TRIES} tries")

    async def _call(self, work: Coroutine[Any, Any, T]) -> T:
        with captured_logs() as lines, nobody_sleeps() as sleepers, nobody_opens() as opened:
            try:
                async with asyncio.timeout(self.rig.patience):
                    return await work
            except Retry as why:
                self.silent(why.reason, why.detail, why.hint)
                raise
            except Refused as why:
                self.silent(why.reason, why.hint)
                raise
            except TimeoutError:
                pytest.fail(f"a call took longer than {self.rig.patience} s: every wait inside has a time-out")
            except Exception as why:  # noqa: BLE001 - that it is not raised is what is tested
                pytest.fail(f"a sink raises Retry or Refused, not {why!r}")
            finally:
                self.silent(*lines)
                assert sleepers == [], "the event loop was blocked"
                assert opened == [], "files are opened in a thread: a disk that hangs stops every call"

    def _receipt(self, receipt: Receipt) -> Receipt:
        assert receipt.target, "a receipt says who has it"
        assert len(receipt.answer) <= MAX_ANSWER, "an answer is cut: vcond.sdk.sink.bounded"
        self.silent(receipt.target)
        return receipt

    def silent(self, *texts: str) -> None:
        """Nothing private is in any of them."""
        for word in (*self.rig.private, SPOKEN):
            assert not any(word in text for text in texts), f"said, and private: {word}"


def needs(rig: SinkRig, ability: SinkAbility) -> None:
    """Skip the test when the rig cannot do that."""
    if ability not in rig.can:
        pytest.skip(f"`can` of this rig has no {ability}")


def run(rig: SinkRig, main: Coroutine[Any, Any, None]) -> None:
    """Run a test's coroutine while the receiver is there."""

    async def started() -> None:
        await rig.start()
        try:
            await main
        finally:
            await rig.stop()

    asyncio.run(started())


@asynccontextmanager
async def serving(rig: SinkRig) -> AsyncIterator[Watched]:
    """One sink, closed afterwards."""
    sink = rig.sink()
    try:
        yield Watched(rig, sink)
    finally:
        await sink.close()


Body = Callable[[Any, Watched], Coroutine[Any, Any, None]]


def in_service(*abilities: SinkAbility) -> Callable[[Body], Callable[[Any, SinkRig], None]]:
    """A test of the suite with a sink of its rig; skipped when the rig cannot do all of that."""

    def decorated(test: Body) -> Callable[[Any, SinkRig], None]:
        def driven(self: Any, rig: SinkRig) -> None:
            for ability in abilities:
                needs(rig, ability)

            async def main() -> None:
                async with serving(rig) as it:
                    await test(self, it)

            run(rig, main())

        driven.__name__, driven.__qualname__ = test.__name__, test.__qualname__
        return driven

    return decorated


class SinkConformance:
    """Subclass it with a fixture ``rig`` that returns a new ``SinkRig``."""

    @in_service()
    async def test_it_says_what_it_is_and_what_it_takes(self, it: Watched) -> None:
        sink = it.sink
        fields = {field.name for field in msgspec.structs.fields(sink.Config)}
        assert "name" in fields, "the name of its section is handed over in Config.name"
        assert sink.Config.__struct_config__.forbid_unknown_fields, "a misspelt key must be an error"
        assert sink.name
        assert 1 <= sink.concurrency <= 32
        assert sink.profile in {"core", "conserver"}
        assert set(sink.forms) <= {"plain", "signed", "encrypted"}
        assert sink.forms
        assert sink.max_bytes >= 0
        it.silent(sink.address, sink.name)

    @in_service()
    async def test_a_vcon_arrives_as_it_is(self, it: Watched) -> None:
        await it.deliver(vcon(1))
        assert await it_has(it.rig) == {vcon(1).uuid: [vcon(1).body]}

    @in_service()
    async def test_the_same_again_is_no_second_record(self, it: Watched) -> None:
        for _ in range(3):
            await it.deliver(vcon(1))
        assert await it_has(it.rig) == {vcon(1).uuid: [vcon(1).body]}

    def test_the_same_again_after_a_restart_is_no_second_record(self, rig: SinkRig) -> None:
        async def main() -> None:
            for _ in range(2):
                async with serving(rig) as it:
                    await it.deliver(vcon(1))
            assert await it_has(rig) == {vcon(1).uuid: [vcon(1).body]}

        run(rig, main())

    @in_service()
    async def test_as_many_at_once_as_it_says(self, it: Watched) -> None:
        records = [vcon(n) for n in range(it.sink.concurrency * 2)]
        for at in (0, it.sink.concurrency):
            part = records[at : at + it.sink.concurrency]
            await asyncio.gather(*[it.sink.deliver(record) for record in part])
        assert await it_has(it.rig) == {record.uuid: [record.body] for record in records}

    @in_service()
    async def test_a_large_vcon_arrives_whole_and_a_larger_one_than_it_takes_not_at_all(self, it: Watched) -> None:
        most = it.sink.max_bytes
        large = vcon(1, most or LARGE)
        await it.deliver(large)
        if most:
            with pytest.raises((Refused, Retry)):
                await it.deliver(vcon(2, most + 1))
        whole = await it_has(it.rig) == {large.uuid: [large.body]}
        assert whole, "the large one, byte for byte, and nothing else"  # megabytes side by side help nobody

    @in_service("keeps")
    async def test_other_bytes_never_replace_what_is_there(self, it: Watched) -> None:
        await it.deliver(vcon(1))
        with pytest.raises(Refused):
            await it.deliver(vcon(1, text="something else"))
        assert await it_has(it.rig) == {vcon(1).uuid: [vcon(1).body]}

    @in_service("down")
    async def test_a_receiver_that_is_down_is_tried_again(self, it: Watched) -> None:
        await it.deliver(vcon(1))
        await it.rig.down(on=True)
        with pytest.raises(Retry) as why:
            await it.deliver(vcon(2))
        assert why.value.whole_sink, "others would fare no better: whole_sink"
        with pytest.raises(Retry):
            await it.erase(vcon(1).uuid)
        await it.rig.down(on=False)
        await it.insist(vcon(2))
        assert await it_has(it.rig) == {record.uuid: [record.body] for record in (vcon(1), vcon(2))}

    @in_service("refuse")
    async def test_a_no_for_good_is_refused_and_others_go_on(self, it: Watched) -> None:
        await it.rig.refuse()
        with pytest.raises(Refused) as why:
            await it.deliver(vcon(1))
        assert why.value.reason
        await it.deliver(vcon(2))
        assert await it_has(it.rig) == {vcon(2).uuid: [vcon(2).body]}

    @in_service("lose")
    async def test_a_lost_answer_makes_no_second_record(self, it: Watched) -> None:
        await it.rig.lose()
        await it.insist(vcon(1))
        await it.look()
        await it.insist(vcon(1))
        assert await it_has(it.rig) == {vcon(1).uuid: [vcon(1).body]}

    @in_service()
    async def test_cancelled_anywhere_it_is_there_whole_or_not_at_all(self, it: Watched) -> None:
        for n, turns in enumerate(CUTS):
            record = vcon(n, 300_000)
            task = asyncio.create_task(it.sink.deliver(record))
            for _ in range(turns):
                await asyncio.sleep(0)
            await cancelled(it.rig, task)
            assert (await it_has(it.rig)).get(record.uuid, [record.body]) == [record.body]
            await it.insist(record)
            assert (await it_has(it.rig))[record.uuid] == [record.body]

    @in_service("stall")
    async def test_a_delivery_that_hangs_ends_when_it_is_cancelled(self, it: Watched) -> None:
        await it.rig.stall()
        task = asyncio.create_task(it.sink.deliver(vcon(1)))
        async with asyncio.timeout(it.rig.patience):
            await it.rig.stalled()
        await cancelled(it.rig, task)
        await it.insist(vcon(1))
        assert await it_has(it.rig) == {vcon(1).uuid: [vcon(1).body]}

    @in_service()
    async def test_what_is_erased_is_gone_and_an_unknown_one_is_fine(self, it: Watched) -> None:
        await it.erase(vcon(1).uuid)
        await it.deliver(vcon(1))
        await it.deliver(vcon(2))
        for _ in range(2):
            await it.erase(vcon(1).uuid)
        assert await it_has(it.rig) == {vcon(2).uuid: [vcon(2).body]}

    @in_service()
    async def test_a_look_hands_nothing_over_and_changes_nothing(self, it: Watched) -> None:
        assert "error" not in await it.look(), "all is well"
        assert await it_has(it.rig) == {}
        await it.deliver(vcon(1))
        await it.look()
        assert await it_has(it.rig) == {vcon(1).uuid: [vcon(1).body]}
        if "down" in it.rig.can:
            await it.rig.down(on=True)
            try:
                levels = await it.look()
            except (Retry, Refused):
                levels = ["error"]
            assert set(levels) != {"ok"}, "the receiver is down, and look() does not say so"
            await it.rig.down(on=False)

    def test_it_is_closed_twice_and_leaves_nothing_running(self, rig: SinkRig) -> None:
        async def main() -> None:
            await rig.sink().close()  # never used
            sink = rig.sink()
            await sink.deliver(vcon(1))
            await sink.close()
            await sink.close()
            assert not tasks_of(sink), "left running"

        run(rig, main())


async def it_has(rig: SinkRig) -> dict[str, list[bytes]]:
    """What the receiver has, as plain values."""
    return {uuid: list(bodies) for uuid, bodies in (await rig.received()).items()}


async def cancelled(rig: SinkRig, task: asyncio.Task[Receipt]) -> None:
    """Cancel a delivery, which must end soon, and by that unless it had ended before."""
    if task.done():
        return
    task.cancel()
    await asyncio.wait([task], timeout=rig.patience)
    assert task.done(), "a delivery ends soon after it was cancelled"
    assert task.cancelled(), "a cancel passes through a sink; it is never swallowed"
