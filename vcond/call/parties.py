"""Who takes part in a call, and when. Filled by ``Call.apply``."""

from __future__ import annotations

from dataclasses import dataclass, field

from vcond.base.time import Instant
from vcond.call import events as ev
from vcond.call.causes import NO_CAUSE, Cause
from vcond.call.hidden import shown


@dataclass(slots=True)
class Presence:
    """A party's presence from ``joined`` to ``left`` (None = still here)."""

    joined: Instant
    left: Instant | None = None


@dataclass(slots=True)
class Party:
    """One participant of the conversation, for ever at its index."""

    index: int
    key: str
    """The adapter's name for it."""
    told: ev.PartyInfo
    """What the adapter told of it. Whoever hid the number may be named in it: nothing shows it."""
    presences: list[Presence] = field(default_factory=list)
    cause: Cause = NO_CAUSE
    """Why it left last."""

    @property
    def who(self) -> ev.PartyInfo:
        """Who it is, as may be shown: whoever hid the number is ``anonymous``."""
        return shown(self.told)

    @property
    def here(self) -> bool:
        """Whether the party is in the conversation now."""
        return bool(self.presences) and self.presences[-1].left is None


@dataclass(slots=True, frozen=True)
class Moment:
    """A line of the party history: join drop hold unhold mute unmute keydown keyup (core-04 section 4.3)."""

    at: Instant
    party: int
    event: str
    button: str = ""


def described(old: ev.PartyInfo, new: ev.PartyInfo) -> ev.PartyInfo:
    """What is known of a party when more is told of it: what is said anew counts, what is not stays."""
    changed = {name: getattr(new, name) for name in new.__struct_fields__ if getattr(new, name)}
    kept = {name: getattr(old, name) for name in old.__struct_fields__}
    return ev.PartyInfo(**{**kept, **changed})
