from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from vcond.demo.faster import fast_clock

SECOND = 1_000_000_000


@pytest.mark.parametrize("speed", [0.5, 1, 4])
def test_the_clock_is_right_at_first_and_then_faster(speed: float) -> None:
    monotonic = 7 * SECOND
    clock = fast_clock(speed, lambda: 1000 * SECOND, lambda: monotonic)
    assert clock.now() == 1000 * SECOND
    monotonic += 3 * SECOND
    assert clock.now() == (1000 + 3 * speed) * SECOND
    assert clock.off() == 0
    clock.anchor()
    assert clock.now() == (1000 + 3 * speed) * SECOND


def test_a_configuration_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "vcond.demo.faster", "2", str(tmp_path / "none.toml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "none.toml: no such file" in done.stderr
