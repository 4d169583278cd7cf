from __future__ import annotations

import sys
from pathlib import Path

import pytest

from vcond.testing.needs import needs

HERE = Path(__file__).parent
for folder in (HERE, HERE.parents[1] / "peers" / "janus", HERE.parent / "webrtc", HERE.parent / "daemon"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

import janus_peer  # noqa: E402 - found by the path above

CHROMIUM = Path("/usr/lib/chromium/chromium")


@pytest.fixture(autouse=True)
def janus_and_chromium_are_here():
    missing = janus_peer.missing() or ("" if CHROMIUM.exists() else f"{CHROMIUM} is not here: apt-get install chromium")
    needs(not missing, missing)
