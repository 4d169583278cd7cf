"""What is kept of calls that are over, for a stream that brings the same telephone call again."""

from __future__ import annotations

from vcond.sdk.media_stream.before import REMEMBERED, SOON, Over
from vcond.testing.host import MemoryHost
from vcond.testing.time import ManualClock


def ended(host, clock, over, number):
    call = host.call(f"call-{number}", at=clock.now())
    call.end(at=clock.now())
    over.keep(f"call-{number}", call)
    return call.uuid


def test_of_a_call_that_is_over_nothing_is_kept_longer_than_it_is_of_use():
    clock, over = ManualClock(), Over()
    host = MemoryHost(clock=clock)
    for number in range(10):
        ended(host, clock, over, number)
    last = ended(host, clock, over, 10)
    clock.advance(SOON)
    assert over.take("call-10", clock.now()).uuid == last
    clock.advance(1)
    ended(host, clock, over, 11)
    assert list(over._calls) == ["call-11"]


def test_so_many_calls_are_kept_and_no_more():
    clock, over = ManualClock(), Over()
    host = MemoryHost(clock=clock)
    for number in range(REMEMBERED + 5):
        ended(host, clock, over, number)
    assert next(iter(over._calls)) == "call-5"
    assert len(over._calls) == REMEMBERED
