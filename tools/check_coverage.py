"""Holds the share of code that tests run against a floor that only rises. The last part of ``make coverage``.

The floor stands in tests/coverage-floor, in percent of lines and branches. ``python tools/check_coverage.py`` fails below
it, and when the file has less than it ever had; it says the new floor when the share is half a percent higher.
"""

from __future__ import annotations

import io
import re
import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
FLOOR = Path("tests/coverage-floor")
STEP = 0.5
"""Percent: what depends on the machine is less."""


def highest(top: Path) -> float:
    """The highest floor that the history of the repository has; 0 where there is none, as in a source archive."""
    told = subprocess.run(
        ["git", "log", "--format=", "-p", "--", str(FLOOR)], cwd=top, capture_output=True, text=True, check=False
    )
    return max((float(found) for found in re.findall(r"^\+(\d+\.\d)$", told.stdout, re.MULTILINE)), default=0.0)


def judged(share: float, floor: float, before: float) -> tuple[bool, str]:
    """Whether it is well, and what to say of it. All in percent; ``before`` is the highest floor there was."""
    if floor < before:
        return False, f"{FLOOR} has {floor:.1f}, it had {before:.1f}: the floor only rises"
    if share < floor:
        return False, (
            f"coverage is {share:.1f} %, below the floor of {floor:.1f} %: test what is new; lines that no test runs: "
            ".venv/bin/coverage report -m --skip-covered --sort=miss"
        )
    if share >= floor + STEP:
        return True, f"coverage is {share:.1f} %: write {int(share * 10) / 10:.1f} into {FLOOR}, it has {floor:.1f}"
    return True, f"coverage is {share:.1f} %, the floor is {floor:.1f} %"


def main() -> int:
    """Judge what was measured last; 1 when it is not well."""
    import coverage  # here, so that the rest can be tested without it

    measured = coverage.Coverage()
    measured.load()
    share = measured.report(file=io.StringIO())
    well, said = judged(share, float((TOP / FLOOR).read_text()), highest(TOP))
    print(said)
    return not well


if __name__ == "__main__":
    sys.exit(main())
