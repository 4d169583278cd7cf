"""What others import says what it is: the record, the SDK, the contracts of sinks and engines, what a call is.

Each public class and function has a docstring. What is a quantity (a float, or an integer whose name speaks of time, size
or place) says its unit: in its name, its docstring, or that of what it belongs to.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[3]
ROOMS = ("vcond/vcon", "vcond/sdk", "vcond/testing", "vcond/call", "vcond/media")
FILES = ("vcond/speech/engine.py", "vcond/base/time.py", "vcond/base/errors.py", "vcond/base/tls.py")
UNIT = re.compile(
    r"\b([mn]s|s|(nano|micro|milli)?seconds?|minutes?|hours?|days?|(time)?stamp|samples?|frames?|packets?|bytes?|bits?"
    r"|characters?|k?Hz|kbit|ticks?|millionths|percent|dB|decibels?|full scale|0 to 1|share|ratio"
    r"|datagrams?|points?|lines?|levels?|words?|entries|messages|digits|certificates)\b",
    re.IGNORECASE,
)
NAMES_UNIT = re.compile(
    r"(seconds?|_ms|_ns|^ms|^ns|bytes|samples|frames|rate|hertz|hz|ticks|kbps|bits|packets)$", re.IGNORECASE
)
QUANTITY = re.compile(
    r"(^|_)(time|delay|wait|pause|age|after|timeout|patience|interval|grace|lag|length|longest|shortest|size|largest|"
    r"smallest|limit|duration|start|stop|offset|position|stamp|width|loudness|level|gap)s?($|_)",
    re.IGNORECASE,
)
Named = tuple[str, str, str]
"""Where, its name, and all that is said of it."""


def sources() -> list[Path]:
    """The files that others import from."""
    return [*(path for room in ROOMS for path in sorted((TOP / room).rglob("*.py"))), *(TOP / name for name in FILES)]


def public(name: str) -> bool:
    return not name.startswith("_") or name == "__init__"


def said(node: ast.AST) -> str:
    return (ast.get_docstring(node) or "") if isinstance(node, ast.Module | ast.ClassDef | FUNCTION) else ""


FUNCTION = ast.FunctionDef | ast.AsyncFunctionDef


def definitions(node: ast.Module | ast.ClassDef) -> Iterator[tuple[ast.Module | ast.ClassDef, ast.ClassDef | FUNCTION]]:
    """Public classes and functions, each with what it is in."""
    for child in node.body:
        if isinstance(child, ast.ClassDef | FUNCTION) and public(child.name):
            yield node, child
            if isinstance(child, ast.ClassDef):
                yield from definitions(child)


def is_quantity(name: str, annotation: ast.expr | None, value: ast.expr | None = None) -> bool:
    kind = "" if annotation is None else ast.unparse(annotation)
    if kind in {"", "Final"} and isinstance(value, ast.Constant):
        kind = type(value.value).__name__
    kind = kind.removesuffix(" | None")
    return kind == "float" or (kind == "int" and bool(QUANTITY.search(name)))


def quantities(body: list[ast.stmt], of: str) -> Iterator[tuple[int, str, str]]:
    """Fields and constants: line, name, what is said."""
    for child, after in zip(body, [*body[1:], ast.Pass()], strict=True):
        own = after.value.value if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) else ""
        if isinstance(child, ast.AnnAssign) and isinstance(child.target, ast.Name):
            name, annotation = child.target.id, child.annotation
        elif isinstance(child, ast.Assign) and isinstance(child.targets[0], ast.Name):
            name, annotation = child.targets[0].id, None
        else:
            continue
        if public(name) and is_quantity(name, annotation, child.value):
            yield child.lineno, name, f"{own} {of}"


def unsaid(tree: ast.Module) -> Iterator[str]:
    """Quantities without a unit."""
    found = list(quantities(tree.body, ""))
    for owner, node in definitions(tree):
        if isinstance(node, ast.ClassDef):
            found += quantities(node.body, said(node))
            continue
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        of = f"{said(node)} {said(owner) if isinstance(owner, ast.ClassDef) else ''}"
        found += [(node.lineno, one.arg, of) for one in arguments if is_quantity(one.arg, one.annotation)]
        if is_quantity(node.name, node.returns):
            found.append((node.lineno, node.name, of))
    for line, name, text in found:
        if not NAMES_UNIT.search(name) and not UNIT.search(text):
            yield f"{line}: {name}"


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(TOP)))
def test_public_names_are_explained_and_quantities_have_units(path):
    tree = ast.parse(path.read_text("utf-8"))
    silent = [
        node.name for _, node in definitions(tree) if not node.name.startswith(("__", "test_")) and not said(node)
    ]
    assert not silent, "no docstring"
    assert not list(unsaid(tree)), "its unit is neither in its name nor in a docstring"


def test_what_is_looked_for_is_found():
    text = 'def wait(pause: float) -> None:\n    """Wait."""\nclass A:\n    """A."""\n    limit: int = 3\n    def f(self): pass\n'
    assert sorted(unsaid(ast.parse(text))) == ["1: pause", "5: limit"]
    assert [node.name for _, node in definitions(ast.parse(text)) if not said(node)] == ["f"]
