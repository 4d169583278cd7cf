"""The rig of the sink ``sftp``: openssh's server in a folder of the test, with a relay before it."""

from __future__ import annotations

import asyncio
import getpass
import os
import resource
import shutil
import socket
import subprocess
from collections import defaultdict
from pathlib import Path

from relay import Relay, RelayRig

from vcond.delivery.sinks.sftp import SftpConfig, SftpSink
from vcond.testing.needs import needs

SSHD = "/usr/sbin/sshd"


class SshServer:
    """``sshd`` on a free port of loopback, for the user who runs the test and one key."""

    def __init__(self, folder: Path, *more: str) -> None:
        needs(Path(SSHD).exists() and shutil.which("ssh-keygen"), "there is no sshd: apt-get install openssh-server")
        folder.mkdir(parents=True)
        self.folder, self.more = folder, more
        for name in ("host", "user", "other"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
        shutil.copy(folder / "user.pub", folder / "authorized")
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)

    async def start(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        config = self.folder / "sshd_config"
        config.write_text(
            f"ListenAddress 127.0.0.1:{self.port}\nHostKey {self.folder}/host\nAuthorizedKeysFile {self.folder}/authorized\n"
            "StrictModes no\nUsePAM no\nPermitRootLogin yes\nPasswordAuthentication no\nPidFile none\nLogLevel VERBOSE\n"
            "Subsystem sftp internal-sftp\n" + "\n".join(self.more)
        )
        self.process = await asyncio.create_subprocess_exec(
            SSHD,
            "-D",
            "-e",
            "-f",
            str(config),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            restore_signals=False,  # SIGXFSZ stays ignored: of a file that is too large only the write fails
        )
        while line := await self.process.stderr.readline():
            if b"Server listening" in line:
                break
        else:
            raise AssertionError("sshd has ended")
        self._log = asyncio.create_task(self.process.stderr.read())

    def room(self, largest: int = resource.RLIM_INFINITY) -> None:
        """For connections from now on: no file can have more bytes, as when its disk or its user's quota is full."""
        resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (largest, resource.RLIM_INFINITY))

    async def stop(self) -> None:
        self.process.terminate()
        await self.process.wait()
        await self._log


class SftpRig(RelayRig):
    can = frozenset({"down", "stall", "keeps"})

    def __init__(self, folder: Path, *more: str) -> None:
        self.server, self.relay, self.out = SshServer(folder / "ssh", *more), Relay(), folder / "out"
        self.private = ((folder / "ssh" / "user").read_text().splitlines()[1],)

    async def start(self):
        await self.server.start()
        self.relay.target = self.server.port
        await self.relay.up()

    async def stop(self):
        await self.relay.down()
        await self.server.stop()

    def config(self, **more):
        told = {
            "host": "127.0.0.1", "port": self.relay.port, "user": getpass.getuser(), "path": f"{self.out}/{{date}}/{{uuid}}.json",
            "host_key": (self.server.folder / "host.pub").read_text(), "key": str(self.server.folder / "user"),
        }  # fmt: skip
        return SftpConfig(**told | more)

    def sink(self, **more):
        return SftpSink(self.config(**more))

    async def received(self):
        """What somebody finds there who leaves out names that begin with a dot."""
        found = defaultdict(list)
        for file in self.out.rglob("[!.]*.json"):
            found[file.name.removesuffix(".json")].append(file.read_bytes())
        return found
