"""What of that which a call is told is a word of consent, whether it is news, and what goes when it is refused."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import msgspec

from vcond.base.time import EPOCH, Instant, nanos
from vcond.call import events as ev
from vcond.call.intervals import touches
from vcond.call.pause_keys import PauseKeys
from vcond.call.state import Call
from vcond.call.told_consent import consents_of, is_consent, refuses
from vcond.call.told_pause import pause_of
from vcond.call.track_recorder import TAKEN_BACK, Aside
from vcond.policy import consent, pausing
from vcond.policy.consent import Purpose, State, Terms, Verdict

_TELLS: Final = (ev.PartyJoined, ev.PartyDescribed, ev.Directed, ev.CallAttribute, ev.Tagged, ev.Consent)
"""What may change the rule that a call matches, or what may be kept of a party."""

MOST_SILENCED: Final = 900
"""Seconds of audio that a withdrawal which is told late takes out of the file; the vCon is silent from its moment anyway."""
MOST_WAITING: Final = 8
"""Attributes that wait for a party."""


class Track(Protocol):
    """A track that is being captured."""

    party: int
    aside: Aside

    def at(self, position: int) -> Instant:
        """The moment of a position, in samples."""

    def consented(self) -> None:
        """Whether its party's voice may be kept is known better."""

    def take_back(self, since: Instant, until: Instant | None = None, *, most: int = TAKEN_BACK) -> None:
        """What was kept since then, or between these, is silence now."""


class Owner(Protocol):
    """The call, as its review sees it."""

    state: Call
    over: bool

    @property
    def tracks(self) -> Sequence[Track]:
        """Those that are being captured."""

    def now(self) -> Instant:
        """This moment."""

    def record(self, event: ev.Event) -> None:
        """Write an event."""

    def emit(self, event: ev.Event) -> None:
        """Take an event as an adapter's."""


class Review:
    """Of a live call: whose voice may be kept, looked at anew whenever something is told."""

    def __init__(self, owner: Owner) -> None:
        self.terms_of_call: Callable[[Call], Terms | None] = lambda call: call.consents.terms
        """What the rule says that a call matches."""
        self.taken_back: Callable[[Collection[int], Purpose, Instant], None] = self.silence
        """What was kept of these parties since then was not to be kept."""
        self.words: dict[str, list[ev.Consent]] = {}
        """What each party, by key, had said in the call that was cut off before this one, until it is here."""
        self.told_before: Collection[tuple[str, str, str]] = ()
        """What attributes said of consent there: name, value, and the key of the party whose it was, or ""."""
        self._owner = owner
        self._keys = PauseKeys()
        self._attributes: list[ev.CallAttribute] = []
        """What speaks of consent of parties that have not come yet."""
        self._withheld = owner.state.consents.open()

    def meant(self, event: ev.Event) -> ev.Event | None:
        """What an event means; None where it says nothing new, and for what is dialled while recording is paused, or without consent.

        A key may be the last of those that pause, or an answer, of a party that has not answered yet, or takes one back. Else it is a digit like others, of a
        menu perhaps. A word that names no purposes has those that it is meant for (``meant_by``). A proof is cut to what is kept of it. An attribute that is told again, as after a restart or with all metadata of a session,
        agrees to nothing anew.
        """
        state = self._owner.state
        if isinstance(event, ev.CallAttribute) and is_consent(event.name) and not refuses(event.value):
            told = any(
                (one.name, one.party, one.value) == (event.name, event.party, event.value) for one in state.facts
            )
            before = (event.name, event.value, self._key(event.party))
            return None if told or before in self.told_before else event
        if isinstance(event, ev.Dtmf):
            if (pause := self._keys.meant(state, event)) is not None:
                return pause
            if touches(state.pauses, event.at, Instant(event.at + 1)) or state.paused:
                return None  # of a card, and no answer
            now = self._now(event.party)
            answer = consent.by_key(state.consents.terms, event.button, now) if now is not None else None
            if answer is None:
                return None if state.secret(event.at, event.party) else event
            evidence: dict[str, str] = {"key": event.button}
            event = ev.Consent(at=event.at, party=event.party, state=answer, how="key", evidence=evidence, purposes=())
        if not isinstance(event, ev.Consent):
            return event
        purposes = event.purposes or consent.meant_by(state.consents.terms, event.state)
        known = 0 <= event.party < len(state.parties)  # else it is kept, and counted as odd
        said = (consent.follows(state.consents.state_of(event.party, one), event.state) for one in purposes)
        if known and not any(said):
            return None
        at = min(event.at, self._owner.now())  # a clock that is ahead would hold against what is said next
        return msgspec.structs.replace(event, at=at, evidence=consent.bounded(event.evidence), purposes=purposes)

    def take(self, other: Review) -> None:
        """Another call is part of this one: of who was in a call before it and is not here yet."""
        self.words = other.words | self.words
        self.told_before = {*self.told_before, *other.told_before}
        for party in self._owner.state.parties:
            if party.here:
                self._remind(party.key, party.index)

    def told(self, event: ev.Event) -> None:
        """Something was told of the call."""
        if not isinstance(event, _TELLS):
            return
        self.look()
        if (pause := pause_of(self._owner.state, event)) is not None:
            self._owner.emit(pause)
        if isinstance(event, ev.PartyJoined):
            self._remind(event.key, event.party)
        if isinstance(event, ev.CallAttribute) and is_consent(event.name):
            self._attributes.append(event)
        if self._attributes and isinstance(event, ev.CallAttribute | ev.PartyJoined):
            waiting, self._attributes = self._attributes[-MOST_WAITING:], []
            for attribute in waiting:
                self._understand(attribute)

    def _remind(self, key: str, party: int) -> None:
        """A party is here: it has said what it had said in the call before, and before all that it says in this one."""
        for said in self.words.pop(key, ()):
            at = max(said.at, self._owner.state.opened)
            self._owner.emit(msgspec.structs.replace(said, at=at, party=party))

    def _key(self, party: int | None) -> str:
        parties = self._owner.state.parties
        return parties[party].key if party is not None and 0 <= party < len(parties) else ""

    def _understand(self, attribute: ev.CallAttribute) -> None:
        """An attribute that speaks of consent; of a party that has not come yet it waits."""
        owner = self._owner
        parties = [party.index for party in owner.state.parties if not party.told.several]
        said = consents_of(attribute.name, attribute.value, party=attribute.party, parties=parties, at=attribute.at)
        if said is None and parties:
            text = "an attribute speaks of consent in words that are not known, or of a party that is not there"
            owner.record(ev.Warned(at=owner.now(), code="consent-unclear", text=text))
        elif not said:
            self._attributes.append(attribute)
        for consent_ in said or ():
            owner.emit(consent_)

    def spoken(self, text: ev.Transcribed) -> None:
        """What an utterance means, of a party that has not answered yet; its place in the recording is the moment of it."""
        state = self._owner.state
        of = state.speech.get(text.utterance)
        answer = consent.by_words(state.consents.terms, text.text, text.language)
        if of is None or answer is None:
            return
        track = state.tracks[of.utterance.track]
        if self._now(track.party) in {"unknown", "asked"}:
            evidence = {"language": text.language, "engine": text.engine, "model": text.model}
            evidence |= {"text": text.text} if answer == "granted" else {}  # what else a refuser said is nowhere
            at = state.at(of.utterance.start, track.rate)
            purposes = consent.meant_by(state.consents.terms, answer)
            said = ev.Consent(at=at, party=track.party, state=answer, how="words", evidence=evidence, purposes=purposes)
            if not self._owner.over:
                self._owner.emit(said)
            elif not state.published:  # said last, and read when the call was over
                self._owner.record(said)
                self.look()

    def again(self) -> None:
        """After a restart: what was to go may be there still."""
        opened, consents = self._owner.state.opened, self._owner.state.consents
        for (party, purpose), since in self._withheld.items():
            if since <= opened:
                lines = [one for one, came in consents.lines_of(party).items() if came <= opened]
                self.taken_back(lines, purpose, since)

    def _now(self, party: int) -> State | None:
        """What is known of a party, of what the rule asks first; None: it can say nothing, as a line of several is nobody."""
        state = self._owner.state
        several = 0 <= party < len(state.parties) and state.parties[party].told.several
        asked = consent.meant_by(state.consents.terms, "granted")
        return None if several else state.consents.state_of(party, asked[0])

    def look(self) -> None:
        """Which rule the call matches, and what may be kept of each party now, and might until now."""
        owner, consents, now, before = self._owner, self._owner.state.consents, self._owner.now(), self._withheld
        terms = self.terms_of_call(owner.state)
        if terms != consents.terms:
            known = {track: consents.withheld(track.party, "recording") for track in owner.tracks}
            owner.record(ev.PolicyApplied(at=now, terms=terms))
            for track, windows in known.items():
                for window in consents.withheld(track.party, "recording"):
                    if window.stop is not None and window not in windows:
                        track.take_back(window.start, window.stop, most=MOST_SILENCED)
        self._pause(now, on=terms is not None and terms.pause)
        if consents.silent:
            return
        for party, purpose in consents.open():
            if consents.verdict(party, purpose) is Verdict.KEEP:
                aside = [track.at(track.aside.first) for track in owner.tracks
                         if track.party == party and track.aside.first is not None]  # fmt: skip
                owner.record(ev.Released(at=now, party=party, purpose=purpose, since=min([now, *aside])))
        self._withheld = consents.open()
        for (party, purpose), since in self._withheld.items():
            for one, came in consents.lines_of(party).items() if before.get((party, purpose)) != since else ():
                if max(since, came) < now:
                    self.taken_back({one}, purpose, max(since, came))
        for track in owner.tracks:
            track.consented()

    def tick(self, now: Instant) -> None:
        """Time passes: a pause whose end was set has come to it."""
        for pause in pausing.on(self._owner.state.pauses):
            if pause.until is not None and pause.until <= now:
                self._owner.emit(ev.RecordingResumed(at=now, by=pause.by, party=pause.party))

    def _pause(self, now: Instant, *, on: bool) -> None:
        """The rule pauses the call from when it matches, and until it does not any more."""
        if on is not bool(pausing.made(self._owner.state.pauses, pausing.RULE)):
            event = ev.RecordingPaused(at=now, by="rule", reason="rule")
            self._owner.emit(event if on else ev.RecordingResumed(at=now, by="rule"))

    def silence(self, parties: Collection[int], purpose: Purpose, since: Instant) -> None:
        """Silence on the tracks of these parties that are being captured."""
        for track in self._owner.tracks if purpose == "recording" else ():
            if track.party in parties:
                track.take_back(since, most=MOST_SILENCED)


def without(
    events: Iterable[ev.Event], parties: Collection[int], *, digits: bool, since: Instant = EPOCH
) -> list[ev.Event] | None:
    """A history without what these parties said and, where ``digits``, pressed since then; None when nothing of that is in it."""
    before = list(events)
    taken = _Taken(parties, since, before[0].at if before else EPOCH, digits=digits)
    left = [event for event in map(taken.out_of, before) if event is not None]
    return left if left != before else None


@dataclass(slots=True)
class _Taken:
    """What is to go."""

    parties: Collection[int]
    since: Instant
    zero: Instant
    rates: dict[int, int] = field(default_factory=dict)
    """Of the parties' tracks, as far as was read."""
    utterances: set[int] = field(default_factory=set)
    digits: bool = field(kw_only=True)

    def out_of(self, event: ev.Event) -> ev.Event | None:
        """One event as it may stay."""
        if isinstance(event, ev.TrackOpened) and event.party in self.parties:
            self.rates[event.track] = event.rate
        elif isinstance(event, ev.Utterance) and (rate := self.rates.get(event.track)):
            self.utterances |= {event.utterance} if self.zero + nanos(event.start, rate) >= self.since else set()
        elif isinstance(event, ev.Transcribed) and event.utterance in self.utterances:
            return ev.Untranscribed(at=event.at, utterance=event.utterance, reason=ev.NO_CONSENT)
        elif isinstance(event, ev.Dtmf) and self.digits and event.party in self.parties and event.at >= self.since:
            return None
        elif isinstance(event, ev.Merged):
            inside = [self.out_of(ev.decode(plain)) for plain in event.events]
            return msgspec.structs.replace(event, events=[ev.encode(one) for one in inside if one is not None])
        return event
