"""Texts from other machines while everything between dies: a real daemon with live calls, nats-server, two ``vcond speech serve``.

Small by itself; at full size (calls, seconds of each, seed) by hand:
``VCOND_QUEUE_CALLS=20 VCOND_QUEUE_SECONDS=120 VCOND_QUEUE_SEED=7 pytest -s --timeout=0 tests/e2e/daemon/test_daemon_speech_queue.py``.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import time
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest
from daemon_kit import House, Running
from storm_calls import Caller, Edge
from test_daemon_overload import beside, heard, long_call, report, transcription, whole

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))

from speech_servers import House as Servers

CALLS = int(os.environ.get("VCOND_QUEUE_CALLS", "4"))
SECONDS = float(os.environ.get("VCOND_QUEUE_SECONDS", "20"))
SEED = int(os.environ.get("VCOND_QUEUE_SEED", "0")) or time.time_ns() % 1_000_000
EVERY = min(20.0, SECONDS / 4)
"""Seconds between two kills of a speech server."""
COST = 0.04
"""Seconds that a server's worker waits for a second of speech: for 20 calls two servers are half busy."""
AWAY = 2.0
"""Seconds for which NATS is down."""
UNWRITTEN = 1.0
"""Seconds of a stream that the daemon may not have written when it is killed, on a machine that has others to serve."""

FOLLOWED = 0.1
"""Seconds of a call that may be cut out where the offset of a stream follows its source: callers here are late on a busy machine."""


class Lags:
    """When which text came, seen from outside."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def look(self, vcond: Running, zero: float) -> None:
        """``zero``: when the calls began, by the loop's clock; they did within a second."""
        async with vcond.admin.get("http://vcond/v1/live", timeout=aiohttp.ClientTimeout(total=None)) as live:
            async for row in live.content:
                line = json.loads(row)
                if line["kind"] == "final":
                    self.seconds.append(asyncio.get_running_loop().time() - zero - line["stop"])

    def __str__(self) -> str:
        half, most, nearly, longest = np.percentile(self.seconds, [50, 95, 99, 100])
        return f"{len(self.seconds)} texts: half {half:.2f} s, 95 % {most:.2f}, 99 % {nearly:.2f}, all {longest:.2f}"


async def kill_servers(servers: Servers, chance: random.Random, killed: list[str]) -> None:
    """One of the two every so often; it is started again at once."""
    while True:
        await asyncio.sleep(EVERY)
        machine = chance.choice(sorted(servers.servers))
        await servers.kill(machine)
        killed.append(machine)
        await servers.serve(machine)


async def kill_nats(servers: Servers, after: float) -> None:
    await asyncio.sleep(after)
    await servers.nats.kill()
    await asyncio.sleep(AWAY)
    await servers.nats.start()


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """``[speech]`` of a server: it says back how much it heard."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    (tmp_path / "engine").mkdir()
    (tmp_path / "engine" / "cost").write_text(str(COST))
    return f'engine = "busy_engine:Busy"\nmodel = "{tmp_path / "engine"}"\nworkers = 1\nnice = 0'


async def test_live_calls_lose_no_audio_and_no_text_while_servers_nats_and_the_edge_are_killed(
    tmp_path: Path, engine: str
) -> None:
    chance, lags, killed, edge = random.Random(SEED), Lags(), [], Edge()
    print(f"seed {SEED}, {CALLS} calls of {SECONDS:g} s")
    callers = [Caller(f"+1212555{number:04}", long_call(SECONDS, number)) for number in range(CALLS)]
    nats_at, edge_at = SECONDS * chance.uniform(0.2, 0.3), SECONDS * chance.uniform(0.4, 0.5)
    async with Servers(tmp_path, engine).running(2) as servers:
        house = House(tmp_path / "edge", grace=60, speech=f'where = "queue"\n{servers.queue("edge-1")}')
        house.root.mkdir()
        loop = asyncio.get_running_loop()
        zero = loop.time()
        speaking = [asyncio.create_task(caller.speak(edge)) for caller in callers]
        async with beside(kill_servers(servers, chance, killed)):
            async with house.running() as vcond, beside(kill_nats(servers, nats_at)):
                zero = loop.time()
                edge.base = vcond.base
                edge.up.set()
                async with beside(lags.look(vcond, zero)):
                    await asyncio.sleep(edge_at)
                    edge.up.clear()
                await vcond.kill()
            async with house.running() as vcond, beside(lags.look(vcond, zero)):
                edge.base = vcond.base
                edge.up.set()
                await asyncio.gather(*speaking)
                documents = await vcond.delivered(CALLS)
                await vcond.until("outbox", lambda rows: not rows)
                status = await vcond.ask("status")
    assert len(documents) == CALLS
    texts = sum(len(transcription(document)["segments"]) for document in documents)
    print(
        f"{len(killed)} kills of a server, NATS killed at {nats_at:.0f} s, the edge at {edge_at:.0f} s; {texts} texts in vCons"
    )
    print(f"lag of {lags}")
    for document in documents:
        told_once(document)
    lost = [of(document, callers).lost(heard(document)) for document in documents]
    cut, elsewhere = [seconds for ends, _ in lost for seconds in ends], max(seconds for _, seconds in lost)
    assert len(cut) == CALLS, "every call went on over the death of the edge"
    print(
        f"of a call's audio: {max(cut):.2f} s were not written at the edge's death at most, {elsewhere:.3f} s elsewhere"
    )
    assert killed
    assert max(cut) < UNWRITTEN
    assert elsewhere < FOLLOWED
    assert status["speech"]["waiting"] == 0


def of(document: dict[str, Any], callers: list[Caller]) -> Caller:
    """Whose call a vCon is."""
    (caller,) = [one for one in callers if one.tel == document["parties"][0]["tel"]]
    return caller


def told_once(document: dict[str, Any]) -> None:
    """Every text is there once, in order, made of all samples of its utterance, by another machine."""
    whole(document)
    assert [window["reason"] for window in report(document)["interruptions"]] == ["crash"]
    told = transcription(document)
    starts = [(segment["start"], segment["end"]) for segment in told["segments"]]
    assert starts == sorted(set(starts))
    assert all(name.partition("@")[2] in {"gpu-0", "gpu-1"} for name in told["metadata"]["options"]["engines"])
