from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

DAEMON = Path(__file__).parent / "daemon"
if str(DAEMON) not in sys.path:
    sys.path.insert(0, str(DAEMON))

import daemon_kit  # noqa: E402 - found by the path above


@pytest.fixture(autouse=True)
def short_folder() -> Iterator[None]:
    """A folder with a short name, for the sockets of the test's daemons; gone when the test is."""
    with tempfile.TemporaryDirectory(prefix="vcond-") as folder:
        daemon_kit.SHORT = folder
        yield
        daemon_kit.SHORT = ""
