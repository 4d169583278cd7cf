"""Who asks a hub, and whether they may: API tokens, and the keys of ingress lists, compared in constant time."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Iterable
from typing import Final

import structlog
from aiohttp import web

from vcond.config.schema import HubConfig
from vcond.server.hub.answers import NoError

log = structlog.get_logger()

QUIET: Final = 60.0
"""Seconds between two lines of the log about requests that were refused."""


class Guard:
    """Of one configuration."""

    def __init__(self, config: HubConfig) -> None:
        self._header = config.header
        self._tokens = [(name, token.encode()) for name, token in config.tokens.items()]
        self._lists = {name: [key.encode() for key in keys] for name, keys in config.ingress_lists.items()}
        self._refused, self._told = 0, float("-inf")

    def api(self, request: web.Request) -> str:
        """The name of who may do all. Raises NoError."""
        given = self._given(request)
        found = _equal(given, self._tokens)
        if found is None:
            raise self._no(request, "Invalid API Key")
        return f"hub token {found}"

    def ingress(self, request: web.Request, name: str) -> None:
        """Whether they may store in a list. Raises NoError, the same for a list that is not there."""
        given = self._given(request)
        if not given:
            raise self._no(request, "API Key required")
        if _equal(given, ((name, key) for key in self._lists.get(name, ()))) is None:
            raise self._no(request, "Invalid API Key")

    def _given(self, request: web.Request) -> bytes:
        return request.headers.get(self._header, "").encode("utf-8", "backslashreplace")

    def _no(self, request: web.Request, detail: str) -> NoError:
        """Said now and then: whoever tries all doors of the internet must not fill the log."""
        self._refused += 1
        now = asyncio.get_running_loop().time()
        if now - self._told >= QUIET:
            log.warning(
                "the hub refused requests without a good token",
                last_from=request.remote,
                count=self._refused,
                hint="correct `token` of the sink of that machine, or [hub]",
            )
            self._told, self._refused = now, 0
        return NoError(403, detail, "token")


def _equal(given: bytes, known: Iterable[tuple[str, bytes]]) -> str | None:
    """The name of the secret that was given; all are compared, so that the time tells nothing."""
    found = None
    for name, secret in known:
        if hmac.compare_digest(given, secret):
            found = name
    return found
