"""Bombs of XML, descriptions of 256 kB and thousands of half-open connections: a recording that goes on notices none of it."""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import asynccontextmanager, suppress

import pytest
from siprec_client import ALICE, drive, heard, metadata, over, serving, speak

from vcond.call.events import SpanKind
from vcond.sip.messages import MAX_BODY
from vcond.sip.settings import Settings
from vcond.testing.memory import resident
from vcond_siprec.xmltree import MAX_DEPTH

CALLS = itertools.count(1)
MEMORY = 48 << 20
"""Bytes by which the process may have grown when it is over."""
LONG = 1.0
"""Seconds of the processor that one message may take."""
WANTED = int(os.environ.get("VCOND_CONNECTIONS", "2000"))
"""Half-open connections; by hand 10,000."""
LINE = "m=audio 4000 RTP/AVP 0\r\na=label:1\r\n"
HEAD = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
ROOM = MAX_BODY - 1024


def nested(levels: int, times: int) -> str:
    """Entities of entities: ``times ** levels`` words, were they read."""
    names = [f"<!ENTITY l0 '{WORD}'>"]
    names += [f"<!ENTITY l{level} '{f'&l{level - 1};' * times}'>" for level in range(1, levels)]
    return f"<!DOCTYPE recording [{''.join(names)}]><recording><name>&l{levels - 1};</name></recording>"


WORD = "expanded"
"""What entities stand for: it is in no record, as none is read. A few of them show that as well as many."""
SMALL = {
    "entities of entities": nested(3, 3),
    "one entity many times": f"<!DOCTYPE r [<!ENTITY a '{WORD}'>]><recording><name>{'&a;' * 10}</name></recording>",
    "parameter entities": f"<!DOCTYPE r [<!ENTITY % a '<!ENTITY b \"{WORD}\">'>%a;]><recording><name>&b;</name></recording>",
    "an entity of a file": "<!DOCTYPE r [<!ENTITY a SYSTEM 'file:///nowhere'>]><recording><name>&a;</name></recording>",
    "depth": "<recording>" + "<participant>" * 2 * MAX_DEPTH,
    "depth that is closed": "<a>" * 2 * MAX_DEPTH + "</a>" * 2 * MAX_DEPTH,
}
LARGE = {
    "elements": "<recording>" + "<a/>" * 60_000 + "</recording>",
    "participants": "<recording>"
    + "".join(f"<participant participant_id='{n}'/>" for n in range(6000))
    + "</recording>",
    "attributes": "<recording " + " ".join(f"a{n}=''" for n in range(20_000)) + "/>",
    "names": "<recording " + " ".join(f"xmlns:a{n}='urn:{n}'" for n in range(9000)) + "/>",
    "an attribute": f"<recording a='{'x' * 200_000}'/>",
    "a text of signs": f"<recording><name>{'&lt;' * 50_000}</name></recording>",
    "a comment without an end": f"<recording><!--{'-' * 200_000}",
}
BOMBS = SMALL | LARGE
DESCRIPTIONS = {
    "attributes of one line": HEAD + LINE + "a=x:y\r\n" * (ROOM // 8),
    "media lines": HEAD + LINE * (ROOM // len(LINE) - 10),
    "as many lines and formats as are read": HEAD
    + "".join(
        f"m=audio {4000 + 2 * n} RTP/AVP {' '.join(map(str, range(128)))}\r\n" + f"a=rtpmap:{n} opus/48000/2\r\n" * 120
        for n in range(60)
    )[: ROOM - len(HEAD)],
    "keys": HEAD
    + LINE.replace("AVP", "SAVP")
    + f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{'A' * 40}\r\n" * 1900
    + "a=crypto:1 X inline:"
    + "|" * 90_000,
    "fingerprints": HEAD + LINE + f"a=fingerprint:sha-256 {'00:' * 63}00\r\n" * 1200,
    "one long line": HEAD + LINE + "a=fmtp:0 " + "=;" * 120_000,
    "line ends": HEAD + "\n" * (ROOM - 500) + LINE,
    "digits": HEAD + f"m=audio {'9' * (ROOM - 500)} RTP/AVP 0\r\n",
}


def message(body: str, kind: str) -> bytes:
    """An INVITE of its own with a body."""
    number, data = next(CALLS), body.encode()
    assert len(data) <= MAX_BODY
    lines = [
        "INVITE sip:srs@127.0.0.1 SIP/2.0", f"Via: SIP/2.0/TCP 127.0.0.1:5099;branch=z9hG4bKflood{number};rport",
        f"From: <sip:src@127.0.0.1>;tag=f{number}", "To: <sip:srs@127.0.0.1>", f"Call-ID: flood-{number}", "CSeq: 1 INVITE",
        "Contact: <sip:src@127.0.0.1:5099;transport=tcp>;+sip.src", "Require: siprec", f"Content-Type: {kind}", f"Content-Length: {len(data)}",
    ]  # fmt: skip
    return "\r\n".join([*lines, "", ""]).encode() + data


def with_metadata(document: str) -> bytes:
    parts = (("application/sdp", HEAD + LINE), ("application/rs-metadata+xml", document))
    body = "".join(f"--b\r\nContent-Type: {kind}\r\n\r\n{text}\r\n" for kind, text in parts) + "--b--\r\n"
    return message(body, "multipart/mixed;boundary=b")


async def status(reader: asyncio.StreamReader) -> int:
    """Of the next final answer."""
    while True:
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(re.search(rb"(?i)content-length: (\d+)", head)[1]))
        if not head.startswith(b"SIP/2.0 100"):
            return int(head.split(b" ", 2)[1])


@asynccontextmanager
async def beside_a_recording():
    """Yields the host and the TCP port; afterwards the recording of before has every word, and nothing of it is lost."""
    async with serving(listen=["tcp:127.0.0.1:0", "udp:127.0.0.1:0"]) as (host, client):
        port = int(re.search(r"tcp 127\.0\.0\.1:(\d+)", host.attachments[-1][1])[1])
        live = client("1")
        assert (await live.invite(metadata(ALICE, session="live"))).status == 200
        await speak(live, 1)
        before = resident()
        async with asyncio.TaskGroup() as group:
            said = group.create_task(speak(live, 2, seconds=8.0))
            yield host, port
            assert resident() - before < MEMORY
            await said
        await speak(live, 3)
        await live.bye()
        call = await over(host, "session live")
        assert all(heard(host, call, 0, seed, seconds) > 0.95 for seed, seconds in ((1, 1.0), (2, 8.0), (3, 1.0)))
        assert not any(track.spans.total(SpanKind.LOST) for track in call.state.tracks)


async def answered(port: int, data: bytes) -> int:
    """The status of the answer to a message, which takes no second of the processor."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    begun = time.process_time()
    writer.write(data)
    told = await status(reader)
    assert time.process_time() - begun < LONG
    writer.close()
    await writer.wait_closed()
    return told


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_of_xml_costs_neither_memory_nor_time_and_the_recording_that_goes_on_is_whole(name):
    async def main():
        async with beside_a_recording() as (host, port):
            assert await answered(port, with_metadata(BOMBS[name])) == 200, (
                "audio is recorded whatever its metadata are"
            )
            assert not any(WORD in repr(call.events) for call in host.calls)

    drive(main())


@pytest.mark.parametrize("name", DESCRIPTIONS)
def test_a_description_of_256_kb_is_answered_at_once_and_the_recording_that_goes_on_is_whole(name):
    async def main():
        async with beside_a_recording() as (_, port):
            assert await answered(port, message(DESCRIPTIONS[name], "application/sdp")) in {200, 400, 413, 488}

    drive(main())


@pytest.fixture
def connections() -> Iterator[int]:
    """As many as the limits of this machine allow, at most ``WANTED``: both ends are ours."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield min(WANTED, hard - Settings().connections - 300)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize(
    "said",
    [b"", b"INVITE sip:x SIP/2.0\r\nContent-Length: 200000\r\n\r\n" + b"x" * 2000],
    ids=["silent", "half a message"],
)
def test_thousands_of_half_open_connections_are_bounded_and_the_recording_that_goes_on_is_whole(connections, said):
    """From twenty addresses, so that the bound of all is reached and not only that of each."""

    async def one(port: int, number: int) -> socket.socket:
        sock = socket.socket()
        sock.setblocking(False)
        sock.bind((f"127.0.1.{1 + number % 20}", 0))
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
        if said:
            with suppress(BrokenPipeError, ConnectionResetError):  # it was closed already
                sock.send(said)
        return sock

    async def main():
        refused = connections - Settings().connections
        async with beside_a_recording() as (host, port):
            held = []
            for begun in range(0, connections, 100):
                some = (one(port, number) for number in range(begun, min(begun + 100, connections)))
                held += await asyncio.gather(*some)
            await host.until(lambda: host.drops["sip", "connections"] >= refused, what="refusals")
            assert len(held) == connections
            await asyncio.sleep(Settings().half_open + 5)
            told = host.drops["sip", "connections"], host.drops["sip", "idle"]
            assert told == (refused, connections - refused), "those that were taken are not waited for either"
            for sock in held:
                sock.close()
            assert await answered(port, message(HEAD + LINE, "application/sdp")) == 200

    drive(main())
