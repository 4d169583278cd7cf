"""Which worker takes an utterance that begins: it stays there until its end."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from speech_jobs import job, scheduler

from vcond.speech.scheduler import Scheduler


def test_who_follows_much_leaves_what_begins_to_who_follows_less() -> None:
    plan = scheduler(streaming=True, workers=2)
    assert plan.next(0) is plan.next(1) is None
    for name in "abc":
        plan.begin(job(name, stop=None, heard=1600))
    for _ in range(2):
        step = plan.next(0)
        assert step is not None
        assert step.opens
        plan.done(step)
    assert plan.next(0) is None, "two more than the other worker"
    third = plan.next(1)
    assert third is not None
    assert third.opens


@pytest.mark.parametrize("leave", [lambda plan: plan.lost(1), lambda plan: plan.next(1, accept=False)])
def test_who_is_gone_or_takes_no_more_is_not_waited_for(leave: Callable[[Scheduler], object]) -> None:
    plan = scheduler(streaming=True, workers=2)
    assert plan.next(1) is None
    leave(plan)
    for name in "abc":
        plan.begin(job(name, stop=None, heard=1600))
    opened = []
    while (step := plan.next(0)) is not None:
        opened.append(step)
        plan.done(step)
    assert len(opened) == 3
