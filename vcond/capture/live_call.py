"""A call that goes on: its state, its journal, its tracks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec
import structlog

from vcond.base import metrics
from vcond.base.errors import ProtocolError
from vcond.base.time import SECOND, Instant, seconds
from vcond.call import events as ev
from vcond.call.causes import Cause, disposition
from vcond.call.merge import merge
from vcond.call.state import Call, Moment
from vcond.capture.live_feed import Line
from vcond.capture.live_track import CoreTrack
from vcond.journal import CallJournal
from vcond.media.codecs import Codec
from vcond.media.placement.clocks import TrackClock

if TYPE_CHECKING:
    from vcond.capture.no_journal import CallStore
    from vcond.capture.registry import Office
    from vcond.sdk.contract import LiveCall, Track

log = structlog.get_logger()

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
_LETS_GO_ON = (ev.Unpaused, ev.PauseOverridden)


class Standing(NamedTuple):
    """A pause that was on when a call was cut off."""

    by: str
    key: str
    """Of the party whose it is; empty = nobody's who is in the call."""
    reason: str


class CoreCall:
    """The core's ``LiveCall``."""

    def __init__(self, state: Call, journal: CallStore, office: Office) -> None:
        self.state = state
        self.journal = journal
        self.office = office
        self.over = state.ended is not None
        self.joined: list[str] = list(state.merged)
        """Uuids of calls that were merged into this one."""
        self.sources: list[CoreTrack] = []
        """Tracks of an earlier run that speech still listens to."""
        self._tracks: list[CoreTrack] = []
        self._events = 0
        self._switches = 0
        self._pausing: dict[str, str] = {}
        """Why each party, by key, had paused the call before this one, until it is here."""
        self._utterances = 1 + max(state.speech, default=-1)
        self._full = False
        self._last_word = state.last
        self.sealed = False
        """Nothing more is taken: the vCon is being made."""
        if isinstance(journal, CallJournal):
            journal.on_lost = self._not_kept

    @property
    def uuid(self) -> str:
        """The uuid of the call and of its vCon."""
        return self.state.uuid

    @property
    def key(self) -> str:
        """The adapter's name for it."""
        return self.state.key

    @property
    def not_recorded(self) -> str:
        """Why nothing of it is kept, for the operator; empty when it is recorded."""
        return "" if isinstance(self.journal, CallJournal) else self.journal.why or "no journal"

    # What an adapter uses.

    def party(self, key: str, *, at: Instant, who: ev.Who = ev.Who()) -> int:  # noqa: B008 - a frozen value
        """The index of a party; it joins, returns or is described. -1 when the call is over or takes no more."""
        key = _mended(key)[:MAX_KEY]
        who = ev.Who(**_mended(msgspec.structs.asdict(who)))
        known = self.state.party_by_key(key)
        if known is None:
            index = len(self.state.parties)
            if index >= MAX_PARTIES:
                self._overflow("parties")
                return -1
            self.emit(ev.PartyJoined(at=at, party=index, key=key, who=who))
            if len(self.state.parties) <= index:
                return -1
            self._own_pause(key, index)
            return index
        if not known.here:
            self.emit(ev.PartyJoined(at=at, party=known.index, key=known.key, who=who))
        elif any(value and value != getattr(known.told, name) for name, value in msgspec.structs.asdict(who).items()):
            self.emit(ev.PartyDescribed(at=at, party=known.index, who=who))
        return known.index

    def emit(self, event: ev.Event) -> None:
        """Write an event of the adapter to the journal."""
        if self.over:
            self.dropped("event", "after-end")
            return
        if not self._room_for(event):
            self._overflow("events")
            return
        now = self.office.clock.now()
        if event.at < self.state.opened:
            event = msgspec.structs.replace(event, at=self._not_before(event))
        if not self.state.opened - PAST <= event.at <= now + FUTURE:
            metrics.odd_events_total.labels(self.state.adapter).inc()
            event = msgspec.structs.replace(event, at=now)
        if isinstance(event, ev.Digit) and self.state.secret(event.at):
            return  # nothing dialled while recording is paused is kept
        if isinstance(event, _LETS_GO_ON):
            event = msgspec.structs.replace(event, at=max(event.at, now))  # what came until now was not kept
        self._last_word = now
        if isinstance(event, ev.Paused) and self.state.paused_by(event.by, event.party):
            return
        self.record(_encodable(event))
        if isinstance(event, ev.Paused):
            for track in self._tracks:
                track.take_back(event.at)
        self._show(event)

    def _not_before(self, event: ev.Event) -> Instant:
        """Nobody is in a call, and nobody answers it, before it is one."""
        at = self.office.clock.moved(event.at)
        return max(at, self.state.opened) if isinstance(event, ev.PartyJoined | ev.Answered) else at

    def _room_for(self, event: ev.Event) -> bool:
        """A call has so many events, beside which it can always be paused, and let go on about as often as anybody does."""
        if isinstance(event, ev.Paused):
            return True  # a second one of the same owner changes nothing, so these are as many as the others at most
        if isinstance(event, _LETS_GO_ON):
            self._switches += 1
            return self._switches <= MAX_SWITCHES
        self._events += 1
        return self._events <= MAX_EVENTS

    def captions(self) -> AbstractContextManager[AsyncIterator[Line]]:
        """What is said and happens from now on, until the end; see ``vcond.sdk.contract.LiveCall``."""
        return self.office.bus.watch(self.uuid, over=self.over)

    def track(self, party: int, *, at: Instant, codec: Codec, rate: int, clock: TrackClock, source: str = "") -> Track:
        """Open a track of a party. Raises ProtocolError for a rate outside 8,000 to 48,000 Hz."""
        if not 8_000 <= rate <= 48_000:
            raise ProtocolError(f"audio at {rate} Hz cannot be taken: 8,000 to 48,000 can")
        index = len(self.state.tracks)
        track = CoreTrack(self, index, party, codec=codec, rate=rate, clock=clock, at=at)
        if self.over or not 0 <= party < len(self.state.parties) or index >= MAX_TRACKS:
            track.refuse()
            if index >= MAX_TRACKS and not self.over:
                self._overflow("tracks")
            else:
                self.dropped("track", "after-end" if self.over else "no-party")
            return track
        self.record(ev.TrackOpened(at=at, track=index, party=party, codec=source or codec.value, rate=rate))
        self._tracks.append(track)
        return track

    def merge(self, other: LiveCall) -> bool:
        """Take another call in; it is over then. False: nothing was changed, and why is counted."""
        if not isinstance(other, CoreCall) or other is self or other.over or self.over:
            self.dropped("merge", "not-possible")
            return False
        at = self.office.clock.now()
        for track in other._tracks:  # noqa: SLF001 - the same class
            track.settle(everything=True)
        change = merge(self.state, other.state, other.journal.events, at=at)
        if not isinstance(self.journal, CallJournal) or not isinstance(other.journal, CallJournal):
            self.dropped("merge", "disk")
            return False
        if len(msgspec.msgpack.encode(change.event)) > LARGEST_MERGE:
            self.dropped("merge", "too-large")
            log.error("calls not merged: the other's history is too long", call=self.uuid, other=other.uuid)
            return False
        if other.state.opened < self.state.opened and other.state.tracks:
            self.dropped("audio", "before-zero")
            self.record(ev.Warned(at=at, code="merged-late", text="audio from before this call's beginning is lost"))
        self.journal.adopt(other.journal, change.files)
        self.record(change.event)
        self._utterances = max(self._utterances, 1 + max(change.utterances.values(), default=-1))
        for track in [*other._tracks, *other.sources]:  # noqa: SLF001 - the same class
            new = change.tracks[track.index]
            track.moved(self, new, change.shifts[new], dict(change.utterances))
        self.sources += other.sources
        self._tracks += other._tracks  # noqa: SLF001 - the same class
        other._tracks = []  # noqa: SLF001 - the same class
        self.joined += [other.uuid, *other.joined]
        other.over = True
        other.record(ev.MergedInto(at=at, call=self.uuid))
        log.info("calls merged", call=self.uuid, other=other.uuid)
        self.office.bus.moved(other.uuid, self.uuid)
        self.office.call_merged(other)
        return True

    def end(self, *, at: Instant, cause: Cause = Cause(), by: int | None = None) -> None:  # noqa: B008 - frozen
        """The conversation is over."""
        if self.over:
            return
        now = self.office.clock.now()
        at = Instant(min(max(at, self.state.opened), now + FUTURE))
        for track in self._tracks:
            track.close(at=at)
        self._label(at)
        for party in self.state.parties:
            if party.here:
                self.record(ev.PartyLeft(at=at, party=party.index, cause=cause))
        heard = any(kind is ev.SpanKind.RECEIVED for track in self.state.tracks for _, _, kind in track.spans)
        why = None if heard or self.state.answered is not None else disposition(cause)
        end = ev.CallEnded(at=at, cause=cause, disposition=why, by=by)
        self.record(end)
        self.over = True
        self._tracks = []
        self._show(end)
        self.office.bus.ended(self.uuid)
        self.office.call_ended(self)

    # What the core uses.

    def standing(self) -> list[Standing]:
        """The pauses that are on."""
        keys = {party.index: party.key for party in self.state.parties}
        pauses = [pause for pause in self.state.pauses if pause.stop is None]
        return [
            Standing(pause.by, "" if pause.party is None else keys.get(pause.party, ""), pause.reason)
            for pause in pauses
        ]

    def keep_paused(self, standing: Sequence[Standing], at: Instant) -> None:
        """It follows a call that was paused: nothing is kept until those who paused that one let this one go on."""
        for pause in standing:
            self.record(ev.Paused(at=at, by=pause.by, reason=pause.reason))
            if pause.key:
                self._pausing[pause.key] = pause.reason

    def _own_pause(self, key: str, party: int) -> None:
        """Who paused the call before is here: the pause is that party's again, and no one else's."""
        reason = self._pausing.pop(key, None)
        if reason is None:
            return
        at = max(self.office.clock.now(), self.state.opened)
        self.record(ev.Paused(at=at, by="party", party=party, reason=reason))
        if not self._pausing:
            self.record(ev.Unpaused(at=at, by="party"))

    @property
    def tracks(self) -> list[CoreTrack]:
        """Tracks that are being captured."""
        return self._tracks

    @property
    def last_heard(self) -> Instant:
        """When something last came in."""
        return max([self._last_word, *(track.last_frame for track in self._tracks)])

    def record(self, event: ev.Event) -> None:
        """Journal and state take an event: what the journal refuses, or what comes too late, is in neither."""
        if self.sealed and not isinstance(event, ev.Published):
            self.dropped("event", "sealed")
            return
        try:
            self.journal.append(event)
        except (ValueError, RuntimeError) as why:  # too large, or the journal is closed
            self.dropped("event", "journal")
            log.error("event not in the journal", call=self.uuid, kind=type(event).__name__, why=type(why).__name__)  # noqa: TRY400
            return
        odd = self.state.odd
        self.state.apply(event)
        if self.state.odd > odd:
            metrics.odd_events_total.labels(self.state.adapter).inc(self.state.odd - odd)

    def dropped(self, what: str, reason: str) -> None:
        """Count something lost."""
        metrics.dropped_total.labels(what, reason).inc()

    def next_utterance(self) -> int:
        """The next free number."""
        self._utterances += 1
        return self._utterances - 1

    def heard(self, track: CoreTrack, event: ev.Event) -> None:
        """What speech found out."""
        if self.sealed:
            self.dropped("transcript", "too-late")
            return
        if isinstance(event, ev.Warned) and (event.code, event.text) in {(w.code, w.text) for w in self.state.warnings}:
            return
        self.record(event)
        if isinstance(event, ev.SpeechState):
            self._show(event)
        if isinstance(event, ev.Transcribed | ev.Untranscribed):
            of = self.state.speech.get(event.utterance)
            if of is not None:
                text = event.text if isinstance(event, ev.Transcribed) else ""
                self.say(track, "final", of.utterance.start - track.shift, of.utterance.stop - track.shift, text)

    def say(self, track: CoreTrack, kind: Literal["partial", "final"], start: int, stop: int, text: str) -> None:
        """Show words to whoever watches, but none that a pause touches: a final that it touches has no text."""
        if not self.office.bus.watched(self.uuid):
            return
        since, until = track.at(start), track.at(stop)
        if self.state.paused_in(since, until):
            text = ""
        if text or kind == "final":
            zero, who = self.state.opened, self.state.parties[track.party].who
            begin, end = (round(seconds(at - zero), 2) for at in (since, until))
            name = who.name or who.tel or who.sip
            self.office.bus.publish(Line(self.uuid, kind, text, track.party, name, begin, end))

    def _show(self, event: ev.Event) -> None:
        if self.office.bus.watched(self.uuid) and not isinstance(event, ev.Span | ev.Fact):
            party, start = getattr(event, "party", None), round(seconds(event.at - self.state.opened), 2)
            name = f"speech-{event.state}" if isinstance(event, ev.SpeechState) else type(event).__name__.lower()
            self.office.bus.publish(Line(self.uuid, "event", name, party, start=start, stop=start))

    def _not_kept(self, file: str, start: int, stop: int) -> None:
        """The disk did not take a stretch of audio."""
        for track in self.state.tracks:
            if track.file == file and not self.sealed:
                at = self.office.clock.now()
                since, until = max(0, start + track.shift), stop + track.shift
                lost = ev.SpanKind.LOST
                self.record(ev.Span(at=at, track=track.index, start=since, stop=until, kind=lost, final=True))
                if not any(warning.code == "disk" for warning in self.state.warnings):
                    self.record(ev.Warned(at=at, code="disk", text="audio that the disk did not take is lost"))

    def _label(self, end: Instant) -> None:
        """Say of finished tracks what only the call knows: held, paused. Later words win over the tracks'."""
        for party, since, until in _holds(self.state.history, end):
            for track in [track for track in self.state.tracks if track.party == party]:
                start, stop = self.state.position(since, track.rate), self.state.position(until, track.rate)
                self._relabel(track.index, _not_received(track.spans, max(0, start), stop), ev.SpanKind.HELD, end)
        for track in self.state.tracks:
            self._relabel(track.index, track.spans.hold_edges(track.rate), ev.SpanKind.HELD, end)
        for pause in self.state.pauses:
            for track in self.state.tracks:
                start = max(0, self.state.position(pause.start, track.rate))
                stop = self.state.position(pause.stop or end, track.rate)
                self._relabel(track.index, [(start, stop)], ev.SpanKind.PAUSED, end)

    def _relabel(self, track: int, parts: Iterable[tuple[int, int]], kind: ev.SpanKind, at: Instant) -> None:
        for start, stop in parts:
            if stop > start:
                self.record(ev.Span(at=at, track=track, start=start, stop=stop, kind=kind))

    def _overflow(self, what: str) -> None:
        self.dropped(what, "limit")
        if not self._full:
            self._full = True
            self.record(ev.Warned(at=self.office.clock.now(), code="limit", text=f"too many {what}"))
            log.warning("call over a limit", call=self.uuid, what=what)


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


def _holds(history: Iterable[Moment], end: Instant) -> list[tuple[int, Instant, Instant]]:
    """Who held the others, from when to when."""
    since: dict[int, Instant] = {}
    windows = []
    for moment in history:
        if moment.event == "hold":
            since.setdefault(moment.party, moment.at)
        elif moment.event in {"unhold", "drop"} and moment.party in since:
            windows.append((moment.party, since.pop(moment.party), moment.at))
    return windows + [(party, start, end) for party, start in since.items()]


def _not_received(spans: Iterable[tuple[int, int, ev.SpanKind]], start: int, stop: int) -> list[tuple[int, int]]:
    """The parts of ``[start, stop)`` in which nothing was received."""
    free, position = [], start
    for a, b, kind in spans:
        if kind is ev.SpanKind.RECEIVED and b > position and a < stop:
            free.append((position, a))
            position = b
    free.append((position, stop))
    return [(a, b) for a, b in free if b > a]
