"""Staying attached to one system: attach, explain why that failed or ended, try again."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final, NoReturn

from vcond.base.backoff import Backoff
from vcond.sdk.contract import AdapterHost, ConfigError, PeerError, ProtocolError

SHORTEST: Final = 0.5
"""Seconds before attaching again, the first time."""
LONGEST: Final = 30.0
"""Seconds before attaching again at most; each failure doubles them."""
PAUSES: Final = Backoff(SHORTEST, LONGEST)
SETTLED: Final = 10.0
"""Seconds that an attachment must last for the next pause to be the shortest again."""


class Reconnecting:
    """Attaches to ``system`` (its name, for the log) for ever; every failure is told to the host and logged."""

    def __init__(self, host: AdapterHost, system: str) -> None:
        self._host = host
        self._failed, self._refused = f"not attached to {system}", f"not attached: {system} refuses vcond"

    async def keep(
        self, attach: Callable[[], Awaitable[object]], lost: Callable[[], None], mistake: Callable[[Exception], None]
    ) -> NoReturn:
        """Attach for ever. ``attach`` attaches and serves until it raises; ``lost`` is told whenever it did.

        That it is attached, ``attach`` says itself (``host.attached(True)``); that it is not any more is said here.
        PeerError and ConfigError are explained. Any other exception is a mistake of ours: ``mistake`` is told, and all
        is tried again, as what is recorded then goes on.
        """
        failures = 0
        while True:
            began = asyncio.get_running_loop().time()
            try:
                await attach()
            except (PeerError, ConfigError) as why:
                failure: Exception = why
            except Exception as why:  # noqa: BLE001 - see above
                mistake(why)
                failure = ProtocolError("internal error, see the log")
            else:
                failure = ProtocolError("the connection ended unexpectedly")
            lost()
            failures = 0 if asyncio.get_running_loop().time() - began > SETTLED else failures + 1
            await asyncio.sleep(self.explain(failure, failures))

    def explain(self, why: Exception, failures: int) -> float:
        """Say why we are not attached; how many seconds to wait before the next try."""
        self._host.attached(False, str(why))
        if isinstance(why, ConfigError):
            self._host.log.error(self._refused, error=str(why), hint="run: vcond check")
            return LONGEST
        again = pause(failures)
        self._host.log.warning(self._failed, error=str(why), again_in=round(again, 1), hint="run: vcond check")
        return again


def pause(failures: int) -> float:
    """Seconds to wait after so many failures in a row, with jitter: many vconds must not come in step."""
    return PAUSES.wait(failures + 1, random.uniform)
