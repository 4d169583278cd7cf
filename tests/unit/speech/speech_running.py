"""A ``Speech`` while a test runs. Loaded by path."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from vcond.speech.dispatcher import Speech


@contextlib.asynccontextmanager
async def running(speech: Speech) -> AsyncIterator[Speech]:
    """It runs, and is cancelled at the end, as the daemon does it."""
    task = asyncio.create_task(speech.run())
    try:
        yield speech
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
