"""A sink as a third party would write it: each vCon is PUT to a web server that keeps files (WebDAV, an object store)."""

from __future__ import annotations

import io
from typing import Annotated, ClassVar

import aiohttp
import msgspec
from msgspec import Meta

from vcond.base.errors import ConfigError
from vcond.sdk.sink import Form, OutgoingVcon, Profile, Receipt, Refused, Retry, Seen, bounded

FOR_GOOD = {400, 413, 415, 422}
"""Answers that are about the vCon. All others may pass, or somebody sets them right."""
HELD = {401, 403, 404, 405}
"""Somebody must set the token or the address right."""
BUSY = {429, 502, 503, 504}
"""About the server, whatever it is sent."""


class HttpPutConfig(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """``[[sinks]]`` with ``type = "httpput"``."""

    url: str
    """The folder's; ``/<uuid>.json`` is added."""
    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]{1,64}$")] = "httpput"
    token: str = ""
    """By reference: ``${credential:NAME}``."""
    timeout: Annotated[float, Meta(gt=0, le=3600)] = 60
    concurrency: Annotated[int, Meta(ge=1, le=32)] = 2


class HttpPutSink:
    """PUT is idempotent: the same vCon again is the same file again."""

    Config: ClassVar[type[HttpPutConfig]] = HttpPutConfig
    forms: ClassVar[tuple[Form, ...]] = ("plain", "signed", "encrypted")
    profile: ClassVar[Profile] = "core"
    max_bytes = 0

    def __init__(self, config: HttpPutConfig) -> None:
        if not config.url.startswith(("http://", "https://")):
            raise ConfigError("must begin with http:// or https://", f"sinks.{config.name}.url")
        self.name, self.concurrency, self.address = config.name, config.concurrency, config.url.rstrip("/")
        self._config = config
        self._session: aiohttp.ClientSession | None = None

    async def deliver(self, record: OutgoingVcon) -> Receipt:
        return await self._ask("PUT", f"{self.address}/{record.uuid}.json", {200, 201, 204}, record.body)

    async def erase(self, uuid: str) -> Receipt:
        return await self._ask("DELETE", f"{self.address}/{uuid}.json", {200, 204, 404})

    async def look(self) -> list[Seen]:
        await self._ask("OPTIONS", self.address, {200, 204})
        return [Seen("ok", f"{self.address} answers")]

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _ask(self, method: str, url: str, good: set[int], body: bytes | None = None) -> Receipt:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=self._config.timeout))
        headers = {"Authorization": f"Bearer {self._config.token}"} if self._config.token else {}
        try:
            data = None if body is None else io.BytesIO(body)  # bytes as they are would block the loop
            async with self._session.request(method, url, data=data, headers=headers) as response:
                status, answer = response.status, bounded(await response.content.read(2048))
        except (aiohttp.ClientError, OSError) as why:  # time-outs are both
            hint = "is the server running, and reachable from here?"
            raise Retry("unreachable", whole_sink=True, detail=f"no answer from {self.address}", hint=hint) from why
        if status in good:
            return Receipt(status, url, answer)
        if status in FOR_GOOD:
            raise Refused(f"refused:{status}", status=status, answer=answer, hint="see the server's log")
        hint = "correct `token` or `url`" if status in HELD else ""
        raise Retry(
            f"http:{status}", status=status, answer=answer, whole_sink=status in BUSY, held=status in HELD, hint=hint
        )
