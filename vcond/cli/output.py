"""What commands print: text for people, JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from typing import Annotated, Any

import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def show(value: Any, as_json: bool, lines: Iterable[str]) -> None:
    """The value as JSON, or the lines. What a caller, a platform or a file brought along steers no terminal."""
    if as_json:
        json.dump(value, sys.stdout, indent=1, ensure_ascii=False)
        print()
    else:
        for line in lines:
            print("".join(char if char.isprintable() or char in "\n\t" else " " for char in line))


def say(line: str) -> None:
    """Print a line; nothing when it is empty."""
    if line:
        print(line)
