"""Connections to Asterisk that stay open and bring nothing any more, as when a firewall between the two forgets them."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

from vcond.sdk.websocket import PING
from vcond.testing.line import Line
from vcond.testing.sounds import find, voice


def test_an_event_socket_that_is_open_and_dead_is_left_and_the_call_goes_on_in_the_same_record(world):
    async def main(one):
        async with Line(urlsplit(one.pbx.url).port) as line:
            one.config.url = line.url
            await one.start()
            caller, agent = await one.call()
            call = one.host.by_key(caller)
            line.die()
            await one.until(lambda: not one.host.is_attached, within=2 * PING + 5)
            await one.until(lambda: one.host.is_attached)
            said = voice(1, 2.0)
            one.pbx.say(agent, said)
            await one.pbx.said(agent)
            await asyncio.sleep(0.5)
            assert find(said, one.host.audio(call, 1))[0] > 0.99
            one.pbx.hang_up(agent, caller)
            await one.until(lambda: call.over)
            assert set(one.codes(caller)) - {"no-audio"} == {"events-lost"}, "nobody spoke for a while"
            assert (len(one.host.calls), len(call.state.tracks)) == (1, 2)
            await one.stop()

    world(main, start=False)
