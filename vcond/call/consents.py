"""Who agreed to what in a call, and what is not kept of whom for want of it. Filled by ``Call.apply``.

What opens such a stretch is what was said, or a rule that was found; it ends with ``Released``, which whoever keeps the audio
writes: only there it is known from when on there is any.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import msgspec

from vcond.base.time import EPOCH, SECOND, Instant
from vcond.call import events as ev
from vcond.call.intervals import Interval
from vcond.call.parties import Party
from vcond.policy.consent import PURPOSES, REFUSED, Purpose, State, Terms, Verdict, follows, verdict

_Of = tuple[int, Purpose]
_GATED: Final[tuple[Purpose, ...]] = ("recording", "transcription")
"""What vcond does itself; what others do with a vCon is said in it."""
NEVER: Final = Instant(1 << 62)
"""Later than any moment of a call."""
_STRICT: Final = (Verdict.NOTHING, Verdict.BUFFER, Verdict.KEEP)


@dataclass(slots=True)
class Consents:
    """What was said by the parties of one call, by their indices. Never changed by hand."""

    terms: Terms | None = None
    """The rule that the call matches; None = none does."""
    said: list[ev.Consent] = field(default_factory=list)
    """All of it, in the order in which it was told."""
    _last: dict[_Of, ev.Consent] = field(default_factory=dict)
    _agreed: set[_Of] = field(default_factory=set)
    _windows: dict[_Of, list[Interval]] = field(default_factory=dict)
    """In the order of their ends: each frame asks for those that have not ended, and a call may have had thousands."""
    waiting: dict[int, Instant] = field(default_factory=dict, compare=False)
    """Parties of whom nothing is kept since then, and consent may still bring it: known at once, as each frame asks."""
    _ends: dict[_Of, Instant] = field(default_factory=dict, compare=False)
    """When the last of what is withheld ends; of a line of several, which are looked at each by itself, never."""
    _latest: Instant = field(default=Instant(-NEVER), compare=False)
    _verdicts: dict[_Of, Verdict] = field(default_factory=dict, compare=False)
    """What was worked out since anything was told: each frame that waits for consent asks."""
    _parties: Sequence[Party] = ()

    @property
    def silent(self) -> bool:
        """Whether there is neither rule nor word, nor was there: everything is kept."""
        return self.terms is None and not self.said and not self._windows

    @property
    def buffer_seconds(self) -> int:
        """How much of a track waits for consent at most."""
        return self.terms.buffer_seconds if self.terms is not None else 0

    def state_of(self, party: int, purpose: Purpose) -> State:
        """What is known of a party and a purpose."""
        last = self._last.get((party, purpose))
        return "unknown" if last is None else last.state

    def last(self, party: int, purpose: Purpose) -> ev.Consent | None:
        """What a party said last of a purpose."""
        return self._last.get((party, purpose))

    def verdict(self, party: int, purpose: Purpose) -> Verdict:
        """What is to become of what a party says now; of a line of several parties, the strictest of theirs."""
        known = self._verdicts.get((party, purpose))
        if known is None:
            found = {self._verdict(one, purpose) for one in self._voices(party)}
            known = self._verdicts[party, purpose] = next((one for one in _STRICT if one in found), Verdict.KEEP)
        return known

    def keeps(self, party: int, purpose: Purpose) -> bool:
        """Whether what a party says now is kept."""
        return self.over(party, purpose, NEVER) or not self.withheld(party, purpose, after=NEVER)

    def over(self, party: int, purpose: Purpose, since: Instant) -> bool:
        """Whether ``withheld`` has nothing of a party after ``since``, where that is known at once: each frame asks."""
        return self._latest < since or self._ends.get((party, purpose), EPOCH) < since

    def withheld(self, party: int, purpose: Purpose, *, after: Instant = EPOCH) -> list[Interval]:
        """When nothing of a party was to be kept, but what ended before ``after``; there is no text where there is no audio."""
        if not self._windows:
            return []
        purposes: tuple[Purpose, ...] = ("recording",) if purpose == "recording" else ("recording", purpose)
        found = [one for each in purposes for one in _ending(self._windows.get((party, each), ()), after)]
        for voice in self._voices(party) if self._several(party) else ():
            came = self._came(voice)
            heard = [one for each in purposes for one in _ending(self._windows.get((voice, each), ()), after)]
            found += [one if one.start >= came else replace(one, start=came) for one in heard
                      if one.stop is None or one.stop > came]  # fmt: skip
        return found

    def open(self) -> dict[_Of, Instant]:
        """What is not kept now, of whom, and since when."""
        return {of: found[-1].start for of, found in self._windows.items() if found and found[-1].stop is None}

    def lines_of(self, party: int) -> dict[int, Instant]:
        """A party and the lines on which it is heard with others, by since when it may be."""
        return {one.index: self._came(party) for one in self._parties if one.told.several} | {party: EPOCH}

    # What ``Call.apply`` uses.

    def take(self, event: ev.Consent, parties: Sequence[Party]) -> None:
        """A party said something, or it was said of it. Of two words the one of the later moment counts."""
        self._hear(event)
        self.review(parties, event.at)

    def rule(self, terms: Terms | None, parties: Sequence[Party], at: Instant) -> None:
        """A rule was found, or none counts any more. It counts from the beginning, for whoever had agreed by then, too."""
        self.terms = terms
        self.review(parties, at)
        for of in [(party.index, purpose) for party in parties for purpose in _GATED]:
            enough = [one.at for one in self.said if one.party == of[0] and of[1] in one.purposes
                      and self._verdict(*of, one.state) is Verdict.KEEP]  # fmt: skip
            first = self._verdict(*of, "unknown")
            if first is not Verdict.KEEP and enough and self._verdict(*of) is Verdict.KEEP:
                until = Instant(min(enough) - (self.buffer_seconds * SECOND if first is Verdict.BUFFER else 0))
                windows = self._windows.setdefault(of, [])
                if not any(one.start == EPOCH and (one.stop is None or one.stop >= until) for one in windows):
                    windows.append(Interval(EPOCH, until, reason="unknown", party=of[0]))
                    windows.sort(key=_end)
        self._note_ends()

    def join(self, other: Consents, theirs: Collection[object], parties: Sequence[Party], at: Instant) -> None:
        """Another call was taken in: what was said in it, and what of its parties was not kept, by its own rule."""
        for event in other.said:
            self._hear(event)
        for (party, purpose), windows in other._windows.items():
            if party in theirs:
                both = [*self._windows.get((party, purpose), ()), *windows]
                self._windows[party, purpose] = sorted(both, key=_end)
        self.terms = self.terms or other.terms
        self.review(parties, at)

    def review(self, parties: Sequence[Party], at: Instant) -> None:
        """A rule was found, somebody came or said something: what is not kept from now on, or never was to be."""
        self._parties = parties
        self._verdicts.clear()
        if self.silent:
            return
        alone = all(party.told.several for party in parties)
        for party in parties:
            if self._takes_name(party.index):
                party.told = msgspec.structs.replace(party.told, hidden=True)
            for purpose in _GATED if alone or not party.told.several else ():
                if self._verdict(party.index, purpose) is not Verdict.KEEP:
                    self._withhold(party.index, purpose, at)
        self._note_ends()

    def release(self, party: int, purpose: Purpose, since: Instant) -> bool:
        """From then on it is kept."""
        windows = self._windows.get((party, purpose), [])
        ending = [one for one in windows if one.stop is None]
        for one in ending:
            one.stop = max(one.start, since)
            if one.stop == one.start:
                windows.remove(one)
        windows.sort(key=_end)
        self._note_ends()
        return bool(ending)

    # Inside.

    def _note_ends(self) -> None:
        self._ends = {}
        for (party, purpose), windows in self._windows.items():
            for of in (_GATED if purpose == "recording" else (purpose,)) if windows else ():
                self._ends[party, of] = max(self._ends.get((party, of), EPOCH), _end(windows[-1]))
        if self._windows:
            self._ends |= {(one.index, of): NEVER for one in self._parties if one.told.several for of in _GATED}
        waits = {of: at for of, at in self.open().items() if of[1] == "recording" and not self._several(of[0])}
        self.waiting = {one: at for (one, of), at in waits.items() if self.verdict(one, of) is Verdict.BUFFER}
        self._latest = max(self._ends.values(), default=Instant(-NEVER))

    def _takes_name(self, party: int) -> bool:
        """Whether a party refused, and its number and name are not to be shown then."""
        named = self.terms is not None and self.terms.denied == "name"
        return named and self.state_of(party, "recording") in REFUSED

    def _hear(self, event: ev.Consent) -> None:
        self.said.append(event)
        for purpose in event.purposes:
            last = self._last.get((event.party, purpose))
            if (last is None or last.at <= event.at) and follows(self.state_of(event.party, purpose), event.state):
                self._last[event.party, purpose] = event
                if event.state == "granted":
                    self._agreed.add((event.party, purpose))

    def _several(self, party: int) -> bool:
        return 0 <= party < len(self._parties) and self._parties[party].told.several

    def _came(self, party: int) -> Instant:
        return self._parties[party].presences[0].joined

    def _voices(self, party: int) -> list[int]:
        """Whose voices are on a party's tracks; of a line of several of whom none is known, its own."""
        others = [one.index for one in self._parties if not one.told.several] if self._several(party) else []
        return others or [party]

    def _verdict(self, party: int, purpose: Purpose, state: State | None = None) -> Verdict:
        who = self._parties[party].told if party < len(self._parties) else ev.PartyInfo()
        exempt = who.type == "bot" or (self.terms is not None and who.role in self.terms.exempt)
        return verdict(self.terms, purpose, state or self.state_of(party, purpose), needs_none=exempt)

    def _withhold(self, party: int, purpose: Purpose, at: Instant) -> None:
        windows = self._windows.setdefault((party, purpose), [])
        state = self.state_of(party, purpose)
        start = self._since(party, purpose, at)
        if start == EPOCH:
            windows[:] = [Interval(EPOCH, reason=state, party=party)]
        elif not windows or windows[-1].stop is not None:
            windows.append(Interval(start, reason=state, party=party))
        else:
            windows[-1].reason = state

    def _since(self, party: int, purpose: Purpose, at: Instant) -> Instant:
        """From when on nothing is to be kept: from the beginning where nobody ever agreed."""
        if (party, purpose) not in self._agreed and self.state_of(party, purpose) != "withdrawn":
            return EPOCH
        if self.state_of(party, purpose) in REFUSED:
            back = self.terms is not None and self.terms.withdrawn == "take_back"
            last = self._last[party, purpose]
            return EPOCH if back else last.at
        return at


def standing(consents: Consents, party: int) -> list[ev.Consent]:
    """What a party said last of each purpose."""
    last = [(of, consents.last(party, of)) for of in PURPOSES]
    return [msgspec.structs.replace(one, purposes=(of,)) for of, one in last if one is not None]


def _end(one: Interval) -> Instant:
    return NEVER if one.stop is None else one.stop


def _ending(windows: Sequence[Interval], after: Instant) -> list[Interval]:
    found: list[Interval] = []
    for one in reversed(windows):
        if _end(one) < after:
            break
        found.append(one)
    return found[::-1]
