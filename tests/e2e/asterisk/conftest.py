"""One PBX and its phones for the session; a ``house`` of its own for every test."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
PEERS = HERE.parent.parent / "peers/asterisk"


def _load(name: str, path: Path):
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


peer = _load("vcond_test_asterisk_peer", PEERS / "peer.py")
farm = _load("vcond_test_asterisk_farm", PEERS / "farm.py")
proxy_module = _load("vcond_test_asterisk_proxy", PEERS / "proxy.py")
house_module = _load("vcond_test_asterisk_house", HERE / "house.py")


@pytest.fixture(scope="session")
def bed(tmp_path_factory):
    try:
        with peer.running(tmp_path_factory.mktemp("asterisk")) as both:
            yield both
    except peer.UnavailableError as why:
        if os.environ.get("CI"):
            pytest.fail(f"no Asterisk to test with: {why}")
        pytest.skip(f"no Asterisk to test with: {why}")


@pytest.fixture
def open_house(bed):
    """Makes houses: ``async with open_house(...) as house``."""

    def make(**config):
        return house_module.House(bed, peer, farm, **config)

    return make


@pytest.fixture
async def house(open_house):
    async with open_house() as made:
        yield made


@pytest.fixture
def look():
    """Helpers to look at a call: moments, facts, rms."""
    return house_module


@pytest.fixture
async def line(bed):
    """A line to the PBX's ARI that can be cut."""
    async with proxy_module.Proxy("127.0.0.1", bed.pbx.http_port) as made:
        yield made


@pytest.fixture
def pbx_client(bed):
    """Makes an ARI client of the PBX for tests."""

    def make(app: str = ""):
        return farm.Ari(bed.pbx.url, peer.USER, peer.PASSWORD, app)

    return make
