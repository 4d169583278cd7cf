"""An option or argument that is given and empty is refused: it is a mistake, as of a variable that is not set, and never "all of them"."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import typer

MAY_BE: Final = frozenset({"reason"})
"""Names of what may be empty: it only goes into the record."""


def none_empty(command: Any) -> Any:
    """``command`` with all below it, which refuse what is empty. A value that is left out is not."""
    for below in getattr(command, "commands", {}).values():
        none_empty(below)
    for param in command.get_params(command.context_class(command)):
        if param.name not in MAY_BE:
            _refusing(param)
    return command


def _refusing(param: Any) -> None:
    """Before typer makes a value of it: a path that is empty would be the folder where one is."""
    handle = param.handle_parse_result

    def handled(context: Any, given: Mapping[str, Any], rest: list[str]) -> Any:
        said = given.get(param.name)
        if "" in (said if isinstance(said, list | tuple) else [said]) and not context.resilient_parsing:
            raise typer.BadParameter("it is empty: give a value, or leave it out", context, param)
        return handle(context, given, rest)

    param.handle_parse_result = handled
