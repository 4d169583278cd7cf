"""A hub's parts served on loopback, without the daemon around them; vCons, and a client of vcon-server's API."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from vcond.app.wiring import Parts
from vcond.base.time import SECOND
from vcond.capture.clock import SteadyClock
from vcond.config import load

TOKEN = "api-token-0123456789"
KEY = "list-key-0123456789"
ZERO = 1_795_339_662 * SECOND
CONFIG = """
[vcond]
name = "hub.example.com"
state_dir = "{0}/state"
admin_socket = "{0}/run/admin"
min_free_mb = 0
[ops]
listen = ""
[hub]
listen = "127.0.0.1:0"
tokens = {{ console = "{1}" }}
ingress_lists = {{ edge = ["other-key-0123456789", "{2}"], shop = ["shop-key-0123456789"] }}
{3}
"""


def uuid_of(number: int) -> str:
    return f"019b8d1a-0000-8000-8000-{number:012x}"


def vcon(number: int = 1, **more: Any) -> dict[str, Any]:
    """A vCon that vcon-server takes."""
    return {
        "vcon": "0.4.0", "uuid": uuid_of(number), "created_at": f"2026-11-{number % 28 + 1:02}T12:00:00+00:00",
        "parties": [{"tel": f"+1212555{number:04}", "name": "Ann Smith"}, {"name": "vcond edge", "type": "bot"}],
        "dialog": [{"type": "incomplete", "start": "2026-11-05T12:00:00Z", "parties": [0], "disposition": "no-answer"}],
        "analysis": [], "attachments": [{"purpose": "tags", "party": 1, "encoding": "json", "body": ["queue:sales"]}],
        **more,
    }  # fmt: skip


def body_of(number: int = 1, **more: Any) -> bytes:
    """As no serializer of ours writes it, to see that it is kept as it came."""
    return json.dumps(vcon(number, **more), indent=1).encode()


@dataclass
class Hub:
    """What tests use of one."""

    parts: Parts
    client: aiohttp.ClientSession

    async def ask(self, method: str, path: str, body: bytes | None = None, key: str = TOKEN, **headers: str):
        """Status, body, headers."""
        sent = {"Content-Type": "application/json"} if body is not None else {}
        sent |= {"x-conserver-api-token": key} if key else {}
        data = None if body is None else io.BytesIO(body)
        async with self.client.request(method, path, data=data, headers=sent | headers) as answer:
            return answer.status, await answer.read(), answer.headers

    async def told(self, path: str) -> Any:
        status, body, _ = await self.ask("GET", path)
        assert status == 200, body
        return json.loads(body)

    async def bring(self, body: bytes, name: str = "edge", key: str = KEY) -> int:
        """As an edge does."""
        return (await self.ask("POST", f"/api/vcon/external-ingress?ingress_list={name}", body, key))[0]


@asynccontextmanager
async def hub(root: Path, more: str = "") -> AsyncIterator[Hub]:
    file = root / "vcond.toml"
    file.write_text(CONFIG.format(root, TOKEN, KEY, more))
    parts = Parts(load(file, {}), SteadyClock(lambda: ZERO, lambda: ZERO))
    await parts.outbox.open()
    await parts.hub.start()
    try:
        async with aiohttp.ClientSession(parts.hub.base_url) as client:
            yield Hub(parts, client)
    finally:
        await parts.hub.close()
        await parts.close()
