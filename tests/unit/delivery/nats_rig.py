"""The rig of the sink ``nats``: a real nats-server in a folder of the test, with a relay before it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import nats
from nats.js.api import DiscardPolicy, ObjectStoreConfig, StreamConfig
from nats_server import PASSWORD, NatsServer
from relay import Relay, RelayRig

from vcond.delivery.sinks.nats import NatsConfig, NatsSink


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
