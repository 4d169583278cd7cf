from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
for folder in (HERE, HERE.parents[1] / "peers" / "conserver"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

import daemon_kit  # noqa: E402 - found by the path above


@pytest.fixture(autouse=True)
def short_folder() -> Iterator[None]:
    with tempfile.TemporaryDirectory(prefix="vcond-") as folder:
        daemon_kit.SHORT = folder
        yield
