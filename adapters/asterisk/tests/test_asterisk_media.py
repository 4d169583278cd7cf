"""The audio port: who may bring audio, and what is done with frames."""

from __future__ import annotations

import asyncio
import socket
from uuid import uuid4

import pytest

from vcond.adapter import ConfigError
from vcond.testing.time import LoopClock, run_virtual
from vcond_asterisk import Config, media
from vcond_asterisk.media import INTRODUCTION, MediaServer


class Ear:
    def __init__(self):
        self.frames, self.links, self.ended = [], [], asyncio.Event()
        self.came = asyncio.Event()

    def opened(self, link):
        self.links.append(link)

    def frame(self, payload, arrived):
        self.frames.append(payload)
        self.came.set()

    def closed(self, link):
        self.ended.set()


def frame(kind, payload):
    return bytes([kind]) + len(payload).to_bytes(2, "big") + payload


@pytest.fixture
async def server():
    made = MediaServer(Config(), LoopClock())
    await made.start()
    yield made
    await made.close()


async def connect(server):
    host, port = server.address.rsplit(":", 1)
    return await asyncio.open_connection(host, int(port))


async def test_audio_goes_to_whom_it_was_announced_for(server):
    ear, token = Ear(), uuid4()
    server.expect(token, ear)
    _, writer = await connect(server)
    writer.write(frame(1, token.bytes) + frame(0x10, b"\1\2" * 160))
    await ear.came.wait()
    assert ear.frames == [b"\1\2" * 160]
    writer.close()
    await ear.ended.wait()
    assert server.links == set()


@pytest.mark.parametrize(
    "first",
    [frame(1, bytes(16)), frame(0x10, bytes(320)), frame(1, b"x"), b"GET / HTTP/1.1\r\n\r\n"],
    ids=["unknown-name", "audio", "short-name", "http"],
)
async def test_strangers_are_hung_up_on(server, first):
    reader, writer = await connect(server)
    writer.write(first + bytes(70000))
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await reader.readexactly(1)
    assert server.strangers == 1
    writer.close()


async def test_a_name_is_good_for_one_connection(server):
    ear, token = Ear(), uuid4()
    server.expect(token, ear)
    _, writer = await connect(server)
    writer.write(frame(1, token.bytes) + frame(0x10, bytes(320)))
    await ear.came.wait()
    reader, second = await connect(server)
    second.write(frame(1, token.bytes))
    assert await reader.read() == b""
    assert (len(ear.links), server.strangers) == (1, 1)
    for one in (writer, second):
        one.close()


async def test_a_name_that_is_no_longer_expected(server):
    token = uuid4()
    server.expect(token, Ear())
    server.forget(token)
    server.forget(token)
    reader, writer = await connect(server)
    writer.write(frame(1, token.bytes))
    assert await reader.read() == b""
    writer.close()


async def test_frames_of_a_wrong_format_are_counted_and_the_rest_is_kept(server):
    ear, token = Ear(), uuid4()
    server.expect(token, ear)
    _, writer = await connect(server)
    wrong = frame(0x10, bytes(33)) + frame(0x12, bytes(640)) + frame(3, b"5") + frame(0x77, b"new")
    writer.write(frame(1, token.bytes) + wrong + frame(0x10, b"\1\0" * 160))
    await ear.came.wait()
    assert ear.frames == [b"\1\0" * 160]
    assert server.odd == 3
    writer.close()
    await ear.ended.wait()


@pytest.mark.parametrize("kind", [0x00, 0xFF])
async def test_a_hangup_or_error_frame_ends_the_connection(server, kind):
    ear, token = Ear(), uuid4()
    server.expect(token, ear)
    _, writer = await connect(server)
    writer.write(frame(1, token.bytes) + frame(kind, b"") + frame(0x10, bytes(320)))
    await ear.ended.wait()
    assert ear.frames == []
    writer.close()


def test_who_does_not_say_his_name_is_hung_up_on():
    async def main():
        server = MediaServer(Config(), LoopClock())
        await server.start()
        reader, writer = await connect(server)
        began = asyncio.get_running_loop().time()
        assert await reader.read() == b""
        assert asyncio.get_running_loop().time() - began >= INTRODUCTION - 0.1
        writer.close()
        await server.close()

    run_virtual(main())


async def test_connections_are_limited(server, monkeypatch):
    monkeypatch.setattr(media, "CONNECTIONS", 1)
    _, first = await connect(server)
    reader, second = await connect(server)
    assert await reader.read() == b""
    for one in (first, second):
        one.close()


async def test_a_port_that_somebody_has():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        server = MediaServer(Config(port=taken.getsockname()[1]), LoopClock())
        with pytest.raises(ConfigError, match="cannot listen"):
            await server.start()
        await server.close()


async def test_the_address_for_asterisk():
    for advertise, expected in (("", "127.0.0.1:{}"), ("pbx-side", "pbx-side:{}"), ("pbx-side:77", "pbx-side:77")):
        server = MediaServer(Config(advertise=advertise), LoopClock())
        await server.start()
        port = server._server.sockets[0].getsockname()[1]
        assert server.address == expected.format(port)
        await server.close()
