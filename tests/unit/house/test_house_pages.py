"""``docs/security.md`` and ``docs/promises.md``: each line names tests that exist."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGES = ("security", "promises")
SUITES = (
    "vcond/testing/conformance.py",
    "vcond/testing/wrong_clocks.py",
    "vcond/testing/sinks.py",
    "tests/unit/delivery/endure_kit.py",
)


@cache
def page(name: str) -> str:
    return (ROOT / "docs" / f"{name}.md").read_text("utf-8")


def lines(name: str) -> list[str]:
    heads = r"\| (socket|it may|may|promise|seam) \|"
    return [line for line in page(name).splitlines() if line.startswith("| ") and not re.match(heads, line)]


@cache
def existing() -> frozenset[str]:
    """Functions of test files, and methods of the suites that every sink goes through."""
    files = [file for folder in ("tests", "adapters") for file in (ROOT / folder).rglob("test_*.py")]
    bodies = [ast.parse(file.read_text("utf-8")).body for file in files]
    for file in SUITES:
        bodies += [
            node.body for node in ast.parse((ROOT / file).read_text("utf-8")).body if isinstance(node, ast.ClassDef)
        ]
    return frozenset(
        node.name for body in bodies for node in body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )


@pytest.mark.parametrize(
    "line", [line for name in PAGES for line in lines(name)], ids=lambda line: line.split("|")[1].strip()[:40]
)
def test_each_line_names_a_test_that_exists(line: str):
    named = re.findall(r"`(test_\w+)`", line.strip().removesuffix("|").rpartition("|")[2])
    assert named, "a defence or promise without a test is a hope"
    assert [name for name in named if name not in existing()] == []


def test_every_attacker_and_every_promise_has_lines():
    assert len(re.findall(r"^## ", page("security"), re.MULTILINE)) == 13
    assert len(lines("security")) > 25
    assert len(re.findall(r"^## ", page("promises"), re.MULTILINE)) == 6
    assert len(lines("promises")) > 20


@pytest.mark.parametrize("name", PAGES)
def test_every_line_is_in_a_table(name: str):
    """A row after an empty line is shown as it is written."""
    text = re.sub(r"^\|.*\n\|---.*\n(\|.*\n)*", "", page(name), flags=re.MULTILINE)
    assert re.findall(r"^\|.*", text, re.MULTILINE) == []
