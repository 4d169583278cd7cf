"""The packages of ``make deb``: how large, what lintian says, and a life of them in a root of their own."""

from __future__ import annotations

import os
import re
import shutil
import stat
import sys
from pathlib import Path

import pytest
from deb_kit import TOP, run
from deb_kit import dpkg as dpkg_of

from vcond import __version__
from vcond.testing.needs import needs

MOST = {"vcond": 500, "vcond-webrtc": 120}
"""MB on the disk."""
ELSEWHERE = {"systemd", "ops", "tests", "tools", "vcond", "findings", "man", "LICENSE", "pyproject.toml"}
"""Of the checkout: source, and what the package has in places of its own."""
ASKED = "import aiortc, av, ctranslate2, numpy, soundfile, tokenizers, uvloop, vosk as last; print(last.__file__)"


def test_they_are_two_of_the_size_that_was_promised(packages: dict[str, Path]):
    assert packages.keys() == MOST.keys()
    for name, file in packages.items():
        installed = int(run("dpkg-deb", "-f", file, "Installed-Size")) * 1024 / 1e6
        print(f"{name}: {installed:.0f} MB installed, {file.stat().st_size / 1e6:.0f} MB packed here")
        assert installed <= MOST[name]
    told = run("dpkg-deb", "-f", packages["vcond"], "Version", "Depends")
    assert re.search(rf"^Version: {re.escape(__version__)}[~+]", told, re.MULTILINE)
    assert f"python3 (>= 3.{sys.version_info.minor}), python3 (<< 3.{sys.version_info.minor + 1})" in told


def test_they_say_nothing_of_where_they_were_built(packages: dict[str, Path], tmp_path: Path):
    run("dpkg-deb", "-x", packages["vcond-webrtc"], tmp_path)
    run("dpkg-deb", "--control", packages["vcond-webrtc"], tmp_path / "DEBIAN")
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert len(files) > 100
    assert [file for file in files if str(TOP).encode() in file.read_bytes()] == []


def test_the_documentation_is_there_and_links_to_itself(packages: dict[str, Path], tmp_path: Path):
    run("dpkg-deb", "-x", packages["vcond"], tmp_path)
    doc = tmp_path / "usr/share/doc/vcond"
    for page in ("README.md", "docs/README.md", "docs/operations.md", "adapters/asterisk/README.md"):
        assert (doc / page).read_text("utf-8") == (TOP / page).read_text("utf-8")
    dead = set()
    for page in doc.rglob("*.md"):
        for link in re.findall(r"\]\(([^)#\s]+)", page.read_text("utf-8")):
            target = Path(os.path.normpath(page.parent / link))
            if "://" not in link and target.is_relative_to(doc) and not target.exists():
                dead.add(target.relative_to(doc).parts[0])
    assert dead <= ELSEWHERE


def test_lintian_says_nothing_that_is_not_answered(packages: dict[str, Path]):
    needs(shutil.which("lintian"), "lintian is missing: apt-get install lintian")
    shown = ("--tag-display-limit", "0", "--allow-root", "-X", "binaries/spelling")  # a fifth of its time, for no error
    run("lintian", "--fail-on", "error,warning", *shown, *packages.values())


def test_installed_upgraded_removed_and_purged(packages: dict[str, Path], tmp_path: Path):
    if os.geteuid():
        pytest.skip("files of other users are for root, and this is not")
    root = tmp_path / "root"
    dpkg = dpkg_of(root)
    run(*dpkg, "--install", packages["vcond"])

    users = {line.split(":")[0]: line.split(":") for line in (root / "etc/passwd").read_text().splitlines()}
    group = int(users["vcond"][3])
    for place, owner, mode in (
        ("etc/vcond", 0, 0o750),
        ("etc/vcond/vcond.d", 0, 0o750),
        ("etc/vcond/vcond.toml", 0, 0o640),
        ("var/lib/vcond", int(users["vcond"][2]), 0o700),
    ):
        seen = (root / place).stat()
        assert (seen.st_uid, seen.st_gid, stat.S_IMODE(seen.st_mode)) == (owner, group, mode), place
    for unit in ("vcond.service", "vcond.socket"):
        assert (root / "usr/lib/systemd/system" / unit).is_file()
    assert {file.name for file in (root / "usr/share/vcond").iterdir()} == {
        file.name for file in (TOP / "ops").iterdir()
    }
    assert (root / "usr/bin/vcond").readlink() == Path("../lib/vcond/bin/vcond")

    # the environment runs wherever it stands, with Debian's Python
    vcond = (root / "usr/lib/vcond/bin/python3", "-I", root / "usr/lib/vcond/bin/vcond")
    assert run(*vcond, "version") == f"vcond {__version__}\n"
    told = run(*vcond, "check", "--offline", "--errors-only", "--config", root / "etc/vcond/vcond.toml", code=2)
    assert told.splitlines()[0] == "ERROR   adapters: none is configured", "as it comes it records nothing yet"
    told = run(*vcond, "check", "--offline", "--config", root / "etc/vcond/vcond.toml", code=2)
    assert "ok      speech: whisper with its own model" in told
    told = run(vcond[0], "-I", "-c", "from vcond.base.errors import how_to_install as how; print(how('webrtc'))")
    assert told == "apt install ./vcond-webrtc_*.deb\n"

    # an upgrade keeps what the operator wrote, and so does the other package's arrival
    config = root / "etc/vcond/vcond.toml"
    config.write_text("# mine\n")
    calls = root / "var/lib/vcond/vcond.db"
    calls.write_bytes(b"calls")
    run(*dpkg, "--force-confold", "--install", packages["vcond"], packages["vcond-webrtc"])
    assert config.read_text() == "# mine\n"
    assert run(vcond[0], "-I", "-c", ASKED).startswith(str(root))
    assert (root / "usr/lib/systemd/system/vcond.service.d/webrtc.conf").is_file()
    assert not list(root.rglob("*.dpkg-*"))

    run(*dpkg, "--remove", "vcond-webrtc", "vcond")
    assert not (root / "usr/lib/vcond").exists()
    assert config.is_file()
    told = run(*dpkg, "--purge", "vcond-webrtc", "vcond")
    assert not (root / "etc/vcond").exists()
    assert calls.read_bytes() == b"calls", "calls are not a package's to remove"
    assert f"{root}/var/lib/vcond is kept" in told


def test_the_container_is_made_of_the_packages_and_names_no_place():
    text = (TOP / "Containerfile").read_text()
    lines = re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE)).splitlines()
    assert lines[:2] == ["ARG BASE", "FROM ${BASE}"]
    assert "COPY dist/*.deb /srv/" in lines
    assert [line for line in lines if line.split()[0] in {"USER", "ENTRYPOINT", "CMD"}] == [
        "USER vcond",
        'ENTRYPOINT ["/usr/bin/vcond"]',
        'CMD ["run"]',
    ]
