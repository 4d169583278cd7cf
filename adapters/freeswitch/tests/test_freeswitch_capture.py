"""A recorded call with its recorded audio through the daemon's own core: journal on disk, then a vCon."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path

import numpy as np
from fskit import frames, raw
from test_freeswitch_replay import Replay, only

from vcond.capture.adapter_host import CaptureHost
from vcond.capture.clock import SteadyClock
from vcond.capture.live_feed import LiveFeed
from vcond.capture.registry import CallRegistry
from vcond.config import DaemonConfig
from vcond.journal import Store
from vcond.publish.builder import read_track
from vcond.testing.time import NOON, run_virtual, until
from vcond.vcon import build, validate
from vcond_freeswitch import Config, FreeSwitchAdapter
from vcond_freeswitch.events import decode


class Deaf:
    """No speech: an ear that hears nothing."""

    def listen(self, source, start=0):
        return self

    def advance(self, upto):
        pass

    close = at_most = advance


async def recorded(name: str, root: Path) -> tuple[dict, dict[int, np.ndarray]]:
    """The vCon of a recorded session, and its audio by track."""

    def now() -> int:
        return NOON + round(asyncio.get_running_loop().time() * 1e9)

    done: asyncio.Future = asyncio.get_running_loop().create_future()
    store = Store(root / "journal")
    registry = CallRegistry(
        DaemonConfig(name="edge.example.com", state_dir=str(root)), store=store, speech=Deaf(),
        clock=SteadyClock(now, now), bus=LiveFeed(), finish=lambda *ended: done.set_result(ended), discard=lambda _: None,
    )  # fmt: skip
    (root / "audio").mkdir()
    switch = Replay(root / "audio")
    switch.name = name
    switch.core = next(decode(f).core for f in frames(raw(f"{name}.esl.s2c.bin")) if "event" in f.kind)
    await switch.start()
    config = Config(port=switch.port, password="secret", directory=str(root / "audio"))
    host = CaptureHost("freeswitch", registry, None, lambda: None)
    task = asyncio.create_task(FreeSwitchAdapter(config).run(host))

    async def tick() -> None:
        while True:
            await asyncio.sleep(0.1)
            registry.tick(registry.clock.now())

    ticking = asyncio.create_task(tick())
    try:
        await until(lambda: switch.sessions, every=0.1)
        await asyncio.sleep(1)
        await switch.play()
        async with asyncio.timeout(30):
            call, journal = await done
        await journal.flush()
        audio = {track.index: read_track(journal, track) for track in call.state.tracks}
        return build(call.state, audio), audio
    finally:
        for one in (ticking, task):
            one.cancel()
        await asyncio.wait([ticking, task])
        await switch.stop()
        registry.interrupt_all("stop")
        await store.close()


def through_the_core(name: str) -> tuple[dict, dict[int, np.ndarray]]:
    root = Path(tempfile.mkdtemp(prefix="vcond-test-"))
    try:
        return run_virtual(recorded(name, root))
    finally:
        shutil.rmtree(root)


def test_a_hold_through_the_core():
    document, audio = through_the_core("record_perleg_hold_by_caller")
    assert [finding for finding in validate(document) if finding.level == "error"] == []
    only(audio[0], 16000, 880)  # B answers first
    only(audio[1], 16000, 440)
    recording = document["dialog"][0]
    assert recording["type"] == "recording"
    assert recording["body"]
    assert [moment["event"] for moment in recording["party_history"]] == [
        "join",
        "join",
        "hold",
        "unhold",
        "drop",
        "drop",
    ]
    assert [party.get("sip") for party in document["parties"]][:2] == ["1001@127.0.0.1", "1002@127.0.0.1"]


def test_a_blind_transfer_through_the_core():
    document, audio = through_the_core("record_perleg_blind_transfer_by_caller")
    assert [finding for finding in validate(document) if finding.level == "error"] == []
    for index, hertz in ((0, 880), (1, 440), (2, 1320)):
        only(audio[index], 16000, hertz)
    (transfer,) = [dialog for dialog in document["dialog"] if dialog["type"] == "transfer"]
    assert (transfer["transferor"], transfer["transferee"], transfer["transfer_target"]) == (0, 1, 2)
