"""A recording client that lives in the test's event loop: SIP over UDP, and what its phones say as RTP."""

from __future__ import annotations

import asyncio
import itertools
import re
import secrets
import socket
import struct
from contextlib import asynccontextmanager

import numpy as np
from srtp_by_hand import ByHand

from vcond.call.events import BUTTONS
from vcond.media.codecs import Codec, encode
from vcond.testing.host import MemoryHost
from vcond.testing.sounds import find, voice
from vcond.testing.time import run_virtual
from vcond_siprec import SiprecAdapter, SiprecConfig
from vcond_siprec.keys import SUITES, Crypto
from vcond_siprec.libsrtp import WIDE, session

FRAME = 160
BURST = 5
"""Packets at once: virtual time is made of steps, and each costs real time."""
KEYS = list(BUTTONS)
NS = "urn:ietf:params:xml:ns:recording:1"
ALICE, BOB, CAROL = ("alice", "Alice A"), ("bob", "Bob B"), ("carol", "")
COUNT = itertools.count(1)


def metadata(*people, session="ses-1", group="", mode="complete", sip="", mixed=False, at="") -> str:
    """Participants ``(user, name)`` with a stream each (label 1, 2, ...), or all with the first one's. ``at``: when, by the client's clock."""
    parts = [f'<?xml version="1.0" encoding="UTF-8"?><recording xmlns="{NS}"><datamode>{mode}</datamode>']
    if group:
        parts.append(f'<group group_id="{group}"/>')
    refs = (f"<group-ref>{group}</group-ref>" if group else "") + (f"<sipSessionID>{sip}</sipSessionID>" if sip else "")
    began = f"<start-time>{at}</start-time>" if at else ""
    since = f"<associate-time>{at}</associate-time>" if at else ""
    parts.append(f'<session session_id="{session}">{refs}{began}</session>')
    for number, (user, name) in enumerate(people, start=1):
        one = f'participant_id="p-{user}"'
        stream = 1 if mixed else number
        parts.append(
            f'<participant {one}><nameID aor="sip:{user}@pbx.example"><name>{name}</name></nameID></participant>'
        )
        parts.append(f'<stream stream_id="s{stream}" session_id="{session}"><label>{stream}</label></stream>')
        parts.append(f'<participantsessionassoc {one} session_id="{session}">{since}</participantsessionassoc>')
        parts.append(f"<participantstreamassoc {one}>{since}<send>s{stream}</send></participantstreamassoc>")
    return "".join(parts) + "</recording>"


class Leg:
    """One media line: sends silence from when it begins, and what it is told to say."""

    def __init__(
        self, label: str | None, *, pt: int = 0, codec: Codec = Codec.PCMU, suite: str = "", burst: int = BURST
    ) -> None:
        """``suite``: its packets are encrypted. ``burst``: how many come at once."""
        self.label, self.pt, self.codec, self.suite = label, pt, codec, suite
        self.crypto, self.srtp = None, None
        if suite:
            self.encrypt()
        self.direction, self.burst = "sendonly", burst
        self.more = ""
        """Further attributes, each with its line end."""
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.to = 0
        """Port of the recording server."""
        self.deaf = False
        self.words: list[bytes] = []
        self.said = asyncio.Event()
        self.seq, self.stamp, self.ssrc = 100, 4000, 1000 + next(COUNT)
        self.task: asyncio.Task | None = None

    def encrypt(self, *, told: bool = True) -> None:
        """With a new key, which the next offer tells, or not."""
        crypto = Crypto("1", self.suite, secrets.token_bytes(SUITES[self.suite]))
        tag = WIDE.get(self.suite, 0)  # what libsrtp is made to do shall be understood by others
        self.srtp = ByHand(crypto.key, tag) if tag else session(crypto, inbound=False)
        self.crypto = crypto if told else self.crypto

    def lines(self) -> str:
        protocol = "RTP/SAVP" if self.crypto else "RTP/AVP"
        keys = f"{self.crypto.line}\r\n" if self.crypto else ""
        label = "" if self.label is None else f"a=label:{self.label}\r\n"
        return (
            f"m=audio {self.port} {protocol} {self.pt} 101\r\n{keys}a=rtpmap:{self.pt} {self.codec}/8000\r\n"
            f"a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\n{label}{self.more}a={self.direction}\r\n"
        )

    async def speak(self, pcm) -> None:
        whole = np.concatenate([pcm, np.zeros(-len(pcm) % FRAME, np.int16)])
        self.words = [encode(self.codec, part) for part in whole.reshape(-1, FRAME)]
        self.said.clear()
        await self.said.wait()

    async def press(self, digit: str) -> None:
        """A key for 100 ms: three packets of it, and its end three times (RFC 4733)."""
        for duration, end in ((400, 0), (800, 0), (800, 1), (800, 1), (800, 1)):
            payload = struct.pack("!BBH", KEYS.index(digit), end << 7 | 10, duration)
            self._packet(payload, pt=101, ticks=0)
        self.stamp += 800
        await asyncio.sleep(0.2)

    def moved(self) -> None:
        """What it sends comes from another port from now on."""
        self.socket.close()
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.3", 0))

    def begin(self) -> None:
        if self.task is None:
            self.task = asyncio.create_task(self._send())

    async def stop(self) -> None:
        if self.task is not None:
            self.task.cancel()
            await asyncio.wait([self.task])
            self.task = None
        self.socket.close()

    async def _send(self) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(0.2)  # what is sent at once was spoken before; and the first comes later than the answer
        begun, number = loop.time(), 0
        while True:
            for _ in range(self.burst):
                payload = self.words.pop(0) if self.words else b"\xff" * FRAME
                self._packet(payload, pt=self.pt, ticks=FRAME)
            if not self.words:
                self.said.set()
            number += self.burst
            await asyncio.sleep(begun + number * 0.02 - loop.time())

    def _packet(self, payload: bytes, *, pt: int, ticks: int) -> None:
        if not self.deaf and self.to:
            head = struct.pack("!BBHII", 0x80, pt, self.seq, self.stamp, self.ssrc)
            packet = head + payload if self.srtp is None else self.srtp.protect(head + payload)
            self.socket.sendto(packet, ("127.0.0.1", self.to))
        self.seq = self.seq + 1 & 0xFFFF
        self.stamp = self.stamp + ticks & 0xFFFFFFFF


class Reply:
    def __init__(self, data: bytes) -> None:
        head, _, self.body = data.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        self.status = int(first.split()[1])
        self.headers = {
            name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
        }
        self.ports = [int(port) for port in re.findall(rb"^m=\w+ (\d+)", self.body, re.MULTILINE)]
        self.directions = re.findall(r"^a=(recvonly|inactive)", self.body.decode(), re.MULTILINE)


class Client(asyncio.DatagramProtocol):
    """One recording session."""

    def __init__(self, port: int, *legs: Leg, call_id: str = "", headers: str = "") -> None:
        self.port, self.legs = port, list(legs)
        self.call_id = call_id or f"rs-{next(COUNT)}@client.example"
        self.headers = headers
        self.sender = "<sip:src@client.example>"
        self.address = "127.0.0.1"
        """Where its phones are, as it says."""
        self.tag = ""
        self.branch = ""
        """Of its latest request."""
        self.cseq = 1
        self.replies: asyncio.Queue[Reply] = asyncio.Queue()
        self.transport: asyncio.DatagramTransport | None = None

    def datagram_received(self, data: bytes, addr) -> None:
        if data.startswith(b"SIP/2.0 ") and not data.startswith(b"SIP/2.0 100"):
            self.replies.put_nowait(Reply(data))

    def sdp(self) -> str:
        head = f"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 {self.address}\r\nt=0 0\r\n"
        return head + "".join(leg.lines() for leg in self.legs)

    async def request(self, method: str, body: bytes = b"", kind: str = "", *, ack: bytes = b"") -> Reply:
        """The final answer; an INVITE's is acknowledged."""
        if self.transport is None:
            loop = asyncio.get_running_loop()
            self.transport, _ = await loop.create_datagram_endpoint(lambda: self, ("127.0.0.1", 0))
        self.cseq += 1
        self.send(method, body, kind)
        reply = await asyncio.wait_for(self.replies.get(), 10)
        if method == "INVITE":
            to_tag = reply.headers["to"].partition(";tag=")[2]
            branch = "" if reply.status == 200 else self.branch  # of a refusal it is a part of the same transaction
            self.send("ACK", ack, "application/sdp" if ack else "", to_tag=to_tag, branch=branch)
            if reply.status == 200:
                self.tag = to_tag
        return reply

    def send(self, method: str, body: bytes = b"", kind: str = "", *, to_tag: str = "", branch: str = "") -> None:
        host, port = self.transport.get_extra_info("sockname")
        tag = to_tag or self.tag
        self.branch = branch or f"z9hG4bK{next(COUNT)}"
        lines = [
            f"{method} sip:srs@127.0.0.1:{self.port} SIP/2.0",
            f"Via: SIP/2.0/UDP {host}:{port};branch={self.branch}",
            f"From: {self.sender};tag=from-{self.call_id}",
            f"To: <sip:srs@127.0.0.1>{f';tag={tag}' if tag else ''}",
            f"Call-ID: {self.call_id}",
            f"CSeq: {self.cseq} {method}",
            f"Contact: <sip:{host}:{port}>;+sip.src",
            *(["Require: siprec"] if method == "INVITE" else []),
            *self.headers.splitlines(),
            *([f"Content-Type: {kind}"] if kind else []),
            f"Content-Length: {len(body)}",
        ]
        self.transport.sendto("\r\n".join([*lines, "", ""]).encode() + body, ("127.0.0.1", self.port))

    async def invite(self, document: str = "") -> Reply:
        """The first INVITE, and every further one; media goes to where the answer says."""
        if document:
            kind = "multipart/mixed;boundary=b"
            body = (
                f"--b\r\nContent-Type: application/sdp\r\n\r\n{self.sdp()}\r\n"
                f"--b\r\nContent-Type: application/rs-metadata+xml\r\nContent-Disposition: recording-session\r\n\r\n"
                f"{document}\r\n--b--\r\n"
            )
        else:
            kind, body = "application/sdp", self.sdp()
        reply = await self.request("INVITE", body.encode(), kind)
        if reply.status == 200:
            for leg, port in zip(self.legs, reply.ports, strict=True):
                leg.to = port
                leg.begin()
        return reply

    async def update(self, document: str) -> Reply:
        return await self.request("UPDATE", document.encode(), "application/rs-metadata+xml")

    async def bye(self) -> Reply:
        return await self.request("BYE")

    async def close(self) -> None:
        for leg in self.legs:
            await leg.stop()
        if self.transport is not None:
            self.transport.close()


CONFIG = {"listen": ["udp:127.0.0.1:0"], "ports": (0, 0)}


def sip_port(host: MemoryHost) -> int:
    return int(host.attachments[-1][1].rpartition(":")[2])


@asynccontextmanager
async def attached(host: MemoryHost, **config):
    """The adapter runs there."""
    task = asyncio.create_task(SiprecAdapter(SiprecConfig(**(CONFIG | config))).run(host))
    try:
        await host.until(lambda: host.is_attached, within=60)
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
    assert task.cancelled(), task.exception()
    assert not host.faults


@asynccontextmanager
async def serving(**config):
    """A host with the adapter, and a factory of clients; a client has a leg for each label that is given."""
    clients: list[Client] = []
    async with MemoryHost("siprec") as host, attached(host, **config):

        def client(*labels, **given) -> Client:
            legs = [one if isinstance(one, Leg) else Leg(one) for one in labels]
            clients.append(Client(sip_port(host), *legs, **given))
            return clients[-1]

        try:
            yield host, client
        finally:
            for one in clients:
                await one.close()


KEY = "session ses-1"


def drive(main) -> None:
    run_virtual(main)


def moments(call):
    return [(moment.party, moment.event) for moment in call.state.history]


def facts(call):
    return {fact.name: fact.value for fact in call.state.facts}


def warnings(call):
    return [warning.code for warning in call.state.warnings]


async def speak(client, *seeds, seconds=1.0) -> None:
    async with asyncio.TaskGroup() as group:
        for leg, seed in zip(client.legs, seeds, strict=True):
            group.create_task(leg.speak(voice(seed, seconds)))


async def over(host, key=KEY):
    await host.until(lambda: host.by_key(key).over, within=30, what="the end")
    return host.by_key(key)


def heard(host, call, party, seed, seconds=1.0) -> float:
    return find(voice(seed, seconds), host.audio(call, party, rate=8000))[0]
