"""The table of CONTRIBUTING.md, circles of imports, and sizes of files and classes, as checks. Part of `make lint`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from class_sizes import large
from disk_door import past_the_door
from import_graph import circles, graph, imported, modules

TOP = Path(__file__).resolve().parent.parent
LONGEST = 500
PLAIN = {"base.errors", "base.time"}
"""What the pure rooms may import of ``base``."""

# room -> the rooms of vcond, or modules of theirs, that it may import, besides itself; from the ground up
TABLE: dict[str, set[str]] = {
    "base": set(),
    "storage": {"base.errors"},
    "policy": PLAIN,
    "call": {"policy", *PLAIN},
    "media": {"call.events", *PLAIN},
    "sip": {"base"},
    "vcon": {"policy", "call", *PLAIN},
    "redaction": {"call", "media", "vcon", *PLAIN},
    "journal": {"call", "storage", "base"},
    "speech": {"call", "media", "journal", "storage", "base"},
    "sdk": {"call", "media", "policy.consent", "base.backoff", "base.tls", *PLAIN},
    "delivery": {"vcon", "sdk", "storage", "base"},
    "records": {"call", "vcon", "journal", "delivery", "sdk", "storage", "base"},
    "testing": {"call", "media", "sdk", "speech.engine", "redaction.contract", *PLAIN},
    "config": {"policy", "call", "redaction", "speech", "delivery", "records", "base"},
    "capture": {"policy", "call", "media", "journal", "speech", "sdk", "config", "storage", "base"},
    "publish": {
        "policy",
        "call",
        "media",
        "vcon",
        "journal",
        "sdk",
        "delivery",
        "records",
        "redaction",
        "config",
        "capture",
        "storage",
        "base",
    },
    "server": {
        "policy",
        "call",
        "vcon",
        "journal",
        "speech",
        "sdk",
        "delivery",
        "records",
        "config",
        "capture",
        "publish",
        "storage",
        "base",
    },
    "app": {
        "call",
        "vcon",
        "journal",
        "speech",
        "sdk",
        "delivery",
        "records",
        "redaction",
        "config",
        "capture",
        "publish",
        "server",
        "storage",
        "base",
    },
    "demo": {"call", "media", "vcon", "sdk", "base"},
}
JOBS = {
    "base": "errors, time, waits before another try, logs, metrics, tasks, systemd, TLS contexts",
    "policy": "who may do what with what is recorded: pause it, let it go on, agree to it or refuse. Pure",
    "storage": "the one door to the disk, for reading and writing; encryption of what is kept, and its keys",
    "call": "events, the call as a fold over them, causes, merging. Pure",
    "media": "codecs, RTP, placement on the call's clock, what is in the sound. Pure, but for `rtp/ports.py` and `rtp/reading.py`",
    "sip": "SIP messages, transactions and dialogs of a server, for adapters. Pure, but for `sip/server.py` and `sip/transports.py`",
    "vcon": "building, validation, sealing, reading of others' vCons. Pure, no I/O",
    "redaction": "what is secret in a conversation, how it is found, and what becomes of it. Pure",
    "journal": "one folder a call: records, audio, recovery",
    "speech": "engines, workers, scheduling, models",
    "sdk": "for plug-ins: the contracts of adapters, sinks and links; what adapters of PBXs share: legs, their taps, the conversation above them, selection, attaching again; the server of media streams",
    "delivery": "the outbox, sinks, retry",
    "records": "what is remembered of calls beside the calls: who is in which vCon, who received what, how long it stays, what is forgotten",
    "testing": "for authors of plug-ins: a host in memory, virtual time, the conformance suites of adapters, sinks, engines, finders and links",
    "config": "the configuration, typed",
    "capture": "live calls and tracks, what an adapter is handed, recovery",
    "publish": "from an ended call to the outbox: finishing, amending",
    "server": "what the daemon serves: ingress, ops, admin socket, status, the API",
    "app": "the daemon, which wires it all together; plug-ins",
    "demo": "the spoken demo call",
}
ADAPTERS = {"sdk", "media", "sip"}
# the command line knows every room; so does the package itself
FREE = {"cli", "__init__", "__main__"}
# rooms that do no I/O and read no clock
PURE = {"policy", "call", "media", "sip", "vcon", "redaction"}
# but for the sockets that adapters share
SOCKETS = {
    Path("vcond/media/rtp/ports.py"),
    Path("vcond/media/rtp/reading.py"),
    Path("vcond/sip/server.py"),
    Path("vcond/sip/transports.py"),
}
IMPURE_MODULES = {"asyncio", "socket", "time", "threading", "subprocess", "aiohttp", "websockets", "sqlite3", "pathlib"}


def within(name: str, rooms: set[str]) -> bool:
    """``vcond.call.events.Dtmf`` is within ``call`` and ``call.events``; what the package itself holds, everywhere."""
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


def in_circles() -> list[str]:
    """Modules that come to one another."""
    return [f"modules import one another in a circle: {', '.join(one)}" for one in circles(graph(modules(TOP)))]


def table() -> str:
    """The table of CONTRIBUTING.md."""
    rows = ["| room | job | may import of vcond |", "|---|---|---|"]
    for room, allowed in TABLE.items():
        rows.append(f"| `{room}` | {JOBS[room]} | {', '.join(room_names(allowed)) or 'nothing'} |")
    return "\n".join(rows)


def room_names(allowed: set[str]) -> list[str]:
    """From the ground up, then parts of rooms, without those of ``base`` that all may import."""
    parts = sorted(part for part in allowed - PLAIN if "." in part)
    return [*(room for room in TABLE if room in allowed), *(f"`{part}`" for part in parts)]


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
    found += in_circles() + large(modules(TOP)) + past_the_door(modules(TOP))
    if table() not in (TOP / "CONTRIBUTING.md").read_text("utf-8"):
        found.append(f"CONTRIBUTING.md: its table of rooms is to be this one:\n{table()}")
    print("\n".join(found) if found else "rooms: every import is allowed")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
