"""The same call through every adapter gives the same vCon, but for what is named in ``golden_same.MAY_DIFFER``."""

from __future__ import annotations

from functools import cache

import golden_same as same
import numpy as np
import pytest
from golden_kit import RATE, TONES, document, sealed_off, tone

from vcond.testing.sounds import find
from vcond.vcon import validate

PLATFORMS = ("asterisk", "freeswitch")


@cache
def run(platform):
    host = same.SAME[platform]()
    return host, document(host)


def history(platform):
    return same.normalised(run(platform)[1])["history"]


def close(one, two):
    assert [what for _, *what in one] == [what for _, *what in two]
    for (first, *what), (second, *_) in zip(one, two, strict=True):
        assert abs(first - second) <= same.GRID, what


@pytest.mark.parametrize("platform", same.SAME)
def test_it_is_valid(platform):
    assert validate(run(platform)[1]) == []


def test_two_platforms_tell_the_same_record():
    one, two = (same.normalised(run(platform)[1]) for platform in PLATFORMS)
    close(one.pop("history"), two.pop("history"))
    assert one == two


def test_the_history_is_the_script():
    told = [
        (-1.0, 0, "join", ""), (0.0, 1, "join", ""), (same.HOLD, 1, "hold", ""), (same.BACK, 1, "unhold", ""),
        (same.PRESS, 0, "keydown", "5"), (same.PRESS + 0.12, 0, "keyup", "5"), (same.END, 1, "drop", ""),
        (same.END, 0, "drop", ""),
    ]  # fmt: skip
    for platform in PLATFORMS:
        close(history(platform), told)


def test_twilio_tells_the_same_but_for_what_a_stream_cannot_tell():
    one, two = (same.normalised(run(platform)[1]) for platform in ("asterisk", "twilio"))
    mine, theirs = one.pop("history"), two.pop("history")

    def kept(told):
        return sorted((m[1], m[2], m[3], m[0]) for m in told if m[2] in {"keydown", "drop"})

    for (*what, first), (*same_thing, second) in zip(kept(mine), kept(theirs), strict=True):
        assert what == same_thing
        assert abs(first - second) <= same.GRID
    assert not {"hold", "unhold"} & {event for _, _, event, _ in theirs}
    assert one == two


def test_siprec_tells_the_same_but_for_who_left_first():
    one, two = (same.normalised(run(platform)[1]) for platform in ("asterisk", "siprec"))
    mine, theirs = (sorted(told.pop("history"), key=lambda moment: (moment[2], moment[1])) for told in (one, two))
    close(mine, theirs)
    assert one == two


@pytest.mark.parametrize("platform", same.SAME)
@pytest.mark.parametrize("party", [0, 1])
def test_everybody_is_heard_when_he_spoke(platform, party):
    host, _ = run(platform)
    call = sealed_off(host)
    pcm = host.audio(call, party, rate=RATE)
    zero = max(party.presences[0].joined for party in call.state.parties) - call.state.opened
    for moment, length in ((same.SPEAK, same.FIRST), (same.AGAIN, same.LAST)):
        begin = round((zero / 1e9 + moment) * RATE)
        around = pcm[begin - RATE // 10 : begin + round(length * RATE) + RATE // 10]
        said = tone(TONES[party], length)
        score, _ = find(said, around)
        assert score > 0.97, moment
        loud = np.flatnonzero(around)
        assert abs(loud[0] - RATE // 10) <= same.GRID * RATE
        assert abs(loud[-1] - loud[0] + 1 - len(said)) <= 2, "no frame of it is missing"


def test_what_was_captured_adds_up_alike():
    one, two = (same.seconds(run(platform)[1]) for platform in PLATFORMS)
    for first, second in zip(one, two, strict=True):
        assert first["lost"] == second["lost"] == 0.0
        for kind in ("received", "held"):
            assert abs(first[kind] - second[kind]) <= 2 * same.GRID, kind
        assert abs(first["silent"] + first["absent"] - second["silent"] - second["absent"]) <= 3 * same.GRID
    assert one[1]["held"] == pytest.approx(1.0, abs=2 * same.GRID)
