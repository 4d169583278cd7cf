"""Every day's commands: with a daemon, without one, and for who may not."""

import asyncio
import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from vcond.base.errors import AmbiguousError, ConfigError, RefusedError
from vcond.capture.live_feed import LiveFeed
from vcond.cli import journals, render
from vcond.cli.admin_client import NoAccessError, ask
from vcond.cli.app import app
from vcond.cli.check import _disk, _limited
from vcond.cli.vcons import summary as of_file
from vcond.config import Config, DaemonConfig, load_daemon
from vcond.server.admin import AdminServer
from vcond.speech.check import check_speech
from vcond.speech.config import SpeechConfig
from vcond.vcon import serialize


def command(*words: str, config: Path) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "vcond", *words, *(["-c", str(config)] if config.name != "-" else [])],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "vcond.toml"
    file.write_text(
        f'[vcond]\nstate_dir = "{tmp_path}/state"\nadmin_socket = "{tmp_path}/admin"\n'
        '[adapters.asterisk]\npassword = "${credential:not-for-you}"\n'
    )
    return file


class Forbidden:
    """A path that this user may not look at; as root nothing is, so the system call says so."""

    def __init__(self, monkeypatch, path: Path) -> None:
        real = os.stat

        def stat(file, *rest, **more):
            if str(file).startswith(str(path)):
                raise PermissionError(errno.EACCES, "Permission denied", str(file))
            return real(file, *rest, **more)

        monkeypatch.setattr(os, "stat", stat)


def test_who_may_not_use_the_socket_is_told_what_to_do(tmp_path: Path, monkeypatch):
    Forbidden(monkeypatch, tmp_path / "run")
    with pytest.raises(NoAccessError, match="in its group: usermod -aG vcond"):
        ask(str(tmp_path / "run" / "admin.sock"), "calls")


def test_a_secret_of_another_section_is_not_needed_to_ask_the_daemon(config: Path):
    assert load_daemon(config, {}).admin_socket.endswith("/admin")
    assert load_daemon(config, {"VCOND_VCOND__ADMIN_SOCKET": "/x"}).admin_socket == "/x"
    config.write_text("[vcond]\nadmin_soket = 1\n")
    with pytest.raises(ConfigError, match="did you mean 'admin_socket'"):
        load_daemon(config, {})


@pytest.mark.parametrize("words", [("calls",), ("show", "01a2"), ("pause", "01a2"), ("resume", "01a2"), ("outbox",)])
def test_without_a_daemon_every_command_says_what_to_do_in_a_line(config: Path, words: tuple[str, ...]):
    code, printed = command(*words, config=config)
    assert "Traceback" not in printed
    assert "running" in printed
    if words[0] == "calls":
        assert code == 0
        assert "no calls\n" in printed
    else:
        assert code == 2
        assert printed.count("\n") == 1


def test_whatever_the_disk_refuses_is_a_line_and_no_traceback(tmp_path: Path):
    script = (
        "import sys, vcond.cli.app as a, vcond.cli as c\n"
        "def refuse(): raise PermissionError(13, 'Permission denied', '/var/lib/vcond/x')\n"
        "a.app.command()(refuse)\nsys.argv = ['vcond', 'refuse']\nc.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True)
    assert done.returncode == 2
    assert (
        done.stderr
        == "vcond: /var/lib/vcond/x: Permission denied; run it as root, as the user vcond or in the group vcond\n"
    )


def test_the_version_is_an_option_too(tmp_path: Path):
    assert command("--version", config=tmp_path / "-")[1] == command("version", config=tmp_path / "-")[1]


@pytest.fixture
async def door(tmp_path: Path):
    async def call(query):
        if query["call"] == "0":
            raise AmbiguousError("ambiguous call id prefix")
        raise LookupError("no call")

    async def vcon(query):
        if query["call"] != "01a2":
            raise LookupError("no vCon")
        sinks = [{"sink": "folder", "state": "delivered", "target": "/srv/01a2.vcon.json"}]
        return {"call": "01a2", "vcon": "01a2", "bytes": 7, "sinks": sinks}

    server = AdminServer(tmp_path / "admin", reads={"call": call, "vcon": vcon}, writes={}, live=LiveFeed())
    await server.start()
    yield DaemonConfig(state_dir=str(tmp_path), admin_socket=str(tmp_path / "admin"))
    await server.close()


async def test_a_call_that_is_delivered_says_where(door):
    found = await asyncio.to_thread(journals.find, door, "01a2")
    assert list(render.call(found)) == [
        "01a2  has ended; its vCon has 7 bytes", "  folder: delivered: /srv/01a2.vcon.json",
    ]  # fmt: skip
    with pytest.raises(RefusedError, match="not delivered"):
        await asyncio.to_thread(journals.find, door, "ffff")
    with pytest.raises(AmbiguousError, match="ambiguous call id prefix"):
        await asyncio.to_thread(journals.find, door, "0")


def test_no_engine_on_purpose_is_no_warning():
    (told,) = check_speech(SpeechConfig(engine="none"))
    assert told.level == "ok"


def test_a_vcon_shows_what_was_said_of_consent(tmp_path: Path):
    said = {
        "time": "2026-11-22T09:00:01Z",
        "party": 0,
        "state": "granted",
        "how": "key",
        "purposes": ["recording", "analysis"],
    }
    file = tmp_path / "one.vcon.json"
    body = {"vcon": "0.4.0", "attachments": [{"purpose": "vcond-capture-report", "body": {"consent": [said]}}]}
    file.write_bytes(serialize(body))
    _, lines = of_file(file)
    assert "  consent of party 0: granted (key; recording, analysis) 2026-11-22T09:00:01Z" in lines


def test_a_vcon_shows_who_paused_and_who_overrode_it(tmp_path: Path):
    pauses = [
        {"start": "2026-11-22T09:00:01Z", "stop": "2026-11-22T09:00:07Z", "by": "party", "party": 0,
         "overridden_by": "operator"},
        {"start": "2026-11-22T09:00:09Z", "stop": "2026-11-22T09:00:10Z", "by": "operator", "reason": "card"},
    ]  # fmt: skip
    file = tmp_path / "a.vcon.json"
    file.write_bytes(
        serialize({"vcon": "0.4.0", "attachments": [{"purpose": "vcond-capture-report", "body": {"pauses": pauses}}]})
    )
    _, lines = of_file(file)
    assert lines[-2:] == [
        "  recording paused by party 0: 2026-11-22T09:00:01Z to 2026-11-22T09:00:07Z; ended by the operator with --force",
        "  recording paused by operator (card): 2026-11-22T09:00:09Z to 2026-11-22T09:00:10Z",
    ]


async def test_an_adapter_that_may_not_read_is_a_finding():
    async def look():
        raise PermissionError(errno.EACCES, "Permission denied", "/var/lib/vcond/x")
        yield

    (found,) = await _limited("adapter x", look())
    assert (found.level, found.detail) == ("error", "/var/lib/vcond/x Permission denied")


def test_a_state_folder_that_nobody_may_look_into_is_a_finding(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_, **__: False)
    (found,) = _disk(Config(vcond=DaemonConfig(state_dir=str(tmp_path / "none"))))
    assert (found.level, found.what) == ("error", "vcond.state_dir")
    assert "runuser -u vcond" in found.fix


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["forget", "--give-up", "sinks.a"], "must be given with --give-up"),
        (["forget", "--party-only", "0"], "must be given with --party-only"),
        (["legal-hold", "--reason", "case 7"], "must be given to hold or release one"),
        (["legal-hold", "--release"], "must be given to hold or release one"),
        (["subject", "tel:+12125550143", "--mask-others"], "is for a copy"),
    ],
)
def test_an_option_that_would_do_nothing_is_refused(config: Path, words: list[str], said: str):
    result = CliRunner().invoke(app, [*words, "-c", str(config)])
    assert result.exit_code == 2
    assert said in result.output
