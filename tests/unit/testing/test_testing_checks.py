from __future__ import annotations

from importlib import import_module

import pytest

from vcond.call import events as ev
from vcond.sdk.contract import ArrivalClock, Codec, Instant
from vcond.testing.checks import check_ended, check_events, private_words
from vcond.testing.host import MemoryHost
from vcond.testing.time import NOON, ManualClock


class Stub:
    tolerance_ms = 40.0
    private = ("+1 555-0100", "Ann")


@pytest.fixture
def host():
    return MemoryHost("test", clock=ManualClock())


@pytest.fixture
def call(host):
    call = host.call("one", at=NOON)
    call.party("a", at=NOON)
    return call


def later(ms: int) -> Instant:
    return Instant(NOON + ms * 1_000_000)


def test_a_lawful_record_passes(host, call):
    call.track(0, at=NOON, codec=Codec.L16, rate=8000, clock=ArrivalClock())
    call.end(at=later(500))
    check_events(host, call)
    check_ended(Stub(), call)


def test_a_record_with_merged_calls_passes(host, call):
    other = host.call("two", at=later(100))
    other.party("b", at=later(100))
    other.track(0, at=later(100), codec=Codec.L16, rate=8000, clock=ArrivalClock())
    call.merge(other)
    call.track(call.party("c", at=later(200)), at=later(200), codec=Codec.L16, rate=8000, clock=ArrivalClock())
    call.end(at=later(500))
    for each in host.calls:
        check_events(host, each)


@pytest.mark.parametrize(
    "event",
    [
        ev.PartyJoined(at=NOON, party=5, key="x"),
        ev.TrackOpened(at=NOON, track=3, party=0, codec="L16", rate=8000),
        ev.Held(at=NOON, party=9),
    ],
)
def test_an_unlawful_record_fails(host, call, event):
    call.record(event)
    with pytest.raises(AssertionError):
        check_events(host, call)


def test_an_event_after_the_end_fails(host, call):
    call.end(at=later(500))
    call.record(ev.Warned(at=later(600), code="late"))
    with pytest.raises(AssertionError, match="after the end"):
        check_events(host, call)


def test_a_call_that_goes_on_has_not_ended(call):
    with pytest.raises(AssertionError):
        check_ended(Stub(), call)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("nothing here", []),
        ("from +1 555-0100", ["+1 555-0100"]),
        ("from 15550100", ["+1 555-0100"]),
        ("Ann calls", ["Ann"]),
        ("the secret is sesame", ["sesame"]),
    ],
)
def test_private_words_are_found_however_they_are_written(text, found):
    assert private_words(Stub(), [text], "sesame") == found


@pytest.mark.parametrize("suite", ["checks", "conformance", "engines", "session", "sinks"])
def test_pytest_says_the_values_of_what_fails_in_a_suite(suite):
    module = import_module(f"vcond.testing.{suite}")
    assert type(module.__loader__).__name__ == "AssertionRewritingHook"
