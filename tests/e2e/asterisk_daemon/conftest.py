"""One PBX and its phones for all of these tests; each has an installation of vcond of its own."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
PEERS = HERE.parents[1] / "peers/asterisk"
for folder in (HERE, HERE.parent / "daemon"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def _load(name: str, path: Path):
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


peer = _load("vcond_test_asterisk_peer", PEERS / "peer.py")
farm = _load("vcond_test_asterisk_farm", PEERS / "farm.py")
_load("vcond_test_asterisk_house", HERE.parent / "asterisk/house.py")
kit = _load("vcond_test_pbx_daemon_kit", HERE / "pbx_daemon_kit.py")


@pytest.fixture(scope="session")
def pbx_bed(tmp_path_factory):
    try:
        with peer.running(tmp_path_factory.mktemp("asterisk")) as both:
            yield both
    except peer.UnavailableError as why:
        if os.environ.get("CI"):
            pytest.fail(f"no Asterisk to test with: {why}")
        pytest.skip(f"no Asterisk to test with: {why}")


@pytest.fixture
async def site(pbx_bed, tmp_path):
    """An installation of vcond beside the PBX, with phones; not started yet."""
    async with kit.Site(pbx_bed, peer, farm, tmp_path) as made:
        yield made


@pytest.fixture
def judge():
    """Looks at a vCon."""
    return kit.Judged
