"""How long after its start vcond captures, with many vCons waiting: ``bench_start.py [WAITING] [ROUNDS] [SECONDS]``.

Each waiting vCon has its journal (an event for each of SECONDS, 300 if not told), and its sink takes nothing. From the start of the process
to the first frame in a call's track, in turn with none waiting and with all; the goal is 1.2 times as long at most. Then all
are looked at, without the rests between them, and it is told how long each took and what memory that needed; not of more than
10,000, where that takes minutes and tells nothing else.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partialmethod
from pathlib import Path
from typing import Final

from vcond.app import plugins
from vcond.app.daemon import main
from vcond.app.old_journals import OldJournals
from vcond.base.time import SECOND, Instant
from vcond.call import events as ev
from vcond.cli.admin_client import ask
from vcond.config import load
from vcond.delivery import rows
from vcond.delivery.store import OutboxStore
from vcond.journal.records import encode
from vcond.sdk.contract import AdapterHost, ArrivalClock, Cause, Codec

GOAL: Final = 1.2
LOOKED_AT: Final = 10_000
ZERO: Final = 1_795_339_662 * SECOND
CONFIG: Final = (Path(__file__).resolve().parents[1] / "data" / "daemon.toml").read_text()
MORE: Final = 'name = "edge.example.com"\nlog_level = "error"'


def at(seconds: float) -> Instant:
    return Instant(ZERO + round(seconds * SECOND))


def uuids(count: int) -> Iterator[str]:
    for n in range(count):
        yield f"019b8e07-{n >> 16:04x}-8000-8000-{n:012x}"


def events(seconds: int) -> bytes:
    """What follows the beginning of a journal."""
    made: list[ev.Event] = [
        ev.PartyJoined(at=at(0), party=0, key="a"),
        ev.TrackOpened(at=at(0), track=0, party=0, codec="PCMU", rate=8000),
    ]
    made += [
        ev.Span(at=at(n + 1), track=0, start=n * 8000, stop=(n + 1) * 8000, kind=ev.SpanKind.RECEIVED)
        for n in range(seconds)
    ]
    made += [
        ev.TrackClosed(at=at(seconds + 1), track=0, samples=seconds * 8000),
        ev.CallEnded(at=at(seconds + 1), cause=Cause(text="normal")),
        ev.Published(at=at(seconds + 2), sha512="ab" * 64),
    ]
    return b"".join(map(encode, made))


def fill(folder: Path, waiting: int, seconds: int) -> None:
    """The state of a vcond whose sink has taken nothing for long."""
    (folder / "vcond.toml").write_text(CONFIG.format(folder=folder, sink="no-folder", more=MORE))
    (folder / "no-folder").write_text("")
    state = folder / "state"
    store = OutboxStore(state / "outbox", state / "vcond.db", ["folder"], now=0, latest=0)
    rest = events(seconds)

    def enter(db: sqlite3.Connection) -> None:
        for uuid in uuids(waiting):
            body = json.dumps({"vcon": "0.4.0", "uuid": uuid}).encode()
            (state / "outbox" / "pending" / f"{uuid}.vcon.json").write_bytes(body)
            seq = rows.insert(db, uuid, hashlib.sha512(body).hexdigest(), len(body), at(302), {})
            rows.add_states_of(db, seq, ["folder"])
            journal = state / "journal" / uuid
            journal.mkdir(parents=True)
            opened = ev.CallOpened(at=at(0), call=uuid, adapter="twilio", key=uuid)
            (journal / "events.log").write_bytes(encode(opened, first=True) + rest)

    store.tell("fill", enter)
    store.close()


class Adapter:
    """Captures one frame and says so."""

    async def run(self, host: AdapterHost) -> None:
        call = host.call("bench", at=host.clock.now())
        party = call.party("a", at=host.clock.now())
        track = call.track(party, at=host.clock.now(), codec=Codec.PCMU, rate=8000, clock=ArrivalClock())
        track.write(b"\xff" * 160, arrived=host.clock.now())
        print("captured", flush=True)
        host.attached(True)
        await asyncio.Event().wait()


def start(folder: Path) -> tuple[float, float]:
    """Seconds from the start of a process to its first frame, and processor seconds that it took for that."""
    began = time.monotonic()
    with subprocess.Popen([sys.executable, __file__, "daemon", str(folder)], stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        said = running.stdout.readline()
        took = time.monotonic() - began
        ticks = Path(f"/proc/{running.pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]
        running.kill()
    assert said == b"captured\n", said
    return took, sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


def look(folder: Path, waiting: int) -> None:
    """Tell what looking at all of them costs; the daemon's own rests, three times as long, left out."""
    with subprocess.Popen([sys.executable, __file__, "look", str(folder)], stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        running.stdout.readline()
        before, began = memory(running.pid)[0], time.monotonic()
        while ask(f"{folder}/admin", "status")["old_journals"]:
            time.sleep(0.5)
        took, (after, most) = time.monotonic() - began, memory(running.pid)
        running.kill()
    each = 1000 * took / max(waiting, 1)
    print(f"looked at all: {each:.2f} ms each; memory {before} MB before, {after} MB after, {most} MB at most")


def memory(pid: int) -> tuple[int, int]:
    """Megabytes of a process: now, and at most so far."""
    lines = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    now, most = (int(lines[name].split()[0]) // 1024 for name in ("VmRSS", "VmHWM"))
    return now, most


def bench(waiting: int, rounds: int, seconds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        empty, full = Path(folder) / "empty", Path(folder) / "full"
        for path, count in ((empty, 0), (full, waiting)):
            path.mkdir()
            fill(path, count, seconds)
        os.sync()
        start(empty)
        pairs = [(start(empty), start(full)) for _ in range(rounds)]
        if waiting <= LOOKED_AT:
            look(full, waiting)
    for n, what in enumerate(("of the clock", "of a processor")):
        none, many = (statistics.median(pair[side][n] for pair in pairs) for side in (0, 1))
        print(f"first frame, s {what}: none waiting {none:.2f}, {waiting} waiting {many:.2f}, ratio {many / none:.2f}")
    sys.exit(0 if statistics.median(full[0] / empty[0] for empty, full in pairs) <= GOAL else 1)


if __name__ == "__main__":
    if sys.argv[1:2] in (["daemon"], ["look"]):
        if sys.argv[1] == "look":
            OldJournals.run = partialmethod(OldJournals.run, rest=0.0)
        plugins.adapters = lambda _: {"twilio": Adapter()}
        main(load(Path(sys.argv[2]) / "vcond.toml", os.environ))
    else:
        given = [int(text) for text in sys.argv[1:]]
        bench(*(given + [10_000, 5, 300][len(given) :]))
