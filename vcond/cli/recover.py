"""``vcond recover``: what the daemon does at its start, without any PBX, then leave."""

from __future__ import annotations

import asyncio
import contextlib

from vcond import log
from vcond.config import Loaded
from vcond.daemon import Daemon

LIMIT = 3600.0


def recover(loaded: Loaded) -> dict[str, int]:
    """End, transcribe, build and deliver every journal; how many of what. Raises OperatorError."""
    log.configure(loaded.config.vcond.log_level, loaded.config.vcond.log_format)
    return asyncio.run(_recover(loaded))


async def _recover(loaded: Loaded) -> dict[str, int]:
    daemon = Daemon(loaded)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LIMIT):
            return await daemon.recover_only()
    return {"journals": 0, "undelivered": 1}
