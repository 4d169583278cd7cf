import asyncio
import base64
import hashlib
import json
import os
import random
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from capture_kit import FRAME, Shelf, ended, finishing, idle

from vcond.base.errors import ConfigError
from vcond.call import events as ev
from vcond.call.state import fold
from vcond.config import RecordConfig
from vcond.delivery import Entry, Outbox
from vcond.delivery.sinks.folder import FolderConfig, FolderSink
from vcond.publish import builder, squeezer
from vcond.publish import finisher as module
from vcond.publish.media_files import publish
from vcond.publish.revisions import revisions
from vcond.publish.stored_audio import StoredAudio
from vcond.publish.texts import all_texts
from vcond.sdk.contract import ArrivalClock, Codec
from vcond.storage.files import Files
from vcond.storage.whole_files import WholeFiles
from vcond.testing.time import run_virtual
from vcond.vcon import Finding, Media, read, validate


async def test_an_ended_call_becomes_a_valid_vcon_and_its_journal_goes_when_it_is_delivered(house, tmp_path: Path):
    delivered = asyncio.Event()

    async def gone(uuid: str) -> None:
        finisher.delivered(uuid)
        delivered.set()

    sink = FolderSink(FolderConfig(path=str(tmp_path / "vcons")))
    outbox = Outbox(
        tmp_path / "outbox",
        [sink],
        database=tmp_path / "vcond.db",
        clock=house.clock,
        rng=random.Random(1),
        on_delivered=gone,
    )
    async with outbox, finishing(house, outbox, tmp_path) as finisher:
        running = asyncio.create_task(outbox.run())
        call, journal = ended(house)
        finisher.submit(call, journal)
        await idle(finisher)
        await delivered.wait()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    document = read((tmp_path / "vcons" / f"{call.uuid}.vcon.json").read_bytes())
    assert document["uuid"] == call.uuid
    assert not [finding for finding in validate(document) if finding.level == "error"]
    assert [party.get("name") for party in document["parties"]][:2] == ["A", "B"]
    await house.store.close()
    assert not journal.folder.exists()
    house.open()


async def test_the_same_journal_makes_the_same_bytes(house, tmp_path: Path):
    shelf = Shelf()
    async with finishing(house, shelf, tmp_path) as finisher:
        call, journal = ended(house)
        finisher.submit(call, journal)
        await idle(finisher)
        first = shelf.taken.pop(call.uuid)
        await house.store.close()
        after = house.open()
        (again,) = after.store.recover()
        assert isinstance(again.events[-1], ev.Published)
        after.registry.recovery.take_to_finish(again)
        finisher.submit(*after.finished[-1])
        await idle(finisher)
    assert shelf.taken[call.uuid] == first


async def test_a_full_disk_is_waited_for(house, tmp_path: Path):
    shelf = Shelf(failures=3)
    async with finishing(house, shelf, tmp_path) as finisher:
        call, journal = ended(house)
        finisher.submit(call, journal)
        await idle(finisher)
    assert list(shelf.taken) == [call.uuid]
    assert call.state.published == "ab" * 64


@pytest.mark.parametrize("delivered", [True, False])
async def test_what_another_version_published_from_the_same_journal_stays(house, tmp_path: Path, delivered: bool):
    entry = Entry("u", "cd" * 64, 9, 1, 1 if delivered else 0, "gone" if delivered else "open", {}, ())
    async with finishing(house, Shelf(before=entry), tmp_path) as finisher:
        call, journal = ended(house)
        finisher.submit(call, journal)
        await idle(finisher)
    assert call.state.published == ("" if delivered else "cd" * 64)
    await house.store.close()
    assert journal.folder.exists() is not delivered
    house.open()


async def test_texts_that_do_not_come_in_time_are_named_and_the_vcon_leaves(house, tmp_path: Path):
    shelf, house.speech.in_time = Shelf(), False
    async with finishing(house, shelf, tmp_path) as finisher:
        call = house.host.call("k", at=house.now(0))
        track = call.track(call.party("a", at=house.at(0)), at=house.at(0), codec=Codec.L16, rate=8000,
                           clock=ArrivalClock())  # fmt: skip
        for i in range(100):
            track.write(FRAME, arrived=house.now((i + 1) * 0.02))
        call.emit(ev.Answered(at=house.at(0)))
        source = house.speech.listeners[0].source
        source.emit(ev.Utterance(at=house.at(1), utterance=0, track=0, start=0, stop=8000))
        call.end(at=house.now(2))
        finisher.submit(*house.finished[-1])
        await idle(finisher)
        source.emit(ev.Transcribed(at=house.at(9), utterance=0, engine="e", model="m", text="too late"))
    assert call.state.speech[0].failed == "deadline"
    assert call.uuid in house.speech.forgotten
    assert b"too late" not in shelf.taken[call.uuid]


@pytest.mark.parametrize("wanted", [True, False])
async def test_a_call_nobody_answered_is_a_vcon_if_the_operator_wants_those(house, tmp_path: Path, wanted: bool):
    shelf = Shelf()
    async with finishing(house, shelf, tmp_path, unanswered=wanted) as finisher:
        call, journal = ended(house, answered=False)
        finisher.submit(call, journal)
        await idle(finisher)
    if wanted:
        assert json.loads(shelf.taken[call.uuid])["dialog"][0]["disposition"] == "busy"
    else:
        assert shelf.taken == {}
        await house.store.close()
        assert not journal.folder.exists()
        house.open()


async def test_a_vcon_that_is_not_valid_is_set_aside_with_its_journal(house, tmp_path: Path, monkeypatch):
    wrong = Finding(level="error", path="$.uuid", code="uuid", message="made up")
    monkeypatch.setattr(builder, "validate", lambda _: [wrong])
    shelf = Shelf()
    async with finishing(house, shelf, tmp_path) as finisher:
        call, journal = ended(house)
        finisher.submit(call, journal)
        await idle(finisher)
    assert shelf.taken == {}
    aside = tmp_path / "quarantine" / f"{call.uuid}.vcon.json"
    assert json.loads(aside.read_bytes())["uuid"] == call.uuid
    assert aside.stat().st_mode & 0o777 == 0o600
    await journal.flush()
    assert fold(journal.events).published == ""
    assert journal.folder.exists()


async def test_one_call_that_cannot_be_finished_does_not_stop_the_others(house, tmp_path: Path, monkeypatch):
    made = builder.build_with_media
    shelf = Shelf()

    def build(state, *rest, **options):
        if state.key == "broken":
            raise ZeroDivisionError
        return made(state, *rest, **options)

    monkeypatch.setattr(builder, "build_with_media", build)
    async with finishing(house, shelf, tmp_path) as finisher:
        house.host.call("broken", at=house.now(0)).end(at=house.at(0))
        finisher.submit(*house.finished[-1])
        call, journal = ended(house)
        finisher.submit(call, journal)
        await idle(finisher)
    assert list(shelf.taken) == [call.uuid]


async def test_a_call_that_could_not_be_finished_is_tried_again_and_then_takes_no_memory(
    house, tmp_path: Path, monkeypatch
):
    made, failures = builder.build_with_media, [1, 1]
    shelf = Shelf()

    def build(state, *rest, **options):
        if failures and failures.pop():
            raise ZeroDivisionError
        return made(state, *rest, **options)

    monkeypatch.setattr(builder, "build_with_media", build)
    monkeypatch.setattr(module, "AGAIN", 0.0)
    async with finishing(house, shelf, tmp_path) as finisher:
        call, journal = ended(house)
        finisher.submit(call, journal)
        while call.uuid not in shelf.taken:  # noqa: ASYNC110 - tried again by a timer
            await asyncio.sleep(0.01)
        await idle(finisher)
        assert not finisher._failed
        failures.extend([1] * 9)
        call, journal = ended(house)
        finisher.submit(call, journal)
        while len(failures) > 9 - 1 - module.TRIES or finisher.busy:  # noqa: ASYNC110 - tried again by a timer
            await asyncio.sleep(0.01)
        assert journal._closed
        assert journal.folder.exists()


def test_a_call_waits_for_its_texts_once(monkeypatch):
    """Speech that is never ready, and texts that never come, cost the same time."""

    async def waited(ready_after: float) -> float:
        loop, speech = asyncio.get_running_loop(), SimpleNamespace(ready=asyncio.Event(), forget=lambda _: 0)

        async def settled(_: str, timeout: float) -> bool:  # noqa: ASYNC109 - the protocol
            await asyncio.sleep(timeout)
            return False

        speech.settled = settled
        loop.call_later(ready_after, speech.ready.set)
        began = loop.time()
        assert not await all_texts(speech, ["u", "v", "w"], 600)
        return loop.time() - began

    for ready_after in (0, 590, 10**6):
        assert run_virtual(waited(ready_after)) == pytest.approx(600, abs=1)


def test_a_track_of_a_merged_call_is_read_from_the_calls_zero(house):
    class File:
        def read(self, file, start, stop):
            return np.arange(start, stop, dtype=np.int16)

        def length(self, file):
            return 1000

    def track(shift: int, samples: int):
        state = fold([
            ev.CallOpened(at=house.at(0), call="u", adapter="t", key="k"),
            ev.PartyJoined(at=house.at(0), party=0, key="a"),
            ev.TrackOpened(at=house.at(0), track=0, party=0, codec="L16", rate=8000, shift=shift),
            ev.TrackClosed(at=house.at(1), track=0, samples=samples),
        ])  # fmt: skip
        stored = StoredAudio(File(), state.tracks[0])
        assert stored[0 : len(stored)].tolist() == builder.read_track(File(), state.tracks[0]).tolist()
        assert stored[1:3].tolist() == stored[0 : len(stored)][1:3].tolist()
        return stored[0 : len(stored)]

    assert track(0, 3).tolist() == [0, 1, 2]
    assert track(2, 5).tolist() == [0, 0, 0, 1, 2]
    assert track(-2, 3).tolist() == [2, 3, 4]
    assert track(9, 5).tolist() == [0] * 9


async def test_a_recording_that_fits_in_no_vcon_is_on_the_disk_before_the_vcon_that_names_it(house, tmp_path: Path):
    class Looks(Shelf):
        async def publish(self, uuid: str, body: bytes, facts: dict[str, str], unmatched=()) -> str:
            (self.file,) = (tmp_path / "media").rglob("*.wav")
            self.content = self.file.read_bytes()
            return await super().publish(uuid, body, facts)

    shelf = Looks()
    limits = {"inline_limit": 10_000, "media_dir": str(tmp_path / "media"), "media_url": "https://media.example.com/v"}
    async with finishing(house, shelf, tmp_path, **limits) as finisher:
        call, journal = ended(house)
        finisher.submit(call, journal)
        await idle(finisher)
        await house.store.close()
        house.open()
    dialog = json.loads(shelf.taken[call.uuid])["dialog"][0]
    assert dialog["url"] == f"https://media.example.com/v/{shelf.file.relative_to(tmp_path / 'media')}"
    digest = base64.urlsafe_b64encode(hashlib.sha512(shelf.content).digest()).rstrip(b"=").decode()
    assert dialog["content_hash"] == f"sha512-{digest}"
    assert shelf.file.stat().st_mode & 0o777 == 0o640
    assert shelf.content[:4] == b"RIFF"


async def test_a_recording_that_is_in_no_vcon_keeps_its_journal(house, tmp_path: Path):
    shelf = Shelf()
    async with finishing(house, shelf, tmp_path, inline_limit=10_000) as finisher:
        call, journal = ended(house)
        finisher.submit(call, journal)
        await idle(finisher)
        finisher.delivered(call.uuid)
        await house.store.close()
        after = house.open()
        (again,) = after.store.recover()
        state = fold(again.events)
        assert (state.kept, state.published) == (True, "ab" * 64)
        finisher.await_sinks(state)
        finisher.expect(again, state, revisions(state))
        finisher.delivered(call.uuid)
    assert (journal.folder / "0.pcm").stat().st_size > 30_000


async def test_what_every_sink_takes_while_the_outbox_is_asked_of_it_is_not_waited_for(house, tmp_path: Path):
    async with finishing(house, Shelf(), tmp_path) as finisher:
        call, journal = ended(house)
        finisher.submit(call, journal)
        await idle(finisher)
        await house.store.close()
        (again,) = house.open().store.recover()
        state = fold(again.events)
        finisher.await_sinks(state)
        finisher.delivered(call.uuid)
        finisher.expect(again, state, revisions(state))
        await house.store.close()
        assert not journal.folder.exists()
        house.open()


def test_a_published_recording_can_be_read_by_our_group_whatever_the_umask(tmp_path: Path):
    before = os.umask(0o077)
    try:
        publish(Media("u/call.wav", "audio/x-wav", 4, lambda: [b"RI", b"FF"]), tmp_path / "media", WholeFiles(Files()))
    finally:
        os.umask(before)
    file = tmp_path / "media" / "u" / "call.wav"
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o640, 0o750)
    assert file.read_bytes() == b"RIFF"


def test_what_the_operator_adds_to_every_vcon_is_judged_before_the_first_call():
    basis = {"lawful_basis": "consent", "expiration": None,
             "purpose_grants": [{"purpose": "recording", "granted": True, "granted_at": "2026-11-22T09:00:00Z"}]}  # fmt: skip
    builder.check_record(RecordConfig())
    builder.check_record(RecordConfig(org="Example Ltd", sip_domain="pbx.example.com", lawful_basis=basis))
    with pytest.raises(ConfigError, match="lawful_basis"):
        builder.check_record(RecordConfig(lawful_basis={"lawful_basis": "because"}))


def test_who_may_not_stand_back_works_all_the_same(monkeypatch):
    def refused(*_):
        raise PermissionError

    monkeypatch.setattr(squeezer.os, "setpriority", refused)
    squeezer.stand_back()


async def test_which_sinks_a_vcon_is_not_for_is_asked_of_its_call_when_it_is_made(house, tmp_path: Path):
    shelf = Shelf()
    async with finishing(house, shelf, tmp_path) as finisher:
        finisher._unmatched = lambda call: [call.adapter]
        call, journal = ended(house)
        finisher.submit(call, journal)
        await idle(finisher)
    assert shelf.unmatched == {call.uuid: [call.state.adapter]}
