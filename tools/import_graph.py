"""Who imports whom: modules of vcond and of the adapters, and the circles among them. For checks and the picture."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

Graph = dict[str, set[str]]


def modules(top: Path) -> dict[str, Path]:
    """Dotted name to file, of everything that is shipped; ``top`` is the root of the repository."""
    found: dict[str, Path] = {}
    for root in [top, *sorted((top / "adapters").glob("*"))]:
        for file in sorted(root.glob("vcond*/**/*.py")):
            parts = file.relative_to(root).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


def imported(file: Path) -> Iterator[tuple[int, str]]:
    """Line and dotted name of everything that a file imports, for type checking too."""
    return iter(_imported(file.read_text("utf-8")))


@cache
def _imported(source: str) -> list[tuple[int, str]]:
    found: list[tuple[int, str]] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [(node.lineno, f"{node.module}.{alias.name}") for alias in node.names]
    return found


def graph(files: Mapping[str, Path]) -> Graph:
    """Module to the modules that it imports. A name of a package that is no module counts as the package."""
    found: Graph = {}
    for module, file in files.items():
        names = {name if name in files else name.rpartition(".")[0] for _, name in imported(file)}
        found[module] = (names & files.keys()) - {module}
    return found


def reached(links: Mapping[str, set[str]]) -> Graph:
    """Node to all that it comes to, over others too."""
    found: Graph = {}
    for node in links:
        seen: set[str] = set()
        ahead = list(links[node])
        while ahead:
            other = ahead.pop()
            if other not in seen:
                seen.add(other)
                ahead += links[other]
        found[node] = seen
    return found


def circles(links: Mapping[str, set[str]]) -> list[list[str]]:
    """The largest sets of nodes of which each comes to each other."""
    far = reached(links)
    found = {tuple(sorted(other for other in far[node] if node in far[other])) for node in links if node in far[node]}
    return [list(circle) for circle in sorted(found)]
