"""Every key of the configuration, read from the types that decode it: for the documentation and its checks."""

from __future__ import annotations

import ast
import inspect
import json
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import msgspec
from msgspec import inspect as types

from vcond.app.installed import ADAPTERS, SINKS
from vcond.config import Config
from vcond.config.words import shape

TOP = Path(__file__).resolve().parent.parent
PYPROJECT = TOP / "pyproject.toml"
sys.path += [str(folder) for folder in sorted(TOP.glob("adapters/*"))]  # an adapter that is new is not installed yet
PLUGINS = {"adapters": ADAPTERS, "sinks": SINKS}
"""Keys of ``Config`` whose sections are decoded by plug-ins, to the entry point group of these."""


@dataclass(frozen=True)
class Key:
    """One key, in words."""

    name: str
    kind: str
    default: str | None
    """As it is written in TOML; None = it must be given, empty = it is not set."""
    bounds: str
    help: str


@dataclass(frozen=True)
class Section:
    """One section of the file."""

    title: str
    """As it is written in TOML, and which kind of sink it is: ``[web]``, ``[[sinks]] folder``."""
    help: str
    keys: tuple[Key, ...]


def sections() -> Iterator[Section]:
    """All, in the order of ``Config``; those of plug-ins by name. Raises ValueError for a key without a docstring."""
    for field in _fields(Config):
        if field.name in PLUGINS:
            for name, kind in plugins(PLUGINS[field.name]).items():
                yield from _section(f"[adapters.{name}]" if field.name == "adapters" else f"[[sinks]] {name}", kind)
        elif isinstance(field.type, types.ListType):
            assert isinstance(field.type.item_type, types.StructType)
            yield from _section(f"[[{field.name}]]", field.type.item_type.cls)
        else:
            assert isinstance(field.type, types.StructType)
            yield from _section(f"[{field.name}]", field.type.cls)


def plugins(group: str) -> dict[str, type[Any]]:
    """The ``Config`` of each plug-in that comes with vcond, by name."""
    with PYPROJECT.open("rb") as file:
        points = tomllib.load(file)["project"]["entry-points"][group]
    return {name: EntryPoint(name, value, group).load().Config for name, value in sorted(points.items())}


def docstrings(kind: type[Any]) -> dict[str, str]:
    """The text below each field of a class, those of its bases too, on one line."""
    found: dict[str, str] = {}
    for one in reversed(kind.__mro__[: kind.__mro__.index(msgspec.Struct)]):
        (node,) = ast.parse(inspect.getsource(one)).body
        assert isinstance(node, ast.ClassDef)
        for field, below in zip(node.body, node.body[1:], strict=False):
            match field, below:
                case ast.AnnAssign(target=ast.Name(name)), ast.Expr(value=ast.Constant(value=str(text))):
                    found[name] = " ".join(text.split())
    return found


def _fields(kind: type[Any]) -> tuple[types.Field, ...]:
    info = types.type_info(kind)
    assert isinstance(info, types.StructType)
    return info.fields


def _section(title: str, kind: type[Any]) -> Iterator[Section]:
    told, keys, below = docstrings(kind), [], []
    path = title.strip("[]").partition("]")[0]
    for field in sorted(
        _fields(kind), key=lambda one: one.name not in kind.__annotations__
    ):  # its own, then its base's
        if field.name not in told:
            raise ValueError(f"{kind.__module__}.{kind.__name__}.{field.name} has no docstring: say what it is for")
        inner = field.type.item_type if isinstance(field.type, types.ListType) else field.type
        if isinstance(inner, types.StructType):
            many = isinstance(field.type, types.ListType)
            below += _section(f"[[{path}.{field.name}]]" if many else f"[{path}.{field.name}]", inner.cls)
        name, bounds = _words(field.type)
        keys.append(Key(field.name, name, _default(field), bounds, told[field.name]))
    yield Section(title, _purpose(kind), tuple(keys))
    yield from below


def _purpose(kind: type[Any]) -> str:
    """The docstring of a section's class, without the name of the section that it begins with."""
    text = " ".join(inspect.getdoc(kind).split()) if inspect.getdoc(kind) else ""
    head, colon, rest = text.partition("``: ")
    said = rest if colon and head.startswith("``[") else text
    return "" if said.startswith("``[") else said[:1].upper() + said[1:]


def _default(field: types.Field) -> str | None:
    if field.required:
        return None
    value = field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
    if value is None or isinstance(value, msgspec.Struct):
        return ""
    if isinstance(value, float):
        return f"{value:g}"
    return json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)


def _words(of: types.Type) -> tuple[str, str]:
    """A type and its bounds."""
    match of:
        case types.BoolType():
            return "true or false", ""
        case types.IntType() | types.FloatType():
            return "whole number" if isinstance(of, types.IntType) else "number", _range(of)
        case types.StrType():
            written = (
                [shape(of.pattern).removeprefix("must be ").replace("may only have:", "only")] if of.pattern else []
            )
            return "text", "; ".join([*_length(of, "letters"), *written])
        case types.LiteralType():
            return "one of", ", ".join(json.dumps(value) for value in of.values)
        case types.ListType() | types.VarTupleType():
            name, bounds = _words(of.item_type)
            return f"list of {name}", "; ".join([*_length(of, "entries"), *([f"each {bounds}"] if bounds else [])])
        case types.TupleType():
            name, bounds = _words(of.item_types[0])
            return f"list of {len(of.item_types)}: {name}", f"each {bounds}" if bounds else ""
        case types.DictType():
            name, bounds = _words(of.value_type)
            what = "table" if isinstance(of.value_type, types.AnyType) else f"table of {name}"
            return what, "; ".join([*_length(of, "entries"), *([f"each {bounds}"] if bounds else [])])
        case types.StructType():
            return "section", ""
        case types.UnionType():
            parts = [_words(one) for one in of.types if not isinstance(one, types.NoneType)]
            return " or ".join(name for name, _ in parts), "; ".join(bounds for _, bounds in parts if bounds)
    return "any value", ""


def _range(of: types.IntType | types.FloatType) -> str:
    least = f"more than {of.gt:,g}" if of.gt is not None else "" if of.ge is None else f"{of.ge:,.15g}"
    most = f"less than {of.lt:,g}" if of.lt is not None else "" if of.le is None else f"{of.le:,.15g}"
    if of.ge is not None and of.le is not None:
        return f"{least} to {most}"
    return ", ".join(part for part in (f"{least} or more" if of.ge is not None else least,
                                       f"at most {most}" if of.le is not None else most) if part)  # fmt: skip


def _length(of: Any, things: str) -> list[str]:
    least, most = of.min_length, of.max_length
    if least and most:
        return [f"{least:,} to {most:,} {things}"]
    return [f"at least {least:,} {things}"] if least else [f"at most {most:,} {things}"] if most else []
