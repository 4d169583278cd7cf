from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from vcond.core.clock import SteadyClock
from vcond.demo.faster import faster

SECOND = 1_000_000_000


@pytest.mark.parametrize("speed", [0.5, 1, 4])
def test_the_clock_is_right_at_first_and_then_faster(speed: float) -> None:
    monotonic = 7 * SECOND
    fast = faster(speed, lambda: 1000 * SECOND, lambda: monotonic)
    clock = SteadyClock(fast, fast)
    assert clock.now() == 1000 * SECOND
    monotonic += 3 * SECOND
    assert clock.now() == (1000 + 3 * speed) * SECOND
    assert clock.off() == 0
    clock.anchor()
    assert clock.now() == (1000 + 3 * speed) * SECOND


def test_the_daemons_clock_takes_it() -> None:
    code = (
        "import time; from vcond.demo.faster import faster; real = time.monotonic_ns;"
        "time.time_ns = time.monotonic_ns = faster(1000, time.time_ns, real);"
        "from vcond.core.clock import SteadyClock; clock = SteadyClock(); began = real(); zero = clock.now();"
        "time.sleep(0.01); now = clock.now(); print((now - zero) / (real() - began) > 500)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "True\n"


def test_it_is_vcond_run_with_that_configuration(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "vcond.demo.faster", "2", str(tmp_path / "none.toml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0
    assert "none.toml: no such file" in done.stderr
