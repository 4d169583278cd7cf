"""Who was heard and is no more while its leg lives: the one rule of when that is said, and of when the tap is made again.

The daemon asks it twice a second for every adapter, ``vcond.testing`` at every tick. Pure: moments are arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from vcond.base.time import SECOND, Instant
from vcond.call import events as ev
from vcond.call.state import Call

CODE: Final = "audio-stopped"
STOPPED_AFTER: Final = 60.0
"""Seconds without a packet, where an adapter says no others: who saves silence sends more often."""
LONGEST: Final = 60.0
"""Seconds between two requests at most; each doubles them, from those after which audio counts as stopped."""
MOST: Final = 60
"""Requests in a row that bring no audio, after which none is made any more: about an hour."""
SETTLED: Final = 10 * SECOND
"""Audio that comes again for so long begins the count anew, ns."""

_QUIET: Final = {"hold": "hold", "unhold": "hold", "mute": "mute", "unmute": "mute"}
"""Events of a party's history, and what each begins or ends."""


@dataclass(frozen=True, slots=True)
class TapRule:
    """What an adapter said of its taps."""

    after: float = STOPPED_AFTER
    """Seconds without a packet after which the audio of a party who is there has stopped."""
    again: Callable[[Any, int], bool] | None = None
    """See ``vcond.sdk.contract.AdapterHost.taps``; None = a tap cannot be asked for anew."""
    shared: bool = False
    """Whether one connection brings all parties of a call: then nothing has stopped while any of them is heard."""


@dataclass(frozen=True, slots=True)
class Stopped:
    """What is to be said of a party. ``text`` names no person."""

    party: int
    text: str
    does: str
    """What is done about it."""


class Track(Protocol):
    """What is looked at of a track that is being captured."""

    party: int
    closed: bool
    last_frame: Instant
    """When a packet of it came last, or it was opened, or until when it is known why none comes."""


class Owner(Protocol):
    """A call that goes on."""

    @property
    def state(self) -> Call:
        """What is known of it."""

    @property
    def tracks(self) -> Sequence[Track]:
        """Those that are being captured."""

    @property
    def stopped(self) -> StoppedAudio:
        """Whose audio has stopped."""

    def record(self, event: ev.Event) -> None:
        """Write an event."""

    def dropped(self, what: str, reason: str) -> None:
        """Count something lost."""


@dataclass(slots=True)
class _Party:
    since: Instant
    """The last packet before it stopped."""
    due: Instant
    """When to ask next."""
    asked: int = 0
    alive: Instant | None = None
    """Since when packets come again."""


class StoppedAudio:
    """Of one call that goes on."""

    def __init__(self) -> None:
        self.parties: list[int] = []
        """Whose audio has stopped now."""
        self._parties: dict[int, _Party] = {}
        self._quiet: dict[int, Instant] = {}
        """When of each party nothing was awaited last: what should come is awaited from then on."""

    def look(self, owner: Owner, rule: TapRule, now: Instant) -> Iterator[Stopped]:
        """Ask for what is due by ``rule``; what is to be said then."""
        call, tracks = owner.state, owner.tracks
        late = Instant(now - round(rule.after * SECOND))
        if not self._parties and all(track.closed or track.last_frame > late for track in tracks):
            return
        self.parties = []
        here = {party.index for party in call.parties if party.here}
        quiet = here if call.paused else _quiet(call, here)
        self._quiet |= dict.fromkeys(quiet, now)
        if quiet and (rule.shared or quiet == here):
            return
        last: dict[int, Instant] = {}
        for track in tracks:
            if not track.closed and track.party in here:
                known = last.get(track.party, self._quiet.get(track.party, track.last_frame))
                last[track.party] = max(track.last_frame, known)
        for party, one in self._parties.items():
            if party in here:
                last.setdefault(party, one.since)  # its track was closed, and another has not come
        if rule.shared and last:
            last = dict.fromkeys(last, max(last.values()))
        self._parties = {party: one for party, one in self._parties.items() if party in last}
        missed = rule.again is not None or (call.answered is not None and len(here) > 1)
        for party, heard in last.items() if missed else ():
            if party in quiet:
                continue
            if heard > late:
                self._comes(party, heard)
                continue
            self.parties.append(party)
            if said := self._stopped(owner, party, heard, rule, now):
                yield said

    def _comes(self, party: int, heard: Instant) -> None:
        known = self._parties.get(party)
        if known is not None and heard > known.since:
            known.alive = known.alive if known.alive is not None else heard
            if heard - known.alive >= SETTLED:
                del self._parties[party]

    def _stopped(self, owner: Owner, party: int, heard: Instant, rule: TapRule, now: Instant) -> Stopped | None:
        known = self._parties.setdefault(party, _Party(heard, now))
        known.since, known.alive = heard, None
        if now < known.due or known.asked > MOST:
            return None
        told = f"party {party}: no audio came for {(now - heard) // SECOND} s"
        if rule.again is None:
            known.asked = MOST + 1
            return Stopped(party, f"{told}; its system cannot be asked to send it again", "recording goes on")
        if known.asked == MOST:
            known.asked += 1
            return Stopped(party, f"{told}; it was asked for {MOST} times in vain", "it is not asked for any more")
        wait = min(rule.after * 2.0**known.asked, LONGEST)
        known.due = Instant(now + round(wait * SECOND))  # also when asking fails on a mistake
        if not rule.again(owner, party):
            known.due = now
            return None
        known.asked += 1
        return Stopped(party, f"{told}; it was asked for again", "its tap is made again")


def _quiet(call: Call, here: set[int]) -> set[int]:
    """Of those who are there, of whom nothing is awaited: who holds, or is muted; all, unless two are left who talk while one holds."""
    last = {(one.party, _QUIET[one.event]): one.event for one in call.history if one.event in _QUIET}
    quiet = {(party, event) for (party, _), event in last.items() if event in _QUIET.values() and party in here}
    holding = {party for party, event in quiet if event == "hold"}
    return here if holding and len(here) - len(holding) < 2 else {party for party, _ in quiet}


def miss(owner: Owner, rule: TapRule, now: Instant) -> list[Stopped]:
    """Ask anew for the taps of a call whose audio stopped; what is to be said of them, which the record has then."""
    found = list(owner.stopped.look(owner, rule, now))
    for one in found:
        owner.dropped("tap", "stopped")
        begins, ends = f"party {one.party}: ", one.text.rpartition("; ")[2]
        warnings = [warned.text for warned in owner.state.warnings if warned.code == CODE]
        if not any(text.startswith(begins) and text.endswith(ends) for text in warnings):
            owner.record(ev.Warned(at=now, code=CODE, text=one.text))
    return found
