"""Who opens, writes, syncs or replaces files past ``vcond/storage``, as a check: whatever is kept of calls goes through it."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

DOOR = "vcond.storage."
OF_OS = {
    "open", "fdopen", "replace", "rename", "renames", "link", "symlink", "fsync", "fdatasync", "sync", "write", "writev", "pwrite",
    "pwritev", "read", "readv", "pread", "preadv", "truncate", "ftruncate", "posix_fallocate", "sendfile", "copy_file_range",
}  # fmt: skip
METHODS = {"write_bytes", "write_text", "read_bytes", "read_text", "fromfile", "tofile", "memmap", "mmap"}
"""Of whatever object: no other has methods of these names."""
OPERATOR, MODEL, SYSTEM, OURS = (
    "a file that an operator names, or gets: none of vcond's own",
    "a model: no content of calls is in it, and engines read it by themselves",
    "the kernel's, or a stream",
    "a file of our own package",
)
MAY: dict[str, str] = {
    "vcond.app.plugins": OPERATOR,
    "vcond.app.setup_steps": OURS,
    "vcond.base.journald": SYSTEM,
    "vcond.base.log": SYSTEM,
    "vcond.capture.resources": SYSTEM,
    "vcond.base.tls": OPERATOR,
    "vcond.cli": SYSTEM,
    "vcond.cli.replay": OPERATOR,
    "vcond.cli.audit": OPERATOR,
    "vcond.cli.ledger_export": OPERATOR,
    "vcond.cli.migrate": OPERATOR,
    "vcond.cli.output": OPERATOR,
    "vcond.cli.seals": OPERATOR,
    "vcond.cli.settings": OURS,
    "vcond.cli.vcons": OPERATOR,
    "vcond.config.host": SYSTEM,
    "vcond.config.load": OPERATOR,
    "vcond.delivery.database": "SQLite opens its file by itself; made before, so that its mode does not follow the umask",
    "vcond.delivery.sinks.sftp": "a key that an operator names; the other files are on the other machine",
    "vcond.demo.call": OURS,
    "vcond.demo.child": "logs of the processes of a demo, which die with it",
    "vcond.demo.run": "reads what a demo has made",
    "vcond.demo.settings": "the configuration of a demo",
    "vcond.journal.lock": "a lock: nothing is kept in it",
    "vcond.sdk.selection": OPERATOR,
    "vcond.server.page.serve": OURS,
    "vcond.speech.load.capacity_bench": SYSTEM,
    "vcond.speech.models.catalog": OURS,
    "vcond.speech.models.download": MODEL,
    "vcond.speech.models.fingerprint": MODEL,
    "vcond.speech.models.graph_cache": MODEL,
    "vcond.speech.models.graph_compiler": MODEL,
    "vcond.speech.models.layout": MODEL,
    "vcond.speech.models.packages": MODEL,
    "vcond.speech.models.store": MODEL,
    "vcond.speech.models.unpack": MODEL,
    "vcond.speech.queue.audio": "an utterance in memory, for soundfile",
    "vcond.speech.vocabulary": MODEL,
    "vcond.testing.certificates": "what tests are made with",
    "vcond.testing.memory": SYSTEM,
    "vcond.testing.time": SYSTEM,
    "vcond.speech.workers.worker": SYSTEM,
    "vcond_freeswitch.check": SYSTEM,
    "vcond_freeswitch.filetap": "what FreeSWITCH writes for us, followed as it grows; adapters know the SDK only",
    "vcond_freeswitch.leftovers": "as filetap",
    "vcond.vcon.building.in_memory": "memory that is no file",
    "vcond_webrtc.page": OURS,
    "vcond_webrtc.peer": SYSTEM,
}
"""Module to reason. What a module may, it may everywhere."""


def past_the_door(files: Mapping[str, Path]) -> list[str]:
    """What goes past it and may not, and modules that may and do not."""
    found, needed = [], set()
    for module, file in files.items():
        if f"{module}.".startswith(DOOR):
            continue
        for line, name in calls(file):
            needed.add(module)
            if module not in MAY:
                found.append(
                    f"{module}:{line}: {name} goes past vcond/storage: use it, or say in tools/disk_door.py why not"
                )
    found += [
        f"{module}: it opens no file, take it out of tools/disk_door.py" for module in sorted(MAY.keys() - needed)
    ]
    return found


def calls(file: Path) -> Iterator[tuple[int, str]]:
    """Line and name of each call that opens a file, or does something to one that is open."""
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Call) and (name := _name(node)):
            yield node.lineno, name


def _name(call: ast.Call) -> str:
    of = call.func
    if isinstance(of, ast.Name):
        return "open" if of.id == "open" else ""
    if not isinstance(of, ast.Attribute):
        return ""
    if isinstance(of.value, ast.Name) and of.value.id == "os":
        return f"os.{of.attr}" if of.attr in OF_OS else ""
    moves = of.attr in {"rename", "replace"} and len(call.args) == 1 and not call.keywords
    return f".{of.attr}" if of.attr in METHODS or moves or (of.attr == "open" and _mode(call)) else ""


def _mode(call: ast.Call) -> bool:
    """Whether it is called as ``Path.open`` is: with a mode, or an encoding."""
    given = [*call.args, *(one.value for one in call.keywords if one.arg == "mode")]
    return any(one.arg == "encoding" for one in call.keywords) or any(
        isinstance(one, ast.Constant) and isinstance(one.value, str) and set(one.value) <= set("rwaxbt+")
        for one in given
    )
