from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Self

import numpy as np
import pytest

from vcond.base.errors import ConfigError, MissingExtraError
from vcond.speech.engine import Hint
from vcond.speech.workers import messages
from vcond.speech.workers.process import EngineFailedError, Worker, WorkerLostError


class Held:
    """A started worker and what owns it."""

    def __init__(self, folder: Path, engine: str = "Scripted", seconds: float = 60) -> None:
        self.start = messages.Start(f"speech_engines:{engine}" if ":" not in engine else engine, str(folder), 1, 0)
        self.seconds = seconds
        self.wake = asyncio.Event()

    async def __aenter__(self) -> Self:
        self.tasks = asyncio.TaskGroup()
        await self.tasks.__aenter__()
        try:
            self.worker, self.ready = await Worker.start(
                self.start, seconds=self.seconds, tasks=self.tasks, wake=self.wake
            )
        except BaseException:
            await self.tasks.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.worker.close()
        await self.tasks.__aexit__(None, None, None)

    def step(self, value: int, *, job: int = 1, size: int = 800) -> list[messages.Request]:
        data = np.full(size, value, np.int16).tobytes()
        feeds = [messages.Feed(job, data[at : at + messages.PIECE]) for at in range(0, len(data), messages.PIECE)]
        return [messages.Open(job, Hint(8000)), *feeds, messages.Finish(job)]


@pytest.fixture(autouse=True)
def engines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))


async def test_no_core_file_has_what_a_worker_hears(tmp_path: Path) -> None:
    async with Held(tmp_path, "Dumpable") as held:
        await held.worker.ask(held.step(5), 60)
    assert "core 0 (0, 0)" in (tmp_path / "log").read_text().splitlines()


async def test_a_step_has_its_answer(tmp_path: Path) -> None:
    async with Held(tmp_path) as held:
        assert (held.ready.engine, held.ready.streaming) == ("scripted", False)
        answer = await held.worker.ask(held.step(5), 60)
        assert isinstance(answer, messages.Done)
        assert answer.final.text == "5"
        assert answer.memory >= held.ready.memory > 1 << 20
        assert held.worker.memory == answer.memory - held.ready.memory
    assert held.worker.lost == "closed"


async def test_a_minute_at_48_khz_goes_through(tmp_path: Path) -> None:
    async with Held(tmp_path) as held:
        answer = await held.worker.ask(held.step(5, size=60 * 48_000), 60)
        assert isinstance(answer, messages.Done)
        assert answer.final.words[0].stop == 60 * 6.0


@pytest.mark.parametrize(("order", "reason"), [(901, "crash"), (904, "protocol"), (905, "protocol")])
async def test_a_worker_that_dies_or_makes_no_sense_is_lost(tmp_path: Path, order: int, reason: str) -> None:
    async with Held(tmp_path) as held:
        with pytest.raises(WorkerLostError) as lost:
            await held.worker.ask(held.step(order), 60)
        assert lost.value.reason == held.worker.lost == reason
        assert held.wake.is_set()
        with pytest.raises(WorkerLostError):
            await held.worker.ask(held.step(5), 60)


async def test_a_worker_that_is_silent_is_killed(tmp_path: Path) -> None:
    async with Held(tmp_path) as held:
        with pytest.raises(WorkerLostError) as lost:
            await held.worker.ask(held.step(902), 0.2)
        assert lost.value.reason == "hang"


async def test_a_worker_that_does_not_read_is_killed_too(tmp_path: Path) -> None:
    async with Held(tmp_path) as held:
        os.kill(held.worker.pid, signal.SIGSTOP)
        with pytest.raises(WorkerLostError) as lost:
            await held.worker.ask(held.step(5, size=4 << 20), 0.2)
        assert lost.value.reason == "hang"


async def test_a_worker_that_dies_while_nobody_asks_is_noticed(tmp_path: Path) -> None:
    async with Held(tmp_path) as held:
        os.kill(held.worker.pid, signal.SIGKILL)
        await held.wake.wait()
        assert held.worker.lost == "crash"


async def test_an_exception_of_the_engine_is_no_death(tmp_path: Path) -> None:
    async with Held(tmp_path) as held:
        with pytest.raises(EngineFailedError, match=r"^engine raised RuntimeError$"):
            await held.worker.ask(held.step(903), 60)
        assert isinstance(await held.worker.ask(held.step(5, job=2), 60), messages.Done)


async def test_a_stopped_worker_is_killed_when_it_is_closed(tmp_path: Path) -> None:
    async with Held(tmp_path) as held:
        os.kill(held.worker.pid, signal.SIGSTOP)
    with pytest.raises(ProcessLookupError):
        os.kill(held.worker.pid, 0)


@pytest.mark.parametrize(
    ("engine", "error", "text"),
    [
        ("Broken", ConfigError, "glue it"),
        ("Nobody", ConfigError, "no attribute"),
        ("no_such_package_anywhere:X", MissingExtraError, "pip install no_such_package_anywhere"),
        ("speech_engines:CRASH", ConfigError, "raised TypeError"),
        ("nobody", ConfigError, "no engine"),
    ],
)
async def test_why_it_cannot_start_reaches_the_operator(tmp_path: Path, engine: str, error: type, text: str) -> None:
    held = Held(tmp_path, engine)
    if engine == "nobody":
        held.start = messages.Start("nobody", "", 1, 0)
    with pytest.raises(error, match=text):
        async with held:
            pass


async def test_a_worker_that_dies_at_its_start_is_lost(tmp_path: Path) -> None:
    with pytest.raises(WorkerLostError):
        async with Held(tmp_path, "DiesAtStart"):
            pass


async def test_a_start_has_its_limit(tmp_path: Path) -> None:
    with pytest.raises(WorkerLostError) as lost:
        async with Held(tmp_path, seconds=0.0):
            pass
    assert lost.value.reason == "hang"


@pytest.mark.parametrize("where", ["socket.socketpair", "asyncio.create_subprocess_exec"])
async def test_a_machine_without_room_for_a_process_is_a_worker_lost(tmp_path: Path, monkeypatch, where: str) -> None:
    def full(*_: object, **__: object) -> None:
        raise BlockingIOError("no more processes")

    monkeypatch.setattr(where, full)
    with pytest.raises(WorkerLostError) as lost:
        async with Held(tmp_path):
            pass
    assert lost.value.reason == "spawn"


async def test_the_kernel_takes_a_worker_before_it_takes_capture(tmp_path: Path) -> None:
    async with Held(tmp_path) as held:
        score = await asyncio.to_thread(Path(f"/proc/{held.worker.pid}/oom_score_adj").read_text)
        cores = await asyncio.to_thread(Path(f"/proc/{held.worker.pid}/limits").read_text)
    assert int(score) >= 500
    assert next(line.split()[4:6] for line in cores.splitlines() if line.startswith("Max core")) == ["0", "0"]


async def test_secrets_of_the_environment_stay_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VCOND_SINK_TOKEN", "secret")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    async with Held(tmp_path) as held:
        environment = await asyncio.to_thread(Path(f"/proc/{held.worker.pid}/environ").read_bytes)
        arguments = await asyncio.to_thread(Path(f"/proc/{held.worker.pid}/cmdline").read_bytes)
    assert b"secret" not in environment
    assert str(tmp_path).encode() not in arguments
    assert b"HF_HUB_OFFLINE=1" in environment


async def test_a_close_that_is_cancelled_leaves_nothing_open(tmp_path: Path) -> None:
    async with asyncio.TaskGroup() as tasks:
        start = messages.Start("speech_engines:Scripted", str(tmp_path), 1, 0)
        worker, _ = await Worker.start(start, seconds=60, tasks=tasks, wake=asyncio.Event())
        os.kill(worker.pid, signal.SIGSTOP)  # it does not notice that its socket is closed
        closing = asyncio.create_task(worker.close())
        await asyncio.sleep(0)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        ends = worker._ours
        assert all(end.transport.is_closing() for end in (ends.writer, ends._output_writer))
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(worker._handle)
        assert worker._process is not None
        await worker._process.wait()
