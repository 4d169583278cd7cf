"""What encryption at rest costs where journals are read: a start with many of them, and the audio of a long call.

    python tests/bench/bench_encryption.py [--journals 1000] [--rounds 5]

Plain and encrypted in turn, in one process; what counts is the ratio of CPU time in this run. What it costs while calls are captured is in
``bench_twilio.py``.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import numpy as np
import structlog

from vcond.base.time import Instant
from vcond.call import events as ev
from vcond.journal import Store
from vcond.storage.encrypted_files import EncryptedFiles
from vcond.storage.files import Files
from vcond.storage.key_store import KeyStore

EVENTS, SECONDS, LONG = 60, 4, 3600
PIECE = 1600
"""Samples that are written at once: 200 ms, as the journal does."""


class Hasty(Files):
    """Waits for no disk: what is measured is the reading."""

    def sync(self, fd: int) -> None:
        pass

    def sync_folder(self, path: str) -> None:
        pass


def uuid_of(number: int) -> str:
    return str(UUID(int=(0x018F << 112) + (number << 80) + (8 << 76) + (2 << 62)))


async def made(root: Path, files: Files, journals: int) -> None:
    """Calls of some seconds, and one of an hour, as a killed daemon leaves them."""
    store, pcm = Store(root / "journal", files=files, sync_interval=3600), np.arange(PIECE, dtype=np.int16)
    for number in range(journals):
        journal = store.open(ev.CallOpened(at=Instant(1), call=uuid_of(number), adapter="bench", key=str(number)))
        for i in range(EVENTS):
            journal.append(
                ev.Span(at=Instant(i), track=i % 2, start=i * 800, stop=i * 800 + 800, kind=ev.SpanKind.RECEIVED)
            )
            if i % 5 == 0:  # what is flushed together is one block
                await journal.flush()
        for i in range(SECONDS * 5 if number else LONG * 5):
            for track in ("0.pcm", "1.pcm"):
                journal.write(track, i * PIECE, pcm)
            await journal.flush()
    await store.close()


async def start(root: Path, files: Callable[[], Files]) -> float:
    store = Store(root / "journal", files=files())
    began = time.process_time()
    found = store.recover()
    took = time.process_time() - began
    assert all(len(journal.events) == EVENTS + 1 for journal in found)
    await store.close()
    return took


async def read(root: Path, files: Callable[[], Files]) -> float:
    """An hour of one track, as a vCon is built of it: ten seconds at a time."""
    store = Store(root / "journal", files=files())
    (journal,) = (store.take(found) for found in [store.examined(uuid_of(0))] if found is not None)
    began = time.process_time()
    for second in range(0, LONG * PIECE * 5 // 8000, 10):
        journal.read("0.pcm", second * 8000, (second + 10) * 8000)
    took = time.process_time() - began
    await store.close()
    return took


async def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--journals", type=int, default=1000)
    arguments.add_argument("--rounds", type=int, default=5)
    given = arguments.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    with tempfile.TemporaryDirectory(prefix="vcond-bench-") as folder:
        keys = KeyStore(Path(folder) / "keys", bytes(32), files=Hasty())
        kinds: dict[str, Callable[[], Files]] = {
            "plain": Hasty, "encrypted": lambda: EncryptedFiles(Hasty(), keys, Path(folder) / "encrypted"),
        }  # fmt: skip
        for kind, files in kinds.items():
            await made(Path(folder) / kind, files(), given.journals)
        for what, measure in {"start": start, "an hour of audio": read}.items():
            took: dict[str, list[float]] = {kind: [] for kind in kinds}
            for _ in range(given.rounds):
                for kind, files in kinds.items():
                    took[kind].append(await measure(Path(folder) / kind, files))
            plain, encrypted = (statistics.median(took[kind]) for kind in kinds)
            print(
                f"{what}: plain {plain * 1e3:.0f} ms, encrypted {encrypted * 1e3:.0f} ms: {encrypted / plain:.2f} times"
            )


if __name__ == "__main__":
    asyncio.run(main())
