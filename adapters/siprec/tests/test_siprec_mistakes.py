"""A mistake of ours with one recording session costs no other."""

from __future__ import annotations

import asyncio

import pytest
from siprec_client import ALICE, BOB, drive, heard, metadata, over, serving, speak

from vcond.testing.watch import captured_logs
from vcond_siprec.lines import AudioLine
from vcond_siprec.media import QUARANTINE
from vcond_siprec.people import People
from vcond_siprec.recorder import Recorder
from vcond_siprec.recordings import Recording
from vcond_siprec.session import Session
from vcond_siprec.silence import Silence


def test_a_mistake_with_one_session_costs_no_other(monkeypatch):
    async def main():
        async with serving() as (host, client):
            bad, good = client("1"), client("1")
            await bad.invite(metadata(ALICE, session="bad"))
            await good.invite(metadata(BOB, session="good"))
            right = Session.tick

            def wrong(session, now):
                if session.call_id == bad.call_id:
                    raise ZeroDivisionError
                right(session, now)

            monkeypatch.setattr(Session, "tick", wrong)
            await asyncio.sleep(10)
            await speak(good, 1)
            await good.bye()
            assert heard(host, await over(host, "session good"), 0, 1) > 0.95
            assert not host.faults
            await bad.bye()

    with captured_logs() as logs:
        drive(main())
    assert sum("a recording session" in log for log in logs) == 1


def test_a_session_that_a_mistake_keeps_from_beginning_is_refused_and_leaves_nothing(monkeypatch):
    async def main():
        async with serving() as (host, client):
            with monkeypatch.context() as broken:
                broken.setattr(Session, "tell", lambda *_: 1 / 0)
                assert (await client("1").invite(metadata(ALICE, session="bad"))).status == 500
            await asyncio.sleep(60)
            assert not host.open_calls()
            one = client("1")
            assert (await one.invite(metadata(ALICE, session="bad"))).status == 200
            await speak(one, 1)
            await one.bye()
            assert heard(host, await over(host, "session bad"), 0, 1) > 0.95

    drive(main())


def fails(*_, **__):
    raise ZeroDivisionError


@pytest.mark.parametrize(
    "what", [(Session, "tick"), (Silence, "look"), (AudioLine, "stop"), (People, "leave"), (Recording, "look")]
)
def test_a_session_whose_own_look_or_end_fails_is_over_when_nothing_comes_and_gives_all_back(monkeypatch, what):
    """The client goes without a BYE; each time that it is looked at, or once it ends, something of ours fails."""
    dialogs: list[dict[object, object]] = []
    begun = Recorder.__init__

    def noted(recorder, *given):
        begun(recorder, *given)
        dialogs.append(recorder.calls)

    monkeypatch.setattr(Recorder, "__init__", noted)

    async def main():
        async with serving(silence_timeout=60) as (host, client):
            bad, good = client("1", "2"), client("1")
            await bad.invite(metadata(ALICE, BOB, session="bad"))
            await speak(bad, 1, 2)
            monkeypatch.setattr(*what, fails)
            bad.legs[0].deaf = bad.legs[1].deaf = True
            await host.until(lambda: host.by_key("session bad").over, within=120, what="the end of the silent one")
            await asyncio.sleep(1)
            assert not dialogs[0], "its SIP dialog is over too"
            call = host.by_key("session bad")
            assert heard(host, call, 0, 1) > 0.95
            assert heard(host, call, 1, 2) > 0.95
            monkeypatch.undo()
            await asyncio.sleep(QUARANTINE)
            assert (await good.invite(metadata(ALICE, session="good"))).status == 200
            await speak(good, 1)
            await good.bye()
            assert heard(host, await over(host, "session good"), 0, 1) > 0.95

    drive(main())
