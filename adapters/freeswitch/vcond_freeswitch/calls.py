"""Conversations: what channels are to one another, told to the core as it happens.

A conversation lives above its channels. It begins with the first one and ends when the last one is gone; transfers,
queues and parking change nothing about it. Everything here is told with the moment it happened and waits for nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Protocol

from msgspec import structs

from vcond.adapter import (
    Answered,
    ArrivalClock,
    Cause,
    Codec,
    Desk,
    Event,
    Fact,
    Held,
    Instant,
    LiveCall,
    Party,
    PartyDescribed,
    PartyLeft,
    Resumed,
    Track,
    Transferred,
    Warned,
    Who,
)
from vcond_freeswitch.config import Config, matches
from vcond_freeswitch.events import clean
from vcond_freeswitch.parties import direction

WAITING_APPS: Final = frozenset(
    {"", "bridge", "callcenter", "fifo", "hangup", "park", "queue_dtmf", "set", "sleep", "transfer", "valet_park"}
)
"""Applications in which nobody is spoken to: who ends in one of them was left unanswered."""
RANG: Final = 8
"""Legs that rang in vain and are named in the record of a call that nobody answered."""
EXCLUDED: Final = "excluded"
"""Why a call is not recorded: somebody is in it whose calls never are."""


class Taps(Protocol):
    """Who listens to legs."""

    def start(self, leg: Leg, *, both: bool = False) -> None:
        """Listen to a leg that was answered; nothing happens when it is listened to already."""

    def stop(self, leg: Leg, at: Instant) -> None:
        """Listen no longer; its track ends at ``at``."""


@dataclass(slots=True, eq=False)
class Leg:
    """One channel."""

    channel: str
    """Its Unique-ID now; it can be renamed."""
    name: str
    """``sofia/internal/1001@pbx.example.com``."""
    inside: bool | None
    conversation: Conversation
    created: Instant
    context: str
    up: Instant | None = None
    """When it was answered. Before that it must not be tapped."""
    key: str = ""
    """Key of its party; empty while it is none."""
    who: Who = field(default_factory=Who)
    sip: str = ""
    dialled: str = ""
    app: str = ""
    bypassed: bool = False
    """Its media does not go through the switch: there is nothing to hear."""
    peer: str = ""
    """The channel it is bridged to."""
    conference: str = ""
    met: bool = False
    """Whether it was ever bridged."""
    holding: bool = False
    sent_on: str = ""
    """The last transfer that was told of it (``transfer_source``)."""
    left: Instant | None = None
    cause: Cause = field(default_factory=Cause)

    @property
    def party(self) -> Party | None:
        """The party that it is in its call."""
        call = self.conversation.call
        return call.state.party_by_key(self.key) if call is not None and self.key else None

    @property
    def talking(self) -> bool:
        """Whether somebody hears it."""
        return self.up is not None and bool(self.peer or self.conference)

    def open_track(self, at: Instant, rate: int) -> Track | None:
        """A new track for its party; None when it is none, or is not recorded."""
        call, party = self.conversation.call, self.party
        if call is None or party is None:
            return None
        return call.track(party.index, at=at, codec=Codec.L16, rate=rate, clock=ArrivalClock())

    def open_system_track(self, at: Instant, rate: int) -> Track | None:
        """A track for what it hears: the machine it talks to becomes a party."""
        call = self.conversation.call
        if call is None or not self.key:
            return None
        index = call.party(f"{self.key} system", at=at, who=Who(name="system", validation="none", type="bot"))
        return call.track(index, at=at, codec=Codec.L16, rate=rate, clock=ArrivalClock())

    def system_left(self, at: Instant) -> None:
        """The machine it talked to is gone."""
        call = self.conversation.call
        party = call.state.party_by_key(f"{self.key} system") if call is not None else None
        if party is not None and party.here:
            self.conversation.emit(PartyLeft(at=at, party=party.index))

    def warn(self, at: Instant, code: str, text: str) -> None:
        """Write a warning into the record."""
        self.conversation.emit(Warned(at=at, code=code, text=text))


class Conversation:
    """All channels that belong together, and the call that they are to the core once it is recorded."""

    def __init__(self, key: str, since: Instant, desk: Desk, config: Config, taps: Taps) -> None:
        self.key = key
        self.since = since
        self.late = False
        """Found alive after a gap: its beginning was not seen."""
        self.legs: dict[str, Leg] = {}
        self.call: LiveCall | None = None
        self.refused = ""
        """Why it will never be recorded."""
        self.first: Leg | None = None
        self._rang: list[Leg] = []
        self._last: Leg | None = None
        self._hung_up: Leg | None = None
        self._failure = ""
        self._sent_on: Transferred | None = None
        """A blind transfer that has not reached anybody yet."""
        self._facts: dict[tuple[str, str], str] = {}
        self._desk = desk
        self._config = config
        self._taps = taps

    # Legs come and go.

    def add(self, leg: Leg) -> None:
        """A channel belongs to it from now on."""
        leg.conversation = self
        self.legs[leg.channel] = leg
        self.first = self.first or leg
        if matches(self._config.exclude, leg.name):
            self.refuse(EXCLUDED, leg.created)

    def remove(self, leg: Leg, at: Instant, cause: Cause, *, hung_up: str = "", failure: str = "") -> None:
        """A channel is gone. ``hung_up`` is who ended it (``recv_bye``), ``failure`` why it reached nobody."""
        self.legs.pop(leg.channel, None)
        leg.left, leg.cause = at, cause
        self._taps.stop(leg, at)
        self._last = leg
        if leg is self.first:
            self._failure = failure
        if leg.up is None and leg is not self.first:
            self._rang.append(leg)
            del self._rang[:-RANG]
        self._resume(leg, at)
        party = leg.party
        if party is not None and party.here:
            self.emit(PartyLeft(at=at, party=party.index, cause=cause))
        if hung_up in {"recv_bye", "recv_cancel"}:
            self._hung_up = self._hung_up or leg
        if len([other for other in self.legs.values() if other.key]) > 1:
            self._hung_up = None  # it goes on without whoever hung up

    def rename(self, old: str, new: str) -> None:
        """A channel has another id now; its party stays who it was."""
        leg = self.legs.pop(old)
        leg.channel = new
        self.legs[new] = leg
        for other in self.legs.values():
            if other.peer == old:
                other.peer = new

    def settle(self, at: Instant) -> None:
        """Do what is due: open the call, let parties join, listen to them, say that it is answered."""
        self._open(at)
        if self.call is None:
            return
        for leg in list(self.legs.values()):
            if not leg.key and (leg.up is not None or leg is self.first):
                self._join(leg, at if self.late else leg.up or leg.created)
            if leg.up is not None:
                self._taps.start(leg, both=self._config.system_audio and self._alone(leg))
        if self.call.state.answered is None and len([leg for leg in self.legs.values() if leg.talking]) > 1:
            self.emit(Answered(at=at))

    def _alone(self, leg: Leg) -> bool:
        """Whether a leg was answered with nobody at the other end: what it hears is the switch."""
        return len(self.legs) == 1 and not leg.peer and not leg.conference

    @property
    def over(self) -> bool:
        """Whether nothing more can come."""
        return not self.legs

    # What parties do.

    def describe(self, leg: Leg, who: Who, at: Instant) -> None:
        """More is known of a party."""
        if who == leg.who:
            return
        leg.who = who
        party = leg.party
        if party is not None:
            self.emit(PartyDescribed(at=at, party=party.index, who=who))

    def hold(self, leg: Leg, at: Instant) -> None:
        """A party put the others on hold."""
        party = leg.party
        if party is not None and not leg.holding:
            leg.holding = True
            self.emit(Held(at=at, party=party.index))

    def unhold(self, leg: Leg, at: Instant) -> None:
        """A party took the others back."""
        self._resume(leg, at)

    def fact(self, name: str, value: str, at: Instant, leg: Leg | None = None) -> None:
        """Keep what only the switch knows, once."""
        party = leg.party.index if leg is not None and leg.party is not None else None
        where = (name, leg.key if leg is not None else "")
        if value and self.call is not None and self._facts.get(where) != value:
            self._facts[where] = value
            self.emit(Fact(at=at, name=name, value=clean(value), party=party))

    def emit(self, event: Event) -> None:
        """Tell the core, when it is recorded."""
        if self.call is not None:
            self.call.emit(event)

    def transferred(self, event: Transferred) -> None:
        """A party handed the conversation on. Whom a blind transfer reaches is told when he answers."""
        self.emit(event)
        self._sent_on = event if event.kind == "blind" and event.target is None else None

    # Beginning and end.

    def refuse(self, reason: str, at: Instant) -> None:
        """Record it no more, for ever."""
        self.refused = self.refused or reason
        for leg in self.legs.values():
            self._taps.stop(leg, at)
            leg.key = ""
        if self.call is not None:
            self.emit(Warned(at=at, code=reason, text="not recorded from here on, by configuration"))
            self.call.end(at=at, cause=Cause(text=reason))
            self.call = None

    def end(self, at: Instant) -> None:
        """The last channel is gone."""
        self._open(at)
        call = self.call
        if call is None:
            return
        by = self._hung_up.party if self._hung_up is not None else None
        if call.state.answered is None:
            self._close_unanswered(call, at)
        call.end(at=at, cause=self._cause(call), by=by.index if by is not None else None)
        self.call = None

    def _close_unanswered(self, call: LiveCall, at: Instant) -> None:
        """Nobody answered: a machine did, or those who rang in vain are named."""
        first = self.first
        if first is not None and first.up is not None and first.app not in WAITING_APPS:
            self.emit(Answered(at=first.up))
            self.fact("answered_by", first.app, at)
            return
        for leg in self._rang:
            if not leg.key and leg.left is not None:
                self._join(leg, leg.created)
                party = leg.party
                if party is not None:
                    call.emit(PartyLeft(at=leg.left, party=party.index, cause=leg.cause))

    def _cause(self, call: LiveCall) -> Cause:
        ender = self._hung_up or self._last
        if ender is None or call.state.answered is not None:
            return ender.cause if ender is not None else Cause()
        codes = next((leg.cause for leg in reversed(self._rang) if leg.cause.q850), ender.cause)
        return Cause(q850=codes.q850, sip=codes.sip, text=self._failure or codes.text)

    def _open(self, at: Instant) -> None:
        first = self.first
        if self.call is not None or self.refused or first is None:
            return
        legs = [*self.legs.values(), *self._rang, *([self._last] if self._last else [])]
        begun = self.late or len(legs) > 1 or not self.legs or any(leg.up is not None for leg in legs)
        if not begun or not self._included(first, legs):
            return
        if not self.late and len(self._desk.open_calls()) >= self._config.max_calls:
            self.refuse("limit", at)
            self._desk.dropped("call", "limit")
            self._desk.log.error("call not recorded: max_calls reached", max_calls=self._config.max_calls)
            return
        way = direction(first.inside, [leg.inside for leg in legs if leg is not first])
        self.call = self._desk.call(self.key, at=at if self.late else first.created, direction=way)
        self._opened(at)

    def _included(self, first: Leg, legs: Iterable[Leg]) -> bool:
        config = self._config
        begins = matches(config.include_contexts, first.context) and not matches(config.exclude_contexts, first.context)
        return begins and any(matches(config.include, leg.name) for leg in legs)

    def _opened(self, at: Instant) -> None:
        assert self.first is not None
        self.fact("dialled", self.first.dialled, at)
        if self.late:
            self.emit(Warned(at=at, code="joined-late", text="the call was there before capture began"))
        if self.first.left is not None and not self.first.key:
            self._join(self.first, self.first.created)

    def adopt(self, call: LiveCall, at: Instant) -> None:
        """Go on with a call of an earlier run: who is no longer there has left, who is there stays who he was."""
        self.call = call
        last = max(call.state.last, call.state.opened)
        self._facts = {(fact.name, ""): fact.value for fact in call.state.facts if fact.party is None}
        for leg in self.legs.values():
            known = call.state.party_by_key(leg.channel)
            if known is not None:
                leg.key = known.key
                call.party(known.key, at=at, who=leg.who)
                leg.holding = _holds(call, known.index)
        here = {leg.key for leg in self.legs.values()}
        for party in call.state.parties:
            if party.here and party.key.removesuffix(" system") not in here:
                call.emit(PartyLeft(at=last, party=party.index))

    def absorb(self, other: Conversation) -> None:
        """Another conversation turned out to be part of this one."""
        if EXCLUDED in {self.refused, other.refused}:
            for side in (self, other):
                side.refuse(EXCLUDED, max(self.since, other.since))
        if self.call is not None and other.call is not None:
            self.call.merge(other.call)
        else:
            self.call = self.call or other.call
        self.first = self.first or other.first
        self._rang = (self._rang + other._rang)[-RANG:]
        for leg in other.legs.values():
            leg.conversation = self
            self.legs[leg.channel] = leg
        other.call = None
        other.legs = {}

    def _join(self, leg: Leg, at: Instant) -> None:
        assert self.call is not None
        leg.key = leg.channel
        index = self.call.party(leg.key, at=at, who=leg.who)
        self.fact("channel", leg.name, at, leg)
        self.fact("sip_call_id", leg.sip, at, leg)
        if leg is not self.first:
            self._hung_up = None  # it went on with somebody new
        if self._sent_on is not None and leg.up is not None:
            self.emit(structs.replace(self._sent_on, target=index))
            self._sent_on = None

    def _resume(self, leg: Leg, at: Instant) -> None:
        party = leg.party
        if leg.holding and party is not None:
            self.emit(Resumed(at=at, party=party.index))
        leg.holding = False


def _holds(call: LiveCall, party: int) -> bool:
    """Whether a party was holding when the record stopped."""
    told = [
        moment.event for moment in call.state.history if moment.party == party and moment.event in {"hold", "unhold"}
    ]
    return bool(told) and told[-1] == "hold"
