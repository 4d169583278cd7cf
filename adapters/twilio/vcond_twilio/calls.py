"""Streams to calls: one call a callSid, whichever streams carry it. No sockets; timers of the running loop."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from vcond.sdk.contract import (
    Answered,
    Cause,
    Codec,
    Desk,
    Fact,
    Instant,
    LiveCall,
    MillisClock,
    SpanKind,
    Track,
    Warned,
)
from vcond_twilio.config import TwilioConfig
from vcond_twilio.who import Parameters

RATE: Final = 8000
"""Samples a second: G.711 is all that Twilio sends."""
TRACKS: Final = ("inbound", "outbound")
STOPPED: Final = Cause(q850=16, text="stop")
LOST: Final = Cause(text="stream-lost")


@dataclass(slots=True, eq=False)
class Leg:
    """What one stream holds of a call: its tracks by Twilio's name."""

    stream_sid: str
    told: Parameters = field(default_factory=Parameters)
    facts: Mapping[str, str] = field(default_factory=dict)
    tracks: dict[str, Track] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Conversation:
    """A call and the streams that carry it now."""

    key: str
    call: LiveCall
    parties: Mapping[str, int] = field(default_factory=dict)
    """Party index by track name."""
    legs: list[Leg] = field(default_factory=list)
    left: Instant = Instant(0)  # noqa: RUF009 - a plain int
    """When the last stream went."""
    stopped: bool = False
    """Whether that was by a stop message."""
    timer: asyncio.TimerHandle | None = None


class Switchboard:
    """Opens a call with its first stream, ends it when no stream is left for long enough."""

    def __init__(self, desk: Desk, config: TwilioConfig) -> None:
        self._desk = desk
        self._config = config
        self._calls: dict[str, Conversation] = {}
        self._closed = False
        for call in desk.open_calls():  # an earlier ``run`` of this process was cut off; its streams are gone
            conversation = self._calls[call.key] = Conversation(call.key, call)
            self._await_return(conversation, desk.clock.now(), stopped=False)

    def close(self) -> None:
        """The adapter goes: calls are left as they are, for the core to end or for the next run to take up."""
        self._closed = True
        for conversation in self._calls.values():
            if conversation.timer is not None:
                conversation.timer.cancel()
        self._calls.clear()

    def join(
        self, key: str, stream_sid: str, told: Parameters, facts: Mapping[str, str], *, at: Instant
    ) -> Conversation:
        """A stream of a call begins: the call goes on, or begins."""
        conversation = self._calls.get(key)
        if conversation is not None and not self.goes_on(conversation, at=at):
            self._forget(conversation)  # the core ended it: what comes now is a call of its own
            conversation = None
        if conversation is None:
            call = self._desk.call(key, at=at, direction=told.direction)
            conversation = self._calls[key] = Conversation(key, call)
            self._desk.log.info("call carried by a stream", call=call.uuid, stream=stream_sid)
        else:
            self._desk.log.info("call carried by another stream", call=conversation.call.uuid, stream=stream_sid)
        if conversation.timer is not None:
            conversation.timer.cancel()
            conversation.timer = None
        self._describe(conversation, told, facts, at)
        return conversation

    def goes_on(self, conversation: Conversation, *, at: Instant) -> bool:
        """Whether the call takes audio. One that the core cut off goes on as a new call, with the streams that carry it."""
        state = conversation.call.state
        if state.ended is None:
            return True
        if not (state.cause.cut_off and conversation.legs):
            return False
        before, conversation.call = state.uuid, self._desk.call(conversation.key, at=at, direction=state.direction)
        self._desk.log.info("recording goes on in a new call", call=conversation.call.uuid, before=before)
        for leg in conversation.legs:
            self._describe(conversation, leg.told, leg.facts, at)
        text = "the call was there before capture began"
        conversation.call.emit(Warned(at=at, code="joined-late", text=text))
        for leg in conversation.legs:
            names = list(leg.tracks)
            leg.tracks.clear()
            for name in names:
                self.track(conversation, leg, name, at=at)
        return True

    def track(self, conversation: Conversation, leg: Leg, name: str, *, at: Instant) -> Track:
        """Open a track for a stream; a stream that carries the same one already has to give it up."""
        for other in conversation.legs:
            if other is not leg and name in other.tracks:
                other.tracks.pop(name).close(at=at)
                self._desk.log.warning("two streams carry one track; the later one counts", call=conversation.call.uuid)
        party = conversation.parties[name]
        before = [track.closed for track in conversation.call.state.tracks if track.party == party and track.closed]
        track = conversation.call.track(party, at=at, codec=Codec.PCMU, rate=RATE, clock=MillisClock())
        if before and max(before) < at:
            track.absent(max(before), at, SpanKind.PAUSED if conversation.stopped else SpanKind.LOST)
        leg.tracks[name] = track
        return track

    def leave(self, conversation: Conversation, leg: Leg, *, at: Instant, stopped: bool) -> None:
        """A stream is over: by a stop message, or because its connection went."""
        for track in leg.tracks.values():
            track.close(at=at)
        leg.tracks.clear()
        conversation.legs.remove(leg)
        if not conversation.legs and not self._closed:
            self._await_return(conversation, at, stopped=stopped)

    def _await_return(self, conversation: Conversation, at: Instant, *, stopped: bool) -> None:
        conversation.left, conversation.stopped = at, stopped
        wait = self._config.stop_grace if stopped else self._config.grace
        if wait > 0:
            conversation.timer = asyncio.get_running_loop().call_later(wait, self._end, conversation)
        else:
            self._end(conversation)

    def _forget(self, conversation: Conversation) -> None:
        if conversation.timer is not None:
            conversation.timer.cancel()
            conversation.timer = None
        if self._calls.get(conversation.key) is conversation:
            del self._calls[conversation.key]

    def _end(self, conversation: Conversation) -> None:
        self._forget(conversation)
        at, call = conversation.left, conversation.call
        if call.state.ended is not None:
            return  # the core ended it
        if not conversation.stopped:
            call.emit(Warned(at=at, code="stream-lost", text="the media stream broke off without a stop"))
        call.end(at=at, cause=STOPPED if conversation.stopped else LOST)

    def _describe(self, conversation: Conversation, told: Parameters, facts: Mapping[str, str], at: Instant) -> None:
        """Parties, facts and the answer. The caller is party 0.

        ``inbound`` is what Twilio hears from the call: the caller, unless Twilio itself placed the call.
        """
        call = conversation.call
        caller = call.party("caller", at=at, who=told.caller)
        callee = call.party("callee", at=at, who=told.callee)
        heard, played = (callee, caller) if call.state.direction == "outbound" else (caller, callee)
        conversation.parties = dict(zip(TRACKS, (heard, played), strict=True))
        if call.state.answered is None:
            call.emit(Answered(at=at))
        known = {(fact.name, fact.value) for fact in call.state.facts}
        for name, value in facts.items():
            if value and (name, value) not in known:
                call.emit(Fact(at=at, name=name, value=value))
