from __future__ import annotations

import random

from vcond.speech.load.admission import HOLD_FIRST, STATES, Admission, Cost, State


class Day:
    """Calls that speak so much a second, judged twice a second."""

    def __init__(self, *, workers: int = 1, cost: float = 0.3, peek: float = 0.3, streaming: bool = False) -> None:
        self.plan = Admission(workers, streaming=streaming)
        self.plan.costs["final"].add(cost * 10, 10.0)
        self.plan.costs["peek"].add(peek, 1.0)
        self.now = 100.0
        self.rates: dict[str, float] = {}
        self.changes: dict[str, list[State]] = {}
        self.waiting: dict[str, float] = {}
        self.running = workers

    def go(self, seconds: float, spread: random.Random | None = None) -> None:
        for _ in range(round(seconds * 2)):
            self.now += 0.5
            for call, rate in self.rates.items():
                factor = spread.uniform(0, 2) if spread else 1.0
                self.plan.spoke(call, rate * factor * 0.5, self.now)
            for call, state in self.plan.judge(self.rates, self.waiting, self.running, self.now).items():
                self.changes.setdefault(call, []).append(state)

    def states(self) -> list[State]:
        return [self.plan.state(call) for call in self.rates]


def test_what_a_second_costs_is_learnt_from_the_last_steps() -> None:
    cost = Cost()
    assert (cost.second, cost.each) == (0.0, 0.0)
    for _ in range(200):
        cost.add(1.0, 10.0)
    assert (round(cost.second, 3), round(cost.each, 3)) == (0.1, 1.0)
    for _ in range(200):
        cost.add(6.0, 10.0)
    assert round(cost.second, 3) == 0.6
    cost.add(60.0, 0.0, 0)
    assert cost.second > 0.8, "what a worker took with it into its grave was paid for"


def test_the_first_short_texts_of_a_cold_model_prove_nothing() -> None:
    cost = Cost()
    cost.add(2.0, 1.0)
    assert cost.second == 0.0
    for _ in range(5):
        cost.add(0.5, 4.0)
    assert 0.1 < cost.second < 0.3
    slow = Cost()
    slow.add(12.0, 2.0)
    assert slow.second == 6.0


def test_nothing_measured_means_live() -> None:
    plan = Admission(1)
    assert plan.judge(["a", "b"], {}, 1, 0.0) == {}
    assert plan.state("a") == plan.state("never heard of") == "live"


def test_an_engine_that_follows_speech_may_use_all_of_its_workers_and_no_more() -> None:
    followed, other = Day(cost=0.235, streaming=True), Day(cost=0.235, peek=0.01)
    for day in (followed, other):
        day.rates = dict.fromkeys("abcd", 0.5)
        day.go(30)
        day.rates = dict.fromkeys("abcd", 1.0)
        day.go(120)
    assert followed.states() == ["live"] * 4, "94 % of a worker"
    assert "deferred" in other.states()
    followed.rates = dict.fromkeys("abcd", 1.2)
    followed.go(120)
    assert followed.states() == ["live", "live", "live", "deferred"], (
        "113 % of a worker: the youngest waits, others have words"
    )


def test_words_go_before_any_text_does_and_the_youngest_call_goes_first() -> None:
    day = Day(cost=0.3, peek=0.3)
    seen = []
    for number in range(8):
        day.rates[f"call {number}"] = 0.7
        day.go(20)
        seen.append(day.states())
    assert seen[0] == ["live"]
    assert ["live", "finals", "finals"] in seen or ["finals", "finals", "finals"] in seen
    for states in seen:
        assert not ("live" in states and "deferred" in states)
        order = [STATES.index(state) for state in states]
        assert order == sorted(order), "who came first keeps more"
    assert seen[-1].count("deferred") >= 4
    assert seen[-1][0] == "finals"


def test_a_call_that_is_silent_is_no_load() -> None:
    day = Day(cost=0.3, peek=0.0)
    day.rates = {"busy": 1.0, "hold": 0.0, "busy too": 1.0}
    day.go(60)
    assert day.states() == ["live", "live", "live"]


def test_worse_comes_at_once_and_better_after_a_while() -> None:
    day = Day(cost=0.3, peek=0.0)
    day.rates = {"old": 1.0}
    day.go(30)
    day.running = 0
    day.go(60)
    assert day.states() == ["deferred"]
    day.running = 1
    day.go(HOLD_FIRST - 1)
    assert day.states() == ["deferred"]
    day.go(60)
    assert day.states() == ["live"]


def test_texts_that_wait_are_load_too() -> None:
    day = Day(cost=0.3, peek=0.0)
    day.rates = {"a": 1.0, "b": 1.0}
    day.go(30)
    assert day.states() == ["live", "live"]
    day.waiting = {"b": 60.0}
    day.go(0.5)
    assert day.states()[1] == "deferred"


def test_who_speaks_far_more_than_the_others_is_deferred_before_them() -> None:
    day = Day(cost=0.25, peek=0.0)
    day.rates = {"music": 2.0, "a": 0.7, "b": 0.7, "c": 0.7}
    day.go(60)
    assert day.states() == ["deferred", "finals", "finals", "finals"]


def test_calls_on_hold_do_not_make_those_that_talk_look_greedy() -> None:
    day = Day(cost=0.25, peek=0.0)
    day.rates = {"music": 2.0, "a": 0.7, "b": 0.7, "c": 0.7} | {f"hold {number}": 0.0 for number in range(9)}
    day.go(60)
    assert day.states()[:4] == ["deferred", "finals", "finals", "finals"]


def test_at_the_edge_it_does_not_flap() -> None:
    """An hour of calls that together are just about too much, each loud and quiet at random."""
    day = Day(cost=0.3, peek=0.1)
    day.rates = {f"call {number}": 0.75 for number in range(4)}
    day.go(3600, random.Random(7))
    assert max(map(len, day.changes.values())) < 3600 / 30


def test_calls_that_are_over_are_forgotten() -> None:
    day = Day()
    for number in range(100):
        day.rates = {f"call {number}": 0.5}
        day.go(1)
    day.now += 2 * 3600
    day.go(1)
    assert len(day.plan._calls) == 1


def test_a_call_keeps_its_place_over_a_pause() -> None:
    day = Day(cost=0.3, peek=0.0)
    day.rates = {f"call {number}": 0.75 for number in range(6)}
    day.go(60)
    before = day.states()
    assert before[0] == "finals"
    first = day.rates.pop("call 0")
    day.go(120)
    day.rates = {"call 0": first, **day.rates}
    day.go(120)
    assert day.states() == before


def test_what_the_machine_is_short_of_bounds_every_call_whatever_time_there_is() -> None:
    day = Day(cost=0.01, peek=0.01)
    day.rates = dict.fromkeys("ab", 0.5)
    day.go(5)
    assert day.states() == ["live", "live"]
    for best in ("finals", "deferred"):
        day.plan.best = best
        assert day.states() == [best, best], "also those that are not judged again"
        day.go(0.5)
    assert day.changes == {call: ["finals", "deferred"] for call in "ab"}
    assert day.plan.state("new") == "deferred"
    day.plan.best = "live"
    day.go(HOLD_FIRST + 1)
    assert day.changes == {call: ["finals", "deferred", "live"] for call in "ab"}
