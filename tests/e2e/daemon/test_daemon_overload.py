"""More speech than the machine can transcribe, with real processes: audio whole, texts later, memory flat."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import os
import signal
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest
from daemon_kit import TOKEN, House, Running, fill
from websockets.asyncio.client import connect

from vcond.demo import child
from vcond.demo.call import RATE, Recording, demo_call
from vcond.demo.player import Sids, opening, steps
from vcond.media.codecs import Codec, decode
from vcond.testing.memory import resident

SPEED = 4
"""How much faster than people speak."""
CALLS = 4
COST = 0.19
"""Seconds of the one worker for a second of speech: 4 calls in which somebody always speaks, at this speed, need 3."""
START = RATE // 2
"""Samples at the beginning that are not compared: at this speed they are an eighth of a second."""
STALE = 2.0
"""Seconds by which words may be late that are shown."""
BEHIND = 10.0
"""Seconds by which this process may be late to read them, on a machine that has others to serve."""


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    engine = tmp_path / "engine"
    engine.mkdir()
    (engine / "cost").write_text(str(COST))
    speech = f'model = "{engine}"\nworkers = 1\nrestart_seconds = 0.1'
    command = (*child.COMMAND[:-1], "--clock-speed", str(SPEED), child.COMMAND[-1])
    return House(tmp_path, engine="busy_engine:Busy", speech=speech, command_line=command)


def faster(house: House) -> None:
    """The rush is over."""
    cost = house.root / "engine" / "cost"
    cost.with_suffix(".new").write_text(str(COST / 20))
    cost.with_suffix(".new").rename(cost)


def long_call(seconds: float, number: int) -> Recording:
    """The demo's call again and again, from another place for each call."""
    demo = demo_call()
    begin, length = number * 5 * RATE, round(seconds * RATE)
    first, second = ((track * (2 + round(seconds / demo.seconds)))[begin : begin + length] for track in demo.tracks)
    return Recording(demo.title, demo.parties, (first, second))


async def play(vcond: Running, recording: Recording, position: list[float] | None = None) -> None:
    """A call from its first frame to its hang-up."""
    sids = Sids()
    url = f"{vcond.base.replace('http', 'ws')}/twilio/stream/{TOKEN}"
    async with connect(url, compression=None, proxy=None) as socket:
        for message in opening(recording, sids):
            await socket.send(message)
        loop = asyncio.get_running_loop()
        begun = loop.time()
        for number, messages in enumerate(steps(recording, sids)):
            await asyncio.sleep(max(0.0, begun + number * 0.02 / SPEED - loop.time()))
            for message in messages:
                await socket.send(message)
            if position is not None:
                position[0] = number * 0.02
        await socket.wait_closed()


@dataclass
class Watch:
    """What the live stream said of how calls are transcribed, and how late words were."""

    states: dict[str, list[str]] = field(default_factory=dict)
    lags: list[float] = field(default_factory=list)

    async def look(self, vcond: Running, position: list[float]) -> None:
        async with vcond.admin.get("http://vcond/v1/live", timeout=aiohttp.ClientTimeout(total=None)) as live:
            async for row in live.content:
                line = json.loads(row)
                if line["kind"] == "partial":
                    self.lags.append((position[0] - line["stop"]) / SPEED)
                elif line["kind"] == "event" and line["text"].startswith("speech-"):
                    self.states.setdefault(line["call"], []).append(line["text"].removeprefix("speech-"))


@asynccontextmanager
async def beside(*jobs: Any) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(job) for job in jobs]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def family(vcond: Running) -> tuple[int, list[int]]:
    """The daemon's process id, and those of its workers: all that is in its process group."""
    daemon = vcond.process._process.pid
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                stat = (folder / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(stat[2]) == daemon and stat[0] != "Z":
                found.append(int(folder.name))
    return daemon, [pid for pid in found if pid != daemon]


def memory(pid: int) -> int:
    """Resident megabytes."""
    return resident(pid) >> 20


async def kill_workers(vcond: Running, every: float, killed: list[int]) -> None:
    while True:
        await asyncio.sleep(every)
        for pid in family(vcond)[1]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
            killed.append(pid)


def report(document: dict[str, Any]) -> dict[str, Any]:
    return next(a["body"] for a in document["attachments"] if a.get("purpose") == "vcond-capture-report")


def transcription(document: dict[str, Any]) -> dict[str, Any]:
    return next(one["body"] for one in document["analysis"] if one["type"] == "wtf_transcription")


def heard(document: dict[str, Any]) -> np.ndarray:
    """The recording, shape (samples, 2), as linear samples."""
    (dialog,) = [dialog for dialog in document["dialog"] if dialog.get("body")]
    raw = base64.urlsafe_b64decode(dialog["body"] + "===")
    if raw[20:22] == b"\x07\x00":  # mu-law, which the wave module does not read
        at = raw.index(b"data") + 8
        size = int.from_bytes(raw[at - 4 : at], "little")
        parts = [decode(Codec.PCMU, raw[i : min(i + 1_000_000, at + size)]) for i in range(at, at + size, 1_000_000)]
        return np.concatenate(parts).reshape(-1, 2)
    with wave.open(io.BytesIO(raw)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)


def whole(document: dict[str, Any]) -> None:
    """Every utterance has its text, made of all of its samples."""
    counted = report(document)["utterances"]
    assert counted["failed"] == counted["waiting"] == 0
    segments, end = transcription(document)["segments"], transcription(document)["transcript"]["duration"]
    assert counted["transcribed"] == len(segments) > 0
    for segment in segments:
        length = round((segment["end"] - segment["start"]) * RATE)
        count = int(segment["text"].removeprefix("heard "))
        assert abs(count - length) <= 16 or (count > length and end - segment["end"] < 0.002), segment


async def settled(vcond: Running, count: int) -> list[dict[str, Any]]:
    documents = await vcond.delivered(count)
    assert len(documents) == count
    return documents


async def test_two_minutes_of_three_times_too_much(house: House) -> None:
    """In the second minute the worker is killed every 5 seconds as well."""
    recordings = [long_call(120, number) for number in range(CALLS)]
    position, watch, killed, sizes = [0.0], Watch(), [], []
    async with house.running() as vcond:
        async with beside(watch.look(vcond, position)), asyncio.TaskGroup() as calls:
            for number, recording in enumerate(recordings):
                calls.create_task(play(vcond, recording, position if number == 0 else None))
                await asyncio.sleep(0.1)
            for _ in range(3):
                await asyncio.sleep(5)
                daemon, workers = family(vcond)
                sizes.append((memory(daemon), sum(map(memory, workers))))
            status = await vcond.ask("status")
            rows = await vcond.ask("calls")
            async with beside(kill_workers(vcond, 5, killed)):
                await asyncio.sleep(14)
            sizes.append((memory(daemon), 0))
        faster(house)
        documents = await settled(vcond, CALLS)
        quiet = await vcond.ask("status")
    print("MB of daemon and workers:", sizes, "latest words:", sorted(watch.lags)[-3:], status["speech"], watch.states)
    assert status["speech"]["load"] > 1.5
    assert status["speech"]["calls"]["deferred"] >= 1
    assert status["speech"]["calls"]["live"] == 0
    assert {row["transcription"] for row in rows} <= {"finals", "deferred"}
    assert len(killed) >= 2
    assert quiet["speech"]["deferred"] == quiet["speech"]["waiting"] == 0
    assert all("deferred" in watch.states[row["call"]] for row in rows[-2:]), watch.states
    assert all(lag < STALE + BEHIND for lag in watch.lags), "words are shown in time, or not at all"
    assert sizes[-1][0] - sizes[0][0] < 60, sizes
    assert sizes[2][1] - sizes[0][1] < 60, sizes
    assert sum(report(document).get("deferred", {}).get("utterances", 0) for document in documents) > 10
    for document in documents:
        whole(document)
        assert report(document)["complete"]
        assert [party["seconds"]["lost"] for party in report(document)["parties"]] == [0.0] * 2
        recorded = heard(document)
        for party, track in enumerate(like(recorded, recordings).tracks):
            exact(recorded[:, party], decode(Codec.PCMU, track))


def exact(recorded: np.ndarray, sent: np.ndarray) -> None:
    """Every sample that was sent, one after the other; but for the first half second, when a call finds its zero."""
    loud = int(np.flatnonzero(np.abs(sent[START * 3 :].astype(int)) > 5_000)[0]) + START * 3
    part = sent[loud - 400 : loud + 400]
    fits = [by for by in range(-START, START) if np.array_equal(recorded[loud - 400 - by : loud + 400 - by], part)]
    assert len(fits) == 1
    there = recorded[START - fits[0] :]
    assert len(there) >= len(sent) - START
    assert (there[: len(sent) - START] == sent[START:]).all()


def like(recorded: np.ndarray, recordings: list[Recording]) -> Recording:
    """Which of the calls this is."""

    def distance(recording: Recording) -> float:
        sent = decode(Codec.PCMU, recording.tracks[0])[: len(recorded)]
        return float(np.abs(recorded[: len(sent), 0].astype(float) - sent).mean())

    return min(recordings, key=distance)


async def test_a_restart_in_the_middle_of_it(house: House) -> None:
    async with house.running() as vcond:
        tasks = [asyncio.create_task(play(vcond, long_call(60, number))) for number in range(CALLS)]
        await vcond.until("status", lambda status: status["speech"]["deferred"] >= 3)
        async with beside(*[asyncio.wait({task}) for task in tasks]):
            for task in tasks:
                task.cancel()
        await vcond.kill()
    faster(house)
    async with house.running() as vcond:
        for document in await settled(vcond, CALLS):
            whole(document)


async def test_what_leaves_without_its_texts_is_followed_by_an_amended_vcon_also_after_a_crash(house: House) -> None:
    house.record = "transcript_deadline = 1"
    (house.root / "engine" / "cost").write_text("3")
    async with house.running() as vcond:
        await play(vcond, long_call(20, 0))
        (first,) = await settled(vcond, 1)
        await vcond.until("status", lambda status: status["amending"] == 1)
        await vcond.kill()
    assert report(first)["utterances"]["failed"] > 0
    assert list((house.state / "journal").glob("*-*")), "the journal waits for the amended vCon"
    faster(house)
    async with house.running() as vcond:
        both = await settled(vcond, 2)
        await vcond.until("status", lambda status: status["amending"] == 0)
        await vcond.until("outbox", lambda rows: not rows)
    (second,) = [document for document in both if document["uuid"] != first["uuid"]]
    assert second["amended"] == {"uuid": first["uuid"]}
    assert second["uuid"] in json.dumps(first)
    whole(second)
    assert (heard(second) == heard(first)).all()
    async with house.running() as vcond:
        assert len(house.documents()) == 2
        assert not list((house.state / "journal").glob("*-*"))
        assert (await vcond.ask("status"))["amending"] == 0


async def test_the_disk_is_full_in_the_middle_of_it(house: House, small_disk: Path) -> None:
    """What the disk did not take is lost and said so; all that it took is transcribed, late as it may be."""
    (house.root / "state").symlink_to(small_disk)
    async with house.running() as vcond:
        async with asyncio.TaskGroup() as calls:
            for number in range(CALLS):
                calls.create_task(play(vcond, long_call(40, number)))
            await vcond.until("status", lambda status: status["speech"]["deferred"] >= 3)
            filler = fill(small_disk)
            await vcond.until("status", lambda status: "journal" in status["ready"])
            await asyncio.sleep(1)
            filler.unlink()
            await vcond.until("status", lambda status: "journal" not in status["ready"])
        faster(house)
        documents = await settled(vcond, CALLS)
    for document in documents:
        whole(document)
    lost = [party["seconds"]["lost"] for document in documents for party in report(document)["parties"]]
    assert all(seconds < 30 for seconds in lost)
    assert sum(report(document).get("deferred", {}).get("utterances", 0) for document in documents) >= 3
