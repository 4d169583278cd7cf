"""The PBX of all tests; a ``house`` of its own for every one."""

from __future__ import annotations

import pytest
from pbx_modules import farm, peer
from pbx_modules import house as house_module
from pbx_modules import proxy as proxy_module


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
