"""What a daemon waits for while it starts and stops."""

from __future__ import annotations

import asyncio

import pytest

from vcond.app.lifecycle import Lifecycle


async def test_what_is_waited_for_ends_with_who_waits() -> None:
    begun, ended = asyncio.Event(), []

    async def job() -> None:
        try:
            begun.set()
            await asyncio.Event().wait()
        finally:
            ended.append(1)

    waiting = asyncio.ensure_future(Lifecycle._first_of(object.__new__(Lifecycle), job(), job(), limit=60))
    await begun.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert ended == [1, 1]
