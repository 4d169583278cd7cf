"""The daemon's registry and journal without speech, for the benches of adapters."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from vcond.capture.clock import SteadyClock
from vcond.capture.live_feed import LiveFeed
from vcond.capture.registry import CallRegistry
from vcond.config.schema import DaemonConfig
from vcond.journal import Store
from vcond.storage.encrypted_files import EncryptedFiles
from vcond.storage.files import Files
from vcond.storage.key_store import KeyStore

TICK = 0.5


class Deaf:
    """No speech: a listener that hears nothing."""

    def listen(self, source, start=0):
        return self

    def advance(self, upto):
        pass

    def forget_track(self, source):
        return 0

    def catch_up(self, source, utterances):
        pass

    close = at_most = advance


@contextlib.asynccontextmanager
async def deaf_registry(*, encrypted: bool = False) -> AsyncIterator[CallRegistry]:
    """A registry with a journal on disk, from which a call is gone when it has ended."""

    async def tick() -> None:
        while True:
            registry.tick(registry.clock.now())
            await asyncio.sleep(TICK)

    with tempfile.TemporaryDirectory(prefix="vcond-bench-") as folder:
        state, files = Path(folder) / "state", Files()
        if encrypted:
            files = EncryptedFiles(files, KeyStore(Path(folder) / "keys", bytes(32)), state)
        store = Store(state / "journal", files=files)
        registry = CallRegistry(
            DaemonConfig(state_dir=folder), store=store, speech=Deaf(), clock=SteadyClock(), bus=LiveFeed(),
            finish=lambda _, journal: journal.remove(), discard=lambda *_: None,
        )  # fmt: skip
        ticking = asyncio.create_task(tick())
        try:
            yield registry
        finally:
            ticking.cancel()
            registry.interrupt_all("stop")
            await store.close()


def placed(registry: CallRegistry) -> int:
    """Frames of 20 ms at 8 kHz that all open tracks have placed so far, however they were handed over."""
    return sum(track._timeline.end for call in registry.live for track in call.tracks) // 160
