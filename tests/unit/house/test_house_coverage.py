"""The floor of coverage only rises; tools/check_coverage.py says so."""

from __future__ import annotations

import importlib.util
import subprocess
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[3]
spec = importlib.util.spec_from_file_location("check_coverage", TOP / "tools" / "check_coverage.py")
tool = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tool)


@pytest.mark.parametrize(
    ("share", "floor", "before", "well", "says"),
    [
        (80.2, 80.0, 80.0, True, "the floor is 80.0 %"),
        (79.9, 80.0, 80.0, False, "below the floor"),
        (80.58, 80.0, 80.0, True, "write 80.5 into tests/coverage-floor"),
        (90.0, 80.0, 81.0, False, "only rises"),
    ],
)
def test_less_than_the_floor_is_wrong_and_more_is_the_next_floor(share, floor, before, well, says):
    judged, told = tool.judged(share, floor, before)
    assert judged is well
    assert says in told


def test_the_highest_floor_is_the_one_of_any_commit(tmp_path: Path):
    assert tool.highest(tmp_path) == 0
    file = tmp_path / tool.FLOOR
    file.parent.mkdir()
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false"]
    subprocess.run([*git, "init", "-q"], cwd=tmp_path, check=True)
    for floor in ("70.0", "72.5", "71.0"):
        file.write_text(f"{floor}\n")
        subprocess.run([*git, "add", "-A"], cwd=tmp_path, check=True)
        subprocess.run([*git, "commit", "-qm", floor], cwd=tmp_path, check=True)
    assert tool.highest(tmp_path) == 72.5


def test_the_floor_of_this_tree_is_no_lower_than_it_was():
    assert float((TOP / tool.FLOOR).read_text()) >= tool.highest(TOP)
