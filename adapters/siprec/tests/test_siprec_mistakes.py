"""A mistake of ours with one recording session costs no other."""

from __future__ import annotations

import asyncio

from siprec_client import ALICE, BOB, drive, heard, metadata, over, serving, speak

from vcond.testing.watch import captured_logs
from vcond_siprec.session import Session


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
