"""``make install``: what it installs is what was tested, and what it refuses it says."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from vcond.app.plugins import without_links
from vcond.base.errors import how_to_install

TOP = Path(__file__).resolve().parents[3]


def pins(lock: str) -> dict[str, str]:
    text = (TOP / lock).read_text()
    found = dict(re.findall(r"^([a-z0-9][a-z0-9._-]*(?:\[[a-z,-]+\])?)==([^ ;\\]+)", text, re.MULTILINE))
    assert "://" not in text  # no index is named
    return found


@pytest.mark.parametrize("lock", ["requirements-embedded.lock", "requirements-siprec.lock", "requirements-webrtc.lock"])
def test_what_is_installed_is_what_the_tests_ran_with(lock: str):
    tested, installed = pins("requirements.lock"), pins(lock)
    assert {"aiohttp", "vosk", "msgspec", "hatchling"} <= set(installed)
    assert ("ctranslate2" in installed) == ("embedded" in lock)
    assert ("aiortc" in installed) == ("webrtc" in lock)
    assert ("pylibsrtp" in installed) == ("embedded" not in lock)
    assert "pytest" not in installed
    assert {name: version for name, version in installed.items() if tested.get(name) != version} == {}


def install(**environment: str) -> subprocess.CompletedProcess[str]:
    command = ["sh", str(TOP / "tools" / "install.sh")]
    return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)


def test_an_unknown_extra_is_refused_before_anything_is_written(tmp_path: Path):
    if os.geteuid():
        pytest.skip("make install is for root, and this is not")
    done = install(WITH="browser", PREFIX=str(tmp_path / "opt"), DESTDIR=str(tmp_path / "root"))
    assert done.returncode == 1
    assert "WITH=browser is unknown" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_python_that_is_too_old_is_named_with_its_remedy(tmp_path: Path):
    if os.geteuid():
        pytest.skip("make install is for root, and this is not")
    done = install(PYTHON="/bin/false", PREFIX=str(tmp_path / "opt"), DESTDIR=str(tmp_path / "root"))
    assert done.returncode == 1
    assert "apt-get install python3 python3-venv" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("systemd", "directive"), [("252 (252.39-1)", "LoadCredential"), ("257 (257.9-1)", "ImportCredential")]
)
def test_the_unit_takes_secrets_that_may_be_missing_as_this_systemd_does(tmp_path: Path, systemd: str, directive: str):
    if os.geteuid():
        pytest.skip("make install is for root, and this is not")
    for name, said in (("opt/bin/python", ""), ("opt/bin/vcond", "vcond"), ("bin/systemctl", f"systemd {systemd}")):
        stub = tmp_path / name
        stub.parent.mkdir(parents=True, exist_ok=True)
        stub.write_text(f"#!/bin/sh\necho '{said}'\n")
        stub.chmod(0o755)
    path = f"{tmp_path}/bin:{os.environ['PATH']}"
    done = install(PREFIX=str(tmp_path / "opt"), DESTDIR=str(tmp_path / "root"), PATH=path)
    assert done.returncode == 0, done.stderr
    unit = (tmp_path / "root/etc/systemd/system/vcond.service").read_text()
    assert set(re.findall(r"^(\w+Credential)=", unit, re.MULTILINE)) == {directive}


def test_how_to_install_names_a_command_that_exists():
    targets = re.findall(r"^([a-z]+):", (TOP / "Makefile").read_text(), re.MULTILINE)
    assert how_to_install("embedded").startswith("make install,")
    assert how_to_install("webrtc").startswith("make install WITH=webrtc,")
    assert how_to_install("siprec").startswith("make install WITH=siprec,")
    assert "install" in targets
    assert how_to_install("other").endswith("/bin/pip install other")


def test_where_vcond_is_a_package_its_extras_are_too(tmp_path: Path, monkeypatch):
    (tmp_path / "packaged").touch()
    monkeypatch.setattr("sys.prefix", str(tmp_path))
    assert how_to_install("embedded") == "apt install ./vcond_*.deb"
    assert how_to_install("webrtc") == "apt install ./vcond-webrtc_*.deb"
    assert how_to_install("other") == f"python3 -m pip --python {tmp_path}/bin/python3 install other"
    page = "all settings are in [sample.toml](sample.toml)"
    assert without_links(page) == "all settings are in sample.toml (below /usr/share/doc/vcond)"
    (tmp_path / "packaged").unlink()
    assert without_links(page) == "all settings are in sample.toml (in vcond's source)"
