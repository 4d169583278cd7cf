"""Sizes of classes, as a check: a class past either limit has two jobs."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path

LONGEST, MOST_PUBLIC = 200, 15
"""Lines of a class, and its public methods."""
FOR_GOOD: dict[str, str] = {}
"""Class to date and reason; at most three."""


def sizes(file: Path) -> dict[str, tuple[int, int]]:
    """Class to its lines and its public methods; a property counts once, with its setter."""
    found: dict[str, tuple[int, int]] = {}
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.ClassDef):
            names = {item.name for item in node.body if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef)}
            public = sum(not name.startswith("_") for name in names)
            assert node.end_lineno is not None
            found[node.name] = (node.end_lineno - node.lineno + 1, public)
    return found


def large(files: Mapping[str, Path]) -> list[str]:
    """What is too large and not excepted, and exceptions that are needed no more."""
    found, needed = [], set()
    for module, file in files.items():
        for name, (lines, public) in sizes(file).items():
            if lines <= LONGEST and public <= MOST_PUBLIC:
                continue
            needed.add(where := f"{module}.{name}")
            if where not in FOR_GOOD:
                found.append(
                    f"{where}: {lines} lines, {public} public methods: past {LONGEST} or {MOST_PUBLIC} it has two jobs"
                )
    found += [
        f"{where}: small enough, take it out of tools/class_sizes.py" for where in sorted(FOR_GOOD.keys() - needed)
    ]
    if len(FOR_GOOD) > 3:
        found.append("tools/class_sizes.py: more than three classes are excepted for good")
    return found
