"""A request to forget whose record is damaged: it is put aside, and what can be read of it is forgotten in every place again.

Its tombstones were written before anything was touched. So a uuid that is in it and has one was to be forgotten for certain,
and no other is touched. What else it had is told of until somebody has asked again and deletes what was put aside.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import structlog

from vcond.records.forgetting import Forgetting, Named, Step, read
from vcond.records.record_files import DAMAGED, RecordFiles
from vcond.records.tombstones import Tombstones, of_call
from vcond.storage.names import is_uuid

log = structlog.get_logger()

_UUID: Final = re.compile(rb"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def salvage(files: RecordFiles[Forgetting], tombstones: Tombstones, places: Sequence[str], now: int) -> None:
    """Before they are read. One that cannot be read now, or not compared, stays for the next start. Raises StorageError."""
    for name, error in read(files)[1].items():
        file, kept, uuids = files.path(name), "it stays as it is", list[str]()
        hint = "restart vcond when it can be read: the next start looks again"
        try:
            if error == DAMAGED and not tombstones.trouble:
                file, uuids = _begun_anew(name, files, tombstones, places, now)
                kept = "it was put aside"
                hint = f"ask again for what it was about (vcond forget), then delete {file}, and no other file"
        except OSError as why:
            kept = f"it cannot be put aside: {why.strerror}"
        log.error(
            "a request to forget cannot be read; what can be read of it is forgotten again", file=str(file), error=error,
            kept=kept, names=len(uuids), hint=hint,
        )  # fmt: skip


def _begun_anew(
    name: str, files: RecordFiles[Forgetting], tombstones: Tombstones, places: Sequence[str], now: int
) -> tuple[Path, list[str]]:
    """Where it was put, and the names that are forgotten again. A hold on any of them keeps all, for nothing tells which belong together. Raises OSError."""
    aside, body = files.put_aside(name)
    found = dict.fromkeys(one.decode() for one in _UUID.findall(body))
    uuids = [uuid for uuid in found if of_call(uuid) in tombstones] if is_uuid(name) else []
    if uuids:
        steps = [Step(place, list(uuids)) for place in places]
        files.put(name, Forgetting(name, now, [Named(uuids[0], uuids)], steps))
    else:
        files.remove(name)
    return aside, uuids
