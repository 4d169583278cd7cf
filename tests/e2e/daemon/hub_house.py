"""A real `vcond hub` as a child process, and what an edge needs to deliver to it."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from vcond.demo import child

TOKEN = "api-token-0123456789"
KEY = "list-key-0123456789"
HUB = (sys.executable, "-m", "vcond", "hub", "--config")


@dataclass
class HubHouse:
    """One installation; it may be started again and again, on the port of its first start."""

    root: Path
    run_dir: Path
    more: str = ""
    """More lines of ``[hub]``, and sections after it."""
    port: int = 0
    tokens: dict[str, str] = field(default_factory=lambda: {"x-conserver-api-token": TOKEN})

    @property
    def config(self) -> Path:
        return self.root / "hub.toml"

    @property
    def state(self) -> Path:
        return self.root / "state"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def sink(self) -> str:
        """For the edge; it can be written when the hub has run once."""
        return (
            f'[[sinks]]\ntype = "conserver"\nurl = "{self.url}/api"\ningress_lists = ["edge"]\ntoken = "{KEY}"\n'
            f'admin_token = "{TOKEN}"\n'
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[RunningHub]:
        self.root.mkdir(exist_ok=True)
        self.config.write_text(f"""
[vcond]
name = "hub.example.com"
state_dir = "{self.state}"
admin_socket = "{self.run_dir}/hub-admin"
min_free_mb = 0
[ops]
listen = ""
[hub]
listen = "127.0.0.1:{self.port}"
tokens = {{ console = "{TOKEN}" }}
ingress_lists = {{ edge = ["{KEY}"] }}
{self.more}
""")
        notify = Path(tempfile.mktemp(prefix="notify-", dir=self.run_dir))
        async with child.daemon(self.config, self.root / "hub.log", notify, HUB) as process:
            try:
                await process.ready()
            except Exception:
                print((self.root / "hub.log").read_text())
                raise
            connector = aiohttp.UnixConnector(str(self.run_dir / "hub-admin"))
            async with aiohttp.ClientSession("http://vcond", connector=connector) as admin:
                async with admin.get("/v1/status") as answer:
                    base = (await answer.json())["hub"]
                self.port = int(base.rpartition(":")[2])
                async with aiohttp.ClientSession(headers=self.tokens) as client:
                    yield RunningHub(self, process, client)


@dataclass
class RunningHub:
    house: HubHouse
    process: child.Child
    client: aiohttp.ClientSession

    async def ask(self, method: str, path: str, **more: Any) -> tuple[int, bytes]:
        async with self.client.request(method, f"{self.house.url}{path}", **more) as answer:
            return answer.status, await answer.read()

    async def bring(self, body: bytes) -> int:
        headers = {"x-conserver-api-token": KEY, "Content-Type": "application/json"}
        return (await self.ask("POST", "/vcon/external-ingress?ingress_list=edge", data=body, headers=headers))[0]

    async def kill(self) -> None:
        self.process.kill()
        await self.process.stop()
