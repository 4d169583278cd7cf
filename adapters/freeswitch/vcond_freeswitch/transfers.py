"""Who handed a conversation on, to whom. No I/O.

FreeSWITCH tells it twice, in either order: whoever did it has ``transfer_to`` (``blind:<who was sent on>``) when he is
unbridged or hung up, whoever was sent on has a new ``transfer_source`` (``...:bl_xfer:1003/default/XML``) from then on.
``uuid_transfer`` has only the second. The application ``att_xfer`` shows as ``...:uuid_br:<target>`` on who was handed on.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from vcond.sdk import clean
from vcond.sdk.contract import Instant, Transferred
from vcond_freeswitch.calls import Leg
from vcond_freeswitch.events import Event

BLIND: Final = ":bl_xfer:"
BRIDGED: Final = ":uuid_br:"
MAX_PENDING: Final = 1_000
"""Transfers that wait to be understood, and legs that are gone and may have been who did one."""


@dataclass(slots=True)
class Sending:
    """A transfer that has begun."""

    at: Instant
    leg: str
    """blind: the channel that was sent on; attended: the channel that it is to be joined to."""
    by: Leg | None
    """Who did it; None = the switch (``uuid_transfer``)."""
    to: str = ""


class Transfers:
    """Those of one switch, each told once."""

    def __init__(self, legs: Mapping[str, Leg]) -> None:
        self._legs = legs
        self._attended: list[Sending] = []
        self._by_peer: OrderedDict[str, Sending] = OrderedDict()
        """By the channel of whoever may have done it: sent on, and not yet known by whom."""
        self._gone: OrderedDict[str, Leg] = OrderedDict()

    def seen(self, leg: Leg, event: Event, at: Instant) -> None:
        """An event of a leg."""
        self._did_it(leg, event, at)
        source = event.transfer_source
        if event.name == "CHANNEL_HANGUP_COMPLETE" or not source or source == leg.source:
            return
        leg.source = source
        leg.sent_on = at if BLIND in source else leg.sent_on
        peer = leg.peer
        if event.name == "CHANNEL_UNBRIDGE":
            peer = event.bridge_b if event.bridge_a == leg.channel else event.bridge_a
        if BLIND in source:
            self._sent_on(leg, peer, source.split(BLIND)[1].split("/")[0], at)
        elif BRIDGED in source and event.name == "CHANNEL_UNBRIDGE":
            self._handed_on(leg, peer, source.split(BRIDGED)[1], at)

    def _sent_on(self, leg: Leg, peer: str, to: str, at: Instant) -> None:
        """A leg was sent on, perhaps by who it was bridged to: that one's end tells."""
        announced, leg.announced = leg.announced, None
        if announced is not None and announced in {"", to}:
            return
        other = self._legs.get(peer)
        if other is not None and not other.relay:
            self._by_peer[peer] = Sending(at, leg.channel, None, to)
            if len(self._by_peer) > MAX_PENDING:
                self._tell(self._by_peer.popitem(last=False)[1])
        else:
            self._tell(Sending(at, leg.channel, None, to))

    def _handed_on(self, leg: Leg, peer: str, target: str, at: Instant) -> None:
        """``att_xfer``: who was bridged to this leg, and called the target, went."""
        by, to = self._legs.get(peer) or self._gone.get(peer), self._legs.get(target)
        if by is not None and to is not None and by.app == "att_xfer" and to is not by:
            self._tell_attended(at, by, leg, to)

    def _did_it(self, leg: Leg, event: Event, at: Instant) -> None:
        """A leg whose party handed the conversation on, or that is gone without having done so."""
        kind, _, target = event.transfer_to.partition(":")
        told = not target or event.transfer_to == leg.sent
        if told and event.name != "CHANNEL_HANGUP_COMPLETE":
            return
        sending = self._by_peer.pop(leg.channel, None)
        if told:
            if sending is not None:
                self._tell(sending)
            return
        leg.sent = event.transfer_to
        moved = self._legs.get(target)
        if kind == "blind":
            to = event.transfer_destination.partition(":")[2]
            if sending is None and moved is not None:
                if moved.told and moved.told == to:
                    return  # without him: he came too late
                moved.announced = to
            self._tell(Sending(sending.at if sending else at, target, leg, to))
        elif kind == "att":
            self._attended.append(Sending(at, target, leg))
            del self._attended[:-MAX_PENDING]

    def left(self, leg: Leg) -> None:
        """A leg is gone."""
        sending = self._by_peer.pop(leg.channel, None)
        if sending is not None:
            self._tell(sending)
        self._gone[leg.channel] = leg
        if len(self._gone) > MAX_PENDING:
            self._gone.popitem(last=False)

    def ended(self, channel: str) -> bool:
        """Whether a channel is one that went a while ago."""
        return channel in self._gone

    def bridged(self, one: Leg, two: Leg) -> None:
        """Two legs are bridged, and one conversation: what they were sent on to."""
        for peer, sending in [(peer, sending) for peer, sending in self._by_peer.items()]:
            if sending.leg in {one.channel, two.channel} and peer not in {one.channel, two.channel}:
                del self._by_peer[peer]
                self._tell(sending)
        for leg, other in ((one, two), (two, one)):
            leg.conversation.reached(leg, other)
            for waits in [waits for waits in self._attended if waits.leg == leg.channel]:
                self._attended.remove(waits)
                self._tell_attended(waits.at, waits.by, other, leg)

    def _tell(self, sending: Sending) -> None:
        leg = self._legs.get(sending.leg)
        conversation = leg.conversation if leg is not None else sending.by.conversation if sending.by else None
        if leg is not None:
            leg.told = sending.to
        if conversation is not None:
            conversation.transferred(
                Transferred(
                    at=sending.at,
                    kind="blind",
                    transferor=_index(sending.by),
                    transferee=_index(leg),
                    to=clean(sending.to),
                )
            )

    def _tell_attended(self, at: Instant, by: Leg | None, moved: Leg, target: Leg) -> None:
        target.conversation.transferred(
            Transferred(at=at, kind="attended", transferor=_index(by), transferee=_index(moved), target=_index(target))
        )


def _index(leg: Leg | None) -> int | None:
    party = leg.party if leg is not None else None
    return party.index if party is not None else None
