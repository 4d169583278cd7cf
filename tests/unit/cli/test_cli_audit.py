"""``vcond audit``: any vCon, explained."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from vcond.cli.app import app
from vcond.records.database import NAME, open_records
from vcond.records.ledger import Ledger
from vcond.records.subjects import SubjectIndex
from vcond.testing.certificates import certificate
from vcond.vcon import serialize
from vcond.vcon.sealing.keys import load_signer
from vcond.vcon.sealing.sign import signed

UUID = "019acf80-ce00-8000-8000-000000000001"
VCON = {
    "vcon": "0.4.0", "uuid": UUID, "created_at": "2025-11-29T12:00:00Z",
    "parties": [{"name": "Ann"}, {"name": "edge-1", "type": "bot"}],
    "analysis": [{"type": "transcript", "vendor": "whisper", "product": "tiny.en"}],
    "attachments": [
        {"purpose": "lawful_basis", "party": 0, "body": {"lawful_basis": "consent", "expiration": until,
         "purpose_grants": [{"purpose": "recording", "granted": True}, {"purpose": "analysis", "granted": False}]}}
        for until in ("2099-01-01T00:00:00Z", "2020-01-01T00:00:00Z", "soon", None)
    ],
}  # fmt: skip


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "vcond.toml"
    file.write_text(f'[vcond]\nstate_dir = "{tmp_path}"\n')
    return file


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "a.vcon.json"
    file.write_bytes(serialize(VCON))
    return file


def run(config: Path, file: Path, *words: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["audit", str(file), *words, "--config", str(config)])
    assert result.exit_code == code, (result.output, result.exception)
    return result.output


def test_a_vcon_is_explained_without_a_ledger(config: Path, file: Path) -> None:
    told = run(config, file)
    assert "1 parties" in told
    assert "made by: edge-1" in told
    assert "heard by: whisper tiny.en" in told
    assert "changed: not by its own word" in told
    assert "signed: no" in told
    assert "basis: party 0, consent, granted recording, denied analysis, until 2099-01-01T00:00:00Z" in told
    assert "ENDED 2020-01-01T00:00:00Z" in told
    assert "ledger: not looked at: there is no ledger" in told
    assert [one["ended"] for one in json.loads(run(config, file, "--json"))["basis"]] == [False, True, True, None]


@pytest.mark.parametrize(("event", "how"), [("vcon_created", "made"), ("vcon_received", "received")])
def test_the_ledger_says_who_has_it_and_whether_it_is_this_file(
    config: Path, file: Path, tmp_path: Path, event: str, how: str
) -> None:
    db = open_records(tmp_path / NAME)
    ledger = Ledger(db, SubjectIndex(db, bytes(32)))
    digest = hashlib.sha512(file.read_bytes()).hexdigest()
    assert "this vCon is not in it" in run(config, file)
    ledger.tell(event, 0, vcon=UUID, call=UUID, sha512=digest)
    ledger.tell("vcon_sent", 0, vcon=UUID, call=UUID, sink="archive", form="plain", sha512=digest, sent=digest)
    ledger.tell("vcon_sent", 0, vcon=UUID, call=UUID, sink="crm", form="signed", sha512=digest, sent="ab")
    db.close()
    told = run(config, file)
    assert f"byte for byte, what was {how}, what archive got\n" in told
    assert "vcon_sent  crm signed" in told
    file.write_bytes(serialize(VCON | {"subject": "another"}))
    assert f"NOT what was {how}, nor what a sink got" in run(config, file)


def test_another_form_says_of_what(config: Path, file: Path) -> None:
    file.write_bytes(
        serialize(VCON | {"redacted": {"type": "pii-masked", "uuid": "x"}, "attachments": [], "analysis": 5})
    )
    told = run(config, file)
    assert "redacted: it is another form of x (pii-masked)" in told
    assert "basis: none is said" in told
    assert "heard by: no engine" in told


def test_a_signature_holds_does_not_or_was_not_checked(config: Path, file: Path, tmp_path: Path) -> None:
    pair, (other, _) = certificate(tmp_path), certificate(tmp_path, "other")
    signer = load_signer(pair[1].read_bytes(), pair[0].read_bytes(), algorithm="ES256")
    file.write_bytes(bytes(signed(file.read_bytes(), signer, time.time_ns())))
    assert "was not checked" in run(config, file)
    assert "signed: by CN=cert, the signature holds" in run(config, file, "--trust", str(pair[0]))
    assert "does NOT hold" in run(config, file, "--trust", str(other), code=1)


def test_what_is_encrypted_says_so(config: Path, file: Path) -> None:
    file.write_text(json.dumps({"ciphertext": "x", "recipients": [{}]}))
    assert "is encrypted: vcond decrypt" in run(config, file)
