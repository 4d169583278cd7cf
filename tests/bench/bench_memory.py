"""What finishing a long call takes of memory: ``python tests/bench/bench_memory.py [MINUTES] [RATE] [RATE of the other]``.

A call of two parties whose journal is there, finished in a process of its own as the daemon does it: built, checked, written
out. Speech is the demo's, over and over. The compressed pieces of its audio are there too, as the daemon has them by then; here
they are made up, of the right size. Prints what the process had before, and at most; the goal is 200 MB more for two hours.
"""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import numpy as np
import soxr

from vcond.base.time import SECOND, Instant
from vcond.call import events as ev
from vcond.call.ids import uuid8
from vcond.call.state import fold
from vcond.config.schema import RecordConfig
from vcond.journal import Store
from vcond.publish.builder import Builder
from vcond.publish.revisions import Revision
from vcond.storage.files import Files
from vcond.storage.whole_files import WholeFiles
from vcond.vcon.building.opus_pieces import SECONDS, OpusFile
from vcond.vcon.building.riff import Form
from vcond.vcon.building.wav import expand

GOAL: Final = 200
ZERO: Final = 1_795_339_662 * SECOND
STEP: Final = 60
SPEAKING: Final = 0.45
DEMO: Final = Path(__file__).parents[2] / "vcond" / "demo"


def at(seconds: float) -> Instant:
    return Instant(ZERO + round(seconds * SECOND))


async def left(root: Path, seconds: int, rates: tuple[int, int]) -> None:
    """The journal of the call."""
    store = Store(root)
    opened = ev.CallOpened(at=at(0), call=str(uuid8(ZERO, 1, "e.example")), adapter="b", key="k", recorder="e")
    journal = store.open(opened)
    for index, rate in enumerate(rates):
        journal.append(ev.PartyJoined(at=at(0), party=index, key=str(index)))
        journal.append(ev.TrackOpened(at=at(0), track=index, party=index, codec="PCMU", rate=rate))
    journal.append(ev.Answered(at=at(0)))
    minutes = []
    for name, rate in zip(("caller", "agent"), rates, strict=True):
        said = expand(Form.MULAW, (DEMO / f"{name}.ulaw").read_bytes()).astype(np.float32)
        said = soxr.resample(said, 8000, rate) if rate != 8000 else said
        minutes.append(np.resize(said, STEP * rate).clip(-32768, 32767).astype(np.int16))
    for second in range(0, seconds, STEP):
        for index, rate in enumerate(rates):
            start, stop = second * rate, (second + STEP) * rate
            journal.write(f"{index}.pcm", start, minutes[index])
            kind = ev.SpanKind.RECEIVED
            journal.append(ev.Span(at=at(second + STEP), track=index, start=start, stop=stop, kind=kind))
        await journal.flush()
    journal.append(ev.CallEnded(at=at(seconds)))
    await store.close()


def piece(file: OpusFile, number: int, _: Any) -> bytes:
    """As large as one of people of whom one listens at a time."""
    return bytes(round(SPEAKING * len(file.channels) * file.kbps * 125 * SECONDS))


async def finish(root: Path) -> None:
    """In a process of its own: build the vCon and say what it took."""
    OpusFile._made = piece
    store = Store(root)
    (journal,) = store.recover()
    state = fold(journal.events)
    builder = Builder(RecordConfig(), asyncio.sleep, WholeFiles(Files()))
    before, private = _peak(), _private()
    watch = asyncio.create_task(_watch(most := [private]))
    built = await builder.built(state, journal, Revision("original", state.uuid))
    watch.cancel()
    form = next(item["body"]["audio"] for item in built.document["attachments"] if "audio" in item["body"])
    print(f"{form}, {len(built.body) / 1e6:.1f} MB: process {before:.0f} MB before, {_peak():.0f} at most; "
          f"memory of its own {private:.0f} before, {max(most):.0f} at most")  # fmt: skip
    await store.close()
    sys.stdout.flush()
    os._exit(0 if max(most) - private <= GOAL else 1)


async def _watch(most: list[float]) -> None:
    while True:
        await asyncio.sleep(0.005)
        most[0] = max(most[0], _private())


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _private() -> float:
    """Megabytes that are not of files: what is mapped of them is let go of when others need it."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return (int(lines["RssAnon"].split()[0]) + int(lines["RssShmem"].split()[0])) / 1024


def main() -> int:
    if sys.argv[1:2] == ["finish"]:
        asyncio.run(finish(Path(sys.argv[2])))
    minutes, one, other = (float(sys.argv[n]) if len(sys.argv) > n else 0 for n in (1, 2, 3))
    rates = (int(one) or 8000, int(other) or int(one) or 8000)
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(left(Path(folder) / "journal", round((minutes or 120) * 60), rates))
        return subprocess.run([sys.executable, __file__, "finish", f"{folder}/journal"], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
