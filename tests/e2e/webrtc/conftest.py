from __future__ import annotations

import sys
from pathlib import Path

import pytest

from vcond.testing.needs import needs

HERE = Path(__file__).parent
for folder in (HERE, HERE.parent / "daemon"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

CHROMIUM = Path("/usr/lib/chromium/chromium")


@pytest.fixture(autouse=True)
def chromium_is_here():
    needs(CHROMIUM.exists(), f"{CHROMIUM} is missing: apt-get install chromium")
