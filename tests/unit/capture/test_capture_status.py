"""What the operator's door does to a call."""

from collections import Counter
from types import SimpleNamespace

import pytest

from vcond.call import events as ev
from vcond.call.matching import Match
from vcond.capture.rules import Rules
from vcond.config.schema import PolicyRule
from vcond.server.status import Status
from vcond.speech.config import SpeechConfig
from vcond.vcon import build


@pytest.fixture
def door(house):
    return Status(SimpleNamespace(registry=house.registry, clock=house.clock, outbox=None))  # type: ignore[arg-type]  # what pauses use


def opened(house):
    call = house.host.call("k", at=house.now(0))
    call.party("browser", at=house.at(0), who=ev.PartyInfo(name="Ann"))
    return call


async def test_the_operator_ends_only_the_pause_of_the_operator(house, door):
    call = opened(house)
    call.emit(ev.RecordingPaused(at=house.now(1), by="party", party=0))
    row = await door.writes["pause"]({"call": call.uuid})
    assert row["paused_by"] == ["party 0 (Ann)", "operator"]
    row = await door.writes["resume"]({"call": call.uuid})
    assert (row["paused"], row["paused_by"]) == (True, ["party 0 (Ann)"])
    assert (await door.writes["resume"]({"call": call.uuid}))["paused"]
    call.emit(ev.RecordingResumed(at=house.now(2), by="party", party=0))
    assert not call.state.paused


@pytest.mark.parametrize("word", ["", "no", "true"])
async def test_force_is_what_was_asked_for_by_its_name(house, door, word):
    call = opened(house)
    call.emit(ev.RecordingPaused(at=house.now(1), by="platform"))
    assert (await door.writes["resume"]({"call": call.uuid, "force": word}))["paused"]


async def test_a_forced_resume_is_an_event_of_its_own_and_in_the_report(house, door):
    call = opened(house)
    call.emit(ev.Answered(at=house.at(0)))
    call.emit(ev.RecordingPaused(at=house.now(1), by="party", party=0))
    house.now(2)
    row = await door.writes["resume"]({"call": call.uuid, "force": "yes", "reason": "court order"})
    assert not row["paused"]
    assert [type(event) for event in call.journal.events[-2:]] == [ev.RecordingPaused, ev.PauseOverridden]
    call.end(at=house.now(3))
    report = next(a for a in build(call.state, {})["attachments"] if a["purpose"] == "vcond-capture-report")
    (pause,) = report["body"]["pauses"]
    assert (pause["by"], pause["overridden_by"], pause["override_reason"]) == ("party", "operator", "court order")


async def test_a_forced_resume_of_ones_own_pause_overrides_nobody(house, door):
    call = opened(house)
    await door.writes["pause"]({"call": call.uuid})
    assert not (await door.writes["resume"]({"call": call.uuid, "force": "yes"}))["paused"]
    assert not any(isinstance(event, ev.PauseOverridden) for event in call.journal.events)


async def test_a_full_call_can_be_paused_and_let_go_on(house, door, monkeypatch):
    monkeypatch.setattr("vcond.call.recorder.MAX_EVENTS", 5)
    monkeypatch.setattr("vcond.call.recorder.MAX_SWITCHES", 3)
    call = opened(house)
    for _ in range(9):
        call.emit(ev.Held(at=house.now(1), party=0))
    for again in range(3):
        assert (await door.writes["pause"]({"call": call.uuid}))["paused"], again
        assert not (await door.writes["resume"]({"call": call.uuid}))["paused"], again
    assert (await door.writes["pause"]({"call": call.uuid}))["paused"]
    assert (await door.writes["resume"]({"call": call.uuid}))["paused"], "not for ever"


async def test_a_pause_for_some_seconds_ends_by_itself_and_is_only_made_longer(house, door):
    call = opened(house)
    await door.writes["pause"]({"call": call.uuid, "seconds": "60"})
    house.registry.tick(house.now(59))
    assert call.state.paused
    await door.writes["pause"]({"call": call.uuid, "seconds": "10"})
    await door.writes["pause"]({"call": call.uuid, "seconds": "5"})
    house.registry.tick(house.now(68))
    assert call.state.paused
    house.registry.tick(house.now(69))
    assert not call.state.paused
    await door.writes["pause"]({"call": call.uuid, "seconds": "5"})
    await door.writes["pause"]({"call": call.uuid})
    house.registry.tick(house.now(600))
    assert call.state.paused
    assert [pause.stop and pause.stop - house.at(0) for pause in call.state.pauses] == [69 * 10**9, None]


@pytest.mark.parametrize("seconds", ["0", "-1", "1.5", "soon", "86401", "9" * 100])
async def test_how_long_a_pause_may_last_is_named(house, door, seconds):
    call = opened(house)
    with pytest.raises(ValueError, match="seconds must be a whole number from 1 to 86400"):
        await door.writes["pause"]({"call": call.uuid, "seconds": seconds})
    assert not call.state.paused


async def test_a_rule_pauses_a_call_while_it_matches(house, door):
    rules = Rules([PolicyRule(match=Match(attributes={"queue": "payments"}), pause=True)])
    house.registry.terms_of_call = rules.terms_of_call
    call = opened(house)
    assert not call.state.paused
    house.now(1)
    call.emit(ev.CallAttribute(at=house.at(1), name="queue", value="payments"))
    assert [(pause.by, pause.start) for pause in call.state.pauses] == [("rule", house.at(1))]
    assert (await door.writes["resume"]({"call": call.uuid}))["paused_by"] == ["rule"]
    house.now(2)
    call.emit(ev.CallAttribute(at=house.at(2), name="queue", value="care"))
    assert not call.state.paused


async def test_what_calls_do_without_is_told_while_all_of_them_are_recorded(house):
    config = SimpleNamespace(speech=SpeechConfig())
    speech = SimpleNamespace(calls=Counter(live=1))
    door = Status(
        SimpleNamespace(registry=house.registry, clock=house.clock, outbox=None, config=config, speech=speech)  # type: ignore[arg-type]  # what is asked here
    )
    house.registry.tick(house.now(1))
    assert door.gives_up() == {}
    told = []
    for second, left in enumerate((140, 90, 50), 2):
        house.memory = left * 1_000_000
        house.registry.tick(house.now(second))
        told.append(door.gives_up().get("memory", ""))
    assert told == [
        "running short: live captions are off (140 MB left, 60 wanted)",
        "running short: calls are transcribed later (90 MB left, 60 wanted)",
        "",
    ]
    assert "memory" in house.registry.pressure.trouble, "new calls are refused: that is no giving way any more"
    speech.calls.update(finals=2, deferred=3)
    assert door.gives_up()["speech"] == (
        "2 calls have no live captions, 3 calls get their texts later: too much speech for this machine"
    )
    config.speech = SpeechConfig(partials=False)
    assert door.gives_up()["speech"] == "3 calls get their texts later: too much speech for this machine"
