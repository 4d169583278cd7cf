"""What sinks over HTTP share: keys of their sections, one request with its bounded answer, addresses that are none."""

from __future__ import annotations

import io
import zlib
from collections.abc import Mapping
from typing import Annotated, Final, NamedTuple

import aiohttp
import msgspec
import structlog
from msgspec import Meta
from yarl import URL

from vcond.base import tls
from vcond.base.errors import ConfigError
from vcond.delivery.sinks.answers import not_reached

log = structlog.get_logger()

Seconds = Annotated[float, Meta(gt=0, le=3600)]
Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
Url = Annotated[str, Meta(max_length=2048)]
Secret = Annotated[str, Meta(max_length=4096)]

LIMIT: Final = 65_536
"""Bytes of an answer that are read."""
IDLE: Final = 2.0
"""Seconds a connection is kept for the next delivery; the server closes it after 5 (uvicorn), and must not win."""
LOCAL: Final = frozenset({"localhost", "127.0.0.1", "::1"})


class HttpConfig(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Keys that all sinks over HTTP have."""

    ca_file: str = ""
    """A PEM file of the authority that signed the receiver's certificate; empty = the system's."""
    connect_timeout: Seconds = 10
    """Seconds for making the connection."""
    total_timeout: Seconds = 120
    """Seconds for one request, upload and answer."""
    concurrency: Annotated[int, Meta(ge=1, le=32)] = 2
    """Deliveries at the same time."""


class Answer(NamedTuple):
    """Of a receiver: ``body`` is as much of it as was asked for."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class HttpClient:
    """Asks one receiver; owns the connections to it. Follows no redirect, keeps no cookie."""

    def __init__(
        self, config: HttpConfig, at: str, *, shown: URL | None = None, accept: str = "*/*", verify: bool = True
    ) -> None:
        """``shown``: what of the address may be said, where its path is a secret. ``verify``: False = certificates are not
        looked at. Raises ConfigError for the key ``at``.ca_file.
        """
        self._shown = shown
        self._context = tls.client(config.ca_file, f"{at}.ca_file") if verify else False
        self._limit, self._accept = config.concurrency + 1, accept
        self._timeout = aiohttp.ClientTimeout(total=config.total_timeout, connect=config.connect_timeout)
        self._session: aiohttp.ClientSession | None = None

    async def ask(
        self, method: str, url: URL, headers: Mapping[str, str], *, body: bytes | None = None, limit: int = LIMIT
    ) -> Answer:
        """One request and its complete answer, ``limit`` bytes of it. Raises Retry for one that does not come."""
        data = None if body is None else io.BytesIO(body)
        try:
            async with self._open().request(method, url, data=data, headers=headers, allow_redirects=False) as response:
                answer = await _read(response, limit)
                return Answer(response.status, response.headers, _unpacked(answer, response.headers, limit))
        except (aiohttp.ClientError, OSError) as why:  # time-outs are both
            raise not_reached(why, self._shown or url) from why

    async def close(self) -> None:
        """Close all connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=self._context, limit=self._limit, keepalive_timeout=IDLE),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=self._timeout,
                auto_decompress=False,  # a short answer may unpack to a long one
                headers={"Accept": self._accept, "Accept-Encoding": "identity", "User-Agent": "vcond"},
            )
        return self._session


def receiver_url(text: str, sink: str, key: str = "url", *, encoded: bool = False) -> URL:
    """An address of a section: scheme, host, port and path. Raises ConfigError; says that one without TLS is none."""
    at = f"sinks.{sink}.{key}"
    try:
        url = URL(text, encoded=encoded)
    except ValueError:
        raise ConfigError("is not a URL", at) from None
    if url.scheme not in {"http", "https"} or not url.host:
        raise ConfigError("must begin with http:// or https:// and name a host", at)
    if url.user is not None or url.password is not None or url.query_string or url.fragment:
        raise ConfigError("may only have scheme, host, port and path; put a secret into a key of its own", at)
    if url.scheme == "http" and url.host not in LOCAL:
        log.warning("vCons are sent to this sink without TLS", sink=sink, hint="use https")
    return url


def header_safe(value: str, at: str) -> str:
    """A secret that goes into a header. Raises ConfigError for the key ``at``."""
    if not all(33 <= ord(char) < 127 for char in value):
        raise ConfigError("contains a character that is not allowed in an HTTP header", at)
    return value


async def _read(response: aiohttp.ClientResponse, limit: int) -> bytes:
    parts: list[bytes] = []
    left = limit
    while left > 0 and (part := await response.content.read(left)):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def _unpacked(answer: bytes, headers: Mapping[str, str], limit: int) -> bytes:
    """What some proxies pack although nobody asked for it; ``limit`` bytes of it. As it is, when it cannot be unpacked."""
    if headers.get("Content-Encoding", "").strip().lower() not in {"gzip", "x-gzip", "deflate"}:
        return answer
    try:
        return zlib.decompressobj(wbits=47).decompress(answer, limit)  # 47: gzip or zlib, whichever it is
    except zlib.error:
        return answer
