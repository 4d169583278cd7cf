"""The texts of a call, as far as they come in time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from typing import Protocol


class Settling(Protocol):
    """What is used of speech."""

    @property
    def ready(self) -> asyncio.Event:
        """Set when texts can be had, or never will be."""

    async def settled(self, call: str, timeout: float) -> bool:  # noqa: ASYNC109 - a deadline that returns, not raises
        """Whether every utterance of a call has its text, or never will, within so many seconds."""

    def forget(self, call: str) -> int:
        """Nobody wants the texts of a call any more."""


async def all_texts(speech: Settling, calls: Iterable[str], seconds: float) -> bool:
    """Wait for the texts of these calls, so many seconds in all; whether all are there."""
    deadline = asyncio.get_running_loop().time() + seconds
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout_at(deadline):
            await speech.ready.wait()
    complete = True
    for uuid in calls:
        left = deadline - asyncio.get_running_loop().time()
        if not await speech.settled(uuid, max(0.0, left)):
            speech.forget(uuid)
            complete = False
    return complete
