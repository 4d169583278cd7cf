"""Records that are damaged: vcond starts and records calls, nothing goes that is held, nothing comes back, and it is named."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from records_kit import Edge, config, edge

from vcond.app import forgetting, remembered
from vcond.app.daemon import Daemon
from vcond.app.wiring import Parts
from vcond.base.backoff import Backoff
from vcond.base.errors import StorageError
from vcond.capture.clock import SteadyClock
from vcond.cli.check import findings
from vcond.cli.status import _problems
from vcond.config import Loaded, load
from vcond.records.forgetting import Forgetting, Named
from vcond.records.tombstones import Tombstones, of_call
from vcond.sdk.contract import Cause
from vcond.storage.files import Files

NEVER = "01a2029a-3286-852d-a079-acef32f9616b"
RECEIPT = "6e6a25aa-52f3-4d8a-9f0c-0a2f6f3f3b11"


def records(root: Path) -> Path:
    return root / "state/records"


def told(root: Path, **more: object) -> dict[str, tuple[str, str]]:
    return {one.what: (one.level, one.detail) for one in remembered.look(config(root, **more), receipts=True)}


async def problems(it) -> list[str]:
    return [one["what"] for one in _problems(await it.read("status") | {"ready": {}}, [])]


async def test_a_damaged_request_to_forget_is_put_aside_and_what_can_be_read_of_it_is_forgotten_again(
    tmp_path: Path, monkeypatch, capsys
):
    made = config(tmp_path)
    async with edge(made) as it:
        uuid, other = await it.ended("a"), await it.ended("b")

        async def crash(_: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(it.parts.forgetter, "again", crash)
        with pytest.raises(KeyboardInterrupt):
            await it.write("forget", call=uuid)
    (path,) = (records(tmp_path) / "forgetting").glob("*.json")
    half = path.read_bytes()
    half = half[: half.index(uuid.encode()) + 40] + other.encode()  # of the other one no tombstone tells
    path.write_bytes(half)
    async with edge(made) as it:
        aside = path.with_name(f"{path.name}.damaged")
        said = capsys.readouterr().out
        assert said.count("a request to forget cannot be read") == 1
        assert f"then delete {aside}, and no other file" in said
        assert f"file={aside}" in said, "the file of that name is the good one now"
        row = await it.write("forget", call=uuid)
        assert (row["receipt"], row["state"]) == (path.stem, "complete")
        assert not (tmp_path / "folder" / f"{uuid}.vcon.json").exists()
        assert (tmp_path / "folder" / f"{other}.vcon.json").exists()
        assert (aside.read_bytes(), path.exists()) == (half, False)
        assert await problems(it) == ["forgetting"]
        assert str(aside) in told(tmp_path)["forgetting"][1]
        assert await it.parts.receipts.read(path.stem)
    async with edge(made) as it:
        assert "cannot be read" not in capsys.readouterr().out
        aside.unlink()
        assert await problems(it) == []


@pytest.mark.parametrize("body", [b"", b"\xff" * 100, b'{"id": 7}', b"[]", f'"{NEVER}"'.encode()])
async def test_one_of_which_nothing_can_be_read_keeps_nothing_from_starting(tmp_path: Path, body: bytes):
    folder = records(tmp_path) / "forgetting"
    folder.mkdir(parents=True)
    (folder / f"{RECEIPT}.json").write_bytes(body)
    (folder / "what.json").write_bytes(body)
    async with edge(config(tmp_path)) as it:
        assert await it.read("forgetting") == []
        assert await it.ended()
        assert await problems(it) == ["forgetting", "forgetting"]
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        f"{RECEIPT}.json.damaged": body, "what.json.damaged": body
    }  # fmt: skip


async def test_what_was_put_aside_before_is_not_lost_when_the_same_request_is_damaged_again(tmp_path: Path):
    folder = records(tmp_path) / "forgetting"
    folder.mkdir(parents=True)
    for body in (b"first", b"second", b"second"):
        (folder / f"{RECEIPT}.json").write_bytes(body)
        async with edge(config(tmp_path)):
            pass
    assert {path.read_bytes() for path in folder.iterdir()} == {b"first", b"second"}
    assert len(list(folder.iterdir())) == 2


async def test_one_that_cannot_be_read_now_stays_where_it_is(tmp_path: Path, capsys):
    path = records(tmp_path) / "forgetting" / f"{RECEIPT}.json"
    path.mkdir(parents=True)
    async with edge(config(tmp_path)) as it:
        assert await problems(it) == [f"forgetting {RECEIPT}"]
    assert path.is_dir()
    said = capsys.readouterr().out
    assert "it stays as it is" in said
    assert "the next start looks again" in said
    assert "delete" not in said


async def test_a_damaged_hold_holds_until_it_is_released_and_is_named(tmp_path: Path, capsys):
    made = config(tmp_path, delivery={"keep_days": 0})
    async with edge(made) as it:
        call = it.call()
        await it.write("hold", call=call.uuid, reason="case 7")
        call.end(at=it.parts.clock.now(), cause=Cause(q850=16))
        await it.until(lambda: it.stage(call.uuid, "kept"))
    path = records(tmp_path) / "holds" / f"{call.uuid}.json"
    path.write_bytes(path.read_bytes()[:20])
    for _ in range(2):
        async with edge(made) as it:
            assert it.parts.holds.on(call.uuid) is not None
            assert await problems(it) == [f"legal hold {call.uuid}"]
            assert await it.stage(call.uuid, "kept")
        assert capsys.readouterr().out.count("the record of a legal hold cannot be read") == 1
    file = tmp_path / "vcond.toml"
    file.write_text(f'[vcond]\nstate_dir = "{tmp_path}/state"\n[keys]\nstore = "{tmp_path}/keys"\n')
    found = await asyncio.to_thread(findings, load(file, os.environ), file, offline=True)
    named = [one for one in found if one.what.startswith("legal hold")]
    assert [(one.level, str(path) in one.detail) for one in named] == [("warning", True)]
    assert "the record of a legal hold" not in capsys.readouterr().out
    async with edge(made) as it:
        await it.write("release", call=call.uuid)
        assert await problems(it) == []


async def test_a_damaged_receipt_is_named_and_not_handed_out(tmp_path: Path):
    async with edge(config(tmp_path)) as it:
        receipt = (await it.write("forget", call=await it.ended()))["receipt"]
        path = records(tmp_path) / "receipts" / f"{receipt}.json"
        assert (await it.read("receipt", id=receipt))["uuid"] == receipt
        path.write_bytes(path.read_bytes()[:-1])
        with pytest.raises(StorageError, match="is damaged: restore it from a backup"):
            await it.read("receipt", id=receipt)
    assert told(tmp_path) == {f"receipt {receipt}": ("warning", f"{path} is damaged")}


async def test_without_the_key_of_what_was_forgotten_calls_are_recorded_and_nothing_is_delivered(
    tmp_path: Path, monkeypatch, capsys
):
    made = config(tmp_path)
    async with edge(made) as it:
        uuid = await it.ended()
    shutil.copytree(tmp_path / "state", tmp_path / "backup")
    async with edge(made) as it:
        assert (await it.write("forget", call=uuid))["state"] == "complete"
    for name in ("outbox", "journal", "vcond.db"):  # an old backup comes back
        old, new = tmp_path / "backup" / name, tmp_path / "state" / name
        shutil.rmtree(new) if new.is_dir() else new.unlink()
        shutil.copytree(old, new) if old.is_dir() else shutil.copy(old, new)
    for path in (tmp_path / "state").glob("vcond.db-*"):
        path.unlink()
    key = records(tmp_path) / "tombstones.key"
    good = key.read_bytes()
    key.write_bytes(good[:7])
    monkeypatch.setattr(forgetting, "AGAIN", Backoff(0.01, 0.01))
    parts = Parts(Loaded(made), SteadyClock())
    try:
        assert capsys.readouterr().out.count("cannot read what was forgotten") == 1
        forgetting.clear(made, parts.keys, parts.tombstones)
        assert list((tmp_path / "state/outbox").rglob(f"{uuid}*"))
        daemon = object.__new__(Daemon)
        daemon.parts = parts

        class Supervisor:
            async def all_told(self, _: object) -> None: ...

        waiting = asyncio.create_task(daemon._look_after(Supervisor()))  # type: ignore[arg-type]  # as much of a daemon as it asks
        loads, load = asyncio.Event(), parts.tombstones.load

        def looked() -> None:
            load()
            asyncio.run_coroutine_threadsafe(_set(loads), loop)

        loop = asyncio.get_running_loop()
        monkeypatch.setattr(parts.tombstones, "load", looked)
        await loads.wait()
        assert not parts.outbox.opened.is_set()
        assert "tombstones.key is no key" in parts.status.ready()["forgotten"]
        with pytest.raises(StorageError, match="nothing was forgotten"):
            await parts.forgetter.ask([], {})
        assert told(tmp_path)["forgotten"][0] == "error"
        key.write_bytes(good)
        await waiting
        assert parts.outbox.opened.is_set()
        assert "forgotten" not in parts.status.ready()
        assert not list((tmp_path / "state").rglob(f"{uuid}*"))
        assert await parts.outbox.get(uuid) is None
        assert told(tmp_path) == {}
    finally:
        await parts.close()


async def test_what_came_back_and_cannot_be_removed_is_told_and_tried_again(tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setattr(forgetting, "AGAIN", Backoff(0.01, 0.01))
    (tmp_path / "tombstones.key").write_bytes(b"short")
    stones = Tombstones(tmp_path, lambda: 0)
    (tmp_path / "tombstones.key").unlink()  # lost for good
    asked = Forgetting(RECEIPT, 1, [Named(NEVER, [NEVER])], [])
    left = ["the disk does not answer"]

    def clear(*_: object) -> None:
        assert of_call(NEVER) in stones, "it was asked for, and the start could not note it"
        if left:
            raise StorageError(left.pop())

    async def indexed(*_: object) -> None: ...

    monkeypatch.setattr(forgetting, "clear", clear)
    monkeypatch.setattr(forgetting, "clear_index", indexed)
    nothing = SimpleNamespace(live=[], recovery=SimpleNamespace(unfinished=list))
    forgetter = SimpleNamespace(all=lambda: [asked], stays=lambda _: False)
    daemon: Any = SimpleNamespace(
        tombstones=stones, forgetter=forgetter, registry=nothing, config=None, keys=None, records=None
    )
    await forgetting.known(daemon)
    assert stones.trouble == ""
    out = capsys.readouterr().out
    assert out.count("cannot remove what was forgotten and came back, retrying") == out.count("can be read again") == 1


async def test_what_came_back_and_cannot_be_removed_at_a_start_keeps_no_call_from_being_recorded(
    tmp_path: Path, monkeypatch, capsys
):
    made = config(tmp_path)
    async with edge(made) as it:
        over, going_on = it.call("over"), it.call("going-on")
        for call in (over, going_on):
            await call.journal.flush()
            shutil.copytree(tmp_path / "state/journal" / call.uuid, tmp_path / "backup" / call.uuid)
            assert (await it.write("forget", call=call.uuid))["state"] == "complete"
    for uuid in (over.uuid, going_on.uuid):  # an old backup comes back
        shutil.copytree(tmp_path / "backup" / uuid, tmp_path / "state/journal" / uuid)
    monkeypatch.setattr(forgetting, "AGAIN", Backoff(0.01, 0.01))
    parts = Parts(Loaded(made), SteadyClock())
    it, tries, mended = Edge(parts), 0, False
    delete = forgetting._delete

    def refused(path: Path) -> None:
        nonlocal tries
        tries += 1
        if not mended:
            raise OSError(5, "Input/output error")
        delete(path)

    monkeypatch.setattr(forgetting, "_delete", refused)
    try:
        await forgetting.cleared(parts)
        assert "cannot remove what was forgotten and came back: Input/output error" in parts.status.ready()["forgotten"]
        await parts.old_journals.take_back(["test"])
        assert (parts.old_journals.found, len(parts.registry.recovery)) == (0, 0), "what is left of a journal is none"
        call = it.call("new")
        assert not call.not_recorded
        await call.journal.flush()
        waiting = asyncio.create_task(forgetting.known(parts))

        async def is_tried() -> bool:
            return tries > 2

        await it.until(is_tried)
        assert not waiting.done()
        mended = True
        await waiting
        assert {path.name for path in (tmp_path / "state/journal").iterdir()} - {".lock", ".trash"} == {call.uuid}
        assert capsys.readouterr().out.count("what was forgotten can be read again") == 1
    finally:
        await parts.close()


async def test_what_a_crash_left_half_written_and_stays_keeps_no_record_from_being_read(
    tmp_path: Path, monkeypatch, capsys
):
    made = config(tmp_path)
    async with edge(made) as it:
        uuid = await it.ended()
        await it.write("hold", call=uuid, reason="case 7")
    (records(tmp_path) / "holds" / ".what.json.tmp").write_bytes(b"half")
    delete = Files.delete_one

    def refused(self: Files, path: str, **more: bool) -> bool:
        if path.endswith(".tmp") and "holds" in path:
            raise OSError(5, "Input/output error")
        return delete(self, path, **more)

    monkeypatch.setattr(Files, "delete_one", refused)
    async with edge(made) as it:
        assert it.parts.holds.on(uuid) is not None
        assert await it.ended("b")
    assert "cannot delete what an interrupted write left" in capsys.readouterr().out


async def _set(event: asyncio.Event) -> None:
    event.set()


async def test_recovering_by_hand_does_not_begin_without_what_was_forgotten(tmp_path: Path):
    made = config(tmp_path)
    async with edge(made) as it:
        it.parts.tombstones.add(["a"])
    (records(tmp_path) / "tombstones.key").unlink()
    with pytest.raises(StorageError, match="restore tombstones and"):
        await Daemon(Loaded(made)).recover_only()


async def test_an_entry_of_what_was_forgotten_that_is_damaged_is_named(tmp_path: Path):
    async with edge(config(tmp_path)) as it:
        it.parts.tombstones.add(["a", "b"])
        file = records(tmp_path) / "tombstones"
        file.write_bytes(bytes([file.read_bytes()[0] ^ 1]) + file.read_bytes()[1:])
        assert await problems(it) == ["forgotten"]
    assert told(tmp_path)["forgotten"] == (
        "warning", "1 entries of what was forgotten cannot be read: an old backup would bring those back"
    )  # fmt: skip
