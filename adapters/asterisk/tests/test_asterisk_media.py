"""The audio port: who may bring audio, and what is done with frames."""

from __future__ import annotations

import asyncio
import socket
from uuid import uuid4

import pytest

from vcond.sdk.contract import ConfigError
from vcond.testing.time import LoopClock, run_virtual
from vcond_asterisk import Config, media
from vcond_asterisk.media import INTRODUCTION, Link, MediaServer


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


@pytest.mark.parametrize(("rate", "head"), [(8000, b"\x10\x01\x40"), (16000, b"\x12\x02\x80")])
def test_a_connection_that_stands_still_is_sent_silence(rate, head):
    async def main():
        server = MediaServer(Config(rate=rate), LoopClock())
        await server.start()
        ear, token, loop = Ear(), uuid4(), asyncio.get_running_loop()
        server.expect(token, ear)
        reader, writer = await connect(server)
        await asyncio.sleep(0.5)
        assert server.silences == 0, "nobody knows yet who it is"
        writer.write(frame(1, token.bytes))
        began, one = loop.time(), len(head) + rate // 50 * 2
        for _ in range(3):
            assert await reader.readexactly(one) == head + bytes(one - 3)
            assert 0.059 < loop.time() - began < 0.11
            began = loop.time()
        before = server.silences
        for _ in range(50):
            await asyncio.sleep(0.02)
            writer.write(frame(head[0], bytes(one - 3)))
        assert server.silences == before, "what flows is sent nothing"
        writer.close()
        await server.close()

    run_virtual(main())


def test_audio_that_waits_for_us_is_no_stillness():
    async def main():
        server = MediaServer(Config(), LoopClock())
        await server.start()
        ear, token = Ear(), uuid4()
        server.expect(token, ear)
        _, writer = await connect(server)
        writer.write(frame(1, token.bytes) + frame(0x10, bytes(320)))
        await ear.came.wait()
        (link,) = server.links
        link._moved -= 10**9
        server._look(-1.0)  # called by a loop that was busy
        assert server.silences == 0
        await asyncio.sleep(0.01)
        assert server.silences == 1, "but it did stand still"
        writer.close()
        await server.close()

    run_virtual(main())


class Full:
    """A transport whose peer takes nothing."""

    def __init__(self):
        self.sent = []

    def write(self, data):
        self.sent.append(data)

    def is_closing(self):
        return False

    def get_write_buffer_size(self):
        return 323 if self.sent else 0


def test_silence_that_is_not_taken_does_not_pile_up():
    async def main():
        server, token = MediaServer(Config(), LoopClock()), uuid4()
        server.expect(token, Ear())
        link, transport = Link(server), Full()
        link.connection_made(transport)
        link.data_received(frame(1, token.bytes))
        await asyncio.sleep(5)
        assert len(transport.sent) == 1
        link.connection_lost(None)

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


async def test_a_mistake_with_one_connection_silences_no_other(server, monkeypatch):
    mistakes, told = [], asyncio.Event()

    def mistake(why):
        mistakes.append(str(why))
        told.set()

    server._mistake = mistake
    broken, sound = Ear(), Ear()
    readers, writers = {}, []
    for ear in (broken, sound):
        token = uuid4()
        server.expect(token, ear)
        readers[ear], writer = await connect(server)
        writers.append(writer)
        writer.write(frame(1, token.bytes) + frame(0x10, bytes(320)))
        await ear.came.wait()
    prod = Link.prod

    def breaks(link, now, silent):
        if link is broken.links[0]:
            raise RuntimeError("of ours")
        return prod(link, now, silent)

    monkeypatch.setattr(Link, "prod", breaks)
    await told.wait()
    await broken.ended.wait()
    for _ in range(3):
        assert (await readers[sound].readexactly(323))[:3] == b"\x10\x01\x40"
    assert mistakes == ["of ours"], "told once"
    assert server.links == set(sound.links)
    for writer in writers:
        writer.close()
