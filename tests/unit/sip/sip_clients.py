"""Clients on sockets, and an application that writes down what it is told."""

from __future__ import annotations

import asyncio
import contextlib

from sip_kit import SDP, request, status, tag

from vcond.base.tls import Served, client
from vcond.sip.application import Answer
from vcond.sip.messages import Request
from vcond.sip.stream import StreamReader
from vcond.testing.certificates import certificate


class Notes:
    """An application. ``answers`` are given one after another; the last one for ever."""

    def __init__(self, *answers):
        self.answers = list(answers) or [Answer(body=SDP)]
        self.told, self.odds, self.saved = [], [], []
        self.live, self.gate = True, asyncio.Event()
        self.gate.set()
        self.ended = asyncio.Event()

    def health(self):
        return 0

    async def _answer(self, what, request):
        self.told.append((what, request.body))
        await self.gate.wait()
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def on_invite(self, dialog, request):
        return await self._answer("invite", request)

    async def on_reinvite(self, dialog, request):
        return await self._answer("reinvite", request)

    async def on_update(self, dialog, request):
        return await self._answer("update", request)

    def on_ack(self, dialog, request):
        self.told.append(("ack", request.body))

    def on_info(self, dialog, request):
        self.told.append(("info", request.body))

    def on_changed(self, dialog):
        self.saved.append(dialog.saved())

    def alive(self, dialog):
        self.told.append(("alive", b""))
        return self.live

    def odd(self, reason):
        self.odds.append(reason)

    def on_end(self, dialog, why, request):
        self.told.append(("end", why))
        self.ended.set()

    @property
    def kinds(self):
        return [what for what, _ in self.told]


class Udp(asyncio.DatagramProtocol):
    """A client on UDP."""

    def __init__(self):
        self.got = asyncio.Queue()

    @classmethod
    async def to(cls, address):
        transport, client = await asyncio.get_running_loop().create_datagram_endpoint(cls, local_addr=("127.0.0.1", 0))
        client.transport, client.address = transport, address
        return client

    def datagram_received(self, data, addr):
        self.got.put_nowait(data)

    def send(self, data):
        self.transport.sendto(data, self.address)

    async def final(self):
        while True:
            async with asyncio.timeout(100):
                data = await self.got.get()
            if not data.startswith(b"SIP/2.0 1"):
                return data

    async def ask(self, data):
        self.send(data)
        return await self.final()

    async def close(self):
        self.transport.close()
        await asyncio.sleep(0)


class Stream:
    """A client on TCP or TLS."""

    transport = "TCP"

    @classmethod
    async def to(cls, address, tls=None):
        self = cls()
        self.reader, self.writer = await asyncio.open_connection(
            *address, ssl=tls, server_hostname="localhost" if tls else None
        )
        self.frames, self.waiting, self.pongs = StreamReader(), [], 0
        return self

    def send(self, data):
        self.writer.write(data)

    async def final(self):
        """The next message, as bytes of its start line and header fields; empty at the end of the stream."""
        while True:
            while self.waiting:
                message = self.waiting.pop(0)
                start = f"{message.method} x" if isinstance(message, Request) else f"SIP/2.0 {message.status} x"
                if not start.startswith("SIP/2.0 1"):
                    lines = [start, *(f"{name}: {value}" for name, value in message.headers), "", ""]
                    return "\r\n".join(lines).encode() + message.body
            async with asyncio.timeout(100):
                data = await self.reader.read(65536)
            if not data:
                return b""
            while data.startswith(b"\r\n"):
                self.pongs += 1
                data = data[2:]
            self.waiting += self.frames.feed(data)

    async def ask(self, data):
        self.send(data)
        return await self.final()

    async def close(self):
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()


async def whole_call(client, kind="UDP", call_id="call-1"):
    """INVITE, ACK, BYE; the statuses of the answers."""
    invite = request(transport=kind, body=SDP, call_id=call_id)
    final = await client.ask(invite)
    client.send(request("ACK", transport=kind, to_tag=tag(final), call_id=call_id))
    bye = await client.ask(request("BYE", cseq=2, transport=kind, to_tag=tag(final), call_id=call_id))
    return [status(final), status(bye)]


def contexts(folder):
    """A server's context and a client's that trusts it."""
    cert, key = certificate(folder)
    return Served(str(cert), str(key), "", "sip").context, client(str(cert), "sip")
