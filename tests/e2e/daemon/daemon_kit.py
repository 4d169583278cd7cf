"""A real `vcond run` as a child process, Twilio streams played into it, and what it left on the disk."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from websockets.asyncio.client import ClientConnection, connect

from vcond.demo import child
from vcond.demo.call import Recording, demo_call
from vcond.demo.player import Sids, opening, steps
from vcond.vcon import read, validate

TOKEN = "test-token"
LIMIT = 240.0
"""Seconds for what must happen, on a machine that has others to serve."""
SHORT = ""
"""A folder with a short name, for sockets; made and removed by the fixture of each test."""


@dataclass
class House:
    """One installation: configuration, state, sinks. It may be started again and again."""

    root: Path
    sinks: str = ""
    extra: str = ""
    engine: str = "none"
    grace: float = 1.0
    speech: str = ""
    """More lines of ``[speech]``."""
    record: str = ""
    """Lines of ``[record]``."""
    command_line: tuple[str, ...] | None = None
    """What starts it instead of ``vcond run --config``."""
    run_dir: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="vcond-", dir=SHORT or None)))

    @property
    def config(self) -> Path:
        return self.root / "vcond.toml"

    @property
    def state(self) -> Path:
        return self.root / "state"

    @property
    def vcons(self) -> Path:
        return self.root / "vcons"

    @property
    def log(self) -> str:
        return (self.root / "vcond.log").read_text()

    def write(self) -> None:
        sinks = self.sinks or f'[[sinks]]\ntype = "folder"\npath = "{self.vcons}"\n'
        self.config.write_text(f"""
[vcond]
name = "edge.example.com"
state_dir = "{self.state}"
admin_socket = "{self.run_dir}/admin"
log_format = "json"
grace = {self.grace}
drain = 1
min_free_mb = 0
[web]
listen = "127.0.0.1:0"
token = "{TOKEN}"
[ops]
listen = "127.0.0.1:0"
[speech]
engine = "{self.engine}"
{self.speech}
[record]
{self.record}
[delivery]
backoff_min = 0.1
backoff_max = 0.2
[adapters.twilio]
grace = 1
{self.extra}
{sinks}
""")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Running]:
        """Started and READY; ended in order when the block is left, unless it was killed."""
        self.write()
        self.root.mkdir(exist_ok=True)
        notify = Path(tempfile.mktemp(prefix="notify-", dir=self.run_dir))
        async with child.daemon(self.config, self.root / "vcond.log", notify, self.command_line) as process:
            try:
                await process.ready()
            except Exception:
                print(self.log)
                raise
            connector = aiohttp.UnixConnector(str(self.run_dir / "admin"))
            async with aiohttp.ClientSession(connector=connector) as admin:
                running = Running(self, process, admin)
                running.base = (await running.ask("status"))["listen"]
                yield running

    async def command(self, *words: str) -> tuple[int, str]:
        """`vcond ...` as an operator types it: exit code and what it printed."""
        process = await asyncio.create_subprocess_exec(
            child.COMMAND[0], "-m", "vcond", *words,
            env={**os.environ, "VCOND_CONFIG": str(self.config)},
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        async with asyncio.timeout(LIMIT):
            out, _ = await process.communicate()
        return process.returncode or 0, out.decode()

    def documents(self) -> list[dict[str, Any]]:
        """The vCons in the folder sink, each valid."""
        found = []
        for file in sorted(self.vcons.glob("*.vcon.json")):
            document = read(file.read_bytes())
            assert [f for f in validate(document) if f.level == "error"] == []
            found.append(document)
        return found


@dataclass
class Running:
    house: House
    process: child.Child
    admin: aiohttp.ClientSession
    base: str = ""

    async def ask(self, name: str, method: str = "GET", **query: str) -> Any:
        async with self.admin.request(method, f"http://vcond/v1/{name}", params=query) as answer:
            text = await answer.text()
            assert answer.status == 200, text
            return json.loads(text)

    async def until(self, name: str, wanted: Any, **query: str) -> Any:
        """Ask, and ask again whenever the daemon says that something happened, until the answer is as wanted."""
        async with asyncio.timeout(LIMIT), self.admin.get("http://vcond/v1/live") as live:
            found = await self.ask(name, **query)
            while not wanted(found):
                assert await live.content.readline(), "the daemon stopped"
                found = await self.ask(name, **query)
        return found

    async def ticks(self, count: int) -> None:
        """Let so many half seconds of the daemon pass: what was sent to it before has been taken, and written."""
        async with self.admin.get("http://vcond/v1/live") as live:
            while count:
                line = await live.content.readline()
                assert line, "the daemon stopped"
                count -= b'"tick"' in line

    async def delivered(self, count: int) -> list[dict[str, Any]]:
        """Wait until so many vCons lie in the folder sink."""
        await self.until("status", lambda _: len(list(self.house.vcons.glob("*.vcon.json"))) >= count)
        return self.house.documents()

    async def kill(self) -> None:
        self.process.kill()
        await self.process.stop()

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.process._process.pid, number)

    @asynccontextmanager
    async def stream(self, sids: Sids | None = None) -> AsyncIterator[Stream]:
        """A Twilio stream with its start said."""
        sids = sids or Sids()
        recording = demo_call()
        url = f"{self.base.replace('http', 'ws')}/twilio/stream/{TOKEN}"
        async with connect(url, compression=None, proxy=None) as socket:
            for message in opening(recording, sids):
                await socket.send(message)
            yield Stream(socket, recording, sids)


@dataclass
class Stream:
    socket: ClientConnection
    recording: Recording
    sids: Sids
    sent: int = 0

    def __post_init__(self) -> None:
        self._steps = steps(self.recording, self.sids)

    async def play(self, seconds: float, after: asyncio.Event | None = None) -> None:
        """So many seconds of both tracks, at the speed at which they are spoken, and before that as many as ``after`` takes."""
        loop = asyncio.get_running_loop()
        begun, left, first = loop.time(), round(seconds * 50), self.sent
        while left:
            left -= after is None or after.is_set()
            await asyncio.sleep(max(0.0, begun + (self.sent - first) * 0.02 - loop.time()))
            for message in next(self._steps):
                await self.socket.send(message)
            self.sent += 1

    async def stop(self) -> None:
        """Hang up as Twilio does."""
        stop = {"event": "stop", "sequenceNumber": str(2 * self.sent + 2), "streamSid": self.sids.stream,
                "stop": {"accountSid": self.sids.account, "callSid": self.sids.call}}  # fmt: skip
        await self.socket.send(json.dumps(stop))
        await self.socket.wait_closed()


def fill(disk: Path) -> Path:
    """Take all but 50 kB of the disk; or all, when calls that go on took those in the meantime. Remove what it gives to end it."""
    filler = disk / "filler"
    try:
        filler.write_bytes(bytes(max(0, shutil.disk_usage(disk).free - 50_000)))
    except OSError as why:
        if why.errno != errno.ENOSPC:
            raise
    return filler
