"""A disk that fails, or kill -9, at every step of what has something go: what was to go is gone after the next start, what was to stay is there."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any

from records_kill_child import BEGAN, LATER, STEPS, clock, made
from records_kit import TEL, Edge, config, edge

from vcond.base.errors import StorageError
from vcond.records import chain
from vcond.redaction.redact import own_uuid
from vcond.storage.files import Files

KILLS = int(os.environ.get("VCOND_KILLS", "3"))
"""Of each deed, beside its first step and its last; by hand two hundred: where a deed has fewer steps, each of them."""
SEEDS = max(24, KILLS)
OTHERS = 4
"""Steps of what goes on beside a deed, which are in one run and not in another: the last kills may come too late."""
CHILD = Path(__file__).parent / "records_kill_child.py"
BASIS = {"lawful_basis": "consent", "expiration": "2026-12-24T00:00:00Z", "proof_mechanisms": [],
         "purpose_grants": [{"purpose": "recording", "granted": True, "granted_at": "2026-11-20T00:00:00Z"}]}  # fmt: skip


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


@contextmanager
def killer() -> Iterator[Callable[..., int]]:
    """Does a deed and kills it before a step; how many there were."""
    with subprocess.Popen(
        [sys.executable, str(CHILD)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None

        def kill(deed: str, root: Path, call: str, most: int = -1) -> int:
            child.stdin.write(json.dumps({"deed": deed, "root": str(root), "call": call, "most": most}) + "\n")
            child.stdin.flush()
            return int(child.stdout.readline())

        try:
            yield kill
        finally:
            child.stdin.close()


Check = Callable[[Edge, Path, dict[str, str]], Awaitable[None]]


async def three_calls(root: Path) -> dict[str, str]:
    """One whose basis ends, one on hold, and one that is neither, all of which every sink has."""
    calls = {}
    async with edge(made(root, record={"lawful_basis": BASIS}), clock(BEGAN)) as it:
        calls["ends"] = await it.ended("ends")
    async with edge(made(root), clock(BEGAN)) as it:
        calls |= {name: await it.ended(name) for name in ("plain", "held")}
        await it.write("hold", call=calls["held"], reason="case 7")
    return calls


def killed_at_every_step(tmp_path: Path, deed: str, check: Check, now: int) -> None:
    first = tmp_path / "first"
    first.mkdir()
    calls = asyncio.run(three_calls(first))
    with killer() as kill:
        many = kill(deed, copied(first, tmp_path / "whole"), calls["plain"])
        assert many > 10
        for most in sorted({0, many - 1, *Random(deed).sample(range(many), min(many, KILLS))}):
            root = copied(first, tmp_path / f"at-{most}")
            assert kill(deed, root, calls["plain"], most) == most or most >= many - OTHERS
            asyncio.run(started_again(root, calls, check, now))
            shutil.rmtree(root)


async def started_again(root: Path, calls: dict[str, str], check: Check, now: int) -> None:
    async with edge(made(root), clock(now)) as it:
        it.parts.retention._doubted = lambda: False
        for one in it.parts.forgetter.all():
            await it.parts.forgetter.again(one)
        await check(it, root, calls)
        assert await it.read("forgetting") == []
        assert await it.stage(calls["held"], "kept")
        for sink in ("archive", "other"):
            assert (root / sink / f"{calls['held']}.vcon.json").exists()
        await it.parts.records.follow(it.parts.outbox)
        _, faults = await it.parts.records.ask(lambda ledger, _: chain.verify(chain.stored(ledger._db), {}))
        assert faults == []


def there(root: Path, sink: str) -> dict[str, dict[str, Any]]:
    return {path.name[:36]: json.loads(path.read_bytes()) for path in (root / sink).glob("0*.vcon.json")}


async def without_the_party(it: Edge, root: Path, calls: dict[str, str]) -> None:
    """All of it is done, or nothing has gone and it can be asked again; of the party nothing is left then."""
    call, stays = calls["plain"], own_uuid(calls["plain"], "without [0]")
    if not it.parts.gone(call):
        assert await it.stage(call, "kept")
        assert {call} <= set(there(root, "archive"))
        await it.write("forget-party", call=call, party="0")
    await it.until(lambda: it.stage(stays, "kept"))
    for sink in ("archive", "other"):
        got = there(root, sink)
        assert set(got) == {calls["ends"], calls["held"], stays}
        assert [one.get("name") for one in got[stays]["parties"]][:2] == [None, "Agent"]
        assert any(one.get("body") for one in got[stays]["dialog"]), "who stays is heard"
        assert not [one for one in (TEL, "2125550143", "Caller", call) if one in json.dumps(got[stays])]
    assert named(root, call) == []
    assert await it.entry(call) is None
    known = await it.parts.records.ask(lambda _, index: {one.vcon for one in index.find(TEL)})
    assert known == {calls["ends"], calls["held"]}


async def all_of_it(it: Edge, root: Path, calls: dict[str, str]) -> None:
    call = calls["plain"]
    if not it.parts.gone(call):
        assert await it.stage(call, "kept")
        assert len(named(root, call)) == 3
        await it.write("forget", call=call)
    assert named(root, call) == []
    assert await it.entry(call) is None
    for sink in ("archive", "other"):
        assert set(there(root, sink)) == {calls["ends"], calls["held"]}


async def what_is_due(it: Edge, root: Path, calls: dict[str, str]) -> None:
    """By the sweep after it, and by no other."""
    await it.parts.retention.sweep()
    assert named(root, calls["ends"]) == []
    assert await it.entry(calls["ends"]) is None
    assert await it.stage(calls["plain"], "gone")
    assert set(there(root, "archive")) == {calls["held"]}
    assert set(there(root, "other")) == {calls["held"], calls["plain"]}
    assert [one for one in await it.read("retention") if not one["held"]] == []


def test_killed_at_any_step_of_forgetting_one_party_it_is_gone_in_the_end_and_the_others_stay(tmp_path: Path):
    killed_at_every_step(tmp_path, "forget-party", without_the_party, BEGAN)


def test_killed_at_any_step_of_forgetting_a_call_it_is_gone_in_the_end_and_no_other(tmp_path: Path):
    killed_at_every_step(tmp_path, "forget", all_of_it, BEGAN)


def test_killed_at_any_step_of_a_sweep_what_is_due_goes_and_what_is_held_stays(tmp_path: Path):
    killed_at_every_step(tmp_path, "sweep", what_is_due, LATER)
