"""One trace a call, for OpenTelemetry: OTLP over HTTP as JSON (OTLP 1.x, "JSON Protobuf Encoding").

``call``: from its begin until its vCon is made. Below it ``ringing``, ``conversation``, ``record`` (texts are waited for, the vCon is
made) and ``delivery`` (until every sink has it). A trace's id is the call's uuid. Only times, counts and fixed words leave: nothing that was
said or dialled, no name and no number.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import aiohttp
import structlog

from vcond import __version__
from vcond.base import metrics, tls
from vcond.base.backoff import Backoff
from vcond.base.time import Instant
from vcond.call.state import Call

log = structlog.get_logger()

MAX_SPANS: Final = 4096
"""That wait for a receiver; older ones are dropped, and counted."""
MAX_CALLS: Final = 10_000
"""Calls whose delivery is waited for."""
BATCH: Final = 512
GATHER: Final = 1.0
"""Seconds that spans are gathered for one request."""
TIMEOUT: Final = 10.0
AGAIN: Final = Backoff(1.0, 60.0)
_AGAIN: Final = frozenset({408, 429, *range(500, 600)})
"""Answers after which the same spans are sent again; of others they are dropped."""

Span = dict[str, Any]


class Traces:
    """Spans of calls, and the way to their receiver. Nobody waits for it."""

    def __init__(self, url: str, name: str, now: Callable[[], Instant]) -> None:
        """``name``: this edge's. Raises ConfigError when the machine's authorities cannot be read."""
        self._url, self._now = url, now
        self._resource = attributes({"service.name": "vcond", "service.version": __version__, "host.name": name})
        self._tls = tls.client("", "ops.traces") if url.startswith("https:") else None
        self._spans: deque[Span] = deque()
        self._made: OrderedDict[str, Instant] = OrderedDict()
        self._some = asyncio.Event()
        self._failures = 0
        """In a row."""

    def made(self, call: Call, codes: Sequence[str]) -> None:
        """A call's vCon is made. ``codes``: of what is missing in it."""
        now = self._now()
        ended = call.ended if call.ended is not None else call.last
        told = {
            "vcond.adapter": call.adapter,
            "vcond.outcome": "answered" if call.disposition is None else call.disposition.value,
            "vcond.parties": len(call.parties),
            "vcond.tracks": len(call.tracks),
            "vcond.findings": list(codes),
        }
        self._add(span(call.uuid, "call", call.opened, now, told))
        answered = ended if call.answered is None else call.answered
        self._add(span(call.uuid, "ringing", call.opened, answered))
        if call.answered is not None:
            self._add(span(call.uuid, "conversation", call.answered, ended))
        self._add(span(call.uuid, "record", ended, now))
        self._made[call.uuid] = now
        if len(self._made) > MAX_CALLS:
            self._made.popitem(last=False)

    def delivered(self, uuid: str) -> None:
        """Every sink has a vCon; of one that was made before the start, and of an amended one, nothing is told."""
        made = self._made.pop(uuid, None)
        if made is not None:
            self._add(span(uuid, "delivery", made, self._now()))

    async def run(self) -> None:
        """Send until cancelled. What cannot be sent is tried again, and dropped when too much waits."""
        connector = aiohttp.TCPConnector(ssl=self._tls if self._tls is not None else True)
        timeout = aiohttp.ClientTimeout(total=TIMEOUT)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            while True:
                why = await self._send_all(session)
                self._failures += 1
                if self._failures == 1:
                    log.warning("cannot send traces, retrying", error=why, hint="check ops.traces and its receiver")
                await asyncio.sleep(AGAIN.wait(self._failures))

    async def _send_all(self, session: aiohttp.ClientSession) -> str:
        """Until something fails: why."""
        while True:
            await self._some.wait()
            await asyncio.sleep(GATHER)
            while self._spans:
                batch = list(itertools.islice(self._spans, BATCH))
                try:
                    async with session.post(self._url, json=self._request(batch), allow_redirects=False) as answer:
                        status = answer.status
                except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as why:
                    return type(why).__name__  # UnicodeError: a host that can have no name
                if status in _AGAIN:
                    return f"http:{status}"
                self._failures = 0
                if status != 200:
                    log.warning("traces refused by their receiver; dropped", status=status, hint="check ops.traces")
                    metrics.dropped_total.labels("span", "refused").inc(len(batch))
                for one in batch:
                    if self._spans and self._spans[0] is one:  # it was not dropped meanwhile
                        self._spans.popleft()
            self._some.clear()

    def _add(self, one: Span) -> None:
        if len(self._spans) >= MAX_SPANS:
            self._spans.popleft()
            metrics.dropped_total.labels("span", "not-read").inc()
        self._spans.append(one)
        self._some.set()

    def _request(self, spans: Sequence[Span]) -> dict[str, Any]:
        scope = {"name": "vcond", "version": __version__}
        spoken = {"resource": {"attributes": self._resource}, "scopeSpans": [{"scope": scope, "spans": list(spans)}]}
        return {"resourceSpans": [spoken]}


def span(uuid: str, name: str, start: Instant, stop: Instant, told: Mapping[str, object] | None = None) -> Span:
    """One stretch of a call. Ids follow from uuid and name: one that is sent again is the same."""
    made: Span = {
        "traceId": uuid.replace("-", ""),
        "spanId": _id(uuid, name),
        "name": name,
        "kind": 1,  # SPAN_KIND_INTERNAL; OTLP's JSON has enumerations as numbers
        "startTimeUnixNano": str(start),
        "endTimeUnixNano": str(max(start, stop)),
        "attributes": attributes(told or {}),
    }
    return made if name == "call" else made | {"parentSpanId": _id(uuid, "call")}


def _id(uuid: str, name: str) -> str:
    return hashlib.sha256(f"{uuid} {name}".encode()).hexdigest()[:16]


def attributes(told: Mapping[str, object]) -> list[dict[str, Any]]:
    """As OTLP writes them."""
    return [{"key": key, "value": _value(value)} for key, value in told.items()]


def _value(value: object) -> dict[str, Any]:
    if isinstance(value, list):
        return {"arrayValue": {"values": [_value(one) for one in value]}}
    return {"intValue": str(value)} if isinstance(value, int) else {"stringValue": str(value)}
