"""Status callbacks of calls: how one ended that nobody answered, and that one is over whose stream was lost.

Source: Twilio, "Call resource", StatusCallback: a form that Twilio posts when a call has ended (JSON is taken too, where
``bodySHA256`` in the signed URL vouches for it). A call that was never
streamed (busy, not answered, cancelled, failed) is a record of its own, without audio.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

import msgspec
from aiohttp import web

from vcond.sdk.contract import AdapterHost, CallAttribute, Cause, Direction
from vcond.sdk.media_stream import (
    StreamedCalls,
    candidates,
    names_body,
    party,
    twilio_signed,
    understand,
    with_form,
)

SIGNATURE: Final = "X-Twilio-Signature"
SETTINGS: Final = "X-Twilio-Webhooks-Signature-Settings"
UNANSWERED: Final = frozenset({"busy", "no-answer", "canceled", "failed"})
PATIENCE: Final = 10.0
"""Seconds that a form may take to come."""
MOST_FIELDS: Final = 200
Begin = Callable[[str, Mapping[str, str]], None]
"""Told the name of a call, and who is in it as parameters of a stream."""
_decode = msgspec.json.Decoder(dict[str, object]).decode
REMEMBERED: Final = 10_000
"""Calls whose end is not told twice: Twilio posts again when an answer was lost."""


def signed(request: web.Request, keys: Iterable[str], urls: Iterable[str]) -> bool:
    """Whether Twilio signed a request for one of these URLs."""
    return twilio_signed(request.headers.get(SIGNATURE, ""), request.headers.get(SETTINGS, ""), keys, urls)


def fields(body: bytes) -> list[tuple[str, str]]:
    """The texts of a JSON object; none of what is none."""
    try:
        return [(name, value) for name, value in _decode(body).items() if isinstance(value, str)]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return []


class Statuses:
    """The route of status callbacks."""

    def __init__(self, host: AdapterHost, calls: StreamedCalls, keys: Sequence[str], base: str, begin: Begin) -> None:
        """``keys``: what Twilio signs with; none = the ingress token guards the route. ``begin`` is told of a call in progress."""
        self._host = host
        self._calls = calls
        self._keys = keys
        self._base = base
        self._begin = begin
        self._done: deque[str] = deque(maxlen=REMEMBERED)

    async def answer(self, request: web.Request) -> web.Response:
        """Take one callback."""
        urls = candidates(self._base, request.raw_path, ("https",))
        async with asyncio.timeout(PATIENCE):
            if request.content_type == "application/json":
                body = await request.read()
                form = fields(body)
                urls = urls if names_body(request.raw_path, body) else []
            else:
                posted = await request.post()
                form = [(name, value) for name, value in posted.items() if isinstance(value, str)]
                urls = [with_form(url, form) for url in urls]
        if self._keys and not signed(request, self._keys, urls):
            self._host.dropped("status", "signature")
            raise web.HTTPForbidden(text="no valid signature or token for this status\n")
        self.take(dict(form[:MOST_FIELDS]))
        return web.Response(status=204)

    def take(self, form: dict[str, str]) -> None:
        """What a callback says. Of a leg that another call dialled nothing is told: that call's record has it."""
        key, status = form.get("CallSid", ""), form.get("CallStatus", "")
        if not (0 < len(key) <= 64 and key.isascii() and key.isalnum()):
            self._host.dropped("status", "malformed")
            return
        if status == "in-progress" and not form.get("ParentCallSid"):
            told = {"from": "From", "to": "To", "direction": "Direction", "callerName": "CallerName"}
            self._begin(key, {name: form[field][:128] for name, field in told.items() if form.get(field)})
            return
        if form.get("ParentCallSid") or status not in {*UNANSWERED, "completed"} or key in self._done:
            return
        self._done.append(key)
        code, at = form.get("SipResponseCode", ""), self._host.clock.now()
        sip = int(code) if len(code) == 3 and code.isascii() and code.isdigit() and code >= "400" else None
        cause = Cause(text=status, sip=sip) if status in UNANSWERED else Cause(q850=16, text=status)
        if self._calls.over(key, at=at, cause=cause) or status not in UNANSWERED:
            return
        direction: Direction = understand({"direction": form.get("Direction", "")}).direction
        call = self._host.call(key, at=at, direction=direction)
        call.party("caller", at=at, who=party(form.get("From", "")[:128], form.get("CallerName", "")[:128]))
        call.party("callee", at=at, who=party(form.get("To", "")[:128]))
        for name, field in (("callSid", "CallSid"), ("accountSid", "AccountSid")):
            if form.get(field):
                call.emit(CallAttribute(at=at, name=name, value=form[field][:128]))
        call.end(at=at, cause=cause)
        self._host.log.info("call was not answered", call=call.uuid, status=status)
