"""Words of consent that a channel has from the one that called it: nobody's own. Pure.

Asterisk sets a variable whose name begins with ``_`` on each channel that is called from there (with ``__`` on those that are
called from these, too), and says so as if the dialplan had: ``ChannelVarset``, once, when the channel was made
(https://docs.asterisk.org/Configuration/Dialplan/Variables/Channel-Variables/Variable-Inheritance/). Who is called was not
asked then.
"""

from __future__ import annotations

from typing import Final, Protocol

from vcond.sdk.contract import SECOND, Instant, refuses
from vcond_asterisk import wire

MOST: Final = 32
"""Values that one conversation remembers, the latest: who is called is called soon."""
SLACK: Final = SECOND
"""How inexact two moments of a PBX are at most by our clock."""


class Leg(Protocol):
    """What a leg tells here."""

    @property
    def handed(self) -> set[str]:
        """Values that it has from who called it. Told again they were set there."""

    @property
    def called(self) -> bool:
        """Asterisk called it; it did not call."""

    @property
    def state(self) -> str:
        """``Ringing``, ``Up``."""

    @property
    def mixed(self) -> bool:
        """Another phone took its channel over, whose variables are there, too."""

    @property
    def inherits(self) -> bool:
        """It was found in a call that another channel began."""

    @property
    def created(self) -> Instant:
        """When the channel was made."""


class HandedOn:
    """What the channels of one conversation hand on to those that are called from there."""

    def __init__(self) -> None:
        self._since: dict[str, Instant] = {}
        self.unseen = False
        """Its beginning was not seen: any value that a channel has when it is made may be handed on."""

    def is_from(self, leg: Leg | None, event: wire.ChannelVarset, at: Instant) -> bool:
        """Whether a variable was set because the channel was called. ``leg``: None for one of a ``Local`` channel."""
        since = self._since.get(event.value)
        new = leg is not None and leg.called and leg.state != "Up" and at - leg.created <= SLACK
        if since is None and self.unseen and new and not refuses(event.value):
            since = at
        elif event.variable.startswith("_") and since is None:
            self._since = dict([*self._since.items(), (event.value, at)][-MOST:])
        if since is None or leg is None or not leg.called or since > leg.created + SLACK or event.value in leg.handed:
            return False
        leg.handed.add(event.value)
        return True

    def join(self, other: HandedOn) -> None:
        """Another conversation is part of this one now."""
        for value, since in other._since.items():
            self._since[value] = min(since, self._since.get(value, since))
        self._since = dict(sorted(self._since.items(), key=lambda one: one[1])[-MOST:])
        self.unseen |= other.unseen


def own_word(leg: Leg, value: str) -> bool:
    """Whether a value that a channel has, and that was not told when it was set, is to count: that who was called agreed may
    be handed on, that somebody refused is heeded whosever word it was.
    """
    return not (leg.called or leg.mixed or leg.inherits or value in leg.handed) or refuses(value)
