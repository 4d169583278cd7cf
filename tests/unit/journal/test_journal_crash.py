"""Promise 3: kill -9 at any moment loses no call. A real child process writes, and is really killed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from vcond.call import events as ev
from vcond.journal import Store, read_folder
from vcond.storage.encrypted_files import EncryptedFiles
from vcond.storage.files import Files
from vcond.storage.key_store import KeyStore

CHILD = """
import asyncio, pathlib, sys
import numpy as np
import structlog
from vcond.call import events as ev
from vcond.journal import Store
from vcond.storage.encrypted_files import EncryptedFiles
from vcond.storage.files import Files
from vcond.storage.key_store import KeyStore

structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))

def uuid(n): return f"018f0000-{n:04x}-8000-8000-000000000000"

async def main(root, calls, flushing, keys):
    root = pathlib.Path(root)
    files = EncryptedFiles(Files(), KeyStore(pathlib.Path(keys), bytes(32)), root.parent) if keys else Files()
    store = Store(root, files=files)
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

asyncio.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3] == "flush", sys.argv[4]))
"""


@pytest.fixture(params=["plain", "encrypted"])
def files(request, tmp_path) -> Files:
    """How the child keeps its calls, for who reads them."""
    if request.param == "plain":
        return Files()
    return EncryptedFiles(Files(), LateKeys(tmp_path / "keys"), tmp_path)


class LateKeys:
    """The keys that the child has made, read when they are asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, of: bytes) -> bytes | None:
        keys = KeyStore(self._folder, bytes(32), writes=False)
        keys.close()
        return keys.get(of)

    make = get  # of calls that the child opened


def killed(root: Path, calls: int, *, flushing: bool, after: int, files: Files) -> int:
    """Run the child, kill it in the middle once it said ``after`` rounds; the last round it said."""
    keys = str(root.parent / "keys") if isinstance(files, EncryptedFiles) else ""
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(root), str(calls), "flush" if flushing else "no", keys],
        stdout=subprocess.PIPE,
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
async def test_all_that_flush_acknowledged_is_there_after_kill_9(tmp_path, after, files):
    rounds = killed(tmp_path / "journal", 3, flushing=True, after=after, files=files)
    store = Store(tmp_path / "journal", files=files)
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
    assert all(read_folder(journal.folder, files) == (journal.events, "") for journal in journals)


async def test_without_any_flush_calls_survive_with_whole_events_in_order(tmp_path, files):
    killed(tmp_path / "journal", 20, flushing=False, after=100, files=files)
    store = Store(tmp_path / "journal", files=files)
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


async def test_kill_9_again_and_again_loses_nothing_that_was_recovered(tmp_path, files):
    before: dict[str, list[ev.Event]] = {}
    for _ in range(4):
        rounds = killed(tmp_path / "journal", 2, flushing=True, after=3, files=files)
        after = {folder.name: read_folder(folder, files)[0] for folder in (tmp_path / "journal").glob("018f*")}
        assert len(after) == 2
        for uuid, events in after.items():
            old = before.get(uuid, [])
            assert events[: len(old)] == old
            assert len(events) >= len(old) + 5 * rounds
            with (tmp_path / "journal" / uuid / "events.log").open("ab") as log:
                log.write(b"\x92\xceto")  # and a torn record each time
        before = after
    kept = sorted(path.name[-1] for path in (tmp_path / "journal").glob("*/events.damaged-*"))
    assert kept == ([] if isinstance(files, EncryptedFiles) else list("112233"))  # there it is no block, and not read
