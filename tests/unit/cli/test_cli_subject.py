"""``vcond subject``: where somebody is, and the copy that the person gets."""

from __future__ import annotations

import json
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from vcond.base.errors import RefusedError
from vcond.cli.app import app
from vcond.cli.subject_copy import MANIFEST, bundle, masked
from vcond.delivery import facts, rows
from vcond.delivery.database import open_database, transaction
from vcond.records.database import NAME, open_records
from vcond.records.holds import Hold
from vcond.records.identifiers import of_party
from vcond.records.ledger import Ledger
from vcond.records.ledger_made import made_of
from vcond.records.record_files import RecordFiles
from vcond.records.subjects import SubjectIndex
from vcond.records.subjects_key import index_key
from vcond.redaction.sound import decoded
from vcond.storage.files import Files
from vcond.storage.whole_files import TEMPORARY, WholeFiles
from vcond.testing.needs import needs
from vcond.vcon import read, serialize, validate
from vcond.vcon.building.audio_forms import base64url, flac

NOON = 1_764_417_600_000_000_000
"""2025-11-29T12:00:00Z."""
FIRST, SECOND, OTHER = (f"019acf80-ce00-8000-8000-00000000000{n}" for n in (1, 2, 3))
WORDS = [("hello it is me", 0), ("the secret of bob", 1), ("thank you", 0)]


def sound() -> dict:
    """Ann on the left, Bob on the right, both all the time."""
    t = np.arange(8000)
    both = np.stack([np.sin(t / 5) * 9000, np.sin(t / 9) * 9000], axis=1).astype(np.int16)
    return recorded(both)


class Channel:
    """Of samples in memory."""

    def __init__(self, pcm: np.ndarray) -> None:
        self.pcm, self.frames = np.ascontiguousarray(pcm), len(pcm)

    def read(self, start: int, stop: int) -> np.ndarray:
        return self.pcm[start:stop]


def recorded(samples: np.ndarray) -> dict:
    """As FLAC; shape (frames, channels)."""
    body = base64url([flac([Channel(one) for one in samples.T], 8000)])
    return {"mediatype": "audio/flac", "encoding": "base64url", "body": body}


def vcon(uuid: str) -> dict:
    segments = [{"id": at, "start": float(at), "end": at + 0.9, "text": text, "confidence": 0.9, "speaker": who, "words": [at]}
                for at, (text, who) in enumerate(WORDS)]  # fmt: skip
    words = [{"id": at, "start": float(at), "end": at + 0.5, "text": text.split()[0], "confidence": 0.9, "speaker": who}
             for at, (text, who) in enumerate(WORDS)]  # fmt: skip
    audio = {"duration": 3.0}
    wtf = {
        "transcript": {"text": " ".join(text for text, _ in WORDS), "language": "en", "duration": 3.0, "confidence": 0.9},
        "segments": segments, "words": words,
        "metadata": {"created_at": "2025-11-29T12:00:03Z", "processed_at": "2025-11-29T12:00:03Z", "provider": "vosk", "model": "m",
                     "audio": audio, "options": {}},
    }  # fmt: skip
    basis = {"lawful_basis": "consent", "expiration": "2027-01-01T00:00:00Z",
             "purpose_grants": [{"purpose": "recording", "granted": True, "granted_at": "2025-11-29T12:00:00Z"}]}  # fmt: skip
    common = {"dialog": 0, "mediatype": "application/json", "encoding": "json", "start": "2025-11-29T12:00:00Z"}
    return {
        "vcon": "0.4.0", "uuid": uuid, "created_at": "2025-11-29T12:00:00Z", "subject": "Bob calls",
        "extensions": ["lawful_basis", "wtf_transcription"],
        "parties": [{"tel": "+12125550143", "name": "Ann", "validation": "none"},
                    {"tel": "+12125550199", "name": "Bob Secretive", "validation": "none"},
                    {"name": "vcond", "validation": "none", "type": "bot"}],
        "dialog": [{"type": "recording", "start": "2025-11-29T12:00:00Z", "duration": 1.0, "parties": [0, 1],
                    "filename": "bob.flac", "party_history": [
                        {"party": 0, "time": "2025-11-29T12:00:00Z", "event": "join"},
                        {"party": 1, "time": "2025-11-29T12:00:00Z", "event": "keydown", "button": "7"}], **sound()}],
        "analysis": [
            {"type": "wtf_transcription", "vendor": "vosk", "schema": "wtf-1.0", **common, "body": wtf},
            {"type": "transcript", "vendor": "vosk", "dialog": 0, "mediatype": "text/plain", "encoding": "none",
             "body": "the secret of bob"},
        ],
        "attachments": [{**common, "purpose": "lawful_basis", "party": party, "body": basis} for party in (0, 1)]
        + [{**common, "purpose": "tags", "party": 2, "body": ["caller:bob"]}],
    }  # fmt: skip


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Ann and Bob in two vCons, of which one waits and one is kept; Bob alone in a third, which is gone."""
    state = tmp_path / "state"
    state.mkdir()
    file = tmp_path / "vcond.toml"
    file.write_text(
        f'[vcond]\nstate_dir = "{state}"\n[records]\nregion = "US"\n[keys]\nstore = "{tmp_path / "none"}"\n'
        "[delivery]\nkeep_days = 2\n"
    )
    outbox, db = open_database(state / "vcond.db", NOON), open_records(state / NAME)
    index = SubjectIndex(db, index_key(state, None), region="US")
    for folder, uuid in (("pending", FIRST), ("kept", SECOND), ("", OTHER)):
        document = vcon(uuid)
        if uuid == OTHER:
            document["parties"][0] = {"name": "Cid", "validation": "none"}
        made = json.dumps({"machine": "edge"}) if uuid == OTHER else made_json(document)
        index.note(uuid, uuid, [list(of_party(one, region="US")) for one in document["parties"]], NOON, made)
        body = serialize(document)
        with transaction(outbox):
            seq = rows.insert(outbox, uuid, "ab" * 64, len(body), NOON, {})
            rows.add_states_of(outbox, seq, ["archive"])
            if folder != "pending":
                rows.record(
                    outbox,
                    "archive",
                    seq,
                    rows.Outcome("delivered", NOON, target="https://a.example", sent="signed cd"),
                )
                rows.set_stage(outbox, seq, "kept", NOON)
        if folder:
            (state / "outbox" / folder).mkdir(parents=True)
            (state / "outbox" / folder / f"{uuid}.vcon.json").write_bytes(body)
    (state / "journal" / FIRST).mkdir(parents=True)
    ledger = Ledger(db, index)
    ledger.follow(facts.waiting(outbox, 99), {})
    ledger.tell("vcon_deleted", NOON, vcon=OTHER, sink="archive")
    db.close()
    outbox.close()
    return file


def made_json(document: dict) -> str:
    import msgspec

    return msgspec.json.encode(made_of(document, machine="edge")).decode()


def run(config: Path, *words: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["subject", *words, "--config", str(config)])
    assert result.exit_code == code, (result.output, result.exception)
    return result.output


@pytest.mark.parametrize(
    "spelling",
    ["tel:+12125550143", "(212) 555-0143", "+1 212.555.0143", "sip:+12125550143@gw.example", "011 1 212 5550143"],
)
def test_in_any_spelling_all_is_told(config: Path, spelling: str) -> None:
    first, second = json.loads(run(config, spelling, "--json"))
    assert (first["vcon"], first["parties"], first["received"]) == (FIRST, [0], [])
    assert [one["place"] for one in first["here"]] == ["journal", "outbox, waiting for a sink"]
    assert [basis["party"] for basis in first["basis"]] == [0], "another party's basis is theirs"
    assert first["basis"][0]["granted"] == ["recording"]
    assert second["here"] == [{"place": "outbox, kept", "until": "2025-12-01T12:00:00Z"}]
    assert second["received"] == [
        {
            "by": "archive",
            "at": "2025-11-29T12:00:00Z",
            "target": "https://a.example",
            "form": "signed",
            "sha512": "cd",
            "erased": False,
        }
    ]


def test_for_people_and_what_was_erased(config: Path) -> None:
    told = run(config, "name:bob secretive")
    assert "received: archive, 2025-11-29T12:00:00Z, was erased there again" in told
    assert "here: no more" in told
    assert "basis: consent, granted recording, until 2027-01-01T00:00:00Z" in told


def test_a_hold_that_the_daemon_is_writing_is_left_alone(config: Path, tmp_path: Path) -> None:
    """As root the command could take away what the daemon is about to rename."""
    folder = tmp_path / "state" / "records" / "holds"
    writer = RecordFiles(folder, Hold, WholeFiles(Files()))
    writer.put(FIRST, Hold(FIRST, "case 7", NOON))
    begun = folder / f".{SECOND}.json{TEMPORARY}"
    begun.write_bytes(b"{")
    assert "here: journal; goes legal hold: case 7" in run(config, "name:bob secretive")
    assert begun.exists()
    writer.read()
    assert not begun.exists(), "what a crash left goes when the daemon reads them"


def test_nobody_is_told_as_nobody_and_nonsense_as_nonsense(config: Path) -> None:
    assert "nobody of that name" in run(config, "tel:+12125550100", code=1)
    result = CliRunner().invoke(app, ["subject", "Bob", "--config", str(config)])
    assert isinstance(result.exception, RefusedError)
    result = CliRunner().invoke(
        app, ["subject", "name:x", "--export", str(config.parent / "out"), "--config", str(config)]
    )
    assert isinstance(result.exception, RefusedError)
    assert not (config.parent / "out").exists()


def test_a_copy_has_the_vcons_as_they_are_a_report_and_is_told_of(config: Path, tmp_path: Path) -> None:
    to = tmp_path / "out"
    run(config, "name:bob secretive", "--export", str(to))
    with zipfile.ZipFile(to / "vcons.vconz") as archive:
        assert archive.namelist() == ["manifest.json", f"vcons/{FIRST}.json", f"vcons/{SECOND}.json"]
        assert archive.read("manifest.json") == MANIFEST
        assert (
            archive.read(f"vcons/{FIRST}.json")
            == (tmp_path / "state/outbox/pending" / f"{FIRST}.vcon.json").read_bytes()
        )
    told = (to / "report.txt").read_text()
    assert "3 records, of which 2 are in vcons.vconz" in told
    assert "not on this machine any more" in told
    assert {path.stat().st_mode & 0o777 for path in to.iterdir()} == {0o600}
    ledger = json.loads(CliRunner().invoke(app, ["ledger", "--json", "--config", str(config)]).output)
    assert [(row["vcon"], row["by"]) for row in ledger if row["event"] == "read"] == [
        (FIRST, "vcond subject --export"), (SECOND, "vcond subject --export"),
    ]  # fmt: skip
    assert CliRunner().invoke(app, ["ledger", "verify", "--config", str(config)]).exit_code == 0
    result = CliRunner().invoke(app, ["subject", "name:bob secretive", "--export", str(to), "--config", str(config)])
    assert isinstance(result.exception, RefusedError), "a copy is never written over"


def test_with_others_masked_nothing_of_them_is_in_it(config: Path, tmp_path: Path) -> None:
    to = tmp_path / "out"
    run(config, "(212) 555-0143", "--export", str(to), "--mask-others")
    with zipfile.ZipFile(to / "vcons.vconz") as archive:
        names = archive.namelist()[1:]
        bodies = [archive.read(name) for name in names]
    assert len(bodies) == 2
    for name, body in zip(names, bodies, strict=True):
        made = read(body)
        assert name == f"vcons/{made['uuid']}.json"
        assert not [one for one in validate(made) if one.level == "error"], [str(one) for one in validate(made)]
        assert made["redacted"]["uuid"] in {FIRST, SECOND}
        assert b"ecret" not in body
        assert b"ob" not in body.replace(b"jobs", b"").split(b'"body":"')[0].lower()
        assert b"5550199" not in body
        with decoded(made["dialog"][0]) as kept:
            ann = kept.read(0, kept.frames)
        assert np.count_nonzero(ann[:, 0]) > 7000
        assert not ann[:, 1].any()
        assert [one["event"] for one in made["dialog"][0]["party_history"]] == ["join"]
        (wtf,) = made["analysis"]
        assert wtf["body"]["transcript"]["text"] == "hello it is me thank you"
        assert [one["party"] for one in made["attachments"]] == [0]
        assert made["parties"][0]["tel"] == "+12125550143"


@pytest.mark.parametrize(
    "dialog",
    [
        {"parties": [0, 1], "body": "AAAA", "encoding": "base64url"},
        {"parties": [[0, 1]], **recorded(np.full((800, 1), 999, np.int16))},
        {"parties": [0, 1], **recorded(np.full((800, 1), 999, np.int16))},
        {"parties": [1, 0, None], **recorded(np.full((800, 2), 999, np.int16))},
        {"parties": 1, **recorded(np.full((800, 1), 999, np.int16))},
        {"parties": [0, 1], "url": "https://a.example/x.wav", "content_hash": "sha512-x"},
        {"parties": [0, 1], "type": "text", "body": "the secret", "encoding": "none", "mediatype": "text/plain"},
    ],
)
def test_sound_and_text_that_may_be_anothers_is_left_out(dialog: dict) -> None:
    document = vcon(FIRST) | {"dialog": [{"type": "recording", "start": "2025-11-29T12:00:00Z"} | dialog]}
    (made,) = masked(document, frozenset({0}))["dialog"]
    assert not {"body", "url", "content_hash", "filename"} & made.keys()


def test_a_vcon_of_nonsense_is_masked_to_nothing() -> None:
    strange = {"uuid": FIRST, "created_at": "2025-11-29T12:00:00Z", "parties": [5, "x"], "dialog": [7], "analysis": [
        {"type": "wtf_transcription", "body": "x"}, {"type": "wtf_transcription", "body": {"segments": [5], "transcript": 5}}]}  # fmt: skip
    made = masked(strange, frozenset({1}))
    assert [one["body"]["segments"] for one in made["analysis"]] == [[], []]


JUDGES = Path(__file__).parents[3] / ".peers" / "judges"
JUDGE = """
import sys
from pathlib import Path
from vcon_zip import BundleValidator
found = BundleValidator(strict=True).validate(Path(sys.argv[1]))
print(found.is_valid, [str(one) for one in (*found.errors, *found.warnings)])
"""


def test_a_bundle_is_taken_by_the_library_of_the_drafts_author(tmp_path: Path) -> None:
    needs(
        list(JUDGES.glob("lib/*/site-packages/vcon_zip")),
        "vcon-zip is not installed in .peers/judges: tools/setup.sh test",
    )
    file = tmp_path / "vcons.vconz"
    other = masked(vcon(OTHER), frozenset({0}))
    for bodies, good in (
        ({FIRST: serialize(vcon(FIRST)), str(other["uuid"]): serialize(other)}, True),
        ({SECOND: serialize(vcon(FIRST))}, False),
    ):
        file.write_bytes(bundle(bodies))
        ran = subprocess.run([JUDGES / "bin" / "python", "-c", JUDGE, file], capture_output=True, text=True, check=True)
        assert ran.stdout.startswith(f"{good} "), ran.stdout
        assert not good or ran.stdout == "True []\n"
