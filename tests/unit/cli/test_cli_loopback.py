"""``vcond check --loopback``: each stage green, or with cause and fix; nothing is left, and no sink gets anything."""

import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from vcond.cli import loopback as module
from vcond.cli.app import app
from vcond.cli.loopback import LOOPS, Loop, loopback, own
from vcond.config import Loaded, load
from vcond.demo import player
from vcond.demo.call import SILENCE
from vcond_twilio import TwilioConfig

SECTIONS = """
[adapters.twilio]
public_url = "https://e.example.com"
auth_tokens = ["0123456789abcdef0123"]
[adapters.webrtc]
secret = "0123456789abcdef0123456789abcdef"
turn = "turn:turn.example.com:3478"
turn_secret = "0123456789"
[adapters.siprec]
listen = ["udp:192.0.2.5:5060"]
users = {client = "0123456789"}
[adapters.second]
type = "stream"
secrets = {plivo = "0123456789"}
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.setattr(module, "SECONDS", 0.5)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    file = tmp_path / "vcond.toml"
    file.write_text(
        f'[vcond]\nname = "e.example.com"\nstate_dir = "{tmp_path}/state"\nadmin_socket = "{tmp_path}/admin"\n'
        '[speech]\nengine = "none"\n'
        f'[[sinks]]\ntype = "folder"\npath = "{tmp_path}/vcons"\n{SECTIONS}'
    )
    return file


def only(config: Path, name: str) -> Loaded:
    loaded = load(config, {})
    return replace(
        loaded, config=module.msgspec.structs.replace(loaded.config, adapters={name: loaded.config.adapters[name]})
    )


@pytest.mark.parametrize("name", ["twilio", "second", "siprec", pytest.param("webrtc", marks=pytest.mark.peer)])
def test_a_call_goes_all_the_way_and_leaves_nothing(config: Path, tmp_path: Path, name: str):
    found = loopback(only(config, name))
    assert [one.level for one in found] == ["ok"] * 4, found
    assert found[2].detail == "audio of 2 parties arrived completely"
    assert found[3].detail.startswith("its vCon is valid")
    assert left(tmp_path) == ["tmp", "vcond.toml"], "no state, no sink, no socket"


def left(folder: Path) -> list[str]:
    """All that is there, folders and files."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_its_daemon_has_no_sink_and_no_secret_of_the_configuration(config: Path, tmp_path: Path):
    mine = own(load(config, {}), "twilio", LOOPS["twilio"], tmp_path / "x").config
    assert [one["path"] for one in mine.sinks] == [str(tmp_path / "x" / "vcons")]
    assert list(mine.adapters) == ["twilio"]
    assert "auth_tokens" not in mine.adapters["twilio"]
    assert (mine.vcond.name, mine.web.listen, mine.record.media_dir) == ("e.example.com", "127.0.0.1:0", "")


def test_twilio_itself_is_not_asked_about_the_test_call(config: Path, tmp_path: Path):
    loaded = only(config, "twilio")
    asks = {"account_sid": "AC1", "auth_tokens": ["x" * 32], "start_streams": True, "stop_on_pause": True}
    loaded.config.adapters["twilio"].update(asks, api_key="SK1", api_secret="x" * 32)
    mine = own(loaded, "twilio", LOOPS["twilio"], tmp_path / "x").config.adapters["twilio"]
    assert TwilioConfig(**mine).checked().account_sid == ""


def played(path: str, silent: tuple[int, ...]) -> Loop:
    async def place(where: module.At) -> None:
        said = module.recording()
        tracks = tuple(SILENCE * len(track) if i in silent else track for i, track in enumerate(said.tracks))
        at = where.url.replace("http", "ws", 1) + f"{path}/{where.token}"
        await player.play(at, replace(said, tracks=tracks), speed=1, progress=lambda _: None)

    return replace(LOOPS["twilio"], place=place)


@pytest.mark.parametrize(
    ("path", "silent", "stages", "said"),
    [
        ("/elsewhere", (), 1, "call: the daemon refuses the call"),
        (module.PATH, (1,), 2, "audio: party 1: only digital silence came in"),
    ],
)
def test_the_stage_that_fails_says_why_and_the_rest_is_not_tried(config, tmp_path, path, silent, stages, said):
    found = loopback(only(config, "twilio"), {"twilio": played(path, silent)})
    assert [one.level for one in found] == ["ok"] * stages + ["error"]
    assert found[-1].detail.startswith(said)
    assert found[-1].fix
    assert left(tmp_path) == ["tmp", "vcond.toml"]


def test_a_daemon_that_does_not_start_says_what_its_log_says(config: Path, monkeypatch):
    monkeypatch.setattr(module, "_attached", lambda *_: False)
    monkeypatch.setattr(module, "READY_LIMIT", 0.01)
    (one,) = loopback(only(config, "twilio"))
    assert (one.level, one.detail.partition(":")[0]) == ("error", "start")


def test_a_kind_without_means_of_its_own_says_what_to_do(config: Path):
    (one,) = loopback(only(config, "second"), {})
    assert (one.level, one.fix) == ("warning", "place a call by hand and check it with vcond doctor")


def test_the_command_places_it_after_all_else(config: Path, monkeypatch):
    def placed(_):
        return [module.Finding("error", "loopback twilio", "call: x", "y")]

    monkeypatch.setattr(module, "loopback", placed)
    done = CliRunner().invoke(app, ["check", "-c", str(config), "--offline", "--loopback"])
    assert (done.exit_code, done.output.splitlines()[-2:]) == (2, ["ERROR   loopback twilio: call: x", "        -> y"])
    assert "loopback twilio" not in CliRunner().invoke(app, ["check", "-c", str(config), "--offline"]).output
