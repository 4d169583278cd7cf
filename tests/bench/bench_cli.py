"""How long commands take to start, against ``import aiohttp``: ``python tests/bench/bench_cli.py [ROUNDS]``.

The least CPU time of some rounds, all commands in turn in each. A command's start-up is the time until its own work begins, so
measured is one whose work is next to nothing: help; a question to the daemon, which has 200 calls here; a small vCon that is
validated; models that are listed; and for ``run`` and ``check`` a configuration that they refuse, as reading that is the first
that they do. The goals: 1.6 times of the import, and ``calls`` and ``status`` within 1.5 times of ``--help`` (so plain values do
without the pydantic of typer: ``vcond.cli.plain_values``).

The work of the daemon needs aiohttp, numpy, cryptography and its adapters; what it imports is shown without a goal. ``check
--offline --errors-only``, for which systemd waits before each start, looks at the same parts: within twice of that.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vcond.capture.live_feed import LiveFeed
from vcond.server.admin import AdminServer

GOAL = 1.6
OF_HELP = 1.5
OF_RUN = 2.0
OFFLINE, RUN = "check --offline --errors-only", "imports of run"
CALLS = [
    {
        "call": f"{i:08x}-3286-852d-a079-acef32f9616b", "adapter": "asterisk", "opened": "2026-11-22T09:00:00Z",
        "answered": "2026-11-22T09:00:01Z", "ended": None, "seconds": 67.2, "recorded": True, "not_recorded": "", "paused": False,
        "parties": [{"name": f"caller {i}", "tel": f"+1555{i:07}", "here": True}, {"name": "Rita", "tel": "201", "here": True}],
        "paused_by": [], "utterances": 20, "waiting": 0, "transcription": "live",
    }
    for i in range(200)
]  # fmt: skip
STATUS = {"version": "0", "ready": {}, "calls": 200, "finishing": 0, "amending": 0, "unfinished": 0, "speech": {}, "listen": "", "ops": "",
          "adapters": {"asterisk": {"attached": True, "detail": ""}}, "outbox": [], "pressure": {}}  # fmt: skip


def cpu(words: Sequence[str]) -> float:
    """Seconds of CPU of a process, user and system."""
    with subprocess.Popen([sys.executable, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        _, _, used = os.wait4(process.pid, 0)
        process.returncode = 0
    return used.ru_utime + used.ru_stime


async def serve(socket: Path, ready: threading.Event, done: threading.Event) -> None:
    """A daemon's admin socket."""

    def door(value: Any) -> Any:
        async def answer(_: dict[str, str]) -> Any:
            return value

        return answer

    reads = {"calls": door(CALLS), "status": door(STATUS), "outbox": door([]), "sinks": door([])}
    server = AdminServer(socket, reads=reads, writes={}, live=LiveFeed())
    await server.start()
    ready.set()
    await asyncio.to_thread(done.wait)
    await server.close()


def main(rounds: int = 7) -> int:
    """1 when a goal is missed."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file, wrong, vcon = folder / "vcond.toml", folder / "wrong.toml", folder / "a.vcon"
        wrong.write_text("[vcond]\ndrian = 3\n")
        file.write_text(
            f'[vcond]\nstate_dir = "{folder}/state"\nadmin_socket = "{folder}/admin"\n[adapters.twilio]\n'
            f'[[sinks]]\ntype = "folder"\npath = "{folder}"\n[speech]\nengine = "none"\n'
        )
        vcon.write_text('{"vcon": "0.4.0"}')
        asks = {
            what: ["-m", "vcond", *what.split(), "-c", str(file)]
            for what in ("calls", "status", "outbox", "config show")
        }
        held = {"import aiohttp": ["-c", "import aiohttp"], "--help": ["-m", "vcond", "--help"], **asks}
        held |= {
            f"{what} --help": ["-m", "vcond", what, "--help"] for what in ("run", "check", "calls", "demo", "model")
        }
        held |= {
            "validate FILE": ["-m", "vcond", "validate", str(vcon)],
            "model list": ["-m", "vcond", "model", "list"],
        }
        held |= {f"{what} WRONG": ["-m", "vcond", what, "-c", str(wrong)] for what in ("run", "check")}
        others = {
            OFFLINE: ["-m", "vcond", *OFFLINE.split(), "-c", str(file)],
            RUN: ["-c", "import sys; sys.modules['rich'] = None; import vcond.app.daemon, vcond_twilio"],
        }
        ready, done = threading.Event(), threading.Event()
        thread = threading.Thread(target=lambda: asyncio.run(serve(folder / "admin", ready, done)))
        thread.start()
        ready.wait()
        taken = {what: float("inf") for what in (*held, *others)}
        for _ in range(rounds):
            for what, words in (held | others).items():
                taken[what] = min(taken[what], cpu(words))
        done.set()
        thread.join()
    base, missed = taken["import aiohttp"], False
    for what, seconds in taken.items():
        late = what in held and seconds > GOAL * base
        late |= what in {"calls", "status"} and seconds > OF_HELP * taken["--help"]
        late |= what == OFFLINE and seconds > OF_RUN * taken[RUN]
        missed |= late
        print(
            f"{what:31} {seconds:6.2f} s  {seconds / base:4.2f} x{'  MISSED' if late else '' if what in held or what == OFFLINE else '  (no goal)'}"
        )
    return int(missed)


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
