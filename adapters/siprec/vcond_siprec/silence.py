"""How long nothing came of a session: what tells one that is silent from one that is over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from vcond.sdk.contract import SECOND, Instant
from vcond_siprec.lines import AudioLine

QUIET: Final = 5 * SECOND
"""Without sound for so long it is looked whether anything else comes: comfort noise, a codec that cannot be decoded."""
DEAF: Final = 30 * SECOND
"""Nothing came for so long after the answer: it is said."""


class Silence:
    """Of one session."""

    def __init__(self, began: Instant, *, known: bool = False) -> None:
        """``known``: something was heard of it already."""
        self.alive = began
        """When anything came last that is wanted; sound at once, all else as far as it was looked for."""
        self._known = known
        """Whether anything came at all."""
        self._deaf_told = False
        self._quiet = False
        """Nothing was heard when it was looked last."""

    def heard(self, at: Instant) -> None:
        """Something came that is wanted."""
        self.alive = max(at, self.alive)
        self._known = True

    def look(self, lines: Sequence[AudioLine], now: Instant) -> bool:
        """Look at the lines; whether it is to be told now that nothing ever came. Call it twice a second."""
        wanted = [line for line in lines if line.wanted]
        quiet = now - self.alive >= QUIET
        came = [line.came() for line in wanted if quiet]
        if self._quiet and any(came):
            self.heard(now)
        self._quiet = quiet
        if self._deaf_told or self._known or not wanted or now - max(line.since for line in wanted) < DEAF:
            return False
        self._deaf_told = True
        return True

    def since(self, lines: Sequence[AudioLine]) -> Instant | None:
        """Since when nothing came although something should; None while all lines are inactive."""
        active = [line.since for line in lines if line.wanted]
        return max(*active, self.alive) if active else None
