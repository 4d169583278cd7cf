"""What a call is: a fold over its events. The same events give the same state, always.

``fold(events)`` builds a ``Call``; ``Call.apply(event)`` goes one step. Nothing is raised for an event that makes no
sense (a party that never joined, a span of an unknown track): it is counted in ``Call.odd`` and the rest goes on,
because the journal is all there is and a call is worth more than its worst event.
"""
# ruff: noqa: SLF001 - the table of handlers at the end names the class's own methods

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from msgspec import structs

from vcond.base.time import EPOCH, MILLI, Instant, nanos, samples
from vcond.call import events as ev
from vcond.call.causes import NO_CAUSE, Cause, Disposition
from vcond.call.hidden import asks, shown
from vcond.call.spans import Spans

LONGEST_PRESS = 60_000
"""Milliseconds; a key is not held longer."""


@dataclass(slots=True)
class Stay:
    """A party's presence from ``joined`` to ``left`` (None = still here)."""

    joined: Instant
    left: Instant | None = None


@dataclass(slots=True)
class Party:
    """One participant of the conversation, for ever at its index."""

    index: int
    key: str
    told: ev.Who
    """What the adapter told of it. Whoever hid the number may be named in it: nothing shows it."""
    stays: list[Stay] = field(default_factory=list)
    cause: Cause = NO_CAUSE

    @property
    def who(self) -> ev.Who:
        """Who it is, as may be shown: whoever hid the number is ``anonymous``."""
        return shown(self.told)

    @property
    def here(self) -> bool:
        """Whether the party is in the conversation now."""
        return bool(self.stays) and self.stays[-1].left is None


@dataclass(slots=True)
class Track:
    """Audio of one party, positions in samples from the call's zero."""

    index: int
    party: int
    codec: str
    rate: int
    opened: Instant
    file: str
    shift: int
    spans: Spans = field(default_factory=Spans)
    final: list[tuple[int, int, ev.SpanKind]] = field(default_factory=list)
    """Stretches that later spans do not paint over."""
    samples: int = 0
    """End of what is known to be placed."""
    closed: Instant | None = None


@dataclass(slots=True, frozen=True)
class Moment:
    """A line of the party history: join drop hold unhold mute unmute keydown keyup (core-04 section 4.3)."""

    at: Instant
    party: int
    event: str
    button: str = ""


@dataclass(slots=True)
class Speech:
    """An utterance and what became of it."""

    utterance: ev.Utterance
    transcript: ev.Transcribed | None = None
    failed: str = ""
    """Why there will be no transcript; empty while there may be one."""


@dataclass(slots=True)
class Window:
    """A stretch of time that ``stop`` closes (None = still open)."""

    start: Instant
    stop: Instant | None = None
    reason: str = ""
    by: str = ""
    party: int | None = None
    overridden_by: str = ""
    """Who ended a pause that was another's to end; empty = whoever made it did."""
    override_reason: str = ""


@dataclass(slots=True)
class Call:
    """All that is known of a call. Filled by ``apply``; never changed by hand."""

    uuid: str = ""
    adapter: str = ""
    key: str = ""
    direction: ev.Direction = "unknown"
    recorder: str = ""
    software: str = ""
    opened: Instant = EPOCH
    answered: Instant | None = None
    ended: Instant | None = None
    cause: Cause = NO_CAUSE
    disposition: Disposition | None = None
    hung_up_by: int | None = None
    parties: list[Party] = field(default_factory=list)
    tracks: list[Track] = field(default_factory=list)
    history: list[Moment] = field(default_factory=list)
    transfers: list[ev.Transferred] = field(default_factory=list)
    speech: dict[int, Speech] = field(default_factory=dict)
    speech_states: list[ev.SpeechState] = field(default_factory=list)
    """How the call was transcribed, by when it changed; ``live`` before the first."""
    tags: list[tuple[str, str]] = field(default_factory=list)
    facts: list[ev.Fact] = field(default_factory=list)
    warnings: list[ev.Warned] = field(default_factory=list)
    pauses: list[Window] = field(default_factory=list)
    interruptions: list[Window] = field(default_factory=list)
    merged: list[str] = field(default_factory=list)
    merged_into: str = ""
    published: str = ""
    """Hex SHA-512 of the vCon in the outbox; empty = not there yet."""
    amending: ev.Amending | None = None
    """An amended vCon was announced."""
    amended: str = ""
    """Hex SHA-512 of the amended vCon in the outbox; empty = not there yet."""
    added: int = 0
    """Texts that came after the vCon had left."""
    added_at: Instant = EPOCH
    """When the last of these came."""
    kept: bool = False
    """The journal stays when the vCon is delivered: its recording is nowhere else."""
    last: Instant = EPOCH
    """The latest moment of any event."""
    odd: int = 0
    """Events that made no sense."""

    @property
    def paused(self) -> bool:
        """Whether recording is paused now."""
        return any(pause.stop is None for pause in self.pauses)

    def paused_by(self, by: str, party: int | None) -> bool:
        """Whether this one has paused recording now."""
        return any(pause.stop is None and (pause.by, pause.party) == (by, party) for pause in self.pauses)

    def pauses_of_others(self, by: str) -> list[Window]:
        """The pauses that are on and not this one's to end (``operator``, ``platform``)."""
        return [pause for pause in self.pauses if pause.stop is None and (pause.by, pause.party) != (by, None)]

    def ending(self, by: str, party: int | None) -> list[Window]:
        """The pauses that would end if this one let recording go on now: its own, and for a party those of who has left."""
        mine: set[tuple[str, int | None]] = {(by, party)}
        if by == "party":
            mine |= {(by, None), *((by, one.index) for one in self.parties if not one.here)}  # None: of the call before
        return [pause for pause in self.pauses if pause.stop is None and (pause.by, pause.party) in mine]

    @property
    def known_until(self) -> Instant:
        """Until when it was followed: the beginning of an interruption that nothing came after, else the last event."""
        window = self.interruptions[-1] if self.interruptions else None
        alone = window is not None and (window.stop is None or self.last <= window.stop)
        return max(self.opened, window.start if window is not None and alone else self.last)

    def secret(self, at: Instant) -> bool:
        """Whether what happened then, and is told now, must not be kept. Stamps of others are not exact: now counts too."""
        return self.paused or self.paused_in(at, Instant(at + 1))

    def paused_in(self, start: Instant, stop: Instant) -> bool:
        """Whether recording was paused for any of ``[start, stop)``."""
        return any(pause.start < stop and (pause.stop is None or start < pause.stop) for pause in self.pauses)

    def unpaused(self, start: int, stop: int, rate: int) -> list[tuple[int, int]]:
        """The parts of ``[start, stop)`` of a track that no pause touches, a sample away from each."""
        parts = [(start, stop)]
        passed = self.at(start, rate) - MILLI
        for pause in self.pauses:
            if pause.stop is not None and pause.stop < passed:
                continue  # asked for each frame, and a call may have had thousands of pauses
            first = self.position(pause.start, rate) - 1
            last = stop if pause.stop is None else self.position(pause.stop, rate) + 1
            parts = [part for a, b in parts for part in ((a, min(b, first)), (max(a, last), b)) if part[0] < part[1]]
        return parts

    def at(self, position: int, rate: int) -> Instant:
        """The moment of a position in a track of ``rate`` Hz."""
        return Instant(self.opened + nanos(position, rate))

    def position(self, at: Instant, rate: int) -> int:
        """The position of a moment in a track of ``rate`` Hz; negative before the call's zero."""
        return samples(at - self.opened, rate)

    def party_by_key(self, key: str) -> Party | None:
        """The party that the adapter knows by ``key``."""
        return next((party for party in self.parties if party.key == key), None)

    def party_of(self, utterance: ev.Utterance) -> int:
        """Who spoke."""
        return self.tracks[utterance.track].party

    def untranscribed(self) -> list[ev.Utterance]:
        """Utterances that still wait for a text, in order."""
        return [s.utterance for s in self.speech.values() if s.transcript is None and not s.failed]

    def missed(self) -> list[ev.Utterance]:
        """Utterances whose texts did not come in time, in order."""
        return [s.utterance for s in self.speech.values() if s.failed == "deadline"]

    def apply(self, event: ev.Event) -> None:
        """Take one event into the state."""
        self.last = max(self.last, event.at)
        handler = _HANDLERS.get(type(event))
        if handler is not None and not handler(self, event):
            self.odd += 1

    # Each returns whether the event made sense.

    def _opened(self, e: ev.CallOpened) -> bool:
        if self.uuid:
            return False
        self.uuid, self.adapter, self.key, self.opened = e.call, e.adapter, e.key, e.at
        self.direction, self.recorder, self.software = e.direction, e.recorder, e.software
        return True

    def _directed(self, e: ev.Directed) -> bool:
        self.direction = e.direction
        return True

    def _joined(self, e: ev.PartyJoined) -> bool:
        if e.party == len(self.parties):
            self.parties.append(Party(e.party, e.key, e.who))
        elif not 0 <= e.party < len(self.parties) or self.parties[e.party].here:
            return False
        party = self.parties[e.party]
        party.told = _described(party.told, e.who)
        party.stays.append(Stay(e.at))
        self.history.append(Moment(e.at, e.party, "join"))
        return True

    def _described_(self, e: ev.PartyDescribed) -> bool:
        party = self._party(e.party)
        if party is not None:
            party.told = _described(party.told, e.who)
        return party is not None

    def _left(self, e: ev.PartyLeft) -> bool:
        party = self._party(e.party)
        if party is None or not party.here:
            return False
        party.stays[-1].left, party.cause = e.at, e.cause
        self.history.append(Moment(e.at, e.party, "drop"))
        return True

    def _answered(self, e: ev.Answered) -> bool:
        if self.answered is None:
            self.answered = e.at
        return True

    def _track_opened(self, e: ev.TrackOpened) -> bool:
        if e.track != len(self.tracks) or self._party(e.party) is None or e.rate <= 0:
            return False
        self.tracks.append(Track(e.track, e.party, e.codec, e.rate, e.at, e.file or f"{e.track}.pcm", e.shift))
        return True

    def _span(self, e: ev.Span) -> bool:
        track = self._track(e.track)
        if track is None or e.stop <= e.start:
            return False
        track.spans.set(e.start, e.stop, e.kind)
        if e.final:
            track.final.append((e.start, e.stop, e.kind))
        else:
            for start, stop, kind in track.final:
                if start < e.stop and e.start < stop:
                    track.spans.set(start, stop, kind)
        track.samples = max(track.samples, e.stop)
        return True

    def _track_closed(self, e: ev.TrackClosed) -> bool:
        track = self._track(e.track)
        if track is None:
            return False
        track.closed, track.samples = e.at, max(track.samples, e.samples)
        return True

    def _moment(self, e: ev.Held | ev.Resumed | ev.Muted | ev.Unmuted) -> bool:
        if self._party(e.party) is None:
            return False
        self.history.append(Moment(e.at, e.party, _MOMENTS[type(e)]))
        return True

    def _digit(self, e: ev.Digit) -> bool:
        if self._party(e.party) is None:
            return False
        self.history.append(Moment(e.at, e.party, "keydown", e.button))
        self.history.append(
            Moment(Instant(e.at + min(max(e.ms, 1), LONGEST_PRESS) * 1_000_000), e.party, "keyup", e.button)
        )
        return True

    def _transferred(self, e: ev.Transferred) -> bool:
        last = self.transfers[-1] if self.transfers else None
        if last is not None and (last.at, last.kind, last.transferor) == (e.at, e.kind, e.transferor):
            self.transfers.pop()  # said again, with more: who the target turned out to be
        self.transfers.append(e)
        return all(i is None or self._party(i) is not None for i in (e.transferor, e.transferee, e.target))

    def _merged(self, e: ev.Merged) -> bool:
        self.merged.append(e.call)
        ours, self.pauses = self.pauses, []  # its pauses begin and end by themselves, and ours go on
        for plain in e.events:
            try:
                self.apply(ev.decode(plain))
            except ValueError:
                self.odd += 1
        self.pauses = sorted([*ours, *self.pauses], key=lambda pause: pause.start)
        self.history.sort(key=lambda moment: moment.at)  # stable: what happened at once keeps its order
        return True

    def _merged_into(self, e: ev.MergedInto) -> bool:
        self.merged_into, self.ended = e.call, e.at
        return True

    def _paused(self, e: ev.Paused) -> bool:
        if not self.paused_by(e.by, e.party):
            self.pauses.append(Window(e.at, reason=e.reason, by=e.by, party=e.party))
        return True

    def _unpaused(self, e: ev.Unpaused) -> bool:
        ending = self.ending(e.by, e.party)
        for pause in ending:
            pause.stop = max(pause.start, e.at)
        return bool(ending)

    def _overridden(self, e: ev.PauseOverridden) -> bool:
        ending = [pause for pause in self.pauses if pause.stop is None]
        for pause in ending:
            pause.stop, pause.overridden_by, pause.override_reason = max(pause.start, e.at), e.by, e.reason
        return bool(ending)

    def _interrupted(self, e: ev.Interrupted) -> bool:
        if not self.interruptions or self.interruptions[-1].stop is not None:
            self.interruptions.append(Window(e.at, reason=e.reason))
        return True

    def _recovered(self, e: ev.Recovered) -> bool:
        if not self.interruptions or self.interruptions[-1].stop is not None:
            return False
        self.interruptions[-1].stop = e.at
        if self.speech_states and self.speech_states[-1].state != "live":
            self.speech_states.append(ev.SpeechState(at=e.at, state="live"))  # a new run begins with every call live
        return True

    def _utterance(self, e: ev.Utterance) -> bool:
        if e.utterance in self.speech or self._track(e.track) is None or e.stop <= e.start:
            return False
        self.speech[e.utterance] = Speech(e)
        return True

    def _transcribed(self, e: ev.Transcribed) -> bool:
        speech = self.speech.get(e.utterance)
        if speech is None or speech.transcript is not None:
            return False
        speech.transcript, speech.failed = e, ""
        if self.published:
            self.added, self.added_at = self.added + 1, max(self.added_at, e.at)
        return True

    def _untranscribed(self, e: ev.Untranscribed) -> bool:
        speech = self.speech.get(e.utterance)
        if speech is None or speech.transcript is not None:
            return False
        speech.failed = e.reason
        return True

    def _speech_state(self, e: ev.SpeechState) -> bool:
        self.speech_states.append(e)
        return True

    def _tagged(self, e: ev.Tagged) -> bool:
        self.tags = [tag for tag in self.tags if tag[0] != e.name] + [(e.name, e.value)]
        return True

    def _fact(self, e: ev.Fact) -> bool:
        self.facts = [f for f in self.facts if (f.name, f.party) != (e.name, e.party)] + [e]
        prefix, dot, header = e.name.partition(".")
        party = self._party(e.party or 0)
        if dot and prefix == "sip_header" and party is not None and asks(header, e.value):
            party.told = structs.replace(party.told, hidden=True)
        return True

    def _warned(self, e: ev.Warned) -> bool:
        self.warnings.append(e)
        return True

    def _ended(self, e: ev.CallEnded) -> bool:
        if self.ended is not None:
            return False
        self.ended, self.cause, self.disposition, self.hung_up_by = e.at, e.cause, e.disposition, e.by
        return True

    def _amending(self, e: ev.Amending) -> bool:
        if self.amending is not None:
            return False
        self.amending = e
        return True

    def _published(self, e: ev.Published) -> bool:
        if e.vcon:
            self.amended = e.sha512
            return self.amending is not None and self.amending.vcon == e.vcon
        self.published, self.kept = e.sha512, e.kept
        return True

    def _party(self, index: int) -> Party | None:
        return self.parties[index] if 0 <= index < len(self.parties) else None

    def _track(self, index: int) -> Track | None:
        return self.tracks[index] if 0 <= index < len(self.tracks) else None


_MOMENTS = {ev.Held: "hold", ev.Resumed: "unhold", ev.Muted: "mute", ev.Unmuted: "unmute"}

_HANDLERS: dict[type[ev.Event], Callable[[Call, Any], bool]] = {
    ev.CallOpened: Call._opened,
    ev.Directed: Call._directed,
    ev.PartyJoined: Call._joined,
    ev.PartyDescribed: Call._described_,
    ev.PartyLeft: Call._left,
    ev.Answered: Call._answered,
    ev.TrackOpened: Call._track_opened,
    ev.Span: Call._span,
    ev.TrackClosed: Call._track_closed,
    ev.Held: Call._moment,
    ev.Resumed: Call._moment,
    ev.Muted: Call._moment,
    ev.Unmuted: Call._moment,
    ev.Digit: Call._digit,
    ev.Transferred: Call._transferred,
    ev.Merged: Call._merged,
    ev.MergedInto: Call._merged_into,
    ev.Paused: Call._paused,
    ev.Unpaused: Call._unpaused,
    ev.PauseOverridden: Call._overridden,
    ev.Utterance: Call._utterance,
    ev.Transcribed: Call._transcribed,
    ev.Untranscribed: Call._untranscribed,
    ev.SpeechState: Call._speech_state,
    ev.Tagged: Call._tagged,
    ev.Fact: Call._fact,
    ev.Warned: Call._warned,
    ev.Interrupted: Call._interrupted,
    ev.Recovered: Call._recovered,
    ev.CallEnded: Call._ended,
    ev.Amending: Call._amending,
    ev.Published: Call._published,
}


def _described(old: ev.Who, new: ev.Who) -> ev.Who:
    changed = {name: getattr(new, name) for name in new.__struct_fields__ if getattr(new, name)}
    kept = {name: getattr(old, name) for name in old.__struct_fields__}
    return ev.Who(**{**kept, **changed})


def as_published(events: Iterable[ev.Event]) -> Call:
    """The state that the call's own vCon was made of: without what came after it had left."""
    call = Call()
    for event in events:
        if isinstance(event, ev.Published):
            break
        call.apply(event)
    return call


def fold(events: Iterable[ev.Event]) -> Call:
    """The state of a call after all its events."""
    call = Call()
    for event in events:
        call.apply(event)
    return call
