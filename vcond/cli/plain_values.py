"""Options and arguments that are plain texts and paths, without what typer loads to look at values: half of a start."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

PLAIN: Final[Mapping[Any, type | None]] = {str: str, str | None: str, Path: Path, Path | None: Path, bool: None}
"""By annotation; of a bool only that there is none. All else is typer's: numbers, limits, choices, lists."""


class _Plain:
    """Takes the place of typer's own way from a word to a value (``get_runtime_param``), which is made by pydantic."""

    def __init__(self, kind: type | None, otherwise: Callable[[], Any]) -> None:
        self._kind, self._otherwise = kind, otherwise

    def coerce(self, value: Any, **where: Any) -> Any:
        """Nothing stays nothing; what is required is looked for by typer, after this."""
        if value is None:
            return None
        return self._kind(value) if self._kind is not None else self._otherwise().coerce(value, **where)


def quick(command: Any) -> Any:
    """``command`` with all below it, whose plain values are taken as they are."""
    for below in getattr(command, "commands", {}).values():
        quick(below)
    for param in command.get_params(command.context_class(command)):  # with --help, which it makes only then
        annotation = getattr(getattr(param, "type_descriptor", None), "annotation", None)
        if annotation in PLAIN and param.nargs == 1 and not param.multiple:
            plain = _Plain(PLAIN[annotation], param.get_runtime_param)
            param.get_runtime_param = lambda plain=plain: plain
    return command
