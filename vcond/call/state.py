"""What a call is: a fold over its events. The same events give the same state, always.

``fold(events)`` builds a ``Call``; ``Call.apply(event)`` goes one step. Nothing is raised for an event that makes no
sense (a party that never joined, a span of an unknown track): it is counted in ``Call.odd`` and the rest goes on,
because the journal is all there is and a call is worth more than its worst event.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from msgspec import structs

from vcond.base.time import EPOCH, Instant, nanos, samples
from vcond.call import events as ev
from vcond.call.causes import NO_CAUSE, Cause, Disposition
from vcond.call.consents import Consents
from vcond.call.hidden import asks
from vcond.call.intervals import Interval, outside, touches
from vcond.call.parties import Moment, Party, Presence, described
from vcond.call.spans import Spans
from vcond.policy import pausing
from vcond.policy.consent import Purpose

LONGEST_PRESS = 60_000
"""Milliseconds; a key is not held longer."""


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


@dataclass(slots=True)
class Speech:
    """An utterance and what became of it."""

    utterance: ev.Utterance
    transcript: ev.Transcribed | None = None
    failed: str = ""
    """Why there will be no transcript; empty while there may be one."""


@dataclass(slots=True)
class Call:
    """All that is known of a call. Filled by ``apply``; never changed by hand."""

    uuid: str = ""
    adapter: str = ""
    key: str = ""
    """The adapter's name for it."""
    direction: ev.Direction = "unknown"
    recorder: str = ""
    """Name of this edge, as it appears in the vCon."""
    software: str = ""
    opened: Instant = EPOCH
    """The call's zero: positions in tracks count from it."""
    answered: Instant | None = None
    """When two parties could hear one another for the first time; None = not yet, or never."""
    ended: Instant | None = None
    cause: Cause = NO_CAUSE
    disposition: Disposition | None = None
    """Why nobody answered; None where somebody did."""
    hung_up_by: int | None = None
    """Index of the party; None = not known."""
    parties: list[Party] = field(default_factory=list)
    tracks: list[Track] = field(default_factory=list)
    history: list[Moment] = field(default_factory=list)
    transfers: list[ev.Transferred] = field(default_factory=list)
    speech: dict[int, Speech] = field(default_factory=dict)
    speech_states: list[ev.SpeechState] = field(default_factory=list)
    """How the call was transcribed, by when it changed; ``live`` before the first."""
    tags: list[tuple[str, str]] = field(default_factory=list)
    facts: list[ev.CallAttribute] = field(default_factory=list)
    adapter_state: dict[str, str] = field(default_factory=dict)
    """What the adapter goes on with after a restart, by its own names; empty where that is over."""
    warnings: list[ev.Warned] = field(default_factory=list)
    pauses: list[Interval] = field(default_factory=list)
    """When nothing was to be kept."""
    consents: Consents = field(default_factory=Consents)
    """Who agreed to what, and what is not kept of whom for want of it."""
    interruptions: list[Interval] = field(default_factory=list)
    """When vcond was not there, from a crash or stop to its next start."""
    merged: list[str] = field(default_factory=list)
    merged_into: str = ""
    """uuid of the call that took this one in; empty = none did."""
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

    def ending(self, by: str, party: int | None) -> list[Interval]:
        """The pauses that would end if this one let recording go on now."""
        return pausing.may_end(self.pauses, pausing.Owner(by, party), self.parties)

    @property
    def known_until(self) -> Instant:
        """Until when it was followed: the beginning of an interruption that nothing came after, else the last event."""
        window = self.interruptions[-1] if self.interruptions else None
        alone = window is not None and (window.stop is None or self.last <= window.stop)
        return max(self.opened, window.start if window is not None and alone else self.last)

    def secret(self, at: Instant, party: int) -> bool:
        """Whether what happened then, and is told now, must not be kept. Stamps of others are not exact: now counts too."""
        return self.paused or self.hidden_in(at, Instant(at + 1), party) or not self.consents.keeps(party, "recording")

    def hidden_in(self, start: Instant, stop: Instant, party: int, purpose: Purpose = "recording") -> bool:
        """Whether anything of a party in ``[start, stop)`` is not kept: paused, or without consent."""
        return touches(self.pauses, start, stop) or touches(self.consents.withheld(party, purpose), start, stop)

    def unpaused(self, start: int, stop: int, rate: int) -> list[tuple[int, int]]:
        """The parts of ``[start, stop)`` of a track that no pause touches, a sample away from each."""
        return outside(self.pauses, self.opened, [(start, stop)], rate)

    def at(self, position: int, rate: int) -> Instant:
        """The moment of a position in a track of ``rate`` Hz."""
        return Instant(self.opened + nanos(position, rate))

    def position(self, at: Instant, rate: int) -> int:
        """The position of a moment in a track of ``rate`` Hz; negative before the call's zero."""
        return samples(at - self.opened, rate)

    def party_by_key(self, key: str) -> Party | None:
        """The party that the adapter knows by ``key``."""
        return next((party for party in self.parties if party.key == key), None)

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


# What each event changes. Each returns whether the event made sense.


def _opened(call: Call, e: ev.CallOpened) -> bool:
    if call.uuid:
        return False
    call.uuid, call.adapter, call.key, call.opened = e.call, e.adapter, e.key, e.at
    call.direction, call.recorder, call.software = e.direction, e.recorder, e.software
    return True


def _directed(call: Call, e: ev.Directed) -> bool:
    call.direction = e.direction
    return True


def _joined(call: Call, e: ev.PartyJoined) -> bool:
    if e.party == len(call.parties):
        call.parties.append(Party(e.party, e.key, e.who))
    elif not 0 <= e.party < len(call.parties) or call.parties[e.party].here:
        return False
    party = call.parties[e.party]
    party.told = described(party.told, e.who)
    party.presences.append(Presence(e.at))
    call.history.append(Moment(e.at, e.party, "join"))
    call.consents.review(call.parties, e.at)
    return True


def _party_described(call: Call, e: ev.PartyDescribed) -> bool:
    party = _party(call, e.party)
    if party is not None:
        party.told = described(party.told, e.who)
        call.consents.review(call.parties, e.at)
    return party is not None


def _left(call: Call, e: ev.PartyLeft) -> bool:
    party = _party(call, e.party)
    if party is None or not party.here:
        return False
    party.presences[-1].left, party.cause = e.at, e.cause
    call.history.append(Moment(e.at, e.party, "drop"))
    return True


def _answered(call: Call, e: ev.Answered) -> bool:
    if call.answered is None:
        call.answered = e.at
    return True


def _track_opened(call: Call, e: ev.TrackOpened) -> bool:
    if e.track != len(call.tracks) or _party(call, e.party) is None or e.rate <= 0:
        return False
    call.tracks.append(Track(e.track, e.party, e.codec, e.rate, e.at, e.file or f"{e.track}.pcm", e.shift))
    return True


def _span(call: Call, e: ev.Span) -> bool:
    track = _track(call, e.track)
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


def _track_closed(call: Call, e: ev.TrackClosed) -> bool:
    track = _track(call, e.track)
    if track is None:
        return False
    track.closed, track.samples = e.at, max(track.samples, e.samples)
    return True


def _moment(call: Call, e: ev.Held | ev.Retrieved | ev.Muted | ev.Unmuted) -> bool:
    if _party(call, e.party) is None:
        return False
    call.history.append(Moment(e.at, e.party, _MOMENTS[type(e)]))
    return True


def _digit(call: Call, e: ev.Dtmf) -> bool:
    if _party(call, e.party) is None:
        return False
    call.history.append(Moment(e.at, e.party, "keydown", e.button))
    call.history.append(
        Moment(Instant(e.at + min(max(e.ms, 1), LONGEST_PRESS) * 1_000_000), e.party, "keyup", e.button)
    )
    return True


def _transferred(call: Call, e: ev.Transferred) -> bool:
    last = call.transfers[-1] if call.transfers else None
    if last is not None and (last.at, last.kind, last.transferor) == (e.at, e.kind, e.transferor):
        call.transfers.pop()  # said again, with more: who the target turned out to be
    call.transfers.append(e)
    return all(i is None or _party(call, i) is not None for i in (e.transferor, e.transferee, e.target))


def _merged(call: Call, e: ev.Merged) -> bool:
    call.merged.append(e.call)
    # Its pauses begin and end by themselves, and ours go on; its rule is for its parties.
    ours, call.pauses = call.pauses, []
    consents, call.consents = call.consents, Consents()
    for plain in e.events:
        try:
            call.apply(ev.decode(plain))
        except ValueError:
            call.odd += 1
    call.pauses = sorted([*ours, *call.pauses], key=lambda pause: pause.start)
    call.history.sort(key=lambda moment: moment.at)  # stable: what happened at once keeps its order
    theirs = {plain.get("party") for plain in e.events if plain.get("t") in {"PartyJoined", "PartyDescribed"}}
    consents.join(call.consents, theirs, call.parties, e.at)
    call.consents = consents
    return True


def _merged_into(call: Call, e: ev.MergedInto) -> bool:
    call.merged_into, call.ended = e.call, e.at
    return True


def _paused(call: Call, e: ev.RecordingPaused) -> bool:
    made = pausing.made(call.pauses, pausing.Owner(e.by, e.party))
    if not made:
        call.pauses.append(Interval(e.at, reason=e.reason, by=e.by, party=e.party, until=e.until))
    elif pausing.longer(made, e.until):
        made[0].until = e.until
    return True


def _unpaused(call: Call, e: ev.RecordingResumed) -> bool:
    ending = call.ending(e.by, e.party)
    for pause in ending:
        pause.stop = max(pause.start, e.at)
    return bool(ending)


def _overridden(call: Call, e: ev.PauseOverridden) -> bool:
    ending = pausing.on(call.pauses)
    for pause in ending:
        pause.stop, pause.overridden_by, pause.override_reason = max(pause.start, e.at), e.by, e.reason
    return bool(ending)


def _consent(call: Call, e: ev.Consent) -> bool:
    party = _party(call, e.party)
    if party is None:
        return False
    call.consents.take(e, call.parties)
    return True


def _policy(call: Call, e: ev.PolicyApplied) -> bool:
    call.consents.rule(e.terms, call.parties, e.at)
    return True


def _interrupted(call: Call, e: ev.Interrupted) -> bool:
    if not call.interruptions or call.interruptions[-1].stop is not None:
        call.interruptions.append(Interval(e.at, reason=e.reason))
    return True


def _recovered(call: Call, e: ev.Recovered) -> bool:
    if not call.interruptions or call.interruptions[-1].stop is not None:
        return False
    call.interruptions[-1].stop = e.at
    if call.speech_states and call.speech_states[-1].state != "live":
        call.speech_states.append(ev.SpeechState(at=e.at, state="live"))  # a new run begins with every call live
    return True


def _utterance(call: Call, e: ev.Utterance) -> bool:
    if e.utterance in call.speech or _track(call, e.track) is None or e.stop <= e.start:
        return False
    call.speech[e.utterance] = Speech(e)
    return True


def _transcribed(call: Call, e: ev.Transcribed) -> bool:
    speech = call.speech.get(e.utterance)
    if speech is None or speech.transcript is not None:
        return False
    speech.transcript, speech.failed = e, ""
    if call.published:
        call.added, call.added_at = call.added + 1, max(call.added_at, e.at)
    return True


def _untranscribed(call: Call, e: ev.Untranscribed) -> bool:
    speech = call.speech.get(e.utterance)
    if speech is None or speech.transcript is not None:
        return False
    speech.failed = e.reason
    return True


def _speech_state(call: Call, e: ev.SpeechState) -> bool:
    call.speech_states.append(e)
    return True


def _tagged(call: Call, e: ev.Tagged) -> bool:
    call.tags = [tag for tag in call.tags if tag[0] != e.name] + [(e.name, e.value)]
    return True


def _fact(call: Call, e: ev.CallAttribute) -> bool:
    call.facts = [f for f in call.facts if (f.name, f.party) != (e.name, e.party)] + [e]
    prefix, dot, header = e.name.partition(".")
    party = _party(call, e.party or 0)
    if dot and prefix == "sip_header" and party is not None and asks(header, e.value):
        party.told = structs.replace(party.told, hidden=True)
    return True


def _adapter_state(call: Call, e: ev.AdapterState) -> bool:
    call.adapter_state[e.name] = e.value
    return True


def _warned(call: Call, e: ev.Warned) -> bool:
    call.warnings.append(e)
    return True


def _ended(call: Call, e: ev.CallEnded) -> bool:
    if call.ended is not None:
        return False
    call.ended, call.cause, call.disposition, call.hung_up_by = e.at, e.cause, e.disposition, e.by
    return True


def _amending(call: Call, e: ev.Amending) -> bool:
    if call.amending is not None:
        return False
    call.amending = e
    return True


def _published(call: Call, e: ev.Published) -> bool:
    if e.vcon:
        call.amended = e.sha512
        return call.amending is not None and call.amending.vcon == e.vcon
    call.published, call.kept = e.sha512, e.kept
    return True


def _party(call: Call, index: int) -> Party | None:
    return call.parties[index] if 0 <= index < len(call.parties) else None


def _track(call: Call, index: int) -> Track | None:
    return call.tracks[index] if 0 <= index < len(call.tracks) else None


_MOMENTS = {ev.Held: "hold", ev.Retrieved: "unhold", ev.Muted: "mute", ev.Unmuted: "unmute"}

_HANDLERS: dict[type[ev.Event], Callable[[Call, Any], bool]] = {
    ev.CallOpened: _opened,
    ev.Directed: _directed,
    ev.PartyJoined: _joined,
    ev.PartyDescribed: _party_described,
    ev.PartyLeft: _left,
    ev.Answered: _answered,
    ev.TrackOpened: _track_opened,
    ev.Span: _span,
    ev.TrackClosed: _track_closed,
    ev.Held: _moment,
    ev.Retrieved: _moment,
    ev.Muted: _moment,
    ev.Unmuted: _moment,
    ev.Dtmf: _digit,
    ev.Transferred: _transferred,
    ev.Merged: _merged,
    ev.MergedInto: _merged_into,
    ev.RecordingPaused: _paused,
    ev.RecordingResumed: _unpaused,
    ev.PauseOverridden: _overridden,
    ev.Utterance: _utterance,
    ev.Transcribed: _transcribed,
    ev.Untranscribed: _untranscribed,
    ev.SpeechState: _speech_state,
    ev.Tagged: _tagged,
    ev.CallAttribute: _fact,
    ev.AdapterState: _adapter_state,
    ev.Warned: _warned,
    ev.Consent: _consent,
    ev.PolicyApplied: _policy,
    ev.Released: lambda call, e: call.consents.release(e.party, e.purpose, e.since),
    ev.Interrupted: _interrupted,
    ev.Recovered: _recovered,
    ev.CallEnded: _ended,
    ev.Amending: _amending,
    ev.Published: _published,
}


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
