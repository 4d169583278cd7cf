"""What the channels of one linkedid are to one another: the conversation of ``vcond.sdk`` in Asterisk's words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2s
from typing import Final, Protocol

from msgspec import structs

from vcond import sdk
from vcond.sdk.contract import (
    NORMAL,
    SECOND,
    AdapterHost,
    Cause,
    Consent,
    Directed,
    Direction,
    Instant,
    LiveCall,
    Party,
    PartyDescribed,
    PartyInfo,
    is_consent,
    without_evidence,
)
from vcond.sdk.words import take_over
from vcond_asterisk.applications import (
    APP_FACTS,
    BEFORE,
    FAILURES,
    MACHINES,
    NOT_DIALLED,
    REFUSALS,
    STAYING_APPS,
)
from vcond_asterisk.config import Config
from vcond_asterisk.facts import AGAIN, fact_of, party_of_channel
from vcond_asterisk.handed_on import HandedOn
from vcond_asterisk.parties import CALLED, HIDDEN, address, called, is_hidden
from vcond_asterisk.wire import CallerId, Channel

OPEN_FOR: Final = 2 * SECOND
"""Longest time that it stays open what a leg that is alone is there for."""
PATIENCE: Final = 6 * SECOND
"""How long a feature may wait for keys, and say that it failed: three times as long as Asterisk's own default."""
SECRET: Final = 5
"""Digits of a hidden number, at least, that are looked for in facts."""


NOBODY: Final = CallerId()


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
class Leg(sdk.Leg):
    """One real channel. Its ``name`` is the endpoint."""

    conversation: Conversation
    exten: str = ""
    device: str = ""
    """The channel's own name, which goes with whoever speaks there: ``PJSIP/agent-00000005``."""
    bridge: str = ""
    state: str = ""
    called: bool = False
    """Asterisk called it; it did not call."""
    by: str = ""
    """The channel that dialled it."""
    answered: bool = False
    """The Dial that called it said so. Being up alone is no answer: he may be asked first whether he takes the call."""
    own: CallerId = NOBODY
    """The caller id with which it was made: its endpoint's. What comes later was shown to it."""
    caller: CallerId = NOBODY
    """The one that it has now."""
    dialstring: str = ""
    """What was dialled to reach it."""
    hidden: bool = False
    """It hid its number."""
    bot: bool = False
    """It is another application, which talks with who is in its bridge, or on whose channel it runs."""
    runs_on: str = ""
    """The channel on which the dialplan runs it: it has none of its own, and says what is sent to that one."""
    handed: set[str] = field(default_factory=set)
    """What its channel has of consent from who called it: nobody's word."""
    mixed: bool = False
    """Another phone took its channel over: variables of both are on it, so what they have of consent is nobody's word."""
    inherits: bool = False
    """It was found in a call that another channel began, which may have handed on what it had."""
    again: bool = False
    """Its party was here before with another leg."""
    asking: Instant | None = None
    """When it pressed the last key of a feature that holds the other side (``#1``, ``*2``), whose end may not be told."""

    def made(self, channel: Channel, *, late: bool) -> None:
        """Take what the first snapshot says; ``late``: it is not the one with which the channel was made."""
        app = channel.dialplan.app_name
        self.called = channel.state in {"Down", "Ringing"} or app in CALLED
        if late and channel.state == "Up" and channel.linkedid not in {"", channel.id}:
            self.called = self.called or channel.dialplan.exten in NOT_DIALLED
        shown = late and self.called and app != "AppDial"
        self.own = CallerId(name=channel.caller.name) if shown else channel.caller

    def taken_over(self, channel: Channel) -> None:
        """Another phone has it now: of that one nothing was said here, and what the variables say is of the two."""
        self.called, self.hidden, self.dialstring = False, False, ""
        self.own = channel.caller
        self.said, self.standing, self.mixed = [], [], True

    def replaces(self, before: Leg) -> None:
        """It has the phone of another channel, which is gone."""
        self.called, self.by, self.answered, self.dialstring = (
            before.called,
            before.by,
            before.answered,
            before.dialstring,
        )
        self.own, self.hidden, self.up, self.holding = before.own, before.hidden, before.up, before.holding
        self.stays, self.found = before.stays, before.found
        self.handed |= before.handed

    def update(self, channel: Channel) -> None:
        """Take what a newer snapshot says."""
        self.sip = self.sip or sdk.clean(channel.protocol_id)
        self.app = channel.dialplan.app_name or self.app
        self.caller, self.state = channel.caller, channel.state
        self.called = self.called and channel.state != "Ring"  # a phone that was off hook first, and dialled then
        self.device = channel.name
        exten = channel.dialplan.exten
        if not self.exten or (self.called and not self.dialled):
            self.exten = exten
            self.dialled = exten if exten not in NOT_DIALLED else ""

    def came_up(self, at: Instant) -> None:
        """It was answered, or answered itself."""
        self.up = self.up or at

    @property
    def may_hide(self) -> bool:
        """Whether its party, of which nothing was told yet, may hide its number."""
        known = bool(self.key) or self.bot or self.called or bool(self.inside) or self.hidden
        return not known and bool(self.caller.number or self.caller.name)

    def identity(self, config: Config) -> PartyInfo:
        """Who its party is: its own identity, never what is shown to it or set for others to see."""
        if self.bot:
            return PartyInfo(type="bot")
        if self.hidden:
            return HIDDEN
        if self.called:
            return called(self.dialstring, self.own, self.name, config, inside=self.inside)
        caller = self.own if self.inside and self.own.number else self.caller
        return address(caller.number, caller.name, config)


class Parties(sdk.Conversation[Leg]):
    """Who the parties of a conversation are, and what is noted of them."""

    def __init__(
        self, key: str, since: Instant, host: AdapterHost, config: Config, everybody: Mapping[str, Leg]
    ) -> None:
        """``everybody``: the legs of all conversations, as they come and go."""
        super().__init__(key, since, host, config)
        self._config = config
        self._everybody = everybody
        self._hidden: set[str] = set()
        """Numbers that must be nowhere."""

    def identify(self, leg: Leg, presentation: str, at: Instant) -> None:
        """Look at who a leg is, which a snapshot may have changed."""
        if not leg.called and not leg.inside and is_hidden(presentation, leg.caller):
            leg.hidden = True
        if leg.hidden:
            self._hidden |= {digits for c in (leg.own, leg.caller) if len(digits := _digits(c.number)) >= SECRET}
        self.describe(leg, leg.identity(self._config), at)

    def fact(self, name: str, value: str, at: Instant, leg: Leg | None = None) -> None:
        """Keep what only the PBX knows, unless a number that somebody hid is in it."""
        if self._hides(value):
            if not is_consent(name):
                return
            value = without_evidence(value)
            if self._hides(value):  # in place of a party: it says nothing that is known
                return
        super().fact(name, value, at, leg)

    def consent(self, leg: Leg, said: Consent) -> None:
        """What an event said of consent, but what of its evidence has a number that somebody hid."""
        evidence = {name: value for name, value in said.evidence.items() if not self._hides(value)}
        super().consent(leg, structs.replace(said, evidence=evidence))

    def _hides(self, value: str) -> bool:
        digits = _digits(value)
        return any(number in digits for number in self._hidden)

    def know(self, leg: Leg, channel: Channel, at: Instant) -> None:
        """Facts of a leg that a snapshot of its channel may tell."""
        if leg.key:
            self._tell_sip(leg, at)
            self.fact("language", channel.language, at, leg)
            self.fact("accountcode", channel.accountcode, at, leg)
        if leg is self.first:
            self.fact("dialled", leg.dialled, at)
        name = APP_FACTS.get(channel.dialplan.app_name)
        if name:
            self.fact(name, channel.dialplan.app_data.split(",")[0], at)

    def _known(self, call: LiveCall, channel: str) -> Party | None:
        return party_of_channel(call, channel)

    def _joined(self, leg: Leg, party: int, at: Instant) -> None:
        if self.first is not None and self.first is not leg and self.first.app == "Queue":
            self._name_roles(self.first, party, at)
        call = self.call
        others = (
            {fact_of(call, "uniqueid", known) for known in call.state.parties[party : party + 1]} if call else set()
        )
        leg.again = bool(others - {"", leg.channel})
        if not leg.runs_on:
            self.fact(f"uniqueid{AGAIN if leg.again else ''}", leg.channel, at, leg)
        self.fact("endpoint", leg.name, at, leg)
        self._tell_sip(leg, at)

    def _tell_sip(self, leg: Leg, at: Instant) -> None:
        """Those of a party's first leg stay; who comes back has the latest beside them."""
        self.fact(f"sip_call_id{AGAIN if leg.again else ''}", leg.sip, at, leg)

    def _name_roles(self, caller: Leg, agent: int, at: Instant) -> None:
        """Whom a queue connects: that is the one thing that says what parties are to one another."""
        self.emit(PartyDescribed(at=at, party=agent, who=PartyInfo(role="agent")))
        if caller.party is not None:
            self.emit(PartyDescribed(at=at, party=caller.party.index, who=PartyInfo(role="customer")))

    def _party_key(self, leg: Leg) -> str:
        """That of the phone, where one can tell; else the channel's id. The same key in calls that meet is one party.

        Two legs of one phone are one party when they follow one another, or when it holds the one while it speaks on
        the other; otherwise somebody else has a phone of the same name.
        """
        assert self.call is not None
        for party in self.call.state.parties:
            if party.here or fact_of(self.call, "endpoint", party) != leg.name or self._taken(party.key, leg):
                continue
            if leg.inside or (leg.who.tel and leg.who.tel == party.who.tel):
                return party.key
        phone = _phone(leg) if not leg.runs_on else ""
        if phone and not self._taken(phone, leg):
            return phone
        known = self.call.state.party_by_key(leg.channel)
        same = known is None or fact_of(self.call, "endpoint", known) == leg.name
        return leg.channel if same else f"{leg.channel} {leg.name}"  # another phone took the channel over

    def _taken(self, key: str, leg: Leg) -> bool:
        """Whether a party of that key speaks on another leg now, in whichever call."""
        return any(other.key == key and other is not leg and not other.holding for other in self._everybody.values())

    def _gone(self, leg: Leg, at: Instant, cause: Cause) -> None:
        """A leg is gone; its party only when it has no other one."""
        if any(other.key == leg.key and other is not leg for other in self.legs.values()) and leg.key:
            self.unhold(leg, at)
            self._stop(leg, at)
        else:
            super()._gone(leg, at, cause)


class Conversation(Parties):
    """All channels that belong together. Local channels in between are kept apart: they are nobody."""

    def __init__(
        self, key: str, since: Instant, host: AdapterHost, config: Config, taps: Taps, everybody: Mapping[str, Leg]
    ) -> None:
        """``everybody``: the legs of all conversations, as they come and go."""
        super().__init__(key, since, host, config, everybody)
        self.waiting = False
        """Nothing is told yet: it may turn out to be a call of an earlier run."""
        self.ids = {key}
        """All linkedids that it had."""
        self.locals: set[str] = set()
        self.handed_on = HandedOn()
        self.wanted = not config.only_if_variable
        """Whether the dialplan asked for it, where it has to."""
        self._taps = taps
        self._not_spying = False
        self._decided = False
        """Which way it goes is not looked at any more."""
        self._left_us = False
        """Somebody from outside was a party of it and left."""

    def connected(self) -> list[Leg]:
        """Legs that are up and in a bridge."""
        return [leg for leg in self.legs.values() if self._talking(leg)]

    @property
    def over(self) -> bool:
        """Whether nothing more can come: no leg, and no Local channel that may still reach somebody."""
        answered = self.call is not None and self.call.state.answered is not None
        return not self.legs and (answered or not self.locals)

    def hung_up(self, leg: Leg, cause: int) -> None:
        """A party hung up. Before an answer, only a normal end is somebody's will; all else is a refusal."""
        if leg.up is not None or cause == NORMAL.q850:
            self._hung_up = self._hung_up or leg

    def dial_ended(self, status: str) -> None:
        """A Dial reached nobody."""
        if status in FAILURES:
            self._failure = status
        elif status.partition(":")[0] in REFUSALS:
            self._failure = "NOANSWER"

    def hand_over(self, leg: Leg, name: str, *, inside: bool | None, at: Instant) -> None:
        """A leg's party is gone, but its channel goes on with another."""
        self._gone(leg, at, Cause())
        leg.name, leg.inside, leg.key = name, inside, ""
        self.look_at(leg, at)

    def replaced(self, before: Leg, leg: Leg, at: Instant) -> None:
        """Asterisk gave a leg's phone another channel (``Bridge``, a redirection), which is in it already: its party goes on there."""
        self._stop(before, at)
        leg.replaces(before)
        take_over(leg, before, same=before.conversation is self)
        self.take_pause(before.conversation, before.channel, leg.channel, at)
        if before.conversation is not self:
            return
        leg.key = before.key
        del self.legs[before.channel]
        self.had -= 1
        if before is self.first:
            self.first = leg
        if leg.party is not None:
            self._joined(leg, leg.party.index, at)

    def hold(self, leg: Leg, at: Instant, *, feature: bool = False) -> None:
        """A party put the others on hold; for a ``feature`` Asterisk did it, and may not say when it is over."""
        super().hold(leg, at)
        leg.asking = at if feature and leg.holding else None

    def unhold(self, leg: Leg, at: Instant) -> None:
        """A party took the others back, at the latest when it pressed the last key of a feature that came to nothing."""
        super().unhold(leg, leg.asking or at)
        leg.asking = None

    def _came_back(self, now: Instant) -> None:
        """End holds for a feature of which nothing more was heard: it failed, and Asterisk does not tell."""
        for leg in self.legs.values():
            if leg.asking is not None and now - leg.asking > PATIENCE:
                self.unhold(leg, now)

    # Beginning and end.

    def look(self, at: Instant) -> None:
        """Once a second."""
        super().look(at)
        self._came_back(at)
        if self.undecided and all(at - (leg.up or at) > OPEN_FOR for leg in self.legs.values()):
            self._not_spying = True
            self.settle(at)

    def settle(self, at: Instant) -> None:
        """Do what is due, unless it may be a call of an earlier run."""
        if self.waiting:
            return
        super().settle(at)
        self._direct(at)

    def _direct(self, at: Instant) -> None:
        """Say which way the call goes when that turned out to be another one: its first leg may have been there alone."""
        call, first = self.call, self.first
        if call is None or first is None or self._decided:
            return
        way = self._way(first, [leg for leg in (*self.legs.values(), *self._rang) if leg is not first])
        if way != call.state.direction:
            self.emit(Directed(at=at, direction=way))
        self._decided = call.state.answered is not None

    def adopt(self, call: LiveCall, at: Instant) -> None:
        """Go on with a call of an earlier run."""
        self.wanted = self._decided = True
        super().adopt(call, at)

    def absorb(self, other: sdk.Conversation[Leg], at: Instant | None = None) -> None:
        """Another conversation turned out to be part of this one."""
        super().absorb(other, at)
        if isinstance(other, Conversation):
            self.ids |= other.ids
            self.handed_on.join(other.handed_on)
            self.locals |= other.locals
            self.wanted |= other.wanted
            self._decided |= other._decided  # noqa: SLF001 - the same class
            self._hidden |= other._hidden  # noqa: SLF001 - the same class
            self._left_us |= other._left_us  # noqa: SLF001 - the same class

    # What the conversation of ``vcond.sdk`` asks.

    def _listen(self, leg: Leg) -> None:
        self._taps.start(leg)

    def _stop(self, leg: Leg, at: Instant) -> None:
        self._taps.stop(leg, at)

    def _talking(self, leg: Leg) -> bool:
        return leg.up is not None and bool(leg.bridge)

    def _machine(self) -> Leg | None:
        return next((leg for leg in (self._last, self.first) if leg and leg.up and leg.app in MACHINES), None)

    def _may_stay(self, leg: Leg) -> bool:
        return leg.app in STAYING_APPS

    def _only_stays(self, stays: Leg, last: Leg, at: Instant) -> None:
        """The customer's side left, and the conversation is over; among ours alone, who left may come back."""
        if self._left_us or not last.inside:
            super()._only_stays(stays, last, at)

    def begin_anew(self, at: Instant) -> None:
        """The conversation is over, and its one leg stays for the next."""
        super().begin_anew(at)
        self._left_us = False

    def remove(self, leg: Leg, at: Instant, cause: Cause) -> None:
        """A leg is gone. One of ours who is alone in a conference then stays for the next, whoever came there first."""
        self._left_us |= bool(leg.key) and not leg.inside
        left = [one for one in self.legs.values() if one.somebody and one is not leg]
        if self._left_us and len(left) == 1 and left[0].inside and self._may_stay(left[0]):
            left[0].stays = True
        super().remove(leg, at, cause)

    def _word(self, codes: Cause) -> str:  # noqa: ARG002 - Dial's own status says more
        cancelled = self._hung_up is not None and self._hung_up is self.first
        return "CANCEL" if cancelled else self._failure

    def _may_open(self) -> bool:
        return self.wanted and not self.waiting and not self.undecided

    @property
    def undecided(self) -> bool:
        """Whether one of ours is there alone, and may begin to listen in on others: he is no call then."""
        if (
            self._config.record_supervisors
            or self.call is not None
            or self._not_spying
            or len(self.legs) != 1
            or self._rang
        ):
            return False
        (leg,) = self.legs.values()
        return leg.inside is not False and leg.up is not None and not leg.bridge and leg.app in BEFORE

    def _opened(self, first: Leg, at: Instant) -> None:
        self.fact("linkedid", self.key, at)
        super()._opened(first, at)

    def _way(self, first: Leg, others: Iterable[Leg]) -> Direction:
        """Which way the call goes. Whom Asterisk called outside did not call us."""
        if first.called and first.inside is False:
            return "outbound"
        return sdk.direction(first.inside, [leg.inside for leg in others])


def _phone(leg: Leg) -> str:
    """What names the phone of a leg: the endpoint of one of ours, else the endpoint with the number that it shows."""
    if leg.inside:
        return leg.name
    number = leg.who.tel or leg.who.sip
    return f"{leg.name} {blake2s(number.encode(), digest_size=6).hexdigest()}" if number and not leg.hidden else ""


def _digits(text: str) -> str:
    return "".join(c for c in text if c.isdigit())
