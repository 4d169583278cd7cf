"""``vcond ledger``: what happened, and whether it is whole."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from uuid import UUID

import pytest
from typer.testing import CliRunner

from vcond.base.errors import OperatorError
from vcond.cli.app import app
from vcond.delivery import facts, rows
from vcond.delivery.database import open_database, transaction
from vcond.records import heads
from vcond.records.database import NAME, open_records
from vcond.records.ledger import Ledger
from vcond.records.subjects import SubjectIndex
from vcond.records.subjects_key import index_key
from vcond.testing.certificates import certificate
from vcond.vcon.sealing.keys import load_signer
from vcond.vcon.sealing.sign import signed

NOON = 1_767_614_400_000_000_000


def uuid(number: int) -> str:
    return str(UUID(int=number))


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    return certificate(tmp_path)


@pytest.fixture
def config(tmp_path: Path, pair: tuple[Path, Path]) -> Path:
    """Two vCons, of which the archive has both; a head, signed, of all."""
    state = tmp_path / "state"
    state.mkdir()
    file = tmp_path / "vcond.toml"
    file.write_text(
        f'[vcond]\nstate_dir = "{state}"\n[records]\nregion = "US"\n[seal]\nalgorithm = "ES256"\nkey = "{pair[1]}"\n'
        f'certificates = "{pair[0]}"\n'
    )
    outbox = open_database(state / "vcond.db", NOON)
    db = open_records(state / NAME)
    index = SubjectIndex(db, index_key(state, None), region="US")
    ledger = Ledger(db, index)
    with transaction(outbox):
        for number in (1, 2):
            seq = rows.insert(outbox, uuid(number), "ab" * 64, 9, NOON, {})
            rows.add_states_of(outbox, seq, ["archive"])
            rows.record(outbox, "archive", seq, rows.Outcome("delivered", NOON, status=201, target="https://a.example"))
    index.note(uuid(1), uuid(1), [["tel:+12125550143"]], NOON)
    index.note(uuid(2), uuid(2), [["name:Bob"]], NOON)
    ledger.follow(facts.waiting(outbox, 99), {"archive": "plain"})
    with transaction(outbox):
        facts.drop(outbox, 99)
    signer = load_signer(pair[1].read_bytes(), pair[0].read_bytes(), algorithm="ES256")
    end = ledger.end()
    line = heads.made(ledger.id, end, NOON, lambda head: bytes(signed(head, signer, NOON)))
    heads.Heads(state / heads.NAME).write(line)
    db.close()
    outbox.close()
    return file


def run(config: Path, *words: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, [*words, "--config", str(config)])
    assert result.exit_code == code, (result.output, result.exception)
    return result.output


def change(config: Path, statement: str, name: str = NAME) -> None:
    db = sqlite3.connect(config.parent / "state" / name)
    db.execute(statement)
    db.commit()
    db.close()


def test_rows_are_shown_for_people_and_programs(config: Path) -> None:
    told = run(config, "ledger")
    assert "vcon_created" in told
    assert "archive plain https://a.example, status 201" in told
    found = json.loads(run(config, "ledger", "--json"))
    assert [row["event"] for row in found] == ["vcon_created", "vcon_sent", "vcon_created", "vcon_sent"]
    assert "2125550143" not in run(config, "ledger", "--json")


@pytest.mark.parametrize(
    ("option", "value", "seqs"),
    [
        ("--call", uuid(2), [3, 4]),
        ("--party", "(212) 555-0143", [1, 2]),
        ("--party", "name:bob", [3, 4]),
        ("--party", "name:nobody", []),
        ("--sink", "archive", [2, 4]),
        ("--sink", "other", []),
        ("--limit", "1", [4]),
    ],
)
def test_of_a_call_a_person_or_a_sink(config: Path, option: str, value: str, seqs: list[int]) -> None:
    assert [row["seq"] for row in json.loads(run(config, "ledger", option, value, "--json"))] == seqs


def test_a_person_that_is_none_is_refused_with_what_to_say(config: Path) -> None:
    result = CliRunner().invoke(app, ["ledger", "--party", "Bob", "--config", str(config)])
    assert result.exit_code == 2
    assert "tel:" in result.output


@pytest.mark.parametrize("limit", ["0", "-1", "many", "10000001", "9" * 30, "1.5"])
def test_a_limit_that_is_none_is_refused_with_its_bounds(config: Path, limit: str) -> None:
    result = CliRunner().invoke(app, ["ledger", "--limit", limit, "--config", str(config)])
    assert result.exit_code == 2
    assert "1 to 10,000,000" in result.output


def test_a_whole_ledger_verifies_with_and_without_signatures(config: Path, pair: tuple[Path, Path]) -> None:
    assert "4 rows, 1 heads: whole" in run(config, "ledger", "verify")
    assert json.loads(run(config, "ledger", "verify", "--trust", str(pair[0]), "--json"))["signed"] is True


@pytest.mark.parametrize(
    ("statement", "name", "words"),
    [
        ("UPDATE ledger SET row = replace(row, 'a.example', 'b.example') WHERE seq = 2", NAME, "row 2 does not follow"),
        ("DELETE FROM ledger WHERE seq = 4", NAME, "its end was cut off"),
        ("UPDATE records_schema SET id = randomblob(16)", NAME, "another ledger"),
        ("UPDATE delivery_states SET state = 'pending', last_at = 0", "vcond.db", ""),
        (
            "UPDATE delivery_states SET sink = 'crm' WHERE seq = 1",
            "vcond.db",
            "was delivered to crm, and no row says so",
        ),
    ],
)
def test_what_is_wrong_is_named(config: Path, statement: str, name: str, words: str) -> None:
    change(config, statement, name)
    told = run(config, "ledger", "verify", code=1 if words else 0)
    assert words in told


def test_what_the_queue_still_has_is_no_fault(config: Path) -> None:
    """Delivered again, and not written yet."""
    change(config, "DELETE FROM ledger WHERE seq = 4")
    (config.parent / "state" / heads.NAME).unlink()
    run(config, "ledger", "verify", code=1)
    change(config, "UPDATE delivery_states SET state = 'pending' WHERE seq = 2", "vcond.db")
    change(config, "UPDATE delivery_states SET state = 'delivered' WHERE seq = 2", "vcond.db")
    run(config, "ledger", "verify")


def test_a_head_that_somebody_else_signed_or_nobody_is_found(
    config: Path, pair: tuple[Path, Path], tmp_path: Path
) -> None:
    other, _ = certificate(tmp_path, "other")
    assert "signature does not hold" in run(config, "ledger", "verify", "--trust", str(other), code=1)
    head = config.parent / "state" / heads.NAME
    head.write_text(json.dumps({"ledger": "ab", "rows": 4, "hash": "00", "at": "2026-01-05T12:00:00Z"}) + "\n")
    assert "not signed" in run(config, "ledger", "verify", "--trust", str(pair[0]), code=1)


def test_an_exported_ledger_is_checked_by_itself(config: Path, pair: tuple[Path, Path], tmp_path: Path) -> None:
    file = tmp_path / "ledger.jsonl"
    assert "4 rows and a head" in run(config, "ledger", "--export", str(file))
    assert file.stat().st_mode & 0o777 == 0o600
    run(config, "ledger", "verify", str(file), "--trust", str(pair[0]))
    lines = file.read_text().splitlines()
    changes = {
        "changed": [lines[0].replace("vcon_created", "vcon_deleted"), *lines[1:]],
        "removed": [lines[0], *lines[2:]],
        "moved": [lines[1], lines[0], *lines[2:]],
        "added": [lines[0], *lines],
        "cut off": lines[:-1],
        "empty": [],
    }
    for what, left in changes.items():
        file.write_text("\n".join(left) + "\n")
        result = CliRunner().invoke(app, ["ledger", "verify", str(file), "--config", str(config)])
        assert result.exit_code == 1, what
    result = CliRunner().invoke(app, ["ledger", "--export", str(file), "--config", str(config)])
    assert isinstance(result.exception, OperatorError), "what is there is left as it is"


def test_without_a_ledger_it_says_so(tmp_path: Path) -> None:
    file = tmp_path / "vcond.toml"
    file.write_text(f'[vcond]\nstate_dir = "{tmp_path}"\n')
    result = CliRunner().invoke(app, ["ledger", "--config", str(file)])
    assert "there is no ledger" in str(result.exception)
