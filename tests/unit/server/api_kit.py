"""A daemon's parts with the API served, without the daemon around them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from vcond.app.wiring import Parts
from vcond.base.time import SECOND, Instant
from vcond.call import events as ev
from vcond.capture.adapter_host import CaptureHost
from vcond.capture.clock import SteadyClock
from vcond.capture.live_call import CapturedCall
from vcond.config import load

DATA = Path(__file__).parents[2] / "data" / "vcon"
ZERO = 1_795_339_662 * SECOND
CONFIG = """
[vcond]
name = "edge.example.com"
state_dir = "{0}/state"
admin_socket = "{0}/run/admin"
min_free_mb = 0
[api]
{1}
[speech]
engine = "none"
[[sinks]]
type = "folder"
path = "{0}/vcons"
"""


@dataclass
class Daemon:
    """What tests use of one."""

    parts: Parts
    client: aiohttp.ClientSession
    local: aiohttp.ClientSession
    """On the admin socket."""
    time: list[int]
    tokens: dict[str, str] = field(default_factory=dict)

    async def token(self, *roles: str, days: int = 1, name: str = "test") -> str:
        made = await self.parts.api.writes["token-create"]({"who": name, "roles": ",".join(roles), "days": str(days)})
        return made["token"]

    async def asked(self, path: str, role: str | None = "admin", method: str = "GET", **more: Any):
        """Status, headers and body of an answer, with a token of a role."""
        headers = dict(more.pop("headers", {}))
        if role is not None:
            if role not in self.tokens:
                self.tokens[role] = await self.token(role)
            headers["Authorization"] = f"Bearer {self.tokens[role]}"
        async with self.client.request(method, f"/api/v1{path}", headers=headers, **more) as answer:
            return answer.status, answer.headers, await answer.read()

    async def told(self, path: str, role: str | None = "admin", method: str = "GET", **more: Any) -> Any:
        """What a good answer says."""
        status, _, body = await self.asked(path, role, method, **more)
        assert status == 200, body
        return json.loads(body)

    def call(self, *people: ev.PartyInfo) -> CapturedCall:
        host = CaptureHost("twilio", self.parts.registry, None, lambda: None)  # type: ignore[arg-type]  # no ingress here
        call = host.call("k", at=self.at(0))
        for number, who in enumerate(people):
            call.party(str(number), at=self.at(0), who=who)
        return call

    def at(self, seconds: float) -> Instant:
        return Instant(ZERO + round(seconds * SECOND))

    async def vcon(self, name: str, change=lambda document: None) -> str:
        """A vCon of the test data in the outbox."""
        document = json.loads((DATA / f"{name}.vcon.json").read_bytes())
        change(document)
        await self.parts.outbox.publish(document["uuid"], json.dumps(document).encode())
        return document["uuid"]

    async def dead(self, uuid: str, answer: str = "no") -> None:
        """A sink has refused it."""
        words = "UPDATE delivery_states SET state = 'dead', reason = 'refused:400', answer = ?"
        await self.parts.outbox.tell("refuse", lambda db: db.execute(words, (answer,)))

    def accesses(self) -> list[dict[str, str]]:
        file = Path(self.parts.config.vcond.state_dir) / "access.jsonl"
        return [json.loads(line) for line in file.read_bytes().splitlines()] if file.exists() else []


@asynccontextmanager
async def daemon(root: Path, api: str = 'listen = "127.0.0.1:0"') -> AsyncIterator[Daemon]:
    file = root / "vcond.toml"
    file.write_text(CONFIG.format(root, api))
    time = [ZERO]
    parts = Parts(load(file, {}), SteadyClock(lambda: time[0], lambda: time[0]))
    await parts.outbox.open()
    await parts.api.start()
    await parts.admin.start()
    socket = aiohttp.UnixConnector(parts.config.vcond.admin_socket)
    async with (
        aiohttp.ClientSession(parts.api.base_url or None, cookie_jar=aiohttp.CookieJar(unsafe=True)) as client,
        aiohttp.ClientSession("http://vcond", connector=socket) as local,
    ):
        yield Daemon(parts, client, local, time)
        parts.bus.close()
    await parts.api.close()
    await parts.admin.close()
    await parts.close()


async def until(condition: Callable[[], Any]) -> None:
    """What other tasks bring about."""
    while not condition():  # noqa: ASYNC110 - tasks of the daemon, which tell nobody
        await asyncio.sleep(0)
