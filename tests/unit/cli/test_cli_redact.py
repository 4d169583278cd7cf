"""``vcond redact``: a vCon file of anybody, without its secrets, signed where there is a key."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from pki import entity
from typer.testing import CliRunner

from vcond.base.errors import ConfigError, ProtocolError
from vcond.cli import redacting
from vcond.cli.app import app
from vcond.vcon import validate
from vcond.vcon.sealing.keys import load_trust
from vcond.vcon.sealing.verify import open_signed

sys.path.append(str(Path(__file__).parents[1] / "redaction"))

from redaction_kit import RATE, hidden_in, recording, samples, vcon, voice, words, wtf

CARD = "4532 0151 1283 0366"
SPOKEN = "my card number is four five three two oh one five one one two eight three oh three six six thank you"


@pytest.fixture
def call(tmp_path: Path) -> Path:
    """Made elsewhere: inline audio, and a transcription with the times of its words."""
    said = wtf((1, words(1.0, "how do you want to pay")), (0, words(5.0, SPOKEN, each=0.3)))
    said["vendor"] = "somebody"
    file = tmp_path / "call.vcon"
    file.write_text(
        json.dumps(vcon(dialog=[recording([voice(20, 1), voice(20, 2)])], analysis=[said], subject=f"paid with {CARD}"))
    )
    return file


def run(*said: object) -> tuple[str, str]:
    result = CliRunner().invoke(app, [str(word) for word in said], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout, result.stderr


def test_a_vcon_made_elsewhere_loses_the_card_in_text_and_sound(call: Path, tmp_path: Path):
    out, err = run("redact", call, "--out", tmp_path / "out.vcon", "-c", tmp_path / "none.toml")
    assert out == f"vCon: {tmp_path / 'out.vcon'}\n"
    assert "taken out: " in err
    assert " card" in err
    document = json.loads((tmp_path / "out.vcon").read_bytes())
    assert [one for one in validate(document) if one.level == "error"] == []
    text = document["analysis"][0]["body"]["segments"][1]["text"]
    assert "__REDACTED_CARD__" in text
    assert not {"three", "eight", "six"} & set(text.split())
    assert hidden_in((tmp_path / "out.vcon").read_bytes(), [CARD, "4532 0151"]) == set()
    sound = samples(document["dialog"][0])
    assert not sound[round(6.2 * RATE) : round(11.0 * RATE)].any()
    assert sound[round(1.0 * RATE) : round(2.5 * RATE), 1].any()
    assert (tmp_path / "out.vcon").stat().st_mode & 0o777 == 0o600
    assert json.loads(call.read_bytes())["subject"].endswith(CARD), "the original stays"


def test_only_the_finders_that_are_named_and_a_tone(call: Path, tmp_path: Path):
    run("redact", call, "--out", tmp_path / "out", "--finders", "emails", "-c", tmp_path / "none.toml")
    assert "six six" in (tmp_path / "out").read_text()
    run("redact", call, "--out", tmp_path / "out", "--finders", "cards", "--tone", "-c", tmp_path / "none.toml")
    document = json.loads((tmp_path / "out").read_bytes())
    assert document["attachments"][-1]["body"]["sound"] == "tone"
    assert samples(document["dialog"][0])[round(7 * RATE) : round(9 * RATE)].any()
    with pytest.raises(ConfigError, match="there is no finder 'crads'"):
        run("redact", call, "--finders", "crads", "-c", tmp_path / "none.toml")


def test_what_the_configuration_says_and_a_signature(call: Path, tmp_path: Path):
    edge = entity("edge-1.example.com", days=(-10, 36_500), usage=True)
    for name, content in (("key", edge.key_pem), ("pem", edge.pem)):
        (tmp_path / f"edge.{name}").write_bytes(content)
    config = tmp_path / "vcond.toml"
    config.write_text(
        f'[redaction]\ntone = true\n[seal]\nkey = "{tmp_path}/edge.key"\ncertificates = "{tmp_path}/edge.pem"\n'
    )
    run("redact", call, "--out", tmp_path / "signed", "-c", config)
    sealed = json.loads((tmp_path / "signed").read_bytes())
    from vcond.capture.clock import SteadyClock

    opened = open_signed(sealed, load_trust(edge.pem), SteadyClock().now())
    assert opened.document["redacted"]["uuid"] == json.loads(call.read_bytes())["uuid"]
    assert opened.document["attachments"][-1]["body"]["sound"] == "tone"
    assert hidden_in((tmp_path / "signed").read_bytes(), [CARD, "4532"]) == set(), "nor inside of the signature"
    _, err = run("redact", tmp_path / "signed", "--out", tmp_path / "again", "-c", config)
    assert "the signature was not checked" in err


def test_a_large_one_shows_how_far_it_is(call: Path, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(redacting, "BAR_FROM", 1)
    _, err = run("redact", call, "--out", tmp_path / "out", "-c", tmp_path / "none.toml")
    assert " MB of 0.4 MB" in err


def test_what_cannot_be_redacted_is_said(call: Path, tmp_path: Path):
    none = tmp_path / "none.toml"
    (tmp_path / "sealed").write_text('{"ciphertext": "x", "recipients": []}')
    with pytest.raises(ConfigError, match="is encrypted: get the vCon with vcond decrypt"):
        run("redact", tmp_path / "sealed", "-c", none)
    (tmp_path / "broken").write_text('{"payload": "!", "signatures": []}')
    with pytest.raises(ConfigError, match="holds no readable vCon"):
        run("redact", tmp_path / "broken", "-c", none)
    (tmp_path / "text").write_text("hello")
    with pytest.raises(ProtocolError, match="not a vCon"):
        run("redact", tmp_path / "text", "-c", none)
    with pytest.raises(ConfigError, match="is the file itself"):
        run("redact", call, "--out", call, "-c", none)
    (tmp_path / "old").write_text(
        json.dumps(
            {"uuid": "01a2029a-3286-852d-a079-acef32f9616b", "dialog": [{"type": "recording", "start": "yesterday"}]}
        )
    )
    _, err = run("redact", tmp_path / "old", "--out", tmp_path / "out", "-c", none)
    assert "redacted, but NOT valid: " in err
