"""A voice bot of another application on a real Asterisk: it is a party, with what it says, and nothing of it is harmed."""

from __future__ import annotations

import asyncio
import uuid

import numpy as np
import pytest

from vcond.testing.sounds import voice

pytestmark = pytest.mark.peer
SEED, SECONDS = 9, 2.5


class Speaker:
    """The bot's end of AudioSocket: says its voice once, and notes whether it was hung up on before it was done."""

    def __init__(self, *, quiet: float = 0.5) -> None:
        """``quiet``: seconds before it says anything, and after."""
        self.quiet = quiet
        self.heard = bytearray()
        self.done = asyncio.Event()
        self.leave = asyncio.Event()
        """Set to make it hang up."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pcm = voice(SEED, SECONDS).astype("<i2")
        taking = asyncio.create_task(self._take(reader))
        due = asyncio.get_running_loop().time() + self.quiet
        for start in range(0, len(pcm) - 160, 160):
            due += 0.02
            await asyncio.sleep(due - asyncio.get_running_loop().time())
            writer.write(b"\x10\x01\x40" + pcm[start : start + 160].tobytes())
        self.done.set()
        leaves = asyncio.create_task(self.leave.wait())
        await asyncio.wait([taking, leaves], return_when=asyncio.FIRST_COMPLETED)
        taking.cancel()
        leaves.cancel()
        writer.close()

    async def _take(self, reader: asyncio.StreamReader) -> None:
        while data := await reader.read(4096):
            self.heard += data


async def test_a_bot_that_talks_with_the_caller(house, pbx_client):
    speaker = Speaker()
    server = await asyncio.start_server(speaker.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, pbx_client("bots") as theirs:
        caller = await house.farm.dial("620", house.number)
        start = await theirs.until(lambda event: event["type"] == "StasisStart", "the call")
        await caller.up()
        await theirs.ask(
            "POST", "/channels/externalMedia", app="bots", channelId="bot-media", external_host=f"127.0.0.1:{port}",
            encapsulation="audiosocket", transport="tcp", format="slin", data=str(uuid.uuid4()),
        )  # fmt: skip
        await theirs.ask("POST", "/bridges/bot-bridge", type="mixing")
        await theirs.ask("POST", "/bridges/bot-bridge/addChannel", channel=f"{start['channel']['id']},bot-media")
        await house.until(lambda: house.tracks(house.call) == 2, "both tracks")
        await house.say(v1=caller)
        await speaker.done.wait()
        await caller.hang_up()
        call = await house.over(house.call)
        channels = [one["id"] for one in await house.pbx.ask("GET", "/channels")]
        assert "bot-media" in channels, "what is theirs stays theirs"
        await theirs.ask("DELETE", "/channels/bot-media")
        await theirs.ask("DELETE", "/bridges/bot-bridge")
    assert [(party.who.tel, party.who.type) for party in call.state.parties] == [(house.number, ""), ("", "bot")]
    assert call.state.answered is not None
    house.check_voices(call, {0: [1], 1: [SEED]})
    assert np.frombuffer(bytes(speaker.heard[19:]), np.uint8).any(), "the bot heard the caller"


@pytest.mark.parametrize("how", ["on the caller's channel", "behind a Local channel"])
async def test_a_bot_that_the_dialplan_runs_hands_over_to_an_agent(house, how):
    """It has no channel of its own: what is sent to that on which it runs, while it runs, is what it says."""
    speaker = Speaker(quiet=2.0)
    server = await asyncio.start_server(speaker.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        extension = ("630" if how == "on the caller's channel" else "631") + str(port)
        caller = await house.farm.dial(extension, house.number)
        await caller.up()
        await house.until(lambda: house.tracks(house.call) == 2, "both tracks")
        await house.say(v1=caller)
        await speaker.done.wait()
        speaker.leave.set()
        agent = await house.farm.ringing("agent", house.number)
        await house.until(lambda: house.tracks(house.call) == 1, "the bot is gone")
        await agent.answer()
        await house.until(lambda: house.tracks(house.call) == 2, "the agent")
        await house.say(v2=caller, v3=agent)
        await caller.hang_up()
        call = await house.over(house.call)
    people = [party.who.tel or party.who.sip or party.who.type for party in call.state.parties]
    assert people == [house.number, "bot", "7001@pbx.test"]
    house.check_voices(call, {0: [1, 2], 1: [SEED], 2: [3]})
    house.check_lengths(call, parties=3)
    assert [warning.code for warning in call.state.warnings] == []
    assert np.frombuffer(bytes(speaker.heard[19:]), np.uint8).any(), "the bot heard the caller"
