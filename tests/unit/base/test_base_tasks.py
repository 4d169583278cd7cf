"""What works beside captured calls goes on, whatever happens in it."""

from __future__ import annotations

import asyncio
import itertools

import structlog

from vcond.base.tasks import kept
from vcond.testing.time import run_virtual


def test_what_fails_is_begun_again_later_each_time_and_what_ran_long_soon():
    begun = []

    async def work():
        begun.append(asyncio.get_running_loop().time())
        if len(begun) == 9:
            await asyncio.sleep(3600)
        if len(begun) < 11:
            raise ValueError("+15551230001 said hello")

    async def main():
        with structlog.testing.capture_logs() as logs:
            await kept("work", work)
        assert [line["part"] for line in logs] == ["work"] * 10

    run_virtual(main())
    waits = [after - before for before, after in itertools.pairwise(begun)]
    assert waits[0] <= 1.0
    assert all(30 <= wait <= 60 for wait in waits[6:8])
    assert 3600 <= waits[8] <= 3601
    assert len(begun) == 11


def test_what_is_cancelled_is_over():
    async def main():
        task = asyncio.ensure_future(kept("work", lambda: asyncio.sleep(3600)))
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled()

    run_virtual(main())


def test_what_waited_for_something_that_was_cancelled_is_begun_again():
    """It was over without a word: a task that is cancelled is no failure to the group that it is in."""

    async def main():
        waits_for = asyncio.get_running_loop().create_future()
        waits_for.cancel()
        left = [waits_for]

        async def work():
            if left:
                await left.pop()

        with structlog.testing.capture_logs() as logs:
            await kept("work", work)
        assert [line["part"] for line in logs] == ["work"]

    run_virtual(main())
