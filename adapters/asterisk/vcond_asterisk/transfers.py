"""Transfers that Asterisk tells of: who handed whom to whom."""

from __future__ import annotations

from vcond.sdk import clean
from vcond.sdk.contract import Instant, Transferred
from vcond_asterisk import wire
from vcond_asterisk.calls import Conversation, Leg
from vcond_asterisk.channels import Channels


def blind(channels: Channels, event: wire.BridgeBlindTransfer, at: Instant) -> None:
    """A party sent another one on to an extension."""
    leg = channels.seen(event.channel, at)
    moved = channels.seen(event.transferee, at) if event.transferee is not None else None
    if leg is None or leg.party is None:
        return
    leg.conversation.transferred(
        Transferred(
            at=at,
            kind="blind",
            transferor=leg.party.index,
            transferee=index_of(moved, leg.conversation),
            outcome=event.outcome,
            to=clean(event.exten),
        )
    )


def attended(channels: Channels, event: wire.BridgeAttendedTransfer, at: Instant) -> None:
    """A party connected two others, or itself with one. Asterisk does not always say who the target is."""
    first, second = channels.seen(event.transferer_first_leg, at), channels.seen(event.transferer_second_leg, at)
    moved = channels.seen(event.transferee, at) if event.transferee is not None else None
    target = channels.wiring.behind(event.transfer_target, {leg.channel for leg in (first, second) if leg is not None})
    target = target or newest([leg for leg in (first, second, moved) if leg is not None])
    outcome = event.outcome
    known = [leg for leg in (first, second, moved, target) if leg is not None]
    if not known:
        return
    if outcome == "success":
        for leg in known[1:]:
            channels.conversations.join(known[0].conversation, leg.conversation, at)
    conversation = known[0].conversation
    conversation.settle(at)
    conversation.transferred(
        Transferred(
            at=at,
            kind="attended",
            transferor=index_of(first, conversation) if first is not None else index_of(second, conversation),
            transferee=index_of(moved, conversation),
            target=index_of(target, conversation),
            outcome=outcome,
        ),
        rings=event.transfer_target is not None and event.transfer_target.state != "Up",
    )


def newest(others: list[Leg]) -> Leg | None:
    """Who answered last beside the others: Asterisk does not always say who a transfer's target is."""
    around = [leg for other in others[:2] for leg in other.conversation.connected() if leg not in others]
    return max(around, key=lambda leg: (leg.up or 0, leg.channel), default=None)


def index_of(leg: Leg | None, conversation: Conversation) -> int | None:
    """The index of a leg's party in the call of ``conversation``; None when it is no party there."""
    party = leg.party if leg is not None and leg.conversation is conversation else None
    return party.index if party is not None else None
