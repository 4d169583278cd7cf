"""Runs every tests/bench/bench_*.py in turn. Timing claims are ratios within one run, never absolute."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent


def main() -> int:
    """The first failure is the exit code."""
    worst = 0
    for file in sorted((TOP / "tests" / "bench").glob("bench_*.py")):
        print(f"== {file.stem}", flush=True)
        worst = worst or subprocess.run([sys.executable, str(file)], cwd=TOP, check=False).returncode
    return worst


if __name__ == "__main__":
    sys.exit(main())
