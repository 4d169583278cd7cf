from __future__ import annotations

import base64
import json
import time
from collections.abc import AsyncIterator

import pytest
from aiohttp import WSMsgType, web

from vcond.base.errors import UnreachableError
from vcond.demo.call import FRAME, Cue, Person, Recording
from vcond.demo.player import Sids, opening, play, steps

PEOPLE = (Person("caller", "Rita", "+12025550142"), Person("agent", "Marcus", "+12025550199"))


def recording(frames: int = 5, cues: tuple[Cue, ...] = ()) -> Recording:
    tracks = tuple(bytes([n]) * FRAME * frames for n in (1, 2))
    return Recording("test", PEOPLE, tracks, cues)


class Server:
    """A real WebSocket server that keeps what it hears, or misbehaves."""

    def __init__(self) -> None:
        self.heard: list[dict] = []
        self.binary = 0
        self.close_after = 0
        self.url = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            self.binary += message.type is not WSMsgType.TEXT
            self.heard.append(json.loads(message.data))
            if len(self.heard) == self.close_after:
                await socket.close(code=1011)
        return socket


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server()
    app = web.Application()
    app.router.add_get("/stream", made.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"ws://127.0.0.1:{runner.addresses[0][1]}/stream"
    yield made
    await runner.cleanup()


def test_opening_tells_both_tracks_and_who_calls_whom() -> None:
    sids = Sids()
    connected, start = (json.loads(text) for text in opening(recording(), sids))
    assert connected == {"event": "connected", "protocol": "Call", "version": "1.0.0"}
    assert (start["event"], start["sequenceNumber"], start["streamSid"]) == ("start", "1", sids.stream)
    assert start["start"]["tracks"] == ["inbound", "outbound"]
    assert start["start"]["mediaFormat"] == {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}
    assert start["start"]["customParameters"]["from"] == "+12025550142"
    assert start["start"]["customParameters"]["to"] == "+12025550199"


def test_an_unknown_number_is_left_out() -> None:
    nobody = Recording("test", (Person("caller", "A"), Person("agent", "B")), (b"\xff" * FRAME, b"\xff" * FRAME))
    parameters = json.loads(opening(nobody, Sids())[1])["start"]["customParameters"]
    assert "from" not in parameters
    assert "to" not in parameters


def test_sids_are_twilios_shape_and_fresh() -> None:
    sids = Sids()
    assert [len(sid) for sid in (sids.account, sids.call, sids.stream)] == [34] * 3
    assert sids.call != Sids().call


def test_each_step_is_a_frame_of_both_tracks_and_the_last_is_stop() -> None:
    *media, stop = [[json.loads(text) for text in step] for step in steps(recording(3), Sids())]
    assert len(media) == 3
    for number, (caller, agent) in enumerate(media):
        for message, track, byte in ((caller, "inbound", 1), (agent, "outbound", 2)):
            body = message["media"]
            assert (body["track"], body["chunk"], body["timestamp"]) == (track, str(number + 1), str(number * 20))
            assert base64.b64decode(body["payload"]) == bytes([byte]) * FRAME
    assert [message["event"] for message in stop] == ["stop"]
    sequence = [int(message["sequenceNumber"]) for step in [*media, stop] for message in step]
    assert sequence == list(range(2, 9))


def test_a_digit_is_sent_in_the_frame_where_it_is_pressed_and_a_hold_is_not() -> None:
    cues = (Cue(0.02, "hold", 1), Cue(0.045, "digit", 0, "1", 100), Cue(0.07, "digit", 1, "#", 100))
    sent = [[json.loads(text) for text in step] for step in steps(recording(5, cues), Sids())]
    found = {n: m["dtmf"] for n, step in enumerate(sent) for m in step if m["event"] == "dtmf"}
    assert found == {
        2: {"track": "inbound_track", "digit": "1"},
        3: {"track": "outbound_track", "digit": "#"},
    }
    assert {m["event"] for step in sent for m in step} == {"media", "dtmf", "stop"}


async def test_play_sends_everything_in_order_as_text(server: Server) -> None:
    seen: list[float] = []
    call = recording(10, (Cue(0.1, "digit", 0, "1", 100),))
    sids = await play(server.url, call, speed=50, progress=seen.append)
    assert [m["event"] for m in server.heard] == ["connected", "start"] + ["media"] * 12 + ["dtmf"] + ["media"] * 8 + [
        "stop"
    ]
    assert server.binary == 0
    assert {m["streamSid"] for m in server.heard[1:]} == {sids.stream}
    assert seen == pytest.approx([n * 0.02 for n in range(11)])


async def test_play_at_speed_one_takes_no_less_than_the_call(server: Server) -> None:
    begun = time.monotonic()
    await play(server.url, recording(15), speed=1, progress=lambda _: None)
    assert time.monotonic() - begun >= 0.3


async def test_a_daemon_that_closes_the_stream_is_an_error(server: Server) -> None:
    server.close_after = 7
    with pytest.raises(UnreachableError, match="refuses the call"):
        await play(server.url, recording(50), speed=1, progress=lambda _: None)


async def test_a_refusal_is_an_error(server: Server) -> None:
    with pytest.raises(UnreachableError, match="404"):
        await play(server.url.replace("/stream", "/other"), recording(), speed=50, progress=lambda _: None)


async def test_nobody_there_is_an_error(unused_tcp_port: int) -> None:
    with pytest.raises(UnreachableError):
        await play(f"ws://127.0.0.1:{unused_tcp_port}/", recording(), speed=50, progress=lambda _: None)
