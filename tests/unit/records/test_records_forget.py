"""A conversation is forgotten in every place, and stays forgotten."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
from pathlib import Path

import pytest
from records_kit import TEL, config, edge

from vcond.app import forgetting
from vcond.base.errors import JournalError, RefusedError, StorageError
from vcond.base.time import SECOND
from vcond.cli.doctor import examine
from vcond.cli.journals import find, summaries
from vcond.cli.replay import replay
from vcond.records.forgetting import Forgetter, Forgetting, Named
from vcond.records.holds import HeldError
from vcond.records.record_files import RecordFiles
from vcond.records.tombstones import of_call
from vcond.sdk.contract import Cause
from vcond.sdk.sink import Refused, Retry
from vcond.storage.files import Files
from vcond.storage.whole_files import WholeFiles

NOBODY = "01a2029a-3286-852d-a079-acef32f9616b"


def states(row):
    return {one["place"]: one["state"] for one in row["places"]}


def left_of(root: Path, *uuids: str) -> list[str]:
    """Where a name of it, or its content, still is: of files that are no tombstone, no receipt and no log."""
    found = []
    for path in root.rglob("*"):
        if "records" in path.parts:
            continue
        if any(uuid in str(path) for uuid in uuids):
            found.append(f"name {path}")
        elif path.name.startswith(("records.db", "ledger-heads")):
            continue  # that it was, and of nobody: test_the_ledger_keeps_that_it_was_and_nobody_who_was_in_it
        elif path.is_file() and any(uuid.encode() in path.read_bytes() for uuid in uuids):
            found.append(f"content {path}")
    return found


async def test_a_call_that_every_sink_has_is_gone_here_and_there_and_the_receipt_says_so(tmp_path: Path):
    async with edge(config(tmp_path, "archive", "second")) as it:
        call, other = await it.ended("a"), await it.ended("b")
        assert left_of(tmp_path, call)
        row = await it.write("forget", call=call)
        assert row["state"] == "complete"
        assert states(row) == dict.fromkeys(
            ["call", "journal", "outbox", "forms", "quarantine", "index", "words", "sinks.archive", "sinks.second"],
            "done",
        )
        assert left_of(tmp_path, call) == [], "nor in the database, its WAL and its free pages"
        assert (await it.entry(call), await it.read("forgetting")) == (None, [])
        assert (tmp_path / "archive" / f"{other}.vcon.json").exists()
        assert await it.stage(other, "kept")
        receipt = await it.read("receipt", id=row["receipt"])
        assert receipt["conversations"] == [{"call": call, "vcons": [call], "merged": []}]
        assert receipt["not_signed"].startswith("no signing key")
        assert (receipt["state"], receipt["issuer"]) == ("complete", "edge.example.com")
        with pytest.raises(LookupError, match="no call and no vCon"):
            await it.write("forget", call=call)


async def test_a_call_that_goes_on_is_recorded_no_more_and_has_no_vcon_and_so_it_stays_after_a_restart(tmp_path: Path):
    made = config(tmp_path)
    async with edge(made) as it:
        call = it.call("pbx-1")
        await call.journal.flush()
        row = await it.write("forget", call=call.uuid[:13])
        assert row["state"] == "complete"
        assert left_of(tmp_path, call.uuid) == []
        (shown,) = await it.read("calls")
        assert (shown["not_recorded"], [one["tel"] for one in shown["parties"]]) == ("it was forgotten", ["", ""])
        again = it.call("pbx-1")  # its adapter goes on
        assert again is call
        assert left_of(tmp_path, call.uuid, TEL) == []
    async with edge(made) as it:
        call = it.call("pbx-1")
        assert call.not_recorded == "it was forgotten"
        other = it.call("pbx-2")
        assert not other.not_recorded
        for one in (call, other):
            one.end(at=it.parts.clock.now(), cause=Cause(q850=16))
        await it.until(lambda: it.stage(other.uuid, "kept"))
        assert [path.name for path in (tmp_path / "folder").iterdir()] == [f"{other.uuid}.vcon.json"]


def ended_without_texts(it, monkeypatch):
    """A call that has ended and waits for its texts, which come when the event is set."""
    texts = asyncio.Event()

    async def settled(call: str, seconds: float) -> bool:
        await texts.wait()
        return True

    monkeypatch.setattr(it.parts.speech, "settled", settled)
    call = it.call()
    call.end(at=it.parts.clock.now(), cause=Cause(q850=16))
    return call, texts


async def test_a_call_between_its_end_and_the_outbox_has_no_vcon(tmp_path: Path, monkeypatch):
    async with edge(config(tmp_path)) as it:
        call, texts = ended_without_texts(it, monkeypatch)
        row = await it.write("forget", call=call.uuid)
        assert row["state"] == "complete"
        texts.set()
        await it.parts.finisher.idle()
        assert await it.entry(call.uuid) is None
        assert left_of(tmp_path, call.uuid) == []


async def test_what_is_on_its_way_to_a_sink_is_erased_there_when_it_has_arrived(tmp_path: Path, monkeypatch):
    async with edge(config(tmp_path)) as it:
        (sink,) = [worker.sink for worker in it.parts.outbox._workers]
        arrives, begun, deliver = asyncio.Event(), asyncio.Event(), sink.deliver

        async def slow(record):
            begun.set()
            await arrives.wait()
            return await deliver(record)

        monkeypatch.setattr(sink, "deliver", slow)
        call = it.call()
        call.end(at=it.parts.clock.now(), cause=Cause(q850=16))
        await begun.wait()
        asked = asyncio.ensure_future(it.write("forget", call=call.uuid))
        await it.until(lambda: is_gone(tmp_path / "state/outbox/pending" / f"{call.uuid}.vcon.json"))
        assert not asked.done()
        arrives.set()
        assert (await asked)["state"] == "complete"
        assert left_of(tmp_path, call.uuid) == []


async def is_gone(path: Path) -> bool:
    return not path.exists()  # noqa: ASYNC240 - of a test's own folder


@pytest.mark.parametrize(
    ("why", "state", "reason"),
    [
        (Retry("unreachable"), "pending", "unreachable"),
        (Refused("cannot-erase"), "refused", "cannot erase: erase it there yourself"),
        (KeyError("+1"), "pending", "error:KeyError"),
    ],
)
async def test_a_sink_that_does_not_forget_is_named_with_its_reason(tmp_path: Path, monkeypatch, why, state, reason):
    made = config(tmp_path, "a", "b")
    async with edge(made) as it:
        call = await it.ended()
        inner = it.parts.outbox._workers[0].sink._sink

        async def stubborn(uuid: str):
            raise why

        monkeypatch.setattr(inner, "erase", stubborn)
        row = await it.write("forget", call=call)
        (place,) = [one for one in row["places"] if one["place"] == "sinks.a"]
        assert (place["state"], place["reason"], place["left"]) == (state, reason, 1)
        assert states(row)["sinks.b"] == "done"
        assert row["state"] == ("open" if state == "pending" else "incomplete")
        told = await it.read("receipt", id=row["receipt"])
        assert [one["state"] for one in told["places"] if one["place"] == "sinks.a"] == [state]
    async with edge(made) as it:  # it forgets now: after a restart by itself, or because it is asked again
        row = await it.write("forget", call=call)
        assert row["state"] == "complete"
        assert await it.read("forgetting") == []
        assert left_of(tmp_path, call) == []


async def test_a_place_that_is_pending_is_tried_again_by_itself_and_can_be_given_up(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("vcond.records.forgetting.AGAIN", type(forgetting_again())(0.001, 0.002))
    async with edge(config(tmp_path, "a", "b")) as it:
        call, other = await it.ended("1"), await it.ended("2")
        down = True
        for worker in it.parts.outbox._workers:
            erase = worker.sink._sink.erase

            async def flaky(uuid: str, erase=erase, name=worker.sink.name):
                if name == "b" or down:
                    raise Retry("unreachable")
                return await erase(uuid)

            monkeypatch.setattr(worker.sink._sink, "erase", flaky)
        row = await it.write("forget", call=call)
        assert row["state"] == "open"
        with pytest.raises(LookupError, match=r"'journal' is not waited for; places that are: sinks.a, sinks.b"):
            await it.write("give-up", call=call, place="journal")
        down = False
        task = asyncio.create_task(it.parts.forgetter.run())

        async def done() -> bool:
            return states((await it.read("forgetting"))[0])["sinks.a"] == "done"

        await it.until(done)
        row = await it.write("give-up", call=row["receipt"], place="sinks.b")
        assert (row["state"], states(row)["sinks.b"]) == ("incomplete", "given-up")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert await it.read("forgetting") == []
        kept = await it.read("receipt", id=row["receipt"])
        assert states(kept)["sinks.b"] == "given-up"
        assert await it.stage(other, "kept")


@pytest.mark.parametrize("days", [-400, 400])
async def test_a_clock_that_steps_while_a_place_is_pending_delays_nothing_and_undoes_nothing(
    tmp_path: Path, monkeypatch, days: int
):
    """The pause before the next try was written by the other clock."""
    async with edge(config(tmp_path)) as it:
        call, other = await it.ended("1"), await it.ended("2")
        (worker,) = it.parts.outbox._workers
        erase, down = worker.sink._sink.erase, True

        async def flaky(uuid: str):
            if down:
                raise Retry("unreachable")
            return await erase(uuid)

        monkeypatch.setattr(worker.sink._sink, "erase", flaky)
        row = await it.write("forget", call=call)
        assert (row["state"], states(row)["sinks.folder"]) == ("open", "pending")
        down, now = False, it.parts.clock.now
        monkeypatch.setattr(it.parts.forgetter, "_now", lambda: now() + days * 86_400 * SECOND)
        task = asyncio.create_task(it.parts.forgetter.run())

        async def nothing() -> bool:
            return await it.read("forgetting") == []

        await it.until(nothing)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        kept = await it.read("receipt", id=row["receipt"])
        assert set(states(kept).values()) == {"done"}
        assert left_of(tmp_path, call) == []
        assert await it.stage(other, "kept")
        with pytest.raises(LookupError):
            await it.write("forget", call=NOBODY)


def forgetting_again():
    from vcond.records.forgetting import AGAIN

    return AGAIN


async def test_a_sink_that_is_gone_from_the_configuration_is_refused_and_asked_when_it_is_back(tmp_path: Path):
    async with edge(config(tmp_path, "a", "b")) as it:
        call = await it.ended()
    async with edge(config(tmp_path, "a")) as it:
        row = await it.write("forget", call=call)
        assert row["state"] == "incomplete"
        (place,) = [one for one in row["places"] if one["place"] == "sinks.b"]
        assert place["state"] == "refused"
        assert "configure it again" in place["reason"]
        assert (tmp_path / "b" / f"{call}.vcon.json").exists()
    async with edge(config(tmp_path, "a", "b")) as it:
        task = asyncio.create_task(it.parts.forgetter.run())
        await it.until(lambda: is_gone(tmp_path / "b" / f"{call}.vcon.json"))

        async def nothing() -> bool:
            return await it.read("forgetting") == []

        await it.until(nothing)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_what_is_on_hold_or_never_was_is_not_forgotten_and_nothing_of_it_is_touched(tmp_path: Path):
    async with edge(config(tmp_path)) as it:
        call = await it.ended()
        await it.write("hold", call=call, reason="case 7")
        with pytest.raises(HeldError, match=r"is on legal hold since .*; nothing was changed: release it first"):
            await it.write("forget", call=call)
        for unknown in (NOBODY, "", "../..", call[:3], "x" * 500):
            with pytest.raises(LookupError):
                await it.write("forget", call=unknown)
        assert await it.stage(call, "kept")
        assert (tmp_path / "folder" / f"{call}.vcon.json").exists()
        assert len(it.parts.tombstones) == 0
        await it.write("release", call=call)
        assert (await it.write("forget", call=call))["state"] == "complete"


@pytest.mark.parametrize("keys", [True, False])
async def test_an_old_backup_of_the_state_folder_is_emptied_before_anything_of_it_is_delivered(
    tmp_path: Path, keys: bool
):
    more = {"keys": {"master": base64.b64encode(bytes(32)).decode()}} if keys else {}
    if not keys:
        (tmp_path / "keys").mkdir()  # as systemd makes it
    made = config(tmp_path, delivery={"keep_days": 30}, record={"media_dir": str(tmp_path / "media")}, **more)
    async with edge(made) as it:
        call, other = await it.ended("a"), await it.ended("b")
        live = it.call("c")
        await live.journal.flush()
        for folder in ("media", "state/forms", "state/quarantine"):
            (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / "media" / call).mkdir()
        (tmp_path / "media" / call / "call.wav").write_bytes(call.encode())
        (tmp_path / "state/forms" / f"{call}.folder").write_bytes(b"x")
        (tmp_path / "state/quarantine" / f"{call}.vcon.json").write_bytes(b"x")
        shutil.copytree(tmp_path / "state", tmp_path / "backup", ignore=shutil.ignore_patterns(".lock", ".trash"))
        for one in (call, live.uuid):
            assert (await it.write("forget", call=one))["state"] == "complete"
        assert left_of(tmp_path / "state", call, live.uuid) == left_of(tmp_path / "media", call) == []
    shutil.rmtree(tmp_path / "state")
    shutil.move(tmp_path / "backup", tmp_path / "state")
    shutil.copytree(tmp_path / "state/outbox/kept", tmp_path / "state/outbox/pending", dirs_exist_ok=True)
    assert left_of(tmp_path / "state", call)
    assert left_of(tmp_path / "state", live.uuid)
    async with edge(made) as it:
        back = left_of(tmp_path / "state", call, live.uuid)
        assert [one for one in back if "vcond.db" not in one] == [], "what waits there for the ledger names it"
        assert await it.entry(call) is None
        await it.until(lambda: it.stage(other, "kept"))
        assert {path.name[:36] for path in (tmp_path / "folder").iterdir()} == {other}
        if it.parts.keys is not None:
            ids = {one.hex() for one in it.parts.keys.ids()}
            assert ids.isdisjoint({call.replace("-", ""), live.uuid.replace("-", "")})


async def test_what_cannot_be_noted_is_not_forgotten(tmp_path: Path, monkeypatch):
    async with edge(config(tmp_path)) as it:
        call = await it.ended()

        def full(*_: object, **__: object) -> None:
            raise StorageError("cannot note what is forgotten: No space left on device; nothing was forgotten")

        monkeypatch.setattr(it.parts.tombstones, "add", full)
        with pytest.raises(StorageError, match=r"nothing was forgotten$"):
            await it.write("forget", call=call)
        assert await it.stage(call, "kept")
        assert await it.read("forgetting") == []
        assert list((tmp_path / "state/records/forgetting").iterdir()) == []

        def refused(*_: object) -> None:
            raise OSError(5, "Input/output error")

        with monkeypatch.context() as patch:
            patch.setattr(it.parts.forgetter._files, "remove", refused)
            with pytest.raises(
                StorageError, match=r"nothing was forgotten now, but the request stays .*Input/output error"
            ):
                await it.write("forget", call=call)
        with monkeypatch.context() as patch:
            patch.setattr(it.parts.forgetter._files, "put", refused)
            with pytest.raises(StorageError, match=r"Input/output error; nothing was forgotten$"):
                await it.write("forget", call=call)
        assert await it.stage(call, "kept")


async def test_a_damaged_database_that_still_tells_of_it_is_named(tmp_path: Path):
    async with edge(config(tmp_path)) as it:
        call = await it.ended()
        broken = tmp_path / "state/vcond.db.broken-1"
        broken.write_bytes(b"x" * 2_000_000 + call.encode())
        row = await it.write("forget", call=call)
        (place,) = [one for one in row["places"] if one["place"] == "outbox"]
        assert (place["state"], place["reason"].split(" tells")[0]) == ("refused", broken.name)
        broken.unlink()
        assert (await it.write("forget", call=call))["state"] == "complete"


async def test_what_is_left_of_the_journal_of_a_call_that_was_forgotten_is_shown_nowhere(tmp_path: Path):
    made = config(tmp_path)
    async with edge(made) as it:
        call, other = it.call("a"), it.call("b")
        held = it.call("held")
        for one in (call, other, held):
            await one.journal.flush()
            shutil.copytree(tmp_path / "state/journal" / one.uuid, tmp_path / "backup" / one.uuid)
        assert (await it.write("forget", call=call.uuid))["state"] == "complete"
        it.parts.tombstones.add([of_call(held.uuid)])
        await it.write("hold", call=held.uuid, reason="case 7")  # it came while the call was being forgotten
    folder = tmp_path / "state/journal" / call.uuid
    shutil.copytree(tmp_path / "backup" / call.uuid, folder)
    shown = await asyncio.to_thread(summaries, made.vcond)
    assert {one["call"] for one in shown} == {other.uuid, held.uuid}
    for read in (lambda: replay(folder, None), lambda: examine(made.vcond, {}, str(folder))):
        with pytest.raises(JournalError, match="is of a call that was forgotten"):
            await asyncio.to_thread(read)
    with pytest.raises(RefusedError, match="no call"):
        await asyncio.to_thread(find, made.vcond, call.uuid)
    assert replay(tmp_path / "state/journal" / other.uuid, None)[2]


async def test_the_clear_is_cheap_and_changes_nothing_when_nothing_was_forgotten(tmp_path: Path):
    async with edge(config(tmp_path)) as it:
        assert forgetting.clear(it.parts.config, None, it.parts.tombstones) == 0


def test_what_operators_read(tmp_path: Path):
    from vcond.cli.forget import lines

    place = {"place": "sinks.a", "state": "pending", "reason": "unreachable", "next_try": "2026-11-30T10:00:00Z"}
    row = {"receipt": "r", "state": "open", "conversations": [{"call": "c"}], "places": [place]}
    told = "\n".join(lines(json.loads(json.dumps(row))))
    assert "sinks.a              pending: unreachable; tried again 2026-11-30T10:00:00Z" in told
    assert "vcond forget r --give-up PLACE" in told


async def test_the_ledger_keeps_that_it_was_and_nobody_who_was_in_it(tmp_path: Path):
    async with edge(config(tmp_path)) as it:
        records = it.parts.records
        call, other = await it.ended("a", TEL), await it.ended("b", "+442079460958")
        await records.follow(it.parts.outbox)
        assert (await it.write("forget", call=call))["state"] == "complete"
        assert await records.ask(lambda _ledger, index: index.find(TEL)) == []
        assert [one.vcon for one in await records.ask(lambda _ledger, index: index.find("+44 20 7946 0958"))] == [other]
        told = await records.ask(lambda ledger, _index: ledger.rows(vcons=[call]))
        assert [(row["event"], row.get("sink", "")) for row in told][-2:] == [
            ("forgotten", ""),
            ("vcon_deleted", "folder"),
        ]


@pytest.mark.parametrize(
    "spelling",
    ["tel:+12125550143", "tel:+1 (212) 555-0143", "TEL:+1-212-555-0143", "sip:+12125550143@x", "tel:(212) 555 0143"],
)
async def test_all_conversations_of_a_person_go_in_whatever_spelling_and_no_others(tmp_path: Path, spelling: str):
    async with edge(config(tmp_path, records={"region": "US"})) as it:
        mine = [await it.ended("a", TEL), await it.ended("b", "+1 212 555 0143")]
        other = await it.ended("c", "+442079460958")
        live, not_mine = it.call("d", TEL), it.call("e", "+442079460959")
        await live.journal.flush()
        row = await it.write("forget", call=spelling)
        assert row["state"] == "complete"
        assert {one["call"] for one in row["conversations"]} == {*mine, live.uuid}
        assert (live.not_recorded, not_mine.not_recorded) == ("it was forgotten", "")
        assert left_of(tmp_path, *mine, live.uuid) == []
        assert await it.stage(other, "kept")
        assert TEL not in json.dumps(await it.read("receipt", id=row["receipt"]))
        with pytest.raises(LookupError, match="nobody with this identifier"):
            await it.write("forget", call=spelling)


async def test_a_person_of_whom_one_conversation_is_on_hold_is_not_forgotten_by_half(tmp_path: Path):
    async with edge(config(tmp_path)) as it:
        free, held = await it.ended("a"), await it.ended("b")
        await it.write("hold", call=held, reason="case 7")
        with pytest.raises(HeldError, match=held):
            await it.write("forget", call=f"tel:{TEL}")
        assert await it.stage(free, "kept")
        for nobody in ("tel:", "sip:", "tel:x" * 200):
            with pytest.raises(ValueError, match=r"."):
                await it.write("forget", call=nobody)


async def test_a_call_that_waits_for_its_texts_is_found_by_who_was_in_it(tmp_path: Path, monkeypatch):
    async with edge(config(tmp_path)) as it:
        call, texts = ended_without_texts(it, monkeypatch)
        await it.until(lambda: is_there(tmp_path / "state/journal" / call.uuid / "events.log"))
        row = await it.write("forget", call=f"tel:{TEL}")
        assert [one["call"] for one in row["conversations"]] == [call.uuid]
        texts.set()
        await it.parts.finisher.idle()
        assert left_of(tmp_path, call.uuid) == []


async def is_there(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0  # noqa: ASYNC240 - of a test's own folder


class NoStones:
    def add(self, *_) -> None: ...


async def test_how_far_it_is_is_noted_by_one_at_a_time_and_a_receipt_is_made_once(tmp_path: Path):
    inside, made = [], []

    async def receipt(one: Forgetting) -> None:
        inside.append(one.id)
        assert len(inside) == 1
        await asyncio.sleep(0)
        made.append(inside.pop())

    files = RecordFiles(tmp_path / "forgetting", Forgetting, WholeFiles(Files()))
    forgetter = Forgetter([], files, NoStones(), now=lambda: 1, receipt=receipt)
    one = await forgetter.ask([Named("c", [])], {"gone": ["c"], "away": ["c"]})
    assert await forgetter.give_up(one, "gone")
    made.clear()
    one.steps[1].state = "given-up"
    await asyncio.gather(forgetter._saved(one), forgetter._saved(one))
    assert (made, forgetter.all()) == ([one.id], [])
