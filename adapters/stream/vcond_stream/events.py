"""Webhooks about calls: that one is over whose stream was lost, and how one ended that nobody answered.

Source: each platform's page on its call events. What they post while a call goes on says nothing to a recorder.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web

from vcond.sdk.contract import SECOND, AdapterHost, CallAttribute, Cause, Direction, ProtocolError
from vcond.sdk.media_stream import StreamedCalls, party
from vcond_stream import fields
from vcond_stream.trust import Asked
from vcond_stream.webhooks import VERIFY, Posted

PATIENCE: Final = 10.0
"""Seconds that a body may take to come."""
REMEMBERED: Final = 10_000
"""Calls whose end is not told twice: platforms post again when an answer was lost."""


@dataclass(frozen=True, slots=True)
class Event:
    """Where it stands in a platform's message that a call is over. Paths have dots, names of which one is there are tried in turn."""

    kind: str
    """The field that says what the message is about."""
    over: frozenset[str]
    """Its values that mean an end."""
    call: tuple[str, ...]
    """The names of the call."""
    word: tuple[str, ...] = ()
    """How it ended, in the platform's words."""
    within: str = ""
    """The object in which all but ``kind`` stands."""
    sip: tuple[str, ...] = ()
    parent: tuple[str, ...] | None = None
    """What names the call that dialled this one. None = the platform does not tell: only inbound calls are a record of their own."""


STATUS: Final = frozenset({"completed", "busy", "no-answer", "cancel", "canceled", "cancelled", "failed", "timeout"})
EVENTS: Final[Mapping[str, Event]] = {
    "bandwidth": Event("eventType", frozenset({"disconnect"}), ("callId",), ("cause",), parent=("parentCallId",)),
    "jambonz": Event("call_status", STATUS, ("call_sid",), ("call_status",), sip=("sip_status",), parent=("parent_call_sid",)),
    "livekit": Event("event", frozenset({"room_finished"}), ("name",), within="room"),
    "plivo": Event("CallStatus", STATUS, ("CallUUID",), ("CallStatus",)),
    "signalwire": Event("CallStatus", STATUS, ("CallSid",), ("CallStatus",), sip=("SipResponseCode",), parent=("ParentCallSid",)),
    "sinch": Event("event", frozenset({"dice"}), ("callid", "callId"), ("result",)),
    "telnyx": Event(
        "data.event_type", frozenset({"call.hangup"}), ("call_control_id",), ("hangup_cause",), "data.payload", ("sip_hangup_cause",)
    ),
    "vobiz": Event("CallStatus", STATUS, ("CallUUID",), ("CallStatus",)),
    "vonage": Event(
        "status", STATUS | {"unanswered", "rejected"}, ("uuid", "conversation_uuid"), ("status",)
    ),
}  # fmt: skip
"""By dialect."""
UNANSWERED: Final[Mapping[str, str]] = {
    **dict.fromkeys(("busy", "user_busy"), "busy"),
    **dict.fromkeys(("no-answer", "no_answer", "noanswer", "timeout", "unanswered"), "no-answer"),
    **dict.fromkeys(("cancel", "cancelled", "canceled", "originator_cancel"), "canceled"),
    **dict.fromkeys(("failed", "rejected", "call_rejected", "not_found", "error"), "failed"),
}
"""Platforms' words for calls that nobody answered, and ours."""


class Events:
    """The routes of webhooks: ``<path>/<dialect>/status``."""

    def __init__(self, host: AdapterHost, calls: StreamedCalls, secrets: Mapping[str, str], base: str) -> None:
        """``secrets``: by dialect; where there is none, the ingress token guards the route. ``base``: the public URL."""
        self._host = host
        self._calls = calls
        self._secrets = secrets
        self._base = base
        self._done: deque[str] = deque(maxlen=REMEMBERED)

    def serve(self, path: str) -> None:
        """Add the routes below a path."""
        for dialect in EVENTS:

            async def answer(request: web.Request, dialect: str = dialect) -> web.Response:
                return await self._answer(request, dialect)

            self._host.ingress.route("POST", f"{path}/{dialect}/status", answer, guarded=dialect not in self._secrets)

    async def _answer(self, request: web.Request, dialect: str) -> web.Response:
        async with asyncio.timeout(PATIENCE):
            body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        asked = Asked(self._base, request.raw_path, headers, self._host.clock.now() / SECOND, {})
        posted = Posted(asked, body)
        secret = self._secrets.get(dialect, "")
        if secret and not VERIFY[dialect](posted, secret):
            self._host.dropped("status", "not-vouched-for")
            raise web.HTTPForbidden(text="no valid signature or token for this webhook\n")
        try:
            form = request.content_type == "application/x-www-form-urlencoded"
            self.take(dialect, dict(posted.form) if form else fields.message(body))
        except ProtocolError:
            self._host.dropped("status", "malformed")
        return web.Response(status=204)

    def take(self, dialect: str, said: Mapping[str, Any]) -> None:
        """What a message says. Raises ProtocolError."""
        event = EVENTS[dialect]
        *where, kind = event.kind.split(".")
        if fields.word(_inside(said, where), kind).lower() not in event.over:
            return
        about = _inside(said, event.within.split(".") if event.within else [])
        names = [name for field in event.call if (name := fields.ident(about, field))]
        if not names:
            raise ProtocolError("webhook without the name of a call")
        word = fields.word(about, *event.word).lower() or "completed"
        code, at = fields.word(about, *event.sip), self._host.clock.now()
        sip = int(code) if len(code) == 3 and code.isascii() and code.isdigit() and code >= "400" else None
        unanswered = UNANSWERED.get(word, "")
        cause = Cause(text=unanswered, sip=sip) if unanswered else Cause(q850=16, text="completed")
        keys = [f"{dialect}:{name}" for name in names]
        again = any(key in self._done for key in keys)
        self._done += () if again else keys
        known = any([self._calls.over(key, at=at, cause=cause) for key in keys])  # noqa: C419 - all are told
        if known or again or not unanswered:
            return
        direction = _direction(fields.word(about, "direction", "Direction"))
        if direction != "inbound" if event.parent is None else fields.word(about, *event.parent):
            return
        call = self._host.call(keys[0], at=at, direction=direction)
        call.party("caller", at=at, who=party(fields.word(about, "from", "From")))
        call.party("callee", at=at, who=party(fields.word(about, "to", "To")))
        for name, value in (("dialect", dialect), ("call", names[0])):
            call.emit(CallAttribute(at=at, name=name, value=value))
        call.end(at=at, cause=cause)
        self._host.log.info("call was not answered", call=call.uuid, status=unanswered)


def _inside(said: Mapping[str, Any], names: list[str]) -> Mapping[str, Any]:
    for name in names:
        said = fields.part(said, name)
    return said


def _direction(word: str) -> Direction:
    """Platforms write ``inbound``, ``incoming``, ``outbound``, ``outgoing``, ``outbound-api``."""
    return "inbound" if word.startswith("in") else "outbound" if word.startswith("out") else "unknown"
