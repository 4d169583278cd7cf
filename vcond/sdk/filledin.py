"""What an adapter of a PBX fills in of a conversation: how to listen, who talks, whose a leg is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, TypeVar

from vcond.sdk.contract import Cause, Direction, Instant, LiveCall, Party
from vcond.sdk.leg import Leg
from vcond.sdk.selection import direction

L = TypeVar("L", bound=Leg)


class FilledIn(Generic[L]):
    """Base of ``Conversation``; what raises NotImplementedError must be there."""

    def _listen(self, leg: L) -> None:
        """Listen to a leg that is up; nothing happens when it is listened to already."""
        raise NotImplementedError

    def _stop(self, leg: L, at: Instant) -> None:
        """Listen no longer; its track ends at ``at``."""
        raise NotImplementedError

    def _talking(self, leg: L) -> bool:
        """Whether somebody hears a leg. Two of them: the call is answered."""
        raise NotImplementedError

    def _machine(self) -> L | None:
        """The leg that a machine answered, in a call that no human did."""
        raise NotImplementedError

    def _machine_word(self, leg: L) -> str:
        """What answered that leg."""
        return leg.app

    def _word(self, codes: Cause) -> str:
        """The word for why a call was not answered."""
        raise NotImplementedError

    def _may_open(self) -> bool:
        """Whether anything may be told yet."""
        return True

    def _way(self, first: L, others: Iterable[L]) -> Direction:
        """Which way a call goes."""
        return direction(first.inside, [leg.inside for leg in others])

    def _party_key(self, leg: L) -> str:
        """The key of the party that a leg is."""
        return leg.channel

    def _may_stay(self, leg: L) -> bool:
        """Whether a leg that is alone may be there for many conversations, and is no caller who waits or hears a machine."""
        return leg.inside is not False

    def _keys(self, leg: L) -> tuple[str, ...]:
        """Keys of all parties that are there because a leg is."""
        return (leg.key,)

    def _known(self, call: LiveCall, channel: str) -> Party | None:
        """The party that a channel was in a call of an earlier run."""
        return call.state.party_by_key(channel)

    def _joined(self, leg: L, party: int, at: Instant) -> None:
        """A leg became a party: facts of it can be told."""
