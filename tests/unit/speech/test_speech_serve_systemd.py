"""``vcond speech serve`` as systemd sees it: it is ready without NATS, says how it is, and is watched."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from pathlib import Path

import pytest
from nats_server import PASSWORD, WITH_US
from queue_rig import HERE, QueueRig

pytestmark = pytest.mark.peer
LIMIT = 120.0


class Manager:
    """systemd's end of the notify socket."""

    def __init__(self, folder: Path) -> None:
        self.path = str(folder / "notify")
        self.notes = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.notes.bind(self.path)
        self.told: list[dict[str, str]] = []

    async def until(self, name: str, begins: str = "") -> dict[str, str]:
        """The next note with this field whose status begins so."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(LIMIT):
            while True:
                text = (await loop.sock_recv(self.notes, 4096)).decode()
                self.told.append(dict(line.split("=", 1) for line in text.splitlines()))
                if name in self.told[-1] and self.told[-1]["STATUS"].startswith(begins):
                    return self.told[-1]


async def test_it_is_ready_without_nats_says_what_it_waits_for_and_stops_in_order(tmp_path: Path) -> None:
    rig, systemd = QueueRig(tmp_path), Manager(tmp_path)
    await rig.start()
    await rig.server.stop()  # its port is known, and nobody listens there
    for left in (tmp_path / "nats/ports").glob("*.ports"):
        left.unlink()
    file, folder = tmp_path / "speech.toml", tmp_path / "gpu-1"
    folder.mkdir()
    file.touch(0o600)
    file.write_text(
        f'[vcond]\nadmin_socket = "{tmp_path}/admin.sock"\n[ops]\nlisten = ""\n'
        f'[speech]\nengine = "speech_engines:Scripted"\nmodel = "{folder}"\nworkers = 1\n[speech.queue]\n'
        f'url = "{rig.config().url}"\nuser = "vcond"\npassword = "{PASSWORD}"\n'
    )
    service = await asyncio.create_subprocess_exec(
        *WITH_US, sys.executable, "-m", "vcond", "speech", "serve", "--config", str(file),
        env={**os.environ, "PYTHONPATH": str(HERE), "NOTIFY_SOCKET": systemd.path, "WATCHDOG_USEC": "300000"},
    )  # fmt: skip
    ready = await systemd.until("READY", f"not connected: {rig.config().url}")
    assert "check that nats-server runs" in ready["STATUS"]
    assert (await systemd.until("WATCHDOG"))["STATUS"] == ready["STATUS"]

    await rig.start()
    await systemd.until("WATCHDOG", "transcribing for other machines")
    await rig.server.kill()
    await systemd.until("WATCHDOG", "not connected: ")

    service.terminate()
    await systemd.until("STOPPING", "giving back")
    assert await service.wait() == 0
    words = [word for note in systemd.told for word in note if word in {"READY", "STOPPING"}]
    assert words == ["READY", "STOPPING"]
    systemd.notes.close()
