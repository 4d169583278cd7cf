"""What channels are to one another: the conversation of ``vcond.sdk`` in FreeSWITCH's words."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Protocol

from vcond import sdk
from vcond.sdk.contract import SECOND, AdapterHost, ArrivalClock, Cause, Codec, Instant, PartyInfo, PartyLeft, Track
from vcond.sdk.conversation import PARTING
from vcond.sdk.leg import START
from vcond_freeswitch.config import Config

WAITING_APPS: Final = frozenset(
    {"", "bridge", "callcenter", "fifo", "hangup", "park", "queue_dtmf", "set", "sleep", "transfer", "valet_park"}
)
"""Applications in which nobody is spoken to: who ends in one of them was left unanswered."""
STAYING_APPS: Final = frozenset(
    {"", "answer", "callcenter", "conference", "endless_playback", "fifo", "park", "set", "sleep"}
)
"""Applications in which an agent's leg stays up from one customer to the next."""
SYSTEM: Final = " system"
"""Behind a leg's key: the machine that it talks to."""


class Taps(Protocol):
    """Who listens to legs."""

    def start(self, leg: Leg, *, both: bool = False) -> None:
        """Listen to a leg that was answered; nothing happens when it is listened to already."""

    def stop(self, leg: Leg, at: Instant) -> None:
        """Listen no longer; its track ends at ``at``."""


@dataclass(slots=True, eq=False)
class Leg(sdk.Leg):
    """One channel. Its id (Unique-ID) can change. Before it is ``up`` it must not be tapped."""

    conversation: Conversation
    bypassed: bool = False
    """Its media does not go through the switch: there is nothing to hear."""
    stereo: bool = False
    """Its codec has two channels (``opus@48000h@20i@2c``), and so has what a tap gives of it."""
    unheard: bool = False
    """That nothing can be heard of it was said."""
    peer: str = ""
    """The channel it is bridged to."""
    conference: str = ""
    partner: str = ""
    """The channel that it was bridged to last, or was alone in a conference with."""
    apart: Instant | None = None
    """Since when it is not, or not with anybody."""
    sent_on: Instant = START
    """When it was sent on last."""
    met: bool = False
    """Whether it was ever bridged."""
    called: bool = False
    """The switch called it: perhaps an agent at home, over a trunk."""
    waits: bool = False
    """Whether it waits in a queue."""
    source: str = ""
    """The last transfer by which it was sent on (``transfer_source``)."""
    sent: str = ""
    """The last transfer that it did (``transfer_to``)."""
    handed: dict[str, str] = field(default_factory=dict)
    """What its channel has of consent from the one that called it, by the variable's name."""
    pausing: set[str] = field(default_factory=set)
    """What has the recording paused on its channel (``vcond_freeswitch.masks``)."""
    announced: str | None = None
    """Where whoever sent it on said that it goes, before it said so itself; empty = somewhere."""
    told: str = ""
    """Where it was sent on to, as was told last."""

    @property
    def silenced(self) -> bool:
        """Whether nothing can come of it: its party holds, or it waits in mod_fifo, which pauses all taps of a caller."""
        return self.holding or (self.app == "fifo" and not self.talking)

    @property
    def talking(self) -> bool:
        """Whether somebody hears it."""
        return self.up is not None and bool(self.peer or self.conference)

    def open_system_track(self, at: Instant, rate: int) -> Track | None:
        """A track for what it hears: the machine it talks to becomes a party."""
        call = self.conversation.call
        if call is None or not self.key:
            return None
        index = call.party(self.key + SYSTEM, at=at, who=PartyInfo(name="system", validation="none", type="bot"))
        return call.track(index, at=at, codec=Codec.L16, rate=rate, clock=ArrivalClock())

    def system_left(self, at: Instant) -> None:
        """The machine it talked to is gone."""
        call = self.conversation.call
        party = call.state.party_by_key(self.key + SYSTEM) if call is not None else None
        if party is not None and party.here:
            self.conversation.emit(PartyLeft(at=at, party=party.index))


class Conversation(sdk.Conversation[Leg]):
    """All channels that belong together."""

    def __init__(self, key: str, since: Instant, host: AdapterHost, config: Config, taps: Taps) -> None:
        super().__init__(key, since, host, config)
        self._system_audio = config.system_audio
        self._taps = taps
        self._behind = ""
        """The application that a loopback channel led to."""

    def left(self, leg: Leg, at: Instant, cause: Cause, *, hung_up: str = "", failure: str = "") -> None:
        """A channel is gone. ``hung_up`` is who ended it (``recv_bye``), ``failure`` why it reached nobody."""
        if leg is self.first:
            self._failure = failure
        if hung_up in {"recv_bye", "recv_cancel"}:
            self._hung_up = self._hung_up or leg
        leg.put_down = hung_up.startswith("send_")
        self.remove(leg, at, cause)

    def behind(self, relay: Leg) -> None:
        """What a loopback channel leads to, when it is a machine."""
        if relay.app not in WAITING_APPS:
            self._behind = relay.app

    def rename(self, old: str, new: str) -> None:
        """A channel has another id now; its party stays who it was."""
        leg = self.legs.pop(old)
        leg.channel = new
        self.legs[new] = leg
        for other in self.legs.values():
            other.peer = new if other.peer == old else other.peer
            other.partner = new if other.partner == old else other.partner

    def left_behind(self, leg: Leg) -> bool:
        """Whether who stays is alone while the others go on: who he talked to was sent on, or talks to somebody else.

        Who called a colleague beside (``att_xfer``) may come back.
        """
        if leg.apart is None or not (leg.stays and leg.somebody and leg.up is not None and self._may_stay(leg)):
            return False
        others = [one for one in self.legs.values() if one is not leg and one.somebody]
        if leg.peer or any(leg.conference and one.conference == leg.conference for one in others):
            return False
        partner = self.legs.get(leg.partner)
        if partner is None:
            return any(one.talking for one in others)
        return partner.app != "att_xfer" and (partner.talking or partner.sent_on > leg.apart - SECOND)

    def left_for_good(self, at: Instant) -> Leg | None:
        """Who stays and was left behind, and is not hanging up, too."""
        for leg in self.legs.values():
            if leg.apart is not None and at - leg.apart > PARTING and self.left_behind(leg):
                return leg
        return None

    def settle(self, at: Instant) -> None:
        """Do what is due; who is left behind is not listened to."""
        super().settle(at)
        for leg in self.legs.values():
            if leg.apart is not None and self.left_behind(leg):
                self._stop(leg, leg.apart)

    # What the conversation of ``vcond.sdk`` asks.

    def _listen(self, leg: Leg) -> None:
        if not self.left_behind(leg):
            self._taps.start(leg, both=self._system_audio and self._on_its_own(leg))

    def _stop(self, leg: Leg, at: Instant) -> None:
        self._taps.stop(leg, at)

    def stop(self, leg: Leg, at: Instant) -> None:
        """Listen to a leg no longer, as it was until now."""
        self._stop(leg, at)

    def _on_its_own(self, leg: Leg) -> bool:
        """Whether a leg was answered with nobody at the other end: what it hears is the switch."""
        peer = self.legs.get(leg.peer)
        others = [other for other in self.legs.values() if other is not leg and not other.relay]
        return not others and (not leg.peer or (peer is not None and peer.relay)) and not leg.conference

    def _talking(self, leg: Leg) -> bool:
        return leg.talking

    def _machine(self) -> Leg | None:
        first = self.first
        return first if first is not None and first.up is not None and self._machine_word(first) else None

    def _machine_word(self, leg: Leg) -> str:
        return leg.app if leg.app not in WAITING_APPS else self._behind

    def _may_stay(self, leg: Leg) -> bool:
        return leg.app in STAYING_APPS and not leg.waits and (leg.called or super()._may_stay(leg))

    def _word(self, codes: Cause) -> str:
        return self._failure or codes.text

    def _keys(self, leg: Leg) -> tuple[str, ...]:
        return (leg.key, leg.key + SYSTEM)

    def _joined(self, leg: Leg, party: int, at: Instant) -> None:  # noqa: ARG002 - an agent's role is not told here
        self.fact("channel", leg.name, at, leg)
        self.fact("sip_call_id", leg.sip, at, leg)
