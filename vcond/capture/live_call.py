"""A call that goes on: its state, its journal, its tracks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractContextManager
from functools import partial
from typing import TYPE_CHECKING, Literal, Protocol

import structlog

from vcond.base import metrics
from vcond.base.time import Instant
from vcond.call import events as ev
from vcond.call.merge import Merge
from vcond.call.recorder import NotMergedError, Recorder
from vcond.call.state import Call
from vcond.capture.clock import SteadyClock
from vcond.capture.live_feed import CaptionEvent, LiveFeed
from vcond.capture.live_track import CapturedTrack, Surroundings
from vcond.capture.no_journal import CallStore
from vcond.capture.taking_back import take_back, too_late
from vcond.journal import CallJournal
from vcond.media.codecs import Codec
from vcond.media.placement.clocks import TrackClock
from vcond.policy.consent import Terms
from vcond.policy.pausing import OWNERS

if TYPE_CHECKING:
    from vcond.sdk.contract import LiveCall, Track

log = structlog.get_logger()


class Keeper(Surroundings, Protocol):
    """Who keeps all calls, as one of them sees it."""

    @property
    def clock(self) -> SteadyClock:
        """The one clock."""

    @property
    def bus(self) -> LiveFeed:
        """Whoever watches."""

    def terms_of_call(self, call: Call) -> Terms | None:
        """As the configuration wants calls like this one to be kept."""

    def call_ended(self, call: CapturedCall) -> None:
        """An end was said."""

    def call_merged(self, call: CapturedCall) -> None:
        """A call became part of another."""


class CapturedCall(Recorder[CapturedTrack]):
    """The core's ``LiveCall``."""

    def __init__(self, state: Call, journal: CallStore, registry: Keeper) -> None:
        super().__init__(state)
        self.journal = journal
        self.registry = registry
        self.joined: list[str] = list(state.merged)
        """Uuids of calls that were merged into this one."""
        self.sources: list[CapturedTrack] = []
        """Tracks of an earlier run that speech still listens to."""
        self.review.terms_of_call = registry.terms_of_call
        self.review.taken_back = partial(take_back, self)
        self._utterances = 1 + max(state.speech, default=-1)
        if isinstance(journal, CallJournal):
            journal.on_lost = self._not_kept

    @property
    def not_recorded(self) -> str:
        """Why nothing of it is kept, for the operator; empty when it is recorded."""
        return "" if isinstance(self.journal, CallJournal) else self.journal.why or "no journal"

    # What an adapter uses, beside what every recorder has.

    def captions(self) -> AbstractContextManager[AsyncIterator[CaptionEvent]]:
        """What is said and happens from now on, until the end; see ``vcond.sdk.contract.LiveCall``."""
        return self.registry.bus.watch(self.uuid, over=self.over)

    def track(self, party: int, *, at: Instant, codec: Codec, rate: int, clock: TrackClock, source: str = "") -> Track:
        """Open a track of a party. Raises ProtocolError for a rate outside 8,000 to 48,000 Hz."""
        index = self.open_track(party, at=at, codec=source or codec.value, rate=rate)
        track = CapturedTrack(self, index, party, codec=codec, rate=rate, clock=clock, at=at)
        if index < 0:
            track.closed = True
        else:
            self.tracks.append(track)
        return track

    def merge(self, other: LiveCall) -> bool:
        """Take another call in; it is over then. False: nothing was changed, and why is counted."""
        if not isinstance(other, CapturedCall):
            self.dropped("merge", "not-possible")
            return False
        unless = "disk" if self.not_recorded or other.not_recorded else ""

        def adopt(change: Merge) -> None:
            if isinstance(self.journal, CallJournal) and isinstance(other.journal, CallJournal):
                self.journal.adopt(other.journal, change.files)

        try:
            change = self.take_in(other, other.journal.events, adopt, unless=unless)
        except NotMergedError as why:
            if str(why) == "too-large":
                log.error("calls not merged: the other call's history is too long", call=self.uuid, other=other.uuid)  # noqa: TRY400 - no trace
            return False
        self._utterances = max(self._utterances, 1 + max(change.utterances.values(), default=-1))
        for track in other.sources:
            track.moved(self, change)
        self.sources += other.sources
        self.joined += [other.uuid, *other.joined]
        log.info("calls merged", call=self.uuid, other=other.uuid)
        self.registry.bus.moved(other.uuid, self.uuid)
        self.registry.call_merged(other)
        return True

    # What the core uses.

    def next_utterance(self) -> int:
        """The next free number."""
        self._utterances += 1
        return self._utterances - 1

    def heard(self, track: CapturedTrack, event: ev.Event) -> None:
        """What speech found out."""
        if self.sealed:
            self.dropped("transcript", "too-late")
            return
        if isinstance(event, ev.Transcribed) and too_late(self.state, event.utterance):
            event = ev.Untranscribed(at=event.at, utterance=event.utterance, reason=ev.NO_CONSENT)
        if isinstance(event, ev.Warned) and (event.code, event.text) in {(w.code, w.text) for w in self.state.warnings}:
            return
        self.record(event)
        if isinstance(event, ev.SpeechState):
            self.show(event)
        if isinstance(event, ev.Transcribed | ev.Untranscribed):
            of = self.state.speech.get(event.utterance)
            if of is not None:
                text = event.text if isinstance(event, ev.Transcribed) else ""
                since, until = (track.at(at - track.shift) for at in (of.utterance.start, of.utterance.stop))
                self.show_words("final", track.party, since, until, text)
        if isinstance(event, ev.Transcribed):
            self.review.spoken(event)

    # What a recorder asks of whoever keeps the call.

    def now(self) -> Instant:
        """This moment."""
        return self.registry.clock.now()

    def moved(self, at: Instant) -> Instant:
        """A moment from before the call's zero, by the clock as it is now."""
        return self.registry.clock.moved(at)

    def append(self, event: ev.Event) -> bool:
        """Write an event to the journal. False: it is too large, or the journal is closed."""
        if isinstance(event, ev.Consent):
            metrics.consents_total.labels(self.state.adapter, event.state, event.how).inc()
        if isinstance(event, ev.RecordingPaused):
            metrics.pauses_total.labels(self.state.adapter, event.by if event.by in OWNERS else "other").inc()
        try:
            self.journal.append(event)
        except (ValueError, RuntimeError) as why:
            self.dropped("event", "journal")
            log.error(  # noqa: TRY400 - the message says it all
                "event could not be written to the journal",
                call=self.uuid,
                kind=type(event).__name__,
                error=type(why).__name__,
            )
            return False
        return True

    def dropped(self, what: str, reason: str) -> None:
        """Count something lost."""
        metrics.dropped_total.labels(what, reason).inc()

    def odd(self, event: ev.Event, why: str, count: int = 1) -> None:  # noqa: ARG002 - the recorder's names
        """Count malformed events."""
        metrics.odd_events_total.labels(self.state.adapter).inc(count)

    def overflowed(self, what: str) -> None:
        """Say it once."""
        log.warning("call exceeded a limit; what is beyond it is not recorded", call=self.uuid, what=what)

    def ended(self) -> None:
        """The end was said."""
        self.registry.bus.ended(self.uuid)
        self.registry.call_ended(self)

    def watched(self) -> bool:
        """Whether anybody watches."""
        return self.registry.bus.watched(self.uuid)

    def tell(
        self, kind: Literal["partial", "final", "event"], text: str, party: int | None, name: str,
        start: float, stop: float,
    ) -> None:  # fmt: skip
        """Hand a line to whoever watches."""
        self.registry.bus.publish(CaptionEvent(self.uuid, kind, text, party, name, start, stop))

    def _not_kept(self, file: str, start: int, stop: int) -> None:
        """The disk did not take a stretch of audio."""
        for track in self.state.tracks:
            if track.file == file and not self.sealed:
                at = self.registry.clock.now()
                since, until = max(0, start + track.shift), stop + track.shift
                lost = ev.SpanKind.LOST
                self.record(ev.Span(at=at, track=track.index, start=since, stop=until, kind=lost, final=True))
                if not any(warning.code == "disk" for warning in self.state.warnings):
                    self.record(ev.Warned(at=at, code="disk", text="audio that the disk did not take is lost"))
