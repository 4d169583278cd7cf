"""Whole captured sessions, as their bytes came, played to the adapter's sockets: SIP and RTP, each at its moment.

``data/captures.tar.xz`` has every message that the recording clients of ``docs/compatibility.md`` sent, and the audio
of those whose audio was captured, as ``CLIENT/SCENARIO/NN-...``. Of a message only one thing is another one than on that day:
the tag that the server gave the dialog.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import socket
import struct
import tarfile
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import numpy as np
from siprec_client import Reply
from siprec_kit import DATA, message_of

from vcond.media.codecs import Codec, encode

HERE = f"127.66.{os.getpid() >> 8 & 255}.{os.getpid() & 255}"
"""An address of this process: others that play the same are not in the way."""
FRAME = 160
HERTZ = (440, 880)
"""What the phones played: the caller, the callee."""
JAMBONZ = """\
INVITE sip:srs@127.0.0.1:25080 SIP/2.0
Via: SIP/2.0/UDP 127.0.0.1:25060;branch=z9hG4bK{branch}
To: <sip:127.0.0.1:25080>{tag}
From: <sip:127.0.0.1:25060>;tag=jambonz
CSeq: {cseq} INVITE
Call-ID: {call_id}
Max-Forwards: 70
Contact: <sip:127.0.0.1:25060>;+sip.src
Content-Length: {size}
"""
"""jambonz's own SIP was not captured: what stands above its headers, or above a description alone."""


class Scenario(NamedTuple):
    messages: list[bytes]
    """As they came."""
    pcap: bytes


@cache
def scenarios() -> dict[str, Scenario]:
    """All, by ``CLIENT/SCENARIO``."""
    found: dict[str, Scenario] = {}
    with tarfile.open(DATA / "captures.tar.xz") as archive:
        for entry in archive:
            name, _, file = entry.name.rpartition("/")
            content = archive.extractfile(entry).read()
            one = found.setdefault(name, Scenario([], b""))
            if file == "rtp.pcap":
                found[name] = one._replace(pcap=content)
            else:
                one.messages.append(content if file.endswith(".sip") else _wrapped(name, len(one.messages), content))
    for name, one in found.items():
        if name.startswith("jambonz"):
            one.messages.append(_without_body(one.messages[0], "BYE", 9))
            one.messages[1:1] = [_without_body(one.messages[0], "ACK", 1)]
    return found


def _wrapped(name: str, number: int, content: bytes) -> bytes:
    """What jambonz handed to its SIP, as a message."""
    told = message_of(content, text=True)
    kept = [f"{key}: {value}" for key, value in told.headers if key not in {"content-length", "content-type"}]
    head = JAMBONZ.format(
        branch=f"{name}.{number}", tag=";tag=none" if number else "", cseq=number + 1, call_id=name, size=len(told.body)
    )
    lines = [*head.splitlines(), *kept, f"Content-Type: {told.content_type}", "", ""]
    return "\r\n".join(lines).encode() + told.body


def _without_body(invite: bytes, method: str, cseq: int) -> bytes:
    head = invite.partition(b"\r\n\r\n")[0].decode()
    kept = [line for line in head.split("\r\n")[1:] if line.startswith(("Via", "From", "Call-ID", "Max-Forwards"))]
    lines = [f"{method} sip:srs@127.0.0.1:25080 SIP/2.0", *kept, "To: <sip:127.0.0.1:25080>;tag=none"]
    lines += [f"CSeq: {cseq} {method}", "Content-Length: 0", "", ""]
    return "\r\n".join(lines).replace("z9hG4bK", f"z9hG4bK{method}").encode()


def method(data: bytes) -> str:
    """Of a request; of an answer ``SIP/2.0``."""
    return data.split(b" ", 1)[0].decode()


def field(data: bytes, name: str) -> str:
    return re.search(rf"(?im)^{name}: *([^\r\n]*)".encode(), data)[1].decode()


def is_new(data: bytes) -> bool:
    """Whether it begins a dialog."""
    return method(data) == "INVITE" and "tag=" not in field(data, "To")


def offered_ports(data: bytes) -> list[int]:
    return [int(port) for port in re.findall(rb"(?m)^m=\w+ (\d+)", data)]


def packets(pcap: bytes) -> Iterator[tuple[float, int, bytes]]:
    """Seconds since the first, the port of the sender, and what was sent (raw IPv4 and UDP, link type 101)."""
    place, first = 24, None
    while place < len(pcap):
        seconds, micros, size, _ = struct.unpack("<IIII", pcap[place : place + 16])
        packet = pcap[place + 16 : place + 16 + size]
        place += 16 + size
        at = seconds + micros / 1e6
        first = at if first is None else first
        head = 4 * (packet[0] & 15)
        yield at - first, struct.unpack("!H", packet[head : head + 2])[0], packet[head + 8 :]


class Udp(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.replies: asyncio.Queue[Reply] = asyncio.Queue()

    def datagram_received(self, data: bytes, addr) -> None:
        if data.startswith(b"SIP/2.0 ") and not data.startswith(b"SIP/2.0 100"):
            self.replies.put_nowait(Reply(data))


class Player:
    """One recording client, on UDP, or on TCP in pieces of any size."""

    def __init__(self) -> None:
        self.tags: dict[str, str] = {}
        """By Call-ID, the tag of our server."""
        self.ports: dict[int, int] = {}
        """Where a client's port of the offers sends to."""
        self.statuses: list[int] = []
        self.directions: list[str] = []
        """Of each answer with a description, a letter a line: r(eceives), i(nactive)."""
        self.formats: list[str] = []
        """The payload types of each line of the first answer."""
        self.phones: dict[int, socket.socket] = {}
        self.transport, self.udp, self.writer, self.reader = None, Udp(), None, None
        self.pieces = random.Random(15)

    async def connect(self, transport: str, port: int, first: bytes) -> None:
        """From the port that the first message names in its Via: answers go there."""
        loop = asyncio.get_running_loop()
        if transport == "udp":
            ours = int(field(first, "Via").partition(";")[0].rpartition(":")[2])
            self.transport, _ = await loop.create_datagram_endpoint(
                lambda: self.udp, (HERE, ours), remote_addr=("127.0.0.1", port)
            )
        else:
            self.reader, self.writer = await asyncio.open_connection("127.0.0.1", port)

    async def close(self) -> None:
        for phone in self.phones.values():
            phone.close()
        if self.writer is not None:
            self.writer.close()
            await asyncio.gather(self.writer.wait_closed(), return_exceptions=True)
        if self.transport is not None:
            self.transport.close()

    def now(self, data: bytes) -> bytes:
        """The message with the tag of this dialog."""
        said = field(data, "To")
        ours = self.tags.get(field(data, "Call-ID"))
        if ours is None or "tag=" not in said:
            return data
        return data.replace(said.encode(), re.sub(r"tag=[^;]*", f"tag={ours}", said).encode(), 1)

    async def send(self, data: bytes) -> None:
        if self.transport is not None:
            self.transport.sendto(data)
            return
        at = 0
        while at < len(data):
            size = self.pieces.choice((1, 2, 7, 100, 1400))
            self.writer.write(data[at : at + size])
            at += size
            await asyncio.sleep(0.00005)

    async def ask(self, data: bytes) -> Reply | None:
        """Send a request of the client, and note the answer; None where there is none (ACK, an answer of its own)."""
        data = self.now(data)
        await self.send(data)
        if method(data) in {"ACK", "SIP/2.0"}:
            return None
        while True:
            reply = await self._reply()
            if reply.headers["cseq"] == field(data, "CSeq") and reply.headers["call-id"] == field(data, "Call-ID"):
                break
        self.statuses.append(reply.status)
        if is_new(data):
            self.tags[field(data, "Call-ID")] = reply.headers["to"].partition("tag=")[2]
            self.formats = re.findall(r"(?m)^m=\w+ \d+ \S+ ([\d ]+)", reply.body.decode())
        if reply.ports:
            self.directions.append("".join(way[0] for way in reply.directions))
            self.ports |= dict(zip(offered_ports(data), reply.ports, strict=True))
        return reply

    async def _reply(self) -> Reply:
        if self.writer is None:
            return await asyncio.wait_for(self.udp.replies.get(), 30)
        while True:
            head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 30)
            size = int(re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)[1])
            reply = Reply(head + await self.reader.readexactly(size))
            if reply.status >= 200:
                return reply

    def rtp(self, source: int, packet: bytes) -> None:
        """What the phone behind a port of the offers sends."""
        if source not in self.phones:
            self.phones[source] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.phones[source].bind((HERE, 0))
        self.phones[source].sendto(packet, ("127.0.0.1", self.ports[source]))

    async def tones(self, invite: bytes, seconds: float) -> None:
        """What the phones of a session say whose audio was not captured: each audio line its tone, if it is G.711."""
        lines = re.findall(rb"(?m)^m=audio (\d+) \S+ (\d+)", invite)
        await asyncio.sleep(0.2)  # what is sent at once was spoken before, and none of it before the answer
        for burst in range(round(seconds * 5)):
            for (port, kind), hertz in zip(lines, HERTZ, strict=True):
                codec = {0: Codec.PCMU, 8: Codec.PCMA}.get(int(kind))
                for number in range(burst * 10, burst * 10 + 10) if codec else ():
                    turns = 2 * np.pi * hertz / 8000 * np.arange(number * FRAME, (number + 1) * FRAME)
                    head = struct.pack("!BBHII", 0x80, int(kind), number, number * FRAME, int(port))
                    self.rtp(int(port), head + encode(codec, (8000 * np.sin(turns)).astype(np.int16)))
            await asyncio.sleep(0.2)
