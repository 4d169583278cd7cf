"""The sink ``webhook``: each vCon is POSTed to a program of yours, signed so that it knows who sent it, and when.

Headers and signature are those of Standard Webhooks 1.0 (``webhook-id``, ``webhook-timestamp``, ``webhook-signature``),
for which most languages have a library: HMAC-SHA256, base64, of id, time in seconds and body, joined by full stops.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import time
from collections.abc import Callable
from typing import Annotated, ClassVar, Final, Literal

from msgspec import Meta
from yarl import URL

from vcond.base.errors import ConfigError
from vcond.delivery.sinks.answers import LATER
from vcond.delivery.sinks.http_answers import not_done
from vcond.delivery.sinks.http_client import HttpClient, HttpConfig, Name, Secret, Url, header_safe, receiver_url
from vcond.delivery.sinks.places import OF_URL, PROBE, Places
from vcond.sdk.sink import Form, OutgoingVcon, Profile, Receipt, Refused, Retry, Seen, bounded

PREFIX: Final = "whsec_"
"""Before a secret, as Standard Webhooks writes it."""
LEAST: Final = 24
"""Bytes of a secret (Standard Webhooks: 24 to 64)."""

NOT_NOW: Final = LATER | {409}
"""409: an earlier try of the same Idempotency-Key is not done yet (draft-ietf-httpapi-idempotency-key-header-07 section 2.7)."""


class WebhookConfig(HttpConfig, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """``[[sinks]]`` with ``type = "webhook"``."""

    url: Url
    """Where vCons are POSTed. Only scheme, host and port of it are shown and logged."""
    secret: Secret
    """What bodies are signed with: 24 bytes or more in base64 (``openssl rand -base64 32``), with or without ``whsec_``.
    By reference: ``${credential:NAME}``."""
    token: Secret = ""
    """Sent as ``Authorization: Bearer``, for gateways that want one. By reference. Empty = none."""
    erase_url: Url = ""
    """What DELETE is sent to when a vCon is to be forgotten, with ``{uuid}`` in it. Empty = the receiver cannot be asked to."""
    name: Name = "webhook"
    """What you call it: in the outbox, in the log, as a label of metrics. It stays the same as long as vCons wait for it."""
    max_bytes: Annotated[int, Meta(ge=0)] = 0
    """What the receiver takes; larger vCons become dead letters without being sent. 0 = not known."""

    def __repr__(self) -> str:
        """Without secrets: a configuration may end up in a log line."""
        return f"WebhookConfig(name={self.name!r})"


class WebhookSink:
    """Delivers by POST; 2xx means that the receiver has it on its disk."""

    Config: ClassVar[type[WebhookConfig]] = WebhookConfig
    forms: ClassVar[tuple[Form, ...]] = ("plain", "signed", "encrypted")
    profile: ClassVar[Profile] = "core"
    address: str = ""

    def __init__(self, config: WebhookConfig, *, now: Callable[[], float] = time.time) -> None:
        """``now``: seconds since 1970. Raises ConfigError."""
        at = f"sinks.{config.name}"
        self.name, self.concurrency, self.max_bytes = config.name, config.concurrency, config.max_bytes
        self._url = receiver_url(config.url, config.name)
        self._shown = self._url.origin()
        self._key = _secret(config.secret, f"{at}.secret")
        self._token = header_safe(config.token, f"{at}.token")
        self._erase = Places(config.erase_url, f"{at}.erase_url", allowed=OF_URL) if config.erase_url else None
        if self._erase is not None:
            receiver_url(self._erase.of(PROBE), config.name, "erase_url")
        self._client = HttpClient(config, at, shown=self._shown)
        self._now = now

    async def deliver(self, record: OutgoingVcon) -> Receipt:
        """POST it. Raises Retry or Refused."""
        if 0 < self.max_bytes < len(record.body):
            raise Refused(
                "too-large", hint="raise `max_bytes` if the receiver takes more, then: vcond outbox retry", asked=False
            )
        at = str(int(self._now()))
        signature = await asyncio.to_thread(self._signature, record.key, at, record.body)  # of megabytes
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": record.key,
            "webhook-id": record.key,
            "webhook-timestamp": at,
            "webhook-signature": f"v1,{signature}",
            **self._bearer(),
        }
        answer = await self._client.ask("POST", self._url, headers, body=record.body)
        if answer.status == 202 or not 200 <= answer.status < 300:
            raise not_done(answer, self._shown, "secret", NOT_NOW)
        return Receipt(answer.status, str(self._shown), bounded(answer.body))

    async def erase(self, uuid: str) -> Receipt:
        """DELETE it, signed like a delivery without a body. Raises Retry or Refused."""
        if self._erase is None:
            hint = "this receiver cannot be asked to forget: delete it there, or set `erase_url`"
            raise Refused("cannot-erase", hint=hint, asked=False)
        at = str(int(self._now()))
        key = f"{uuid}.erase"
        headers = {
            "webhook-id": key,
            "webhook-timestamp": at,
            "webhook-signature": f"v1,{self._signature(key, at, b'')}",
            **self._bearer(),
        }
        answer = await self._client.ask("DELETE", URL(self._erase.of(uuid)), headers)
        if answer.status not in {200, 204, 404, 410}:
            raise not_done(answer, self._shown, "secret", NOT_NOW)
        return Receipt(answer.status, str(self._shown), bounded(answer.body))

    async def look(self) -> list[Seen]:
        """Whether something answers there, by OPTIONS: a receiver takes nothing by that. Raises Retry or Refused."""
        answer = await self._client.ask("OPTIONS", self._url, self._bearer())
        if answer.status in {401, 403, 404, 410} or answer.status >= 500 or 300 <= answer.status < 400:
            why = not_done(answer, self._shown, "token")
            level: Literal["error", "warning"] = "error" if isinstance(why, Retry) and why.held else "warning"
            return [Seen(level, getattr(why, "detail", "") or why.reason, why.hint or "look at the receiver")]
        return [Seen("ok", f"{self._shown} answers; whether it takes the signature only a delivery shows")]

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()

    def _bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token}"} if self._token else {}

    def _signature(self, key: str, at: str, body: bytes) -> str:
        made = hmac.new(self._key, f"{key}.{at}.".encode(), "sha256")
        made.update(body)
        return base64.b64encode(made.digest()).decode()


def _secret(text: str, at: str) -> bytes:
    """Raises ConfigError for the key ``at``."""
    try:
        key = base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise ConfigError("is not base64: make one with: openssl rand -base64 32", at) from None
    if len(key) < LEAST:
        raise ConfigError(f"has less than {LEAST} bytes: make one with: openssl rand -base64 32", at)
    return key
