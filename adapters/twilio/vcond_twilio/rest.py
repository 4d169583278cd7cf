"""Twilio's REST API, as far as vcond asks it: reads a call, starts and stops a stream of one.

Source: Twilio, "Call resource" and "Stream resource", API version 2010-04-01. Its errors are JSON with a ``code``
("Error and Warning Dictionary"); their texts may hold numbers and are not kept.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping
from types import TracebackType
from typing import Final, Self, TypeVar
from urllib.parse import quote

import aiohttp
import msgspec
from yarl import URL

from vcond.sdk.contract import ConfigError, PeerError, ProtocolError, RefusedError, UnreachableError
from vcond.sdk.reconnect import pause
from vcond_twilio.config import TwilioConfig

T = TypeVar("T")

AT_ONCE: Final = 16
"""Requests on their way at the same time; Twilio refuses an account that has too many (429, error 20429)."""
ONCE: Final = 5.0
"""Seconds for one try."""
ALL: Final = 15.0
"""Seconds for all tries of a request, their pauses too."""
TRIES: Final = 4
LATER: Final = frozenset({0, 429, 500, 502, 503, 504})
"""Answers after which the same request may be taken; 0 = none came."""
LARGEST: Final = 1 << 16
"""Bytes of an answer; a call is some 2,000."""
OVER: Final = frozenset({"completed", "busy", "no-answer", "canceled", "failed"})


class CallResource(msgspec.Struct, frozen=True):
    """A call as Twilio knows it. What it does not know is null."""

    status: str
    """``queued``, ``ringing``, ``in-progress``, or one of ``OVER``."""
    from_: str | None = msgspec.field(default=None, name="from")
    to: str | None = None
    direction: str | None = None
    """``inbound``, ``outbound-api``, ``outbound-dial``."""
    answered_by: str | None = None
    """``human``, ``machine_start`` and others, where answering machines are detected."""
    caller_name: str | None = None
    duration: str | int | None = None
    """Whole seconds, once it is over."""

    @property
    def over(self) -> bool:
        """Whether the call has ended."""
        return self.status in OVER


class StreamResource(msgspec.Struct, frozen=True):
    """A stream that was started."""

    sid: str


class _Error(msgspec.Struct):
    code: int = 0


class TwilioRefusedError(RefusedError):
    """An answer that says no."""

    def __init__(self, what: str, status: int, code: int) -> None:
        super().__init__(f"{what}: HTTP {status}, Twilio error {code}" if code else f"{what}: HTTP {status}")
        self.status = status


class Rest:
    """Requests about one account. Each raises PeerError, or ConfigError when Twilio does not know who asks."""

    def __init__(self, config: TwilioConfig) -> None:
        self._base = f"{config.api_url.rstrip('/')}/2010-04-01/Accounts/{config.account_sid}"
        self._login = "Basic " + base64.b64encode(":".join(config.login()).encode()).decode()
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=ONCE),
            headers={"Authorization": self._login, "Accept": "application/json"},
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def account(self) -> None:
        """Ask about the account itself: whether Twilio takes who asks."""
        await self._ask("GET", ".json", "account")

    async def call(self, sid: str) -> CallResource:
        """Read a call."""
        return _read(await self._ask("GET", f"/Calls/{_id(sid)}.json", "call"), CallResource)

    async def start(self, call: str, url: str, parameters: Mapping[str, str]) -> str:
        """Stream both tracks of a call that goes on to ``url``. Returns the stream's name.

        A try whose answer was lost may have started one too: of two streams of a call the later one counts.
        """
        form = {"Url": url, "Track": "both_tracks"}
        for number, (name, value) in enumerate(parameters.items(), 1):
            form |= {f"Parameter{number}.Name": name, f"Parameter{number}.Value": value}
        return _read(
            await self._ask("POST", f"/Calls/{_id(call)}/Streams.json", "start of a stream", form), StreamResource
        ).sid

    async def stop(self, call: str, stream: str) -> bool:
        """Stop a stream; always True. One that is over already is fine."""
        try:
            await self._ask(
                "POST", f"/Calls/{_id(call)}/Streams/{_id(stream)}.json", "stop of a stream", {"Status": "stopped"}
            )
        except TwilioRefusedError as why:
            if why.status != 404:
                raise
        return True

    async def _ask(self, method: str, path: str, what: str, form: Mapping[str, str] | None = None) -> bytes:
        """One request, tried again where that may help and as soon as Twilio allows it."""
        now = asyncio.get_running_loop().time
        until, failures = now() + ALL, 0
        while True:
            failures += 1
            try:
                async with asyncio.timeout_at(until):
                    status, body, later = await self._once(method, path, form)
                if status < 300:
                    return body
                failed: PeerError = TwilioRefusedError(what, status, _code(body))
            except (aiohttp.ClientError, TimeoutError, OSError) as why:
                status, later, failed = 0, 0.0, UnreachableError(f"{what}: {type(why).__name__}")
            if status in {401, 403}:
                raise ConfigError(f"{failed}: check account_sid and what it logs in with", "adapters.twilio")
            wait = max(later, pause(failures - 1))
            if status not in LATER or failures == TRIES or now() + wait > until:
                raise failed
            await asyncio.sleep(wait)

    async def _once(self, method: str, path: str, form: Mapping[str, str] | None) -> tuple[int, bytes, float]:
        """Status, body, and the seconds that Twilio wants to be left alone."""
        assert self._session is not None
        async with (
            self._slots,
            self._session.request(
                method, URL(self._base + path, encoded=True), data=form, allow_redirects=False
            ) as answer,
        ):
            body = bytearray()
            async for chunk in answer.content.iter_any():
                body += chunk
                if len(body) > LARGEST:
                    raise ProtocolError("answer is too large")
            wait = answer.headers.get("Retry-After", "")
            return answer.status, bytes(body), float(wait) if wait.isascii() and wait.isdigit() else 0.0


def _id(name: str) -> str:
    """A name from outside, as one segment of a path."""
    return quote(name, safe="")


def _read(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ProtocolError("answer of Twilio's REST API is not what it documents") from None


def _code(body: bytes) -> int:
    """Twilio's number of an error; 0 = none was told."""
    try:
        return msgspec.json.decode(body, type=_Error).code
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return 0
