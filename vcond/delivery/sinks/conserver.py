"""The sink ``conserver``: a vcon-server, over its HTTP API.

What its source does, and what running it showed, decides what is done here:

- Documented success is 204 of ``/vcon/external-ingress`` and 201 of ``/vcon``, nothing else.
- ``ingress_lists`` is repeated, never joined by commas: "a,b" would be a list that nobody reads.
- ``/vcon`` without a list, or with one that no chain reads, answers 201 and forgets the vCon after an hour.
- Its file storage drops what is larger than 10,485,760 bytes, and says so to nobody.
- It knows neither gzip nor ``application/vcon``; the same uuid again replaces the vCon and runs its chain again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Annotated, Any, ClassVar, Final, Literal

import msgspec
import structlog
from msgspec import Meta
from yarl import URL

from vcond.base.errors import ConfigError
from vcond.delivery.sinks.answers import no_conserver, not_taken, wrong_echo
from vcond.delivery.sinks.http_client import LIMIT, HttpClient, HttpConfig, Name, Secret, Url, header_safe, receiver_url
from vcond.delivery.sinks.lists import config_rows
from vcond.sdk.sink import Form, OutgoingVcon, Profile, Receipt, Refused, Retry, Seen, bounded
from vcond.storage.names import is_uuid

log = structlog.get_logger()

CONFIG_LIMIT: Final = 4 << 20
"""Bytes of the conserver's configuration that are read."""
QUEUE_PAUSE: Final = 2.0
"""Seconds between two looks at a list that is not empty."""
APART: Final = 60.0
"""Seconds between its clock and ours from which on it is said."""
HUB: Final = "vcond hub"
"""What a hub says with its version: it shows its configuration to nobody."""
NOT_FOUND: Final = {"detail": "vCon not found"}
"""What it says of a vCon that neither its redis nor a storage has; of a wrong path it says something else."""


class ConserverConfig(HttpConfig, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """``[[sinks]]`` with ``type = "conserver"``."""

    url: Url
    """The API's root, such as ``https://conserver.example.com/api``; ``/vcon...`` is added."""
    ingress_lists: Annotated[
        list[Annotated[str, Meta(min_length=1, max_length=256)]], Meta(min_length=1, max_length=32)
    ]
    """Which chains get the vCon. Exactly one for ``external-ingress``. Must be lists that a chain reads."""
    name: Name = "conserver"
    """What you call it: in the outbox, in the log, as a label of metrics. It stays the same as long as vCons wait for it."""
    mode: Literal["external-ingress", "vcon"] = "external-ingress"
    """``external-ingress``: a key for one list, and a wrong list is refused. ``vcon``: the API token, several lists,
    and a wrong list is accepted by the conserver and its vCons are lost after an hour."""
    token: Secret = ""
    """The list's key from ``ingress_auth``, or the API token in mode ``vcon``. By reference: ``${credential:NAME}``."""
    admin_token: Secret = ""
    """The API token: `vcond check` then finds a wrong key and a list that nobody reads, and vCons can be erased and
    looked for. Empty = ``token``."""
    confirm_after: Annotated[float, Meta(ge=0, le=2_678_400)] = 0
    """Seconds after which the conserver is asked whether it still has a vCon; what it lost is sent again, and its chain runs
    again. More than its VCON_REDIS_EXPIRY (3600): 7200. Only where one of its storages can be read. 0 = not asked."""
    header: Annotated[str, Meta(pattern=r"^[A-Za-z0-9-]{1,128}$")] = "x-conserver-api-token"
    """Its name for the token's header (CONSERVER_HEADER_NAME)."""
    tls_verify: bool = True
    """Whether the receiver's certificate is checked. Off, anybody between may read tokens and vCons."""
    max_bytes: Annotated[int, Meta(ge=1024)] = 10_000_000
    """What the receiver, and a proxy before it, takes (nginx: 1 MB unless it is told otherwise). Recordings that make a
    vCon larger are left out of it; what is still larger goes to the dead letters. ``record.inline_limit`` may not be
    more. Raise both when every storage behind the conserver takes more: the 10 MB are those of its file storage."""

    def __repr__(self) -> str:
        """Without the tokens: a configuration may end up in a log line."""
        return f"ConserverConfig(name={self.name!r}, url={self.url!r}, mode={self.mode!r})"


class _Echo(msgspec.Struct):
    """What matters of a stored vCon that is sent back."""

    uuid: str | None = None


class ConserverSink:
    """Delivers by POST; owns its connections."""

    Config: ClassVar[type[ConserverConfig]] = ConserverConfig
    forms: ClassVar[tuple[Form, ...]] = ("plain",)
    profile: ClassVar[Profile] = "conserver"

    def __init__(self, config: ConserverConfig) -> None:
        """Raises ConfigError."""
        self.name = config.name
        self.concurrency = config.concurrency
        self._config = config
        self._base = _base(config)
        if not config.tls_verify:
            log.warning("this sink's certificate is not verified", sink=config.name, hint="use ca_file instead")
        self._client = HttpClient(config, f"sinks.{config.name}", accept="application/json", verify=config.tls_verify)
        self.address = f"{self._base.origin()}{self._base.path.rstrip('/').removesuffix('/api')}"
        """Of the conserver, however its root is written."""
        self.max_bytes = config.max_bytes
        self.confirm_after = config.confirm_after
        if config.mode == "external-ingress":
            self._post = (self._base / "vcon" / "external-ingress").with_query(ingress_list=config.ingress_lists[0])
        else:
            self._post = (self._base / "vcon").with_query([("ingress_lists", each) for each in config.ingress_lists])

    async def deliver(self, record: OutgoingVcon) -> Receipt:
        """POST it. Raises Retry or Refused."""
        if len(record.body) > self._config.max_bytes:
            raise Refused(
                "too-large",
                hint="the conserver's file storage drops more than 10 MB without an error: raise `max_bytes` only "
                "if every storage behind it accepts that size, then: vcond outbox retry",
                asked=False,
            )
        headers = {"Content-Type": "application/json", "Idempotency-Key": record.uuid, **self._key(self._config.token)}
        status, answer_headers, answer = await self._client.ask(
            "POST", self._post, headers, body=record.body, limit=LIMIT + 4 * len(record.body)
        )  # the 201 echo is longer than what was sent: it escapes JSON inside JSON
        if status != (204 if self._config.mode == "external-ingress" else 201):
            raise not_taken(status, answer_headers, answer, self._post)
        if status == 201 and not await asyncio.to_thread(_is_echo, record.uuid, answer):  # megabytes of JSON
            raise wrong_echo(answer, self._post)
        return Receipt(status, str(self._post), bounded(answer) if status != 201 else "")

    async def erase(self, uuid: str) -> Receipt:
        """DELETE, then a GET that must find nothing: DELETE says 204 to anything. Raises Retry or Refused."""
        if not is_uuid(uuid):
            raise Refused("not-a-uuid")
        url = self._base / "vcon" / uuid
        key = self._key(self._config.admin_token or self._config.token)
        status, headers, answer = await self._client.ask("DELETE", url, key)
        if status not in {204, 404}:
            raise not_taken(status, headers, answer, url)
        status, headers, answer = await self._client.ask("GET", url, key)
        if status == 200:
            raise Retry("still-there", status=status)
        if status != 404:
            raise not_taken(status, headers, answer, url)
        return Receipt(status, str(url))

    async def has(self, uuid: str) -> bool:
        """GET it: 200, or 404 in the conserver's own words. Raises Retry or Refused."""
        url = self._base / "vcon" / uuid
        key = self._key(self._config.admin_token or self._config.token)
        status, headers, answer = await self._client.ask("GET", url, key)
        if status == 200 and uuid.encode() in answer:
            return True
        if status == 404 and _json(answer) == NOT_FOUND:
            return False
        raise no_conserver(status, answer, url) if status in {200, 404} else not_taken(status, headers, answer, url)

    async def check(self) -> str:
        """Its version, for which it wants no token. Raises Retry or Refused."""
        return (await self._version())[0]

    async def _version(self) -> tuple[str, Mapping[str, str]]:
        url = self._base / "version"
        status, headers, answer = await self._client.ask("GET", url, {})
        if status != 200:
            raise not_taken(status, headers, answer, url)
        if not isinstance(_json(answer), dict):
            raise no_conserver(status, answer, url)
        return f"{self._base} answers: {bounded(answer)[:200]}", headers

    async def look(self) -> list[Seen]:
        """What can be found of key and lists without handing anything over. Raises Retry or Refused."""
        said, headers = await self._version()
        found = [Seen("ok", said), *_clocks(headers, datetime.now(UTC))]
        config = self._config
        if config.mode == "vcon":
            found.append(await self._api_token(config.token, "token"))
        token = config.admin_token or (config.token if config.mode == "vcon" else "")
        if config.mode == "vcon" and found[-1].level != "ok" and not config.admin_token:
            return found
        url = self._base / "config"
        if token or config.mode == "vcon":
            status, _, answer = await self._client.ask("GET", url, self._key(token), limit=CONFIG_LIMIT)
            told = _json(answer) if status == 200 else None
            if isinstance(told, dict):
                return [*found, *config_rows(told, config.ingress_lists, config.token, config.mode)]
            if status in {401, 403}:
                name = "admin_token" if config.admin_token else "token"
                found.append(Seen("error", f"the conserver refuses `{name}` ({status})", f"correct `{name}`"))
            elif status == 404 and HUB in said:
                found.append(await self._api_token(token, "admin_token" if config.admin_token else "token"))
            else:
                found.append(Seen("warning", f"its lists cannot be read: {url} answers {status}"))
        return [*found, *[await self._queue(name) for name in config.ingress_lists]]

    async def _api_token(self, token: str, name: str) -> Seen:
        """The API's token, tried with a question that changes nothing."""
        url = (self._base / "vcon" / "count").with_query(egress_list="vcond-check")
        status, headers, answer = await self._client.ask("GET", url, self._key(token))
        if status in {200, 204}:
            return Seen("ok", f"it takes `{name}`")
        if status in {401, 403}:
            fix = f"correct `{name}`: one of CONSERVER_API_TOKEN of the conserver"
            return Seen("error", f"the conserver refuses `{name}` ({status})", fix)
        return Seen("warning", f"`{name}` cannot be tested: {not_taken(status, headers, answer, url).reason}")

    async def _queue(self, name: str) -> Seen:
        """Whether somebody reads a list, as far as its length shows; for that it wants no token."""
        url = (self._base / "stats" / "queue").with_query(list_name=name)
        depth = 0
        for pause in (0.0, QUEUE_PAUSE):
            await asyncio.sleep(pause)
            status, _, answer = await self._client.ask("GET", url, {})
            told = _json(answer) if status == 200 else None
            length = told.get("depth") if isinstance(told, dict) else None
            if not isinstance(length, int):
                return Seen("warning", f"list {name}: its length cannot be read ({status})")
            before, depth = depth, length
            if depth == 0 or (pause and depth < before):
                hint = "" if self._config.mode == "vcon" else "; its key was not tested (set `admin_token` to test it)"
                return Seen("ok", f"list {name}: {depth} vCons wait in it{hint}")
        fix = "check that a chain reads this list and the worker runs; the conserver deletes what waits after an hour"
        return Seen("warning", f"list {name}: {depth} vCons wait in it, and nothing reads them", fix)

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()

    def _key(self, token: str) -> dict[str, str]:
        return {self._config.header: token} if token else {}


def _base(config: ConserverConfig) -> URL:
    at = f"sinks.{config.name}"
    url = receiver_url(config.url, config.name)
    if url.path.rstrip("/").endswith(("/vcon", "/vcons", "/external-ingress")):
        raise ConfigError("must be the root of the API, such as http://host:8000/api; vcond adds /vcon", f"{at}.url")
    if config.mode == "external-ingress" and len(config.ingress_lists) != 1:
        raise ConfigError("external-ingress needs exactly one list; use one sink for each list", f"{at}.ingress_lists")
    if any("," in each for each in config.ingress_lists):
        raise ConfigError("a name contains a comma: list the names one by one", f"{at}.ingress_lists")
    for key in ("token", "admin_token"):
        header_safe(getattr(config, key), f"{at}.{key}")
    if config.mode == "external-ingress" and not config.token:
        raise ConfigError("external-ingress needs the key of its list (ingress_auth of the conserver)", f"{at}.token")
    if config.confirm_after and config.mode == "external-ingress" and not config.admin_token:
        raise ConfigError("asking what the conserver has needs the API's token", f"{at}.admin_token")
    return url


def _clocks(headers: Mapping[str, str], now: datetime) -> list[Seen]:
    """Whether its clock and ours are apart, by the header ``Date`` (RFC 9110 section 6.6.1)."""
    try:
        apart = (parsedate_to_datetime(headers.get("Date", "")) - now).total_seconds()
    except (TypeError, ValueError, OverflowError):
        return []
    if abs(apart) < APART:
        return []
    which = "ahead of" if apart < 0 else "behind"
    fix = "let both be kept by NTP: timedatectl set-ntp true; the times in vCons are this machine's"
    return [Seen("warning", f"this machine's clock is {abs(apart):.0f} s {which} the conserver's", fix)]


def _json(answer: bytes) -> Any:
    try:
        return msgspec.json.decode(answer)
    except (ValueError, RecursionError):
        return None


def _is_echo(uuid: str, answer: bytes) -> bool:
    """Of ``POST /vcon``: what was stored must be what was sent."""
    try:
        return msgspec.json.decode(answer, type=_Echo).uuid == uuid
    except (ValueError, RecursionError):
        return False
