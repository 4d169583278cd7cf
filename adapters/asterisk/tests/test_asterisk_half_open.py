"""Connections to Asterisk that stay open and bring nothing any more, as when a firewall between the two forgets them."""

from __future__ import annotations

import asyncio
from typing import Self
from urllib.parse import urlsplit

from vcond.sdk.websocket import PING
from vcond.testing.sounds import find, voice


class Line:
    """What comes passes, until what is open dies: from then on it is taken and brought nowhere. New connections work."""

    def __init__(self, url: str) -> None:
        self._target = urlsplit(url).port
        self._tasks: set[asyncio.Task[None]] = set()
        self._dead: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def die(self) -> None:
        self._dead |= self._tasks

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, there = await asyncio.open_connection("127.0.0.1", self._target)
        for one, other in ((reader, there), (back, writer)):
            task = asyncio.create_task(self._pass(one, other))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1 << 16):
                if asyncio.current_task() not in self._dead:
                    writer.write(data)
        except OSError:
            pass
        finally:
            writer.close()


def test_an_event_socket_that_is_open_and_dead_is_left_and_the_call_goes_on_in_the_same_record(world):
    async def main(one):
        async with Line(one.pbx.url) as line:
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
