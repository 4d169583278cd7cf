"""The import table of ARCHITECTURE.md, and a file's size, as a check. Part of `make lint`."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
LONGEST = 500
PLAIN = {"base.errors", "base.time"}
"""What the pure rooms may import of ``base``."""

# room -> the rooms of vcond, or modules of theirs, that it may import, besides itself
TABLE: dict[str, set[str]] = {
    "base": set(),
    "call": PLAIN,
    "media": PLAIN,
    "sdk": {"call", "media", *PLAIN},
    "journal": {"call", "base"},
    "speech": {"call", "media", "journal", "base"},
    "vcon": {"call", *PLAIN},
    "delivery": {"vcon", "base"},
    "testing": {"call", "media", "sdk", *PLAIN},
    "config": {"speech", "delivery", "base"},
    "server": {"sdk", "call", "capture", "config", "delivery", "journal", "publish", "speech", "base"},
    "plugins": {"sdk", "call", "config", "delivery", "vcon", "base"},
    "capture": {"sdk", "call", "config", "journal", "media", "speech", "base"},
    "publish": {"capture", "call", "config", "delivery", "journal", "media", "vcon", "base"},
    "demo": {"call", "media", "vcon", "base"},
}
ADAPTERS = {"sdk", "media"}
# the daemon and the command line know every room; so does the package itself
FREE = {"daemon", "cli", "__init__", "__main__"}
# rooms that do no I/O and read no clock
PURE = {"call", "media", "vcon"}
# but for the sockets that all adapters with RTP share
SOCKETS = {Path("vcond/media/rtp/ports.py")}
IMPURE_MODULES = {"asyncio", "socket", "time", "threading", "subprocess", "aiohttp", "websockets", "sqlite3", "pathlib"}


def imported(file: Path) -> Iterator[tuple[int, str]]:
    """Line and dotted name of everything that a file imports."""
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def within(name: str, rooms: set[str]) -> bool:
    """``vcond.call.events.Digit`` is within ``call`` and ``call.events``; what the package itself holds, everywhere."""
    inside = f"{name.removeprefix('vcond.')}."
    return name in {"vcond", "vcond.__version__"} or any(inside.startswith(f"{room}.") for room in rooms)


def wrong(file: Path, room: str, allowed: set[str]) -> Iterator[str]:
    """What one file imports and must not."""
    for line, name in imported(file):
        top = name.partition(".")[0]
        if top == "vcond" and not within(name, allowed | {room}):
            yield f"{file.relative_to(TOP)}:{line}: {room} must not import {name}"
        if top.startswith("vcond_") and top not in file.parts:
            yield f"{file.relative_to(TOP)}:{line}: nobody imports an adapter"
        if room in PURE and top in IMPURE_MODULES and file.relative_to(TOP) not in SOCKETS:
            yield f"{file.relative_to(TOP)}:{line}: {room} is pure and must not import {name}"


def main() -> int:
    """Print what is wrong; 1 when something is."""
    found: list[str] = []
    for file in sorted((TOP / "vcond").rglob("*.py")):
        parts = file.relative_to(TOP / "vcond").parts
        room = parts[0] if len(parts) > 1 else file.stem
        if room in FREE:
            continue
        if room not in TABLE:
            found.append(f"{file.relative_to(TOP)}: room {room} is not in the table of tools/check_rooms.py")
            continue
        found += wrong(file, room, TABLE[room])
    for file in sorted((TOP / "adapters").glob("*/vcond_*/**/*.py")):
        found += wrong(file, file.relative_to(TOP / "adapters").parts[1], ADAPTERS)
    for folder in ("vcond", "adapters", "tests", "tools"):
        for file in sorted((TOP / folder).rglob("*.py")):
            lines = len(file.read_text("utf-8").splitlines())
            if lines > LONGEST:
                found.append(f"{file.relative_to(TOP)}: {lines} lines: a file past {LONGEST} has two jobs")
    print("\n".join(found) if found else "rooms: every import is allowed")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
