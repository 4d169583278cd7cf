"""What a call that streams carried leaves to the next one of its key: a platform streams the same telephone call again, later than it is waited for."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

from msgspec import structs

from vcond.call.consents import standing
from vcond.sdk.contract import (
    SECOND,
    CallAttribute,
    Consent,
    Instant,
    LiveCall,
    RecordingPaused,
    is_consent,
    refuses,
)

REMEMBERED: Final = 1000
"""Calls that are over and are remembered."""
SOON: Final = 3600 * SECOND
"""A stream that comes later than that is of another call, ns."""
CONTINUES: Final = "continues"
"""The fact that names the record before: its uuid."""


@dataclass(frozen=True, slots=True)
class Before:
    """A call that is over."""

    uuid: str
    over: Instant
    pauses: tuple[RecordingPaused, ...]
    """Those that were on. What a rule paused is for the rule to say again."""
    words: dict[str, list[Consent]]
    """What stands of each party's consent, by the party's key, until it is there again."""
    told: frozenset[tuple[str, str]]
    """What attributes said of consent: told again with another stream, it agrees to nothing anew."""

    def says_again(self, name: str, value: str) -> bool:
        """Whether an attribute is an old word of consent."""
        return (name, value) in self.told


def before(call: LiveCall) -> Before:
    """What is to be known of a call that is over."""
    state = call.state
    pauses = [one for one in state.pauses if one.by != "rule" and one.stop in {None, state.ended}]
    paused = tuple(RecordingPaused(at=one.start, by=one.by, reason=one.reason, until=one.until) for one in pauses)
    words = {party.key: said for party in state.parties if (said := standing(state.consents, party.index))}
    facts = {(fact.name, fact.value) for fact in state.facts if is_consent(fact.name) and not refuses(fact.value)}
    return Before(state.uuid, state.ended or state.known_until, paused, words, frozenset(facts))


def go_on(call: LiveCall, earlier: Before, at: Instant) -> None:
    """Tell a call which record it continues, and that it is paused as that was."""
    call.emit(CallAttribute(at=at, name=CONTINUES, value=earlier.uuid))
    for pause in earlier.pauses:
        if pause.until is None or pause.until > at:
            call.emit(structs.replace(pause, at=at))


def introduce(call: LiveCall, earlier: Before, key: str, at: Instant) -> None:
    """A party of that call is a party of this one, too, and has said what it had said."""
    party = call.state.party_by_key(key)
    for one in earlier.words.pop(key, ()) if party is not None else ():
        call.emit(structs.replace(one, at=at, party=party.index if party is not None else 0))


@dataclass(slots=True)
class Over:
    """Calls that are over, by key."""

    _calls: OrderedDict[str, Before] = field(default_factory=OrderedDict)

    def keep(self, key: str, call: LiveCall) -> None:
        """A call is over. Those that are of no use any more are forgotten."""
        kept = self._calls[key] = before(call)
        self._calls.move_to_end(key)
        while len(self._calls) > REMEMBERED or kept.over - next(iter(self._calls.values())).over > SOON:
            self._calls.popitem(last=False)

    def take(self, key: str, at: Instant) -> Before | None:
        """The one of that key, when it was not long ago."""
        found = self._calls.pop(key, None)
        return found if found is not None and at - found.over <= SOON else None
