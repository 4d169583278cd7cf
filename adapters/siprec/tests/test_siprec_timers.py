"""Session timers (RFC 4028): whom they are agreed on with, and what becomes of a session that is not refreshed."""

from __future__ import annotations

import asyncio

import pytest
from siprec_client import ALICE, KEY, Leg, drive, metadata, serving, warnings


def test_a_session_that_is_not_refreshed_goes_on_while_it_is_heard_and_was_over_when_it_was_heard_last():
    async def main():
        async with serving() as (host, client):
            one = client(Leg("1", burst=50), headers="Supported: timer\nSession-Expires: 90;refresher=uac")
            reply = await one.invite(metadata(ALICE))
            assert reply.headers["session-expires"] == "90;refresher=uac"
            await asyncio.sleep(200)
            call = host.by_key(KEY)
            assert not call.over
            one.legs[0].deaf = True
            heard_last = host.clock.now()
            await host.until(lambda: call.over, within=150, what="the end")
            assert (call.state.ended - heard_last) / 1e9 == pytest.approx(0, abs=2)
            assert warnings(call) == ["no-bye"]
            assert host.drops["session", "expired"] == 1

    drive(main())


def test_a_client_that_does_not_know_of_timers_is_never_asked_to_refresh():
    """OpenSIPS never does: with a timer its recordings would end in the middle."""

    async def main():
        async with serving() as (host, client):
            one = client(Leg("1", burst=50), headers="Session-Expires: 90")
            reply = await one.invite(metadata(ALICE))
            assert not {"session-expires", "require"} & reply.headers.keys()
            await asyncio.sleep(100)
            one.legs[0].deaf = True
            await asyncio.sleep(300)
            assert not host.by_key(KEY).over

    drive(main())
