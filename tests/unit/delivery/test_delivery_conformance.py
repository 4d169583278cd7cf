"""Our own sinks pass the suite that third parties' pass."""

from __future__ import annotations

import asyncio
from collections import defaultdict

import pytest
from fake_conserver import Cut, FakeConserver, Hang, Status
from http_rigs import HttpPutRig, ServerRig, WebhookRig

from vcond.delivery.sinks.conserver import ConserverConfig, ConserverSink
from vcond.delivery.sinks.folder import FolderConfig, FolderSink
from vcond.testing.sink_rig import SinkRig
from vcond.testing.sinks import SinkConformance

KEY, API = "key-of-the-list", "key-of-the-api"


class FolderRig(SinkRig):
    can = frozenset({"keeps", "down"})

    def __init__(self, path):
        self.path, self.away = path / "out", path / "away"

    def sink(self):
        return FolderSink(FolderConfig(path=str(self.path)))

    async def received(self):
        return await asyncio.to_thread(self.read)

    def read(self):
        found = defaultdict(list)
        for file in self.path.rglob("*.vcon.json"):
            found[file.name.removesuffix(".vcon.json")].append(file.read_bytes())
        return found

    async def down(self, *, on):
        """A file stands where the folder was: like a disk that is not mounted, but for root too."""
        if on:
            self.path.rename(self.away)
            self.path.write_text("in the way")
        else:
            self.path.unlink()
            self.away.rename(self.path)


class ConserverRig(ServerRig):
    private = (KEY, API)

    def __init__(self, mode="external-ingress"):
        self.mode = mode
        self.server = FakeConserver(ingress_auth={"edge": KEY}, tokens=[API])

    def sink(self):
        token = API if self.mode == "vcon" else KEY
        lists = ["edge"]
        return ConserverSink(
            ConserverConfig(url=self.server.url, ingress_lists=lists, token=token, admin_token=API, mode=self.mode)
        )

    async def received(self):
        """The same uuid again replaces what was there: the conserver has one of each."""
        return {each.uuid: [each.body] for each in self.server.received if each.uuid in self.server.vcons}

    async def refuse(self):
        answer = b'{"detail":[{"type":"missing","loc":["body","parties"],"msg":"Field required"}]}'
        self.server.next(Status(422, answer, {"Content-Type": "application/json"}))

    async def stall(self):
        self.tries = self.server.tries
        self.server.next(Hang())

    async def stalled(self):
        await self.server.wait_for(tries=self.tries + 1)

    async def lose(self):
        self.server.next(Cut("answer", store=True))


class TestFolderConformance(SinkConformance):
    @pytest.fixture
    def rig(self, tmp_path):
        return FolderRig(tmp_path)


class TestConserverConformance(SinkConformance):
    @pytest.fixture(params=["external-ingress", "vcon"])
    def rig(self, request):
        return ConserverRig(request.param)


class TestWebhookConformance(SinkConformance):
    @pytest.fixture
    def rig(self):
        return WebhookRig()


class TestHttpPutConformance(SinkConformance):
    @pytest.fixture
    def rig(self):
        return HttpPutRig()
