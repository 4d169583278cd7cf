"""What a journal without an end says of the moment it was cut. Pure but for the length of its audio files."""

from __future__ import annotations

from collections.abc import Callable

from vcond.base.time import Instant, nanos
from vcond.call import events as ev
from vcond.call.state import Call


def interrupted(state: Call, length: Callable[[str], int], *, now: Instant) -> list[ev.Event]:
    """Events that close what the crash left open: tracks end with their audio, the interruption is dated.

    ``length(file)`` is the end of an audio file in samples. What was written and not yet described is ``received``,
    of a track of which nothing was described since it was opened: a track says in the journal where its audio begins.
    The moment of the interruption is the end of the last audio or the last event, never after ``now``.
    """
    events: list[ev.Event] = []
    last = state.last
    for track in state.tracks:
        end = max(track.samples, length(track.file) + track.shift)
        moment = Instant(state.opened + nanos(end, track.rate))
        last = max(last, min(moment, now))
        if track.closed is not None:
            continue
        start = track.samples or max(0, state.position(track.opened, track.rate))
        start = start if start < end else track.samples
        if end > start:
            events.append(ev.Span(at=moment, track=track.index, start=start, stop=end, kind=ev.SpanKind.RECEIVED))
        events.append(ev.TrackClosed(at=min(moment, now), track=track.index, samples=end))
    if not state.interruptions or state.interruptions[-1].stop is not None:
        events.append(ev.Interrupted(at=last, reason="crash"))
    return events
