"""The fake switch does with taps what a real one was recorded to do: the same events in the same order, the same answers."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakeswitch import FakeSwitch
from fskit import events

from vcond.testing.time import run_virtual
from vcond_freeswitch import commands

TOLD = {"RECORD_START", "MEDIA_BUG_START", "RECORD_STOP", "MEDIA_BUG_STOP", "CHANNEL_HANGUP_COMPLETE"}


class Listener:
    """A session that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[dict[str, str]] = []

    def event(self, headers: dict[str, str]) -> None:
        self.told.append(headers)


def of_leg(told, leg: str) -> list[tuple[str, str]]:
    """Names of events of a leg that have to do with its tap, each with why it ends."""
    return [(event.name, event.cause) for event in told if event.leg == leg and event.name in TOLD]


def in_the_fake(directory: Path, **variables: str) -> tuple[str, list[tuple[str, str]]]:
    """A tap on a leg that is answered and hangs up: the answer to its start, and the events."""

    async def main() -> tuple[str, list[tuple[str, str]]]:
        switch, listener = FakeSwitch(directory), Listener()
        switch.sessions.append(listener)
        channel = switch.create()
        channel.variables.update(variables)
        switch.answer(channel)
        answer = switch._run(commands.record_start(channel.uuid, f"{directory}/vcond-x-1-2.r16", 16000, "t"))
        if channel.uuid in switch.channels:
            switch.hang_up(channel)
        told = [(one["Event-Name"], one.get("Hangup-Cause", "")) for one in listener.told if one["Event-Name"] in TOLD]
        return answer, told

    return run_virtual(main())


def test_the_events_of_a_tap_come_as_they_were_recorded(tmp_path):
    recorded = events("record_stereo")
    answers = [event.body for event in recorded if event.name == "BACKGROUND_JOB"]
    answer, told = in_the_fake(tmp_path)
    legs = {event.leg for event in recorded if event.name == "RECORD_START"}
    assert len(legs) == 2
    for leg in legs:
        assert of_leg(recorded, leg) == told
    assert answers == [answer] * 2 == ["+OK Success\n"] * 2


def test_a_start_is_answered_after_its_events():
    names = [event.name for event in events("record_stereo")]
    assert names.index("RECORD_START") < names.index("MEDIA_BUG_START") < names.index("BACKGROUND_JOB")


def test_a_path_that_cannot_be_written_is_refused_as_recorded_and_the_call_goes_on(tmp_path):
    recorded = events("hangup_on_error")
    answers = {event.body for event in recorded if event.name == "BACKGROUND_JOB"}
    causes = [event.cause for event in recorded if event.name == "CHANNEL_HANGUP_COMPLETE"]
    answer, told = in_the_fake(tmp_path / "not-there", RECORD_HANGUP_ON_ERROR="true")
    assert answers == {answer, "-ERR Cannot stop record session!\n"}
    assert causes == ["NORMAL_CLEARING"] * 2
    assert [name for name, _ in told] == ["CHANNEL_HANGUP_COMPLETE"]
    assert told[0][1] == "NORMAL_CLEARING", "it was hung up by its party"


def test_a_tap_that_does_not_name_it_ends_the_call_when_the_channel_says_so(tmp_path, monkeypatch):
    """Measured, 20 ms after the answer."""
    monkeypatch.delitem(commands.RECORDING, "RECORD_HANGUP_ON_ERROR")
    _, told = in_the_fake(tmp_path / "not-there", RECORD_HANGUP_ON_ERROR="true")
    assert told == [("CHANNEL_HANGUP_COMPLETE", "DESTINATION_OUT_OF_ORDER")]


@pytest.mark.parametrize("named", [True, False])
def test_a_setting_is_taken_from_the_channel_where_the_tap_names_none(tmp_path, monkeypatch, named):
    """``record_stereo`` of the recording: 4.0 s at 16 kHz have twice the bytes of one channel."""
    sizes = {event.leg: event for event in events("record_stereo") if event.name == "RECORD_STOP"}
    assert len(sizes) == 2
    if not named:
        real = commands.record_start
        monkeypatch.setattr(commands, "record_start", lambda *args: real(*args).replace("RECORD_STEREO=false,", ""))

    async def main() -> int:
        switch = FakeSwitch(tmp_path)
        channel = switch.create()
        channel.variables["record_stereo"] = "true"
        switch.answer(channel)
        switch._run(commands.record_start(channel.uuid, f"{tmp_path}/vcond-x-1-2.r16", 8000, "t"))
        switch._frame(channel)
        switch.hang_up(channel)
        return (tmp_path / "vcond-x-1-2.r16").stat().st_size

    assert run_virtual(main()) == (320 if named else 640)


SUBSCRIBED = frozenset(commands.EVENTS)


def script(name: str, switch: FakeSwitch) -> None:
    """What was done when ``name`` was recorded."""
    if name == "no_answer_timeout.json":
        switch.end(*switch.call(answered=False))
        return
    one, two = switch.call()
    if name == "hold_unhold.json":
        for channel in (two, one):
            switch.hold(channel, on=True)
            switch.hold(channel, on=False)
    elif name == "dtmf.json":
        for channel, digit in ((one, "1"), (one, "#"), (two, "5"), (two, "*")):
            switch.press(channel, digit)
    switch.end(one, two)


@pytest.mark.parametrize("name", ["basic.json", "hold_unhold.json", "dtmf.json", "no_answer_timeout.json"])
def test_the_events_of_a_call_come_as_they_were_recorded(tmp_path, name):
    """Which, of which leg, in which order, and what is done with their words."""

    async def main() -> list[dict[str, str]]:
        switch, listener = FakeSwitch(tmp_path), Listener()
        switch.sessions.append(listener)
        script(name, switch)
        return listener.told

    words = {
        "Event-Name": "name", "Call-Direction": "direction", "Hangup-Cause": "cause", "DTMF-Digit": "digit",
        "DTMF-Duration": "digit_samples", "variable_hangup_cause_q850": "q850",
        "variable_sip_hangup_disposition": "hung_up",
    }  # fmt: skip

    def of(told: dict[str, str]) -> tuple[str, ...]:
        held = told.get("Channel-Call-State", "") if told["Event-Name"] in {"CHANNEL_HOLD", "CHANNEL_UNHOLD"} else ""
        hung_up = told["Event-Name"] == "CHANNEL_HANGUP_COMPLETE"
        last = {"variable_hangup_cause_q850", "variable_sip_hangup_disposition"}
        return (held, *(told.get(word, "") for word in words if hung_up or word not in last))

    recorded = [
        {"Channel-Call-State": event.call_state, **{word: getattr(event, field) for word, field in words.items()}}
        for event in events(name)
        if event.name in SUBSCRIBED and event.leg
    ]

    def told_in_order(told: list[dict[str, str]]) -> tuple[list[tuple[str, ...]], list[tuple[str, ...]]]:
        """In order, but for the end of both legs: they end in threads of their own (basic, hold_unhold differ)."""
        lives = [of(event) for event in told if not event.get("Hangup-Cause")]
        return lives, sorted(of(event) for event in told if event.get("Hangup-Cause"))

    assert told_in_order(run_virtual(main())) == told_in_order(recorded)
