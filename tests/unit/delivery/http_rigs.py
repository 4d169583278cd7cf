"""Rigs of the sinks over HTTP: the receiver is a real server on loopback."""

from __future__ import annotations

import base64

from http_receiver import HttpReceiver

from vcond.delivery.sinks.http_put import HttpPutConfig, HttpPutSink
from vcond.delivery.sinks.webhook import WebhookConfig, WebhookSink
from vcond.testing.sink_rig import SinkRig

SECRET = base64.b64encode(b"twenty-four bytes or more").decode()
TOKEN = "token-of-the-gateway"


class ServerRig(SinkRig):
    """A rig whose receiver is a server of this process."""

    can = frozenset({"down", "refuse", "stall", "lose"})

    async def start(self):
        await self.server.up()

    async def stop(self):
        await self.server.down()

    async def down(self, *, on):
        await (self.server.down() if on else self.server.up())


class HttpRig(ServerRig):
    private = (SECRET, TOKEN)

    def __init__(self) -> None:
        self.server = HttpReceiver()

    async def refuse(self):
        self.server.next = "refuse"

    async def stall(self):
        self.server.hangs.clear()
        self.server.next = "stall"

    async def stalled(self):
        await self.server.hangs.wait()

    async def lose(self):
        self.server.next = "lose"


class WebhookRig(HttpRig):
    """What was POSTed, by its key: as a receiver does that looks at it."""

    def sink(self, **more):
        return WebhookSink(self.config(**more))

    def config(self, **more):
        url = f"{self.server.url}/hook/secret-path"
        erase = f"{self.server.url}/vcons/{{uuid}}"
        return WebhookConfig(**{"url": url, "secret": SECRET, "token": TOKEN, "erase_url": erase} | more)

    private = (SECRET, TOKEN, "secret-path")

    async def received(self):
        return {key.partition(".")[0]: [body] for key, body in self.server.files.items()}


class HttpPutRig(HttpRig):
    def sink(self, **more):
        return HttpPutSink(self.config(**more))

    def config(self, **more):
        return HttpPutConfig(**{"url": f"{self.server.url}/vcons/{{date}}/{{uuid}}.json", "token": TOKEN} | more)

    async def received(self):
        return {path.rpartition("/")[2].removesuffix(".json"): [body] for path, body in self.server.files.items()}
