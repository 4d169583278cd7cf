"""A ledger that cannot be written or is damaged: vCons wait or go on, and whoever looks is told."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from records_kit import TEL, config, edge

from vcond.records.database import open_records
from vcond.sdk.contract import Cause


async def waits(it, root: Path) -> str:
    """A call that ended and has no vCon, as the ledger cannot be written; its uuid."""
    call = it.call()
    call.end(at=it.parts.clock.now(), cause=Cause(q850=16))

    async def is_told() -> bool:
        return "ledger" in it.parts.status.ready()

    await it.until(is_told)
    assert "ledger: " in it.parts.status.line()
    assert (await it.read("status"))["ready"]["ledger"]
    assert await it.entry(call.uuid) is None
    assert (root / "state/journal" / call.uuid / "events.log").exists()
    return str(call.uuid)


def versioned(path: Path, version: int) -> None:
    db = sqlite3.connect(path)
    db.execute("UPDATE records_schema SET version = ?", (version,))
    db.commit()
    db.close()


@pytest.mark.parametrize("kind", ["newer", "folder"])
async def test_a_ledger_that_cannot_be_opened_has_vcons_wait_in_their_journals_and_is_told(tmp_path: Path, kind: str):
    made = config(tmp_path)
    path = tmp_path / "state/records.db"
    async with edge(made) as it:
        await it.parts.records.follow(it.parts.outbox)
    if kind == "newer":
        versioned(path, 99)
    else:
        for each in path.parent.glob("records.db*"):
            each.unlink()
        path.mkdir()
    async with edge(made) as it:
        uuid = await waits(it, tmp_path)
    if kind == "newer":
        versioned(path, 1)
    else:
        path.rmdir()
    async with edge(made) as it:
        await it.until(lambda: it.stage(uuid, "kept"))

        async def is_well() -> bool:
            return "ledger" not in it.parts.status.ready()

        await it.until(is_well)


async def test_damage_that_shows_late_has_the_ledger_set_aside_and_vcons_go_on(tmp_path: Path, capsys):
    made, path = config(tmp_path), tmp_path / "state/records.db"
    async with edge(made) as it:
        before = await it.ended("a")
        await it.parts.records.follow(it.parts.outbox)
    db = open_records(path)
    pages = [db.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (name,)).fetchone()[0]
             for name in ("subjects", "mentions", "conversations")]  # fmt: skip
    size = db.execute("PRAGMA page_size").fetchone()[0]
    db.close()
    with path.open("r+b") as file:
        for page in pages:
            file.seek((page - 1) * size)
            file.write(b"\xff" * 100)
    async with edge(made) as it:
        call = it.call("b")
        call.end(at=it.parts.clock.now(), cause=Cause(q850=16))
        await it.until(lambda: it.stage(call.uuid, "kept"))
        (broken,) = path.parent.glob("records.db.broken-*")
        assert "the ledger's database is damaged; it was moved aside" in capsys.readouterr().out
        broken.write_bytes(broken.read_bytes() + bytes.fromhex(before.replace("-", "")))
        row = await it.write("forget", call=before)
        (place,) = [one for one in row["places"] if one["place"] == "index"]
        assert (place["state"], place["reason"].split(" tells")[0]) == ("refused", broken.name)
        broken.unlink()
        assert (await it.write("forget", call=before))["state"] == "complete"
        assert [one.vcon for one in await it.parts.records.ask(lambda _l, index: index.find(TEL))] == [call.uuid]
