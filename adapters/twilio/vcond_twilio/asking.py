"""Requests to Twilio's REST API of which a failure is counted, and said now and then."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Final, TypeVar

from vcond.sdk.contract import SECOND, AdapterHost, ConfigError, Instant, PeerError

T = TypeVar("T")
QUIET: Final = 60 * SECOND
"""Between two lines of the log about an API that does not answer, ns."""


class Asking:
    """Asks, for calls that cannot do anything about a failure."""

    def __init__(self, host: AdapterHost) -> None:
        self._host = host
        self._quiet = Instant(0)

    async def ask(self, request: Coroutine[Any, Any, T]) -> T | None:
        """What Twilio answers; None when it does not."""
        try:
            return await request
        except ConfigError as why:
            self._failed("login", "Twilio's REST API refuses the login", why)
        except PeerError as why:
            self._failed("failed", "request to Twilio's REST API failed", why)
        return None

    def _failed(self, reason: str, text: str, why: Exception) -> None:
        """Count it, and say it now and then: each call that is over asks."""
        self._host.dropped("rest", reason)
        now = self._host.clock.now()
        if now >= self._quiet:
            self._quiet = Instant(now + QUIET)
            self._host.log.warning(text, error=str(why), hint="run: vcond check")
