"""Every command and option of ``vcond``, read from the functions that carry them out: for the documentation."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import typer
from typer.models import ArgumentInfo, OptionInfo

WORDS = {str: "text", Path: "path", int: "whole number", float: "number"}


@dataclass(frozen=True)
class Parameter:
    """An argument or an option."""

    names: tuple[str, ...]
    kind: str
    """Empty for one that is on when it is there."""
    default: str
    """Empty = none is needed."""
    must: bool
    help: str
    argument: bool
    many: bool


@dataclass(frozen=True)
class Command:
    """One command, or a group of them."""

    name: str
    help: str
    parameters: tuple[Parameter, ...]
    group: bool

    @property
    def usage(self) -> str:
        """As ``--help`` says it."""
        words = [self.name]
        if any(not one.argument for one in self.parameters):
            words.append("[OPTIONS]")
        for one in self.parameters:
            if one.argument:
                shown = one.names[0] + ("..." if one.many else "")
                words.append(shown if one.must else f"[{shown}]")
        return " ".join([*words, *(["COMMAND"] if self.group else [])])


def commands(app: typer.Typer, name: str) -> Iterator[Command]:
    """A group and all below it, in the order in which they are written. Raises ValueError for what has no help."""
    callback = app.registered_callback.callback if app.registered_callback else None
    said = app.info.help if isinstance(app.info.help, str) else ""
    if app.info.invoke_without_command is True:
        said += f"\n\n{_doc(callback)}"
    yield Command(name, said, _parameters(callback, name), group=True)
    for one in app.registered_commands:
        if one.hidden:
            continue
        assert one.callback is not None
        own = f"{name} {one.name or one.callback.__name__.replace('_', '-')}"
        if not (text := one.help or _doc(one.callback)):
            raise ValueError(f"{own} has no docstring: say what it does")
        yield Command(own, text, _parameters(one.callback, own), group=False)
    for group in app.registered_groups:
        assert group.typer_instance is not None
        if not group.hidden:
            yield from commands(group.typer_instance, f"{name} {group.name}")


def _doc(callback: Callable[..., Any] | None) -> str:
    return (inspect.getdoc(callback) or "") if callback else ""


def _parameters(callback: Callable[..., Any] | None, command: str) -> tuple[Parameter, ...]:
    if callback is None:
        return ()
    hints = get_type_hints(callback, include_extras=True)
    found = []
    for name, parameter in inspect.signature(callback).parameters.items():
        hint = hints[name]
        if hint is typer.Context:
            continue
        kind, *notes = get_args(hint) if get_origin(hint) is Annotated else (hint,)
        told = next((note for note in notes if isinstance(note, OptionInfo | ArgumentInfo)), None)
        if told is None or not told.help:
            raise ValueError(f"{command}: {name} has no help: say what it is for")
        if not told.hidden:
            found.append(_parameter(name, kind, told, parameter.default))
    return tuple(found)


def _parameter(name: str, kind: Any, told: OptionInfo | ArgumentInfo, default: Any) -> Parameter:
    if get_origin(kind) in {UnionType, Union}:
        kind = next(one for one in get_args(kind) if one is not type(None))
    many = get_origin(kind) is list
    argument = isinstance(told, ArgumentInfo)
    first = [told.default] if isinstance(told.default, str) and told.default.startswith("-") else []
    names = (*first, *(told.param_decls or ()))  # typer takes the first name for a default
    shown = (name.upper(),) if argument else names or (f"--{name.replace('_', '-')}",)
    must = default is inspect.Parameter.empty
    value = told.show_default if isinstance(told.show_default, str) else default
    word = WORDS.get(get_args(kind)[0] if many else kind, "")
    if told.min is not None and told.max is not None:
        word += f", {told.min:g} to {told.max:g}"
    envvar = f" Environment: {told.envvar}." if told.envvar else ""
    return Parameter(
        tuple(shown), word + (", may be repeated" if many else ""), "" if must or value in {None, "", False} else str(value),
        must, f"{told.help}{envvar}", argument, many,
    )  # fmt: skip
