"""Every request as it was captured, on sockets: over TCP in pieces, over UDP late, twice, and in another order."""

from __future__ import annotations

import asyncio
import itertools
import random
import re

import pytest
from siprec_client import Reply, drive, serving
from siprec_kit import DATA, message

from vcond.sip.messages import MalformedError
from vcond.sip.stream import StreamReader

FILES = sorted(file for folder in ("opensips", "shapes") for file in (DATA / folder).glob("*.sip"))
SESSIONS = [
    [file, *sorted(file.parent.glob(file.name.replace("-01-in-INVITE.sip", "-0[4-9]-in-INVITE-re.sip")))]
    for file in FILES
    if file.read_bytes().startswith(b"INVITE ") and not re.search(rb"(?im)^to *:.*;tag=", file.read_bytes())
]
"""The requests of one session each: the first INVITE, and those that change it."""
COUNT = itertools.count(1)


def name(file) -> str:
    return f"{file.parent.name}/{file.stem}"


def follow(first, method: str, cseq: int, to: str) -> bytes:
    """A request without a body, in the dialog of a captured INVITE."""
    told = dict(message(name(first)).headers)
    lines = [
        f"{method} sip:srs@127.0.0.1 SIP/2.0",
        f"Via: SIP/2.0/UDP 192.0.2.40;branch=z9hG4bKwire{next(COUNT)};rport",
        f"From: {told.get('from') or told['f']}",
        f"To: {to}",
        f"Call-ID: {told.get('call-id') or told['i']}",
        f"CSeq: {cseq} {method}",
        "Max-Forwards: 70",
        "Content-Length: 0",
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def captured(file) -> bytes:
    """The request; ``rport``, so that it is answered to whoever plays it."""
    return re.sub(rb"(?im)^(via: [^\r\n]*)", rb"\1;rport", file.read_bytes(), count=1)


def number(data: bytes) -> int:
    return int(re.search(rb"(?im)^cseq *:\s*(\d+)", data)[1])


def within(data: bytes, to: str) -> bytes:
    """A captured request with the tag that our server gave its dialog."""
    return re.sub(rb"(?im)^To: .*$", f"To: {to}".encode(), data, count=1).replace(b"\r\r\n", b"\r\n")


class Udp(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.replies: asyncio.Queue[Reply] = asyncio.Queue()
        self.transport = None

    def datagram_received(self, data: bytes, addr) -> None:
        if not data.startswith(b"SIP/2.0 100"):
            self.replies.put_nowait(Reply(data))

    async def ask(self, data: bytes) -> Reply:
        self.transport.sendto(data)
        return await self.final(number(data))

    async def final(self, cseq: int) -> Reply:
        """The next answer to that number: others are of requests that came again."""
        while True:
            reply = await asyncio.wait_for(self.replies.get(), 30)
            if int(reply.headers["cseq"].split()[0]) == cseq:
                return reply


def lines_of(data: bytes) -> int:
    return len(re.findall(rb"(?m)^m=", data))


def people(call) -> int:
    return sum(party.who.name != "everybody, mixed" for party in call.state.parties)


def port(host, transport: str) -> int:
    return int(re.search(rf"{transport} 127\.0\.0\.1:(\d+)", host.attachments[-1][1])[1])


def test_over_udp_what_comes_twice_late_and_in_another_order_is_one_session():
    async def main():
        async with serving(join=[], join_wait=0) as (host, _):
            loop = asyncio.get_running_loop()
            transport, udp = await loop.create_datagram_endpoint(Udp, remote_addr=("127.0.0.1", port(host, "udp")))
            udp.transport = transport
            for first, *changes in SESSIONS:
                data = captured(first)
                begun = number(data)
                bare = dict(message(name(first)).headers).get("to", "<sip:srs@127.0.0.1>")
                early = follow(first, "BYE", begun + 90, f"{bare};tag=unknown")
                assert (await udp.ask(early)).status == 481, name(first)
                transport.sendto(data)
                reply = await udp.ask(data)
                assert reply.status == 200, name(first)
                to = reply.headers["to"]
                if lines_of(data):
                    assert len(reply.ports) == lines_of(data), name(first)
                last = begun
                for change in changes:  # the ACK of what is before each comes after it
                    again = within(captured(change), to)
                    changed = await udp.ask(again)
                    assert (changed.status, changed.ports) == (200, reply.ports), name(change)
                    transport.sendto(follow(first, "ACK", last, to))
                    last = number(again)
                    transport.sendto(again)
                    assert (await udp.final(last)).body == changed.body
                transport.sendto(follow(first, "ACK", last, to))
                await asyncio.sleep(1.5)
                bye = follow(first, "BYE", last + 1, to)
                assert (await udp.ask(bye)).status == 200, name(first)
                assert (await udp.ask(bye)).status == 200, name(first)
                for change in changes:
                    assert (await udp.ask(follow(first, "INVITE", last + 2, to))).status == 481, name(change)
                transport.sendto(data)
                await asyncio.sleep(1.5)
            transport.close()
            assert len(host.calls) == len(SESSIONS)
            assert all(call.over for call in host.calls)
            assert {people(call) for call in host.calls} <= {1, 2}

    drive(main())


def test_over_tcp_in_pieces_of_any_size():
    async def main():
        pieces = random.Random(15)
        async with serving(listen=["tcp:127.0.0.1:0"], join=[], join_wait=0) as (host, _):
            reader, writer = await asyncio.open_connection("127.0.0.1", port(host, "tcp"))

            async def ask(*datas: bytes) -> Reply:
                """Several at once, cut anywhere; the answer to the last."""
                whole, at = b"".join(datas), 0
                while at < len(whole):
                    size = pieces.choice((1, 7, 100, 1400))
                    writer.write(whole[at : at + size])
                    at += size
                    await asyncio.sleep(0.001)
                while True:
                    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
                    size = int(re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)[1])
                    reply = Reply(head + await reader.readexactly(size))
                    if reply.status >= 200 and int(reply.headers["cseq"].split()[0]) == number(datas[-1]):
                        return reply

            for first, *changes in SESSIONS:
                data = captured(first)
                reply = await ask(data)
                assert reply.status == 200, name(first)
                to, last = reply.headers["to"], number(data)
                for change in changes:
                    again = within(captured(change), to)
                    changed = await ask(follow(first, "ACK", last, to), again)
                    assert (changed.status, changed.ports) == (200, reply.ports), name(change)
                    last = number(again)
                await asyncio.sleep(1.5)
                ended = await ask(follow(first, "ACK", last, to), follow(first, "BYE", last + 1, to))
                assert ended.status == 200, name(first)
            await asyncio.sleep(1.5)
            writer.close()
            assert len(host.calls) == len(SESSIONS)
            assert all(call.over for call in host.calls)

    drive(main())


def read(*parts: bytes):
    reader = StreamReader()
    found = [one for part in parts for one in reader.feed(part)]
    assert not any(isinstance(one, MalformedError) for one in found)
    assert reader.idle
    return [(one.method, one.uri, list(one.headers), one.body) for one in found]


@pytest.mark.parametrize("file", FILES, ids=name)
def test_byte_for_byte_a_capture_is_the_same_request(file):
    data = file.read_bytes()
    assert read(*(data[at : at + 1] for at in range(len(data)))) == read(data)
    assert len(read(data, data)) == 2


@pytest.mark.slow
@pytest.mark.parametrize("file", FILES, ids=name)
def test_cut_at_every_byte_a_capture_is_the_same_request(file):
    data = file.read_bytes()
    wanted = read(data)
    for at in range(len(data)):
        assert read(data[:at], data[at:]) == wanted
