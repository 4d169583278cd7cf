"""Who may pause the recording of a call, and who may let it go on.

Anybody may pause it: a party, the operator, the platform (the PBX, or what is configured). Nothing is kept while any pause
is on, and a pause is its owner's to end:

- Whoever paused ends that pause, and nobody else's.
- A party that has left can end nothing any more: any party may, in its place.
- A call that was cut off is paused by the same owners in the call that goes on in its place (what was said of consent goes on there, too). There the pause of a party is
  nobody's until that party is back; until then any party may end it.
- Keys that pause (``Terms.pause_keys``) are a party's own, one after the other; of what is pressed only how far it came is remembered, so
  of a card number nothing is.
- A pause whose end was set ends by itself, too. A rule pauses while the call matches it.
- The operator may end the pauses of all against their wish, by saying so; the vCon names each of them.

What a pause leaves of audio, digits and words is not decided here (``vcond.call``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Generic, NamedTuple, Protocol, TypeVar

from vcond.base.time import SECOND, Instant

STILL_PAUSED = 3_600
"""Seconds after which a call with the key of one that was cut off is another call, whose pauses are its own."""
BETWEEN_KEYS = 5 * SECOND
"""Most time between two keys of one sequence."""
LONGEST_PAUSE = 86_400
"""Seconds after which a pause may end by itself, at most."""
MOST_PAUSED = 1_000
"""Calls that were cut off while paused, and are remembered."""


class Owner(NamedTuple):
    """Whose a pause is."""

    by: str
    """``party``, ``operator``, ``platform``, ``rule``."""
    party: int | None = None
    """Index of a party; None for a party of the call before, who is not here yet."""


OWNERS = ("party", "operator", "platform", "rule")
"""Whoever pauses is one of these."""
OPERATOR = Owner("operator")
RULE = Owner("rule")


class Pause(Protocol):
    """A pause as a call remembers it."""

    @property
    def by(self) -> str:
        """See ``Owner``."""

    @property
    def party(self) -> int | None:
        """See ``Owner``."""

    @property
    def reason(self) -> str:
        """A word of its owner."""

    @property
    def stop(self) -> Instant | None:
        """When it ended; None while it is on."""

    @property
    def until(self) -> Instant | None:
        """When it ends by itself; None = not."""


class Person(Protocol):
    """A party as a call remembers it."""

    @property
    def index(self) -> int:
        """Its place in the call."""

    @property
    def key(self) -> str:
        """The adapter's name for it."""

    @property
    def here(self) -> bool:
        """Whether it has not left."""


P = TypeVar("P", bound=Pause)
R = TypeVar("R")


class Standing(NamedTuple):
    """A pause that was on when a call was cut off."""

    by: str
    key: str
    """Of the party whose it is; empty = nobody's who is in the call."""
    reason: str
    until: Instant | None = None
    """When it ends by itself; None = not."""


def on(pauses: Iterable[P]) -> list[P]:
    """The pauses that are on."""
    return [pause for pause in pauses if pause.stop is None]


def made(pauses: Iterable[P], owner: Owner) -> list[P]:
    """Of those that are on, the one's own: a second one of the same owner changes nothing."""
    return [pause for pause in on(pauses) if (pause.by, pause.party) == owner]


def longer(pauses: Iterable[P], until: Instant | None) -> bool:
    """Whether a pause of the same owner that is said again lasts longer than any of these. It never gets shorter."""
    return all(pause.until is not None and (until is None or until > pause.until) for pause in pauses)


def may_end(pauses: Iterable[P], owner: Owner, parties: Iterable[Person]) -> list[P]:
    """Of those that are on, what ends when this one lets recording go on."""
    owners = {owner}
    if owner.by == "party":
        owners |= {Owner("party"), *(Owner("party", one.index) for one in parties if not one.here)}
    return [pause for pause in on(pauses) if (pause.by, pause.party) in owners]


def of_others(pauses: Sequence[P], owner: Owner, parties: Iterable[Person]) -> list[P]:
    """Of those that are on, what this one ends by force only."""
    mine = may_end(pauses, owner, parties)
    return [pause for pause in on(pauses) if pause not in mine]


def pressed(keys: str, so_far: int, button: str) -> int:
    """How many of a sequence are pressed one after the other when the next button is, ``so_far`` of them before.

    All are when it is ``len(keys)``. A wrong one may begin it anew: ``**1`` has ``*1`` in it.
    """
    last = keys[:so_far] + button
    return next(n for n in range(min(len(keys), len(last)), -1, -1) if last.endswith(keys[:n]))


def standing(pauses: Iterable[Pause], parties: Iterable[Person]) -> list[Standing]:
    """What the call that goes on in place of this one is told of pauses."""
    keys = {party.index: party.key for party in parties}
    return [
        Standing(pause.by, "" if pause.party is None else keys.get(pause.party, ""), pause.reason, pause.until)
        for pause in on(pauses)
    ]


class Left(NamedTuple, Generic[R]):
    """What a call that was cut off leaves to the one that goes on in its place."""

    pauses: list[Standing]
    words: dict[str, R]
    """What its parties had said of consent, by their keys."""
    told: frozenset[tuple[str, str, str]] = frozenset()
    """Attributes that spoke of consent, each its name, its value, and the key of its party or "": told again they agree to nothing anew."""


class CutOff(Generic[R]):
    """What calls that were cut off leave, until the calls come that go on in their place."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], tuple[Instant, Left[R]]] = {}

    def keep(self, adapter: str, key: str, at: Instant, left: Left[R]) -> None:
        """A call was cut off at ``at``."""
        if left.pauses or left.words:
            self._kept[adapter, key] = (at, left)
            for old in list(self._kept)[:-MOST_PAUSED]:
                del self._kept[old]

    def take(self, adapter: str, key: str, at: Instant) -> Left[R]:
        """A call is opened at ``at``: how it is paused from its beginning, and what was said."""
        since, left = self._kept.pop((adapter, key), (Instant(0), Left[R]([], {})))
        return left if at - since <= STILL_PAUSED * SECOND else Left([], {})
