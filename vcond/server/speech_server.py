"""How a machine is that transcribes for others, as ``vcond status``, ``/readyz`` and ``/metrics`` of it tell."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final, Never

import structlog

from vcond import __version__
from vcond.base.errors import ConfigError
from vcond.base.time import rfc3339
from vcond.config import Config
from vcond.server.admin import AdminServer
from vcond.server.doors import Door
from vcond.server.ops import OpsServer
from vcond.speech.queue.server import SpeechServer

log = structlog.get_logger()

NO_CALLS: Final = "this machine transcribes for others and has no calls: ask the machine beside the PBX"


class SpeechServerStatus:
    """Answers about a running ``vcond speech serve``, at the same places as the daemon beside a PBX."""

    def __init__(self, server: SpeechServer, config: Config) -> None:
        self._server, self._config = server, config
        self.reads: dict[str, Door] = {"status": self._status, "sinks": self._none}
        self.ops = OpsServer(config.ops, alive=dict, ready=self.ready)
        self._admin = AdminServer(Path(config.vcond.admin_socket), reads=self.reads, writes={}, live=self)
        self._open_here = False

    @contextlib.asynccontextmanager
    async def answering(self) -> AsyncIterator[None]:
        """While the block lasts. A socket that cannot be served costs the commands, no text: it is said and lived with."""
        try:
            await self._open()
            await self.ops.start()
            yield
        finally:
            await self.ops.close()
            if self._open_here:
                await self._admin.close()

    async def _open(self) -> None:
        """The socket for commands, if no other process has it: a daemon that records here, or a second one that transcribes."""
        path, trouble = self._config.vcond.admin_socket, "another vcond answers at it"
        if not _taken(path):
            try:
                await self._admin.start()
            except ConfigError as why:
                trouble = why.message
            else:
                self._open_here = True
                return
        hint = "give this one a vcond.admin_socket of its own"
        log.warning("vcond status does not show this process", socket=path, error=trouble, hint=hint)

    def ready(self) -> dict[str, str]:
        """What keeps it from transcribing now, and what to do."""
        server, wrong = self._server, {}
        if server.speech.trouble:
            wrong["speech"] = server.speech.trouble
        if not server.connected:
            wrong["queue"] = server.state
        return wrong

    def watch(self, call: str = "") -> Never:  # noqa: ARG002 - whichever it is
        """There are no calls to watch. Raises LookupError."""
        raise LookupError(NO_CALLS)

    async def _status(self, _: dict[str, str]) -> Any:
        server, tally, queue = self._server, self._server.tally, self._config.speech.queue
        engine, depth = server.speech.engine, tally.depth
        return {
            "version": __version__,
            "ready": self.ready(),
            "ops": self.ops.base_url,
            "metrics": self.ops.trouble,
            "speech": server.speech.status() | {"model": engine.model if engine is not None else ""},
            "serves": {
                "machine": server.machine, "url": queue.url, "stream": queue.stream, "connected": server.connected,
                "in_hand": server.in_hand, "texts": tally.texts, "seconds": round(tally.seconds, 1),
                "since": rfc3339(tally.since), "last": rfc3339(tally.last) if tally.last is not None else "",
                "lag": round(tally.lag, 2), "refused": dict(tally.refused), "given_back": tally.given_back,
                "dropped": tally.dropped,
                "queue": None if depth is None else {
                    "waiting": depth.waiting, "in_hand": depth.in_hand, "jobs_full": round(depth.jobs_full, 3),
                    "answers_full": round(depth.answers_full, 3),
                },
            },
            "troubles": [one._asdict() for one in tally.troubles(queue.stream)],
            "calls": 0, "adapters": {}, "pressure": {}, "outbox": [],
        }  # fmt: skip

    async def _none(self, _: dict[str, str]) -> Any:
        return []


def _taken(path: str) -> bool:
    """Whether a process answers at a socket. One that systemd listens on for us is ours."""
    if os.environ.get("LISTEN_PID") == str(os.getpid()):
        return False
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except BlockingIOError:
            return True  # so many ask it that we would have to wait
        except OSError:
            return False
    return True
