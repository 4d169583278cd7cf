"""A Janus with VideoRooms that lives in the test's event loop, and one that repeats what was captured.

``FakeJanus`` answers in the words of the real one (see ``janus_captured.jsonl``, made by ``tests/peers/janus``) and
sends what its participants say as RTP to wherever it was asked to forward it.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import socket
import struct
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import numpy as np
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

from vcond.media.codecs import Codec, encode

CAPTURED = Path(__file__).with_name("janus_captured.jsonl")
API_SECRET = "the api secret of the tests"
ADMIN_KEY = "the admin key of the tests"
ROOM_SECRET = "the room secret of the tests"
PIN = "the pin of the tests"
FRAME = 160
BURST = 5
"""Packets at once: virtual time is made of steps, and each costs real time."""
SILENT = logging.getLogger("tests.janus")
SILENT.setLevel(logging.CRITICAL)


class RefusalError(Exception):
    def __init__(self, code: int, text: str = "no") -> None:
        super().__init__(text)
        self.code = code


@dataclass
class Forward:
    stream_id: int
    host: str
    port: int
    ssrc: int
    pt: int

    def told(self) -> dict:
        about = {"stream_id": self.stream_id, "host": self.host, "port": self.port, "type": "audio"}
        return {**about, **({"ssrc": self.ssrc} if self.ssrc else {})}


@dataclass
class Person:
    """A participant: publishes silence from when it publishes, and what it is told to say."""

    id: int
    display: str
    codec: str = "pcmu"
    publisher: bool = False
    dummy: bool = False
    forwards: dict[int, Forward] = field(default_factory=dict)
    seq: int = 0
    stamp: int = 0
    task: asyncio.Task | None = None
    words: list[bytes] = field(default_factory=list)
    said: asyncio.Event = field(default_factory=asyncio.Event)
    deaf: bool = False
    """Sends nothing, as who is muted by Janus."""

    def publish(self) -> None:
        self.publisher = True
        self.task = asyncio.get_running_loop().create_task(self._send())

    async def unpublish(self) -> None:
        self.publisher = False
        self.forwards.clear()
        if self.task is not None:
            self.task.cancel()
            await asyncio.wait([self.task])
            self.task = None

    async def speak(self, pcm) -> None:
        whole = np.concatenate([pcm, np.zeros(-len(pcm) % FRAME, np.int16)])
        self.words = [encode(Codec.PCMU, part) for part in whole.reshape(-1, FRAME)]
        self.said.clear()
        await self.said.wait()

    async def _send(self) -> None:
        loop = asyncio.get_running_loop()
        begun, number = loop.time(), 0
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
            while True:
                burst = 10 * BURST if self.deaf else BURST
                for _ in range(burst):
                    payload = self.words.pop(0) if self.words else b"\xff" * FRAME
                    self._packet(out, payload)
                if not self.words:
                    self.said.set()
                number += burst
                await asyncio.sleep(begun + number * 0.02 - loop.time())

    def _packet(self, out: socket.socket, payload: bytes) -> None:
        for forward in () if self.deaf else self.forwards.values():
            head = struct.pack("!BBHII", 0x80, forward.pt, self.seq, self.stamp, forward.ssrc)
            out.sendto(head + payload, (forward.host, forward.port))
        self.seq = self.seq + 1 & 0xFFFF
        self.stamp = self.stamp + FRAME & 0xFFFFFFFF


class FakeJanus:
    """``async with``; rooms and people are put in by the test."""

    def __init__(self) -> None:
        self.rooms: dict[int | str, dict[int, Person]] = {}
        self.private: set[int | str] = set()
        self.version = 1102
        self.plugin = True
        self.locked = True
        """``lock_rtp_forward``."""
        self.refuse: dict[str, int] = {}
        """Requests that are answered with this code."""
        self.silent: set[str] = set()
        """Requests that are never answered."""
        self.asked: Counter[str] = Counter()
        self.question = asyncio.Event()
        """Set with every request of the plugin."""
        self.port = 0
        self._numbers = itertools.count(7_000_000_001)
        self._sockets: set = set()
        self._server = None

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        await self.listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop_listening()
        for people in self.rooms.values():
            for person in people.values():
                await person.unpublish()

    async def listen(self) -> None:
        self._server = await serve(
            self._serve, "127.0.0.1", self.port, subprotocols=["janus-protocol"], compression=None, ping_interval=None,
            logger=SILENT,
        )  # fmt: skip
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop_listening(self) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._server = None

    async def cut(self) -> None:
        """All connections are lost."""
        for one in list(self._sockets):
            one.transport.abort()

    async def tell(self, text: str | bytes) -> None:
        """Say something to all connections."""
        for one in list(self._sockets):
            await one.send(text)

    # People.

    def join(self, room: int | str, display: str, *, who: int = 0, **more) -> Person:
        person = Person(who or next(self._numbers), display, **more)
        self.rooms.setdefault(room, {})[person.id] = person
        return person

    async def leave(self, room: int | str, person: Person) -> None:
        del self.rooms[room][person.id]
        await person.unpublish()

    def forwards(self) -> list[Forward]:
        return [f for people in self.rooms.values() for person in people.values() for f in person.forwards.values()]

    # The API.

    async def _serve(self, connection) -> None:
        self._sockets.add(connection)
        try:
            async for text in connection:
                for answer in self._answers(json.loads(text)):
                    await connection.send(json.dumps(answer, indent=3))
        except ConnectionClosed:
            pass
        finally:
            self._sockets.discard(connection)

    def _answers(self, message: dict) -> list[dict]:
        head = {"transaction": message["transaction"]}
        kind = message["janus"]
        if message.get("apisecret") != API_SECRET:
            return [{"janus": "error", **head, "error": {"code": 403, "reason": "Unauthorized request"}}]
        if kind == "info":
            self.asked["info"] += 1
            return [] if "info" in self.silent else [{"janus": "server_info", **head, "version": self.version,
                     "version_string": ".".join(str(self.version)), "plugins": {}}]  # fmt: skip
        if "session_id" in message:
            head["session_id"] = message["session_id"]
        if kind == "attach" and not self.plugin:
            return [{"janus": "error", **head, "error": {"code": 460, "reason": "No such plugin"}}]
        if kind != "message":
            return [{"janus": "success", **head, "data": {"id": next(self._numbers)}}]
        return self._plugin(message["body"], {**head, "sender": message["handle_id"]})

    def _plugin(self, body: dict, head: dict) -> list[dict]:
        request = body["request"]
        self.asked[request] += 1
        self.question.set()
        if request in self.silent:
            return []
        try:
            data = self._do(request, body)
        except RefusalError as why:
            data = {"videoroom": "event", "error_code": why.code, "error": str(why)}
        plugindata = {"plugin": "janus.plugin.videoroom", "data": data}
        if request == "join":
            acked = {key: value for key, value in head.items() if key != "sender"}
            return [{"janus": "ack", **acked}, {"janus": "event", **head, "plugindata": plugindata}]
        return [{"janus": "success", **head, "plugindata": plugindata}]

    def _do(self, request: str, body: dict) -> dict:
        if request in self.refuse:
            raise RefusalError(self.refuse[request])
        return getattr(self, f"_do_{request}")(body)

    def _room(self, body: dict, secret: bool) -> dict[int, Person]:
        if body["room"] not in self.rooms:
            raise RefusalError(426, f"No such room ({body['room']})")
        if secret and body.get("secret") != ROOM_SECRET:
            raise RefusalError(433 if "secret" in body else 429)
        return self.rooms[body["room"]]

    def _key(self, body: dict) -> None:
        if self.locked and body.get("admin_key") != ADMIN_KEY:
            raise RefusalError(433 if "admin_key" in body else 429)

    def _do_list(self, body: dict) -> dict:
        if "admin_key" in body:
            self._key(body)
        shown = [room for room in self.rooms if room not in self.private or "admin_key" in body]
        rooms = [{"room": room, "num_participants": len(self.rooms[room])} for room in shown]
        return {"videoroom": "success", "list": rooms}

    def _do_listparticipants(self, body: dict) -> dict:
        people = []
        for one in self._room(body, secret=False).values():
            about = {"id": one.id, "display": one.display, "publisher": one.publisher}
            people.append({**about, **({"dummy": True} if one.dummy else {})})
        return {"videoroom": "participants", "room": body["room"], "participants": people}

    def _publisher(self, people: dict[int, Person], who: int) -> Person:
        if who not in people or not people[who].publisher:
            raise RefusalError(428, f"No such feed ({who})")
        return people[who]

    def _do_join(self, body: dict) -> dict:
        assert body["ptype"] == "subscriber"
        if body.get("pin") != PIN:
            raise RefusalError(433)
        (wanted,) = body["streams"]
        one = self._publisher(self._room(body, secret=False), wanted["feed"])
        stream = {"mindex": 0, "mid": "0", "feed_id": one.id, "feed_display": one.display}
        streams = [
            {"type": "audio", **stream, "feed_mid": "0", "codec": one.codec},
            {"type": "video", **stream, "feed_mid": "1", "codec": "vp8"},
        ]
        return {"videoroom": "attached", "room": body["room"], "streams": streams}

    def _do_rtp_forward(self, body: dict) -> dict:
        self._key(body)
        one = self._publisher(self._room(body, secret=True), body["publisher_id"])
        made = []
        for stream in body["streams"]:
            if stream["mid"] != "0":
                continue
            number = next(self._numbers) & 0xFFFFFFFF
            forward = Forward(number, body["host"], stream["port"], stream["ssrc"], stream["pt"])
            one.forwards[number] = forward
            made.append(forward.told())
        return {"publisher_id": one.id, "forwarders": made, "room": body["room"], "videoroom": "rtp_forward"}

    def _do_listforwarders(self, body: dict) -> dict:
        publishers = [
            {"publisher_id": one.id, "display": one.display, "forwarders": [f.told() for f in one.forwards.values()]}
            for one in self._room(body, secret=True).values()
        ]
        return {"videoroom": "forwarders", "room": body["room"], "publishers": publishers}

    def _do_stop_rtp_forward(self, body: dict) -> dict:
        self._key(body)
        one = self._room(body, secret=True).get(body["publisher_id"])
        if one is None or one.forwards.pop(body["stream_id"], None) is None:
            raise RefusalError(428)
        return {"videoroom": "stop_rtp_forward", "room": body["room"], "stream_id": body["stream_id"]}


@asynccontextmanager
async def repeated():
    """A server that answers one connection as the real Janus did, as long as it is asked the same in the same order."""
    lines = [json.loads(line) for line in CAPTURED.read_text().splitlines()]
    wrong: list[str] = []

    async def serve_one(connection) -> None:
        left = list(lines)
        async for text in connection:
            expected = json.loads(left.pop(0)["text"])
            if json.loads(text) != expected:
                wrong.append(f"{text} instead of {expected}")
                return
            while left and left[0]["who"] == "came":
                await connection.send(left.pop(0)["text"])

    async with serve(
        serve_one, "127.0.0.1", 0, subprotocols=["janus-protocol"], compression=None, logger=SILENT
    ) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    assert not wrong, wrong
