"""A real nats-server on loopback."""

from __future__ import annotations

import asyncio
import json
import shutil

from vcond.testing.needs import needs

PASSWORD = "password-of-the-edge"
WITH_US = ("setpriv", "--pdeathsig", "KILL", "--")
"""Before a command: the kernel ends it with the process of the tests."""


class NatsServer:
    """``nats-server`` on a free port; kept on disk, so that it may be stopped and started."""

    def __init__(self, folder, *more: str) -> None:
        needs(shutil.which("nats-server"), "there is no nats-server: apt-get install nats-server")
        self.folder, self.more, self.port = folder, more, 0
        self.authorization = f'user: vcond, password: "{PASSWORD}"'

    async def start(self) -> None:
        ports = self.folder / "ports"
        ports.mkdir(parents=True, exist_ok=True)
        config = self.folder / "nats.conf"
        config.write_text(
            f'listen: "127.0.0.1:{self.port or -1}"\nports_file_dir: "{ports}"\n'
            f'jetstream {{ store_dir: "{self.folder}/store" }}\nauthorization {{ {self.authorization} }}\n'
            + "\n".join(self.more)
        )
        self.process = await asyncio.create_subprocess_exec(
            *WITH_US,
            "nats-server",
            "-c",
            str(config),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
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

    async def kill(self) -> None:
        """With SIGKILL; what it acknowledged is on its disk."""
        self.process.kill()
        await self._log
        await self.process.wait()
        for left in (self.folder / "ports").glob("*.ports"):
            left.unlink()
