"""Live captions of a call for the pages of its publishers, as server-sent events (HTML standard, section 9.2).

The latest lines of a call are kept once, with numbers; every page reads them at its own pace. One that is too slow loses
the oldest lines, one that was cut off goes on where it was (``Last-Event-ID``).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from collections import Counter, deque
from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web

from vcond.sdk.contract import AdapterHost, CaptionEvent, LiveCall
from vcond_webrtc.session import Session

MOST_LINES: Final = 200
"""Of one call, for pages that are slow or come back."""
MOST_WATCHERS: Final = 4
"""Of one session: a page, and what is left of it on connections that nobody has closed yet."""
KEEPALIVE: Final = 15.0
"""Seconds without a line after which something is sent, so that proxies and we see whether anybody is there."""
STALLED: Final = 30.0
"""Seconds that a reader may take nothing."""
RETRY_MS: Final = 2000
HEADERS: Final = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",
    "X-Content-Type-Options": "nosniff",
}
CHANGES: Final = frozenset({"paused", "unpaused", "pauseoverridden", "partyjoined", "partydescribed", "partyleft"})
"""Events after which the state is told anew."""


class CallCaptions:
    """The latest lines of one call."""

    def __init__(self, call: LiveCall) -> None:
        self.call = call
        self.over = False
        self._epoch = secrets.token_hex(4)
        self._lines: deque[CaptionEvent] = deque(maxlen=MOST_LINES)
        self._next = 0
        """The number of the line that comes next."""
        self._first: dict[int, int] = {}
        """By party: that number when it watched for the first time."""
        self._news = asyncio.Event()
        self.begun = asyncio.Event()
        """From now on no line is missed."""

    async def run(self) -> None:
        """Take the call's lines until it ends."""
        try:
            with self.call.captions() as lines:
                self.begun.set()
                async for line in lines:
                    if line.kind != "event" or line.text in CHANGES:
                        self._lines.append(line)
                        self._next += 1
                        self.wake()
        finally:
            self.over = True
            self.wake()

    def wake(self) -> None:
        """Whoever waits for lines looks again, also at what is not said in lines: whether its session is over."""
        self._news.set()
        self._news = asyncio.Event()

    def place(self, last: str, party: int) -> int:
        """The number to go on with after the event of that id; the next one for an id that is none of ours.

        Never one from before the party watched for the first time: what was said before it came is not for it.
        """
        first = self._first.setdefault(party, self._next)
        epoch, _, number = last.partition("-")
        known = epoch == self._epoch and number.isdecimal() and len(number) < 12
        return max(first, min(int(number) + 1, self._next)) if known else self._next

    def name(self, number: int) -> str:
        """The event id of a line."""
        return f"{self._epoch}-{number}"

    async def after(self, number: int, seconds: float) -> tuple[int, list[CaptionEvent]]:
        """Lines from a number on, and the number of the first of them; none when nothing came for so long."""
        if number == self._next and not self.over:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._news.wait()
        oldest = self._next - len(self._lines)
        number = max(number, oldest)
        return number, list(self._lines)[number - oldest :]


class Captions:
    """The captions of all calls that are watched."""

    def __init__(self, host: AdapterHost, group: asyncio.TaskGroup) -> None:
        self._host = host
        self._group = group
        self._calls: dict[str, CallCaptions] = {}
        self._watchers: Counter[str] = Counter()
        """By session."""

    async def stream(self, request: web.Request, session: Session, headers: Mapping[str, str]) -> web.StreamResponse:
        """Lines of a session's call until session or call are over, or the reader has gone.

        Raises HTTPConflict for a session that is in no call, HTTPTooManyRequests for one watcher too many.
        """
        if session.presence is None or session.over:
            raise web.HTTPConflict(text="the session is not in a call: not yet, or no longer\n")
        if self._watchers[session.name] >= MOST_WATCHERS:
            raise web.HTTPTooManyRequests(text="the session has too many readers\n", headers={"Retry-After": "5"})
        self._watchers[session.name] += 1
        response = web.StreamResponse(headers={**headers, **HEADERS})
        try:
            membership = session.presence.membership
            of_call = self._of_call(membership.conversation.call)
            async with asyncio.timeout(STALLED):
                await of_call.begun.wait()
                await response.prepare(request)
            session.on_over = of_call.wake
            last = request.headers.get("Last-Event-ID") or request.query.get("after", "")
            await self._send(response, session, of_call, of_call.place(last, membership.party))
        except ConnectionError:
            pass  # whoever watched has left
        except TimeoutError:
            self._host.dropped("caption", "stalled")
            if request.transport is not None:
                request.transport.abort()  # what was written would be waited for without end
        finally:
            self._watchers -= Counter({session.name: 1})
        return response

    async def _send(self, response: web.StreamResponse, session: Session, of_call: CallCaptions, number: int) -> None:
        await _write(response, f"retry: {RETRY_MS}\n{_event('state', _state(session))}")
        while not (session.over or of_call.over):
            first, lines = await of_call.after(number, KEEPALIVE)
            if first > number:
                self._host.dropped("caption", "slow-watcher", first - number)
            told = [_told(line, session, of_call.name(first + i)) for i, line in enumerate(lines)]
            await _write(response, "".join(told) or ":\n\n")
            number = first + len(lines)
        if of_call.call.state.cause.cut_off and not session.over:
            return  # the page asks again, and is told of the call that goes on
        await _write(response, _event("end", {"why": "call" if of_call.over else session.why}))

    def _of_call(self, call: LiveCall) -> CallCaptions:
        of_call = self._calls.get(call.uuid)
        if of_call is None:
            of_call = self._calls[call.uuid] = CallCaptions(call)
            self._group.create_task(self._run(of_call))
        return of_call

    async def _run(self, of_call: CallCaptions) -> None:
        try:
            await of_call.run()
        finally:
            del self._calls[of_call.call.uuid]


async def _write(response: web.StreamResponse, text: str) -> None:
    async with asyncio.timeout(STALLED):
        await response.write(text.encode())


def _told(line: CaptionEvent, session: Session, name: str) -> str:
    if line.kind == "event":
        return _event("state", _state(session), name)
    said = {"party": line.party, "start": line.start, "stop": line.stop, "text": line.text}
    return _event(line.kind, said, name)


def _state(session: Session) -> dict[str, Any]:
    """Who is in the call and whether it is recorded; of the others their names, no numbers."""
    assert session.presence is not None
    membership = session.presence.membership
    mine, call = membership.party, membership.conversation.call.state
    open_pauses = [pause for pause in call.pauses if pause.stop is None]
    return {
        "you": mine,
        "parties": [{"name": party.who.name, "here": party.here} for party in call.parties],
        "paused": [pause.party for pause in open_pauses],
        "resumable": bool(open_pauses) and len(call.ending("party", mine)) == len(open_pauses),
    }


def _event(kind: str, data: dict[str, Any], name: str = "") -> str:
    """One event. JSON as it is here has no line ends and is ASCII, whatever an engine wrote."""
    told = f"event: {kind}\ndata: {json.dumps(data)}\n\n"
    return f"id: {name}\n{told}" if name else told
