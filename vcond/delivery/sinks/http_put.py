"""The sink ``http_put``: each vCon is PUT to an address of its own: WebDAV, a web server that keeps files, a gateway."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Annotated, ClassVar, Final

from msgspec import Meta
from yarl import URL

from vcond.base.errors import ConfigError
from vcond.delivery.sinks.http_answers import not_done
from vcond.delivery.sinks.http_client import (
    Answer,
    HttpClient,
    HttpConfig,
    Name,
    Secret,
    Url,
    header_safe,
    receiver_url,
)
from vcond.delivery.sinks.places import OF_URL, PROBE, Places
from vcond.sdk.sink import MEDIA_TYPE, Form, OutgoingVcon, Profile, Receipt, Refused, Retry, Seen, bounded

GONE: Final = frozenset({404, 410})


class HttpPutConfig(HttpConfig, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """``[[sinks]]`` with ``type = "http_put"``."""

    url: Url
    """The address of a vCon, with ``{uuid}`` in it, and ``{date}`` (YYYY/MM/DD, the UTC day the call began) where folders need
    not be made beforehand."""
    token: Secret = ""
    """Sent as ``Authorization: Bearer``. By reference: ``${credential:NAME}``. Empty = none."""
    user: Annotated[str, Meta(max_length=256)] = ""
    """For a server that wants user and password (RFC 7617) instead of a token."""
    password: Secret = ""
    """Of ``user``. By reference."""
    name: Name = "http_put"
    """What you call it: in the outbox, in the log, as a label of metrics. It stays the same as long as vCons wait for it."""
    max_bytes: Annotated[int, Meta(ge=0)] = 0
    """What the receiver takes; larger vCons become dead letters without being sent. 0 = not known."""

    def __repr__(self) -> str:
        """Without secrets: a configuration may end up in a log line."""
        return f"HttpPutConfig(name={self.name!r}, url={self.url!r})"


class HttpPutSink:
    """Delivers by PUT: the same vCon again is the same file again. Its SHA-512 goes with it, for servers that check it."""

    Config: ClassVar[type[HttpPutConfig]] = HttpPutConfig
    forms: ClassVar[tuple[Form, ...]] = ("plain", "signed", "encrypted")
    profile: ClassVar[Profile] = "core"

    def __init__(self, config: HttpPutConfig) -> None:
        """Raises ConfigError."""
        at = f"sinks.{config.name}"
        self.name, self.concurrency, self.max_bytes = config.name, config.concurrency, config.max_bytes
        self._places = Places(config.url, f"{at}.url", allowed=OF_URL)
        receiver_url(self._places.of(PROBE), config.name)
        self.address = config.url
        self._headers = _authorization(config, at)
        self._secret = "password" if config.user else "token"
        self._client = HttpClient(config, at)

    async def deliver(self, record: OutgoingVcon) -> Receipt:
        """PUT it. Raises Retry or Refused."""
        if 0 < self.max_bytes < len(record.body):
            raise Refused(
                "too-large", hint="raise `max_bytes` if the receiver takes more, then: vcond outbox retry", asked=False
            )
        url = URL(self._places.of(record.uuid))
        digest = base64.b64encode(bytes.fromhex(record.sha512)).decode()
        headers = {"Content-Type": MEDIA_TYPE, "Repr-Digest": f"sha-512=:{digest}:"}  # RFC 9530
        answer = await self._ask("PUT", url, headers, record.body)
        if answer.status not in {200, 201, 204}:
            raise not_done(answer, url, self._secret)
        return Receipt(answer.status, str(url), bounded(answer.body))

    async def erase(self, uuid: str) -> Receipt:
        """DELETE, then a GET of its head that must find nothing. Raises Retry or Refused."""
        url = URL(self._places.of(uuid))
        answer = await self._ask("DELETE", url)
        if answer.status not in {200, 204, *GONE}:
            raise not_done(answer, url, self._secret)
        answer = await self._ask("HEAD", url)
        if answer.status == 200:
            raise Retry(
                "still-there", status=200, hint="the server keeps what it was told to delete: look at its settings"
            )
        if answer.status not in GONE:
            raise not_done(answer, url, self._secret)
        return Receipt(answer.status, str(url))

    async def look(self) -> list[Seen]:
        """Whether the server lets us look at an address where nothing is. Raises Retry or Refused."""
        url = URL(self._places.of(PROBE))
        answer = await self._ask("HEAD", url)
        if answer.status in GONE:
            return [Seen("ok", f"{url.origin()} answers; whether it may be written there only a delivery shows")]
        if answer.status == 200:
            fix = "correct `url`: a server that has everything keeps nothing"
            return [Seen("error", f"{url.origin()} says that it has a vCon that there is not", fix)]
        raise not_done(answer, url, self._secret)

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()

    async def _ask(
        self, method: str, url: URL, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Answer:
        return await self._client.ask(method, url, {**self._headers, **(headers or {})}, body=body)


def _authorization(config: HttpPutConfig, at: str) -> dict[str, str]:
    """Raises ConfigError."""
    if config.token and config.user:
        raise ConfigError("either `token`, or `user` and `password`", f"{at}.token")
    if config.user:
        if ":" in config.user:
            raise ConfigError("must not have a colon (RFC 7617)", f"{at}.user")
        both = base64.b64encode(f"{config.user}:{config.password}".encode()).decode()
        return {"Authorization": f"Basic {both}"}
    return {"Authorization": f"Bearer {header_safe(config.token, f'{at}.token')}"} if config.token else {}
