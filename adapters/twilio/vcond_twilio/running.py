"""Calls beside their streams, where Twilio's REST API may be asked: how one ended, and streams that vcond starts and stops itself."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Final

from vcond.sdk.contract import (
    AdapterHost,
    CallAttribute,
    Cause,
    Directed,
    Instant,
    LiveCall,
    PartyInfo,
    Warned,
)
from vcond.sdk.media_stream import Carrier, StreamedCall, StreamedCalls, party
from vcond.sdk.mistakes import each, mistake
from vcond_twilio.asking import Asking
from vcond_twilio.config import TwilioConfig
from vcond_twilio.rest import CallResource, Rest
from vcond_twilio.starts import MOST, Starts

WAIT: Final = 30.0
"""Seconds that a call without a stream waits at least: Twilio is asked, and a stream that was started has to come."""
LONGEST: Final = 4 * 3600.0
"""Seconds that a stream which was stopped for a pause may stay away."""
LOOKS: Final = 2
"""How often Twilio is asked again of a call whose stream has stopped: it tells of the end a moment after the stream does."""
SLOWEST: Final = 30.0
"""Seconds between two questions about a call at most."""
TWIML: Final = 1.0
"""Seconds in which the stream that TwiML names would have come."""
AGAIN: Final = 10.0
"""Seconds before a stream that could not be started, or stopped, is tried again."""
COMES: Final = 5
"""Seconds within which a stream that was asked for in place of another has come."""
CUT_OFF_TRIES: Final = 3
"""How often a stream is asked for of a call that the core cut off in a pause."""
STOPPED: Final = Cause(q850=16, text="stop")
FIX: Final = "check that Twilio reaches public_url: the proxy, the certificate; 503 in the proxy's log = max_streams"


class RunningCalls:
    """Follows calls at Twilio. ``calls`` are their streams."""

    def __init__(self, host: AdapterHost, config: TwilioConfig, rest: Rest, url: str) -> None:
        """``url``: where streams that vcond starts are to go."""
        self._host = host
        self._config = config
        self._rest = rest
        self._url = url
        self._ask = Asking(host).ask
        self._starts = Starts()
        self._tasks: set[asyncio.Task[None]] = set()
        self._begun: set[str] = set()
        """Calls in progress that are being streamed: Twilio posts again when an answer was lost."""
        self._renewing: set[str] = set()
        """Calls whose streams bring nothing, and for which another one was asked for."""
        self._away: dict[str, tuple[StreamedCall, asyncio.Event]] = {}
        """Calls whose stream was stopped for a pause, and what is set when that is over."""
        self.calls = StreamedCalls(host, config, self._left)
        for call in host.unfinished():
            self._run(self._recover(call))
        if config.stop_on_pause:
            self._run(self._watch_pauses())

    async def close(self) -> None:
        """Ask nothing more; calls are left as they are."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def begin(self, call: str, parameters: Mapping[str, str]) -> None:
        """A call is in progress: stream it, unless its TwiML does."""
        if self._config.start_streams and call not in self._begun:
            self._begun.add(call)
            self._run(self._begin(call, parameters))

    def again(self, call: LiveCall, _party: int) -> bool:
        """Have Twilio stream a call anew whose stream is open and brings nothing."""
        streamed = self.calls.carried().get(call.key)
        if streamed is None or streamed.call is not call or streamed.key in self._away:
            return False
        if self._starts.wait(call.key, self._host.clock.now()) and not self._starts.spent(call.key):
            return False
        if streamed.key not in self._renewing:  # asked for each party, and a stream brings both
            self._renewing.add(streamed.key)
            self._run(self._renew(streamed))
        return True

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(partial(_told, self._host))

    async def _begin(self, call: str, parameters: Mapping[str, str]) -> None:
        try:
            for wait in (TWIML, AGAIN, AGAIN):
                await asyncio.sleep(wait)
                if call in self.calls.carried() or await self._start(call, parameters):
                    break
            await asyncio.sleep(AGAIN)
        finally:
            self._begun.discard(call)

    def _owes(self, call: LiveCall) -> bool:
        """Whether a call that goes on is streamed anew: who stops streams for pauses owes one after them."""
        return self._config.start_streams or (self._config.stop_on_pause and call.state.paused)

    async def _start(self, call: str, parameters: Mapping[str, str]) -> bool:
        """Whether Twilio starts one; it is not asked before it is due."""
        now = self._host.clock.now()
        if self._starts.spent(call) or self._starts.wait(call, now):
            return False
        if self._starts.asked(call, now) == MOST:
            self._host.log.error("streams of a call do not come or stay: no more are asked for", times=MOST, hint=FIX)
        stream = await self._ask(self._rest.start(call, self._url, parameters))
        if stream is not None:
            self._host.log.info("media stream requested", stream=stream[:64])
        return stream is not None

    async def _renew(self, streamed: StreamedCall) -> None:
        """Stop the streams of a call when another one has come."""
        before = list(streamed.carriers)
        try:
            if not await self._start(streamed.key, {}):
                return
            for _ in range(COMES):
                if all(carrier in before for carrier in streamed.carriers):
                    await asyncio.sleep(1)
            if any(carrier not in before for carrier in streamed.carriers):
                for carrier in before:
                    await self._ask(self._rest.stop(streamed.key, carrier.began.stream))
        finally:
            self._renewing.discard(streamed.key)

    def _left(self, streamed: StreamedCall) -> float:
        self._starts.left(streamed.key, streamed.left)
        self._run(self._follow(streamed))
        if streamed.key in self._away:
            return LONGEST
        until = self._starts.wait(streamed.key, self._host.clock.now())
        return WAIT + (until if self._owes(streamed.call) and not self._starts.spent(streamed.key) else 0)

    async def _follow(self, streamed: StreamedCall) -> None:
        """Ask about a call that no stream carries, until it is over, carried again or waited for no longer."""
        left, started = streamed.left, False

        def waits() -> bool:
            return not streamed.carriers and streamed.left == left and streamed.call.state.ended is None

        for looks in itertools.count():
            told = await self._ask(self._rest.call(streamed.key)) if waits() else None
            if not waits():
                return
            now, kept = self._host.clock.now(), streamed.key in self._away
            if told is not None:
                describe(streamed.call, told, at=now)
            if told is not None and told.over:
                if not streamed.stopped:
                    lost = "the media stream broke off before the call was over"
                    streamed.call.emit(Warned(at=now, code="stream-lost", text=lost))
                self.calls.over(streamed.key, at=now, cause=cause(told))
                return
            if streamed.stopped and not kept and not self._config.stop_grace and (told is None or looks == LOOKS):
                self.calls.over(streamed.key, at=now, cause=STOPPED)
                return
            if not (streamed.stopped or kept or started) and told is not None and self._owes(streamed.call):
                started = await self._start(streamed.key, {})
            await asyncio.sleep(min(2.0**looks, SLOWEST))

    async def _recover(self, call: LiveCall) -> None:
        """A call of an earlier run: end it, or stream it again."""
        for looks in itertools.count():
            told = await self._ask(self._rest.call(call.key))
            if call not in self._host.unfinished():
                return
            if told is not None and told.over:
                at = call.state.known_until
                describe(call, told, at=at)
                call.end(at=at, cause=cause(told))
                return
            if told is not None and (not self._owes(call) or await self._start(call.key, {})):
                return
            await asyncio.sleep(min(2.0**looks, SLOWEST))

    async def _watch_pauses(self) -> None:
        while True:
            each(self._host, list(self.calls.carried().values()), self._see, "looking at pauses")
            for streamed, over in self._away.values():
                if streamed.call.state.ended is not None or not streamed.call.state.paused:
                    over.set()
            await asyncio.sleep(1)

    def _see(self, streamed: StreamedCall) -> None:
        if streamed.call.state.paused and streamed.key not in self._away:
            self._away[streamed.key] = streamed, asyncio.Event()
            self._run(self._sit_out(*self._away[streamed.key]))

    async def _sit_out(self, streamed: StreamedCall, over: asyncio.Event) -> None:
        """Stop the streams of a call while its recording is paused, and have one again when it goes on."""
        stopped: set[Carrier] = set()
        try:
            while streamed.call.state.ended is None:
                carriers = list(streamed.carriers)
                if streamed.call.state.paused:
                    over.clear()
                    for carrier in carriers:  # each time: a stop may fail, and another stream may come
                        stop = self._rest.stop
                        if carrier not in stopped and await self._ask(stop(streamed.key, carrier.began.stream)):
                            stopped.add(carrier)
                            self._starts.forget(streamed.key)
                    with suppress(TimeoutError):
                        async with asyncio.timeout(AGAIN):
                            await over.wait()
                elif not carriers and self._starts.spent(streamed.key):
                    text = f"after a pause the media stream did not come back, though it was asked for {MOST} times"
                    streamed.call.emit(Warned(at=self._host.clock.now(), code="stream-lost", text=text))
                    return
                elif not carriers:
                    await self._start(streamed.key, {})
                    await asyncio.sleep(AGAIN)
                elif stopped.isdisjoint(carriers):
                    return
                else:  # the pause was over before the stream had stopped
                    await asyncio.sleep(1)
            if streamed.call.state.cause.cut_off and not streamed.carriers:
                await self._go_on(streamed.key)
        finally:
            del self._away[streamed.key]

    async def _go_on(self, call: str) -> None:
        """No stream carries a call that the core cut off: with one it goes on in a record of its own, paused as it was."""
        for _ in range(CUT_OFF_TRIES):
            if call in self.calls.carried():
                return  # its application has begun one
            told = await self._ask(self._rest.call(call))
            if told is not None and (told.over or await self._start(call, {})):
                return
            await asyncio.sleep(AGAIN)


def _told(host: AdapterHost, task: asyncio.Task[None]) -> None:
    """A mistake in it is said: nobody waits for it."""
    if not task.cancelled() and (why := task.exception()) is not None:
        mistake(host, "a running call", why)


def cause(told: CallResource) -> Cause:
    """How a call ended."""
    return Cause(q850=16, text=told.status) if told.status == "completed" else Cause(text=told.status)


def describe(call: LiveCall, told: CallResource, *, at: Instant) -> None:
    """Put into the record what is known of a call, beside what its application told."""
    outbound = (told.direction or "").startswith("outbound")
    turned = (
        outbound and call.state.direction == "unknown"
    )  # whom Twilio heard was taken for the caller, and was called
    if told.direction == "inbound" and call.state.direction == "unknown":
        call.emit(Directed(at=at, direction="inbound"))
    ends = (party((told.from_ or "")[:128], (told.caller_name or "")[:128]), party((told.to or "")[:128]))
    for key, who in zip(("callee", "caller") if turned else ("caller", "callee"), ends, strict=True):
        known = call.state.party_by_key(key)
        if known is not None and not _named(known.told) and who != PartyInfo():
            call.party(key, at=at, who=who)
    facts = {
        "callStatus": told.status,
        "answeredBy": told.answered_by,
        "callDuration": None if told.duration is None else str(told.duration),
        "callDirection": told.direction if turned else None,
    }
    written = {(fact.name, fact.value) for fact in call.state.facts}
    for name, value in facts.items():
        if value and (name, value[:64]) not in written:
            call.emit(CallAttribute(at=at, name=name, value=value[:64]))


def _named(who: PartyInfo) -> bool:
    return bool(who.tel or who.sip or who.uuid or who.hidden)
