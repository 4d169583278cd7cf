"""Forgetting that meets something else: a hold that comes meanwhile, somebody else who asks, a disk that is full or not there."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from records_kit import config, edge

from vcond.app import forgetting
from vcond.records.forgetting import HELD
from vcond.records.ledger import Made
from vcond.sdk.contract import Cause


def states(row) -> dict[str, str]:
    return {one["place"]: one["state"] for one in row["places"]}


def reasons(row) -> dict[str, str]:
    return {one["place"]: one["reason"] for one in row["places"]}


def there(root: Path, uuid: str) -> list[Path]:
    return [path for path in root.rglob(f"*{uuid}*") if "records" not in str(path.relative_to(root))]


async def test_a_hold_that_comes_while_a_call_is_forgotten_keeps_what_is_left_also_after_a_restart(
    tmp_path: Path, monkeypatch
):
    made = config(tmp_path, delivery={"keep_days": 30})
    async with edge(made) as it:
        building, ended = asyncio.Event(), it.parts.finisher.making

        async def over(uuid: str) -> None:
            await building.wait()

        monkeypatch.setattr(ended, "over", over)
        uuid = await it.ended()
        asked = asyncio.ensure_future(it.write("forget", call=uuid))

        async def is_begun() -> bool:
            return bool(it.parts.forgetter.all())

        await it.until(is_begun)
        await it.write("hold", call=uuid, reason="case 7")
        building.set()
        row = await asked
        assert (states(row)["outbox"], reasons(row)["outbox"]) == ("pending", HELD)
        assert (states(row)["sinks.folder"], row["state"]) == ("pending", "open")
        assert await it.stage(uuid, "kept")
        assert (tmp_path / "folder" / f"{uuid}.vcon.json").exists()
    async with edge(made) as it:
        assert await it.stage(uuid, "kept")
        assert (tmp_path / "state/outbox/kept" / f"{uuid}.vcon.json").exists()
        await it.write("release", call=uuid)
        assert (await it.write("forget", call=uuid))["state"] == "complete"
        assert there(tmp_path, uuid) == []


async def test_after_a_crash_before_anything_is_touched_the_rest_of_a_call_that_goes_on_is_not_recorded(
    tmp_path: Path, monkeypatch
):
    made = config(tmp_path)
    async with edge(made) as it:
        call = it.call("pbx-1")
        await call.journal.flush()

        async def crash(_: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(it.parts.forgetter, "again", crash)
        with pytest.raises(KeyboardInterrupt):
            await it.write("forget", call=call.uuid)
    async with edge(made) as it:
        assert there(tmp_path, call.uuid) == []
        assert it.call("pbx-1").not_recorded == "it was forgotten"
        assert not it.call("pbx-2").not_recorded


async def test_what_the_outbox_knows_no_more_is_forgotten_by_what_the_index_knows(tmp_path: Path):
    made = config(tmp_path)
    amended = "01a2029a-3286-852d-a079-acef32f9616b"
    async with edge(made) as it:
        uuid = await it.ended()
        await it.parts.records.note(amended, uuid, {"parties": [{"tel": "+12125550143"}]}, Made())
        (tmp_path / "folder" / f"{amended}.vcon.json").write_bytes(b"{}")
    for path in (tmp_path / "state").glob("vcond.db*"):
        path.unlink()
    for path in (tmp_path / "state/outbox/kept").iterdir():
        path.unlink()
    async with edge(made) as it:
        row = await it.write("forget", call=amended)
        assert row["state"] == "complete"
        assert [(one["call"], one["vcons"]) for one in row["conversations"]] == [(uuid, [uuid, amended])]
        assert there(tmp_path / "folder", uuid) == there(tmp_path / "folder", amended) == []


async def test_two_who_ask_at_once_are_told_of_one_request(tmp_path: Path):
    async with edge(config(tmp_path)) as it:
        uuid = await it.ended()
        (sink,) = [worker.sink._sink for worker in it.parts.outbox._workers]
        goes, erase = asyncio.Event(), sink.erase

        async def slow(name: str):
            await goes.wait()
            return await erase(name)

        sink.erase = slow
        asked = [asyncio.ensure_future(it.write("forget", call=each)) for each in (uuid, uuid, "tel:+12125550143")]

        async def is_begun() -> bool:
            return bool(it.parts.forgetter.all())

        await it.until(is_begun)
        goes.set()
        rows = [row for row in await asyncio.gather(*asked, return_exceptions=True) if isinstance(row, dict)]
        assert len({row["receipt"] for row in rows}) == 1
        assert await it.read("forgetting") == []


async def test_a_receipt_that_the_disk_does_not_take_is_written_when_it_does(tmp_path: Path, monkeypatch, capsys):
    backoff = type(__import__("vcond.records.forgetting", fromlist=["AGAIN"]).AGAIN)
    monkeypatch.setattr("vcond.records.forgetting.AGAIN", backoff(0.001, 0.002))
    async with edge(config(tmp_path)) as it:
        uuid = await it.ended()
        publish, full = it.parts.receipts._files.publish, True

        def flaky(*args, **more):
            if full:
                raise OSError(28, "No space left on device")
            return publish(*args, **more)

        monkeypatch.setattr(it.parts.receipts._files, "publish", flaky)
        row = await it.write("forget", call=uuid)
        assert set(states(row).values()) == {"done"}
        assert "cannot note how far forgetting is" in capsys.readouterr().out
        (open_one,) = await it.read("forgetting")
        full = False
        task = asyncio.create_task(it.parts.forgetter.run())

        async def over() -> bool:
            return await it.read("forgetting") == []

        await it.until(over)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert (await it.read("receipt", id=open_one["receipt"]))["state"] == "complete"


async def test_retention_says_that_it_cannot_look_and_capture_goes_on(tmp_path: Path, monkeypatch, capsys):
    rule = {"name": "all", "keep": {"media": 1}}
    media = tmp_path / "media"
    media.mkdir()
    async with edge(config(tmp_path, retention=[rule], record={"media_dir": str(media)})) as it:
        looked = asyncio.Event()

        whys: list[Exception] = []

        def names():
            looked.set()
            raise whys[-1]

        monkeypatch.setattr(it.parts.retention, "_names", names)
        for why, said in (
            (OSError(116, "Stale file handle", str(media)), "Stale file handle"),
            (KeyError("x"), "internal error in retention"),
        ):
            whys.append(why)
            looked.clear()
            task = asyncio.create_task(it.parts.retention.run(0))
            await looked.wait()
            looked.clear()
            await looked.wait()
            assert not task.done(), "with it the daemon would end"
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert said in capsys.readouterr().out
        call = it.call()
        call.end(at=it.parts.clock.now(), cause=Cause(q850=16))
        await it.until(lambda: it.stage(call.uuid, "kept"))


async def test_recordings_that_cannot_be_looked_at_keep_no_daemon_from_starting(tmp_path: Path, monkeypatch, capsys):
    made = config(tmp_path, record={"media_dir": str(tmp_path / "media")})
    async with edge(made) as it:
        await it.write("forget", call=await it.ended("a"))
    named = forgetting._named

    def stale(folder: Path):
        if folder.name == "media":
            raise OSError(116, "Stale file handle")
        return named(folder)

    monkeypatch.setattr(forgetting, "_named", stale)
    async with edge(made) as it:
        assert await it.ended("b")
    assert "cannot look for what was forgotten among the recordings" in capsys.readouterr().out
