"""What a journal without an end says of the moment it was cut. Pure but for the length of its audio files."""

from __future__ import annotations

from collections.abc import Callable

from vcond.base.time import Instant, nanos
from vcond.call import events as ev
from vcond.call.state import Call


def vanished(state: Call, length: Callable[[str], int], *, now: Instant) -> list[ev.Event]:
    """Events for audio that the journal calls received and that is not in its files: it waited when the end came.

    Events reach the disk within milliseconds, audio within a quarter of a second, and a power failure may keep what was
    written later and lose what was written before. ``length(file)`` is the end of an audio file in samples.
    """
    return [
        ev.Span(at=now, track=track.index, start=max(start, there), stop=stop, kind=ev.SpanKind.LOST, final=True)
        for track in state.tracks
        for there in [length(track.file) + track.shift]
        for start, stop, kind in track.spans
        if kind is ev.SpanKind.RECEIVED and stop > there
    ]


def interrupted(state: Call, length: Callable[[str], int], *, now: Instant) -> list[ev.Event]:
    """Events that close what the crash left open: tracks end with their audio, lost audio is named, the interruption dated.

    ``length(file)`` is the end of an audio file in samples. What was written and not yet described is ``received``,
    of a track of which nothing was described since it was opened: a track says in the journal where its audio begins.
    The moment of the interruption is the end of the last audio or the last event, never after ``now``.
    """
    events = vanished(state, length, now=now)
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
