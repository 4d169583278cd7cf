"""What pages name of the code is there: modules, classes, files, other pages, and what their examples import.

Decisions are left out: they say what was when they were made.
"""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import pytest

from vcond.config.schema import DaemonConfig

TOP = Path(__file__).resolve().parents[3]
PAGES = [
    *(TOP / name for name in ("README.md", "CONTRIBUTING.md")),
    *sorted((TOP / "docs").glob("*.md")),
    *sorted((TOP / "adapters").glob("*/*.md")),
]
NO_CODE = {
    *("vcond.adapters", "vcond.engines", "vcond.finders", "vcond.links", "vcond.sinks"),  # groups of entry points
    *(f"vcond.{key}" for key in DaemonConfig.__struct_fields__),  # keys
}
FILE = re.compile(r".*\.(toml|d|db|log|json|yml)")
NOT_HERE = {"adapters/acme/"}
"""What a page tells to make."""
DOTTED = re.compile(r"vcond(?:_[a-z]+)?(?:\.\w+)+")
PATH = re.compile(r"(?:vcond|adapters|tests|tools|docs|packaging|systemd)/[\w./*-]+")


def there(name: str) -> bool:
    """Whether a dotted name is a module, or something in one."""
    module, *rest = name.split(".")
    found = importlib.import_module(module)
    for part in rest:
        if hasattr(found, part):
            found = getattr(found, part)
            continue
        module = f"{found.__name__}.{part}" if hasattr(found, "__path__") else ""
        try:
            found = importlib.import_module(module)
        except (ImportError, ValueError):
            return False
    return True


def imported(text: str) -> list[str]:
    """What the examples of a page import of vcond."""
    names = []
    for block in re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        tree = compile(block, "example", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("vcond."):
                names += [f"{node.module}.{each.name}" for each in node.names]
    return names


def is_code(name: str) -> bool:
    return bool(DOTTED.fullmatch(name)) and name not in NO_CODE and not FILE.fullmatch(name)


def named(text: str) -> list[str]:
    """Names of code between backticks."""
    return [name for name in re.findall(r"`([^`\n]+)`", text) if is_code(name)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(TOP)))
def test_what_a_page_names_is_there(page):
    text = page.read_text("utf-8")
    assert not [name for name in (*named(text), *imported(text)) if not there(name)]
    paths = [path for path in re.findall(r"`([^`\n]+)`", text) if PATH.fullmatch(path) and path not in NOT_HERE]
    assert not [path for path in paths if not any(TOP.glob(path.rstrip("/")))]
    links = [link for link in re.findall(r"\]\(([^)#\s]+)", text) if "://" not in link]
    assert not [link for link in links if not (page.parent / link).exists()]


def test_what_is_not_there_is_noticed():
    assert there("vcond.sdk.sink.Sink.deliver")
    assert not there("vcond.delivery.Sink")
    assert named("`vcond.delivery.Sink`, `vcond.toml`, `vcond.drain`, `vcond check`") == ["vcond.delivery.Sink"]
    assert imported("```python\nfrom vcond.sdk import gone\nawait gone()\n```\n") == ["vcond.sdk.gone"]
    assert not there("vcond.sdk.gone")
