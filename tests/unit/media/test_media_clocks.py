from __future__ import annotations

from dataclasses import fields
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vcond.media.placement.clocks import ArrivalClock, MillisClock, RemoteClock, RtpClock

SECOND = 1_000_000_000
MS = 1_000_000
HOUR = 3600 * SECOND
T0 = 1_700_000_000 * SECOND


@pytest.mark.parametrize("clock", [RtpClock(8000), MillisClock(), ArrivalClock()])
def test_track_clocks_are_values(clock):
    assert clock == type(clock)(**{f.name: getattr(clock, f.name) for f in fields(clock)})
    assert type(clock).__dataclass_params__.frozen


def test_the_least_delay_is_the_distance_of_the_clocks():
    clock = RemoteClock()
    ahead = 5 * SECOND  # of the peer's clock
    delays = [40, 10, 90, 10, 300]
    moments = [clock.at(T0 + i * SECOND + ahead, T0 + i * SECOND + d * MS) for i, d in enumerate(delays)]
    assert moments[1:] == [T0 + i * SECOND + 10 * MS for i in range(1, 5)]
    assert clock.steps == 0


def test_events_of_one_moment_stay_at_one_moment():
    clock = RemoteClock()
    assert clock.at(T0, T0 + 80 * MS) == clock.at(T0, T0 + 20 * MS) + 60 * MS == T0 + 80 * MS
    assert clock.at(T0 + 1, T0 + 30 * MS) == clock.at(T0 + 1, T0 + 90 * MS)


def test_a_stalled_connection_moves_nothing():
    clock = RemoteClock()
    for i in range(10):
        clock.at(T0 + i * SECOND, T0 + i * SECOND + MS)
    burst = [clock.at(T0 + (10 + i) * SECOND, T0 + 25 * SECOND) for i in range(15)]
    assert burst == [T0 + (10 + i) * SECOND + MS for i in range(15)]
    assert clock.steps == 0


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_step_of_the_peers_clock_starts_afresh_and_is_counted(hours):
    clock = RemoteClock()
    for i in range(10):
        clock.at(T0 + i * SECOND, T0 + i * SECOND + MS)
    after = [clock.at(T0 + i * SECOND + hours * HOUR, T0 + i * SECOND + MS) for i in range(10, 20)]
    assert after == [T0 + i * SECOND + MS for i in range(10, 20)]
    assert clock.steps == 1


def test_a_small_step_back_is_seen_by_the_order_of_stamps():
    clock = RemoteClock()
    for i in range(10):
        clock.at(T0 + i * SECOND, T0 + i * SECOND + MS)
    assert clock.at(T0 + 5 * SECOND, T0 + 10 * SECOND) == T0 + 10 * SECOND
    assert clock.steps == 1


def test_a_slow_clock_of_the_peer_is_followed():
    clock = RemoteClock()
    worst = 0
    for i in range(10 * 3600):
        now = T0 + i * SECOND
        worst = max(worst, abs(now - clock.at(now - i * SECOND * 200 // 1_000_000, now)))
    assert worst <= 30 * MS
    assert clock.steps == 0


@settings(deadline=None)
@given(
    skew=st.integers(-HOUR, HOUR),
    events=st.lists(
        st.tuples(st.integers(0, 5 * SECOND), st.integers(0, SECOND), st.integers(0, 900 * MS)), min_size=1, max_size=80
    ),
    step_at=st.one_of(st.none(), st.integers(0, 79)),
    step=st.sampled_from([-HOUR, HOUR]),
)
def test_order_is_kept_nothing_is_of_the_future_and_steps_are_found(skew, events, step_at, step):
    clock, at, sent = RemoteClock(), T0, []
    for i, (pause, delay, shuffle) in enumerate(events):
        at += pause
        moved = skew + (step if step_at is not None and i >= step_at else 0)
        # two sources in the peer: a stamp may be up to 900 ms older than its neighbour's
        stepped = step_at is not None and i >= step_at
        sent.append((at + delay, at - shuffle + moved, at - shuffle, stepped))
    mapped, arrived = [], T0
    for reached, stamp, true, stepped in sent:
        arrived = max(arrived, reached)
        moment = clock.at(stamp, arrived)
        assert moment <= arrived
        mapped.append((stepped, stamp, moment, arrived - true))
    assert clock.steps == (1 if step_at is not None and 0 < step_at < len(events) else 0)
    for stepped in (False, True):
        part = [entry for entry in mapped if entry[0] == stepped]
        for (_, _, early, _), (_, _, late, _) in pairwise(sorted(part[-64:])):
            assert early <= late


@given(st.lists(st.tuples(st.integers(), st.integers()), max_size=100))
def test_nonsense_neither_raises_nor_reaches_the_future(pairs):
    clock = RemoteClock()
    for stamp, arrived in pairs:
        assert clock.at(stamp, arrived) <= arrived
    assert len(clock._recent) <= 64
