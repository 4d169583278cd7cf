"""A power cut or kill -9 at every step of forgetting: what was to go is gone after the next start, what was to stay is there."""

from __future__ import annotations

import asyncio
import os
import shutil
from contextlib import suppress
from pathlib import Path
from random import Random

from records_kit import config, edge

from vcond.base.errors import StorageError
from vcond.storage.files import Files

STEPS = ("open", "pwrite", "rename", "delete_one", "sync", "sync_folder", "make_folder")
SEEDS = 24


class Axe:
    """Lets so many steps through; from then on nothing reaches the disk."""

    def __init__(self, monkeypatch, root: Path) -> None:
        self.left, self.count, self.armed, self.root = -1, 0, False, str(root)
        for name in STEPS:
            monkeypatch.setattr(Files, name, self._of(name, getattr(Files, name)))
        for name in ("unlink", "rmdir"):
            monkeypatch.setattr(os, name, self._of(name, getattr(os, name)))

    def _of(self, name: str, real):
        def step(*given, **more):
            if self.armed:
                if name == "open" and not more.get("create"):
                    return real(*given, **more)
                self.count += 1
                if 0 <= self.left < self.count:
                    raise OSError(5, "Input/output error")
            return real(*given, **more)

        return step


async def prepared(root: Path) -> tuple[str, str]:
    """A call to forget, and one to keep."""
    async with edge(config(root)) as it:
        return await it.ended("gone"), await it.ended("kept")


async def steps(root: Path, axe: Axe, gone: str, most: int) -> int:
    """Forget while only so many steps get through, then leave; how many there were."""
    axe.left, axe.count = most, 0
    many = 0
    with suppress(StorageError):  # nothing more reaches the disk, until all has ended
        async with edge(config(root)) as it:
            axe.armed = True
            with suppress(Exception):  # whatever it says when its disk is gone, the next start counts
                await it.write("forget", call=gone)
            many = axe.count
    axe.armed, axe.left = False, -1
    return many


def test_every_step_of_forgetting_can_be_its_last(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("vcond.records.forgetting.ANSWER", 5.0)
    first = tmp_path / "first"
    first.mkdir()
    gone, kept = asyncio.run(prepared(first))
    axe = Axe(monkeypatch, tmp_path)
    whole = copied(first, tmp_path / "whole")
    many = asyncio.run(steps(whole, axe, gone, -1))
    assert many > 10
    rng = Random(7)
    chosen = sorted({0, 1, 2, many - 1, *rng.sample(range(many), min(many, SEEDS))})
    for most in chosen:
        root = copied(first, tmp_path / f"at-{most}")
        asyncio.run(steps(root, axe, gone, most))
        asyncio.run(holds_true(root, gone, kept, most))
        shutil.rmtree(root)


def copied(first: Path, to: Path) -> Path:
    """As it is, with another root: paths in rows are of the sinks only."""
    shutil.copytree(first, to)
    return to


def named(root: Path, uuid: str) -> list[Path]:
    return [path for path in root.rglob("*") if uuid in path.name and "records" not in path.parts]


async def holds_true(root: Path, gone: str, kept: str, most: int) -> None:
    """After the next start: all of it is forgotten or nothing is; the others are as they were."""
    async with edge(config(root)) as it:
        asked = bool(await it.read("forgetting")) or len(it.parts.tombstones) > 0
        task = asyncio.create_task(it.parts.forgetter.run())

        async def over() -> bool:
            return await it.read("forgetting") == []

        for one in it.parts.forgetter.all():
            await it.parts.forgetter.again(one)
        await it.until(over)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        there = named(root, gone)
        if asked:
            assert there == [], most
            assert await it.entry(gone) is None, most
        else:
            assert len(there) >= 2, most
            assert await it.stage(gone, "kept"), most
        assert await it.stage(kept, "kept"), most
        assert (root / "folder" / f"{kept}.vcon.json").exists()
        assert (root / "state/outbox/kept" / f"{kept}.vcon.json").exists()
