"""vcond is killed while it buffers: what had no consent is in no file, and what had it is found by the same search."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from test_capture_consent import GONE, RATE, peak, stored

CHILD = Path(__file__).parent / "consent_child.py"
KILLS = int(os.environ.get("VCOND_KILLS", "4"))
"""Each takes seconds; by hand a hundred."""


def voice(seed: int, seconds: float) -> np.ndarray:
    samples = np.random.default_rng(seed).standard_normal(60 * RATE) * 4000
    return samples.clip(-32000, 32000).astype(np.int16)[: round(seconds * RATE)]


@pytest.mark.parametrize("seed", range(KILLS))
def test_what_had_no_consent_is_in_no_file_when_it_is_killed(tmp_path: Path, seed: int):
    steps = random.Random(seed).randrange(50, 700)
    child = subprocess.Popen([sys.executable, str(CHILD), str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        for line in child.stdout:
            if line.startswith("step ") and int(line.split()[1]) >= steps:
                break
    finally:
        child.kill()
        child.wait()
        child.stdout.close()
    everything = stored(tmp_path)
    assert any(file.name == "events.log" for file in tmp_path.rglob("*"))
    found = [peak(voice(number, 1), everything) for number in (1, 2, 3)]
    assert max(found[0], found[2]) <= GONE, found
    assert found[1] > 0.9, found
