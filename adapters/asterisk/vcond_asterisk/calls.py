"""What the channels of one linkedid are to one another: the conversation of ``vcond.pbx`` in Asterisk's words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from vcond import pbx
from vcond.adapter import NORMAL, Cause, Desk, Instant, LiveCall, Party, PartyDescribed, Who
from vcond_asterisk.config import Config
from vcond_asterisk.wire import Channel

APP_FACTS: Final = {"Queue": "queue", "ConfBridge": "conference", "VoiceMail": "mailbox"}
"""Applications whose first argument is worth keeping, and under which name."""
MACHINES: Final = frozenset(
    {"AGI", "EAGI", "AudioSocket", "BackGround", "ControlPlayback", "Dictate", "Echo", "Playback", "Read", "Record",
     "SpeechBackground", "Stasis", "VoiceMail", "VoiceMailMain"}
)  # fmt: skip
"""Applications that answer a call in a human's stead: who ends in one of them was not left unanswered."""
STAYING_APPS: Final = frozenset({"AgentLogin", "ConfBridge", "MeetMe"})
"""Applications in which an agent's channel stays up from one customer to the next."""
FAILURES: Final = frozenset(
    {"BUSY", "CANCEL", "CHANUNAVAIL", "CONGESTION", "DONTCALL", "NOANSWER", "TORTURE", "INVALIDARGS"}
)
"""Ends of a Dial that reached nobody."""


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
class Leg(pbx.Leg):
    """One real channel. Its ``name`` is the endpoint."""

    conversation: Conversation
    exten: str = ""
    bridge: str = ""

    def update(self, channel: Channel) -> None:
        """Take what a newer snapshot says."""
        self.sip = self.sip or pbx.clean(channel.protocol_id)
        self.app = channel.dialplan.app_name or self.app
        if not self.exten:
            self.exten = channel.dialplan.exten
            self.dialled = self.exten if self.exten != "s" else ""


class Conversation(pbx.Conversation[Leg]):
    """All channels that belong together. Local channels in between are kept apart: they are nobody."""

    def __init__(self, key: str, since: Instant, desk: Desk, config: Config, taps: Taps) -> None:
        super().__init__(key, since, desk, config)
        self.waiting = False
        """Nothing is told yet: it may turn out to be a call of an earlier run."""
        self.ids = {key}
        """All linkedids that it had."""
        self.locals: set[str] = set()
        self.wanted = not config.only_if_variable
        """Whether the dialplan asked for it, where it has to."""
        self._taps = taps

    # What happens to legs.

    def came_up(self, leg: Leg, at: Instant) -> None:
        """A leg was answered, or answered itself."""
        leg.up = leg.up or at

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

    def know(self, leg: Leg, channel: Channel, at: Instant) -> None:
        """Facts of a leg that a snapshot of its channel may tell."""
        if leg.key:
            self.fact("sip_call_id", leg.sip, at, leg)
        name = APP_FACTS.get(channel.dialplan.app_name)
        if name:
            self.fact(name, channel.dialplan.app_data.split(",")[0], at)

    def hand_over(self, leg: Leg, name: str, *, inside: bool | None, at: Instant) -> None:
        """A leg's party is gone, but its channel goes on with another."""
        self._gone(leg, at, Cause())
        leg.name, leg.inside, leg.key = name, inside, ""
        self.look_at(leg, at)

    # Beginning and end.

    def settle(self, at: Instant) -> None:
        """Do what is due, unless it may be a call of an earlier run."""
        if not self.waiting:
            super().settle(at)

    def adopt(self, call: LiveCall, at: Instant) -> None:
        """Go on with a call of an earlier run."""
        self.wanted = True
        super().adopt(call, at)

    def absorb(self, other: pbx.Conversation[Leg], at: Instant | None = None) -> None:
        """Another conversation turned out to be part of this one."""
        super().absorb(other, at)
        if isinstance(other, Conversation):
            self.ids |= other.ids
            self.locals |= other.locals
            self.wanted |= other.wanted

    # What the conversation of ``vcond.pbx`` asks.

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

    def _word(self, codes: Cause) -> str:  # noqa: ARG002 - Dial's own status says more
        cancelled = self._hung_up is not None and self._hung_up is self.first
        return "CANCEL" if cancelled else self._failure

    def _may_open(self) -> bool:
        return self.wanted and not self.waiting

    def _opened(self, first: Leg, at: Instant) -> None:
        self.fact("linkedid", self.key, at)
        super()._opened(first, at)

    def _known(self, call: LiveCall, channel: str) -> Party | None:
        return party_of_channel(call, channel)

    def _joined(self, leg: Leg, party: int, at: Instant) -> None:
        if self.first is not None and self.first is not leg and self.first.app == "Queue":
            self._name_roles(self.first, party, at)
        self.fact("uniqueid", leg.channel, at, leg)
        self.fact("endpoint", leg.name, at, leg)
        self.fact("sip_call_id", leg.sip, at, leg)

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
            if party.here or party.key in taken or _fact_of(self.call, "endpoint", party) != leg.name:
                continue
            if leg.inside or (leg.who.tel and leg.who.tel == party.who.tel):
                return party.key
        known = self.call.state.party_by_key(leg.channel)
        same = known is None or _fact_of(self.call, "endpoint", known) == leg.name
        return leg.channel if same else f"{leg.channel} {leg.name}"  # another phone took the channel over


def party_of_channel(call: LiveCall, channel: str) -> Party | None:
    """The party that a channel was in a call: by the channel's id, which is its key or was noted as a fact."""
    for fact in call.state.facts:
        if fact.name == "uniqueid" and fact.value == channel and fact.party is not None:
            return call.state.parties[fact.party]
    return call.state.party_by_key(channel)


def _fact_of(call: LiveCall, name: str, party: Party) -> str:
    return next((f.value for f in call.state.facts if f.name == name and f.party == party.index), "")
