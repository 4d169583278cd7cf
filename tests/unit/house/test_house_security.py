"""``docs/security.md``: each line names tests that exist."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "security.md").read_text("utf-8")
LINES = [
    line for line in PAGE.splitlines() if line.startswith("| ") and not re.match(r"\| (socket|it may|may) \|", line)
]


@cache
def existing() -> frozenset[str]:
    files = [file for folder in ("tests", "adapters") for file in (ROOT / folder).rglob("test_*.py")]
    return frozenset(
        node.name
        for file in files
        for node in ast.parse(file.read_text("utf-8")).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )


@pytest.mark.parametrize("line", LINES, ids=lambda line: line.split("|")[1].strip()[:40])
def test_each_defence_names_a_test_that_exists(line: str):
    named = re.findall(r"`(test_\w+)`", line.strip().removesuffix("|").rpartition("|")[2])
    assert named, "a defence without a test is a hope"
    assert [name for name in named if name not in existing()] == []


def test_every_attacker_has_lines():
    assert len(re.findall(r"^## ", PAGE, re.MULTILINE)) == 8
    assert len(LINES) > 25
