"""Streams to calls: one call for all streams that name the same, whichever carry it. No sockets; timers of the running loop."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from vcond.sdk.contract import (
    AdapterHost,
    Answered,
    CallAttribute,
    Cause,
    Codec,
    Instant,
    LiveCall,
    SpanKind,
    Track,
    Warned,
)
from vcond.sdk.media_stream.before import Before, Over, before, go_on, introduce
from vcond.sdk.media_stream.byteorder import OrderedTrack
from vcond.sdk.media_stream.decoded import DecodedTrack
from vcond.sdk.media_stream.dialect import HEARD, PLAYED, Began, Format
from vcond.sdk.media_stream.settings import StreamSettings

STOPPED: Final = Cause(q850=16, text="stop")
REMEMBERED: Final = 1000
"""Calls of which it is known for a while that they had audio, when the platform says that nobody answered."""
LOST: Final = Cause(text="stream-lost")
JOINED_LATE: Final = "the call was there before capture began"
CONTINUED: Final = (
    "the call was recorded before, until no stream brought it for too long: this record continues that one"
)


@dataclass(slots=True, eq=False)
class Carrier:
    """A stream that carries a call: its open tracks by the peer's names."""

    began: Began
    tracks: dict[str, Track] = field(default_factory=dict)
    forms: dict[str, Format] = field(init=False)
    """What each track is: those of the beginning, and more that came later."""

    def __post_init__(self) -> None:
        self.forms = dict(self.began.tracks)


@dataclass(slots=True, eq=False)
class StreamedCall:
    """A call and the streams that carry it now."""

    key: str
    call: LiveCall
    parties: dict[str, int] = field(default_factory=dict)
    """The index of a party by what a format calls it."""
    carriers: list[Carrier] = field(default_factory=list)
    before: Before | None = None
    """The record that it continues."""
    left: Instant = Instant(0)  # noqa: RUF009 - a plain int
    """When the last stream went."""
    stopped: bool = False
    """Whether that was by a stop message."""
    timer: asyncio.TimerHandle | None = None


Left = Callable[[StreamedCall], float]
"""Told when no stream carries a call any more, so that the platform can be asked of it. The seconds that the call waits at least."""


class StreamedCalls:
    """Opens a call with its first stream, ends it when no stream is left for long enough."""

    def __init__(self, host: AdapterHost, settings: StreamSettings, left: Left = lambda _: 0.0) -> None:
        self._host = host
        self._left = left
        self._settings = settings
        self._calls: dict[str, StreamedCall] = {}
        self._over = Over()
        self._begun: deque[str] = deque(maxlen=REMEMBERED)
        """The latest calls that a stream carried."""
        self._closed = False
        for call in host.open_calls():  # an earlier ``run`` of this process was cut off; its streams are gone
            streamed = self._calls[call.key] = StreamedCall(call.key, call)
            self._await_return(streamed, host.clock.now(), stopped=False)

    def close(self) -> None:
        """The adapter goes: calls are left as they are, for the core to end or for the next run to take up."""
        self._closed = True
        for streamed in self._calls.values():
            if streamed.timer is not None:
                streamed.timer.cancel()
        self._calls.clear()

    def join(self, carrier: Carrier, *, at: Instant) -> StreamedCall:
        """A stream of a call begins: the call goes on, or begins."""
        began, cut_off, earlier = carrier.began, False, None
        streamed = self._calls.get(began.call)
        if streamed is not None and not self.goes_on(streamed, at=at):
            cut_off = streamed.call.state.cause.cut_off
            earlier = before(streamed.call) if cut_off else None
            self._forget(streamed)  # the core ended it: what comes now is a call of its own
            streamed = None
        if streamed is None:
            call = self._host.call(began.call, at=at, direction=began.told.direction)
            streamed = self._calls[began.call] = StreamedCall(began.call, call)
            self._begun.append(began.call)
            self._host.log.info("media stream started", call=call.uuid, stream=began.stream)
            self._continue(streamed, earlier or self._over.take(began.call, at), at)
            if streamed.before is not None and not cut_off:
                call.emit(Warned(at=at, code="continued", text=CONTINUED))
        else:
            self._host.log.info("media stream started again", call=streamed.call.uuid, stream=began.stream)
        if streamed.timer is not None:
            streamed.timer.cancel()
            streamed.timer = None
        self._describe(streamed, began, at)
        if cut_off:
            streamed.call.emit(Warned(at=at, code="joined-late", text=JOINED_LATE))
        streamed.carriers.append(carrier)
        return streamed

    def goes_on(self, streamed: StreamedCall, *, at: Instant) -> bool:
        """Whether the call takes audio. One that the core cut off goes on as a new call, with the streams that carry it."""
        state = streamed.call.state
        if state.ended is None:
            return True
        if not (state.cause.cut_off and streamed.carriers):
            return False
        earlier, streamed.call = before(streamed.call), self._host.call(streamed.key, at=at, direction=state.direction)
        self._host.log.info("recording continues in a new call", call=streamed.call.uuid, before=earlier.uuid)
        self._continue(streamed, earlier, at)
        for carrier in streamed.carriers:
            self._describe(streamed, carrier.began, at)
        streamed.call.emit(Warned(at=at, code="joined-late", text=JOINED_LATE))
        for carrier in streamed.carriers:
            before_cut = list(carrier.tracks.items())
            carrier.tracks.clear()
            for name, track in before_cut:
                track.close(at=at)  # what still waits there came too late for that call, and is counted
                self.track(streamed, carrier, name, at=at)
        return True

    def track(self, streamed: StreamedCall, carrier: Carrier, name: str, *, at: Instant) -> Track:
        """Open a track for a stream; a stream that carries the same one already has to give it up."""
        for other in streamed.carriers:
            if other is not carrier and name in other.tracks:
                other.tracks.pop(name).close(at=at)
                self._host.log.warning("two media streams for one track; using the newer one", call=streamed.call.uuid)
        form = carrier.forms[name]
        party = self.party(streamed, form, at=at)
        before = [track.closed for track in streamed.call.state.tracks if track.party == party and track.closed]
        track = self._ordered(streamed, form, name, party, at)
        if before and max(before) < at:
            track.absent(max(before), at, SpanKind.PAUSED if streamed.stopped else SpanKind.LOST)
        carrier.tracks[name] = track
        return track

    def carried(self) -> dict[str, StreamedCall]:
        """The calls that a stream carries now, by key."""
        return {key: streamed for key, streamed in self._calls.items() if streamed.carriers}

    def over(self, key: str, *, at: Instant, cause: Cause) -> bool:
        """The platform says that a call has ended. False when no stream ever carried it.

        One that waits for another stream waits no longer. One that a stream still carries ends with that.
        """
        streamed = self._calls.get(key)
        if streamed is None:
            return key in self._begun
        if not streamed.carriers:
            self._forget(streamed)
            if streamed.call.state.ended is None:
                streamed.call.end(at=min(at, streamed.left), cause=cause)
                self._over.keep(key, streamed.call)
        return True

    def leave(self, streamed: StreamedCall, carrier: Carrier, *, at: Instant, stopped: bool) -> None:
        """A stream is over: by a stop message, or because its connection went."""
        for track in carrier.tracks.values():
            track.close(at=at)
        carrier.tracks.clear()
        streamed.carriers.remove(carrier)
        if not streamed.carriers and not self._closed:
            self._await_return(streamed, at, stopped=stopped)

    def _await_return(self, streamed: StreamedCall, at: Instant, *, stopped: bool) -> None:
        streamed.left, streamed.stopped = at, stopped
        wait = max(self._settings.stop_grace if stopped else self._settings.grace, self._left(streamed))
        if wait > 0:
            streamed.timer = asyncio.get_running_loop().call_later(wait, self._end, streamed)
        else:
            self._end(streamed)

    def _forget(self, streamed: StreamedCall) -> None:
        if streamed.timer is not None:
            streamed.timer.cancel()
            streamed.timer = None
        if self._calls.get(streamed.key) is streamed:
            del self._calls[streamed.key]

    def _end(self, streamed: StreamedCall) -> None:
        self._forget(streamed)
        at, call = streamed.left, streamed.call
        if call.state.ended is not None:
            return  # the core ended it
        if not streamed.stopped:
            call.emit(Warned(at=at, code="stream-lost", text="the media stream broke off without a stop"))
        call.end(at=at, cause=STOPPED if streamed.stopped else LOST)
        self._over.keep(streamed.key, call)

    def _continue(self, streamed: StreamedCall, earlier: Before | None, at: Instant) -> None:
        """A call is the rest of one that is over, where there was one."""
        streamed.before = earlier
        if earlier is not None:
            go_on(streamed.call, earlier, at)

    def party(self, streamed: StreamedCall, form: Format, *, at: Instant) -> int:
        """The index of the party of a track."""
        name = form.party
        if name not in streamed.parties:
            streamed.parties[name] = streamed.call.party(name, at=at, who=form.who)
            if streamed.before is not None:
                introduce(streamed.call, streamed.before, name, at)
        return streamed.parties[name]

    def _ordered(self, streamed: StreamedCall, form: Format, name: str, party: int, at: Instant) -> Track:
        """A track, whose samples are decoded where they have to be, and come in the order that is measured where they have two bytes."""
        if form.source:
            return DecodedTrack(self._host, streamed.call, form, party, at)
        if form.codec not in {Codec.L16, Codec.L16BE}:
            return streamed.call.track(party, at=at, codec=form.codec, rate=form.rate, clock=form.clock)
        call = streamed.call
        track = call.track(party, at=at, codec=Codec.L16, rate=form.rate, clock=form.clock)

        def told(order: str) -> None:
            call.emit(CallAttribute(at=self._host.clock.now(), name=f"byteOrder.{name}", value=order))

        later = asyncio.get_running_loop().call_later
        return OrderedTrack(track, "big" if form.codec is Codec.L16BE else "little", form.rate, told, later)

    def _describe(self, streamed: StreamedCall, began: Began, at: Instant) -> None:
        """Parties, facts and the answer. The caller is party 0.

        The peer hears the caller from the call, unless it placed the call itself.
        """
        call, earlier = streamed.call, streamed.before
        if began.sides:
            caller = call.party("caller", at=at, who=began.told.caller)
            callee = call.party("callee", at=at, who=began.told.callee)
            heard, played = (callee, caller) if call.state.direction == "outbound" else (caller, callee)
            streamed.parties = {"caller": caller, "callee": callee, HEARD: heard, PLAYED: played}
            if earlier is not None:
                introduce(call, earlier, "caller", at)
                introduce(call, earlier, "callee", at)
        else:
            streamed.parties = {}
        if began.answered and call.state.answered is None:
            call.emit(Answered(at=at))
        known = {(fact.name, fact.value) for fact in call.state.facts}
        for name, value in began.facts.items():
            if value and (name, value) not in known and not (earlier and earlier.says_again(name, value)):
                call.emit(CallAttribute(at=at, name=name, value=value))
