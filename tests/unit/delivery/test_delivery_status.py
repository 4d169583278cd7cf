"""What the admin socket and readiness tell of sinks and of what waits for them."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
from delivery_kit import MemorySink, body_of, take, uuid_of
from test_delivery_sink_worker import now, running

from vcond.base.errors import AmbiguousError
from vcond.cli import render
from vcond.sdk.sink import Refused, Retry
from vcond.server.status import Status
from vcond.testing.time import LoopClock, run_virtual

HELD = Retry("refused:403", held=True, detail="the conserver at http://c/api answers 403", hint="correct `token`")
DOWN = Retry("unreachable", whole_sink=True, detail="no connection to http://c/api", hint="is it running?")


def door_of(it):
    return Status(SimpleNamespace(outbox=it.outbox, clock=LoopClock()))  # type: ignore[arg-type]  # what is used here


@pytest.mark.parametrize(("why", "at_once"), [(HELD, True), (DOWN, False)])
def test_a_sink_in_trouble_is_told_with_reason_address_and_times(tmp_path, why, at_once):
    async def main():
        async def answer(_record):
            raise why

        sink = MemorySink(answer=answer)
        async with running(tmp_path, sink) as it:
            door = door_of(it)
            await it.outbox.publish(uuid_of(1), body_of(1))
            await sink.wait_for(lambda: len(sink.tried) == 1)
            await asyncio.sleep(1)
            assert bool(door._sinks_in_trouble()) is at_once
            [row] = await door.reads["sinks"]({})
            assert (row["state"], row["reason"], row["fix"]) == ("held" if at_once else "down", why.reason, why.hint)
            assert row["since"]
            assert row["next_try"]
            lines = list(render.outbox(await door.reads["outbox"]({}), [row]))
            for word in (why.reason, why.detail, "since", "next try", uuid_of(1)):
                assert word in "\n".join(lines)
            await asyncio.sleep(600)
            assert door._sinks_in_trouble() == {"sink memory": f"{why.reason}: {why.detail}; vCons wait"}

    run_virtual(main())


def test_retry_of_what_is_not_there_is_an_error(tmp_path):
    async def main():
        refused = [uuid_of(1)]

        async def answer(record):
            if record.uuid in refused:
                raise Refused("refused:422")
            return await take(record)

        sink = MemorySink(answer=answer)
        async with running(tmp_path, sink) as it:
            retry = door_of(it).writes["retry"]
            for n in (1, 2):
                await it.outbox.publish(uuid_of(n), body_of(n))
            await it.wait_for(1)
            for query, words in (
                ({"uuid": uuid_of(9)}, "this outbox never had a vCon"),
                ({"uuid": "nonsense"}, "this outbox never had a vCon"),
                ({"uuid": uuid_of(2)}, "delivered to every sink"),
                ({"sink": "nobody"}, "configured sinks: memory"),
                ({"uuid": uuid_of(1), "sink": "nobody"}, "configured sinks: memory"),
            ):
                with pytest.raises(LookupError, match=words):
                    await retry(query)
            refused.clear()
            assert await retry({"uuid": uuid_of(1), "sink": "memory"}) == {"retried": 1}
            await it.wait_for(2)
            assert await retry({}) == {"retried": 0}
            assert now() < 60

    run_virtual(main())


def test_sending_again_what_is_not_kept_is_an_error_that_says_why(tmp_path):
    async def main():
        sink = MemorySink()
        async with running(tmp_path, sink) as it:
            resend = door_of(it).writes["resend"]
            await it.outbox.publish(uuid_of(1), body_of(1))
            await it.wait_for(1)
            await asyncio.sleep(1)
            for query, words in (
                ({}, "a uuid, or --since"),
                ({"until": "2026-11-29T10:00:00Z"}, "a uuid, or --since"),
                ({"uuid": uuid_of(9)}, "this outbox never had a vCon"),
                ({"uuid": uuid_of(1)}, "delivered to every sink, and its file was deleted: delivery.keep_days"),
                ({"since": "2026-11-29T10:00:00Z", "sink": "nobody"}, "configured sinks: memory"),
                ({"since": "today"}, "since must be a date with an offset, as in 2026-11-29T10:00:00Z: 'today'"),
            ):
                with pytest.raises((LookupError, ValueError), match=words):
                    await resend(query)
            assert await resend({"since": "0001-01-01T00:00:00Z", "until": "9999-01-01T00:00:00Z"}) == {"resent": 0}

    run_virtual(main())


def test_where_a_vcon_went_is_told_by_its_id_or_the_beginning_of_it(tmp_path):
    async def main():
        sink = MemorySink()
        async with running(tmp_path, sink) as it:
            asked = door_of(it).reads["vcon"]
            for n in (1, 2):
                await it.outbox.publish(uuid_of(n), body_of(n))
            await it.wait_for(2)
            for part in (uuid_of(1), uuid_of(1)[:-1]):
                told = await asked({"call": part})
                assert (told["call"], told["vcon"], told["bytes"]) == (uuid_of(1), uuid_of(1), len(body_of(1)))
                assert [(one["sink"], one["state"]) for one in told["sinks"]] == [("memory", "delivered")]
            with pytest.raises(AmbiguousError):
                await asked({"call": uuid_of(1)[:4]})
            with pytest.raises(LookupError, match="no vCon has this id"):
                await asked({"call": "nonsense"})

    run_virtual(main())
