"""``vcond status``: what is wrong, and what mends it."""

from __future__ import annotations

import pytest

from vcond.cli import status

TOLD = {
    "version": "0.1.0", "calls": 0, "adapters": {}, "speech": {}, "outbox": [], "pressure": {}, "ready": {},
}  # fmt: skip


def sink(state: str, reason: str = "", detail: str = "", fix: str = "") -> dict[str, str]:
    return {"sink": "conserver", "state": state, "reason": reason, "detail": detail, "fix": fix}


@pytest.mark.parametrize("long", [False, True], ids=["a moment", "long"])
def test_a_receiver_that_is_down_is_named_at_once_and_once(monkeypatch, long: bool):
    down = sink("down", "unreachable", "no connection to http://c:8000", "check that the receiver runs")
    ready = {"sink conserver": "unreachable: no connection to http://c:8000; vCons wait"} if long else {}
    answers = {"status": TOLD | {"ready": ready}, "sinks": [down]}
    monkeypatch.setattr(status, "ask", lambda _socket, what: answers[what])
    said = list(status.lines(status.status(status.DaemonConfig())))
    assert said[-2:] == [
        "WRONG   sink conserver: unreachable: no connection to http://c:8000; vCons wait",
        "        -> check that the receiver runs",
    ]
    assert sum("WRONG" in line for line in said) == 1
    assert "all is well" not in said


def test_with_receivers_that_take_everything_all_is_well(monkeypatch):
    answers = {"status": TOLD, "sinks": [sink("ok")]}
    monkeypatch.setattr(status, "ask", lambda _socket, what: answers[what])
    assert list(status.lines(status.status(status.DaemonConfig())))[-1] == "all is well"


def test_a_certificate_of_ours_that_has_expired_is_named(monkeypatch):
    answers = {"status": TOLD | {"expired": {"web": "2026-11-29"}}, "sinks": []}
    monkeypatch.setattr(status, "ask", lambda _socket, what: answers[what])
    assert list(status.lines(status.status(status.DaemonConfig())))[-2:] == [
        "WRONG   web.certificate: it has expired on 2026-11-29: peers refuse it",
        "        -> renew it, then: systemctl reload vcond",
    ]
