from __future__ import annotations

import asyncio
import logging
import time

import structlog

from vcond.testing.watch import captured_logs, nobody_sleeps, tasks_of


def test_every_log_line_is_captured_and_the_configuration_put_back():
    before = structlog.get_config()
    with captured_logs() as lines:
        structlog.get_logger(adapter="test").info("one", number="555")
        logging.getLogger("some.library").debug("two %s", "666")
        try:
            int("777x")
        except ValueError:
            structlog.get_logger().exception("three")
    assert all(any(word in line for line in lines) for word in ("555", "666", "777"))
    assert structlog.get_config() == before


def test_sleeping_in_the_loop_is_noticed_and_in_a_thread_it_is_not():
    async def main():
        await asyncio.to_thread(time.sleep, 0.001)
        time.sleep(0)  # noqa: ASYNC251 - what is to be noticed

    with nobody_sleeps() as sleepers:
        asyncio.run(main())
    assert sleepers == ["time.sleep(0)"]
    assert time.sleep.__name__ == "sleep"


async def test_a_task_is_the_adapters_when_its_code_is():
    class Mine:
        async def work(self):
            await asyncio.Event().wait()

    task = asyncio.create_task(Mine().work(), name="forgotten")
    await asyncio.sleep(0)
    assert [name.partition(":")[0] for name in tasks_of(Mine())] == ["forgotten"]
    task.cancel()
    await asyncio.wait([task])
    assert tasks_of(Mine()) == []
