"""What is missing in a call that is over is logged, counted, kept for who asks, and said in the vCon."""

from types import SimpleNamespace

import numpy as np
import pytest
import structlog
from capture_kit import FRAME, Shelf, ended, finishing, idle

from vcond.base import metrics
from vcond.base.time import SECOND, Instant
from vcond.call import events as ev
from vcond.call.diagnosis import Diagnosis
from vcond.publish import telling
from vcond.publish.telling import LAST, Findings
from vcond.sdk.contract import ArrivalClock, Cause, Codec
from vcond.server.status import Status
from vcond.vcon import read


def counted(adapter: str, code: str) -> float:
    return metrics.call_findings_total.labels(adapter, code)._value.get()


async def finished(house, tmp_path, call_and_journal):
    shelf = Shelf()
    async with finishing(house, shelf, tmp_path) as finisher:
        finisher.submit(*call_and_journal)
        await idle(finisher)
    (body,) = shelf.taken.values()
    (report,) = (a["body"] for a in read(body)["attachments"] if a["purpose"] == "vcond-capture-report")
    return finisher.findings, report


async def test_of_a_whole_call_nothing_is_said(house, tmp_path):
    with structlog.testing.capture_logs() as logs:
        findings, report = await finished(house, tmp_path, ended(house))
    assert "findings" not in report
    assert [row["findings"] for row in findings.last] == [[]]
    assert not [line for line in logs if "not in its record" in line["event"]]


async def test_a_party_that_was_not_heard_is_told_everywhere(house, tmp_path):
    call = house.host.call("k", at=house.now(0))
    for key in ("a", "b"):
        call.party(key, at=house.at(0))
    call.emit(ev.Warned(at=house.at(1), code="of-a-plug-in", text="something of its own"))
    call.emit(ev.Answered(at=house.at(0)))
    call.end(at=house.now(2), cause=Cause(q850=16))
    adapter = call.state.adapter
    before = counted(adapter, "no-audio"), counted(adapter, "other")
    with structlog.testing.capture_logs() as logs:
        findings, report = await finished(house, tmp_path, house.finished[-1])
    assert [one["code"] for one in report["findings"]] == ["of-a-plug-in", "no-audio", "no-audio"]
    (row,) = findings.last
    assert row["call"] == call.uuid
    assert [one["party"] for one in row["findings"]] == [None, 0, 1]
    (line,) = (line for line in logs if "not in its record" in line["event"])
    assert (line["codes"], line["error"]) == ("of-a-plug-in,no-audio", "something of its own")
    assert (counted(adapter, "no-audio"), counted(adapter, "other")) == (before[0] + 1, before[1] + 1), (
        "a call counts once"
    )


@pytest.mark.parametrize(("sound", "code"), [("comfort-noise", "comfort-noise"), ("another codec", "wrong-codec")])
async def test_what_is_no_voice_is_told_everywhere_though_packets_came(house, tmp_path, sound, code):
    """Of one party, which says something all the time; the other one talks."""
    noise = np.random.default_rng(1).standard_normal(160 * 250) * {"comfort-noise": 30, "another codec": 9000}[sound]
    call = house.host.call("k", at=house.now(0))
    tracks = [
        call.track(call.party(key, at=house.at(0)), at=house.at(0), codec=Codec.L16, rate=8000, clock=ArrivalClock())
        for key in "ab"
    ]
    call.emit(ev.Answered(at=house.at(0)))
    for number, part in enumerate(noise.astype("<i2").reshape(-1, 160)):
        for track, frame in zip(tracks, (part.tobytes(), FRAME), strict=True):
            track.write(frame, arrived=house.now(0.02 * (number + 1)))
    call.end(at=house.now(5), cause=Cause(q850=16))
    adapter = call.state.adapter
    before = counted(adapter, code)
    with structlog.testing.capture_logs() as logs:
        findings, report = await finished(house, tmp_path, house.finished[-1])
    assert [(one["code"], one["party"]) for one in report["findings"]] == [(code, 0)]
    assert [(one["code"], one["party"]) for one in findings.last[0]["findings"]] == [(code, 0)]
    assert [line["codes"] for line in logs if "not in its record" in line["event"]] == [code]
    assert counted(adapter, code) == before + 1


@pytest.mark.parametrize(
    ("hints", "told"), [({}, "free space"), ({"x": {"disk": "own"}}, "own"), ({"y": {}}, "free space")]
)
def test_the_hint_in_the_log_is_that_of_the_adapter(hints, told):
    call = SimpleNamespace(uuid="u", adapter="x", ended=None, last=ev.Instant(0))
    with structlog.testing.capture_logs() as logs:
        Findings(hints).tell(call, [Diagnosis("disk", "text")])
    assert logs[0]["hint"].startswith(told)


def test_only_the_last_calls_are_kept():
    findings = Findings()
    for i in range(LAST + 5):
        findings.tell(SimpleNamespace(uuid=str(i), adapter="x", ended=ev.Instant(0), last=ev.Instant(0)), [])
    assert [row["call"] for row in findings.last][:1] == ["5"]
    assert len(findings.last) == LAST


async def test_the_operators_door_tells_of_live_calls_and_the_last_ones_newest_first(house, monkeypatch):
    call = house.host.call("k", at=house.now(0))
    for key in ("a", "b"):
        call.party(key, at=house.at(0))
    call.emit(ev.Answered(at=house.at(0)))
    findings = Findings()
    for uuid in ("1", "2"):
        findings.tell(SimpleNamespace(uuid=uuid, adapter="x", ended=ev.Instant(0), last=ev.Instant(0)), [])
    parts = SimpleNamespace(
        registry=house.registry, clock=house.clock, outbox=None, finisher=SimpleNamespace(findings=findings)
    )
    door = Status(parts)  # type: ignore[arg-type]  # what this door uses
    monkeypatch.setattr(door, "ready", lambda: {"disk": "low"})
    house.now(3)
    told = await door.reads["findings"]({})
    assert told["short_of"] == {"disk": "low"}
    assert [(row["call"], row["findings"]) for row in told["calls"]] == [(call.uuid, []), ("2", []), ("1", [])]
    house.now(20)
    (live, *_) = (await door.reads["findings"]({}))["calls"]
    assert [one["code"] for one in live["findings"]] == ["no-audio"] * 2
    assert [one["code"] for one in (await door.reads["call"]({"call": call.uuid}))["findings"]] == ["no-audio"] * 2


def test_a_call_that_cannot_be_looked_at_keeps_no_other_from_being_told(monkeypatch):
    asked = []

    def strange(call, _now):
        asked.append(call.uuid)
        if call.uuid == "bad":
            raise ZeroDivisionError
        return []

    monkeypatch.setattr(telling, "_unheard", strange)
    calls = [(SimpleNamespace(uuid=uuid, adapter="test", warnings=[]), ()) for uuid in ("bad", "good")]
    with structlog.testing.capture_logs() as logs:
        Findings().watch(calls, Instant(3600 * SECOND))
    assert asked == ["bad", "good"]
    assert [line["call"] for line in logs if line["log_level"] == "error"] == ["bad"]
