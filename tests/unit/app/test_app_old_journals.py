"""Capture does not wait for what earlier runs left: only calls that may go on are read before adapters attach."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from vcond.app import daemon as module
from vcond.app import old_journals
from vcond.app.daemon import Daemon
from vcond.app.old_journals import OldJournals
from vcond.app.wiring import MadeForms
from vcond.base.backoff import Backoff
from vcond.base.errors import StorageError
from vcond.base.time import SECOND, Instant
from vcond.call import events as ev
from vcond.capture.clock import SteadyClock
from vcond.config import load
from vcond.delivery.store import OutboxStore
from vcond.journal import Store
from vcond.sdk.contract import ArrivalClock, Cause, Codec
from vcond.storage.files import Files

ZERO = 1_795_339_662 * SECOND
DAEMON = (Path(__file__).resolve().parents[2] / "data" / "daemon.toml").read_text()


def at(seconds: float) -> Instant:
    return Instant(ZERO + round(seconds * SECOND))


def uuid_of(n: int) -> str:
    return f"019b8e07-{n:04x}-8000-8000-{n:012x}"


async def left(root, opened=None, **journals):
    """What an earlier run left: by name the number of a call and its events after its beginning."""
    store = Store(root / "journal")
    for n, (name, events) in enumerate(journals.items(), 1):
        journal = store.open(ev.CallOpened(at=opened or at(0), call=uuid_of(n), adapter="twilio", key=name))
        for event in events:
            journal.append(event)
    await store.close()
    return {name: uuid_of(n) for n, name in enumerate(journals, 1)}


def in_the_outbox(root, uuid, folder="pending"):
    folder = root / "outbox" / folder
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{uuid}.vcon.json").write_text(json.dumps({"uuid": uuid}))


ENDED = [ev.CallEnded(at=at(5), cause=Cause(text="normal"))]
PUBLISHED = [*ENDED, ev.Published(at=at(6), sha512="ab" * 64)]


class Recorded:
    """A registry's recovery, an outbox and a finisher: what each is told, in order."""

    def __init__(self, root, store):
        self.told = []
        self.root, self.store, self.outbox, self.finisher = root / "outbox", store, self, self
        self.clock = SimpleNamespace(now=lambda: at(60), not_before=lambda _: 0)
        self.registry = SimpleNamespace(recovery=self)
        self.gone = lambda _: False
        self.calls, self.stopping = [], False

    async def get(self, uuid):
        return SimpleNamespace(stage="open", closed_at=0)

    def take_back(self, journal, now):
        self.told.append(("take back", journal.uuid))
        self.calls.append(SimpleNamespace(uuid=journal.uuid, journal=journal))

    def merged(self, journal, into=""):
        assert into == uuid_of(1)
        journal.remove()

    def take_to_finish(self, journal):
        self.told.append(("finish", journal.uuid))

    def end_at_once(self, journal, now):
        self.told.append(("end", journal.uuid))

    def await_sinks(self, state):
        self.told.append(("await", state.uuid))

    def expect(self, journal, state, vcons):
        self.told.append(("expect", journal.uuid))

    def finish_all_unfinished(self, adapters):
        self.told.append(("end but of", tuple(adapters)))

    def unfinished(self):
        return list(self.calls)

    def forget(self, call):
        self.calls.remove(call)

    def __len__(self):
        return len(self.calls)


async def test_before_adapters_attach_no_journal_is_read_whose_vcon_waits_for_a_sink(tmp_path, monkeypatch):
    calls = await left(tmp_path, waits=PUBLISHED, goes_on=[], unmade=ENDED, kept=PUBLISHED)
    in_the_outbox(tmp_path, calls["waits"])
    store = Store(tmp_path / "journal")
    read, real = [], store.examined
    monkeypatch.setattr(store, "examined", lambda name: read.append(name) or real(name))
    parts = Recorded(tmp_path, store)
    journals = OldJournals(parts)
    await journals.take_back(["twilio"])
    assert set(read) == {calls["goes_on"], calls["unmade"], calls["kept"]}
    assert parts.told == [("take back", calls["goes_on"]), ("end but of", ("twilio",))]
    parts.told.clear()
    await journals.run(rest=0)
    told = [("await", calls["kept"]), ("expect", calls["kept"]), ("await", calls["waits"]), ("expect", calls["waits"])]
    assert parts.told == [("finish", calls["unmade"]), *told]
    assert journals.found == 4
    await store.close()


@pytest.mark.parametrize("seen", ["before adapters attach", "afterwards"])
async def test_a_call_that_another_one_took_in_is_no_call_of_its_own(tmp_path, seen):
    inner = uuid_of(2)
    merged = ev.Merged(at=at(3), call=inner, events=())
    calls = await left(tmp_path, outer=[merged, *PUBLISHED], inner=[])
    if seen == "afterwards":
        in_the_outbox(tmp_path, calls["outer"])
    store = Store(tmp_path / "journal")
    parts = Recorded(tmp_path, store)
    journals = OldJournals(parts)
    await journals.take_back(["twilio"])
    assert len(parts.calls) == (seen == "afterwards")
    await journals.run(rest=0)
    assert parts.calls == []
    await store.close()
    assert not (tmp_path / "journal" / inner).exists()
    assert (tmp_path / "journal" / calls["outer"]).exists()


@pytest.mark.parametrize("folder", ["pending", "kept"])
async def test_a_call_whose_vcon_the_outbox_has_is_over_also_where_its_journal_lost_its_end(tmp_path, folder):
    calls = await left(tmp_path, cut=[])
    in_the_outbox(tmp_path, calls["cut"], folder)
    store = Store(tmp_path / "journal")
    parts = Recorded(tmp_path, store)
    journals = OldJournals(parts)
    await journals.take_back(["twilio"])
    assert parts.told == [("end but of", ("twilio",))]
    await journals.run(rest=0)
    assert parts.told[1:] == [("end", calls["cut"])]
    await store.close()


async def test_an_outbox_whose_files_cannot_be_listed_keeps_nobody_from_attaching(tmp_path):
    calls = await left(tmp_path, waits=PUBLISHED, goes_on=[])
    (tmp_path / "outbox").write_text("no folder")
    store = Store(tmp_path / "journal")
    parts = Recorded(tmp_path, store)
    journals = OldJournals(parts)
    await journals.take_back(["twilio"])
    assert parts.told[0] == ("take back", calls["goes_on"])
    assert journals.left == 1
    await store.close()


async def test_a_stop_in_between_leaves_the_rest_as_it_is(tmp_path):
    calls = await left(tmp_path, first=ENDED, second=ENDED, third=ENDED)
    store = Store(tmp_path / "journal")
    parts = Recorded(tmp_path, store)
    journals = OldJournals(parts)
    await journals.take_back(["twilio"])
    parts.told.clear()
    parts.take_to_finish = lambda journal: parts.told.append(journal.uuid) or setattr(parts, "stopping", True)
    assert journals.left == 3
    await journals.run(rest=0)
    assert (parts.told, journals.left) == ([calls["first"]], 2)
    await store.close()
    again = Store(tmp_path / "journal")
    assert {journal.uuid for journal in again.recover()} == set(calls.values())
    await again.close()


async def test_one_that_fails_keeps_neither_the_others_nor_its_journal(tmp_path):
    calls = await left(tmp_path, first=ENDED, second=ENDED)
    store = Store(tmp_path / "journal")
    parts = Recorded(tmp_path, store)
    journals = OldJournals(parts)
    await journals.take_back(["twilio"])
    took = []

    def take(journal):
        took.append(journal.uuid)
        if len(took) == 1:
            raise KeyError("a mistake of ours")

    parts.take_to_finish = take
    await journals.run(rest=0)
    assert took == list(calls.values())
    await store.close()
    assert (tmp_path / "journal" / calls["first"] / "events.log").exists()


@pytest.mark.parametrize("step", ["read", "taken back"])
async def test_a_strange_one_without_an_end_keeps_no_daemon_from_starting(tmp_path, monkeypatch, step):
    calls = await left(tmp_path, bad=[], good=[], over=ENDED)
    store = Store(tmp_path / "journal")
    parts = Recorded(tmp_path, store)
    right, back = old_journals.fold, parts.take_back

    def strange(events):
        state = right(events)
        if state.uuid == calls["bad"]:
            raise RecursionError
        return state

    def take_back(journal, now):
        if journal.uuid == calls["bad"]:
            raise MemoryError
        back(journal, now)

    if step == "read":
        monkeypatch.setattr(old_journals, "fold", strange)
    else:
        parts.take_back = take_back
    journals = OldJournals(parts)
    await journals.take_back(["twilio"])
    await journals.run(rest=0)
    assert ("take back", calls["good"]) in parts.told
    assert ("finish", calls["over"]) in parts.told
    assert calls["bad"] not in [uuid for _, uuid in parts.told]
    assert list(store.refused) == [calls["bad"]]
    await store.close()
    assert (tmp_path / "journal" / calls["bad"] / "events.log").exists()


async def test_an_outbox_that_cannot_be_read_for_a_while_is_asked_again(tmp_path, monkeypatch):
    calls = await left(tmp_path, waits=PUBLISHED)
    in_the_outbox(tmp_path, calls["waits"])
    monkeypatch.setattr("vcond.publish.retrying.PAUSES", Backoff(0.0, 0.0))
    store = Store(tmp_path / "journal")
    parts = Recorded(tmp_path, store)
    asked = []

    async def get(uuid):
        asked.append(uuid)
        if len(asked) == 1:
            raise StorageError("cannot read the outbox: the disk does not answer")
        return SimpleNamespace(stage="open", closed_at=0)

    parts.get = get
    journals = OldJournals(parts)
    await journals.take_back(["twilio"])
    await journals.run(rest=0)
    assert asked == [calls["waits"]] * 2
    assert parts.told[-1] == ("expect", calls["waits"])
    await store.close()


@pytest.mark.parametrize("trouble", [FileNotFoundError(2, "gone"), OSError(30, "Read-only file system")])
async def test_forms_of_an_earlier_run_that_cannot_be_deleted_end_nothing(tmp_path, trouble):
    going, over, asked = uuid_of(1), uuid_of(2), []
    for name in (f".{going}.sink.tmp", f"{over}.sink", f"{over}.other"):
        (tmp_path / name).touch()

    class Disk(Files):
        def delete_one(self, path, *, folder=False):
            asked.append(path)
            raise trouble

    async def get(uuid):
        return SimpleNamespace(closed_at=int(uuid == over))

    await MadeForms(tmp_path, [], Disk()).clean_left(SimpleNamespace(get=get))
    assert not any(going in path for path in asked)
    assert len(asked) == (2 if trouble.errno == 2 else 1)


def daemon(tmp_path, monkeypatch, adapter):
    monkeypatch.setattr(module.plugins, "adapters", lambda _: {"twilio": adapter})
    config = tmp_path / "vcond.toml"
    config.write_text(DAEMON.format(folder=tmp_path, sink="vcons", more=""))
    return Daemon(load(config, os.environ), clock=SteadyClock())


def speaks(host, key):
    """One frame of one party."""
    call = host.call(key, at=host.clock.now())
    party = call.party("a", at=host.clock.now())
    track = call.track(party, at=host.clock.now(), codec=Codec.PCMU, rate=8000, clock=ArrivalClock())
    track.write(b"\xff" * 160, arrived=host.clock.now())
    return call


async def test_a_call_is_taken_up_in_its_own_journal_before_the_outbox_is_open(tmp_path, monkeypatch):
    now = SteadyClock().now()
    calls = await left(tmp_path / "state", Instant(now - 5 * SECOND), waits=PUBLISHED, goes_on=[])
    in_the_outbox(tmp_path / "state", calls["waits"])
    captured = threading.Event()
    got = {}

    class Slow(OutboxStore):
        def __init__(self, *given, **more):
            assert captured.wait(30), "capture waits for the outbox"
            super().__init__(*given, **more)

    class Adapter:
        async def run(self, host):
            got["unfinished"] = [call.uuid for call in host.unfinished()]
            got["uuid"] = speaks(host, "goes_on").uuid
            got["open"] = [one.uuid for one in host.open_calls()]
            host.attached(True)
            captured.set()
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.Event().wait()

    monkeypatch.setattr("vcond.delivery.outbox.OutboxStore", Slow)
    async with asyncio.timeout(60):
        await daemon(tmp_path, monkeypatch, Adapter()).run()
    assert got["unfinished"] == got["open"] == [got["uuid"]] == [calls["goes_on"]]
    journals = {path.name for path in (tmp_path / "state" / "journal").iterdir() if len(path.name) == 36}
    assert journals - {calls["waits"]} == {calls["goes_on"]}, "no call is opened twice"


async def test_a_call_of_last_week_is_over_and_one_of_its_key_is_a_call_of_its_own(tmp_path, monkeypatch):
    """Taken up, its recording would be of a gap of a week."""
    week = Instant(SteadyClock().now() - 7 * 86_400 * SECOND)
    paused = ev.RecordingPaused(at=week, by="operator")
    calls = await left(tmp_path / "state", week, goes_on=[paused])
    got = {}

    class Adapter:
        async def run(self, host):
            got["unfinished"] = list(host.unfinished())
            call = speaks(host, "goes_on")
            got["uuid"], got["paused"] = call.uuid, call.state.paused
            call.end(at=host.clock.now(), cause=Cause(text="normal"))
            host.attached(True)
            await the_daemon.parts.outbox.opened.wait()
            await the_daemon.parts.finisher.idle()
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.Event().wait()

    the_daemon = daemon(tmp_path, monkeypatch, Adapter())
    async with asyncio.timeout(60):
        await the_daemon.run()
    assert got["unfinished"] == []
    assert got["uuid"] != calls["goes_on"]
    assert got["paused"], "what its operator paused stays so"
    vcons = [json.loads(path.read_text()) for path in (tmp_path / "vcons").rglob("*.vcon.json")]
    vcons += [json.loads(path.read_text()) for path in (tmp_path / "state/outbox/pending").iterdir()]
    assert {one["uuid"] for one in vcons} == {calls["goes_on"], got["uuid"]}


async def test_while_the_outbox_cannot_be_opened_calls_are_recorded_and_that_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(old_journals, "AGAIN", Backoff(0.0, 0.0))
    tries = []
    mended = threading.Event()
    got = {}

    class Broken(OutboxStore):
        def __init__(self, *given, **more):
            tries.append(given)
            if len(tries) == 3:
                assert mended.wait(30)
            if len(tries) == 1:
                raise MemoryError
            if len(tries) == 2:
                raise StorageError("cannot open the outbox: read-only file system")
            super().__init__(*given, **more)

    class Adapter:
        async def run(self, host):
            host.attached(True)
            while len(tries) < 3:  # noqa: ASYNC110 - two threads in turn, and nobody who tells
                await asyncio.sleep(0)
            parts = the_daemon.parts
            call = speaks(host, "a")
            call.end(at=host.clock.now(), cause=Cause(text="normal"))
            got["ready"] = parts.status.ready()
            got["status"] = await parts.status.reads["status"]({})
            got["sinks"] = await parts.status.reads["sinks"]({})
            with pytest.raises(StorageError, match="read-only file system"):
                await parts.status.reads["outbox"]({})
            mended.set()
            await parts.outbox.opened.wait()
            await parts.finisher.idle()
            got["then"] = parts.status.ready()
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.Event().wait()

    monkeypatch.setattr("vcond.delivery.outbox.OutboxStore", Broken)
    the_daemon = daemon(tmp_path, monkeypatch, Adapter())
    async with asyncio.timeout(60):
        await the_daemon.run()
    why = "cannot open the outbox: read-only file system; calls are recorded, their vCons wait in the journals"
    assert got["ready"]["outbox"] == why
    assert (got["status"]["outbox"], got["status"]["old_journals"]) == ([], 0)
    assert [one["confirmations"] for one in got["sinks"]] == [{}]
    assert "outbox" not in got["then"]
    assert len(tries) == 3


@pytest.mark.parametrize("part", ["app.holding.Holding", "records.forgetting.Forgetter"])
async def test_a_mistake_beside_captured_calls_ends_no_daemon(tmp_path, monkeypatch, part):
    failed = asyncio.Event()

    async def fails(_):
        failed.set()
        raise MemoryError

    class Adapter:
        async def run(self, host):
            host.attached(True)
            await failed.wait()
            speaks(host, "goes_on")
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.Event().wait()

    monkeypatch.setattr(f"vcond.{part}.run", fails)
    async with asyncio.timeout(60):
        await daemon(tmp_path, monkeypatch, Adapter()).run()
