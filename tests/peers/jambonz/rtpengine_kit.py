"""A real rtpengine on loopback and its ng protocol, two phones that talk through it, and jambonz's recording client."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from siprec_client import Client, Leg

from vcond.testing.needs import needs

HERE = Path(__file__).parent
INSTALLED = HERE.parents[2] / ".peers" / "jambonz"
LIMIT = 30.0
CALL, CALLER, CALLEE = "call-of-the-phones@pbx.example", "tag-a", "tag-b"


def encoded(value: Any) -> bytes:
    """Bencoding, in which ng talks."""
    match value:
        case int():
            return b"i%de" % value
        case str():
            return b"%d:%b" % (len(value.encode()), value.encode())
        case list():
            return b"l%be" % b"".join(map(encoded, value))
        case dict():
            return b"d%be" % b"".join(encoded(key) + encoded(value[key]) for key in sorted(value))
    raise TypeError(value)


def decoded(data: bytes, at: int = 0) -> tuple[Any, int]:
    """What is encoded there, and where it ends."""
    kind = data[at : at + 1]
    if kind == b"i":
        end = data.index(b"e", at)
        return int(data[at + 1 : end]), end + 1
    if kind in {b"l", b"d"}:
        found, at = [], at + 1
        while data[at : at + 1] != b"e":
            one, at = decoded(data, at)
            found.append(one)
        return (found if kind == b"l" else dict(zip(found[::2], found[1::2], strict=True))), at + 1
    colon = data.index(b":", at)
    end = colon + 1 + int(data[at:colon])
    return data[colon + 1 : end].decode(), end


class Ng(asyncio.DatagramProtocol):
    """Commands to an rtpengine: each is a datagram with a cookie, and so is its answer."""

    def __init__(self) -> None:
        self.waiting: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self.transport: asyncio.DatagramTransport | None = None
        self.count = 0

    def connection_made(self, transport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr) -> None:
        cookie, _, rest = data.partition(b" ")
        waiting = self.waiting.pop(cookie.decode(), None)
        if waiting is not None:
            waiting.set_result(decoded(rest)[0])

    def error_received(self, exc) -> None:
        """It does not listen yet."""

    async def ask(self, command: str, within: float = LIMIT, **given: Any) -> dict[str, Any]:
        self.count += 1
        cookie = f"cookie{self.count}"
        waiting = self.waiting[cookie] = asyncio.get_running_loop().create_future()
        self.transport.sendto(f"{cookie} ".encode() + encoded({"command": command, **given}))
        return await asyncio.wait_for(waiting, within)


@asynccontextmanager
async def rtpengine(folder: Path) -> AsyncIterator[Ng]:
    """One without a kernel module, with ports of its own."""
    program = shutil.which("rtpengine")
    needs(program, "rtpengine is missing: apt-get install rtpengine-daemon")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    with (folder / "rtpengine.log").open("wb") as log:
        running = await asyncio.create_subprocess_exec(
            program, "--foreground", "--log-stderr", "--config-file=none", "--table=-1", "--num-threads=2",
            "--interface=public/127.0.0.1", f"--listen-ng=127.0.0.1:{port}", "--port-min=21000", "--port-max=21999",
            stdout=log, stderr=log,
        )  # fmt: skip
    try:
        transport, ng = await asyncio.get_running_loop().create_datagram_endpoint(Ng, remote_addr=("127.0.0.1", port))
        try:
            async with asyncio.timeout(LIMIT):
                while running.returncode is None:
                    try:
                        await ng.ask("ping", within=0.2)
                        break
                    except TimeoutError:
                        ng.waiting.clear()
            assert running.returncode is None, (folder / "rtpengine.log").read_text()
            yield ng
        finally:
            transport.close()
    finally:
        if running.returncode is None:
            running.kill()
        await running.wait()


def description(leg: Leg) -> str:
    """Of one phone, as it stands in its INVITE or the answer to one."""
    return f"v=0\r\no=phone 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n{leg.lines()}"


async def connect(ng: Ng, caller: Leg, callee: Leg) -> None:
    """Have both phones talk through rtpengine, as a PBX would."""
    given = {"call-id": CALL, "from-tag": CALLER, "ICE": "remove"}
    offered = await ng.ask("offer", **given, sdp=description(caller))
    assert offered["result"] == "ok", offered
    if callee.crypto is not None:
        tag = re.search(rf"a=crypto:(\d+) {callee.suite} ", offered["sdp"])[1]
        callee.crypto = replace(callee.crypto, tag=tag)
    answered = await ng.ask("answer", **given, **{"to-tag": CALLEE}, sdp=description(callee))
    assert answered["result"] == "ok", answered
    for leg, told in ((callee, offered), (caller, answered)):
        leg.to = int(re.search(r"^m=audio (\d+)", told["sdp"], re.MULTILINE)[1])
        leg.begin()


class Jambonz:
    """The recording client of a call: a process of Node.js, whose SIP and ng go out from here."""

    def __init__(self, ng: Ng, client: Client, protocol: str, process: asyncio.subprocess.Process) -> None:
        """``protocol``: what it says to rtpengine that the recording is to be sent as."""
        self.ng, self.client, self.protocol, self.process = ng, client, protocol, process
        self.done: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.answers: list[str] = []
        """Descriptions of the recording server."""
        self.tags: list[str] = []
        """Whose audio is on each line, as rtpengine says: jambonz takes the caller's for the first, whoever's it is."""

    async def do(self, what: str) -> None:
        """``start``, ``pause``, ``resume`` or ``stop``, to the end of it."""
        self._write({"do": what})
        said = await asyncio.wait_for(self.done.get(), LIMIT)
        assert said == {"did": what, "well": True}

    async def read(self) -> None:
        """Do what it asks for, until it ends."""
        async for line in self.process.stdout:
            said = json.loads(line)
            if "did" in said:
                self.done.put_nowait(said)
            else:
                self._write({"id": said["id"], "reply": await self._asked(said["ask"], said["given"])})

    def _write(self, line: dict[str, Any]) -> None:
        self.process.stdin.write(json.dumps(line).encode() + b"\n")

    async def _asked(self, what: str, given: dict[str, Any]) -> dict[str, Any]:
        if what == "ng":
            if "transport protocol" in given:
                given["transport protocol"] = self.protocol
            reply = await self.ng.ask(given.pop("command"), **given)
            self.tags = reply.get("from-tags", self.tags)
            return reply
        if what == "bye":
            return {"status": (await self.client.bye()).status}
        headers = given.get("headers", {"Content-Type": "application/sdp"})
        kind = headers.pop("Content-Type")
        headers.pop("Require", None)  # the client's own says so
        self.client.headers = "\n".join(f"{name}: {value}" for name, value in headers.items())
        reply = await self.client.request("INVITE", given["body"].encode(), kind)
        assert reply.status == 200
        self.answers.append(reply.body.decode())
        return {"body": reply.body.decode()}


@asynccontextmanager
async def jambonz(ng: Ng, port: int, protocol: str) -> AsyncIterator[Jambonz]:
    """Of the phones' call, towards a recording server on a port."""
    node = shutil.which("node")
    needs(node, "Node.js is missing: apt-get install nodejs npm")
    needs((INSTALLED / ".ready").exists(), "jambonz's client is not installed in .peers/jambonz: tools/setup.sh test")
    given = {
        "direction": "inbound", "sipCallId": CALL, "callSid": "call-sid-1", "accountSid": "account-1",
        "srsUrl": f"sip:127.0.0.1:{port}", "srsRecordingId": "recording-1", "toTag": CALLER,
        "rtpEngineOpts": {"common": {"call-id": CALL}}, "callingNumber": "+15550100", "calledNumber": "+15550199",
        "aorFrom": "sip:+15550100@pbx.example", "aorTo": "sip:+15550199@pbx.example",
    }  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        node, HERE / "recorder.mjs", json.dumps(given), env={**os.environ, "JAMBONZ_PEER": str(INSTALLED)},
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    made = Jambonz(ng, Client(port), protocol, process)
    try:
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(made.read())
            yield made
            process.stdin.close()
            await reading
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await made.client.close()
