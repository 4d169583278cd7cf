from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from speech_jobs import job, scheduler

from vcond.speech.load.admission import State
from vcond.speech.scheduler import TRIES, Job, Scheduler, Step


def test_live_before_left_over() -> None:
    plan = scheduler()
    late, live = job("old", live=False), job("new")
    plan.end(late)
    plan.end(live)
    order = []
    while (step := plan.next(0)) is not None:
        order.append(step.job)
        plan.done(step)
    assert order == [live, late]


def test_a_peek_needs_a_second_of_new_audio_an_idle_worker_and_nothing_that_waits() -> None:
    plan = scheduler()
    spoken, ended = job(stop=None), job("other")
    plan.begin(spoken)
    spoken.heard = 7999
    assert plan.next(0) is None
    spoken.heard = 8000
    plan.end(ended)
    final = plan.next(0)
    assert final is not None
    assert final.kind == "final"
    assert plan.next(1) is None, "a finished utterance is in hand"
    plan.done(final)
    peek = plan.next(0)
    assert peek is not None
    assert (peek.kind, peek.start, peek.stop, peek.opens) == ("peek", 0, 8000, True)
    plan.done(peek)
    spoken.heard = 15_999
    assert plan.next(0) is None
    spoken.heard = 16_000
    assert plan.next(0) is not None


def test_what_other_machines_have_in_hand_keeps_no_worker_from_peeking() -> None:
    plan = scheduler()
    plan.end(job("old", live=False))
    elsewhere = plan.next_elsewhere(everything=False)
    assert elsewhere is not None
    spoken = job(stop=None)
    plan.begin(spoken)
    spoken.heard = 8000
    peek = plan.next(0)
    assert peek is not None
    assert peek.kind == "peek"
    plan.done(elsewhere)
    assert plan.next(0) is None, "one at a time"


def test_of_several_workers_one_stays_free_of_peeks() -> None:
    plan = scheduler(workers=3)
    for name in "abc":
        spoken = job(name, stop=None)
        plan.begin(spoken)
        spoken.heard = 8000
    assert plan.next(0) is not None
    assert plan.next(1) is not None
    assert plan.next(2) is None


def test_an_utterance_that_failed_once_is_not_peeked_at() -> None:
    plan = scheduler()
    spoken = job(stop=None, heard=8000)
    plan.begin(spoken)
    peek = plan.next(0)
    assert peek is not None
    assert not plan.failed(peek)
    spoken.heard = 80_000
    assert plan.next(0) is None


def test_a_stream_stays_with_its_worker_and_gets_its_whole_backlog() -> None:
    plan = scheduler(streaming=True)
    spoken = job(stop=None, heard=1599)
    plan.begin(spoken)
    assert plan.next(0) is None, "less than 200 ms is not worth a step"
    spoken.heard = 16_000
    step = plan.next(0)
    assert step is not None
    assert (step.kind, step.start, step.stop, step.opens, step.text) == ("follow", 0, 16_000, True, True)
    plan.done(step)
    spoken.heard = 40_000
    assert plan.next(1) is None
    step = plan.next(0)
    assert step is not None
    assert (step.start, step.stop, step.opens) == (16_000, 40_000, False)
    spoken.stop = 44_000
    plan.end(spoken)
    assert plan.next(1) is None
    plan.done(step)
    step = plan.next(0)
    assert step is not None
    assert (step.kind, step.start, step.stop, step.opens) == ("final", 40_000, 44_000, False)


def test_streams_of_a_worker_are_bounded_and_the_end_of_one_makes_room() -> None:
    plan = scheduler(streaming=True, streams=1)
    first, second = job("a", stop=None, heard=8000), job("b", stop=None, heard=8000)
    plan.begin(first)
    plan.begin(second)
    step = plan.next(0)
    assert step is not None
    plan.done(step)
    assert plan.next(0) is None
    first.stop = 8000
    plan.end(first)
    step = plan.next(0)
    assert step is not None
    assert step.job is first
    plan.done(step)
    step = plan.next(0)
    assert step is not None
    assert step.job is second


def test_no_words_are_shown_while_finished_utterances_wait() -> None:
    plan = scheduler(streaming=True, streams=1)
    spoken = job("a", stop=None, heard=8000)
    plan.begin(spoken)
    step = plan.next(0)
    assert step is not None
    plan.done(step)
    plan.end(job("b"))
    spoken.heard = 16_000
    step = plan.next(0)
    assert step is not None
    assert (step.job, step.text) == (spoken, False)


def test_a_lost_worker_gives_back_what_it_held_and_it_begins_anew() -> None:
    plan = scheduler(streaming=True)
    spoken, ended = job("a", stop=None, heard=8000), job("b", stop=None, heard=8000)
    for one in (spoken, ended):
        plan.begin(one)
        step = plan.next(0)
        assert step is not None
        plan.done(step)
    ended.stop = 8000
    plan.end(ended)
    plan.lost(0)
    assert not plan.holds(0)
    step = plan.next(1)
    assert step is not None
    assert (step.job, step.start, step.stop, step.opens) == (ended, 0, 8000, True)
    step = plan.next(2)
    assert step is not None
    assert (step.job, step.start, step.opens) == (spoken, 0, True)


def test_more_was_fed_than_the_utterance_holds() -> None:
    plan = scheduler(streaming=True)
    spoken = job(stop=None, heard=8000)
    plan.begin(spoken)
    step = plan.next(0)
    assert step is not None
    plan.done(step)
    spoken.stop = 6000
    plan.end(spoken)
    step = plan.next(0)
    assert step is not None
    assert (step.start, step.stop, step.opens, step.again) == (0, 6000, True, True)


def test_a_worker_that_shall_go_takes_nothing_new_but_ends_what_it_has() -> None:
    plan = scheduler(streaming=True)
    spoken = job("a", stop=None, heard=8000)
    plan.begin(spoken)
    step = plan.next(0)
    assert step is not None
    plan.done(step)
    plan.end(job("b"))
    assert plan.next(0, accept=False) is None
    assert plan.holds(0)
    spoken.stop = 9000
    plan.end(spoken)
    step = plan.next(0, accept=False)
    assert step is not None
    assert step.job is spoken


def test_what_fails_is_tried_three_times_before_the_rest_of_its_call() -> None:
    plan = scheduler()
    bad, next_one = job(), job()
    plan.end(bad)
    plan.end(next_one)
    for attempt in range(1, TRIES + 1):
        step = plan.next(0)
        assert step is not None
        assert step.job is bad
        assert plan.failed(step) == (attempt == TRIES)
    step = plan.next(0)
    assert step is not None
    assert step.job is next_one
    plan.done(step)
    assert plan.waiting == 0


def test_forgetting_takes_out_what_waits_and_marks_what_is_in_hand() -> None:
    plan = scheduler()
    hand, waits, other, spoken = job("a"), job("a"), job("b"), job("a", stop=None)
    for one in (hand, waits, other):
        plan.end(one)
    plan.begin(spoken)
    step = plan.next(0)
    assert step is not None
    assert step.job is hand
    assert plan.forget(lambda one: one.call_id == "a") == [spoken, waits]
    assert hand.gone
    assert plan.failed(step), "what nobody wants is not tried again"
    step = plan.next(0)
    assert step is not None
    assert step.job is other


def test_a_stream_that_was_forgotten_is_dropped_at_its_worker() -> None:
    plan = scheduler(streaming=True)
    spoken = job(stop=None, heard=8000)
    plan.begin(spoken)
    step = plan.next(0)
    assert step is not None
    plan.done(step)
    plan.forget(lambda _: True)
    assert plan.next(1) is None
    step = plan.next(0)
    assert step is not None
    assert (step.kind, step.job) == ("drop", spoken)
    assert not plan.holds(0)
    assert plan.next(0) is None


def test_what_was_forgotten_is_not_given_up_a_second_time() -> None:
    """Its worker was still busy with the beginning when the call ended and its deadline came; then the engine raised."""
    plan = Scheduler(streaming=True, partials=True, workers=1, streams=1)
    one = job("a")
    plan.begin(one)
    one.heard = 1600
    step = plan.next(0)
    assert step is not None
    one.stop = 1600
    plan.end(one)
    assert plan.forget(lambda each: each is one) == [one]
    assert not plan.failed(step)
    assert plan.waiting == 0


def graded(states: dict[str, State], **settings: object) -> Scheduler:
    plain = {"streaming": False, "partials": True, "workers": 1, "streams": 8, **settings}
    return Scheduler(**plain, state=lambda one: states.get(one.source.call, "live"))


def test_what_a_deferred_call_says_waits_behind_the_others() -> None:
    states: dict[str, State] = {"a": "deferred"}
    plan = graded(states)
    first, second = job("a"), job("b")
    plan.end(first)
    plan.end(second)
    assert (first.live, second.live) == (False, True)
    assert plan.deferred == (1, 0.1)
    assert plan.awaited() == {"b": 0.1}
    step = plan.next(0)
    assert step is not None
    assert step.job is second


def test_what_waits_already_is_deferred_with_its_call() -> None:
    states: dict[str, State] = {}
    plan = graded(states)
    first, second = job("a"), job("b")
    plan.end(first)
    plan.end(second)
    states["a"] = "deferred"
    assert plan.regrade() == 1
    assert plan.regrade() == 0
    assert not first.live
    step = plan.next(0)
    assert step is not None
    assert step.job is second
    assert plan.waiting == 2


def test_a_deferred_call_is_not_followed_but_what_was_begun_is_ended() -> None:
    states: dict[str, State] = {}
    plan = graded(states, streaming=True)
    begun, other = job("a", stop=None, heard=8000), job("b", stop=None, heard=0)
    plan.begin(begun)
    plan.begin(other)
    step = plan.next(0)
    assert step is not None
    plan.done(step)
    states.update(a="deferred", b="deferred")
    begun.heard = other.heard = 16_000
    step = plan.next(0)
    assert step is not None
    assert (step.job, step.text) == (begun, False)
    plan.done(step)
    assert plan.next(0) is None, "the other is not begun"
    begun.stop = 16_000
    plan.end(begun)
    assert begun.live


def test_finals_only_means_no_words_while_they_are_spoken() -> None:
    states: dict[str, State] = {"a": "finals"}
    plan = graded(states)
    spoken = job("a", stop=None, heard=80_000)
    plan.begin(spoken)
    assert plan.next(0) is None
    states["a"] = "live"
    assert plan.next(0) is not None


def test_one_in_ten_is_of_those_that_were_deferred() -> None:
    plan = graded({"late": "deferred"})
    for _ in range(3):
        plan.end(job("late"))
    for _ in range(25):
        plan.end(job("now"))
    order = []
    for _ in range(28):
        step = plan.next(0)
        assert step is not None
        order.append(step.job.call_id)
        plan.done(step)
    assert [number for number, call in enumerate(order) if call == "late"] == [9, 19, 27]


def test_what_is_left_over_and_what_is_shown_take_turns() -> None:
    plan = graded({"late": "deferred"})
    for _ in range(2):
        plan.end(job("late"))
    spoken = job("now", stop=None)
    plan.begin(spoken)
    kinds = []
    for _ in range(4):
        spoken.heard += 8000
        step = plan.next(0)
        assert step is not None
        kinds.append(step.kind)
        plan.done(step)
    assert kinds == ["peek", "final", "peek", "final"]


def test_what_a_worker_died_of_is_tried_before_all_others() -> None:
    """If it is the culprit, it is found out at once; if it is not, it is done before the next worker dies."""
    plan = graded({"late": "deferred"})
    victim = job("late")
    plan.end(victim)
    step = plan.next(0)
    assert step is not None
    plan.end(job("now"))
    assert not plan.failed(step)
    plan.lost(0)
    step = plan.next(0)
    assert step is not None
    assert step.job is victim


def test_who_gets_beyond_where_a_worker_died_is_innocent() -> None:
    plan = scheduler(streaming=True)
    spoken = job(stop=None, heard=1600)
    plan.begin(spoken)
    for _ in range(5):
        step = plan.next(0)
        assert step is not None
        assert not plan.failed(step)
        plan.lost(0)
        spoken.heard += 1600
        step = plan.next(0)
        assert step is not None
        plan.done(step)
        assert spoken.tries == 0
        spoken.heard += 1600


class Machine(RuleBasedStateMachine):
    """Any order of speaking, ending, failing, dying and forgetting: every utterance is finished exactly once."""

    @initialize(streaming=st.booleans(), workers=st.integers(1, 3), streams=st.integers(1, 2))
    def begin(self, streaming: bool, workers: int, streams: int) -> None:
        self.plan = scheduler(streaming=streaming, workers=workers, streams=streams)
        self.workers = workers
        self.spoken: list[Job] = []
        self.ended: set[Job] = set()
        self.over: list[Job] = []
        self.hands: dict[int, Step] = {}

    @rule(call=st.sampled_from("abc"))
    def speak(self, call: str) -> None:
        one = job(call, stop=None)
        self.plan.begin(one)
        self.spoken.append(one)

    @precondition(lambda self: self.spoken)
    @rule(data=st.data(), more=st.integers(1, 20_000))
    def go_on(self, data: st.DataObject, more: int) -> None:
        data.draw(st.sampled_from(self.spoken)).heard += more

    @precondition(lambda self: self.spoken)
    @rule(data=st.data(), back=st.integers(0, 5000))
    def end(self, data: st.DataObject, back: int) -> None:
        one = data.draw(st.sampled_from(self.spoken))
        self.spoken.remove(one)
        one.stop = max(1, one.heard - back)
        if one.tries >= TRIES:
            self.plan.abandon(one)
            return
        self.ended.add(one)
        self.plan.end(one)

    @rule(call=st.sampled_from("abc"))
    def leave_over(self, call: str) -> None:
        one = job(call, live=False)
        self.ended.add(one)
        self.plan.end(one)

    @rule(data=st.data(), accept=st.booleans())
    def work(self, data: st.DataObject, accept: bool) -> None:
        worker = data.draw(st.integers(0, self.workers - 1))
        if worker in self.hands:
            return
        step = self.plan.next(worker, accept=accept)
        if step is not None and step.kind != "drop":
            assert all(step.job is not other.job or "peek" in {step.kind, other.kind} for other in self.hands.values())
            assert step.start <= step.stop
            self.hands[worker] = step

    @precondition(lambda self: self.hands)
    @rule(data=st.data(), how=st.sampled_from(["done", "done", "raised", "died"]))
    def answer(self, data: st.DataObject, how: str) -> None:
        worker = data.draw(st.sampled_from(sorted(self.hands)))
        step = self.hands.pop(worker)
        if how == "done":
            self.plan.done(step)
            if step.kind == "final":
                self.finish(step.job)
            return
        if self.plan.failed(step) and step.job in self.ended:
            self.finish(step.job)
        if how == "died":
            self.plan.lost(worker)

    @rule(call=st.sampled_from("abc"))
    def forget(self, call: str) -> None:
        for one in self.plan.forget(lambda one: one.call_id == call):
            if one in self.spoken:
                self.spoken.remove(one)
            else:
                self.finish(one)

    def finish(self, one: Job) -> None:
        assert one in self.ended
        assert one not in self.over
        self.over.append(one)

    @invariant()
    def nothing_is_lost(self) -> None:
        if hasattr(self, "plan"):
            assert self.plan.waiting == len(self.ended) - len(self.over)

    def teardown(self) -> None:
        if not hasattr(self, "plan"):
            return
        for worker in list(self.hands):
            step = self.hands.pop(worker)
            self.plan.done(step)
            if step.kind == "final":
                self.finish(step.job)
        for one in list(self.spoken):
            self.spoken.remove(one)
            one.stop = one.heard + 1
            if one.tries < TRIES:
                self.ended.add(one)
                self.plan.end(one)
        while any((step := self.plan.next(worker)) is not None for worker in range(self.workers)):
            assert step is not None
            if step.kind != "drop":
                self.plan.done(step)
            if step.kind == "final":
                self.finish(step.job)
        assert self.plan.waiting == 0
        assert set(self.over) == self.ended


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
