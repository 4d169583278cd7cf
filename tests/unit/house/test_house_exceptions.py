"""An exception to a rule of lint or of types carries its reason on the same line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[3]
BARE = re.compile(r"#\s*(type: ignore(\[[^\]]*\])?|noqa(: [A-Z0-9, ]+)?)\s*$", re.MULTILINE)
FOLDERS = ("vcond", "adapters", "tests", "tools")


def bare(text: str) -> list[str]:
    """Exceptions without a reason."""
    return [found[0].strip() for found in BARE.finditer(text)]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("x = 1  # no" + "qa: S101", 1),
        ("x = 1  # no" + "qa: S101, E501", 1),
        ("x = 1  # no" + "qa", 1),
        ("x = 1  # type: ig" + "nore[misc]", 1),
        ("x = 1  # no" + "qa: S101 - why", 0),
        ("x = 1  # type: ig" + "nore[misc]  # why", 0),
        ("x = 1  # why", 0),
    ],
)
def test_what_is_an_exception_without_a_reason(line, found):
    assert len(bare(line)) == found


def test_every_exception_has_its_reason():
    files = [TOP / "conftest.py", *(file for folder in FOLDERS for file in (TOP / folder).rglob("*.py"))]
    assert len(files) > 1000
    assert {file.relative_to(TOP).as_posix(): said for file in files if (said := bare(file.read_text("utf-8")))} == {}
