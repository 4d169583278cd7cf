"""What only the call knows of its tracks: where they were on hold, and where recording was paused."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from vcond.base.time import Instant
from vcond.call import events as ev
from vcond.call.parties import Moment
from vcond.call.state import Call


def labels(state: Call, end: Instant) -> Iterator[ev.Span]:
    """The spans to be written of finished tracks. Later words win over the tracks'.

    Each is to be in ``state`` before the next is asked for: what is held is looked at again.
    """
    for party, since, until in _holds(state.history, end):
        for track in [track for track in state.tracks if track.party == party]:
            start, stop = state.position(since, track.rate), state.position(until, track.rate)
            yield from _spans(track.index, _not_received(track.spans, max(0, start), stop), ev.SpanKind.HELD, end)
    for track in state.tracks:
        yield from _spans(track.index, track.spans.hold_edges(track.rate), ev.SpanKind.HELD, end)
    for track in state.tracks:
        for kind, windows in (
            (ev.SpanKind.WITHHELD, state.consents.withheld(track.party, "recording")),
            (ev.SpanKind.PAUSED, state.pauses),
        ):
            for window in windows:
                start = max(0, state.position(window.start, track.rate))
                stop = state.position(window.stop or end, track.rate)
                yield from _spans(track.index, [(start, stop)], kind, end)


def _spans(track: int, parts: Iterable[tuple[int, int]], kind: ev.SpanKind, at: Instant) -> Iterator[ev.Span]:
    for start, stop in parts:
        if stop > start:
            yield ev.Span(at=at, track=track, start=start, stop=stop, kind=kind)


def _holds(history: Iterable[Moment], end: Instant) -> list[tuple[int, Instant, Instant]]:
    """Who held the others, from when to when."""
    since: dict[int, Instant] = {}
    windows = []
    for moment in history:
        if moment.event == "hold":
            since.setdefault(moment.party, moment.at)
        elif moment.event in {"unhold", "drop"} and moment.party in since:
            windows.append((moment.party, since.pop(moment.party), moment.at))
    return windows + [(party, start, end) for party, start in since.items()]


def _not_received(spans: Iterable[tuple[int, int, ev.SpanKind]], start: int, stop: int) -> list[tuple[int, int]]:
    """The parts of ``[start, stop)`` in which nothing was received."""
    free, position = [], start
    for a, b, kind in spans:
        if kind is ev.SpanKind.RECEIVED and b > position and a < stop:
            free.append((position, a))
            position = b
    free.append((position, stop))
    return [(a, b) for a, b in free if b > a]
