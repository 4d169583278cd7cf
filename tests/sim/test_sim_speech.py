"""The simulation of a pool of speech servers keeps what it must, and agrees with queues that have a closed form."""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from sim_load import OFFICE, Load, at_once, office
from sim_pool import Fault, Pool, simulate

FAULTS = (
    Fault(3000, "kill", 60, 0), Fault(4000, "nats", 45), Fault(5000, "stop", 30, 1), Fault(5010, "kill", 0, 2), Fault(8000, "nats", 200),
)  # fmt: skip
TIGHT = Pool(servers=4, each=0.02, most=8)
"""Too few for the hours of most calls: texts wait, at the edges too."""
FEW = Pool(servers=3, each=0.02)
"""So few that what waits in the queue is sent again."""


def erlang_c(servers: int, load: float) -> float:
    """Chance that who comes must wait: M/M/c, ``load`` = arrivals a second times seconds of service (Erlang 1917)."""
    blocked = 1.0
    for number in range(1, servers + 1):
        blocked = load * blocked / (number + load * blocked)
    busy = load / servers
    return blocked / (1 - busy * (1 - blocked))


def poisson(rate: float, mean: float, count: int, seed: int) -> Load:
    """Utterances that come at random and whose lengths are exponential, each a call of its own."""
    rng = np.random.default_rng(seed)
    each = np.arange(count)
    return Load(np.cumsum(rng.exponential(1 / rate, count)), rng.exponential(mean, count), each, each * 0, 1, count)


def plain(servers: int, workers: int = 1) -> Pool:
    """Nothing but waiting and service: M/M/c."""
    return Pool(servers, workers, rtf=1, ahead=0, there=0, back=0, most=10**9, patience=1e12)


@pytest.fixture(scope="module")
def busy() -> Load:
    """Hours of 20 edges, four times as fast as a day."""
    return office(20, 30, seed=3, curve=OFFICE, seconds=12_000)


@pytest.mark.parametrize("faults", [(), FAULTS], ids=["well", "faults"])
@pytest.mark.parametrize("pool", [TIGHT, FEW], ids=["tight", "few"])
def test_every_utterance_has_one_text_and_no_work_is_lost_or_made(busy, pool, faults):
    out = simulate(busy, pool, faults)
    assert set(out.texts) == {1}
    assert out.left == 0
    assert not np.isnan(out.lag).any()
    takes = pool.each + pool.rtf * busy.seconds
    assert math.isclose(out.worked, takes.sum(), rel_tol=1e-9)
    assert (out.lag >= takes + pool.there + pool.back - 1e-6).all()
    assert out.worked <= out.server_hours * 3600 * pool.workers + 1e-6
    assert bool(out.again) == (pool is FEW or bool(faults))


def test_whatever_the_moment_work_in_is_work_out_and_what_waits(busy):
    for until in (2000.0, 4020.0, 8100.0):
        out = simulate(busy, TIGHT, FAULTS, until=until)
        done = np.frombuffer(bytes(out.texts), np.uint8).astype(bool)
        assert int(done.sum()) + out.left == int((busy.ready <= until).sum())
        assert math.isclose(out.worked, (TIGHT.each + TIGHT.rtf * busy.seconds[done]).sum(), rel_tol=1e-9)


def test_where_the_queue_is_as_long_as_patience_machines_work_for_nothing_unless_less_is_sent(busy):
    less, always = (simulate(busy, replace(FEW, adapts=adapts), until=15_000) for adapts in (True, False))
    assert less.left == 0
    assert less.dropped < 0.02 * len(busy)
    assert always.left > 0.7 * len(busy)
    assert always.dropped > len(busy)


def test_utterances_of_a_call_are_sent_in_their_order_whatever_happens(busy):
    out = simulate(busy, TIGHT, FAULTS)
    assert sorted(out.sent) == list(range(len(busy)))
    last: dict[int, int] = {}
    for job in out.sent:
        call = int(busy.call[job])
        assert last.get(call, -1) < job
        last[call] = job


def test_without_faults_workers_begin_utterances_in_the_order_in_which_they_were_sent(busy):
    out = simulate(busy, Pool(servers=4, each=0.02, ahead=0, most=10**9, patience=1e12))
    assert out.again == 0
    assert out.lags()["p99"] > 10
    assert (np.diff(out.started[out.sent]) >= 0).all()


def test_with_as_many_servers_as_anybody_wants_lag_is_service():
    load = at_once(3, 10, seconds=120)
    pool = Pool(servers=len(load), each=0.02)
    lag = simulate(load, pool).lag
    assert np.allclose(lag, pool.there + pool.each + pool.rtf * load.seconds + pool.back)


@pytest.mark.parametrize(("servers", "workers", "busy_share"), [(1, 1, 0.6), (4, 1, 0.8), (1, 4, 0.8), (20, 1, 0.9)])
def test_random_arrivals_wait_as_the_formula_of_erlang_says(servers, workers, busy_share):
    places = servers * workers
    load = poisson(busy_share * places, 1.0, 80_000, seed=places)
    out = simulate(load, plain(servers, workers))
    waits = (out.started - load.ready)[5_000:]
    chance = erlang_c(places, busy_share * places)
    assert math.isclose((waits > 1e-9).mean(), chance, rel_tol=0.06)
    assert math.isclose(waits.mean(), chance / (places * (1 - busy_share)), rel_tol=0.12)


def test_the_same_seed_gives_the_same_day_and_another_one_another(busy):
    again = office(20, 30, seed=3, curve=OFFICE, seconds=12_000)
    first, second = (simulate(load, TIGHT, FAULTS, seed=5).lag for load in (busy, again))
    assert first.tobytes() == second.tobytes()
    assert len(office(20, 30, seed=4, curve=OFFICE, seconds=12_000)) != len(busy)


def test_what_an_edge_transcribes_by_itself_does_not_reach_the_pool():
    whole, part, none = (at_once(2, 10, seconds=60, local=local) for local in (0, 4, 10))
    assert len(none) == 0
    assert 0.5 < len(part) / len(whole) < 0.7
    assert len(office(5, 100, local=1)) < len(office(5, 100))
