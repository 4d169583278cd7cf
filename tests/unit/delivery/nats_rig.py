"""The rig of the sink ``nats``: a real nats-server in a folder of the test, with a relay before it."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import nats
from nats.js.api import DiscardPolicy, ObjectStoreConfig, StreamConfig
from relay import Relay, RelayRig

from vcond.delivery.sinks.nats import NatsConfig, NatsSink
from vcond.testing.needs import needs

PASSWORD = "password-of-the-edge"


class NatsServer:
    """``nats-server`` on a free port; kept on disk, so that it may be stopped and started."""

    def __init__(self, folder, *more: str) -> None:
        needs(shutil.which("nats-server"), "there is no nats-server: apt-get install nats-server")
        self.folder, self.more, self.port = folder, more, 0

    async def start(self) -> None:
        ports = self.folder / "ports"
        ports.mkdir(parents=True, exist_ok=True)
        config = self.folder / "nats.conf"
        config.write_text(
            f'listen: "127.0.0.1:{self.port or -1}"\nports_file_dir: "{ports}"\n'
            f'jetstream {{ store_dir: "{self.folder}/store" }}\nauthorization {{ user: vcond, password: "{PASSWORD}" }}\n'
            + "\n".join(self.more)
        )
        self.process = await asyncio.create_subprocess_exec(
            "nats-server", "-c", str(config), stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
        )
        while line := await self.process.stderr.readline():
            if b"Server is ready" in line:
                break
        else:
            raise AssertionError("nats-server has ended")
        self._log = asyncio.create_task(self.process.stderr.read())
        while not (found := list(ports.glob("*.ports"))) or not (text := found[0].read_text()):  # noqa: ASYNC110 - a file tells nobody
            await asyncio.sleep(0.01)
        self.port = int(json.loads(text)["nats"][0].rpartition(":")[2])

    async def stop(self) -> None:
        self.process.terminate()
        await self._log
        await self.process.wait()


class NatsRig(RelayRig):
    can = frozenset({"down", "stall", "lose"})
    private = (PASSWORD,)
    bucket = "vcons"
    stream = StreamConfig(name="VCONS", subjects=["vcons.>"], discard=DiscardPolicy.NEW, duplicate_window=86_400)
    tls: Mapping[str, Any] = MappingProxyType({})
    scheme = "nats"

    def __init__(self, folder, *more: str) -> None:
        self.server, self.relay = NatsServer(folder / "nats", *more), Relay()

    async def start(self):
        await self.server.start()
        self.relay.target = self.server.port
        await self.relay.up()
        client = await self.client()
        await client.jetstream().add_stream(self.stream)
        await client.jetstream().create_object_store(self.bucket, config=ObjectStoreConfig())
        await client.close()

    async def client(self):
        return await nats.connect(
            f"{self.scheme}://127.0.0.1:{self.server.port}", user="vcond", password=PASSWORD, **self.tls
        )

    async def stop(self):
        await self.relay.down()
        await self.server.stop()

    def config(self, **more):
        url = f"{self.scheme}://127.0.0.1:{self.relay.port}"
        told = {"url": url, "stream": "VCONS", "bucket": self.bucket, "user": "vcond", "password": PASSWORD}
        return NatsConfig(**told | more)

    def sink(self, **more):
        return NatsSink(self.config(**more))

    async def received(self):
        """All messages of the stream; where one says so, the object instead."""
        client = await self.client()
        stream, found = client.jetstream(), {}
        count = (await stream.stream_info("VCONS")).state.messages
        reader = await stream.subscribe("vcons.>", ordered_consumer=True)
        for _ in range(count):
            message = await reader.next_msg(timeout=10)
            uuid, body = message.headers["Nats-Msg-Id"].partition(".")[0], message.data
            if (told := json.loads(body)).get("bucket"):
                body = (await (await stream.object_store(told["bucket"])).get(told["object"])).data
            found.setdefault(uuid, []).append(body)
        await client.close()
        return found

    async def lose(self):
        self.relay.lose(lambda data: b"HPUB " in data)
