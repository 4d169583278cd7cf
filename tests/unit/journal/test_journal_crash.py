"""Promise 3: kill -9 at any moment loses no call. A real child process writes, and is really killed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from vcond.call import events as ev
from vcond.journal import Store, read_folder

CHILD = """
import asyncio, pathlib, sys
import numpy as np
import structlog
from vcond.call import events as ev
from vcond.journal import Store

structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))

def uuid(n): return f"018f0000-{n:04x}-8000-8000-000000000000"

async def main(root, calls, flushing):
    store = Store(pathlib.Path(root))
    journals = store.recover() or [
        store.open(ev.CallOpened(at=1, call=uuid(n), adapter="a", key=str(n))) for n in range(calls)
    ]
    i = 0
    while True:
        for journal in journals:
            for frame in range(5):
                journal.write("0.pcm", (5 * i + frame) * 160, np.full(160, 1 + i % 30000, np.int16))
                journal.append(ev.Span(at=i, track=0, start=i * 800, stop=i * 800 + 800, kind=ev.SpanKind.RECEIVED))
        i += 1
        if flushing:
            await asyncio.gather(*(journal.flush() for journal in journals))
        else:
            await asyncio.sleep(0.001)
        print(i, flush=True)

asyncio.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3] == "flush"))
"""


def killed(root: Path, calls: int, *, flushing: bool, after: int) -> int:
    """Run the child, kill it in the middle once it said ``after`` rounds; the last round it said."""
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(root), str(calls), "flush" if flushing else "no"], stdout=subprocess.PIPE
    )
    with child:
        said = 0
        while said < after:
            said = int(child.stdout.readline())
        child.kill()
        rest = child.stdout.read().split()
        child.wait()
    return int(rest[-1]) if rest else said


@pytest.mark.parametrize("after", [1, 7, 30])
async def test_all_that_flush_acknowledged_is_there_after_kill_9(tmp_path, after):
    rounds = killed(tmp_path / "j", 3, flushing=True, after=after)
    store = Store(tmp_path / "j")
    journals = store.recover()
    assert len(journals) == 3
    for journal in journals:
        spans = [event for event in journal.events if isinstance(event, ev.Span)]
        assert len(spans) >= 5 * rounds
        assert [span.start // 800 for span in spans] == [i // 5 for i in range(len(spans))]
        want = np.repeat(np.arange(1, rounds + 1, dtype=np.int16), 800)
        assert (journal.read("0.pcm", 0, 800 * rounds) == want).all()
        assert journal.length("0.pcm") <= 800 * (rounds + 2)
    await store.close()
    assert all(read_folder(journal.folder) == (journal.events, "") for journal in journals)


async def test_without_any_flush_calls_survive_with_whole_events_in_order(tmp_path):
    killed(tmp_path / "j", 20, flushing=False, after=100)
    store = Store(tmp_path / "j")
    journals = store.recover()
    assert len(journals) == 20
    for journal in journals:
        spans = [event for event in journal.events if isinstance(event, ev.Span)]
        assert len(spans) > 0
        assert [span.start // 800 for span in spans] == [i // 5 for i in range(len(spans))]
        samples = journal.read("0.pcm", 0, journal.length("0.pcm"))
        want = np.repeat(1 + np.arange(len(samples) // 800 + 1), 800)[: len(samples)]
        assert (samples == want).all()
    await store.close()


async def test_kill_9_again_and_again_loses_nothing_that_was_recovered(tmp_path):
    before: dict[str, list[ev.Event]] = {}
    for _ in range(4):
        rounds = killed(tmp_path / "j", 2, flushing=True, after=3)
        after = {folder.name: read_folder(folder)[0] for folder in (tmp_path / "j").glob("018f*")}
        assert len(after) == 2
        for uuid, events in after.items():
            old = before.get(uuid, [])
            assert events[: len(old)] == old
            assert len(events) >= len(old) + 5 * rounds
            with (tmp_path / "j" / uuid / "events.log").open("ab") as log:
                log.write(b"\x92\xceto")  # and a torn record each time
        before = after
    kept = sorted(path.name[-1] for path in (tmp_path / "j").glob("*/events.damaged-*"))
    assert kept == list("112233")
