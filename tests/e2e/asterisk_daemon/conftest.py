"""The PBX of all tests; each has an installation of vcond of its own."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from pbx_modules import farm, peer

HERE = Path(__file__).resolve().parent
for folder in (
    HERE,
    HERE.parent / "daemon",
    HERE.parents[1] / "peers" / "conserver",
    HERE.parents[1] / "unit" / "vcon",
):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

import pbx_daemon_kit as kit  # noqa: E402 - found by the path above


@pytest.fixture
async def site(bed, tmp_path):
    """An installation of vcond beside the PBX, with phones; not started yet."""
    async with kit.Site(bed, peer, farm, tmp_path) as made:
        yield made


@pytest.fixture
def judge():
    """Looks at a vCon."""
    return kit.Judged
