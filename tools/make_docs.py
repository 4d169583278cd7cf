"""Writes what is made from the code: docs' tables of metrics, keys and commands; man pages and completions; the API's description; lists of adapters in pyproject.toml.

``make docs``. With ``--check`` it writes nothing and says what differs; that is part of ``make lint``. A table stands between two
comments of its page; what is around them is written by hand.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import api
import commands as commands_of_code
import config_keys
import manual

from vcond.call.diagnosis import HINTS
from vcond.cli.app import app

TOP = Path(__file__).resolve().parent.parent
METRICS = Path("vcond/base/metrics.py")
KINDS = {"Counter": "counter", "Gauge": "gauge", "Histogram": "histogram"}


def metric_calls(file: Path) -> Iterator[tuple[str, str, str, str, list[str]]]:
    """Of a file that defines metrics: attribute, kind, exported name, help, labels."""
    for node in ast.parse(file.read_text("utf-8")).body:
        match node:
            case ast.Assign(targets=[ast.Name(attribute)], value=ast.Call(func=ast.Name(kind), args=args)):
                name, said, *labels = [ast.literal_eval(arg) for arg in args]
                yield attribute, KINDS[kind], name, said, labels[0] if labels else []


def metrics() -> str:
    """The table of metrics."""
    rows = ["| metric | type | labels | what it says |", "|---|---|---|---|"]
    for _, kind, name, said, labels in sorted(metric_calls(TOP / METRICS), key=lambda row: row[2]):
        rows.append(row(f"`{name}`", kind, ", ".join(f"`{label}`" for label in labels), said))
    return "\n".join(rows)


def miscounted(top: Path) -> list[str]:
    """Metrics that are exported and never counted, and those that are made elsewhere and so in no table."""
    counted: set[str] = set()
    found = []
    for file in [*top.glob("vcond/**/*.py"), *top.glob("adapters/*/vcond_*/**/*.py")]:
        where = file.relative_to(top)
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            match node:
                case ast.Attribute(value=ast.Attribute(value=ast.Name("metrics"), attr=attribute)):
                    counted.add(attribute)
                case ast.ImportFrom(module="prometheus_client", names=names) if where != METRICS:
                    made = {alias.name for alias in names} & KINDS.keys()
                    found += [f"{where}:{node.lineno}: a metric is defined in {METRICS} only"] if made else []
                case ast.Import(names=names) if where != METRICS and any(a.name == "prometheus_client" for a in names):
                    found.append(f"{where}:{node.lineno}: import what you need of prometheus_client by name")
    return found + [
        f"{METRICS}: {name} is exported and never counted"
        for attribute, _, name, _, _ in metric_calls(top / METRICS)
        if attribute not in counted
    ]


def findings() -> str:
    """The table of what may be missing in a call."""
    rows = ["| code | what to do |", "|---|---|"]
    return "\n".join([*rows, *(row(f"`{code}`", told) for code, told in sorted(HINTS.items()))])


def configuration() -> str:
    """One table a section."""
    parts = []
    for section in config_keys.sections():
        rows = ["| key | type | default | bounds | what it says |", "|---|---|---|---|---|"]
        for key in section.keys:
            default = "must be given" if key.default is None else f"`{key.default}`" if key.default else ""
            rows.append(row(f"`{key.name}`", key.kind, default, key.bounds, key.help))
        said = f"{prose(section.help)}\n\n" if section.help else ""
        parts.append(f"## `{section.title}`\n\n{said}" + "\n".join(rows))
    return "\n\n".join(parts)


def commands() -> str:
    """One part a command, those of groups after the group."""
    parts = []
    for one in commands_of_code.commands(app, "vcond"):
        said = "\n\n".join(prose(paragraph) for paragraph in one.help.split("\n\n"))
        rows = (
            ["", "", "| argument, option | type | default | what it does |", "|---|---|---|---|"]
            if one.parameters
            else []
        )
        for parameter in one.parameters:
            names = ", ".join(f"`{name}`" for name in parameter.names)
            default = "must be given" if parameter.must else f"`{parameter.default}`" if parameter.default else ""
            rows.append(row(names, parameter.kind, default, parameter.help))
        parts.append(f"## `{one.name}`\n\n{said}\n\n    {one.usage}" + "\n".join(rows))
    return "\n\n".join(parts)


def row(*cells: str) -> str:
    """A line of a table."""
    return "| " + " | ".join(prose(cell).replace("|", r"\|") for cell in cells) + " |"


def prose(text: str) -> str:
    """Text of a docstring as Markdown, on one line."""
    return " ".join(text.replace(r"\[", "[").replace("``", "`").split())


def lists(text: str, top: Path) -> str:
    """``pyproject.toml`` with every adapter's folder in all lists that need it: the entry points are written by hand."""
    packages = sorted(file.parent.relative_to(top) for file in top.glob("adapters/*/vcond_*/__init__.py"))
    folders = [str(folder) for folder in dict.fromkeys(package.parent for package in packages)]
    made = {
        ("tool.hatch.build", "dev-mode-dirs"): [".", *folders],
        ("tool.hatch.build.targets.wheel", "packages"): ["vcond", *map(str, packages)],
        ("tool.ruff", "src"): [".", *folders],
        ("tool.mypy", "packages"): ["vcond", *(package.name for package in packages)],
        ("tool.mypy", "mypy_path"): folders,
    }
    for (section, key), values in made.items():
        place = re.compile(rf"(^\[{re.escape(section)}\]\n(?:(?!\[).*\n)*?{key} = )\[.*\]$", re.MULTILINE)
        text, count = place.subn(lambda found, values=values: found[1] + json.dumps(values), text)
        if count != 1:
            raise ValueError(f"pyproject.toml: there is not one list {key} in [{section}]")
    return text


def routes() -> str:
    """The table of the API's routes."""
    return "\n".join(
        ["| route, below `/api/v1` | role | what it gives |", "|---|---|---|", *(row(*cells) for cells in api.table())]
    )


PAGES = {
    "docs/operations.md": {"findings": findings, "metrics": metrics},
    "docs/configuration.md": {"configuration": configuration},
    "docs/cli.md": {"commands": commands},
    "docs/api.md": {"routes": routes},
}


def written(page: str, made: dict[str, str]) -> str:
    """A page with its tables. Raises ValueError when a place for one is missing."""
    for name, table in made.items():
        place = re.compile(rf"(<!-- {name}: made by `make docs` -->\n).*?(<!-- end of {name} -->)", re.DOTALL)
        page, count = place.subn(lambda found, table=table: f"{found[1]}\n{table}\n\n{found[2]}", page)  # type: ignore[misc] - a default in a lambda
        if count != 1:
            raise ValueError(f"there is not one place for the table {name}")
    return page


def main(*options: str) -> int:
    """Write or check; 1 when something is wrong."""
    found = miscounted(TOP)
    for name, tables in {**PAGES, "pyproject.toml": None}.items():
        file = TOP / name
        old = file.read_text("utf-8")
        new = lists(old, TOP) if tables is None else written(old, {table: make() for table, make in tables.items()})
        if new != old and "--check" in options:
            found.append(f"{name}: what is made from the code is not as the code: run `make docs`")
        elif new != old:
            file.write_text(new, "utf-8")
    for name, new in (manual.files() | api.files()).items():
        file = TOP / name
        if file.exists() and file.read_text("utf-8") == new:
            continue
        if "--check" in options:
            found.append(f"{name}: is not as the code: run `make docs`")
        else:
            file.parent.mkdir(exist_ok=True)
            file.write_text(new, "utf-8")
    print("\n".join(found) if found else "docs: what is made from the code is as the code")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
