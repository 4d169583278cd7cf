"""Debian's Janus on free ports of loopback, with one room that nobody may tap without the keys. Written by us.

The machine's own one is used; where its Debian has none, the one that ``janus-build`` has unpacked.

WebRTC media goes over the machine's own address (``LAN``), because libnice never offers loopback; it stays inside.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
UNPACKED = Path(os.environ.get("VCOND_JANUS_CACHE") or CACHE / "vcond-janus") / "root"
"""Where ``janus-build`` has put one if the machine's Debian has none."""
INSTALLED = Path("/usr/bin/janus").exists()
PROGRAM = Path("/usr/bin/janus") if INSTALLED else UNPACKED / "janus"
LIBRARY = next(iter((Path("/") if INSTALLED else UNPACKED).glob("usr/lib/*-linux-gnu/janus")), Path("/usr/lib/janus"))
ROOM = 1234
API_SECRET = "the api secret of the tests"
ADMIN_KEY = "the admin key of the tests"
ROOM_SECRET = "the room secret of the tests"
ROOM_PIN = "the pin of the tests"
LIMIT = 30.0

FILES = {
    "janus.jcfg": """
general: {{
  configs_folder = "{folder}"
  plugins_folder = "{library}/plugins"
  transports_folder = "{library}/transports"
  events_folder = "{library}/events"
  loggers_folder = "{library}/loggers"
  debug_level = 4
  api_secret = "{api_secret}"
  server_name = "janus of the tests"
}}
nat: {{ ice_enforce_list = "{lan}", ignore_mdns = true, ipv6 = false }}
plugins: {{ disable = "{plugins}" }}
transports: {{ disable = "{transports}" }}
loggers: {{ disable = "libjanus_jsonlog.so" }}
""",
    "janus.transport.websockets.jcfg": """
general: {{ ws = true, ws_port = {port}, ws_ip = "127.0.0.1", wss = false, ws_logging = "none" }}
admin: {{ admin_ws = false }}
""",
    "janus.plugin.videoroom.jcfg": """
general: {{ admin_key = "{admin_key}", lock_rtp_forward = true }}
room-{room}: {{
  description = "room of the tests"
  secret = "{room_secret}"
  pin = "{room_pin}"
  publishers = 6
  audiocodec = "opus"
}}
""",
}


@dataclass
class Janus:
    """A running one."""

    process: asyncio.subprocess.Process
    port: int
    log: Path

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    async def stop(self) -> None:
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(10):
                    await self.process.wait()
            except TimeoutError:
                self.process.kill()
        await self.process.wait()


def missing() -> str:
    """Why it cannot be started here; empty when it can."""
    if not PROGRAM.exists():
        return f"{PROGRAM} is not here: tools/setup.sh test"
    return "" if lan() else "this machine has no address but loopback, which Janus does not offer for WebRTC"


def lan() -> str:
    """The machine's own IPv4 address; nothing is sent to find it."""
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return ""
        return str(probe.getsockname()[0])


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def running(port: int = 0, **changes: str) -> AsyncIterator[Janus]:
    """A fresh Janus; ``changes`` replace words of the configuration (``api_secret=""``)."""
    with tempfile.TemporaryDirectory(prefix="vcond-janus-") as folder:
        janus = await start(Path(folder), port or free_port(), **changes)
        try:
            yield janus
        finally:
            await janus.stop()


async def start(folder: Path, port: int, **changes: str) -> Janus:
    others = sorted(path.name for path in (LIBRARY / "plugins").glob("*.so") if "videoroom" not in path.name)
    wires = sorted(path.name for path in (LIBRARY / "transports").glob("*.so") if "websockets" not in path.name)
    words = {
        "folder": folder, "library": LIBRARY, "lan": lan(), "port": port, "room": ROOM,
        "api_secret": API_SECRET, "admin_key": ADMIN_KEY, "room_secret": ROOM_SECRET, "room_pin": ROOM_PIN,
        "plugins": ",".join(others), "transports": ",".join(wires), **changes,
    }  # fmt: skip
    for name, text in FILES.items():
        (folder / name).write_text(text.format(**words))
    log = folder / "janus.log"
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            str(PROGRAM), "-F", str(folder), "-o",
            stdin=asyncio.subprocess.DEVNULL, stdout=out, stderr=out, env={**os.environ, "HOME": str(folder)},
        )  # fmt: skip
    janus = Janus(process, port, log)
    try:
        await _listening(janus)
    except BaseException:
        await janus.stop()
        raise
    return janus


async def _listening(janus: Janus) -> None:
    async with asyncio.timeout(LIMIT):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", janus.port)
            except OSError:
                if janus.process.returncode is not None:
                    raise AssertionError(f"Janus ended: {janus.log.read_text()[-2000:]}") from None
                await asyncio.sleep(0.05)
                continue
            writer.close()
            await writer.wait_closed()
            return
