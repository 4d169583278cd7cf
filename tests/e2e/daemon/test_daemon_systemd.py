"""A whole life as systemd sees it: the socket it hands over, and every word that it is told."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import pytest

CONFIG = """
[vcond]
state_dir = "{folder}/state"
admin_socket = "{folder}/admin.sock"
min_free_mb = 0
drain = 0
log_level = "{level}"
[web]
listen = "127.0.0.1:0"
[ops]
listen = "127.0.0.1:0"
[speech]
engine = "none"
[adapters.twilio]
[[sinks]]
type = "folder"
path = "{folder}/vcons"
"""
# As systemd starts a service that it has a socket for: number 3, and for this very process (sd_listen_fds(3)).
HANDED = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1", "LISTEN_FDNAMES": "vcond.socket"}
os.execv(sys.executable, [sys.executable, "-c", "from vcond.cli import main; main()", "run", "--config", sys.argv[2]])
"""


class Systemd:
    """The manager's side: reads what the service says, one datagram after the other."""

    def __init__(self, folder: Path) -> None:
        self.config, self.log = folder / "vcond.toml", folder / "log"
        self.folder, self.told = folder, list[dict[str, str]]()
        self.notes = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notes.bind(str(folder / "notify"))
        self.notes.settimeout(120)
        self.admin = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.admin.bind(str(folder / "admin.sock"))
        self.admin.listen()
        self.write("info")

    def write(self, level: str) -> None:
        self.config.write_text(CONFIG.format(folder=self.folder, level=level))

    @contextmanager
    def started(self) -> Iterator[subprocess.Popen[bytes]]:
        environ = {**os.environ, "NOTIFY_SOCKET": str(self.folder / "notify"), "WATCHDOG_USEC": "300000"}
        command = [sys.executable, "-c", HANDED, str(self.admin.fileno()), str(self.config)]
        with self.log.open("wb") as log:
            service = subprocess.Popen(command, env=environ, stderr=log, pass_fds=[self.admin.fileno()])
        try:
            yield service
        finally:
            service.kill()
            service.wait()
            self.notes.close()
            self.admin.close()

    def until(self, name: str) -> dict[str, str]:
        """The next datagram with this field."""
        while True:
            note = dict(line.split("=", 1) for line in self.notes.recv(4096).decode().splitlines())
            self.told.append(note)
            if name in note:
                return note


def asked(path: Path, what: str) -> dict[str, object]:
    async def ask() -> dict[str, object]:
        async with (
            aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path))) as client,
            client.get(f"http://vcond/v1/{what}") as answer,
        ):
            return await answer.json()

    return asyncio.run(ask())


def test_systemd_is_told_of_every_step_and_keeps_its_socket(tmp_path: Path):
    systemd = Systemd(tmp_path)
    with systemd.started() as service:
        ready = systemd.until("READY")
        assert ready["READY"] == "1"
        assert ready["STATUS"].startswith("0 calls")
        # commands reach it through the socket that was there before it
        assert asked(tmp_path / "admin.sock", "status")["adapters"]["twilio"]["attached"] is True

        beats = [systemd.until("WATCHDOG") for _ in range(3)]
        assert all(beat["WATCHDOG"] == "1" and beat["STATUS"] for beat in beats)

        systemd.write("debug")
        before = time.monotonic()
        service.send_signal(signal.SIGHUP)
        reloading = systemd.until("RELOADING")
        assert int(reloading["MONOTONIC_USEC"]) == pytest.approx(before * 1e6, abs=60e6)
        assert systemd.until("READY")["READY"] == "1"

        systemd.config.write_text("nonsense")
        service.send_signal(signal.SIGHUP)
        systemd.until("RELOADING")
        assert systemd.until("READY")["READY"] == "1", "the old one is in force, systemd does not wait for ever"

        service.send_signal(signal.SIGTERM)
        assert systemd.until("STOPPING")["STATUS"] == "draining"
        assert service.wait(60) == 0
        words = [word for note in systemd.told for word in note if word in {"READY", "RELOADING", "STOPPING"}]
        assert words == ["READY", "RELOADING", "READY", "RELOADING", "READY", "STOPPING"]
    events = [json.loads(line)["event"] for line in systemd.log.read_text().splitlines()]
    assert events.count("configuration reloaded") == 1
    assert "configuration not reloaded; keeping the old one" in events
    assert (tmp_path / "admin.sock").is_socket(), "systemd's socket stays"


def test_a_wrong_configuration_ends_with_the_status_that_the_unit_does_not_restart(tmp_path: Path):
    systemd = Systemd(tmp_path)
    systemd.config.write_text("[vcond]\nnonsense = 1\n")
    with systemd.started() as service:
        assert service.wait(60) == 2
        systemd.notes.settimeout(0)
        with pytest.raises(BlockingIOError):
            systemd.until("READY")
    assert "nonsense" in systemd.log.read_text()
