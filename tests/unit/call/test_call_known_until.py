"""Until when a call was followed: what a record may claim of its end."""

from __future__ import annotations

from vcond.base.time import SECOND, Instant
from vcond.call import events as ev
from vcond.call.state import Call, fold
from vcond.testing.time import NOON


def at(seconds: float) -> Instant:
    return Instant(NOON + round(seconds * SECOND))


def told(*events: ev.Event) -> Call:
    opened = ev.CallOpened(at=NOON, call="u", adapter="x", key="k", recorder="r", software="s")
    return fold([opened, *events])


def test_without_interruption_it_is_the_last_event() -> None:
    assert told().known_until == NOON
    assert told(ev.Tagged(at=at(5), name="a")).known_until == at(5)


def test_what_is_told_while_nobody_watched_does_not_count() -> None:
    away = (ev.Interrupted(at=at(5), reason="crash"), ev.Tagged(at=at(90), name="a"))
    assert told(*away).known_until == at(5)
    assert told(*away, ev.Recovered(at=at(100))).known_until == at(5)


def test_what_comes_after_it_was_taken_up_does() -> None:
    again = (ev.Interrupted(at=at(5), reason="stop"), ev.Recovered(at=at(100)), ev.Tagged(at=at(101), name="a"))
    assert told(*again).known_until == at(101)
