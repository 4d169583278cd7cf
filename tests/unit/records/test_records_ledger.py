"""The ledger: each fact of the outbox is one row, whoever is killed when."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import sqlite3
from pathlib import Path
from types import SimpleNamespace
from uuid import UUID

import pytest
import structlog

from vcond.app import retention
from vcond.base.errors import StorageError
from vcond.call.state import Call
from vcond.delivery import facts, rows
from vcond.delivery.database import open_database, transaction
from vcond.records import chain, heads, ledger_service
from vcond.records.config import RecordsConfig
from vcond.records.database import NAME, open_records
from vcond.records.ledger import RECEIVED, Basis, Ledger, Made, Text
from vcond.records.ledger_made import MOST, made_of
from vcond.records.ledger_service import Records
from vcond.records.subjects import SubjectIndex
from vcond.vcon import Document

NOON = 1_767_614_400_000_000_000
ANN = "tel:+12125550143"
VCON = {
    "parties": [{"tel": "+12125550143", "name": "Ann"}, {"name": "vcond", "type": "bot"}],
    "analysis": [
        {"type": "wtf_transcription", "vendor": "whisper", "product": "tiny.en", "body": {"text": "hello"}},
        {"type": "transcript", "vendor": "whisper", "product": "tiny.en"},
    ],
    "attachments": [
        {
            "purpose": "lawful_basis",
            "party": 0,
            "body": {
                "lawful_basis": "consent",
                "expiration": "2027-01-01T00:00:00Z",
                "purpose_grants": [
                    {"purpose": "recording", "granted": True},
                    {"purpose": "analysis", "granted": False},
                ],
            },
        }
    ],
}


def uuid(number: int) -> str:
    return str(UUID(int=number))


class Outbox:
    """Its database, and the way to it."""

    def __init__(self, root: Path) -> None:
        self.db = open_database(root / "vcond.db", NOON)
        self.opened = asyncio.Event()
        self.opened.set()

    async def tell(self, what, change):
        with transaction(self.db):
            return change(self.db)

    def publish(self, number: int, *sinks: str) -> None:
        with transaction(self.db):
            seq = rows.insert(self.db, uuid(number), f"{number:0128x}", 9, NOON, {})
            rows.add_states_of(self.db, seq, sinks)

    def record(self, number: int, sink: str, state: str, **more) -> None:
        with transaction(self.db):
            found = rows.find(self.db, uuid(number))
            rows.record(self.db, sink, found.seq, rows.Outcome(state, NOON + 1_500_000_000, **more))


@pytest.fixture
def outbox(tmp_path: Path):
    outbox = Outbox(tmp_path)
    yield outbox
    outbox.db.close()


def records(root: Path, **more) -> Records:
    given = {"key": lambda: bytes(32), "domain": "", "forms": {"archive": "signed"}, "now": lambda: NOON} | more
    return Records(root, RecordsConfig(region="US"), **given)


async def told(root: Path, outbox: Outbox, **more) -> list[dict]:
    one = records(root, **more)
    await one.follow(outbox)
    found = await one.ask(lambda ledger, _: ledger.rows())
    await one.close()
    return found


async def test_a_vcon_is_told_of_from_its_making_to_its_receivers(tmp_path: Path, outbox: Outbox) -> None:
    one = records(tmp_path)
    await one.note(uuid(1), uuid(1), VCON, made_of(VCON, machine="edge", adapter="asterisk"))
    outbox.publish(1, "archive", "crm")
    outbox.record(
        1, "archive", "delivered", status=201, target="https://archive.example/vcon", answer="stored", sent="signed ab"
    )
    outbox.record(1, "crm", "dead", status=422, reason="refused:422")
    await one.follow(outbox)
    created, enhanced, sent, refused = await one.ask(lambda ledger, _: ledger.rows())
    token = await one.ask(lambda _, index: index.token(ANN, uuid(1)))
    name = await one.ask(lambda _, index: index.token("name:Ann", uuid(1)))
    assert created["event"] == "vcon_created"
    assert created["at"] == "2026-01-05T12:00:00Z"
    assert (created["vcon"], created["call"], created["sha512"]) == (uuid(1), uuid(1), f"{1:0128x}")
    assert [sorted(party) for party in created["parties"]] == [sorted([token, name])]
    assert created["made"] == {
        "machine": "edge",
        "adapter": "asterisk",
        "texts": [{"engine": "whisper", "model": "tiny.en"}],
        "bases": [{"basis": "consent", "party": 0, "expiration": "2027-01-01T00:00:00Z", "granted": ["recording"],
                   "denied": ["analysis"]}],
    }  # fmt: skip
    assert (enhanced["event"], enhanced["by"]) == ("vcon_enhanced", "whisper tiny.en")
    assert sent == {
        "seq": 3, "at": "2026-01-05T12:00:01.5Z", "event": "vcon_sent", "vcon": uuid(1), "call": uuid(1), "sink": "archive",
        "target": "https://archive.example/vcon", "form": "signed", "sha512": f"{1:0128x}", "sent": "ab", "bytes": 9, "status": 201,
        "answer": hashlib.sha256(b"stored").hexdigest(),
    }  # fmt: skip
    assert (refused["event"], refused["sink"], refused["status"]) == ("refused", "crm", 422)
    assert not outbox.db.execute("SELECT 1 FROM delivery_facts").fetchone()
    await one.close()
    assert all(word not in (tmp_path / NAME).read_bytes() for word in (b"hello", b"2125550143", b"Ann"))


async def test_what_another_machine_made_is_received_and_was_heard_there(tmp_path: Path, outbox: Outbox) -> None:
    one = records(tmp_path)
    await one.note(uuid(1), uuid(1), VCON, made_of(VCON, kind=RECEIVED, machine="branch", adapter="hub"))
    outbox.publish(1)
    await one.follow(outbox)
    (row,) = await one.ask(lambda ledger, _: ledger.rows())
    assert (row["event"], row["made"]["machine"]) == ("vcon_received", "branch")
    assert row["made"]["texts"] == [{"engine": "whisper", "model": "tiny.en"}]
    await one.close()


async def test_sending_again_is_told_again_and_a_try_that_failed_is_not(tmp_path: Path, outbox: Outbox) -> None:
    outbox.publish(1, "archive")
    outbox.record(1, "archive", "pending", status=500)
    outbox.record(1, "archive", "delivered")
    with transaction(outbox.db):
        outbox.db.execute("UPDATE delivery_states SET state = 'pending'")
    outbox.record(1, "archive", "delivered")
    events = [row["event"] for row in await told(tmp_path, outbox)]
    assert events == ["vcon_created", "vcon_sent", "vcon_sent"]


async def test_what_is_given_up_and_what_is_lost_is_told(tmp_path: Path, outbox: Outbox) -> None:
    outbox.publish(1, "archive")
    outbox.record(1, "archive", "dead", reason="preflight")
    outbox.publish(2, "archive")
    with transaction(outbox.db):
        assert rows.discard(outbox.db, uuid(1), ["archive"], NOON) == ["archive"]
        rows.lose(outbox.db, 2, NOON)
    events = [(row["event"], row["vcon"]) for row in await told(tmp_path, outbox)]
    assert events == [("vcon_created", uuid(1)), ("vcon_created", uuid(2)), ("discarded", uuid(1)), ("lost", uuid(2))]


async def test_an_outbox_of_before_is_told_of_once(tmp_path: Path) -> None:
    db = open_database(tmp_path / "vcond.db", NOON)
    for number in range(5):
        db.execute(f"DROP TRIGGER delivery_facts_{number}")
    db.execute("DROP TABLE delivery_facts")
    db.execute("ALTER TABLE delivery_states DROP COLUMN sent")
    db.execute("INSERT INTO delivery_vcons VALUES (1, ?, 'ab', 9, ?, 0, 'open', '{}')", (uuid(1), NOON))
    db.execute("INSERT INTO delivery_states (sink, seq, state, last_at) VALUES ('archive', 1, 'delivered', ?)", (NOON,))
    db.execute("INSERT INTO delivery_states (sink, seq, state) VALUES ('crm', 1, 'pending')")
    db.close()
    for _ in range(2):
        outbox = Outbox(tmp_path)
        found = await told(tmp_path, outbox)
        outbox.db.close()
        assert [(row["event"], row.get("sink", "")) for row in found] == [
            ("vcon_created", ""),
            ("vcon_sent", "archive"),
        ]


async def test_an_earlier_version_that_knows_nothing_of_it_still_tells(tmp_path: Path, outbox: Outbox) -> None:
    """Its statements, as they were before the ledger."""
    outbox.db.execute(
        "INSERT INTO delivery_vcons (uuid, sha512, bytes, published_at, stage, facts) VALUES (?, 'ab', 9, ?, 'open', '{}')",
        (uuid(1), NOON),
    )
    outbox.db.execute("INSERT OR IGNORE INTO delivery_states (sink, seq, state) VALUES ('archive', 1, 'pending')")
    outbox.db.execute(
        "UPDATE delivery_states SET state = 'delivered', attempts = attempts + 1, next_at = 0, last_at = 7, status = 201, "
        "reason = '', answer = '', target = 'there' WHERE sink = 'archive' AND seq = 1 AND state != 'delivered'"
    )
    assert [row["event"] for row in await told(tmp_path, outbox)] == ["vcon_created", "vcon_sent"]


class KilledError(Exception):
    """The process is no more."""


async def test_killed_between_any_two_steps_no_row_is_lost_and_none_is_double(tmp_path: Path, outbox: Outbox) -> None:
    """Each run dies at one step further; what was acknowledged before it stays."""
    for at in range(1, 9):
        outbox.publish(at, "archive")
        outbox.record(at, "archive", "delivered")
        steps = iter(range(99))

        async def tell(what, change, steps=steps, at=at):
            if next(steps) == at % 4:
                raise KilledError
            return await Outbox.tell(outbox, what, change)

        one = records(tmp_path)
        with contextlib.suppress(KilledError):
            await one.follow(SimpleNamespace(opened=outbox.opened, tell=tell))
        one._db = one._db and one._db.close()
        await one.close()
    found = await told(tmp_path, outbox)
    assert sorted((row["vcon"], row["event"]) for row in found) == sorted(
        (uuid(number), event) for number in range(1, 9) for event in ("vcon_created", "vcon_sent")
    )


async def test_a_database_of_the_outbox_that_was_lost_does_not_make_a_vcon_twice(
    tmp_path: Path, outbox: Outbox
) -> None:
    outbox.publish(1)
    await told(tmp_path, outbox)
    with transaction(outbox.db):
        outbox.db.execute("DELETE FROM delivery_vcons")
    outbox.publish(1)
    assert [row["event"] for row in await told(tmp_path, outbox)] == ["vcon_created"]


async def test_other_facts_are_told_once_by_name_and_texts_are_short(tmp_path: Path) -> None:
    one = records(tmp_path)
    for _ in range(2):
        await one.tell("forgotten", fact="request 7", vcon=uuid(1), by="operator", reason="x" * 9999)
        await one.tell("read", vcon=uuid(1), by="page")
    found = await one.ask(lambda ledger, _: ledger.rows())
    assert [row["event"] for row in found] == ["forgotten", "read", "read"]
    assert len(found[0]["reason"]) == 512
    await one.close()


async def test_rows_are_found_by_vcon_call_and_sink(tmp_path: Path) -> None:
    one = records(tmp_path)
    await one.tell("read", vcon=uuid(1), call=uuid(1))
    await one.tell("read", vcon=uuid(2), call=uuid(1), sink="archive")
    await one.tell("read", vcon=uuid(3), call=uuid(3))

    async def seqs(**query) -> list[int]:
        return [row["seq"] for row in await one.ask(lambda ledger, _: ledger.rows(**query))]

    assert await seqs(vcons=[uuid(1)]) == [1, 2]
    assert await seqs(vcons=[uuid(2), uuid(3)]) == [2, 3]
    assert await seqs(sink="archive") == [2]
    assert await seqs(limit=1) == [3]
    await one.close()


# Heads.


async def test_a_head_is_written_every_hour_and_at_the_end_when_there_is_something_new(
    tmp_path: Path, outbox: Outbox
) -> None:
    time = [NOON]
    one = records(tmp_path, now=lambda: time[0])
    file = heads.Heads(tmp_path / heads.NAME)
    for number, minutes in enumerate((0, 10, 20, 61, 70), 1):
        time[0] = NOON + minutes * 60_000_000_000
        outbox.publish(number)
        await one.follow(outbox)
    await one.follow(outbox)
    assert [head.rows for head in file.read()[0]] == [1, 4]
    with structlog.testing.capture_logs() as logs:
        await one.close()
    found = file.read()[0]
    assert [head.rows for head in found] == [1, 4, 5]
    assert [line["hash"] for line in logs if line["event"] == "ledger head"] == [found[-1].hash]
    again = records(tmp_path)
    await again.follow(outbox)
    await again.close()
    assert len(file.read()[0]) == 3, "nothing new, no head"


async def test_rows_that_are_gone_are_told_of_at_the_next_start(tmp_path: Path, outbox: Outbox) -> None:
    outbox.publish(1)
    outbox.publish(2)
    await told(tmp_path, outbox)
    db = open_records(tmp_path / NAME)
    db.execute("DELETE FROM ledger WHERE seq = 2")
    db.close()
    with structlog.testing.capture_logs() as logs:
        await told(tmp_path, outbox)
    assert [line["rows"] for line in logs if line["log_level"] == "error"] == [2]


async def test_a_damaged_database_is_moved_aside_and_a_new_ledger_begun(tmp_path: Path, outbox: Outbox) -> None:
    outbox.publish(1)
    await told(tmp_path, outbox)
    (tmp_path / NAME).write_bytes(b"no database at all" * 500)
    outbox.publish(2)
    with structlog.testing.capture_logs() as logs:
        found = await told(tmp_path, outbox)
    assert [row["vcon"] for row in found] == [uuid(2)]
    assert (tmp_path / f"{NAME}.broken-{NOON}").exists()
    assert len([line for line in logs if line["log_level"] == "error"]) == 2


async def test_a_disk_that_is_gone_is_told_of_once_and_nothing_is_dropped(tmp_path: Path, outbox: Outbox) -> None:
    def no_key() -> bytes:
        raise StorageError("no disk")

    outbox.publish(1)
    one = records(tmp_path, key=no_key)
    with structlog.testing.capture_logs() as logs:
        for _ in range(2):
            with pytest.raises(StorageError) as why:
                await one.follow(outbox)
            one._say(str(why.value))
    assert [line["event"] for line in logs] == [
        "cannot write the ledger; it is tried again, and nothing is lost meanwhile"
    ]
    assert one.trouble == "no disk"
    assert facts.waiting(outbox.db, 9)
    await one.close()


async def test_a_mistake_in_the_ledger_takes_nothing_else_with_it(tmp_path: Path, outbox: Outbox, monkeypatch) -> None:
    one, looks = records(tmp_path), asyncio.Queue()
    monkeypatch.setattr(ledger_service, "LOOK", 0)

    async def tell(what, change):
        await looks.put(what)
        raise KeyError(what)

    with structlog.testing.capture_logs() as logs:
        running = asyncio.create_task(one.run(SimpleNamespace(opened=outbox.opened, tell=tell)))
        for _ in range(3):
            await looks.get()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert one.trouble == "KeyError"
    assert [line["event"] for line in logs] == ["internal error in the ledger; it is tried again, please report it"]
    await one.close()


def test_what_a_power_loss_left_of_a_head_is_cut_off(tmp_path: Path) -> None:
    file = heads.Heads(tmp_path / "other" / "heads")
    file.write(heads.made("ab", chain.End(1, bytes(32)), NOON))
    with file.path.open("ab") as torn:
        torn.write(b'{"ledger":"a')
    assert [len(part) for part in file.read()] == [1, 0]
    file.write(heads.made("ab", chain.End(2, bytes(32)), NOON))
    found, wrong = file.read()
    assert ([head.rows for head in found], wrong) == ([1, 2], [])
    assert file.path.stat().st_mode & 0o777 == 0o600


def test_heads_of_another_ledger_contradictions_and_nonsense_are_faults(tmp_path: Path) -> None:
    file = heads.Heads(tmp_path / "heads")
    for line in (
        heads.made("ab", chain.End(1, bytes(32)), NOON),
        heads.made("ab", chain.End(1, bytes([1] * 32)), NOON),
        heads.made("cd", chain.End(3, bytes(32)), NOON),
        b"nonsense",
    ):
        file.write(line)
    found, wrong = file.read()
    known, more = heads.by_rows(found, "ab")
    assert known == {1: bytes(32)}
    assert len(wrong) == 1
    assert "line 4" in wrong[0].text
    assert [fault.row for fault in more] == [1, 0]


def test_what_others_wrote_into_a_vcon_is_read_as_far_as_it_makes_sense() -> None:
    assert made_of({}) == Made()
    strange = {
        "analysis": [{"vendor": ["x"]}, 5, {"vendor": "v", "product": 7}],
        "attachments": [
            {"type": "lawful_basis", "body": json.dumps({"lawful_basis": "contract", "purpose_grants": "all"})},
            {"purpose": "lawful_basis", "body": "{"},
            {"purpose": "lawful_basis", "body": {"lawful_basis": 5}},
            {"purpose": "tags", "body": {"lawful_basis": "consent"}},
        ],
    }
    assert made_of(strange) == Made(texts=[Text("['x']"), Text("v")], bases=[Basis("contract", 0)])


def test_machines_that_transcribed_for_this_one_are_named() -> None:
    engines = ["vosk/m@gpu-1", "vosk/m", "@", "vosk@gpu-1", 5, "x/y/z@gpu-2"]
    wtf = {"vendor": "vosk", "product": "m", "body": {"metadata": {"options": {"engines": engines}}}}
    texts = [Text("vosk", "m"), Text("vosk", "m at gpu-1"), Text("x", "y/z at gpu-2")]
    assert made_of({"analysis": [wtf]}) == Made(texts=texts)
    for strange in (None, "x", [], {"metadata": 5}, {"metadata": {"options": {"engines": "vosk/m@gpu-1"}}}):
        assert made_of({"analysis": [{"vendor": "v", "body": strange}]}) == Made(texts=[Text("v")])


def test_a_row_has_some_of_many_bases_and_the_first_that_ends_counts_wherever_it_stands() -> None:
    ends = ["2030-01-01T00:00:00Z"] * MOST + ["soon", "2026-12-24T00:00:00Z"]
    bodies = [{"lawful_basis": "consent", "expiration": one} for one in ends]
    document: Document = {"attachments": [{"purpose": "lawful_basis", "body": body} for body in bodies]}
    assert len(made_of(document).bases) == MOST
    assert retention.facts((), Call(), document) == {"expires": "2026-12-24T00:00:00Z"}


def test_a_row_is_json_that_begins_with_its_number(tmp_path: Path) -> None:
    db = open_records(tmp_path / NAME)
    ledger = Ledger(db, SubjectIndex(db, bytes(32)))
    ledger.tell("read", NOON, by='"}{')
    ((seq, row, hashed),) = chain.stored(db)
    assert row == '{"seq":1,"at":"2026-01-05T12:00:00Z","event":"read","by":"\\"}{"}'
    assert hashed == hashlib.sha256(bytes(32) + row.encode()).digest()
    assert seq == 1
    with pytest.raises(sqlite3.IntegrityError):
        db.execute("INSERT INTO ledger SELECT 2, fact, row, hash FROM ledger")
    db.close()
