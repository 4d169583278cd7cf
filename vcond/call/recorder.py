"""What a live call does with what it is told, wherever its events are kept.

The daemon keeps them in a journal, ``vcond.testing`` in memory. Pure: the clock, the place where events are kept and
whoever watches are asked through the methods that a subclass gives.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, Literal, TypeVar

import msgspec

from vcond.base.errors import ProtocolError
from vcond.base.time import SECOND, Instant, seconds
from vcond.call import events as ev
from vcond.call.causes import NO_CAUSE, Cause, disposition
from vcond.call.consenting import Review
from vcond.call.labels import labels
from vcond.call.merge import Merge, merge
from vcond.call.state import Call
from vcond.call.stopped_audio import StoppedAudio
from vcond.call.track_recorder import TrackRecorder
from vcond.policy import pausing
from vcond.policy.consent import REFUSED

MAX_PARTIES = 500
MAX_TRACKS = 1_000
MAX_KEY = 256
"""Characters of an adapter's name for a call or a party."""
MAX_EVENTS = 200_000
MAX_SWITCHES = 10_000
"""How often recording may be let go on; pausing is always possible."""
LARGEST_MERGE = 7 << 20
"""Bytes; a record of the journal is limited to 8 MiB."""
FUTURE, PAST = 10 * SECOND, 3_600 * SECOND
"""An event's moment may be this far ahead of our clock, or before the call's zero; else it happened now."""
NOBODY = ev.PartyInfo()
T = TypeVar("T", bound=TrackRecorder[Any])
_LETS_GO_ON = (ev.RecordingResumed, ev.PauseOverridden)


class NotMergedError(Exception):
    """Two calls stay apart: neither was changed. Its text is the reason, as it is counted."""


class CallLog(ABC):
    """A call's events where they are kept, the state that they make, and whoever watches."""

    def __init__(self, state: Call) -> None:
        self.state = state
        self.over = state.ended is not None
        self.sealed = False
        """Nothing more is taken: the vCon is being made."""

    @property
    def uuid(self) -> str:
        """The uuid of the call and of its vCon."""
        return self.state.uuid

    @property
    def key(self) -> str:
        """The adapter's name for it."""
        return self.state.key

    def record(self, event: ev.Event) -> None:
        """Events and state take one: what cannot be kept, or comes too late, is in neither."""
        if self.sealed and not isinstance(event, ev.Published):
            self.dropped("event", "sealed")
            return
        if self.append(event):
            odd = self.state.odd
            self.state.apply(event)
            if self.state.odd > odd:
                self.odd(event, "made no sense", self.state.odd - odd)

    def show(self, event: ev.Event) -> None:
        """Show an event to whoever watches."""
        if self.watched() and not isinstance(event, ev.Span | ev.CallAttribute | ev.AdapterState):
            party, start = getattr(event, "party", None), round(seconds(event.at - self.state.opened), 2)
            name = ev.type_name(event).lower()
            if isinstance(event, ev.SpeechState | ev.Consent):
                name = f"{'consent' if isinstance(event, ev.Consent) else 'speech'}-{event.state}"
            self.tell("event", name, party, "", start, start)

    def show_words(
        self, kind: Literal["partial", "final"], party: int, since: Instant, until: Instant, text: str
    ) -> None:
        """Show words to whoever watches, but none that a pause touches: a final that it touches has no text."""
        if not self.watched():
            return
        if self.state.hidden_in(since, until, party, "transcription"):
            text = ""
        if text or kind == "final":
            zero, who = self.state.opened, self.state.parties[party].who
            start, stop = (round(seconds(at - zero), 2) for at in (since, until))
            self.tell(kind, text, party, who.name or who.tel or who.sip, start, stop)

    # What only whoever keeps the call knows.

    @abstractmethod
    def now(self) -> Instant:
        """This moment."""

    def moved(self, at: Instant) -> Instant:
        """A moment from before the call's zero, by the clock as it is now; the same where clocks do not step."""
        return at

    @abstractmethod
    def append(self, event: ev.Event) -> bool:
        """Keep an event. False: it cannot be kept, and that was counted."""

    @abstractmethod
    def dropped(self, what: str, reason: str) -> None:
        """Count something lost."""

    @abstractmethod
    def odd(self, event: ev.Event, why: str, count: int = 1) -> None:
        """An event made no sense, or its moment did not; ``why`` goes on after the event's name."""

    @abstractmethod
    def overflowed(self, what: str) -> None:
        """The call came to a limit: parties, tracks, events. Said once."""

    @abstractmethod
    def ended(self) -> None:
        """The end was said."""

    def watched(self) -> bool:
        """Whether anybody watches; without it, lines are not worth making."""
        return True

    @abstractmethod
    def tell(
        self, kind: Literal["partial", "final", "event"], text: str, party: int | None, name: str,
        start: float, stop: float,
    ) -> None:  # fmt: skip
        """Hand a ``vcond.sdk.contract.CaptionEvent`` to whoever watches."""


class Recorder(CallLog, Generic[T]):
    """A live call: what becomes of all that is told of it, and the tracks that are being captured."""

    def __init__(self, state: Call) -> None:
        super().__init__(state)
        self.tracks: list[T] = []
        """Tracks that are being captured."""
        self._last_word = state.last
        self._events = 0
        self._switches = 0
        self._full = False
        self.review, self.stopped = Review(self), StoppedAudio()
        self._pausing: dict[str, pausing.Standing] = {}
        """How each party, by key, had paused the call before this one, until it is here."""

    # What an adapter uses; see ``vcond.sdk.contract.LiveCall``.

    def party(self, key: str, *, at: Instant, who: ev.PartyInfo = NOBODY) -> int:
        """The index of a party; it joins, returns or is described. -1 when the call is over or takes no more."""
        key = _mended(key)[:MAX_KEY]
        who = ev.PartyInfo(**_mended(msgspec.structs.asdict(who)))
        known = self.state.party_by_key(key)
        if known is None:
            index = len(self.state.parties)
            if index >= MAX_PARTIES:
                self._overflow("parties")
                return -1
            self._take(ev.PartyJoined(at=at, party=index, key=key, who=who))
            if len(self.state.parties) <= index:
                return -1
            self._own_pause(key, index)
            return index
        if not known.here:
            self._take(ev.PartyJoined(at=at, party=known.index, key=known.key, who=who))
        elif any(value and value != getattr(known.told, name) for name, value in msgspec.structs.asdict(who).items()):
            self._take(ev.PartyDescribed(at=at, party=known.index, who=who))
        return known.index

    def emit(self, event: ev.Event) -> None:
        """Write an event of the adapter."""
        self._take(event)

    def end(self, *, at: Instant, cause: Cause = NO_CAUSE, by: int | None = None) -> None:
        """The conversation is over: tracks and parties still open are closed at ``at``."""
        if self.over:
            return
        at = Instant(min(max(at, self.state.opened), self.now() + FUTURE))
        for track in self.tracks:
            track.close(at=at)
            track.aside.drop()
        for span in labels(self.state, at):
            self.record(span)
        for party in self.state.parties:
            if party.here:
                self.record(ev.PartyLeft(at=at, party=party.index, cause=cause))
        heard = any(
            kind in {ev.SpanKind.RECEIVED, ev.SpanKind.WITHHELD}
            for track in self.state.tracks
            for _, _, kind in track.spans
        )
        why = None if heard or self.state.answered is not None else disposition(cause)
        end = ev.CallEnded(at=at, cause=cause, disposition=why, by=by)
        self.over = True
        self.record(end)
        self.tracks = []
        self.show(end)
        self.ended()

    # What whoever keeps the call uses.

    def open_track(self, party: int, *, at: Instant, codec: str, rate: int) -> int:
        """The index of a new track, of ``rate`` Hz; -1 when there is none, which is counted.

        Raises ProtocolError for a rate outside 8,000 to 48,000 Hz.
        """
        if not 8_000 <= rate <= 48_000:
            raise ProtocolError(f"audio at {rate} Hz is not supported: 8,000 to 48,000 Hz is")
        index = len(self.state.tracks)
        if self.over:
            self.dropped("track", "after-end")
        elif index >= MAX_TRACKS:
            self._overflow("tracks")
        elif not 0 <= party < len(self.state.parties):
            self.dropped("track", "no-party")
        else:
            self.record(ev.TrackOpened(at=at, track=index, party=party, codec=codec, rate=rate))
            return index
        return -1

    def take_in(
        self, other: Recorder[T], history: Iterable[ev.Event], adopt: Callable[[Merge], None], *, unless: str = ""
    ) -> Merge:
        """Take another call in, whose events are ``history``; it is over then, and its tracks write here.

        ``adopt`` brings its audio here. Raises NotMergedError, which is counted, when one of them is over, when the
        other is too long, or for the reason that ``unless`` gives. Neither was changed then.
        """
        if other is self or other.over or self.over:
            raise self._apart("not-possible")
        at = self.now()
        for track in other.tracks:
            track.settle(everything=True)
        change = merge(self.state, other.state, history, at=at)
        if unless:
            raise self._apart(unless)
        if len(msgspec.msgpack.encode(change.event)) > LARGEST_MERGE:
            raise self._apart("too-large")
        if other.state.opened < self.state.opened and other.state.tracks:
            self.dropped("audio", "before-zero")
            self.record(ev.Warned(at=at, code="merged-late", text="audio from before this call's beginning is lost"))
        adopt(change)
        self.record(change.event)
        for track in other.tracks:
            track.moved(self, change)
        self.tracks, other.tracks, other.over = self.tracks + other.tracks, [], True
        self.review.take(other.review)
        self._pausing = other._pausing | self._pausing
        other.record(ev.MergedInto(at=at, call=self.uuid))
        self.review.look()
        return change

    @property
    def last_heard(self) -> Instant:
        """When something last came in."""
        return max([self._last_word, *(track.last_frame for track in self.tracks)])

    def keep_paused(self, standing: Sequence[pausing.Standing], at: Instant) -> None:
        """It follows a call that was paused: nothing is kept until those who paused that one let this one go on."""
        for pause in standing:
            self.record(ev.RecordingPaused(at=at, by=pause.by, reason=pause.reason, until=pause.until))
            if pause.key:
                self._pausing[pause.key] = pause

    # Inside.

    def _take(self, event: ev.Event) -> None:
        if self.over:
            self.dropped("event", "after-end")
            return
        now = self.now()
        if event.at < self.state.opened:
            event = msgspec.structs.replace(event, at=self._not_before(event))
        if not self.state.opened - PAST <= event.at <= now + FUTURE:
            self.odd(event, "lies in the future" if event.at > now else "lies long before the call")
            event = msgspec.structs.replace(event, at=now)
        if (meant := self.review.meant(event)) is None:
            return
        event = meant
        if not self._room_for(event):
            self._overflow("events")
            if not isinstance(event, ev.RecordingPaused):
                return
            event = msgspec.structs.replace(event, until=None)  # the last that is written of this one
        if isinstance(event, _LETS_GO_ON):
            event = msgspec.structs.replace(event, at=max(event.at, now))  # what came until now was not kept
        self._last_word = now
        if isinstance(event, ev.RecordingPaused) and _said_before(event, self.state):
            return
        self.record(_encodable(event))
        if isinstance(event, ev.RecordingPaused):
            for track in self.tracks:
                track.take_back(event.at)
        self.show(event)
        self.review.told(event)

    def _not_before(self, event: ev.Event) -> Instant:
        """Nobody is in a call, and nobody answers it, before it is one."""
        at = self.moved(event.at)
        return max(at, self.state.opened) if isinstance(event, ev.PartyJoined | ev.Answered) else at

    def _room_for(self, event: ev.Event) -> bool:
        """A call has so many events, beside which it can always be paused, and let go on about as often as anybody does."""
        if _always(event, self.state):
            return True
        if isinstance(event, _LETS_GO_ON):
            self._switches += 1
            return self._switches <= MAX_SWITCHES
        self._events += 1
        return self._events <= MAX_EVENTS

    def _own_pause(self, key: str, party: int) -> None:
        """Who paused the call before is here: the pause is that party's again, and no one else's."""
        pause = self._pausing.pop(key, None)
        if pause is None:
            return
        at = max(self.now(), self.state.opened)
        self.record(ev.RecordingPaused(at=at, by="party", party=party, reason=pause.reason, until=pause.until))
        if not self._pausing:
            self.record(ev.RecordingResumed(at=at, by="party"))

    def _overflow(self, what: str) -> None:
        self.dropped(what, "limit")
        if not self._full:
            self._full = True
            self.record(ev.Warned(at=self.now(), code="limit", text=f"too many {what}"))
            self.overflowed(what)

    def _apart(self, reason: str) -> NotMergedError:
        self.dropped("merge", reason)
        return NotMergedError(reason)


def _said_before(event: ev.RecordingPaused, state: Call) -> bool:
    """Whether the one's own pause is on, and no shorter."""
    made = pausing.made(state.pauses, pausing.Owner(event.by, event.party))
    return bool(made) and not pausing.longer(made, event.until)


def _always(event: ev.Event, state: Call) -> bool:
    """Whether there is room for it in every call: a pause that is not on yet, and that a party refuses.

    A second one of the same owner, or party, changes nothing, so these are as many as the others at most.
    """
    if isinstance(event, ev.RecordingPaused):
        return _said_before(event, state) or not pausing.made(state.pauses, pausing.Owner(event.by, event.party))
    return isinstance(event, ev.Consent) and event.state in REFUSED and 0 <= event.party < len(state.parties)


def _encodable(event: ev.Event) -> ev.Event:
    """As it is, or with its texts mended when a peer's are no Unicode (lone surrogates)."""
    try:
        msgspec.msgpack.encode(event)
    except UnicodeEncodeError:
        return ev.decode(_mended(ev.encode(event)))
    except (OverflowError, TypeError):
        return event  # the journal refuses and counts it
    return event


def _mended(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {key: _mended(item) for key, item in value.items()}
    return [_mended(item) for item in value] if isinstance(value, list) else value
