"""The files for systemd: what they allow, what they name, and that they fit one another."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from vcond.cli.owner import DEFAULT_STATE, USER
from vcond.config.schema import DaemonConfig, KeysConfig
from vcond.testing.needs import needs

TOP = Path(__file__).resolve().parents[3]
UNIT = TOP / "systemd" / "vcond.service"
SOCKET = TOP / "systemd" / "vcond.socket"
DROP_INS = sorted((TOP / "systemd" / "vcond.service.d").glob("*.conf"))
MOST = {"low-ports.conf": 1.8, "webrtc.conf": 1.8}
"""Of the exposure that systemd-analyze computes, 0 to 10."""


def tool():
    spec = importlib.util.spec_from_file_location("deb", TOP / "tools/deb.py")
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


deb = tool()


def said(file: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r"^([A-Za-z]+)=(.*)$", file.read_text(), re.MULTILINE):
        found.setdefault(name, []).append(value)
    return found


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    needs(shutil.which("systemd-analyze"), "systemd-analyze is missing: apt-get install systemd")
    return subprocess.run(["systemd-analyze", *arguments], check=False, capture_output=True, text=True)


def test_the_unit_loads_every_credential_that_a_page_names():
    places = ("README.md", "docs/*.md", "vcond/**/*.toml", "vcond/**/*.md", "adapters/**/*.toml", "adapters/**/*.md")
    pages = [page for place in places for page in TOP.glob(place)]
    named = {name for page in pages for name in re.findall(r"\$\{credential:([a-z0-9-]+)\}", page.read_text())}
    assert named
    assert named - set(said(UNIT)["LoadCredential"]) == set()


@pytest.mark.parametrize(("suite", "directive"), [("bookworm", "LoadCredential"), ("trixie", "ImportCredential")])
def test_secrets_that_are_not_there_are_no_lines_in_the_journal(suite: str, directive: str):
    """docs/systemd.md has the journal of both Debians: of each that LoadCredential= names, newer systemds log that it is missing."""
    told = deb.unit(UNIT.read_text(), suite)
    assert re.findall(rf"^{directive}=(.*)$", told, re.MULTILINE) == said(UNIT)["LoadCredential"]
    assert set(re.findall(r"^(\w+Credential)=", told, re.MULTILINE)) == {directive}
    kept = [line for line in told.splitlines() if not line.startswith(directive)]
    assert kept == [line for line in UNIT.read_text().splitlines() if not line.startswith("LoadCredential=")]
    assert [file.name for file in DROP_INS if "Credential=" in file.read_text()] == [], "the unit names them all"


def test_the_units_are_clean(tmp_path: Path):
    for file in (UNIT, SOCKET):
        text = re.sub("/usr/bin/vcond", "/bin/true", file.read_text())
        (tmp_path / file.name).write_text(text)
    for number, drop_in in enumerate([None, *DROP_INS]):
        folder = tmp_path / str(number)
        (folder / "vcond.service.d").mkdir(parents=True)
        for file in (UNIT, SOCKET):
            shutil.copy(tmp_path / file.name, folder)
        if drop_in is not None:
            text = re.sub("/usr/bin/vcond", "/bin/true", drop_in.read_text())
            (folder / "vcond.service.d" / drop_in.name).write_text(text)
        done = analyze("verify", "--man=no", str(folder / UNIT.name), str(folder / SOCKET.name))
        # what verify says of units of this machine is not ours
        ours = [line for line in done.stderr.splitlines() if "vcond" in line]
        assert (done.returncode, ours) == (0, []), done.stderr


@pytest.mark.parametrize("drop_in", [None, *DROP_INS], ids=lambda file: file.name if file else "unit")
def test_how_much_of_the_machine_it_could_reach(tmp_path: Path, drop_in: Path | None):
    shutil.copy(UNIT, tmp_path)
    if drop_in is not None:
        (tmp_path / "vcond.service.d").mkdir()
        shutil.copy(drop_in, tmp_path / "vcond.service.d")
    done = analyze("security", "--offline=true", "--no-pager", str(tmp_path / UNIT.name))
    exposure = re.search(r"Overall exposure level for vcond.service: ([0-9.]+)", done.stdout)
    assert exposure, done.stderr
    print(f"{drop_in.name if drop_in else UNIT.name}: {exposure[1]}")
    assert float(exposure[1]) <= MOST.get(drop_in.name if drop_in else "", 1.5), done.stdout


def test_a_wrong_configuration_is_not_tried_for_ever_and_no_call_ends_in_a_core_file_or_in_swap():
    unit = said(UNIT)
    assert unit["RestartPreventExitStatus"] == ["2"]  # held against the daemon by tests/e2e/daemon
    assert (unit["LimitCORE"], unit["MemorySwapMax"]) == (["0"], ["0"])
    # a check that is no reason to stay down, and one that is a reason not to reload
    check = "/usr/bin/vcond check --offline --errors-only --config /etc/vcond/vcond.toml"
    assert unit["ExecStartPre"] == [f"-{check}"]
    assert unit["ExecReload"] == [check, "/bin/sh -c 'kill -HUP $MAINPID'"]


def test_the_files_mean_the_same_places_and_user_as_vcond_does():
    unit, door = said(UNIT), said(SOCKET)
    assert unit["Sockets"] == [SOCKET.name]
    assert door["ListenStream"] == [DaemonConfig().admin_socket]
    assert door["SocketMode"] == ["0660"]
    assert door["PartOf"] == [UNIT.name]
    assert unit["User"] == unit["Group"] == door["SocketUser"] == door["SocketGroup"] == [USER]
    assert f"u {USER} " in (TOP / "systemd" / "vcond.sysusers.conf").read_text()
    made = dict(
        re.findall(r"^d (\S+) (\d+) vcond vcond -$", (TOP / "systemd/vcond.tmpfiles.conf").read_text(), re.MULTILINE)
    )
    assert made == {
        str(DEFAULT_STATE): unit["StateDirectoryMode"][0],
        KeysConfig().store: unit["StateDirectoryMode"][0],
        str(Path(DaemonConfig().admin_socket).parent): unit["RuntimeDirectoryMode"][0],
    }


def test_every_file_says_where_it_goes():
    for file in [UNIT, SOCKET, *DROP_INS, *(TOP / "systemd").glob("*.conf")]:
        first = file.read_text().splitlines()[0]
        name = (
            file.name if "/vcond.service.d/" in first else file.name.replace(".sysusers", "").replace(".tmpfiles", "")
        )
        assert re.match(rf"# /(etc|usr/lib)/[a-z.d/]+/{re.escape(name)}\b", first), file
