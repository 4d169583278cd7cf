"""Options and arguments that are plain texts and paths, without what typer loads to look at values: half of a start."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, get_args, get_origin

PLAIN: Final[Mapping[Any, Callable[[str], Any]]] = {str: str, Path: Path}
"""By the annotation of one value, and of a list's."""
NUMBERS: Final = (int, float, bool)
"""Only as they are by default. All else is typer's: what is typed of them, limits, choices."""


class _Plain:
    """Takes the place of typer's own way from a word to a value (``get_runtime_param``), which is made by pydantic."""

    def __init__(self, kind: Callable[[str], Any] | None, several: bool, otherwise: Callable[[], Any]) -> None:
        self._kind, self._several, self._otherwise = kind, several, otherwise

    def coerce(self, value: Any, **where: Any) -> Any:
        """Nothing stays nothing; what is required is looked for by typer, after this."""
        if value is None:
            return () if self._several else None
        if self._kind is None:
            return value if isinstance(value, NUMBERS) else self._otherwise().coerce(value, **where)
        return [self._kind(word) for word in value] if self._several else self._kind(value)


def quick(command: Any) -> Any:
    """``command`` with all below it, whose plain values are taken as they are."""
    for below in getattr(command, "commands", {}).values():
        quick(below)
    for param in command.get_params(command.context_class(command)):  # with --help, which it makes only then
        annotation: Any = getattr(getattr(param, "type_descriptor", None), "annotation", None)
        several = param.multiple or param.nargs == -1
        one = get_args(annotation)[0] if several and get_origin(annotation) is list else annotation
        if (one in PLAIN and (several or param.nargs == 1)) or (one in NUMBERS and not several):
            plain = _Plain(PLAIN.get(one), several, param.get_runtime_param)
            param.get_runtime_param = lambda plain=plain: plain
    return command
