"""Conversations: what the channels of one linkedid are to one another, told to the core as it happens.

A conversation lives above its channels. It begins with the first one and ends when the last one is gone; transfers,
queues and Local channels in between change nothing about it. Everything here is told with the moment it happened and
waits for nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Protocol

from msgspec import structs

from vcond.adapter import (
    NORMAL,
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
from vcond_asterisk.config import Config, matches
from vcond_asterisk.parties import direction, who
from vcond_asterisk.wire import Channel, clean

APP_FACTS: Final = {"Queue": "queue", "ConfBridge": "conference", "VoiceMail": "mailbox"}
"""Applications whose first argument is worth keeping, and under which name."""
MACHINES: Final = frozenset(
    {"AGI", "EAGI", "AudioSocket", "BackGround", "ControlPlayback", "Dictate", "Echo", "Playback", "Read", "Record",
     "SpeechBackground", "Stasis", "VoiceMail", "VoiceMailMain"}
)  # fmt: skip
"""Applications that answer a call in a human's stead: who ends in one of them was not left unanswered."""
FAILURES: Final = frozenset(
    {"BUSY", "CANCEL", "CHANUNAVAIL", "CONGESTION", "DONTCALL", "NOANSWER", "TORTURE", "INVALIDARGS"}
)
"""Ends of a Dial that reached nobody."""
HOLDING: Final = frozenset({"hold", "unhold"})
EXCLUDED: Final = "excluded"
"""Why a call is not recorded: somebody is in it whose calls never are."""
RANG: Final = 8
"""Legs that rang in vain and are named in the record of a call that nobody answered."""


class Taps(Protocol):
    """Who listens to legs."""

    def start(self, leg: Leg) -> None:
        """Listen to a leg; nothing happens when it is listened to already."""

    def stop(self, leg: Leg, at: Instant) -> None:
        """Listen no longer; its track ends at ``at``."""

    def own(self, channel_or_bridge: str) -> bool:
        """Whether an id is one of our own helpers."""

    def last_heard(self, leg: Leg) -> Instant | None:
        """When the last frame of a leg arrived."""


@dataclass(slots=True, eq=False)
class Leg:
    """One real channel."""

    channel: str
    endpoint: str
    inside: bool | None
    conversation: Conversation
    created: Instant
    context: str
    up: Instant | None = None
    key: str = ""
    """Key of its party; empty while it is none."""
    who: Who = field(default_factory=Who)
    sip: str = ""
    exten: str = ""
    app: str = ""
    bridge: str = ""
    holding: bool = False
    left: Instant | None = None
    cause: Cause = field(default_factory=Cause)

    def update(self, channel: Channel, config: Config) -> bool:
        """Take what a newer snapshot says; whether who it is changed."""
        self.sip = self.sip or clean(channel.protocol_id)
        self.exten, self.app = self.exten or channel.dialplan.exten, channel.dialplan.app_name or self.app
        before, self.who = self.who, who(channel, config)
        return before != self.who

    @property
    def party(self) -> Party | None:
        """The party that it is in its call."""
        call = self.conversation.call
        return call.state.party_by_key(self.key) if call is not None and self.key else None

    def open_track(self, at: Instant, rate: int) -> Track | None:
        """A new track for its party; None when it is none, or is not recorded."""
        call, party = self.conversation.call, self.party
        if call is None or party is None:
            return None
        return call.track(party.index, at=at, codec=Codec.L16, rate=rate, clock=ArrivalClock())

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
        self.waiting = False
        """Nothing is told yet: it may turn out to be a call of an earlier run."""
        self.ids = {key}
        """All linkedids that it had."""
        self.legs: dict[str, Leg] = {}
        self.locals: set[str] = set()
        self.call: LiveCall | None = None
        self.refused = ""
        """Why it will never be recorded."""
        self.wanted = not config.only_if_variable
        """Whether the dialplan asked for it, where it has to."""
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
        if matches(self._config.exclude, leg.endpoint):
            self.refuse(EXCLUDED, leg.created)

    def came_up(self, leg: Leg, at: Instant) -> None:
        """A leg was answered, or answered itself."""
        leg.up = leg.up or at

    def remove(self, leg: Leg, at: Instant, cause: Cause) -> None:
        """A channel is gone."""
        self.legs.pop(leg.channel, None)
        leg.left, leg.cause = at, cause
        self._last = leg
        if leg.up is None and leg is not self.first:
            self._rang.append(leg)
            del self._rang[:-RANG]
        self._resume(leg, at)
        self._taps.stop(leg, at)
        party = leg.party
        if party is not None and party.here:
            self.emit(PartyLeft(at=at, party=party.index, cause=cause))
        if len([other for other in self.legs.values() if other.key]) > 1:
            self._hung_up = None  # it goes on without whoever hung up

    def settle(self, at: Instant) -> None:
        """Do what is due: open the call, let parties join, listen to them, say that it is answered."""
        self._open(at)
        if self.call is None or self.waiting:
            return
        for leg in list(self.legs.values()):
            if not leg.key and (leg.up is not None or leg is self.first):
                self._join(leg, at if self.late else leg.up or leg.created)
            if leg.up is not None:
                self._taps.start(leg)
        if self.call.state.answered is None and len(self.connected()) > 1:
            self.emit(Answered(at=at))

    def connected(self) -> list[Leg]:
        """Legs that are up and in a bridge."""
        return [leg for leg in self.legs.values() if leg.up is not None and leg.bridge]

    @property
    def over(self) -> bool:
        """Whether nothing more can come: no leg, and no Local channel that may still reach somebody."""
        answered = self.call is not None and self.call.state.answered is not None
        return not self.legs and (answered or not self.locals)

    # What parties do.

    def describe(self, leg: Leg, at: Instant) -> None:
        """More is known of a party."""
        party = leg.party
        if party is not None:
            self.emit(PartyDescribed(at=at, party=party.index, who=leg.who))

    def hold(self, leg: Leg, at: Instant) -> None:
        """A party put the others on hold."""
        party = leg.party
        if party is not None and not leg.holding:
            leg.holding = True
            self.emit(Held(at=at, party=party.index))

    def unhold(self, leg: Leg, at: Instant) -> None:
        """A party took the others back."""
        self._resume(leg, at)

    def hung_up(self, leg: Leg, cause: int) -> None:
        """A party hung up. Before an answer, only a normal end is somebody's will; all else is a refusal."""
        if leg.up is not None or cause == NORMAL.q850:
            self._hung_up = self._hung_up or leg

    def dial_ended(self, status: str) -> None:
        """A Dial reached nobody."""
        if status in FAILURES:
            self._failure = status

    def fact(self, name: str, value: str, at: Instant, leg: Leg | None = None) -> None:
        """Keep what only the PBX knows, once."""
        party = leg.party.index if leg is not None and leg.party is not None else None
        where = (name, leg.key if leg is not None else "")
        if value and self.call is not None and self._facts.get(where) != value:
            self._facts[where] = value
            self.emit(Fact(at=at, name=name, value=clean(value), party=party))

    def know(self, leg: Leg, channel: Channel, at: Instant) -> None:
        """Facts of a leg that a snapshot of its channel may tell."""
        if leg.key:
            self.fact("sip_call_id", leg.sip, at, leg)
        name = APP_FACTS.get(channel.dialplan.app_name)
        if name:
            self.fact(name, channel.dialplan.app_data.split(",")[0], at)

    def emit(self, event: Event) -> None:
        """Tell the core, when it is recorded."""
        if self.call is not None:
            self.call.emit(event)

    def transferred(self, event: Transferred) -> None:
        """A party handed the conversation on. Whom a blind transfer reaches is told when he answers."""
        self.emit(event)
        open_end = event.kind == "blind" and event.outcome == "success" and event.target is None
        self._sent_on = event if open_end else None

    def hand_over(self, leg: Leg, at: Instant) -> None:
        """A leg's party is gone, but its channel goes on with another."""
        party = leg.party
        self._resume(leg, at)
        self._taps.stop(leg, at)
        if party is not None and party.here:
            self.emit(PartyLeft(at=at, party=party.index))
        leg.key = ""

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

    def look(self, at: Instant) -> None:
        """Stop listening when the core has ended the call by itself (a limit, a stop)."""
        if self.call is not None and self.call.state.ended is not None:
            self.call = None
            self.refuse("ended", at)

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
        spoke = next((leg for leg in (self._last, self.first) if leg and leg.up and leg.app in MACHINES), None)
        if spoke is not None:
            self.emit(Answered(at=spoke.up or at))
            self.fact("answered_by", spoke.app, at)
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
        cancelled = self._hung_up is not None and self._hung_up is self.first
        return Cause(q850=codes.q850, sip=codes.sip, text="CANCEL" if cancelled else self._failure)

    def _open(self, at: Instant) -> None:
        first = self.first
        if self.call is not None or self.refused or self.waiting or not self.wanted or first is None:
            return
        legs = [*self.legs.values(), *self._rang, *([self._last] if self._last else [])]
        begun = self.late or len(legs) > 1 or not self.legs or any(leg.up is not None for leg in legs)
        if not begun or not self._included(first, legs):
            return
        way = direction(first.inside, [leg.inside for leg in legs if leg is not first])
        if len(self._desk.open_calls()) >= self._config.max_calls:
            self.refuse("limit", at)
            self._desk.dropped("call", "limit")
            self._desk.log.error("call not recorded: max_calls reached", max_calls=self._config.max_calls)
            return
        self.call = self._desk.call(self.key, at=at if self.late else first.created, direction=way)
        self._opened(at)

    def _included(self, first: Leg, legs: Iterable[Leg]) -> bool:
        config = self._config
        begins = matches(config.include_contexts, first.context) and not matches(config.exclude_contexts, first.context)
        return begins and any(matches(config.include, leg.endpoint) for leg in legs)

    def _opened(self, at: Instant) -> None:
        assert self.call is not None
        assert self.first is not None
        self.fact("linkedid", self.key, at)
        self.fact("dialled", self.first.exten if self.first.exten != "s" else "", at)
        if self.late:
            self.emit(Warned(at=at, code="joined-late", text="the call was there before capture began"))
        if self.first.left is not None and not self.first.key:
            self._join(self.first, self.first.created)

    def adopt(self, call: LiveCall, at: Instant) -> None:
        """Go on with a call of an earlier run: who is no longer there has left, who is there stays who he was."""
        self.call, self.wanted = call, True
        last = max(call.state.last, call.state.opened)
        for leg in self.legs.values():
            known = party_of_channel(call, leg.channel)
            if known is not None:
                leg.key = known.key
                moments = [m.event for m in call.state.history if m.party == known.index and m.event in HOLDING]
                leg.holding = known.here and moments[-1:] == ["hold"]
                call.party(known.key, at=at, who=leg.who)
        here = {leg.key for leg in self.legs.values()}
        for party in call.state.parties:
            if party.here and party.key not in here:
                call.emit(PartyLeft(at=last, party=party.index))
        self._facts = {(fact.name, ""): fact.value for fact in call.state.facts if fact.party is None}

    def absorb(self, other: Conversation) -> None:
        """Another conversation turned out to be part of this one."""
        if EXCLUDED in {self.refused, other.refused}:
            for side in (self, other):
                side.refuse(EXCLUDED, max(self.since, other.since))
        if self.call is not None and other.call is not None:
            self.call.merge(other.call)
        else:
            self.call = self.call or other.call
        self.ids |= other.ids
        self.locals |= other.locals
        self.wanted |= other.wanted
        self.first = self.first or other.first
        self._rang = (self._rang + other._rang)[-RANG:]
        for leg in other.legs.values():
            leg.conversation = self
            self.legs[leg.channel] = leg
        other.call = None
        other.legs = {}

    # Parties.

    def _join(self, leg: Leg, at: Instant) -> None:
        assert self.call is not None
        leg.key = self._party_key(leg)
        index = self.call.party(leg.key, at=at, who=leg.who)
        if self.first is not None and self.first is not leg and self.first.app == "Queue":
            self._name_roles(self.first, index, at)
        self.fact("uniqueid", leg.channel, at, leg)
        self.fact("endpoint", leg.endpoint, at, leg)
        self.fact("sip_call_id", leg.sip, at, leg)
        if leg is not self.first:
            self._hung_up = None  # it went on with somebody new
        if self._sent_on is not None and leg.up is not None:
            self.emit(structs.replace(self._sent_on, target=index))
            self._sent_on = None

    def _name_roles(self, caller: Leg, agent: int, at: Instant) -> None:
        """Whom a queue connects: that is the one thing that says what parties are to one another."""
        self.emit(PartyDescribed(at=at, party=agent, who=Who(role="agent")))
        if caller.party is not None:
            self.emit(PartyDescribed(at=at, party=caller.party.index, who=Who(role="customer")))

    def _party_key(self, leg: Leg) -> str:
        """That of somebody who was here before with the same phone, else the channel's id."""
        assert self.call is not None
        taken = {other.key for other in self.legs.values() if other is not leg}
        for party in self.call.state.parties:
            if party.here or party.key in taken or _fact_of(self.call, "endpoint", party) != leg.endpoint:
                continue
            if leg.inside or (leg.who.tel and leg.who.tel == party.who.tel):
                return party.key
        known = self.call.state.party_by_key(leg.channel)
        same = known is None or _fact_of(self.call, "endpoint", known) == leg.endpoint
        return leg.channel if same else f"{leg.channel} {leg.endpoint}"  # another phone took the channel over

    def _resume(self, leg: Leg, at: Instant) -> None:
        party = leg.party
        if leg.holding and party is not None:
            self.emit(Resumed(at=at, party=party.index))
        leg.holding = False


def party_of_channel(call: LiveCall, channel: str) -> Party | None:
    """The party that a channel was in a call: by the channel's id, which is its key or was noted as a fact."""
    for fact in call.state.facts:
        if fact.name == "uniqueid" and fact.value == channel and fact.party is not None:
            return call.state.parties[fact.party]
    return call.state.party_by_key(channel)


def _fact_of(call: LiveCall, name: str, party: Party) -> str:
    return next((f.value for f in call.state.facts if f.name == name and f.party == party.index), "")
