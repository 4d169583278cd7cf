from __future__ import annotations

from vcond.call import events as ev
from vcond.call.state import fold
from vcond.vcon import build, serialize
from vcond.vcon.building.party_history import history


def test_every_kind_of_moment_is_told_in_order_of_time(scenarios):
    script = scenarios.two()
    script.add(ev.Held(at=script.at(2), party=1), ev.Retrieved(at=script.at(3), party=1))
    script.add(ev.Muted(at=script.at(1), party=0), ev.Unmuted(at=script.at(1.5), party=0))
    script.add(ev.Dtmf(at=script.at(3.5), party=0, button="#", ms=120))
    scenarios.finish(script, (0, 1))
    told = [(one["event"], one["party"]) for one in history(fold(script.events))]
    assert told == [
        ("join", 0), ("join", 1), ("mute", 0), ("unmute", 0), ("hold", 1), ("unhold", 1), ("keydown", 0), ("keyup", 0),
        ("drop", 0), ("drop", 1),
    ]  # fmt: skip


def test_a_digit_is_two_moments_with_its_button(scenarios):
    script = scenarios.dtmf()
    keys = [one for one in history(fold(script.events)) if "button" in one]
    assert keys == [
        {"party": 0, "time": "2026-11-23T09:00:01.5Z", "event": "keydown", "button": "5"},
        {"party": 0, "time": "2026-11-23T09:00:01.62Z", "event": "keyup", "button": "5"},
        {"party": 0, "time": "2026-11-23T09:00:02Z", "event": "keydown", "button": "#"},
        {"party": 0, "time": "2026-11-23T09:00:02.08Z", "event": "keyup", "button": "#"},
    ]


def test_no_digit_of_a_pause_is_anywhere(scenarios):
    script = scenarios.two(8.0)
    script.add(ev.RecordingPaused(at=script.at(2)))
    for at in (1.95, 2.5, 3.0, 4.999):
        script.add(ev.Dtmf(at=script.at(at), party=0, button="9", ms=100))
    script.add(ev.RecordingResumed(at=script.at(5)))
    script.add(ev.Dtmf(at=script.at(5.4), party=0, button="9", ms=100))
    script.add(ev.Dtmf(at=script.at(5.6), party=0, button="7", ms=100))
    script.add(ev.Dtmf(at=script.at(1.0), party=0, button="1", ms=100))
    scenarios.finish(script, (0, 1))
    call = fold(script.events)
    assert [one["button"] for one in history(call) if one["event"] == "keydown"] == ["1", "7"]
    assert [one["button"] for one in history(call) if one["event"] == "keyup"] == ["1", "7"]
    assert b'"button":"9"' not in serialize(build(call, script.audio))
