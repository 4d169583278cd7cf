"""What cannot be used, a configuration or a journal: each command says so in one line and exits with 2, and changes nothing."""

from __future__ import annotations

import json
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import msgpack
import pytest

from vcond.cli import main
from vcond.journal.records import FORMAT

CALL = "01a22c27-34c1-8557-85b7-31bbbf92132c"
COMMANDS = ("run", "status", "calls", "outbox", "config show", "recover", "doctor 01a2")
WRONG = {
    "half written": b'[vcond]\nname = "edge-1.exam',
    "no text": bytes(range(128, 256)),
    "an unknown key": b"[vcond]\ndrian = 3\n",
}


WORKS = """
[vcond]
state_dir = "{folder}/state"
admin_socket = "{folder}/admin"
min_free_mb = 0
[speech]
engine = "none"
[[sinks]]
type = "folder"
path = "{folder}/vcons"
"""
Typed = Callable[..., tuple[int, list[str], list[str]]]


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Typed:
    """Runs a command: exit code, and the lines of both outputs."""

    def run(*words: str) -> tuple[int, list[str], list[str]]:
        monkeypatch.setattr(sys, "argv", ["vcond", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        told = capsys.readouterr()
        return ended.value.code, told.out.splitlines(), told.err.splitlines()

    return run


def everything(folder: Path) -> dict[str, bytes | None]:
    return {str(path): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_configuration_that_cannot_be_read_is_said_in_one_line(tmp_path: Path, typed: Typed, command: str):
    config = tmp_path / "vcond.toml"
    for content in WRONG.values():
        config.write_bytes(content)
        before = everything(tmp_path)
        code, out, (line,) = typed(*command.split(), "-c", str(config))
        assert (code, out) == (2, [])
        assert line.startswith("vcond: ")
        assert "drian" in line or str(config) in line
        assert everything(tmp_path) == before


@pytest.fixture
def newer(tmp_path: Path) -> Path:
    """A state folder with a journal of a later version."""
    first = msgpack.packb({"t": "OpenedOtherwise", "at": 1, "v": FORMAT + 1})
    journal = tmp_path / "state/journal" / CALL / "events.log"
    journal.parent.mkdir(parents=True)
    journal.write_bytes(msgpack.packb([zlib.crc32(first), first]) + b"what that version writes")
    (tmp_path / "vcond.toml").write_text(WORKS.format(folder=tmp_path))
    return journal


@pytest.mark.parametrize("command", [f"show {CALL[:8]}", f"doctor {CALL[:8]}", "replay"])
def test_a_journal_of_a_newer_version_is_said_in_one_line(newer: Path, tmp_path: Path, typed: Typed, command: str):
    before = everything(tmp_path)
    words = [*command.split(), *([str(newer.parent)] if command == "replay" else [])]
    code, out, (line,) = typed(*words, "-c", str(tmp_path / "vcond.toml"))
    assert (code, out) == (2, [])
    assert "written by a newer vcond" in line
    assert everything(tmp_path) == before


def test_recovery_leaves_a_journal_of_a_newer_version_and_does_not_say_that_all_is_well(newer: Path, tmp_path: Path):
    content = newer.read_bytes()
    command = [sys.executable, "-m", "vcond", "recover", "--json", "-c", str(tmp_path / "vcond.toml")]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 2
    assert json.loads(done.stdout) == {"journals": 0, "undelivered": 0, "unreadable": 1}
    [said] = [line for line in done.stderr.splitlines() if "skipping unreadable journal" in line]
    assert "written by a newer vcond" in said
    assert newer.read_bytes() == content


EMPTY = (
    ["forget", CALL, "--yes", "--party-only", ""],
    ["forget", CALL, "--yes", "--give-up="],
    ["forget", "", "--yes"],
    ["legal-hold", CALL, "--reason", "case 7", "--until", ""],
    ["outbox", "retry", ""],
    ["outbox", "retry", "--sink", ""],
    ["outbox", "resend", "--since", "2026-11-29T10:00:00Z", "--sink", ""],
    ["outbox", "discard", "", "--unmatched", "--yes"],
    ["ledger", "--party", ""],
    ["ledger", "--export", ""],
    ["export", "--to", ""],
    ["page", "--role", ""],
    ["pause", CALL, "--for", ""],
    ["consent", CALL, "0", "granted", "--purpose", ""],
)


@pytest.mark.parametrize("words", EMPTY, ids=" ".join)
def test_a_value_that_is_given_and_empty_is_refused_before_anything_is_asked(typed: Typed, words: list[str]):
    code, out, told = typed(*words)
    assert (code, out) == (2, [])
    assert told[-1].endswith("it is empty: give a value, or leave it out")


def test_a_reason_may_be_empty(tmp_path: Path, typed: Typed):
    (tmp_path / "vcond.toml").write_text(WORKS.format(folder=tmp_path))
    code, _, (line,) = typed("pause", CALL, "--reason", "", "-c", str(tmp_path / "vcond.toml"))
    assert (code, "no daemon at" in line) == (2, True)


@pytest.mark.parametrize(
    ("evidence", "names"),
    [
        (["text=" + "x" * (1 << 20)], "evidence.text: a name has 1 to 64 letters, a value at most 1024"),
        (["n" * 65 + "=x"], f"evidence.{'n' * 64}"),
        (["=x"], "evidence.: a name has 1 to 64 letters"),
        ([f"item{n}=x" for n in range(17)], "evidence: 17 items; at most 16"),
        ([f"item{n}=" + "ö" * 1000 for n in range(4)], "letters are too many for one command"),
        (["no sign"], "--evidence must be NAME=VALUE: 'no sign'"),
    ],
    ids=["a megabyte", "a long name", "no name", "too many", "too much together", "no value"],
)
def test_evidence_that_is_too_much_is_named_before_anything_is_asked(tmp_path: Path, typed: Typed, evidence, names):
    (tmp_path / "vcond.toml").write_text(WORKS.format(folder=tmp_path))
    options = [word for one in evidence for word in ("--evidence", one)]
    code, out, (line,) = typed("consent", CALL, "0", "granted", *options, "-c", str(tmp_path / "vcond.toml"))
    assert (code, out) == (2, [])
    assert names in line
    assert len(line) < 200


@pytest.mark.parametrize(
    ("rules", "names"),
    [
        ('mode = "ask"\nkey_granted = "1"\nkey_denied = "1"', "key_granted and key_denied are the same key"),
        ('mode = "ask"\nuntil_granted = "keep"\nwords_granted = { "" = ["yes"] }', "words_granted: '' is no language"),
        ('mode = "ask"\nuntil_granted = "keep"\nwords_denied = { "en us" = ["no"] }', "words_denied: 'en us' is no language"),
        ('mode = "never"\n[[policy]]\nmode = "ask"', "policy[1].match"),
    ],
    ids=["contradict", "no language", "a wrong language", "no call comes to it"],
)  # fmt: skip
@pytest.mark.parametrize("command", ["run", "recover", "config show"])
def test_rules_of_consent_that_make_no_sense_are_named_in_one_line(
    tmp_path: Path, typed: Typed, command: str, rules: str, names: str
):
    config = tmp_path / "vcond.toml"
    config.write_text(f"{WORKS.format(folder=tmp_path)}\n[[policy]]\n{rules}\n")
    before = everything(tmp_path)
    code, out, (line,) = typed(*command.split(), "-c", str(config))
    assert (code, out) == (2, [])
    assert "policy[" in line
    assert names in line
    assert everything(tmp_path) == before
