"""What an earlier run left unread: how much of a tap's file is still to be read, and what is left of parties who are gone.

A file has no time. Two things bound what was not read: the time since the party's own audio ends in the record, and the
bytes that are more than what the record has of it since the file began. The first is too much for whoever held in
between (nothing was written then), the second is not known of a file whose name says no time.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vcond.sdk.contract import MILLI, SECOND, ArrivalClock, Call, Codec, Instant, LiveCall, Party, SpanKind
from vcond_freeswitch.filetap import JITTER_MS, Follower, Nobody, began, stereo, two_sided

WRITTEN: Final = frozenset({SpanKind.RECEIVED, SpanKind.SILENT, SpanKind.PAUSED})
"""Stretches of a track for which there were bytes."""


@dataclass(frozen=True, slots=True)
class Unread:
    """Of one party."""

    call: Call
    party: int
    since: Instant
    """Until when its audio is in the record."""

    @classmethod
    def of(cls, call: Call, party: Party) -> Unread:
        """From the record of an earlier run."""
        ends = [call.at(track.samples, track.rate) for track in call.tracks if track.party == party.index]
        return cls(call, party.index, max(ends, default=party.presences[-1].joined))

    def span(self, path: Path, size: int, rate: int, now: Instant) -> int:
        """How much of a file was not read, ns; ``size`` in samples of one party."""
        elapsed = max(0, now - self.since)
        begun = began(path)
        if begun is None or not self.call.opened - SECOND <= begun <= now:
            return elapsed
        return max(0, min(elapsed, size * SECOND // rate - self._read_since(begun)))

    def _read_since(self, begun: Instant) -> int:
        total = 0
        for track in self.call.tracks:
            if track.party == self.party:
                first = self.call.position(begun, track.rate)
                kept = sum(max(0, b - max(a, first)) for a, b, kind in track.spans if kind in WRITTEN)
                total += kept * SECOND // track.rate
        return total


def rest(call: LiveCall, party: Party, path: Path, rate: int, now: Instant) -> Instant | None:
    """Read what is left in the file of a party who is gone into a track; when it ends, None when nothing can be read."""
    both = two_sided(path)
    follower = Follower(path, rate, both=both, stereo=stereo(path))
    try:
        if not follower.open() or not follower.alone:
            return None
        unread = Unread.of(call.state, party)
        width = follower.width
        left = unread.span(path, follower.size // width, rate, now)
        stop = Instant(unread.since + left)
        if left < 10 * MILLI:
            return stop
        follower.skip_to(follower.size - left * rate // SECOND * width)
        track = call.track(party.index, at=unread.since, codec=Codec.L16, rate=rate, clock=ArrivalClock(JITTER_MS))
        follower.finish(stop, track, Nobody() if both else None)
        track.close(at=stop)
    except OSError:
        return None
    else:
        return stop
    finally:
        follower.close()
