from __future__ import annotations

import os
import sys
from pathlib import Path

from typer.testing import CliRunner

from vcond.cli.app import app
from vcond.cli.check import findings
from vcond.cli.check_rows import rows
from vcond.config import load
from vcond.sdk.contract import Finding
from vcond.speech import check as module
from vcond.speech.models import graph_cache

SPEECH = Path(__file__).parents[1] / "speech"
if str(SPEECH) not in sys.path:
    sys.path.insert(0, str(SPEECH))

from speech_server import Server, running  # noqa: E402 - the folder is found first

CONFIG = """
[vcond]
state_dir = "{folder}/state"
[speech]
engine = "remote"
url = "{url}"
token = "hush"
[adapters.twilio]
[[sinks]]
type = "folder"
path = "{folder}/out"
"""


def found(folder: Path, url: str, *, offline: bool = False) -> list[tuple[str, str]]:
    file = folder / "vcond.toml"
    file.touch(0o600)
    file.write_text(CONFIG.format(folder=folder, url=url))
    told = findings(load(file, os.environ), file, offline=offline)
    assert "hush" not in str(told)
    return [(one.level, one.detail) for one in told if one.what.startswith("speech")]


def test_check_asks_the_speech_server(tmp_path: Path) -> None:
    server = Server()
    with running(server) as port:
        url = f"ws://127.0.0.1:{port}"
        assert found(tmp_path, url)[1] == ("ok", f"{url} answers, keeps connections")
        server.resets = False
        assert "one connection per utterance" in found(tmp_path, url)[1][1]
        server.headers.clear()
        assert len(found(tmp_path, url, offline=True)) == 1
        assert server.headers == [], "offline means: nobody is asked"
    level, detail = found(tmp_path, url)[1]
    assert level == "warning"
    assert "cannot be reached" in detail


def test_an_engine_of_another_package_that_cannot_be_imported_is_said(tmp_path: Path, monkeypatch) -> None:
    text = CONFIG.replace('engine = "remote"\nurl = "{url}"\ntoken = "hush"', 'engine = "collections:Nothing"')
    monkeypatch.setitem(globals(), "CONFIG", text)
    level, detail = found(tmp_path, "")[1]
    assert (level, "has no attribute 'Nothing'" in detail) == ("error", True)
    assert len(found(tmp_path, "", offline=True)) == 1


def test_a_token_in_the_clear_is_said(tmp_path: Path) -> None:
    told = found(tmp_path, "ws://127.0.0.2:1")
    assert ("warning", "it is sent unencrypted over the network") in told


def test_a_search_is_for_engines_that_have_one(tmp_path: Path) -> None:
    file = tmp_path / "vcond.toml"
    for max_active, level, said in (
        (1000, "warning", "remote does not support max_active"),
        (100, "error", "max_active must be 0 or at least 300"),
    ):
        section = f"[speech]\nmax_active = {max_active}"
        file.write_text(CONFIG.format(folder=tmp_path, url="ws://127.0.0.1:1").replace("[speech]", section))
        found = rows(file, offline=True, errors_only=False, loopback=False)
        told = [Finding(**one) for one in found if said in one["detail"]]
        assert [one.level for one in told] == [level]


def test_before_a_start_only_errors_count_and_no_model_is_read(tmp_path: Path, monkeypatch) -> None:
    file = tmp_path / "vcond.toml"
    file.touch(0o600)
    text = CONFIG.replace('engine = "remote"\nurl = "{url}"\ntoken = "hush"', 'engine = "vosk"\nmodel = "{folder}"')
    file.write_text(text.format(folder=tmp_path))
    looked = []
    monkeypatch.setattr(
        module.graph_cache, "look", lambda model: looked.append(model) or graph_cache.Look(there=True, why="old")
    )
    command = ["check", "--offline", "--config", str(file)]
    for options, code, reads in ((["--errors-only"], 0, []), ([], 1, [tmp_path])):
        done = CliRunner().invoke(app, command + options)
        assert (done.exit_code, looked) == (code, reads), done.output
        assert ("WARNING" in done.output) == bool(code)
    file.write_text(file.read_text().replace(f'model = "{tmp_path}"', 'model = "/nowhere"'))
    done = CliRunner().invoke(app, [*command, "--errors-only"])
    assert done.exit_code == 2
    assert done.output.splitlines()[0] == "ERROR   speech: no folder /nowhere"
