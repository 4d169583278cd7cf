"""What a command loads before its first line: imports are most of what it takes to start."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import pytest
import typer

from vcond.cli.app import app
from vcond.cli.plain_values import quick

HEAVY = {
    "aiohttp", "asyncio", "av", "cryptography", "ctranslate2", "jwcrypto", "numpy", "prometheus_client", "pydantic", "rich", "soundfile", "sqlite3",
    "structlog", "uvloop", "vosk", "websockets",
}  # fmt: skip
OURS = {"vcond.app.daemon", "vcond.app.plugins", "vcond.sdk.contract", "vcond.vcon.building.build"}
SCRIPT = """
import contextlib, io, json, sys
from vcond.cli import main
heavy = set(json.loads(sys.argv[1]))
found = []
for line in json.loads(sys.argv[2]):
    sys.argv = ["vcond", *line.split()]
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said), contextlib.suppress(SystemExit):
        main()
    found.append((line, bool(said.getvalue()), sorted(heavy & {name for name, module in sys.modules.items() if module})))
print(json.dumps(found))
"""


def lines_of(group, name: str = ""):
    """``COMMAND --help`` for every command."""
    yield f"{name} --help"
    for one in group.registered_commands:
        yield f"{name} {one.name or one.callback.__name__.replace('_', '-')} --help"
    for one in group.registered_groups:
        yield from lines_of(one.typer_instance, f"{name} {one.name}")


def loaded(lines: list[str], heavy: set[str]) -> dict[str, list[str]]:
    """The first of some commands, run one after the other, that loads something heavy, and what."""
    words = [sys.executable, "-c", SCRIPT, json.dumps(sorted(heavy)), json.dumps(lines)]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    found = json.loads(done.stdout)
    assert [line for line, said, _ in found if not said] == []
    return next(({line: modules} for line, _, modules in found if modules), {})


def test_help_loads_nothing_heavy():
    lines = list(lines_of(app))
    assert len(lines) > 30
    assert loaded(lines, HEAVY) == {}


def test_what_asks_the_daemon_loads_nothing_heavy(tmp_path: Path):
    file = tmp_path / "vcond.toml"
    file.write_text(f'[vcond]\nstate_dir = "{tmp_path}/state"\nadmin_socket = "{tmp_path}/admin"\n')
    lines = [
        "calls",
        "show 01a2",
        "pause 01a2",
        "resume 01a2",
        "outbox",
        "outbox retry",
        "outbox resend x",
        "config show",
    ]
    assert loaded([f"{line} -c {file}" for line in lines], HEAVY) == {}


def test_files_are_looked_at_without_what_makes_them(tmp_path: Path):
    file = tmp_path / "a.vcon"
    file.write_text('{"vcon": "0.4.0"}')
    lines = [f"validate {file} {file}", f"show {file}", f"convert {file} --out {tmp_path}/b.vcon"]
    assert loaded(lines, HEAVY) == {}


def test_run_and_check_refuse_a_configuration_before_they_load_what_it_is_for(tmp_path: Path):
    file = tmp_path / "vcond.toml"
    file.write_text("[vcond]\ndrian = 3\n")
    lines = [f"run -c {file}", f"check -c {file}", f"check --offline --errors-only -c {file}"]
    assert loaded(lines, HEAVY | OURS) == {}


def test_the_check_before_a_start_loads_no_system_that_is_not_configured_and_no_engine(tmp_path: Path):
    """Which systemd waits for: ``ExecStartPre``."""
    file = tmp_path / "vcond.toml"
    file.write_text(
        f'[vcond]\nstate_dir = "{tmp_path}/state"\n[adapters.twilio]\n'
    )  # no sink: there is something to say
    others = {
        "vcond_asterisk", "vcond_freeswitch", "vcond_siprec", "vcond_stream", "vcond_webrtc", "asyncssh", "nats", "websockets",
        "av", "ctranslate2", "tokenizers", "vosk", "pydantic", "rich", "vcond.app.daemon", "vcond.capture.forgetting",
    }  # fmt: skip
    assert loaded([f"check --offline --errors-only -c {file}"], others) == {}


DRAWN = r"""
import socketserver, sys, threading
from pathlib import Path
from vcond.cli import main

class Answers(socketserver.StreamRequestHandler):
    def handle(self):
        line = self.rfile.readline()
        body = b'{"call": "01a2", "parties": []}' if b"/call" in line else b""
        self.wfile.write(b"HTTP/1.0 200 OK\r\n\r\n" + body)

with socketserver.ThreadingUnixStreamServer(sys.argv[1] + "/admin", Answers) as server:
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.argv[1:] = sys.argv[2:]
    try:
        main()
    finally:
        server.shutdown()
        print("rich.console" in sys.modules, file=sys.stderr)
"""


def test_what_draws_with_rich_has_it_through_the_console_script(tmp_path: Path):
    """It is kept from all others, and only a command as it is typed shows that."""
    sound = tmp_path / "no.wav"
    for line in (["demo", "--wav", str(sound)], ["watch", "01a2", "-c", str(tmp_path / "vcond.toml")]):
        (tmp_path / "vcond.toml").write_text(f'[vcond]\nstate_dir = "{tmp_path}"\nadmin_socket = "{tmp_path}/admin"\n')
        (tmp_path / "admin").unlink(missing_ok=True)
        words = [sys.executable, "-c", DRAWN, str(tmp_path), *line]
        done = subprocess.run(words, check=False, capture_output=True, text=True)
        assert "True" in done.stderr.splitlines(), done.stderr


def test_models_are_listed_without_what_runs_them(tmp_path: Path):
    assert loaded([f"model list --to {tmp_path}"], HEAVY) == {}


def value(kind, word: str | None):
    """What a command gets for ``--x WORD`` when its values are taken as ``main`` takes them, and by typer alone."""
    found = []
    for way in (quick, lambda command: command):
        made = typer.Typer()

        @made.command()
        def command(x: Annotated[kind, typer.Option("--x")] = None):
            found.append(x)

        way(typer.main.get_command(made))(["--x", word] if word is not None else [], standalone_mode=False)
    mine, theirs = found
    assert (mine, type(mine)) == (theirs, type(theirs))
    return mine


def test_plain_values_are_what_typer_makes_of_them():
    assert value(Path, "~/a//b/") == Path("~/a/b")
    assert value(Path | None, None) is None
    assert value(str, " ") == " "
    assert value(list[Path], "a//b") == [Path("a/b")]
    assert value(list[str] | None, None) is None
    assert value(float, None) is None
    assert value(int | None, "7") == 7
    with pytest.raises(typer.BadParameter):
        value(int, "x")


def test_a_required_word_that_is_missing_is_told_as_before():
    done = subprocess.run([sys.executable, "-m", "vcond", "show"], capture_output=True, text=True, check=False)
    assert (done.returncode, "Missing argument" in done.stderr) == (2, True)
