"""A tap: what makes a PBX send one leg's audio, from when it is wanted until it is gone.

It is wanted, then starting, until the PBX says that it stands. One that stands and gives nothing for too long is
stalled and is started again, after a pause that grows with each failure, for as long as its leg lives. Pure: moments
are arguments. How it is started, and when one counts as working, is its adapter's business.
"""

from __future__ import annotations

from collections.abc import Sequence

from vcond.sdk.contract import SECOND, Instant


class TapState:
    """Where one tap is on this way, how often it failed, and what was already said of it."""

    def __init__(self, pauses: Sequence[float]) -> None:
        """``pauses``: seconds before it is started again, by the failures in a row; the last one for ever."""
        self.since: Instant | None = None
        """Since when it stands, or may be expected to give audio; None while it is wanted or (again) starting."""
        self.last: Instant | None = None
        """When audio came last, of this start or an earlier one."""
        self.failures = 0
        """Times in a row that it was started and did not work."""
        self.gone = False
        """Whether nothing more is wanted of it."""
        self._pauses = pauses
        self._said: set[str] = set()

    @property
    def pause(self) -> float:
        """Seconds before the next start."""
        return self._pauses[min(self.failures, len(self._pauses) - 1)]

    def silent(self, now: Instant) -> int | None:
        """How long it has given nothing since it stands, ns; None while it does not stand."""
        return None if self.since is None else now - max(self.since, self.last or self.since)

    def stalled(self, now: Instant, seconds: float) -> bool:
        """Whether it stands and has given nothing for that long."""
        silent = self.silent(now)
        return silent is not None and silent >= seconds * SECOND

    def works(self, now: Instant, settled: int) -> bool:
        """Whether it has stood for longer than ``settled``, ns, and gave audio since."""
        return (
            self.since is not None and self.last is not None and self.last >= self.since and now - self.since > settled
        )

    def first(self, code: str) -> bool:
        """Whether this is to be said of it: each code once."""
        new = code not in self._said
        self._said.add(code)
        return new
