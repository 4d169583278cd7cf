from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Self

import numpy as np
import pytest

from vcond.base.errors import ConfigError
from vcond.speech.engine import Hint
from vcond.speech.workers import messages
from vcond.speech.workers.ipc import gone
from vcond.speech.workers.process import Worker, WorkerLostError
from vcond.speech.workers.spawn import Workers

DEADLY = [(901, "crash"), (918, "crash"), (919, "crash"), (904, "protocol"), (902, "hang"), (920, "hang")]
"""Killed, segmentation fault, exit, rubbish, silence, endless loop."""


class House:
    """Workers of one engine, and what owns them."""

    def __init__(self, folder: Path, engine: str, **settings: object) -> None:
        self.folder = folder
        self.start = messages.Start(f"speech_engines:{engine}", str(folder), 1, 0, **settings)
        self.workers = Workers()
        self.made: list[Worker] = []
        self.wake = asyncio.Event()

    async def __aenter__(self) -> Self:
        self.tasks = await asyncio.TaskGroup().__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        for worker in self.made:
            await worker.close()
        await self.workers.close()
        await self.tasks.__aexit__(None, None, None)

    async def worker(self) -> Worker:
        worker, self.ready = await self.workers.start(self.start, seconds=60, tasks=self.tasks, wake=self.wake)
        self.made.append(worker)
        return worker

    async def without(self, worker: Worker) -> None:
        self.made.remove(worker)
        await worker.close()

    async def warmed(self) -> None:
        await self.until(lambda loader: loader.warm)

    async def until(self, so: Callable[[Worker], object]) -> None:
        """The cold ones' owners are woken when something happens to what they were forked from."""
        loader = self.workers._loader
        assert loader is not None
        while not so(loader):
            self.wake.clear()
            await self.wake.wait()

    def log(self, word: str) -> list[str]:
        lines = (self.folder / "log").read_text().splitlines()
        return [line.partition(" ")[2] for line in lines if line.partition(" ")[0] == word]


async def ask(worker: Worker, value: int, seconds: float = 60) -> str:
    pcm = np.full(800, value, np.int16).tobytes()
    answer = await worker.ask([messages.Open(1, Hint(8000)), messages.Feed(1, pcm), messages.Finish(1)], seconds)
    assert isinstance(answer, messages.Done)
    return answer.final.text


@pytest.fixture(autouse=True)
def engines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))


async def test_workers_are_forked_from_one_that_loaded_the_model_once(tmp_path: Path) -> None:
    async with House(tmp_path, "Forking") as house:
        workers = [await house.worker() for _ in range(3)]
        assert house.ready.engine == "scripted"
        assert [await ask(worker, number) for number, worker in enumerate(workers, 1)] == ["1", "2", "3"]
        assert len(house.log("load")) == 1
        assert len({worker.pid for worker in workers} | {int(house.log("load")[0])}) == 4


async def test_an_engine_that_cannot_be_forked_is_loaded_by_every_worker(tmp_path: Path) -> None:
    for engine in ("Scripted", "Threaded"):
        async with House(tmp_path, engine) as house:
            workers = [await house.worker() for _ in range(2)]
            assert [await ask(worker, 5) for worker in workers] == ["5", "5"]
    assert len(house.log("load")) == 2


@pytest.mark.parametrize(("order", "reason"), DEADLY)
async def test_a_worker_takes_nothing_else_along_and_is_forked_again(tmp_path: Path, order: int, reason: str) -> None:
    async with House(tmp_path, "Forking") as house:
        first, second = await house.worker(), await house.worker()
        with pytest.raises(WorkerLostError) as lost:
            await ask(first, order, seconds=0.3 if reason == "hang" else 60)
        assert lost.value.reason == reason
        await house.without(first)
        assert await ask(second, 7) == "7"
        assert await ask(await house.worker(), 8) == "8"
        assert len(house.log("load")) == 1


async def test_a_worker_that_takes_too_much_memory_fails_alone(tmp_path: Path) -> None:
    """One order takes 40 MB, which is as much as it may."""
    for engine in ("Scripted", "Forking"):
        async with House(tmp_path, engine, growth=64 << 20) as house:
            worker, other = await house.worker(), await house.worker()
            assert await ask(worker, 907) == "907"
            with pytest.raises(WorkerLostError):
                await ask(worker, 907)
            assert await ask(other, 7) == "7"


async def test_workers_outlive_what_they_were_forked_from(tmp_path: Path) -> None:
    async with House(tmp_path, "Forking") as house:
        worker = await house.worker()
        os.kill(int(house.log("load")[0]), signal.SIGKILL)
        await house.until(lambda loader: loader.lost)
        assert await ask(worker, 5) == "5"
        assert await ask(await house.worker(), 6) == "6"
        assert len(house.log("load")) == 2


async def test_all_of_them_end_with_the_process_that_wanted_them(tmp_path: Path) -> None:
    """Also the one that they are forked from, in the middle of native code that looks at no socket."""
    (tmp_path / "cold").touch()
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, str(tmp_path), stdout=asyncio.subprocess.PIPE,
        env={"PYTHONPATH": os.pathsep.join([*sys.path, str(Path(__file__).parent)])},
    )  # fmt: skip
    assert parent.stdout is not None
    pids = [int(pid) for pid in (await parent.stdout.readline()).split()]
    assert len(pids) == 2
    handles = [os.pidfd_open(pid) for pid in pids]
    parent.kill()
    await parent.communicate()
    for handle in handles:
        await gone(handle)
        os.close(handle)


PARENT = """
import asyncio, pathlib, sys
from test_speech_workers import House
async def main():
    house = House(pathlib.Path(sys.argv[1]), "StuckWhenWarmed")
    async with asyncio.TaskGroup() as house.tasks:
        worker = await house.worker()
        (house.folder / "cold").unlink()
        while not house.log("stuck"):
            await asyncio.sleep(0.01)
        print(worker.pid, house.log("load")[0], flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""


async def test_when_the_machine_has_no_process_left_it_is_a_worker_that_was_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with House(tmp_path, "Forking") as house:
        await house.worker()

        def none() -> None:
            raise OSError(24, "too many open files")

        with monkeypatch.context() as patch:
            patch.setattr("socket.socketpair", none)
            with pytest.raises(WorkerLostError) as lost:
                await house.worker()
        assert lost.value.reason == "spawn"
        assert await ask(await house.worker(), 6) == "6"


async def test_an_engine_that_cannot_be_loaded_says_so_every_time(tmp_path: Path) -> None:
    async with House(tmp_path, "Broken") as house:
        for _ in range(2):
            with pytest.raises(ConfigError, match="glue it"):
                await house.worker()


async def test_when_it_is_warm_the_cold_ones_go_one_after_another(tmp_path: Path) -> None:
    (tmp_path / "cold").touch()
    async with House(tmp_path, "Warming") as house:
        cold = [await house.worker() for _ in range(2)]
        assert [await ask(worker, 5) for worker in cold] == ["5", "5"]
        assert not any(map(house.workers.stale, cold))
        (tmp_path / "cold").unlink()
        await house.warmed()
        assert [house.workers.stale(worker) for worker in cold] == [True, False]
        await house.without(cold[0])
        house.wake.clear()
        warm = await house.worker()
        assert house.wake.is_set()
        assert [house.workers.stale(worker) for worker in (*cold, warm)] == [False, True, False]
        assert await ask(warm, 5) == "5"
        assert house.log("open") == ["0", "0", "3"]


async def test_what_dies_of_being_warmed_is_not_warmed_again(tmp_path: Path) -> None:
    (tmp_path / "cold").touch()
    async with House(tmp_path, "BurnsWhenWarmed") as house:
        worker = await house.worker()
        (tmp_path / "cold").unlink()
        await house.until(lambda loader: loader.lost)
        assert await ask(worker, 5) == "5"
        assert await ask(await house.worker(), 6) == "6"
        assert await ask(await house.worker(), 7) == "7"
        assert (len(house.log("load")), len(house.log("burn"))) == (2, 1)


async def test_the_service_replaces_its_cold_workers_and_loses_no_text(room, track, tmp_path: Path) -> None:
    (tmp_path / "cold").touch()
    held = room("Warming", workers=2)
    said, late = track(), track("late")
    async with held.running() as speech:
        speech.catch_up(said, said.say(*range(1, 9)))
        assert await speech.settled("", 60)
        before = set(speech.pids.values())
        started = held.calls(held.speech._pool, "_started")
        (tmp_path / "cold").unlink()
        while len(set(speech.pids.values()) - before) < 2:
            await started.get()
        speech.catch_up(late, late.say(*range(1, 9)))
        assert await speech.settled("", 60)
    assert set(held.log("open")) == {"0", "3"}
    assert len(held.log("load")) == 1
    assert speech.trouble == ""
