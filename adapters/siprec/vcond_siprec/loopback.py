"""A call of ``vcond check --loopback``: a recording client on this machine (RFC 7866) with two parties, a tone each."""

from __future__ import annotations

import asyncio
import re
import secrets
import struct
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from vcond.media.codecs import Codec, encode
from vcond.sdk.contract import RefusedError, UnreachableError

HOST: Final = "127.0.0.1"
RATE: Final = 8000
FRAME: Final = RATE // 50
TONES: Final = (300, 500)
ANSWER_LIMIT: Final = 5.0
OK: Final = 200
_NS: Final = "urn:ietf:params:xml:ns:recording:1"
_KEPT: Final = ("join", "join_wait", "inactive", "max_lines")


def section(configured: Mapping[str, Any]) -> dict[str, Any]:
    """``[adapters.siprec]`` of a daemon of its own: any port of loopback, no passwords."""
    kept = {key: value for key, value in configured.items() if key in _KEPT}
    return {**kept, "listen": [f"udp:{HOST}:0"], "allow": [f"{HOST}/32"], "ports": [0, 0]}


async def place(attached: str, seconds: float) -> None:
    """Two parties speak for so long in one recording session. ``attached``: what the adapter says of where it listens.

    Raises PeerError when the session is refused, or not answered.
    """
    port = int(re.findall(r":([0-9]+)", attached)[-1])
    loop = asyncio.get_running_loop()
    transport, client = await loop.create_datagram_endpoint(_Client, (HOST, 0), remote_addr=(HOST, port))
    lines = [(await loop.create_datagram_endpoint(asyncio.DatagramProtocol, (HOST, 0)))[0] for _ in TONES]
    try:
        own = [line.get_extra_info("sockname")[1] for line in lines]
        answer = await client.request(transport, port, "INVITE", _offer(own))
        client.ack(transport, port)
        ports = [int(found) for found in re.findall(rb"^m=audio ([0-9]+)", answer, re.MULTILINE)]
        if len(ports) < len(TONES) or not all(ports):
            raise RefusedError("the answer to the INVITE takes fewer lines than were offered")
        await _speak(lines, ports, seconds)
        await client.request(transport, port, "BYE", b"")
    finally:
        for one in (transport, *lines):
            one.close()


def _offer(ports: list[int]) -> bytes:
    """SDP of a line a party, and who they are (RFC 7865)."""
    sdp = f"v=0\r\no=- 1 1 IN IP4 {HOST}\r\ns=-\r\nc=IN IP4 {HOST}\r\nt=0 0\r\n" + "".join(
        f"m=audio {port} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=label:{label}\r\na=sendonly\r\n"
        for label, port in enumerate(ports, start=1)
    )
    who = "".join(
        f'<participant participant_id="p{label}"><nameID aor="sip:{name}@vcond.invalid"/></participant>'
        f'<stream stream_id="s{label}" session_id="check"><label>{label}</label></stream>'
        f'<participantsessionassoc participant_id="p{label}" session_id="check"/>'
        f'<participantstreamassoc participant_id="p{label}"><send>s{label}</send></participantstreamassoc>'
        for label, name in enumerate(("caller", "agent"), start=1)
    )
    metadata = (
        f'<?xml version="1.0" encoding="UTF-8"?><recording xmlns="{_NS}"><datamode>complete</datamode>'
        f'<session session_id="check"/>{who}</recording>'
    )
    return (
        f"--b\r\nContent-Type: application/sdp\r\n\r\n{sdp}\r\n--b\r\nContent-Type: application/rs-metadata+xml\r\n"
        f"Content-Disposition: recording-session\r\n\r\n{metadata}\r\n--b--\r\n"
    ).encode()


async def _speak(lines: list[asyncio.DatagramTransport], ports: list[int], seconds: float) -> None:
    loop = asyncio.get_running_loop()
    at = np.arange(round(seconds * 50) * FRAME) / RATE
    tones = [encode(Codec.PCMU, (8000 * np.sin(2 * np.pi * hertz * at)).astype(np.int16)) for hertz in TONES]
    begun = loop.time()
    for number in range(round(seconds * 50)):
        stamp = number * FRAME
        for ssrc, (line, port, tone) in enumerate(zip(lines, ports, tones, strict=False), start=1):
            line.sendto(struct.pack("!BBHII", 0x80, 0, number, stamp, ssrc) + tone[stamp : stamp + FRAME], (HOST, port))
        await asyncio.sleep(begun + (number + 1) / 50 - loop.time())


class _Client(asyncio.DatagramProtocol):
    """The SIP of one recording client: one request after another, over UDP."""

    def __init__(self) -> None:
        self._answers: asyncio.Queue[bytes] = asyncio.Queue()
        self._call, self._to, self._number = secrets.token_hex(8), "", 0

    def datagram_received(self, data: bytes, addr: object) -> None:  # noqa: ARG002 - asyncio's signature
        """Answers that are final."""
        if data.startswith(b"SIP/2.0 ") and data[8:9] != b"1":
            self._answers.put_nowait(data)

    async def request(self, transport: asyncio.DatagramTransport, port: int, method: str, body: bytes) -> bytes:
        """The answer. Raises PeerError."""
        self._number += 1
        self._send(transport, port, method, body)
        try:
            async with asyncio.timeout(ANSWER_LIMIT):
                answer = await self._answers.get()
        except TimeoutError:
            raise UnreachableError(f"{method} was not answered in {ANSWER_LIMIT:g} s") from None
        status = int(answer[8:11])
        if status != OK:
            raise RefusedError(f"{method} was answered with {status}")
        tag = re.search(rb"(?im)^(?:to|t)\s*:.*;tag=([^;\s]+)", answer)
        self._to = f";tag={tag[1].decode('ascii', 'replace')}" if tag else ""
        return answer

    def ack(self, transport: asyncio.DatagramTransport, port: int) -> None:
        """Of the INVITE."""
        self._send(transport, port, "ACK", b"")

    def _send(self, transport: asyncio.DatagramTransport, port: int, method: str, body: bytes) -> None:
        at = transport.get_extra_info("sockname")[1]
        lines = [
            f"{method} sip:srs@{HOST}:{port} SIP/2.0",
            f"Via: SIP/2.0/UDP {HOST}:{at};branch=z9hG4bK{secrets.token_hex(6)}",
            "Max-Forwards: 70",
            f"From: <sip:check@{HOST}:{at}>;tag=check",
            f"To: <sip:srs@{HOST}:{port}>{self._to}",
            f"Call-ID: {self._call}@{HOST}",
            f"CSeq: {self._number} {method}",
            f"Contact: <sip:{HOST}:{at}>;+sip.src",
            *(["Require: siprec", "Content-Type: multipart/mixed;boundary=b"] if body else []),
            f"Content-Length: {len(body)}",
        ]
        transport.sendto("\r\n".join([*lines, "", ""]).encode() + body)
