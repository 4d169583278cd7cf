"""What commands print: text for people, JSON for programs."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from vcond.base.errors import ConfigError, StorageError

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


def write(body: bytes, out: Path | None) -> str:
    """Into a file that only its owner reads, or on standard output; what to say of it."""
    if out is None:
        if sys.stdout.isatty() and len(body) > 100_000:
            raise ConfigError(f"the output is {len(body)} bytes, not written to a terminal: name a file with --out")
        sys.stdout.buffer.write(body + b"\n")
        return ""
    try:
        with os.fdopen(os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(body)
    except OSError as why:
        raise StorageError(f"cannot write {out}: {why.strerror}") from None
    return f"vCon: {out}"
