"""Every capture of the kit, and what its call was: written by hand from its script."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from fskit import drive, events

from vcond.call import events as ev
from vcond.sdk.contract import Disposition
from vcond_freeswitch.config import Config

A, B, C = "1001@127.0.0.1", "1002@127.0.0.1", "1003@127.0.0.1"
NEAR = 0.041
"""Seconds by which the same script was faster or slower in the other format."""


class Expected(NamedTuple):
    parties: list[str]
    answered: float | None
    ended: float
    by: int | None
    cause: str
    history: list[tuple[float, int, str]]
    disposition: Disposition | None = None
    transfers: tuple | list = ()
    heard: tuple | list = ()
    """Parties that are listened to, in that order."""


JOIN_A = (0.0, 0, "join")
NORMAL = "NORMAL_CLEARING"
CALLS = {
    "basic": Expected([A, B], 0.36, 2.40, 0, NORMAL, [JOIN_A, (0.36, 1, "join"), (2.4, 1, "drop"), (2.4, 0, "drop")], heard=[1, 0]),
    "callee_hangup": Expected([A, B], 0.38, 1.40, 1, NORMAL, [JOIN_A, (0.38, 1, "join"), (1.4, 1, "drop"), (1.4, 0, "drop")], heard=[1, 0]),
    "record_start_stop": Expected([A, B], 0.36, 3.42, 0, NORMAL, [JOIN_A, (0.36, 1, "join"), (3.42, 1, "drop"), (3.42, 0, "drop")], heard=[1, 0]),
    "hold_unhold": Expected(
        [A, B], 0.36, 7.46, 0, NORMAL,
        [JOIN_A, (0.36, 1, "join"), (1.38, 1, "hold"), (3.9, 1, "unhold"), (4.92, 0, "hold"), (6.44, 0, "unhold"),
         (7.46, 1, "drop"), (7.46, 0, "drop")], heard=[1, 0],
    ),
    "dtmf": Expected(
        [A, B], 0.36, 3.80, 0, NORMAL,
        [JOIN_A, (0.36, 1, "join"), (1.5, 0, "keydown"), (1.62, 0, "keyup"), (1.68, 0, "keydown"), (1.8, 0, "keyup"),
         (2.68, 1, "keydown"), (2.8, 1, "keyup"), (2.86, 1, "keydown"), (2.98, 1, "keyup"), (3.78, 1, "drop"), (3.8, 0, "drop")],
        heard=[1, 0],
    ),
    "blind_transfer_by_callee": Expected(
        [A, B, C], 0.36, 4.40, 0, NORMAL,
        [JOIN_A, (0.36, 1, "join"), (1.4, 1, "drop"), (1.76, 2, "join"), (4.4, 2, "drop"), (4.4, 0, "drop")],
        transfers=[(1.4, "blind", 1, 0, None, "1003"), (1.4, "blind", 1, 0, 2, "1003")], heard=[1, 0, 2],
    ),
    "blind_transfer_by_caller": Expected(
        [A, B, C], 0.38, 4.42, 1, NORMAL,
        [JOIN_A, (0.36, 1, "join"), (1.4, 0, "drop"), (1.76, 2, "join"), (4.42, 2, "drop"), (4.42, 1, "drop")],
        transfers=[(1.4, "blind", 0, 1, None, "1003"), (1.4, "blind", 0, 1, 2, "1003")], heard=[1, 0, 2],
    ),
    "uuid_transfer_api": Expected(
        [A, B, C], 0.36, 3.90, 0, NORMAL,
        [JOIN_A, (0.36, 1, "join"), (1.38, 1, "drop"), (1.74, 2, "join"), (3.9, 2, "drop"), (3.9, 0, "drop")],
        transfers=[(1.38, "blind", None, 0, None, "1003"), (1.38, "blind", None, 0, 2, "1003")], heard=[1, 0, 2],
    ),
    "attended_transfer": Expected(
        [A, B, B, C], 0.38, 5.08, 0, NORMAL,
        [JOIN_A, (0.38, 1, "join"), (0.9, 1, "hold"), (1.16, 2, "join"), (1.5, 3, "join"), (2.56, 1, "unhold"),
         (2.56, 1, "drop"), (4.36, 2, "drop"), (5.06, 3, "drop"), (5.06, 0, "drop")],
        transfers=[(2.56, "attended", 1, 0, 3, "")], heard=[1, 0, 3, 2],
    ),
    "queue_callcenter": Expected(
        [A, B], 0.47, 2.46, 0, NORMAL, [JOIN_A, (0.43, 1, "join"), (2.46, 1, "drop"), (2.46, 0, "drop")], heard=[0, 1]
    ),
    "conference": Expected(
        [A, B], 0.30, 2.14, 0, NORMAL, [JOIN_A, (0.3, 1, "join"), (1.84, 0, "drop"), (2.14, 1, "drop")], heard=[0, 1]
    ),
    "ivr_then_bridge": Expected(
        [A, B], 2.76, 3.78, 0, NORMAL, [JOIN_A, (2.76, 1, "join"), (3.78, 1, "drop"), (3.78, 0, "drop")], heard=[0, 1]
    ),
    "echo_single_leg": Expected([A], 0.0, 1.02, 0, NORMAL, [JOIN_A, (1.02, 0, "drop")], heard=[0]),
    "busy": Expected(
        [A, B], None, 0.02, None, "BUSY",
        [JOIN_A, (0.02, 0, "drop"), (0.0, 1, "join"), (0.01, 1, "drop")], Disposition.BUSY,
    ),
    "no_answer_timeout": Expected(
        [A, B], None, 7.55, None, "NOANSWER",
        [JOIN_A, (7.55, 0, "drop"), (0.0, 1, "join"), (7.55, 1, "drop")], Disposition.NO_ANSWER,
    ),
    "cancelled_by_caller": Expected(
        [A, B], None, 2.0, 0, "CANCEL",
        [JOIN_A, (2.0, 0, "drop"), (0.0, 1, "join"), (2.0, 1, "drop")], Disposition.HUNG_UP,
    ),
}  # fmt: skip
PLAIN_ONLY = {"ivr_then_bridge", "echo_single_leg"}
FORMS = [f"{name}.{form}" for name in CALLS for form in ("json", "plain") if form == "plain" or name not in PLAIN_ONLY]
LOOSE = {"no_answer_timeout": 0.25}
"""The time-out of the two recordings was not the same."""


@pytest.mark.parametrize("size", [1, 7, 4096])
@pytest.mark.parametrize("name", FORMS)
def test_a_capture_becomes_the_call_that_it_was(name, size):
    if size == 1 and name.endswith(".plain"):
        size = 13  # cuts of one byte are shown with the JSON of the same call, and for both in the tests of the wire
    run = drive(name, size=size)
    want, state = CALLS[name.partition(".")[0]], run.call.state
    near = LOOSE.get(name.partition(".")[0], NEAR)
    assert [party.who.sip for party in state.parties] == want.parties
    assert state.parties[0].who.name == "Alice"
    assert state.answered is None if want.answered is None else abs(run.seconds(state.answered) - want.answered) <= near
    assert abs(run.seconds(state.ended) - want.ended) <= near
    assert state.cause.text == want.cause
    assert state.disposition == want.disposition
    (end,) = [event for event in run.call.events if isinstance(event, ev.CallEnded)]
    assert end.by == want.by
    told = run.history()
    assert [(party, what) for _, party, what in told] == [(party, what) for _, party, what in want.history]
    assert all(abs(at - expected) <= near for (at, *_), (expected, *_) in zip(told, want.history, strict=True))
    transfers = [
        (run.seconds(e.at), e.kind, e.transferor, e.transferee, e.target, e.to)
        for e in _unfolded(run.call)
        if isinstance(e, ev.Transferred)
    ]
    assert [one[1:] for one in transfers] == [one[1:] for one in want.transfers]
    assert all(abs(one[0] - two[0]) <= near for one, two in zip(transfers, want.transfers, strict=True))
    assert [state.party_by_key(channel).index for channel in run.ears.started] == list(want.heard)
    assert not run.host.open_calls()
    assert not run.tracker.legs


def _unfolded(call):
    return [event for event in call.events if not isinstance(event, ev.Merged)]


def digits(run):
    return [(e.party, e.button, e.ms) for e in run.call.events if isinstance(e, ev.Dtmf)]


@pytest.mark.parametrize("form", ["json", "plain"])
def test_digits_are_told_with_who_pressed_them(form):
    assert digits(drive(f"dtmf.{form}")) == [(0, "1", 120), (0, "#", 120), (1, "5", 120), (1, "*", 120)]


def facts(run):
    return {fact.name: fact.value for fact in run.call.state.facts if fact.party is None}


def test_what_only_the_switch_knows_is_kept():
    assert facts(drive("queue_callcenter.json")) == {
        "dialled": "5500",
        "queue": "support@default",
        "agent": "1002@default",
    }
    assert facts(drive("conference.plain"))["conference"] == "3001"
    assert facts(drive("echo_single_leg.plain"))["answered_by"] == "echo"


@pytest.mark.parametrize("form", ["json", "plain"])
def test_channel_variables_that_are_asked_for_are_kept(form):
    kept = facts(
        drive(f"basic.{form}", config=Config(variables=["sip_from_user", "endpoint_disposition", "not_there"]))
    )
    assert kept["variable.sip_from_user"] == "1001"
    assert kept["variable.endpoint_disposition"] == "ANSWER"
    assert len(kept) == 3


def test_what_a_variable_says_of_consent_is_of_the_party_of_its_channel(monkeypatch):
    recorded = events("basic.json")
    callee = drive("basic.json").call.state.parties[1].key
    for event in recorded:
        event.variables = {"VCOND_CONSENT": "asked"} if event.leg == callee else {}
    monkeypatch.setattr("fskit.events", lambda *_: recorded)
    (said,) = drive("basic.json").call.state.consents.said
    assert (said.party, said.state, said.how) == (1, "asked", "variable")


@pytest.mark.parametrize(
    ("exported", "later", "said"),
    [
        ("sip_h_X-A,VCOND_CONSENT", "granted", []),
        ("nolocal:VCOND_CONSENT", "granted", []),
        ("sip_h_X-A", "granted", ["granted"]),
        ("", "granted", ["granted"]),
        ("VCOND_CONSENT", "denied", ["denied"]),
        ("VCOND_CONSENT", "granted; how=key", ["granted"]),
    ],
)
def test_consent_that_is_exported_to_who_is_called_is_not_his_word(monkeypatch, exported, later, said):
    recorded = events("basic.json")
    callee = drive("basic.json").call.state.parties[1].key
    for event in recorded:
        value = "granted" if event.name == "CHANNEL_CREATE" else later
        event.variables = {"VCOND_CONSENT": value} if event.leg == callee else {}
        event.exported = exported if event.leg == callee else ""
    monkeypatch.setattr("fskit.events", lambda *_: recorded)
    assert [one.state for one in drive("basic.json").call.state.consents.said] == said


@pytest.mark.parametrize(("exported", "reasons"), [("VCOND_PAUSE", ["card"]), ("", [])])
def test_an_end_of_a_pause_that_is_exported_to_who_is_called_ends_no_pause(monkeypatch, exported, reasons):
    recorded = events("basic.json")
    callee = drive("basic.json").call.state.parties[1].key
    for event in recorded:
        event.variables = {"VCOND_PAUSE": "off" if event.leg == callee else "card"}
        event.exported = exported if event.leg == callee else ""
    monkeypatch.setattr("fskit.events", lambda *_: recorded)
    pauses = drive("basic.json").call.state.pauses
    assert [pause.reason for pause in pauses if pause.stop is None] == reasons


@pytest.mark.parametrize("form", ["json", "plain"])
@pytest.mark.parametrize(
    ("name", "caller"), [("latin1", "José Müller"), ("utf8", "José 山田"), ("quotes", 'Bob \\"Q\\" 100A a:b')]
)
def test_names_of_callers_are_kept(name, caller, form):
    (party,) = drive(f"callerid_{name}.{form}").call.state.parties
    assert (party.who.name, party.who.validation) == (caller, "none")


def test_a_shutdown_in_the_middle_of_a_call_ends_it():
    run = drive("proto_shutdown_midcall")
    assert run.call.state.cause.text == "SYSTEM_SHUTDOWN"
    assert not run.tracker.legs


def test_both_calls_of_an_attended_transfer_are_one_record():
    run = drive("attended_transfer.json")
    assert len(run.host.calls) == 2
    assert len([event for event in run.call.events if isinstance(event, ev.Merged)]) == 1


# Which calls are recorded.


def test_a_channel_that_is_excluded_is_never_recorded():
    run = drive("basic.json", config=Config(exclude=["sofia/internal/1002@*"]))
    assert not run.ears.started
    assert all(call.state.answered is None for call in run.host.calls)
    assert not run.host.open_calls()


def test_only_what_is_included_is_recorded():
    assert not drive("basic.json", config=Config(include=["sofia/external/*"])).host.calls
    assert not drive("basic.json", config=Config(include_contexts=["public"])).host.calls
    assert not drive("basic.json", config=Config(exclude_contexts=["default"])).host.calls


@pytest.mark.parametrize(
    ("config", "direction"),
    [
        (Config(), "internal"),
        (Config(trunks=["sofia/internal/1001@*"]), "inbound"),
        (Config(trunks=["sofia/internal/1002@*"]), "outbound"),
        (Config(trunks=[]), "unknown"),
    ],
)
def test_direction_follows_from_who_is_ours(config, direction):
    assert drive("basic.json", config=config).call.state.direction == direction
