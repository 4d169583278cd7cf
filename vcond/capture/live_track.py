"""A track that is being captured: its samples go into the journal, and to speech."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Literal, Protocol

import msgspec
import numpy as np

from vcond.base.time import MILLI, SECOND, Instant, nanos
from vcond.call import events as ev
from vcond.call.intervals import outside
from vcond.call.merge import Merge
from vcond.call.state import Call, Track
from vcond.call.track_recorder import TAKEN_BACK, Owner, TrackRecorder
from vcond.capture.levels import RECENT, Levels
from vcond.capture.no_journal import CallStore
from vcond.media.codecs import Codec, Pcm, decode
from vcond.media.placement.clocks import TrackClock
from vcond.media.placement.put_aside import PutAside, Room
from vcond.media.placement.timeline import Timeline
from vcond.speech.routes import RecognitionOptions

if TYPE_CHECKING:
    from vcond.speech.dispatcher import TrackListener

ADVANCE_EVERY = 100 * MILLI


class Speech(Protocol):
    """Speech, as a track sees it."""

    def listen(self, source: CapturedTrack, start: int = 0) -> TrackListener:
        """A listener for a track, from a position on."""

    def forget_track(self, source: CapturedTrack) -> int:
        """Nobody wants the texts of a track any more."""


class Surroundings(Protocol):
    """What a track uses of what its call lives in."""

    @property
    def speech(self) -> Speech:
        """Who listens."""

    @property
    def undecided(self) -> Room:
        """Memory for what may be kept when consent comes."""

    @property
    def levels(self) -> Levels:
        """Who may look at meters."""

    @property
    def recognition_options(self) -> Callable[[Call], RecognitionOptions]:
        """As the configuration wants calls like this one to be heard."""


class LiveOwner(Owner, Protocol):
    """The call of a track."""

    @property
    def uuid(self) -> str:
        """The uuid of the call and of its vCon."""

    @property
    def journal(self) -> CallStore:
        """Where it is written."""

    @property
    def registry(self) -> Surroundings:
        """Where it lives."""

    def next_utterance(self) -> int:
        """The next free number."""

    def heard(self, track: CapturedTrack, event: ev.Event) -> None:
        """What speech found out."""

    def show_words(
        self, kind: Literal["partial", "final"], party: int, since: Instant, until: Instant, text: str
    ) -> None:
        """Show words to whoever watches."""


class CapturedTrack(TrackRecorder[LiveOwner]):
    """The core's ``Track`` and, for speech, its ``Source``."""

    def __init__(
        self, call: LiveOwner, index: int, party: int, *, codec: Codec, rate: int, clock: TrackClock | None, at: Instant
    ) -> None:
        timeline = Timeline(rate, clock) if clock is not None else None
        decoding = partial(decode, codec)
        super().__init__(
            call,
            index,
            party,
            rate=rate,
            at=at,
            timeline=timeline,
            decode=decoding,
            aside=PutAside(call.registry.undecided),
        )
        self.file = f"{index}.pcm"
        self.recent: deque[Pcm] = deque(maxlen=RECENT)
        self._listener: TrackListener | None = None
        self._told = 0
        self._renumber: dict[int, int] | None = None

    # What the core uses.

    def restore(self, state: Track) -> None:
        """This is a track of an earlier run: its file, and where that lies in the call."""
        self.file, self.shift = state.file, state.shift
        self._zero = Instant(self._zero + nanos(state.shift, state.rate))

    def keep(self, start: int, pcm: Pcm) -> None:
        """Into the file with it, and on to speech, when the party agreed to that."""
        stop = start + len(pcm)
        self.owner.journal.write(self.file, start, pcm)
        if (levels := self.owner.registry.levels).wanted:
            levels.hear(self, pcm)
        if not self.owner.state.consents.keeps(self.party, "transcription"):
            self.hush(start)
            return
        if self._listener is None:
            self._listener, self._told = self.owner.registry.speech.listen(self, start=start), start
        if stop - self._told >= ADVANCE_EVERY * self.rate // SECOND:
            self._told = stop
            self._listener.advance(stop)

    def hush(self, at: int) -> None:
        """Nothing is kept from here on: what is being said ends. The next audio that is kept is listened to anew."""
        if self._listener is not None:
            self._listener.close(at)
            self._listener = None

    def take_back(self, since: Instant, until: Instant | None = None, *, most: int = TAKEN_BACK) -> None:
        """Nothing was to be kept since then, or between these: what was kept in the meantime is silence now."""
        written = min(self._written or 0, self.position(until) + 1) if until is not None else self._written or 0
        start = max(0, self.position(since) - 1, written - most * self.rate)
        for at in range(start, written, self.rate):
            silence = np.zeros(min(self.rate, written - at), np.int16)
            self.owner.journal.write(self.file, at, silence)

    def moved(self, owner: LiveOwner, change: Merge) -> None:
        """The call that opened this track is now part of ``owner``."""
        super().moved(owner, change)
        self.file = owner.state.tracks[self.index].file
        self._renumber = dict(change.utterances)

    def resume_listening(self, since: int, upto: int) -> None:
        """Transcribe what an earlier run captured and did not cut into utterances: ``[since, upto)`` of this track."""
        since = max(since, self.shift)  # the file begins there
        state = self.owner.state
        withheld = state.consents.withheld(self.party, "transcription")
        for first, last in outside(withheld, state.opened, [(since, upto)], self.rate):
            if last - first >= self.rate // 5:
                listener = self.owner.registry.speech.listen(self, start=first - self.shift)
                listener.advance(last - self.shift)
                listener.close(last - self.shift)

    # What speech uses (``vcond.speech.dispatcher.Source``).

    @property
    def call(self) -> str:
        """The call's uuid."""
        return self.owner.uuid

    @property
    def track(self) -> int:
        """The track's index."""
        return self.index

    @property
    def language(self) -> str:
        """As the configuration wants calls like this one to be heard."""
        return self.owner.registry.recognition_options(self.owner.state).language

    @property
    def vocabulary(self) -> tuple[str, ...] | None:
        """The same."""
        return self.owner.registry.recognition_options(self.owner.state).vocabulary

    @property
    def model(self) -> int:
        """The same."""
        return self.owner.registry.recognition_options(self.owner.state).model

    def read(self, start: int, stop: int) -> Pcm:
        """Samples of the journal."""
        return self.owner.journal.read(self.file, max(0, start), max(0, stop))

    def next_utterance(self) -> int:
        """A number no utterance of the call has."""
        return self.owner.next_utterance()

    def emit(self, event: ev.Event) -> None:
        """Take what speech found out into the call."""
        by = self.shift
        if isinstance(event, ev.Utterance):
            event = msgspec.structs.replace(
                event, track=self.index, start=max(0, event.start + by), stop=max(1, event.stop + by)
            )
        elif isinstance(event, ev.Transcribed) and by:
            words = [msgspec.structs.replace(w, start=w.start + by, stop=w.stop + by) for w in event.words]
            event = msgspec.structs.replace(event, words=words)
        if self._renumber is not None and isinstance(event, ev.Utterance | ev.Transcribed | ev.Untranscribed):
            old = event.utterance
            if old not in self._renumber:
                self._renumber[old] = self.owner.next_utterance()
            event = msgspec.structs.replace(event, utterance=self._renumber[old])
        self.owner.heard(self, event)

    def partial(self, start: int, stop: int, text: str) -> None:
        """Show what is being said."""
        self.owner.show_words("partial", self.party, self.at(start), self.at(stop), text)
