"""A state folder in which the daemon cannot work: each command says so in one line and exits with 2, and changes nothing."""

from __future__ import annotations

import json
import os
import pwd
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from vcond.app import state_folder

TOP = Path(__file__).resolve().parents[3]
NOBODY = pwd.getpwnam("nobody")
OTHER = 12345
ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
AS_SOMEBODY = """
import contextlib, importlib, io, json, os, pkgutil, sys
import encodings.idna, encodings.utf_8_sig, uvloop
import vcond.app, vcond.cli, vcond.delivery.sinks.folder, vcond_twilio.adapter
for package in (vcond.app, vcond.cli):  # that user may perhaps not read the interpreter's files
    for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        if "publisher" not in module.name:
            importlib.import_module(module.name)
from vcond.app import installed
from vcond.cli import main
points = installed.entry_points()
installed.entry_points = lambda group: points.select(group=group)

def typed(line, config):
    sys.argv = ["vcond", *line.split(), "-c", config]
    out, code = io.StringIO(), None
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        try:
            main()
        except SystemExit as ended:
            code = ended.code
    return [line, code, out.getvalue().splitlines()]

for user, config, lines in json.loads(sys.argv[1]):
    if not os.fork():
        if user:
            os.setgroups([])
            os.setgid(user)
            os.setuid(user)
        print(json.dumps([config, [typed(line, config) for line in lines]]), flush=True)
        os._exit(0)
    os.wait()
"""
LINES = [
    "run", "check --offline --errors-only", "recover", "calls", "show 01a2", "doctor", "doctor 01a2", "subject tel:1", "ledger",
]  # fmt: skip
CONFIG = """
[vcond]
state_dir = "{folder}/state"
admin_socket = "{folder}/admin"
min_free_mb = 0
[adapters.twilio]
[[sinks]]
type = "folder"
path = "{folder}/vcons"
[speech]
engine = "none"
"""
Told = dict[str, tuple[int, list[str]]]


@dataclass(frozen=True)
class Site:
    """A state folder, and what commands say of it: exit code and lines."""

    state: Path
    before: list[tuple[object, ...]]
    told: Told


def everything(folder: Path) -> list[tuple[object, ...]]:
    return sorted((str(at), at.stat().st_uid, at.stat().st_mode, at.stat().st_mtime_ns) for at in folder.rglob("*"))


@pytest.fixture(scope="module")
def sites() -> Iterator[dict[str, Site]]:
    """All of them, by name: what is imported for the commands is imported once."""
    top = Path("/tmp") / f"vcond-state-{os.getpid()}"
    top.mkdir()
    top.chmod(0o755)
    states = {name: _made(top / name) for name in ("others", "roots", "left", "by-root", "read-only")}
    for path in (states["others"] / "journal", states["others"]):
        os.chown(path, OTHER, OTHER)
    states["roots"].chmod(0o755)
    for name in ("left", "by-root"):
        os.chown(states[name], NOBODY.pw_uid, NOBODY.pw_gid)
    (states["left"] / "journal").rmdir()
    (states["left"] / "ingress-token").write_text("x")
    (states["left"] / "lost+found").mkdir(mode=0o700)
    mount = ["mount", "-t", "tmpfs", "-o", f"ro,size=1m,uid={NOBODY.pw_uid}", "tmpfs", str(states["read-only"])]
    mounted = not subprocess.run(mount, check=False, capture_output=True).returncode
    try:
        before = {name: everything(state) for name, state in states.items()}
        short = LINES[:2]
        jobs = [
            (NOBODY.pw_uid, "others", LINES), (NOBODY.pw_uid, "roots", short), (NOBODY.pw_uid, "left", short),
            (0, "by-root", ["run"]), *([(NOBODY.pw_uid, "read-only", short)] if mounted else []),
        ]  # fmt: skip
        words = [(user, str(top / name / "vcond.toml"), lines) for user, name, lines in jobs]
        done = subprocess.run([sys.executable, "-c", AS_SOMEBODY, json.dumps(words)], check=True, capture_output=True, text=True)  # fmt: skip
        rows = [json.loads(line) for line in done.stdout.splitlines()]
        told = {Path(at).parent.name: {line: (code, said) for line, code, said in found} for at, found in rows}
        yield {name: Site(states[name], before[name], told[name]) for name in told}
    finally:
        if mounted:
            subprocess.run(["umount", str(states["read-only"])], check=True)
        shutil.rmtree(top)


def _made(folder: Path) -> Path:
    """A configuration, a folder for vCons and a state folder of root's with a journal's."""
    folder.mkdir()
    (folder / "state").mkdir(mode=0o700)
    (folder / "state/journal").mkdir(mode=0o700)
    (folder / "vcons").mkdir()
    (folder / "vcons").chmod(0o777)
    folder.chmod(0o755)
    config = folder / "vcond.toml"
    config.write_text(CONFIG.format(folder=folder))
    config.chmod(0o644)
    return folder / "state"


@ROOT
def test_in_somebody_elses_folder_each_command_is_one_line_and_exit_2(sites: dict[str, Site]):
    site = sites["others"]
    assert list(site.told) == LINES
    for line, (code, told) in site.told.items():
        assert code == 2, (line, told)
        assert len([one for one in told if not one.startswith("        ->")]) == 1, (line, told)
        assert str(site.state) in told[0], (line, told)
    for line in LINES[:3]:
        said = " ".join(site.told[line][1])
        assert f"{site.state} is not writable for nobody: it belongs to {OTHER}" in said
        assert f"chown -R nobody: {site.state}" in said
    assert everything(site.state) == site.before


@ROOT
@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("roots", "{state} is not writable for nobody: it belongs to root"),
        ("left", "{state}/ingress-token is not writable for nobody: it belongs to root"),
    ],
)
def test_a_folder_that_only_root_may_write_and_what_root_left_in_ours_are_told(
    sites: dict[str, Site], name: str, says: str
):
    site = sites[name]
    for code, told in site.told.values():
        assert (code, says.format(state=site.state) in told[0]) == (2, True), told
    assert everything(site.state) == site.before


@ROOT
def test_root_does_not_run_in_a_folder_whose_owner_could_not_read_it_afterwards(sites: dict[str, Site]):
    site = sites["by-root"]
    code, (told,) = site.told["run"]
    assert code == 2
    assert "belongs to nobody" in told
    assert "runuser -u nobody -- vcond run" in told
    assert everything(site.state) == site.before


@ROOT
def test_a_read_only_file_system_is_told_as_such(sites: dict[str, Site]):
    if "read-only" not in sites:
        pytest.skip("this machine lets nobody mount")
    site = sites["read-only"]
    for code, told in site.told.values():
        assert (code, f"{site.state} is on a read-only file system" in told[0]) == (2, True), told


def test_what_is_looked_at_is_what_the_page_of_operating_lists():
    text = (TOP / "docs/operations.md").read_text("utf-8")
    table = text.partition("## Files below `state_dir`")[2].partition("\n## ")[0]
    first = [row.split("|")[1] for row in table.splitlines() if row.startswith("| `")]
    names = {name.partition("/")[0] for cell in first for name in re.findall(r"`([^`]+)`", cell) if name[0] != "/"}
    assert len(names) > 10
    assert names <= set(state_folder.OURS)


def test_a_file_in_the_place_of_the_folder_is_told(tmp_path: Path):
    (tmp_path / "state").write_text("")
    found = state_folder.unusable(tmp_path / "state")
    assert found is not None
    assert "is not a folder" in found[0]
    assert state_folder.unusable(tmp_path / "not" / "there" / "yet") is None
