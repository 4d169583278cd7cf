"""The outbox before it is open and when it stops: nothing that comes then is lost."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
from delivery_kit import HandClock, MemorySink, body_of, make_outbox, uuid_of

from vcond.base.errors import StorageError
from vcond.delivery import OutboxConfig
from vcond.delivery.maintenance import Maintenance


async def test_before_it_is_open_a_vcon_waits_and_a_question_is_refused(tmp_path):
    outbox = make_outbox(tmp_path, MemorySink(), clock=HandClock())
    with pytest.raises(StorageError, match="not open yet"):
        await outbox.list()
    assert "not open yet" in outbox.trouble
    published = asyncio.create_task(outbox.publish(uuid_of(1), body_of(1)))
    await asyncio.sleep(0)
    assert not published.done()
    await outbox.open()
    await published
    assert outbox.trouble == ""
    assert await outbox.get(uuid_of(1)) is not None
    await outbox.close()
    with pytest.raises(StorageError, match="closed"):
        await outbox.list()


async def test_one_that_cannot_be_opened_may_be_tried_again(tmp_path):
    outbox = make_outbox(tmp_path, MemorySink(), clock=HandClock())
    (tmp_path / "outbox").write_text("no folder")
    with pytest.raises(StorageError):
        await outbox.open()
    assert "their vCons wait" in outbox.trouble
    (tmp_path / "outbox").unlink()
    await outbox.open()
    assert await outbox.list() == []
    await outbox.close()


async def test_a_start_that_is_given_up_while_it_is_opened_closes_it(tmp_path):
    outbox = make_outbox(tmp_path, MemorySink(), clock=HandClock())
    opening = asyncio.create_task(outbox.open())
    await asyncio.sleep(0)
    opening.cancel()
    await outbox.close()
    async with make_outbox(tmp_path, MemorySink(), clock=HandClock()) as again:
        assert await again.list() == []


async def test_what_every_sink_has_when_it_stops_is_told():
    done, told, looked = [], [], asyncio.Event()

    class Store:
        def done(self):
            looked.set()
            return list(done)

        def put_away(self, vcon, *, keep):
            done.remove(vcon)

        def expire(self, *_):
            return 0

        def tell(self, *_):
            pass

    async def call(job):
        return job(Store())

    async def measure():
        pass

    maintenance = Maintenance(call, measure, OutboxConfig(), HandClock(), told.append, lambda: False)
    running = asyncio.create_task(maintenance.run())
    await looked.wait()
    done.append(SimpleNamespace(uuid="delivered"))
    maintenance.stop()
    async with asyncio.timeout(20):
        await running
    assert (told, done) == (["delivered"], [])
