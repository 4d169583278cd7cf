import json
import os
from pathlib import Path

import pytest
from cryptography import x509
from pki import entity
from prometheus_client import REGISTRY
from typer.testing import CliRunner

from vcond.base.errors import ConfigError, PeerError
from vcond.cli.app import app
from vcond.cli.check import findings
from vcond.config import load
from vcond.vcon import validate

LONG = (-10, 36_500)
VCON = {
    "vcon": "0.4.0", "uuid": "01a2029a-3286-852d-a079-acef32f9616b", "created_at": "2026-11-22T09:00:00Z",
    "parties": [{"tel": "+15551230001"}],
    "dialog": [{"type": "incomplete", "start": "2026-11-22T09:00:00Z", "parties": [0], "disposition": "busy"}],
}  # fmt: skip


@pytest.fixture
def house(tmp_path: Path):
    """An authority, an edge that signs, a reader; and a vCon."""
    root = entity("root", authority=True, days=LONG)
    edge = entity("edge-1.example.com", root, days=LONG, usage=True)
    reader = entity("reader", days=LONG)
    for name, one in (("root", root), ("edge", edge), ("reader", reader)):
        (tmp_path / f"{name}.key").write_bytes(one.key_pem)
        (tmp_path / f"{name}.pem").write_bytes(one.pem)
    (tmp_path / "call.vcon").write_text(json.dumps(VCON))
    return tmp_path


def run(*words: object) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_sign_verify_encrypt_decrypt(house: Path):
    signed, sealed, opened = house / "signed", house / "sealed", house / "opened"
    run("sign", house / "call.vcon", "--key", house / "edge.key", "--cert", house / "edge.pem", "--out", signed)
    said = run("verify", signed, "--trust", house / "root.pem", "--out", house / "plain")
    assert "CN=edge-1.example.com with RS256" in said
    assert (house / "plain").read_bytes() == (house / "call.vcon").read_bytes()
    run("encrypt", signed, "--to", house / "reader.pem", "--gzip", "--out", sealed)
    assert "15551230001" not in sealed.read_text()
    run("decrypt", sealed, "--key", house / "reader.key", "--out", opened)
    assert json.loads(opened.read_bytes()) == json.loads(signed.read_bytes())
    for file in (signed, sealed, opened):
        assert file.stat().st_mode & 0o777 == 0o600


def test_what_does_not_hold_is_refused_with_the_reason(house: Path):
    signed = house / "signed"
    run("sign", house / "call.vcon", "--key", house / "edge.key", "--cert", house / "edge.pem", "--out", signed)
    with pytest.raises(PeerError, match="untrusted"):
        run("verify", signed, "--trust", house / "reader.pem")
    document = json.loads(signed.read_bytes())
    document["payload"] = document["payload"][:-4] + "AAAA"
    signed.write_text(json.dumps(document))
    with pytest.raises(PeerError, match="signature"):
        run("verify", signed, "--trust", house / "root.pem")
    with pytest.raises(ConfigError, match="signed before"):
        run("encrypt", house / "call.vcon", "--to", house / "reader.pem")
    with pytest.raises(ConfigError, match="does not belong to the first certificate"):
        run("sign", house / "call.vcon", "--key", house / "reader.key", "--cert", house / "edge.pem")
    with pytest.raises(ConfigError, match="cannot read"):
        run("sign", house / "call.vcon", "--key", house / "none.key", "--cert", house / "edge.pem")


def test_an_old_vcon_is_converted(house: Path):
    old = {
        **VCON, "vcon": "0.0.1",
        "dialog": [{"type": "text", "start": "2026-11-22T09:00:00Z", "parties": [0], "mimetype": "text/plain",
                    "body": "hi", "encoding": "none"}],
    }  # fmt: skip
    (house / "old.vcon").write_text(json.dumps(old))
    run("convert", house / "old.vcon", "--out", house / "new.vcon")
    new = json.loads((house / "new.vcon").read_bytes())
    assert (new["vcon"], new["dialog"][0]["mediatype"]) == ("0.4.0", "text/plain")
    assert [f for f in validate(new) if f.level == "error"] == []


CONFIG = """
[vcond]
state_dir = "{house}/state"
[speech]
engine = "none"
[adapters.twilio]
[seal]
key = "{house}/{key}.key"
certificates = "{house}/edge.pem"
recipients = ["{house}/reader.pem"]
[[sinks]]
type = "{kind}"
form = "{form}"
{rest}
"""


@pytest.mark.parametrize(
    ("key", "kind", "form", "level", "says"),
    [
        ("edge", "folder", "signed", "ok", "is valid until"),
        ("edge", "folder", "encrypted", "ok", "is valid until"),
        ("reader", "folder", "signed", "error", "does not belong to the first certificate"),
        ("none", "folder", "signed", "error", "cannot read"),
        ("edge", "conserver", "signed", "error", "accepts unsigned vCons only"),
        ("edge", "folder", "sealed", "error", "one of plain, signed, encrypted"),
    ],
)
def test_check_looks_at_the_keys(house: Path, key: str, kind: str, form: str, level: str, says: str):
    rest = f'path = "{house}/out"' if kind == "folder" else 'url = "http://127.0.0.1:1"\ningress_lists = ["a"]'
    file = house / "vcond.toml"
    file.write_text(CONFIG.format(house=house, key=key, kind=kind, form=form, rest=rest))
    found = findings(load(file, os.environ), file, offline=True)
    assert any(one.level == level and says in one.detail for one in found), found
    assert (level == "error") == any(one.level == "error" for one in found), found
    if level == "ok":
        (leaf,) = x509.load_pem_x509_certificates((house / "edge.pem").read_bytes())
        told = REGISTRY.get_sample_value("vcond_certificate_expiry_timestamp_seconds", {"section": "seal"})
        assert told == leaf.not_valid_after_utc.timestamp()


def test_a_conserver_alone_cannot_have_vcons_that_it_would_drop(house: Path):
    file = house / "vcond.toml"
    conserver = '[[sinks]]\ntype = "conserver"\nurl = "http://127.0.0.1:1"\ningress_lists = ["a"]\ntoken = "k"\n'
    text = f'[vcond]\nstate_dir = "{house}/s"\n[record]\ninline_limit = 40000000\n[speech]\nengine = "none"\n[adapters.twilio]\n'
    file.write_text(text + conserver)
    assert any("record.inline_limit" in one.detail for one in findings(load(file, os.environ), file, offline=True))
    file.write_text(text + conserver + f'[[sinks]]\ntype = "folder"\npath = "{house}/out"\n')
    found = findings(load(file, os.environ), file, offline=True)
    assert not any(one.level == "error" for one in found)
    assert any("are sent there without audio" in one.detail for one in found)


def test_a_limit_below_that_of_vcons_is_an_error_of_the_configuration(house: Path):
    """A proxy that takes 1 MB: vCons are made so that they fit, or the start is refused."""
    file = house / "vcond.toml"
    text = (
        f'[vcond]\nstate_dir = "{house}/s"\n[record]\ninline_limit = %d\n[speech]\nengine = "none"\n[adapters.twilio]\n'
    )
    sinks = "".join(
        f'[[sinks]]\ntype = "conserver"\nname = "{name}"\nurl = "http://127.0.0.1:{port}"\ningress_lists = ["a"]\n'
        f'token = "k"\nmax_bytes = {most}\n'
        for name, port, most in (("large", 1, 50_000_000), ("small", 2, 1_000_000))
    )
    file.write_text(text % 9_500_000 + sinks)
    [wrong] = [
        one for one in findings(load(file, os.environ), file, offline=True) if "record.inline_limit" in one.detail
    ]
    assert wrong.level == "error"
    assert "sink small takes 1000000 bytes at most" in wrong.detail
    file.write_text(text % 1_000_000 + sinks)
    assert not any("inline_limit" in one.detail for one in findings(load(file, os.environ), file, offline=True))


def told(*words: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(word) for word in words])
    return result.exit_code, result.output


def sign_it(house: Path, document: object, *, deep: int = 1) -> Path:
    file = house / "in.json"
    file.write_text(json.dumps(document))
    for layer in range(deep):
        out = house / f"signed-{layer}"
        run("sign", file, "--key", house / "edge.key", "--cert", house / "edge.pem", "--out", out)
        file = out
    return file


@pytest.mark.parametrize("deep", [1, 2])
def test_what_is_signed_is_validated_and_shown_without_any_key(house: Path, deep: int):
    good = sign_it(house, VCON, deep=deep)
    code, said = told("validate", good)
    assert code == 0
    assert "valid, 0 errors" in said
    assert "the signature was not checked" in said
    shown = run("show", good)
    assert shown.count("signed by CN=edge-1.example.com") == deep
    assert VCON["uuid"] in shown
    assert "+15551230001" in shown
    code, said = told("validate", sign_it(house, {"vcon": "0.0.1", "uuid": "x"}, deep=deep))
    assert code == 1
    assert "NOT valid, 3 errors" in said
    assert "(signed) $.uuid" in said


def test_what_is_encrypted_is_said_to_be(house: Path):
    sealed = house / "sealed"
    run("encrypt", sign_it(house, VCON), "--to", house / "reader.pem", "--out", sealed)
    code, said = told("validate", sealed)
    assert (code, "encrypted: only the envelope was checked" in said) == (0, True)
    assert "is encrypted for 1 reader(s)" in run("show", sealed)
    with pytest.raises(ConfigError, match="is signed or encrypted"):
        run("convert", sealed)


def test_a_signed_form_with_nonsense_inside(house: Path):
    document = json.loads(sign_it(house, VCON).read_bytes())
    for payload in ("AAAA", "!!!", 5, None):
        file = house / "broken"
        file.write_text(json.dumps(document | {"payload": payload}))
        code, said = told("validate", file)
        assert (code, "NOT valid" in said) == (1, True)
        assert "cannot be read" in run("show", file)


def test_an_old_one_is_told_to_be_converted_and_what_stays_wrong_is_said(house: Path):
    file = house / "old.json"
    file.write_text(json.dumps(VCON | {"vcon": "0.0.1"}))
    code, said = told("validate", file)
    assert (code, "vcond convert" in said) == (1, True)
    assert "NOT valid" not in run("convert", file, "--out", house / "new.json")
    assert told("validate", house / "new.json")[0] == 0
    file.write_text(json.dumps({"vcon": "0.0.1", "uuid": "x"}))
    code, said = told("convert", file, "--out", house / "new.json")
    assert code == 0
    assert "converted, but NOT valid: 2 errors" in said


@pytest.mark.parametrize(
    ("data", "words"), [(b"\x7fELF\0\0", "binary data"), (b"RIFF....WAVE", "no JSON object"), (b"[]", "no JSON object")]
)
def test_a_file_of_another_kind(house: Path, data: bytes, words: str):
    file = house / "x"
    file.write_bytes(data)
    code, said = told("validate", file)
    assert (code, words in said) == (1, True)
