"""What the directions of a session's lines say: who holds whom, and whether the client has paused its recording."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from vcond.sdk.contract import Held, Instant, Retrieved
from vcond_siprec.lines import AudioLine
from vcond_siprec.recordings import Person, Recording

Inactive = Literal["drop", "keep"]


class Directions:
    """Of one session."""

    def __init__(self, inactive: Inactive) -> None:
        """``inactive``: what becomes of audio that comes although the client says that it sends none."""
        self._inactive = inactive
        self._holder: Person | None = None

    def restore(self, lines: Sequence[AudioLine]) -> None:
        """An earlier run has told what these say."""
        self._holder = _holder(lines)

    def stopped(self, lines: Sequence[AudioLine]) -> bool:
        """Whether the client sends nothing at all, and nothing of it is kept."""
        return self._inactive != "keep" and bool(lines) and not any(line.offered.sends for line in lines)

    def tell(self, recording: Recording, session: object, lines: Sequence[AudioLine], at: Instant) -> None:
        """Make lines and record say it."""
        for line in lines:
            line.want(at, wanted=self._inactive == "keep" or line.offered.sends)
        recording.pause(session, at, on=self.stopped(lines))
        holder = _holder(lines)
        if holder is self._holder:
            return
        for person, event in ((self._holder, Retrieved), (holder, Held)):
            if person is not None and person.index >= 0 and recording.call is not None:
                recording.call.emit(event(at=at, party=person.index))
        self._holder = holder


def _holder(lines: Sequence[AudioLine]) -> Person | None:
    """Who has the other one on hold: whose line goes on alone."""
    sending = [line for line in lines if line.offered.sends]
    return sending[0].person if len(lines) == 2 and len(sending) == 1 else None
