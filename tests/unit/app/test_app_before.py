"""What the version before left on the disk is read by this one, and what the next one leaves is left alone. See tests/data/before."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import sqlite3
import zlib
from collections import Counter
from pathlib import Path
from random import Random

import msgpack
import pytest

from vcond.app.daemon import Daemon
from vcond.base.errors import JournalError, StorageError
from vcond.base.time import SECOND
from vcond.call import events as ev
from vcond.call.state import fold
from vcond.capture.clock import SteadyClock
from vcond.config import load
from vcond.delivery import Outbox, OutboxConfig
from vcond.delivery.database import open_database
from vcond.journal import read_folder
from vcond.journal.records import FORMAT, Reader, encode
from vcond.sdk.sink import OutgoingVcon, Receipt
from vcond.speech.models import graph_cache, store
from vcond.vcon import read, serialize

BEFORE = Path(__file__).resolve().parents[2] / "data" / "before"
TOLD = json.loads((BEFORE / "told.json").read_text())
CALLS, DELIVERED = TOLD["calls"], TOLD["delivered"]
LATER = (1_795_339_662 + 86_400) * SECOND
"""A day after the calls, as when that version was asked."""
CONFIG = (BEFORE / "vcond.toml").read_text()


class Whole(Daemon):
    """Goes on until the amended vCons are there, too."""

    def _finishing(self) -> bool:
        return bool(self.parts.finisher.busy) or len(self.parts.finisher.amender) > 0


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return Path(shutil.copytree(BEFORE / "state", tmp_path / "state"))


@pytest.fixture
def daemon(state: Path) -> Daemon:
    config = state.parent / "vcond.toml"
    config.write_text(CONFIG.format(state.parent))
    return Whole(load(config, os.environ), clock=SteadyClock(lambda: LATER, lambda: LATER))


def delivered(state: Path) -> dict[str, dict[str, str]]:
    """By sink, by uuid, the SHA-512 of the vCon."""
    return {
        sink: {
            file.name.removesuffix(".vcon.json"): hashlib.sha512(without_findings(file.read_bytes())).hexdigest()
            for file in (state.parent / sink).glob("*.vcon.json")
        }
        for sink in DELIVERED
    }


def without_findings(body: bytes) -> bytes:
    """A vCon without what this version says of it and that one did not: findings, warnings of the call as sentences, places of a loss."""
    document, changed = read(body), False
    for report in [one["body"] for one in document["attachments"] if one["purpose"] == "vcond-capture-report"]:
        for party in report["parties"]:
            changed |= party.pop("lost_at", None) is not None
            party.pop("lost_places", None)
        if report.pop("findings", None) is not None:
            changed = True
            told = {warned["text"] for warned in report["warnings"]}
            lists = [report["notes"]]
            lists += [
                a["body"]["quality"]["processing_warnings"]
                for a in document.get("analysis", [])
                if "quality" in a["body"]
            ]
            for texts in lists:
                texts[:] = [text for text in texts if text not in told]
    return serialize(document) if changed else body


def rows(state: Path, asked: str) -> set[tuple[object, ...]]:
    database = sqlite3.connect(state / "vcond.db")
    try:
        return set(database.execute(asked))
    finally:
        database.close()


def everything(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.mark.parametrize("name", CALLS)
def test_a_journal_of_the_version_before_tells_all_that_it_told_that_version(name):
    events, damage = read_folder(BEFORE / "state" / "journal" / CALLS[name])
    assert len(events) == TOLD["events"][name]
    assert bool(damage) == (name in {"cut", "damaged"})
    assert not any(isinstance(event, ev.Unknown) for event in events)
    assert fold(events).odd == 0


async def test_every_vcon_is_the_one_that_the_version_before_would_have_made_and_goes_where_it_had_not_been(
    state, daemon
):
    await daemon.recover_only()
    assert delivered(state) == DELIVERED
    assert not daemon.parts.store.refused
    assert not any((state / "journal").glob("*/events.log"))
    # refused by their receiver: the dead letters stay, with their file
    dead = rows(
        state, "SELECT sink, uuid, reason FROM delivery_states JOIN delivery_vcons USING (seq) WHERE state = 'dead'"
    )
    (uuid,) = {uuid for _, uuid, _ in dead}
    assert dead == {(sink, uuid, "refused:422") for sink in DELIVERED}
    assert [file.name for file in (state / "outbox" / "pending").iterdir()] == [f"{uuid}.vcon.json"]
    assert not any((state / "outbox" / "aside").iterdir())


async def test_the_damaged_end_of_a_journal_of_the_version_before_is_kept_beside_it(state, daemon):
    log = (state / "journal" / CALLS["damaged"] / "events.log").read_bytes()
    _, damage = read_folder(state / "journal" / CALLS["damaged"])
    good = int(damage.removeprefix("byte ").partition(":")[0])
    async with daemon._made():
        journals = {journal.uuid: journal for journal in daemon.parts.store.recover()}
        await journals[CALLS["damaged"]].flush()
        assert (state / "journal" / CALLS["damaged"] / "events.damaged-1").read_bytes() == log[good:]


class Memory:
    """A sink that takes everything."""

    profile, concurrency, address, max_bytes = "core", 1, "", 0

    def __init__(self, name: str) -> None:
        self.name, self.got = name, []

    async def deliver(self, record: OutgoingVcon) -> Receipt:
        self.got.append(record.uuid)
        return Receipt(0, self.name, "taken")

    async def close(self) -> None:
        pass


async def test_an_outbox_that_both_versions_wrote_in_turn_brings_every_sink_what_it_lacks_once(tmp_path):
    folder = Path(shutil.copytree(BEFORE / "half", tmp_path / "half"))
    took = TOLD["half"]
    whole = set(took["archive"])
    sinks = [Memory(name) for name in took]
    told: list[str] = []

    def heard(uuid: str) -> None:
        told.append(uuid)
        if set(told) == left:
            running.cancel()

    left = whole - set(took["crm"])
    outbox = Outbox(
        folder / "outbox", sinks, database=folder / "vcond.db", clock=SteadyClock(lambda: LATER, lambda: LATER),
        rng=Random(1), config=OutboxConfig(drain=0), on_delivered=heard,
    )  # fmt: skip
    async with outbox:
        running = asyncio.create_task(outbox.run())
        await asyncio.wait({running})
    assert {sink.name: Counter(took[sink.name] + sink.got) for sink in sinks} == {name: Counter(whole) for name in took}


def test_a_model_of_the_version_before_is_whole_and_its_graph_is_used():
    assert store.installed(BEFORE / "models") == [BEFORE / "models" / "tiny-en"]
    assert store.verify(BEFORE / "models" / "tiny-en") == []
    assert graph_cache.look(BEFORE / "models" / "tiny-en").ready


def test_a_step_back_to_the_version_before_works_as_nothing_changed_on_the_disk(state, tmp_path):
    """A new format or table is the place to think of it: what is not read there must say so, as below."""
    reader = Reader()
    reader.feed((state / "journal" / CALLS["ended"] / "events.log").read_bytes())
    assert reader.version == FORMAT
    ours = open_database(tmp_path / "new.db", 0)
    asked = "SELECT name, sql FROM sqlite_master WHERE name LIKE 'delivery_%'"
    later = {"delivery_vcons_kept", "delivery_confirmations"}
    """An index, which the version before keeps as it keeps its own, and a table that it never looks at."""
    told = {"delivery_facts", *(f"delivery_facts_{number}" for number in range(5))}
    """A table that it never looks at, and triggers, by which SQLite tells the ledger also of what that version does."""
    column = ", sent TEXT NOT NULL DEFAULT ''"
    """Which that version never names: it reads and writes columns by name."""
    found = {(name, sql and sql.replace(column, "")) for name, sql in ours.execute(asked)}
    assert {row for row in found if row[0] not in later | told} == rows(state, asked)
    assert set(ours.execute("SELECT version FROM delivery_schema")) == rows(
        state, "SELECT version FROM delivery_schema"
    )
    ours.close()


def of_the_next_version(state: Path, call: str) -> Path:
    """The journal of a call, as a vcond would begin it that writes another format."""
    log = state / "journal" / call / "events.log"
    whole = log.read_bytes()
    events, _ = read_folder(log.parent)
    first = msgpack.unpackb(msgpack.unpackb(encode(events[0], first=True))[1])
    payload = msgpack.packb(first | {"v": FORMAT + 1, "new": "what it adds"})
    log.write_bytes(msgpack.packb([zlib.crc32(payload), payload]) + whole[len(encode(events[0], first=True)) :])
    return log.parent


async def test_a_journal_of_the_next_version_is_left_alone_with_clear_words_and_all_others_go_on(state, daemon, capsys):
    call = CALLS["ended"]
    folder = of_the_next_version(state, call)
    before = everything(folder)
    words = (
        f"{folder / 'events.log'}: written by a newer vcond (format {FORMAT + 1}, this version knows {FORMAT}): "
        "start that version again to finish its calls"
    )
    await daemon.recover_only()
    assert everything(folder) == before
    assert daemon.parts.store.refused == {call: words}
    assert delivered(state) == {
        sink: {uuid: sha512 for uuid, sha512 in vcons.items() if uuid != call} for sink, vcons in DELIVERED.items()
    }
    with pytest.raises(JournalError) as refused:
        read_folder(folder)
    assert str(refused.value) == words
    # and that version reads it when it is back: there is no call of that name until then
    with pytest.raises(ValueError, match="journal already"):
        daemon.parts.store.open(ev.CallOpened(at=LATER, call=call, adapter="test", key="k"))


async def test_an_outbox_of_the_next_version_is_refused_in_one_line_and_nothing_is_touched(state, daemon):
    database = sqlite3.connect(state / "vcond.db")
    database.execute("UPDATE delivery_schema SET version = version + 1")
    database.commit()
    database.close()
    before = {name: data for name, data in everything(state).items() if name.startswith(("journal/0", "outbox/"))}
    assert len(before) == 33
    with pytest.raises(StorageError) as refused:
        await daemon.recover_only()
    assert str(refused.value) == (
        "the database was written by a newer vcond (delivery tables 2, this version knows 1): "
        "install that version again, or move the file away (vCons in the outbox are then sent again)"
    )
    after = everything(state)
    assert {name: after.get(name) for name in before} == before
    assert rows(state, "SELECT count(*) FROM delivery_vcons") == {(8,)}
