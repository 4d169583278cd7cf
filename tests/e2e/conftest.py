from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from vcond.testing.needs import needs

HERE = Path(__file__).resolve().parent
for kits in (HERE, HERE / "daemon", HERE.parent / "peers" / "sounds"):
    if str(kits) not in sys.path:
        sys.path.insert(0, str(kits))

import daemon_kit  # noqa: E402 - found by the path above
from pbx_modules import peer  # noqa: E402 - as above


@pytest.fixture(autouse=True)
def short_folder() -> Iterator[None]:
    """A folder with a short name, for the sockets of the test's daemons; gone when the test is."""
    with tempfile.TemporaryDirectory(prefix="vcond-") as folder:
        daemon_kit.SHORT = folder
        yield
        daemon_kit.SHORT = ""


@pytest.fixture(scope="session")
def bed(tmp_path_factory):
    """One PBX and its phones, for all tests with an Asterisk."""
    try:
        with peer.running(tmp_path_factory.mktemp("asterisk")) as both:
            yield both
    except peer.UnavailableError as why:
        needs(there=False, what=f"no Asterisk to test with: {why}")
