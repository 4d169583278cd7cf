from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
for folder in (HERE, HERE.parent / "daemon"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

CHROMIUM = Path("/usr/lib/chromium/chromium")


@pytest.fixture(autouse=True)
def chromium_is_here():
    if not CHROMIUM.exists():
        assert not os.environ.get("CI"), f"{CHROMIUM} is missing: apt-get install chromium"
        pytest.skip(f"{CHROMIUM} is not here: apt-get install chromium")
