from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from vcond.testing.needs import needs

HERE = Path(__file__).resolve().parent
if str(HERE) not in sys.path:
    sys.path.insert(0, str(HERE))

import deb_kit  # noqa: E402 - found by the path above


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The packages by name, built once."""
    needs(Path("/etc/debian_version").exists() and shutil.which("dpkg-deb"), "a package for Debian is built on Debian")
    out = tmp_path_factory.mktemp("deb")
    tool = deb_kit.TOP / "tools" / "deb.py"
    deb_kit.run(sys.executable, tool, "--out", out, "--compression", "-Zgzip -z1")
    return {file.name.partition("_")[0]: file for file in out.glob("*.deb")}
