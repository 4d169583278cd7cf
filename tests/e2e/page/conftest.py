from __future__ import annotations

import sys
from pathlib import Path

import pytest

from vcond.testing.needs import needs

TESTS = Path(__file__).parents[2]
AXE = TESTS.parent / ".peers" / "page" / "node_modules" / "axe-core" / "axe.min.js"
for folder in (TESTS / "e2e" / "page", TESTS / "e2e" / "webrtc", TESTS / "unit" / "server"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


@pytest.fixture
def axe() -> str:
    """What finds mistakes of accessibility, as a script."""
    needs(AXE.exists(), "axe-core is missing: tools/setup.sh test")
    return AXE.read_text()


@pytest.fixture(autouse=True)
def chromium_is_here():
    for file, package in (("/usr/lib/chromium/chromium", "chromium"), ("/usr/bin/chromedriver", "chromium-driver")):
        needs(Path(file).exists(), f"{file} is missing: apt-get install {package}")
